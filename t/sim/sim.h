/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The deterministic simulator: the real call logic over a real arena, in virtual time, all from one seed.
 *
 * Several workers, a timer, a recorder and a control process, each with its own struct shm_self, live in this one OS process. They may
 * die at any injection point (longjmp out of it: nothing of theirs survives but the arena), and may be interrupted there by
 * another's turn. Around them: callers and gateways (ua.c and its parts), and a network that loses, repeats, delays and reorders.
 *
 *	main.c       options, seeds, figures            network.c    packets under way; what the network does to them
 *	sim.c        one seed: events in virtual time   ua.c         a user agent's transactions
 *	plan.c       what is drawn from the seed        caller.c     what callers do; callee.c: what gateways do
 *	proc.c       turns, deaths, restarts            talk.c       what both do while they talk
 *	record.c     the recorder and its file          session.c    their session timers; reliable.c: their PRACKs
 *	kill.c       death and interruption             text.c       the messages that user agents write
 *	world.c      addresses, configuration, arena    invariant.c  what must hold of the arena; wire.c: of what we send;
 *	                                                watch.c: of calls that should have ended, and what crossed
 */
#ifndef VELADOR_SIM_H
#define VELADOR_SIM_H

#include <setjmp.h>

#include "base/err.h"
#include "call/call.h"
#include "call/core.h"
#include "sip/sip.h"

/* ------------------------------------------------------------------------------------------ random numbers */
struct rng {
	uint64_t s;
};
uint64_t rng_next(struct rng *r);
/* 0 to n - 1; 0 where n is 0. */
uint32_t rng_below(struct rng *r, uint32_t n);
bool rng_permille(struct rng *r, uint32_t permille);

/* ------------------------------------------------------------------------------------------ what a seed means */
enum { SIM_WORKERS_MAX = 4, SIM_GATEWAYS_MAX = 4, SIM_CALLERS = 3 };

struct plan {
	unsigned calls;
	unsigned spread_ms;          /* mean time between two new calls */
	unsigned workers;
	bool steer_wrong;            /* any worker gets any datagram */
	unsigned loss_permille, repeat_permille;
	unsigned delay_ms, jitter_ms;
	unsigned kill_every;         /* passages of injection points between deaths, mean; 0 = nobody dies */
	unsigned interrupt_every;    /* the same for interruptions */
	unsigned gateways;
	unsigned callee_luck;        /* permille of gateways' attempts that simply answer */
	unsigned talk_ms;            /* longest talk */
	uint32_t max_call_duration_ms, setup_early_hangup_ms, ring_timeout_ms; /* 0 = off */
	uint32_t ttl_s, min_se_s, segment, grace_s;
	bool tail, strict, endpoint_refreshes;
	uint32_t no_timer_s;         /* 0 = off */
	bool no_timer_hangup;
	uint8_t rel_callers, rel_gateway[SIM_GATEWAYS_MAX]; /* enum params_100rel */
	uint32_t slots;
	uint32_t heap_bytes;
	bool tight;                  /* the heap may run full: messages may find no room */
};
void plan_draw(struct plan *plan, struct rng *r, unsigned calls);

/* ------------------------------------------------------------------------------------------ processes */
struct packet {
	struct packet *next;
	struct addr from, to;
	uint16_t listen;
	uint32_t length;
	char bytes[];
};

struct proc {
	enum shm_kind kind;
	unsigned index;
	struct shm_self *self;
	struct core core;
	struct rng rng;
	bool alive, inside;          /* inside: a turn of it is under way */
	bool planned;                /* a turn stands in the event queue */
	bool unfinished;             /* the journal's batch has entries that are not done */
	uint64_t passes;             /* injection points passed */
	uint64_t safe_until_pass;    /* no second death before: an object whose holder died twice is set aside */
	jmp_buf death;
	struct packet *head, **tail; /* its socket's queue in the kernel; survives it */
};

