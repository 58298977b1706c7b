/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The working copy of a call that a change is made on, and the verbs of its life. Private to src/call.
 *
 * Every datagram, every due deadline is one `struct work`: the published state (state.h) is copied out, changed at leisure, packed into one new block and
 * published by one store (rule C). Whoever dies in between leaves the old state. */
#ifndef VELADOR_CALL_CALL_H
#define VELADOR_CALL_CALL_H

#include "call/core.h"
#include "call/state.h"

/* ------------------------------------------------------------------------------------------ a change under way */
struct work {
	struct core *core;
	struct shm_step step;
	const struct shm_datagram *datagram; /* NULL: a deadline */
	bool full;                           /* an allocation failed: abort, answer 503 */
	uint64_t jpos;
	uint64_t key[2];                     /* of a new call: call_key() of both Call-IDs; 0 = no second */
	uint64_t server;                     /* server_key() of the request in work; set where there is one */
	uint8_t nsends;
	struct shm_send send[SHM_SENDS_MAX];
	struct call call;
};

/* Takes an object and copies its state out. Returns 0, ERR_BUSY, ERR_STALE, or ERR_EXISTS: the datagram was handled before a death, only its
 * sends were queued again (rule F); nothing is held then. work_begin_new: a fresh call, ERR_FULL. */
int work_begin(struct work *w, struct core *core, const struct shm_datagram *d, uint32_t slot, uint32_t generation);
int work_begin_new(struct work *w, struct core *core, const struct shm_datagram *d, uint64_t key);
/* Packs and publishes, or frees the object where nothing is left to wait for. Returns 0 or ERR_FULL (then nothing happened). */
int work_commit(struct work *w);
void work_abort(struct work *w);

/* Copies bytes into a new block. 0 and w->full where there is no room. */
shm_ref work_keep(struct work *w, const void *bytes, size_t n);
shm_ref work_strings(struct work *w, const struct str *s, unsigned count);
/* Queues a kept message for sending. */
void work_send(struct work *w, shm_ref bytes, uint32_t length, uint16_t listen, const struct addr *to);

/* ------------------------------------------------------------------------------------------ handles in branches and Contacts (handle.c) */
/* Each carries slot, generation, a small number and a keyed check, so that its owner is found without a look-up and a forged one is refused. */
struct handle {
	uint32_t slot, generation;
	uint32_t number;      /* branch: transaction id; Contact: the leg it was given to */
};
enum { HANDLE_TEXT = 36 };
/* "z9hG4bK…" and the user part of our Contact. */
void handle_branch(struct out *o, const struct core *core, const struct handle *h);
void handle_contact(struct out *o, const struct core *core, const struct handle *h);
/* Returns 0; ERR_NOTFOUND (not ours by its form); ERR_DENIED (ours by its form, wrong check). */
int handle_of_branch(struct handle *h, const struct core *core, struct str branch);
int handle_of_contact(struct handle *h, const struct core *core, struct str user);
/* The slot that a text beginning with a branch or a contact of ours names, unchecked; UINT32_MAX: it is none by its form. For guesses (ahead.c). */
uint32_t handle_slot_of_branch(struct str text);
uint32_t handle_slot_of_contact(struct str text);

