/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transactions (RFC 3261 §17, RFC 6026): plain values inside a call's state, four machines as one table (machine.def), and the
 * resend schedule. Pure: `now_ms` is a value, nothing is sent here; the caller does what the action says.
 * Life: txn_start() puts it into its first state with its timers; txn_event() moves it; TERMINATED ones are removed by their owner. */
#ifndef VELADOR_TXN_H
#define VELADOR_TXN_H

#include "base/addr.h"
#include "ini/params.h"
#include "shm/shm.h"

enum txn_machine { TXN_ICT = 1, TXN_NICT, TXN_IST, TXN_NIST };
enum txn_state {
	TXN_TERMINATED = 0, TXN_CALLING, TXN_TRYING, TXN_PROCEEDING, TXN_COMPLETED, TXN_CONFIRMED, TXN_ACCEPTED, TXN_ACKED,
	TXN_ABANDONED,
	TXN_STATE_COUNT
};
enum txn_event {
	TXN_EV_RESEND, TXN_EV_EXPIRE, TXN_EV_P1XX, TXN_EV_P2XX, TXN_EV_P3XX, TXN_EV_REQUEST, TXN_EV_ACK,
	TXN_EVENT_COUNT
};
enum txn_action {
	TXN_DO_UNLISTED = 0, TXN_DO_PASS, TXN_DO_RESEND_REQUEST, TXN_DO_RESEND_RESPONSE, TXN_DO_ACK, TXN_DO_ACK_PASS, TXN_DO_SEND,
	TXN_DO_FAIL, TXN_DO_DROP, TXN_DO_END
};

/* What a client transaction is for: who is told of its end. */
enum txn_purpose {
	TXN_FOR_RELAY = 0, /* carries the request of its peer transaction on the other leg */
	TXN_FOR_CANCEL,    /* our CANCEL */
	TXN_FOR_HANGUP,    /* our BYE */
	TXN_FOR_STRAY,     /* our BYE to a fork that answered second */
	TXN_FOR_REFRESH,   /* our UPDATE or re-INVITE that keeps a session alive (RFC 4028 §10) */
	TXN_FOR_TELL,      /* our re-INVITE that tells a leg of the other's new description */
	TXN_FOR_ASK,       /* the same, and its answer is told to the other leg */
	TXN_FOR_PRACK,     /* our PRACK (RFC 3262 §4) */
	TXN_FOR_OFFER,     /* our UPDATE that carries an offer which came in a PRACK */
};

enum {
	TXN_INITIAL = 1,        /* the INVITE that sets the call up */
	TXN_CANCEL_WANTED = 2,  /* CANCEL waits for a provisional response (RFC 3261 §9.1) */
	TXN_CANCELED = 4,       /* a CANCEL was sent (client) or came (server) */
	TXN_HAD_OFFER = 8,      /* the request bore a session description */
	TXN_NO_1XX = 16,        /* server: a re-INVITE with Require: 100rel; what we do not send reliably is not sent */
	TXN_ACK_KEPT = 32,      /* `response` holds the ACK that answers each repeat */
	TXN_RESENT = 64,        /* was sent again: no T1 sample (Karn) */
	TXN_RETRIED = 256,      /* client: sent again after a 422 (RFC 4028 §7.3) */
	TXN_HELD = 512,         /* server: waits until our own re-INVITE or PRACK on the other leg is answered; `response` of a PRACK holds its offer */
	TXN_RELIABLE = 1024,    /* server: its provisional response waits for PRACK (RFC 3262 §3) */
};

/* Session-Expires, Min-SE and Supported: timer of a request: a server transaction's are the peer's, a client's ours (RFC 4028 §4, §5). */
struct session_wish {
	uint32_t interval_s;    /* 0 = no Session-Expires */
	uint32_t min_se_s;      /* 0 = no Min-SE */
	uint8_t supported;
	char refresher;         /* 'c', 's' or 0 */
	uint16_t pad;
};