/* ------------------------------------------------------------------------------------------ user agents */
enum ua_state { UA_SETUP, UA_ANSWERED, UA_TALKING, UA_OVER, UA_GONE };
enum ua_act {
	ACT_NONE, ACT_RING, ACT_EARLY, ACT_ANSWER, ACT_REJECT, ACT_CANCEL, ACT_BYE, ACT_INVITE, ACT_INFO, ACT_UPDATE, ACT_MESSAGE,
	ACT_OLD_CSEQ, ACT_STRAY, ACT_GONE, ACT_REFRESH, ACT_OVERDUE, ACT_PRACK, ACT_LATE, ACT_REFER, ACT_NOTIFY
};
/* Who ends the talk, and how. */
enum call_ending { END_CALLER, END_CALLEE, END_BOTH, END_CALLER_GONE, END_CALLEE_GONE, END_BOTH_GONE, END_LIMIT };
enum { UA_TXNS = 24, UA_ACTS = 16, UA_TEXT = 256, UA_TAGS = 6, UA_MESSAGE = 8192, CALL_UAS = 10 };
enum { UA_T1_MS = 500, UA_T2_MS = 4000, UA_GIVE_UP_MS = 64 * UA_T1_MS,
       UA_PATIENCE_MS = 3 * UA_GIVE_UP_MS / 2, /* longer than Timer F: between two lossy legs that is bad luck, and shall excuse nothing */
       UA_ABSORB_MS = 50000 /* repeats are recognised for so long */ };

struct ua_txn {
	bool used, client, done;     /* done: final answer known, or ACKed */
	bool answered_once;          /* client: some response came */
	bool cancel_sent;
	bool refresh;                /* client: keeps its session alive */
	bool wrong;                  /* client: a PRACK for nothing, on purpose */
	bool offer;                  /* the request bore a description */
	bool deaf;                   /* server: a re-INVITE that no CANCEL ends; it is answered when nobody waits any more */
	uint8_t method;
	uint16_t status;             /* last response sent or received */
	uint32_t cseq;
	uint64_t resend_ms, wait_ms, end_ms;
	struct addr peer;
	uint64_t branch;             /* hash */
	char *request;
	uint32_t request_bytes;
	char *response;              /* server: last sent; client INVITE: the ACK */
	uint32_t response_bytes;
};

/* RFC 4028 as one end sees it. */
struct ua_session {
	bool supports;               /* says Supported: timer */
	bool updates;                /* lists UPDATE in its Allow */
	bool denies;                 /* and answers it with 405 or 501 all the same */
	bool eager;                  /* hangs up min(32 s, interval/3) before the end (section 10) */
	bool busy;                   /* answers refreshes with 500 now and then */
	bool raised;                 /* what its 422 taught has arrived */
	bool peer_denies;            /* its own UPDATE was answered so */
	bool ours;                   /* it is the refresher */
	char wish_refresher;         /* 'c', 's' or 0 */
	uint32_t wish_s, min_s;      /* its Session-Expires, and the least that it accepts; 0 = none */
	uint32_t interval_s;         /* agreed; 0 = no timer */
	uint64_t confirmed_ms;       /* last 2xx to INVITE or UPDATE; 0 = none */
	uint64_t denied_ms;          /* when it answered UPDATE with 405 or 501 */
};

/* RFC 3262: what a caller heard from one To tag. */
struct heard {
	uint64_t tag;
	uint32_t rseq;
	unsigned described;          /* descriptions in reliable responses */
	uint32_t version;            /* of the last */
	bool waits;                  /* PRACK is still to be sent */
	bool offer;                  /* the response to acknowledge bears an offer */
	bool offer_answered;
	char remote[UA_TEXT], target[UA_TEXT];
};
enum ua_knows { REL_NOT, REL_SUPPORTS, REL_REQUIRES };
struct ua_reliable {
	uint8_t knows;               /* enum ua_knows */
	bool never;                  /* a caller that sends no PRACK */
	bool sloppy;
	/* a gateway's end */
	bool active;                 /* the INVITE said that it may */
	bool open, open_sdp;         /* a response waits for PRACK, with a description */
	bool writing;                /* text_response(): this one is reliable */
	bool offered;                /* one bore the offer of the call */
	uint32_t rseq, last_acked;
	unsigned described;          /* descriptions acknowledged */
	uint64_t resend_ms, wait_ms, end_ms;
	char *bytes;
	uint32_t length;
	struct addr to;
	/* a caller */
	unsigned nheard;
	struct heard heard[UA_TAGS];
};