/* ------------------------------------------------------------------------------------------ transactions of a call (txns.c) */
struct txn *call_txn_by_id(struct call *c, uint16_t id);
/* The caller's first INVITE; NULL once it absorbs nothing any more. */
struct txn *call_invite(struct call *c);
/* A number for a transaction or an ACK's branch; never 0. */
uint16_t call_next_id(struct call *c);
/* A new transaction; NULL where CALL_TXNS are open. machine by role and method. */
struct txn *call_txn_new(struct work *w, bool client, enum sip_method method, unsigned leg);
/* The Via line of a request of ours. */
void txn_put_via(struct out *o, const struct work *w, const struct txn *t);
/* "Contact: <…>" with our address on a leg. */
void leg_put_contact(const struct work *w, unsigned leg, struct out *lines);
/* A request of ours once more, as transaction t: another branch and number, and our session wish. */
int rewrite_again(struct work *w, const struct sip_msg *sent, struct txn *t, char *buf, size_t cap, size_t *n);
/* Makes sure that n more fit; those that only absorb repeats give way. Pointers to transactions are not valid afterwards. */
bool call_room(struct work *w, unsigned n);
/* An event that no row lists: counted, and remembered for the log. */
void call_unlisted(struct core *core, const struct txn *t, enum txn_event ev);
/* Drops the terminated ones, and those that have absorbed repeats for long enough: a call that is refreshed more often than they last would gather them. */
void call_txns_sweep(struct call *c, uint64_t now_ms);
/* T1 towards an address on a leg: configured, or as measured. */
uint16_t leg_t1_ms(const struct work *w, unsigned leg, const struct addr *remote);
/* The parameters a leg obeys: its gateway's, or the global ones. */
const struct params *call_params(const struct core *core, const struct call *c, unsigned leg);
const struct params *leg_params(const struct work *w, unsigned leg);
/* A limit of the whole call (0 = none), where both gateways have a say: one that overrides the global value wins; of two that do, the shorter. */
uint32_t call_limit_ms(uint32_t global_ms, uint32_t caller_ms, uint32_t callee_ms);
#define CALL_LIMIT_MS(w, field) call_limit_ms((w)->core->params->field, leg_params(w, LEG_A)->field, leg_params(w, LEG_B)->field)

/* Creates a server transaction for the request in work: head of its responses, key, where they go. NULL: no room. */
struct txn *server_open(struct work *w, const struct sip_msg *m, unsigned leg);
/* What a request is hashed to, once: its transaction's key (server_key()), and its call's as the index has it (call_key()). */
struct request_keys {
	uint64_t server, call;
};
/* The server transaction that a request (or its CANCEL, ACK) belongs to by RFC 3261 §17.2.3; NULL. */
uint64_t server_key(const struct core *core, const struct sip_msg *m);
struct txn *server_find(struct call *c, uint64_t key, enum sip_method method);
/* Sends a response made here. lines: more header lines or empty. Applies the machine. */
void server_answer(struct work *w, struct txn *s, unsigned status, struct str reason, struct str lines);
/* Sends the 100 that lies ready. */
void server_trying(struct work *w, struct txn *s);
/* Sends the bytes of a response made elsewhere. */
void server_send(struct work *w, struct txn *s, unsigned status, const char *bytes, size_t n);
/* The same with a body; type: the Content-Type line. */
void server_answer_body(struct work *w, struct txn *s, unsigned status, struct str lines, struct str type, struct str body);
/* A repeated request came. */
void server_repeat(struct work *w, struct txn *s);
/* "Reason: SIP;cause=…;text=…" lines of RFC 3326 for a reason of ours. */
struct str reason_line(enum call_reason r);

/* Starts a client transaction with the given bytes: keeps them, sends them, arms. */
void client_start(struct work *w, struct txn *t, const char *bytes, size_t n, const struct addr *to, uint16_t listen);
/* A response came for it; returns what the machine says. Measures T1. */
enum txn_action client_response(struct work *w, struct txn *t, unsigned status);
/* Keeps and sends the ACK to a refusal (RFC 3261 §17.1.1.3). to_value: To of the response. */
void client_ack_refusal(struct work *w, struct txn *t, struct str to_value);
/* Sends the kept ACK again. */
void client_ack_again(struct work *w, struct txn *t);
/* Wants it cancelled: now, or when a provisional response comes (RFC 3261 §9.1). lines: Reason; empty: the call's own. */
void client_cancel(struct work *w, struct txn *t, struct str lines);
/* Timer C of a re-INVITE has fired: it is canceled, and its final answer awaited (RFC 3261 §16.8). Returns whether that was it. */
bool client_timer_c(struct work *w, struct txn *t);
/* Gives an attempt up that nobody answers: no more resends; a late 2xx is ACKed and hung up, a late provisional canceled. */
void client_abandon(struct txn *t);