/* Lies in state blocks: no pointers. */
struct txn {
	uint8_t machine;        /* enum txn_machine */
	uint8_t state;          /* enum txn_state */
	uint8_t method;         /* enum sip_method */
	uint8_t leg;            /* 0 caller, 1 callee */
	uint8_t purpose;        /* enum txn_purpose */
	uint8_t stage;          /* resends done */
	uint8_t fork;           /* of an early dialog: its index + 1 */
	uint8_t pad;
	uint16_t flags;         /* TXN_* */
	uint16_t id;            /* unique in the call; in our branches */
	uint16_t peer;          /* id of the transaction on the other leg; 0 = none */
	uint16_t branch;        /* client: the id that stands in the branch (a CANCEL bears its INVITE's) */
	uint16_t listen;        /* our listening address */
	uint16_t t1_ms;         /* T1 in force when it started */
	uint32_t cseq;          /* number on this leg */
	uint64_t key;           /* server: hash of what RFC 3261 §17.2.3 matches; client, re-INVITE: last RSeq acknowledged; PRACK without
	                         * fork: hash of tag and RSeq */
	uint64_t sent_ms;       /* first sent or received */
	uint64_t resend_ms;     /* when the next resend is due, SHM_NEVER = none */
	uint64_t expire_ms;     /* when the state's last timer fires, SHM_NEVER = none */
	shm_ref request;        /* client: the bytes sent; server: the head of every response (a 100) */
	shm_ref response;       /* server: the last response sent; client: the ACK kept, until then the Reason lines of a CANCEL that waits */
	shm_ref target;         /* server: the dialog with the target that this request sets once it succeeds; client: its dialog where that is
	                         * none of the call's; 0 = none */
	uint32_t request_bytes;
	uint32_t response_bytes;
	struct session_wish wish;
	struct addr remote;     /* client: where it is sent; server: where responses go */
};

/* Never under 32 s, whatever T1: timers that absorb repeats (D, H, I, J, K, L, M). */
uint64_t txn_absorb_ms(uint32_t t1_ms);

/* Where the schedule gives up: give_up, by default 64*T1. */
uint64_t txn_give_up_ms(const struct params *p, uint32_t t1_ms);

/* The wait before resend number `stage` (0 = the first), milliseconds; 0 = no further resend. Automatic: T1 doubling, for all but INVITE capped at T2, ten
 * stages; or the explicit list. Responses (server machines) always double up to T2. */
uint64_t txn_wait_ms(const struct params *p, const struct txn *t, unsigned stage);

/* First state and timers; machine, method, t1_ms must be set. */
void txn_start(struct txn *t, const struct params *p, uint64_t now_ms);

/* Applies an event by the table. Returns what its owner must do; TXN_DO_UNLISTED (state unchanged) where no row stands. Timers are set for the new state. */
enum txn_action txn_event(struct txn *t, enum txn_event ev, const struct params *p, uint64_t now_ms);

/* Ends at once (transport error, owner's wish). */
void txn_terminate(struct txn *t);

/* Still waits for the other side: a final answer, an ACK, or the user's response. Those that only absorb repeats are not active. */
bool txn_active(const struct txn *t);

static inline bool txn_is_client(const struct txn *t)
{
	return t->machine == TXN_ICT || t->machine == TXN_NICT;
}

/* The event that a status code is. */
static inline enum txn_event txn_event_of(unsigned status)
{
	return status < 200 ? TXN_EV_P1XX : status < 300 ? TXN_EV_P2XX : TXN_EV_P3XX;
}

/* For the documentation and the tests: the row's RFC section, NULL where none stands. */
const char *txn_section(enum txn_machine m, enum txn_state s, enum txn_event ev);
const char *txn_machine_name(enum txn_machine m);
const char *txn_state_name(enum txn_state s);
const char *txn_event_name(enum txn_event ev);

#endif