struct ua {
	struct sim_call *call;
	bool caller;
	uint8_t state;
	bool forked, twin;           /* one end of a fork; the one that does not speak for it */
	bool mute;                   /* takes requests and answers nothing */
	bool never_ack;
	bool referred;               /* was asked to call somebody else: it notifies, after the BYE too */
	bool late_offer;
	bool offered;                /* its INVITE bore an offer */
	bool cancel_wanted, bye_sent;
	uint16_t reject;             /* status to refuse with */
	struct addr addr;
	uint32_t cseq, cseq_remote;  /* last of its own; highest of ours */
	char tag[32], peer_tag[64];
	char call_id[UA_TEXT], local[UA_TEXT], remote[UA_TEXT], target[UA_TEXT];
	struct addr proxy;           /* where its requests go */
	struct ua_session session;
	struct ua_reliable rel;
	uint32_t sdp_version;        /* of its own descriptions */
	uint64_t known_tag;          /* whose description it was told last, */
	uint32_t known_version;      /* and which */
	uint64_t gone_ms;            /* when it fell silent: GONE, or mute for the first time */
	uint64_t wake_ms;
	struct { uint64_t at_ms; uint8_t act; } acts[UA_ACTS];
	struct ua_txn txn[UA_TXNS];
};

/* Why the server may end a call or fail it. */
enum {
	EXCUSE_CANCEL = 1, EXCUSE_BYE = 2, EXCUSE_GONE = 4, EXCUSE_NO_ACK = 8, EXCUSE_ADMIN = 16, EXCUSE_REJECT = 32,
	EXCUSE_SILENT = 64, EXCUSE_MUTE = 128, EXCUSE_FULL = 256, /* the heap ran full: G */
	EXCUSE_NO_PRACK = 512, EXCUSE_BUSY = 1024, /* its refreshes were refused for the moment, or out of luck */
};

/* A transaction as the wire showed it. */
struct seen {
	uint64_t branch, dialog;     /* dialog: of the To tag; 0 = none yet */
	uint32_t cseq;
	uint8_t method;
	bool callee_side, ours;      /* ours: Velador sent the request */
	bool initial;                /* without To tag */
	bool own;                    /* ours, and carries no endpoint's request */
	uint8_t carried;             /* theirs: how often it went on to the other leg */
	bool heard;                  /* ours: a response reached us */
	bool acked;                  /* INVITE: the ACK of its 2xx was sent (ours) or has come (theirs) */
	uint64_t at_ms;              /* ours: sent; theirs: first arrived; 0 = not yet */
	uint16_t final;              /* status of the final response, sent (theirs) or come (ours); 0 = none yet */
};
struct drops {
	uint64_t key;
	unsigned count;
};
enum { SIM_DROPS = 16384 };

struct sim_call {
	struct sim *sim;
	unsigned number;
	bool relay;                  /* a MESSAGE outside calls */
	unsigned excuse;             /* EXCUSE_* */
	uint8_t ending;              /* enum call_ending */
	uint32_t talk_ms;
	uint64_t started_ms;
	uint64_t answer_arrived_ms;  /* when a gateway's 2xx reached us; 0 = none */
	uint32_t taught_s[SIM_GATEWAYS_MAX]; /* by a 422 of a gateway */
	uint64_t over_ms;            /* we sent the first BYE of its dialogs, or one was answered; 0 = not yet */
	uint64_t answered_tag;       /* To tag of the 2xx that the caller was sent; 0 = none */
	bool got_slot;               /* the caller had an answer that only a call gives */
	unsigned records;
	char call_id[UA_TEXT];
	unsigned nuas;
	struct ua *uas[CALL_UAS];    /* [0] the caller */
	unsigned nseen, seen_cap;
	struct seen *seen;
};