/* ------------------------------------------------------------------------------------------ rewriting for a leg (rewrite.c) */
/* Our edits of a request that crosses to leg `to` as transaction t (RFC 3261 §8.1.1, §12.2.1.1). Writes into buf. Returns 0 or ERR_SPACE. */
int rewrite_request(struct work *w, const struct sip_msg *m, unsigned to, struct txn *t, char *buf, size_t cap, size_t *n);
/* Our edits of a response to client transaction c that goes out on server transaction s. status 0 = the response's own. */
int rewrite_response(struct work *w, const struct sip_msg *m, const struct txn *s, unsigned status, char *buf, size_t cap, size_t *n);
/* A response outside calls: only its Vias are ours (RFC 3261 §16.7). */
int rewrite_relayed(struct work *w, const struct sip_msg *m, const struct txn *s, char *buf, size_t cap, size_t *n);
/* What a rewritten response gets beside: more lines, another body (empty: none). */
struct reshape {
	struct str lines;
	bool set_body;
	struct str body, type;
};
int rewrite_response_as(struct work *w, const struct sip_msg *m, const struct txn *s, unsigned status, const struct reshape *shape, char *buf, size_t cap, size_t *n);
/* The INVITE of an attempt at a gateway. */
int rewrite_invite(struct work *w, const struct sip_msg *m, const struct route_gateway *gw, struct txn *t, char *buf, size_t cap, size_t *n);
/* A request of our own within a leg's dialog; lines: more header lines; body may be empty. */
int make_request(struct work *w, enum sip_method method, unsigned leg, const struct txn *t, struct str lines, struct str type, struct str body, char *buf, size_t cap, size_t *n);

/* ------------------------------------------------------------------------------------------ dialogs (dialog.c) */
/* Leg A's dialog from the INVITE (RFC 3261 §12.1.1), leg B's from a response (§12.1.2). */
shm_ref dialog_of_invite(struct work *w, const struct sip_msg *invite, struct str dialed);
shm_ref dialog_of_response(struct work *w, const struct sip_msg *response);
/* Same dialog, another target (RFC 3261 §12.2.1.2), another To, another number sent. */
shm_ref dialog_retarget(struct work *w, shm_ref dialog, struct str target);
shm_ref dialog_with_local(struct work *w, shm_ref dialog, struct str local);
shm_ref dialog_with_sent(struct work *w, shm_ref dialog, struct str sent);
/* The next hop of a dialog's requests: first route or target (RFC 3261 §8.1.2, §12.2.1.1). fallback where that names no address of its family, or a multicast one. */
void dialog_next_hop(struct work *w, shm_ref dialog, const struct addr *fallback, struct addr *to);
/* Remembers what a message from a leg says of its abilities (Allow). */
void leg_learn(struct leg *leg, const struct sip_msg *m);
/* Early dialogs of leg B: finds or makes the one of a To tag; NULL where there are too many. */
struct fork *fork_of(struct work *w, const struct sip_msg *response);
void forks_drop(struct call *c);
/* How many belong to the attempt under way. */
unsigned forks_alive(const struct call *c);
/* Another INVITE goes out: RSeq and offers begin anew in every dialog (RFC 3262 §3). */
void forks_renew(struct call *c);
struct fork *fork_find(struct call *c, uint64_t hash);
/* The same by the To tag itself. */
struct fork *fork_by_tag(struct work *w, struct str tag);
/* What the index finds a call by: Call-ID and From tag of its INVITE; never 0. */
uint64_t call_key(const struct core *core, struct str call_id, struct str from_tag);
/* A tag as we compare it; never 0. */
uint64_t tag_hash(const struct core *core, struct str tag);

/* ------------------------------------------------------------------------------------------ the parts of a call's life */
/* setup.c: the first INVITE, the attempts at gateways. */
int setup_invite(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct request_keys *keys);
/* An INVITE to a gateway was sent as t: how long its first answer is waited for (session.invite_timeout). */
void setup_await(struct work *w, const struct txn *t);
void setup_next_gateway(struct work *w, const struct sip_msg *invite, unsigned failed_status, const struct sip_msg *failed);
void setup_refuse(struct work *w, unsigned status, enum call_side by, enum call_reason why, const struct sip_msg *response, struct str lines);
enum call_reason reason_of_status(unsigned status);
uint64_t invite_uri_hash(const struct core *core, const struct sip_msg *m);
/* Whether a request may be taken on (scheme, Max-Forwards, Proxy-Require; RFC 3261 §16.3); answers where not. */
bool admit(struct core *core, const struct shm_datagram *d, const struct sip_msg *m);

