/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call as it lies in the arena: plain values and handles, no pointers. Private to src/call; what is done with it stands in call.h.
 *
 * A call has two legs, each a dialog of its own (RFC 3261 §12): leg A towards the caller, where we are the UAS of the INVITE, and leg B towards
 * the gateway, where we are the UAC. Its transactions lie beside it.
 *
 * A relayed transaction outside a call (MESSAGE, SUBSCRIBE, …: RFC 3261 §16) is the same object in phase CALL_RELAY: no dialogs, no record. */
#ifndef VELADOR_CALL_STATE_H
#define VELADOR_CALL_STATE_H

#include "shm/shm.h"
#include "sip/sip.h"
#include "txn/txn.h"

enum {
	LEG_A = 0, LEG_B = 1,
	CALL_TXNS = 16,       /* transactions at once in one call; more get 503 or wait */
	CALL_QUEUE = 6,       /* responses that wait behind a reliable one */
	CALL_FORKS = 8,       /* early dialogs (To tags) of one call */
	CALL_TRIED = 8,       /* gateways tried for one call */
	CALL_NO_GATEWAY = 0xffff,
	CALL_USER_MAX = 512,  /* longest user part of a Request-URI that we route by, bytes; longer: 414 */
	CALL_URI_MAX = 3000,  /* longest Request-URI that a call or a relayed request may begin with, bytes; longer: 414 */
	CALL_MESSAGE_MAX = 66000, /* longest message that we write, bytes */
};

enum call_phase {
	CALL_FREE = 0,
	CALL_SETUP,        /* from the INVITE to its final answer */
	CALL_ANSWERED,     /* the 2xx went to the caller, his ACK is awaited */
	CALL_ESTABLISHED,
	CALL_ENDING,       /* somebody hung up or the set-up failed; requests of ours are still open */
	CALL_ENDED,        /* both legs have ended: record due, then only repeats are absorbed */
	CALL_RELAY,        /* no call: a relayed transaction */
};

/* ended_by and reasons of the record; the reasons stand in reason.def, in the contract's words. */
enum call_side { CALL_BY_CALLER, CALL_BY_CALLEE, CALL_BY_SERVER };
enum call_reason {
#define REASON(name, word) CALL_END_##name,
#include "call/reason.def"
#undef REASON
	CALL_END_COUNT
};

enum {
	CALL_BYE_WAITS = 1,     /* BYE to the caller waits for his ACK (RFC 3261 §15) */
	CALL_EARLY_MEDIA = 4,   /* a provisional response bore a description: no failover any more */
	CALL_ALL_503 = 8,       /* every gateway so far refused with 503 */
	CALL_OWN_ID = 16,       /* leg B has a Call-ID of its own */
	CALL_SUBSCRIBED = 32,   /* a REFER or SUBSCRIBE was accepted in the dialog: its NOTIFYs may come after the BYE (RFC 5057 §2.1.2) */
	CALL_A_CAN = 64,        /* the caller's INVITE said 100rel */
	CALL_A_MUST = 128,      /* in Require */
	CALL_OFFERLESS = 256,   /* the caller's INVITE had no description */
	CALL_REL_A = 512,       /* the caller's leg runs RFC 3262 with us */
	CALL_REL_B = 1024,      /* so does the gateway's: 100rel was asked for */
	CALL_REL_THROUGH = 2048,/* passthrough on both: end to end */
	CALL_TELL_A = 8192,     /* the 2xx brought another description: the caller is told after his ACK */
	CALL_SETTLED = 16384,   /* packed without what only a call under way needs */
};

enum {
	REL_USED_A = 1, REL_USED_B = 2, /* a reliable response was sent to the caller, came from the gateway */
	REL_ACK_ANSWERS = 4,    /* the callee's 2xx has an offer that the caller answered in a PRACK */
	REL_TELL_B = 8,         /* the caller's last description is news to the callee: told after the ACK */
};

