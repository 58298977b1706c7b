/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two halves of t/peer/many share: many.c has the sockets, the clock and the plan, many_sip.c the messages: what both ends of a call say and hear. */
#ifndef VELADOR_PEER_MANY_H
#define VELADOR_PEER_MANY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum { MESSAGE_MAX = 16384, PADDING_MAX = 8192, TARGET_MAX = 96, CALLER = 0, CALLEE = 1 };
enum state { IDLE, INVITED, TALKING, LEAVING, ENDED, FAILED };

struct side {
	double confirmed_s;     /* last 2xx to INVITE or UPDATE on this side's leg */
	uint32_t cseq;          /* highest of the proxy's requests */
	uint32_t refreshes;
	bool dead;
};
struct call {
	struct side side[2];
	enum state state;
	uint32_t invite_cseq;   /* on the callee's leg */
	double resend_s, wait_s, began_s; /* of the caller's request under way */
	double answer_s, answer_wait_s;   /* of the callee's 200, until its ACK */
	char *answer;
	char target[TARGET_MAX]; /* the proxy's Contact on the caller's leg */
};

extern struct options {
	long calls, rate, ttl_s, dead_every, reinvite_every, loss, low_ms, high_ms, t1_ms, no_timer, padding;
	double hold_s, dead_after_s, limit_s;
	struct sockaddr_in to, name[2];
	char text[3][32];       /* addresses as text: callers, callees, the proxy */
} opt;
extern struct counts {
	long started, established, failed, refreshes, repeats, early, late, cut, dead, dead_ended, left, strange, cseq_bad;
	double late_max_ms, dead_max_s, early_max_ms;
} count;
extern struct call *calls;
extern double turn_s;       /* when this turn began */

/* Says what failed, with errno, and ends the program. */
_Noreturn void fail(const char *what);
/* Sends from one end to the proxy, or loses it. */
void emit(int side, const char *bytes, size_t length);

/* A request of call i's caller: INVITE, ACK or BYE. */
void caller_request(long i, const char *method, int cseq);
/* What came from the proxy to one end, by the kernel's clock. */
void request(int side, const char *m, double at_s);
void response(const char *m, double at_s);

#endif