/* invite.c: responses to an INVITE or re-INVITE, and the ACK. */
void invite_response(struct work *w, struct txn *c, const struct sip_msg *m);
void invite_failed(struct work *w, struct txn *c, unsigned status);
void invite_ack(struct work *w, struct txn *s, const struct sip_msg *m);
void invite_no_ack(struct work *w, struct txn *s);
void invite_canceled(struct work *w, struct txn *s, const struct sip_msg *cancel);
/* ACKs a 2xx ourselves where the other side's ACK will not come; an offer in it is refused by an answer with all ports 0. */
void invite_ack_ourselves(struct work *w, struct txn *c);
/* An ACK of our own for a 2xx to client transaction c, kept for its repeats. sdp: of the 2xx; where it is an offer, it is refused. */
void invite_ack_own(struct work *w, struct txn *c, struct str sdp);
/* Remembers the description of a message that went to a leg as the one agreed there; nothing where it has none. */
void leg_keep_sdp(struct work *w, unsigned leg, const struct sip_msg *m);
void leg_keep(struct work *w, unsigned leg, struct str sdp);
/* That description; empty where none is known. */
struct str leg_sdp(const struct work *w, unsigned leg);
/* The same of a request that we sent, once it is accepted. request: the bytes sent. */
void leg_keep_offer(struct work *w, const struct txn *c, shm_ref request, uint32_t bytes);
/* The status with which a response passes to the other leg: a 422 that the leg could not settle means nothing there (RFC 4028 §7.3). */
unsigned relayed_status(const struct sip_msg *m);
/* Where requests on a leg go: of several early dialogs, the transaction's. */
void leg_next_hop(struct work *w, unsigned leg, const struct txn *t, struct addr *to);
/* Where we begin to count on a leg: with the peer's own number, unless it leaves too little room below 2^31 (RFC 3261 §8.1.1.5). */
uint32_t cseq_first(uint32_t theirs);
/* The next CSeq number on a leg; `theirs` starts the count where nothing was sent yet. */
uint32_t leg_cseq(struct leg *leg, uint32_t theirs);
/* A leg's target by the Contact of a message (RFC 3261 §12.2.1.2); 0 where it has none. */
shm_ref leg_refreshed(struct work *w, unsigned leg, const struct sip_msg *m);
void leg_set_dialog(struct work *w, unsigned leg, shm_ref dialog);
/* The same for the dialog that a transaction belongs to, which may be an early one: what its target would be, and that it is now. */
shm_ref txn_refreshed(struct work *w, const struct txn *t, const struct sip_msg *m);
void txn_set_target(struct work *w, const struct txn *t, shm_ref refreshed);

/* indialog.c: other requests within the call, both ways. */
void indialog_request(struct work *w, const struct sip_msg *m, unsigned leg);
void indialog_relay(struct work *w, const struct sip_msg *m, unsigned leg);
/* Lets a held re-INVITE go on, or refuses it with 491 when its time is over. */
void indialog_release(struct work *w, bool refuse);
void indialog_response(struct work *w, struct txn *c, const struct sip_msg *m);
void indialog_failed(struct work *w, struct txn *c);