/* ------------------------------------------------------------------------------------------ a run */
enum event_kind { EVENT_PACKET, EVENT_UA, EVENT_TURN, EVENT_RESTART, EVENT_CALL, EVENT_ADMIN };
struct event {
	uint64_t at_ms, order;
	enum event_kind kind;
	void *what;
};

struct stats {
	uint64_t refreshes, silent, pracks; /* of ours that came; endpoints that fell silent; PRACKs that came to gateways */
	uint64_t seeds, calls, answered, virtual_ms, refused_full, kills, interruptions, packets, lost, checks, deferred, records;
};

struct sim {
	uint64_t seed;
	bool verbose;
	struct rng rng;              /* the world's */
	struct rng kill_rng;
	struct plan plan;
	uint64_t now_ms, orders;
	struct event *events;
	unsigned nevents, events_cap;
	struct conf *conf;
	struct shm *shm;
	struct route *route;
	struct core_listen listen;
	struct addr caller_addr[SIM_CALLERS], gateway_addr[SIM_GATEWAYS_MAX];
	struct proc procs[SIM_WORKERS_MAX + 3];
	unsigned nprocs;
	struct proc *running;
	unsigned depth;
	uint64_t passes, restarts;   /* of all processes */
	uint64_t kill_at, interrupt_at;
	uint64_t timer_last_ms, watched_ms;
	uint64_t heap_idle_bytes;
	struct sim_call **calls;
	unsigned ncalls;
	char *records;               /* the record file */
	size_t records_bytes, records_cap;
	bool admin;                  /* an operator hangs up now and then */
	struct drops drops[SIM_DROPS]; /* what the network lost lately, by message */
	uint64_t trace;              /* hash of all that was sent: equal runs have equal traces */
	bool failed;
	char why[512];
	struct stats *stats;
};