/* The session timer of one leg (RFC 4028), or its safety net where the leg has none. */
enum { SESSION_US = 1, SESSION_THEM };
enum {
	SESSION_NO_UPDATE = 1, /* answered UPDATE with 405 or 501: re-INVITE from now on */
	SESSION_GRACE = 2,     /* expired; timeout_early_hangup is running */
	SESSION_SPREAD = 4,    /* the timer process was away: one refresh is tried before it expires */
	SESSION_TELL = 8,      /* the leg does not know the description in `sdp` yet: its next refresh is a re-INVITE, and at once */
	SESSION_ASK = 16,      /* and what it answers is told to the other leg */
	SESSION_NEWS = SESSION_TELL | SESSION_ASK,
};
struct session {
	uint32_t interval_ms;   /* 0 = no timer on this leg */
	uint32_t min_se_s;      /* largest Min-SE that a request or a 422 bore; 0 = none */
	uint8_t refresher;      /* SESSION_US or SESSION_THEM, written anew by each 2xx */
	uint8_t flags;          /* SESSION_* */
	uint8_t attempts;       /* refreshes tried since the last confirmation */
	uint8_t pad;
	uint32_t ttl_ms;        /* session.ttl when the interval was agreed: a reload that changes it changes our next wish */
	uint64_t confirmed_ms;  /* last 2xx to INVITE or UPDATE, either way; 0 = none yet */
	uint64_t next_ms;       /* our next refresh or check; SHM_NEVER */
	uint64_t expire_ms;     /* without confirmation until then the session is over; SHM_NEVER */
};

/* One side of the call. Strings of the dialog lie in a block of their own (struct dialog). */
struct leg {
	shm_ref dialog;         /* struct dialog; 0 = none yet */
	shm_ref sdp;            /* the description last agreed that we sent on this leg; 0 = none */
	uint32_t sdp_bytes;
	uint32_t cseq_local;    /* last CSeq number that we used on this leg */
	uint32_t cseq_remote;   /* highest of its own requests; 0 = none yet */
	uint16_t gateway;       /* configured gateway or caller; CALL_NO_GATEWAY */
	uint16_t listen;        /* our listening address on this leg */
	uint32_t allow;         /* methods of its last Allow: bit (1 << enum sip_method); 0 = said nothing */
	struct addr remote;     /* next hop of our requests: from route set and target */
	struct addr source;     /* where its dialog came from: fallback where the target names no IP address */
	struct session session;
};

/* Offers and answers of one early dialog, where the legs differ in what they can carry. */
enum {
	FORK_STALE = 1,         /* of an attempt that failed; a response of the next one with this tag begins anew */
	FORK_GUESSED = 2,       /* no response bore a Contact yet: the target is where it came from */
	FORK_TOLD = 4,          /* the caller acknowledged its description: offer and answer are complete on his leg */
	FORK_AGREED = 8,        /* they are on the gateway's */
	FORK_TELL_A = 16, FORK_TELL_B = 32, /* what a leg does not know yet: it is told after the ACK */
};
enum fork_offer { /* of an INVITE without offer: the gateway's, in a provisional response */
	OFFER_NONE = 0,
	OFFER_RELIABLE,         /* our PRACK waits for the answer in the caller's */
	OFFER_ANSWERED,
	OFFER_UNRELIABLE,       /* the caller gets it reliably; the answer in his PRACK is for our ACK */
	OFFER_KEPT,             /* and lies in `answer` */
};
/* An early dialog of leg B (RFC 3261 §12.1): one To tag. */
struct fork {
	uint64_t tag_hash;
	shm_ref dialog;
	shm_ref sdp;            /* the callee's last description in it; 0 = none */
	shm_ref answer;         /* the caller's last one, where it came otherwise than in his INVITE; 0 = none */
	uint32_t sdp_bytes, answer_bytes;
	uint32_t cseq_remote[2]; /* highest number of the caller's and of the callee's own requests in it; 0 = none yet */
	uint32_t rseq_theirs;   /* last RSeq of the gateway's that counted; 0 = none (RFC 3262 §4) */
	uint32_t rseq_ours;     /* last RSeq that we used towards the caller; 0 = none (§3) */
	uint32_t rseq_held;     /* of the one whose offer waits for its answer */
	uint8_t offer;          /* enum fork_offer */
	uint8_t flags;          /* FORK_* */
	uint16_t pad;
};