/* session.c: RFC 4028 on each leg: what is asked, answered, agreed, and when the next refresh is due. */
/* Requests that may ask for one, and their answers; in others the headers mean nothing (RFC 4028 §7.1). */
static inline bool session_borne(enum sip_method m)
{
	return m == SIP_INVITE || m == SIP_UPDATE;
}
/* What a request asks for, or what its answer says. */
void session_read(struct session_wish *wish, const struct sip_msg *m);
/* Whether a wish is under our Min-SE; then the lines of the 422 are written (RFC 4028 §9). */
bool session_too_small(const struct params *p, const struct session_wish *wish, struct out *lines);
/* Takes the leg's own headers off a message. */
void session_strip(struct sip_edit *e);
/* Our wish for a request that goes out on a leg as transaction c, and its lines. */
void session_ask(struct work *w, struct txn *c, struct out *lines);
/* The lines of our 2xx to server transaction s; the leg's session is set accordingly and confirmed (RFC 4028 §9). */
void session_answer(struct work *w, const struct txn *s, struct out *lines);
/* A 2xx to client transaction c sets the leg's session and confirms it (RFC 4028 §7.2). */
void session_agreed(struct work *w, const struct txn *c, const struct sip_msg *m);
/* The leg has shown that it lives: the timer starts anew. */
void session_confirm(struct work *w, unsigned leg);
/* A refresh found no answer or a passing failure: when the next is due. after_ms: not before that; 0 = by the schedule. */
void session_again(struct work *w, unsigned leg, uint64_t after_ms);
/* Consumes a 422 on the leg: the request goes out once more with a larger interval. request: the bytes sent. Returns whether it did. */
bool session_retry(struct work *w, struct txn *c, shm_ref request, uint32_t bytes, const struct sip_msg *m);
/* Acts on what is due on the legs; part of core_timer. */
void session_due(struct work *w);
uint64_t session_deadline(const struct call *c);

/* reliable_modes.c: which leg runs RFC 3262. */
/* What the caller's leg cannot satisfy: the status to refuse with and its lines; 0 = go on. */
unsigned reliable_refusal(const struct params *p, const struct sip_msg *m, struct out *lines);
void reliable_begin(struct work *w, const struct sip_msg *m);
bool reliable_attempt(struct work *w, const struct params *gateway);
/* Why a gateway that refused cannot be had with this caller: a Warning line; empty where it is not for 100rel. */
struct str reliable_unfit(const struct call *c, const struct sip_msg *m);
void reliable_ask(const struct work *w, struct out *lines);
void reliable_strip(const struct work *w, struct sip_edit *e, unsigned to, struct out *lines);

/* reliable.c: RFC 3262 on each leg. */
/* Whether a response is reliable, and its RSeq. */
bool reliable_came(const struct sip_msg *m, uint32_t *rseq);
/* One came for INVITE c, in early dialog f (NULL: it found no place): acknowledged where it is new and in order. Returns whether it goes on. */
bool reliable_accept(struct work *w, struct txn *c, struct fork *f, const struct sip_msg *m, uint32_t rseq);
void reliable_reinvite(struct work *w, struct txn *c, const struct sip_msg *m); /* we did not offer it; some are reliable all the same */
/* A provisional response to the caller: reliably where his leg runs RFC 3262, in its turn. */
void reliable_send(struct work *w, struct txn *s, struct fork *f, const struct sip_msg *m);
/* What waits goes on: after a PRACK, or after the offer in one was answered. */
void reliable_advance(struct work *w);
/* Whether a 2xx must wait; then it is queued. */
bool reliable_holds(struct work *w, const struct sip_msg *m);
bool reliable_has_2xx(const struct call *c);
void reliable_close(struct work *w);
/* The set-up is over: a 2xx that waited is ACKed and hung up. */
void reliable_drop(struct work *w);
void reliable_timeout(struct work *w, struct txn *s);
void reliable_prack(struct work *w, const struct sip_msg *m, unsigned leg);
/* Whether a PRACK is for a response that we sent and that none came for yet. */
bool reliable_awaits(struct work *w, const struct sip_msg *m);

/* offer.c: descriptions that cross between a leg with PRACK and one without (RFC 3262 §5, RFC 3311). */
/* Whether an offer of the caller's in a PRACK is on its way to the gateway, or waits for that: nothing overtakes its answer. */
bool offer_carried(const struct call *c);
/* Keeps the description of a provisional response with its early dialog. */
void offer_note(struct work *w, struct fork *f, const struct sip_msg *m, bool reliable);
/* The caller's second offer, in PRACK request p: by UPDATE, once no PRACK of ours is open any more, or answered from what is known. */
void offer_in_prack(struct work *w, const struct sip_msg *m, struct txn *p, struct fork *f);
/* A PRACK of ours came to an end: what waited for it goes on. */
void offer_release(struct work *w);
/* The UPDATE for it came to an end; m NULL: without answer. */
void offer_answered(struct work *w, struct txn *c, const struct sip_msg *m);
/* An UPDATE in an early dialog that the other leg cannot take: answered here. Returns whether it was. */
bool offer_in_update(struct work *w, const struct sip_msg *m, struct txn *s);
/* How the description of the 2xx must change for the caller's leg; f: the early dialog that it answers, or NULL. */
void offer_shape_2xx(struct work *w, struct fork *f, const struct sip_msg *m, struct reshape *shape);
/* After the ACK: tells each leg what it does not know yet. */
void offer_tell(struct work *w);
/* A queued 2xx goes on now; a 2xx that nobody waits for. */
void invite_answer_now(struct work *w, struct txn *c, const struct sip_msg *m);
void invite_stray(struct work *w, struct txn *c, const struct sip_msg *m);