/* sim.c */
/* Runs one seed. Returns whether every invariant held; why and when stand in s->why. */
bool sim_run(struct sim *s, uint64_t seed, unsigned calls, bool verbose, struct stats *stats);
void sim_at(struct sim *s, uint64_t at_ms, enum event_kind kind, void *what);
struct event sim_next(struct sim *s);
/* The first failure of a run ends it. */
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_say(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* proc.c */
bool proc_open(struct sim *s);
void proc_close(struct sim *s);
void proc_turn(struct sim *s, struct proc *p);
void proc_restart(struct sim *s, struct proc *p);
void proc_plan(struct sim *s, struct proc *p, uint64_t at_ms);
/* A datagram reaches one of our sockets. */
void proc_deliver(struct sim *s, struct packet *packet);
void proc_hangup(struct sim *s);
/* When the timer has to act next. */
uint64_t proc_timer_next(struct sim *s);
bool proc_all_idle(const struct sim *s);

/* world.c */
bool world_open(struct sim *s);
void world_close(struct sim *s);

/* kill.c */
void kill_open(struct sim *s);
void kill_point(struct sim *s, const char *point);
void kill_rearm(struct sim *s);
/* A process that has come back to life and has no board to rebuild may soon die again. */
void kill_mortal(struct proc *p);
void inject_off(void);
/* The steps of one turn, from which it may not come back. Returns false where the process died. */
bool kill_guard(struct sim *s, struct proc *p, void (*turn)(struct sim *, struct proc *));

/* record.c */
void recorder_start(struct sim *s, struct proc *p);
void recorder_turn(struct sim *s, struct proc *p);
void record_check(struct sim *s);

/* network.c */
void network_send(struct sim *s, const struct addr *from, const struct addr *to, const void *bytes, uint32_t length);
void network_arrive(struct sim *s, struct packet *packet);
bool network_is_ours(const struct sim *s, const struct addr *a);

/* call.c */
struct sim_call *call_new(struct sim *s, unsigned number);
void call_free(struct sim_call *c);
void call_start(struct sim_call *c);
/* The call that a message belongs to by the users in From and To; NULL. */
struct sim_call *call_of(struct sim *s, const struct sip_msg *m);
struct sim_call *call_by_id(struct sim *s, struct str call_id);
/* Whether another end of the fork has answered the INVITE with a 2xx. */
bool call_answered_elsewhere(const struct ua *ua, uint64_t branch);
/* A datagram from us to a user agent. */
void call_arrive(struct sim *s, const struct packet *packet);

/* ua.c, ua_in.c */
void ua_arm_all(struct ua *ua);
struct ua_txn *ua_txn_new(struct ua *ua, bool client, enum sip_method method, uint32_t cseq);
char *ua_keep(const char *bytes, uint32_t n);
void ua_send_kept(struct ua *ua, const struct ua_txn *t, const char *bytes, uint32_t n);
void ua_learn_target(struct ua *ua, const struct sip_msg *m);
/* A description that it accepts. */
void ua_learn_sdp(struct ua *ua, const struct sip_msg *m);
struct ua *ua_new(struct sim_call *c, bool caller, const struct addr *addr);
void ua_free(struct ua *ua);
void ua_plan(struct ua *ua, uint64_t after_ms, enum ua_act act);
void ua_unplan(struct ua *ua, enum ua_act act);
void ua_wake(struct ua *ua);
void ua_request(struct ua *ua, struct sip_msg *m, const struct packet *packet);
void ua_response(struct ua *ua, struct sip_msg *m);
struct ua_txn *ua_server(struct ua *ua, uint64_t branch, enum sip_method method);
struct ua_txn *ua_client(struct ua *ua, uint64_t branch, enum sip_method method);
struct ua_txn *ua_open_invite(struct ua *ua, bool client);
struct ua_txn *ua_send_request(struct ua *ua, enum sip_method method, bool offer);
/* The same with lines of its own. */
struct ua_txn *ua_send_with(struct ua *ua, enum sip_method method, bool offer, const char *lines);
/* A request with a CSeq number that was used before. */
void ua_send_old(struct ua *ua);
void ua_cancel(struct ua *ua);
/* The answer to a re-INVITE that it rang for too long. */
void ua_answer_late(struct ua *ua);
void ua_answer(struct ua *ua, struct ua_txn *t, unsigned status, bool sdp);
/* Opens a server transaction. */
struct ua_txn *ua_take(struct ua *ua, const struct sip_msg *m, const struct packet *packet);
void ua_over(struct ua *ua);

/* caller.c, callee.c: what user agents decide */
void caller_script(struct ua *ua);
void caller_refused(struct ua *ua, const struct sip_msg *m);
void caller_answered(struct ua *ua, const struct sip_msg *m);
void callee_script(struct ua *ua, struct sip_msg *m);

/* talk.c: both sides talk; what happens until the end, and whether an end was fair */
void talk_script(struct ua *ua);
void talk_ended(struct ua *ua);
void talk_denied(struct ua *ua, const struct ua_txn *t);
void talk_unanswered(struct ua *ua, const struct ua_txn *t);
/* Whether an end of the call now is anybody's wish, or a limit's. */
bool talk_may_end(const struct ua *ua);
void talk_hang_up(struct ua *ua);
void ua_do(struct ua *ua, enum ua_act act);

/* session.c: RFC 4028, from outside */
void ua_session_draw(struct ua *ua);
void ua_session_put_wish(struct ua *ua, struct out *o);
/* Whether a request that we sent is refused for the sake of its session; then it was answered. */
bool ua_session_refuses(struct ua *ua, struct ua_txn *t, const struct sip_msg *m);
/* The lines of its 2xx; what is agreed begins. */
void ua_session_put_answer(struct ua *ua, const struct sip_msg *request, struct out *o);
/* A 2xx came for its own INVITE or UPDATE. */
void ua_session_agreed(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m);
/* Its INVITE got 422: once more with a larger interval. Returns whether it did. */
bool ua_session_retry(struct ua *ua, const struct sip_msg *m);
/* A refresh of its own was refused. */
void ua_session_refused(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m);
void ua_session_refresh(struct ua *ua);
void ua_session_overdue(struct ua *ua);
/* An INVITE or UPDATE of ours that carries nobody's request. */
void ua_session_asked(struct ua *ua, const struct sip_msg *m, uint64_t sent_ms);
/* The latest time for its call to end, now that it is silent; UINT64_MAX = never. */
uint64_t ua_session_limit_ms(const struct ua *ua);

/* reliable.c: RFC 3262, from outside */
void ua_rel_draw(struct ua *ua);
/* What an INVITE says that a gateway's end must know; true where it was refused. */
bool ua_rel_refuses(struct ua *ua, struct ua_txn *t, const struct sip_msg *m);
/* Sends a provisional response reliably, or plans it again; false: it goes unreliably. */
bool ua_rel_provisional(struct ua *ua, struct ua_txn *t, unsigned status, bool sdp);
/* Whether a 2xx must wait still. */
bool ua_rel_holds(struct ua *ua);
void ua_rel_stop(struct ua *ua);
void ua_rel_wake(struct ua *ua);
void ua_rel_pracked(struct ua *ua, struct ua_txn *t, const struct sip_msg *m);
/* A caller hears a provisional response, sends his PRACKs, gets an answer to one. */
void ua_rel_heard(struct ua *ua, const struct sip_msg *m);
void ua_rel_prack(struct ua *ua);
/* Whether the offer of a dialog was answered by PRACK. */
bool ua_rel_answered_offer(const struct ua *ua, struct str tag);
void ua_rel_answered(struct ua *ua, const struct ua_txn *t, const struct sip_msg *m);
/* What the caller must have heard when his 2xx comes. */
void ua_rel_check_2xx(struct ua *ua, const struct sip_msg *m);
/* Whether the modes of the legs leave no way for this call. */
bool ua_rel_modes_refuse(const struct ua *caller, unsigned status);

/* watch.c */
void watch_check(struct sim *s);
/* Whether a call ends by itself once nobody answers any more. */
bool watch_ends_alone(const struct sim_call *c);

/* text.c */
uint64_t text_hash(struct str s);
/* Whether a body names another call. */
bool text_foreign(const struct sim_call *c, struct str body);
/* The version in the o= line, and the end that wrote it by the s= line; 0 = none. */
uint32_t text_version(struct str body);
uint64_t text_author(struct str body);
uint32_t text_request(struct ua *ua, enum sip_method method, uint32_t cseq, const char *branch, bool sdp, const char *lines, char *buf, size_t cap);
uint32_t text_response(struct ua *ua, const struct ua_txn *t, unsigned status, bool sdp, char *buf, size_t cap);
/* CANCEL or the ACK of a refusal: same branch, URI and CSeq as the request. */
uint32_t text_follow(struct ua *ua, const struct ua_txn *invite, enum sip_method method, struct str to, char *buf, size_t cap);
uint64_t text_branch(const struct sip_msg *m);

/* invariant.c, wire.c */
/* What must hold between any two turns; `deep` walks the whole arena. */
void invariant_check(struct sim *s, bool deep);
/* What must hold when everything is over. */
void invariant_end(struct sim *s);
/* Every datagram that we send, and every one that reaches us. */
void wire_sent(struct sim *s, const struct addr *to, const void *bytes, uint32_t length);
void wire_received(struct sim *s, struct sim_call *c, struct sip_msg *m, const struct addr *from);
void wire_asked(struct sim_call *c, bool callee_side, const struct sip_msg *m);
/* Whether a request of ours carries no endpoint's. */
bool wire_own(const struct ua *ua, uint64_t branch, enum sip_method method);
/* When it was sent first. */
uint64_t wire_sent_ms(const struct ua *ua, uint64_t branch, enum sip_method method);
/* Whether any response to it reached us. */
bool wire_heard(const struct ua *ua, uint64_t branch, enum sip_method method);

#endif