/* The reliable provisional response that waits for the caller's PRACK. */
struct reliable {
	uint32_t rseq;          /* 0 = none */
	uint16_t sdp;           /* it bears a description */
	uint16_t late;          /* a final answer went after it: it is sent no more, but its PRACK is good (RFC 3262 §3) */
	uint64_t tag_hash;
};
/* A response of the gateway's that waits its turn behind it, as received. */
struct queued {
	shm_ref message;
	uint32_t bytes;
	uint16_t status;
	uint16_t sdp;
};

/* What lies in the arena behind struct shm_state: this up to `fork`, then nforks forks, nqueued responses, ntxns transactions. A call that is settled lies
 * there for hours, and most calls are: what it does not need is left out. */
struct call {
	uint8_t phase;          /* enum call_phase */
	uint8_t ended_by;       /* enum call_side */
	uint8_t reason;         /* enum call_reason */
	uint8_t nqueued;
	uint8_t ntxns, nforks, ntried;
	uint8_t rel;            /* REL_* */
	uint16_t flags;         /* CALL_* */
	uint16_t next_id;       /* next transaction id */
	uint16_t sip_status;    /* final status to the caller; of the record */
	uint16_t q850;          /* Q.850 cause of a Reason header; 0 = none */
	uint16_t resends;       /* messages sent again, both legs */
	uint16_t refreshes;
	uint16_t tried[CALL_TRIED]; /* gateways, in order */
	uint32_t ringing_after_ms;  /* since setup_ms; 0 = did not happen */
	uint32_t answered_after_ms;
	uint32_t ended_after_ms;
	uint64_t setup_ms;      /* CLOCK_BOOTTIME of the INVITE */
	uint64_t duration_limit_ms;    /* max_call_duration; SHM_NEVER */
	uint64_t uri_hash;      /* of Request-URI and CSeq of the INVITE, for the loop check */
	uint64_t callee_tag;    /* hash of the To tag of the dialog that answered; 0 = none yet */
	struct leg leg[2];
	/* from here to `fork` absent where CALL_SETTLED */
	uint64_t setup_limit_ms;/* setup_early_hangup; SHM_NEVER */
	uint64_t ring_limit_ms; /* ring_timeout, Timer C: set anew by each 101 to 199; SHM_NEVER */
	uint64_t provisional_limit_ms; /* invite_timeout of the attempt under way; SHM_NEVER */
	uint64_t seed;          /* draws the gateways' order */
	shm_ref invite;         /* the caller's INVITE as received, while a further attempt may need it */
	uint32_t invite_bytes;
	uint32_t held_bytes;
	shm_ref held;           /* an endpoint's re-INVITE that waits for ours on the other leg */
	uint64_t held_limit_ms; /* until then; SHM_NEVER = none */
	shm_ref why;            /* the Reason lines of who ended the call, where a CANCEL or BYE of ours that tells the other has to wait */
	uint32_t why_bytes;
	uint32_t pad;
	struct reliable open;
	struct fork fork[CALL_FORKS];
	struct queued queued[CALL_QUEUE];
	struct txn txn[CALL_TXNS];
};

/* A block of strings: `n` lengths, then the bytes one after the other. Immutable. */
enum dialog_field {
	DIALOG_CALL_ID, DIALOG_LOCAL, DIALOG_REMOTE, /* From or To values as they stand in our requests on this leg */
	DIALOG_TARGET,                               /* remote target URI */
	DIALOG_ROUTES,                               /* route set: URIs in <>, comma-separated, in the order of our Route header */
	DIALOG_DIALED, DIALOG_SENT,                  /* leg A's: user part of the Request-URI as received; as last sent, empty where it is the same */
	DIALOG_FIELDS
};
enum { STRINGS_MAX = 8 };
struct strings {
	uint16_t n[STRINGS_MAX];
	char bytes[];
};
/* Field i of a block of strings; the empty slice where ref is 0. */
struct str strings_get(const struct shm *shm, shm_ref ref, unsigned i);

#endif