/* sdp.c: the session description in a message's body, which may have other parts beside it; empty where there is none. */
struct str sdp_of(const struct sip_msg *m);
bool has_sdp(const struct sip_msg *m);
/* The same in the bytes of a message that we wrote ourselves. */
struct str sdp_of_sent(const char *bytes, size_t n);
/* Whether two descriptions say the same, but for the version in the o= line (its third field). */
bool sdp_same(struct str a, struct str b);
/* RFC 3264 §6: an answer that refuses every stream by port 0. */
struct str sdp_refusal(struct str offer, struct out *o);
/* An answer from the description last known: as many streams as the offer has, refused where `known` has none. */
struct str sdp_answer(struct str offer, struct str known, struct out *o);

/* refresh.c: our own requests within the sessions. */
void refresh_send(struct work *w, unsigned leg);
/* Tells a leg its description in `sdp`, by re-INVITE, as soon as nothing is open. */
void refresh_tell(struct work *w, unsigned leg);
/* The same where the sides have come to disagree: what the leg answers is told to the other one. */
void refresh_ask(struct work *w, unsigned leg);
void refresh_response(struct work *w, struct txn *c, const struct sip_msg *m, bool repeat);
void refresh_failed(struct work *w, struct txn *c);
/* UPDATE where the leg takes it (RFC 3311 §5.1), else INVITE; the question to a leg without timer is an INVITE. */
enum sip_method refresh_method(const struct leg *l);
/* Whether an offer is open or an ACK awaited on either leg: no refresh now. */
bool refresh_must_wait(const struct call *c);

/* ending.c: hanging up. */
void call_bye(struct work *w, unsigned leg, struct str lines);
void call_hangup(struct work *w, enum call_reason why);
void call_ended(struct work *w, enum call_side by, enum call_reason why);
/* A BYE to a call that is ending already. */
void bye_crossed(struct work *w, unsigned leg);
void bye_received(struct work *w, const struct sip_msg *m, unsigned leg);
/* The cause of a Q.850 Reason header (RFC 3326); 0 where there is none. */
uint16_t reason_q850(const struct sip_msg *m);
/* The message's own Reason lines, copied into o. */
void reason_copy(struct out *o, const struct sip_msg *m);
/* Keeps them for what has to wait: a CANCEL for a provisional response, a BYE for an ACK. */
void reason_keep(struct work *w, const struct sip_msg *m);
/* The lines of a request of ours that ends the call: those kept, or our own reason's. */
struct str reason_lines(const struct work *w);

/* relay.c: RFC 3261 §16, outside calls. */
int relay_request(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, const struct request_keys *keys);
void relay_response(struct work *w, struct txn *c, const struct sip_msg *m);
void relay_failed(struct work *w, struct txn *c);

/* stateless.c: answers that belong to no object. */
void stateless_answer(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, unsigned status, struct str reason, struct str lines);
/* 503: no slot, or no room in the arena. */
void stateless_full(struct core *core, const struct shm_datagram *d, const struct sip_msg *m);

static inline bool call_is_live(const struct call *c)
{
	return c->phase >= CALL_SETUP && c->phase <= CALL_ENDING;
}

/* The published call of a slot, unpacked into *c; ERR_STALE. For views. */
int call_load(const struct shm *shm, uint32_t slot, uint32_t generation, struct call *c, uint32_t *generation_out);

#endif
