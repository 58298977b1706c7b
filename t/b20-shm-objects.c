/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects of the arena, one process: life cycle, index, board, counts, outbox, blocks (shm/README A to G). */
#include "t/tap.h"

#include "base/err.h"
#include "shm/shm.h"

static struct shm *shm;
static struct shm_self *self;

static void problem(void *arg, const char *text)
{
	(void)arg;
	diag("%s", text);
}

static void is_sound(const char *when)
{
	is_u64(shm_check(shm, true, problem, NULL), 0, "the arena is sound %s", when);
}

struct made {
	shm_ref state, blob;
	struct shm_state *s;
};

/* A state with one blob of 300 bytes and, with `sends`, one send of it. */
static struct made make(struct shm_step *step, uint64_t key, uint64_t deadline_ms, unsigned flags, unsigned gateway, unsigned sends)
{
	struct made m;
	void *blob, *state;

	if (shm_step_alloc(step, 300, &m.blob, &blob) || shm_step_alloc(step, 700, &m.state, &state))
		tap_bail("no room for a state");
	memset(blob, (int)('a' + key % 26), 300);
	m.s = state;
	*m.s = (struct shm_state){
		.jpos = 7, .deadline_ms = deadline_ms, .key = { key, key ? key + (1ull << 40) : 0 }, .bytes = 600,
		.flags = (uint16_t)flags, .gateway = (uint16_t)gateway, .nsends = (uint8_t)sends, .nrefs = 1,
	};
	for (unsigned i = 0; i < sends; i++)
		shm_state_sends(m.s)[i] = (struct shm_send){ .bytes = m.blob, .offset = 10, .length = 20, .listen = 3 };
	shm_state_refs(m.s)[0] = m.blob;
	return m;
}

static void drain(void)
{
	shm_outbox_sent(self, shm_outbox_count(self));
	shm_rcu_quiescent(self);
}

static bool finds(uint64_t key, uint32_t slot)
{
	struct shm_index_iter it;
	uint32_t found;

	shm_index_start(&it, key);
	while (shm_index_next(shm, &it, &found))
		if (found == slot)
			return true;
	return false;
}

static void a_life(void)
{
	struct shm_step step;
	struct made first, second;
	struct shm_out out;
	uint32_t slot, generation, got;

	is_u64(shm_step_begin_new(&step, self), 0, "a free slot is taken");
	ok(!step.old, "it has no state yet");
	slot = step.slot;
	generation = step.generation;
	first = make(&step, 0x1234567800000001, 5000, SHM_STATE_LIVE, 3, 1);
	ok(!shm_peek(shm, slot, 0, NULL), "unpublished: readers see nothing");
	shm_step_commit(&step, first.state);
	ok(shm_peek(shm, slot, generation, &got) == first.s && got == generation, "published: readers see the state");
	ok(!shm_peek(shm, slot, generation + 1, NULL), "another generation misses");
	ok(finds(first.s->key[0], slot) && finds(first.s->key[1], slot), "found under both keys");
	ok(!finds(99, slot), "not under another");
	is_u64(shm_board_deadline(shm, slot), 5000, "the board has its deadline");
	is_u64(shm_board_next(shm), 5000, "and so has the summary");
	is_u64(shm_objects_used(shm), 1, "one object");
	is_u64(shm_objects_live(shm), 1, "one live object");
	is_u64(shm_gateway_calls(shm, 2), 1, "one call at its gateway");
	is_u64(shm_outbox_count(self), 1, "its send waits in the outbox");
	is_u64(shm_outbox_entry(self, 0, &out), 0, "and can be read");
	ok(out.object == slot && !out.sent, "as that object's");
	ok(out.length == 20 && out.listen == 3 && memcmp(out.bytes, (char *)shm_block(shm, first.blob) + 10, 20) == 0, "as it was meant");
	is_u64(shm_outbox_entry(self, 1, &out), ERR_NOTFOUND, "there is no second");
	drain();
	is_sound("after the first state");
	is_u64(shm_step_begin(&step, self, slot, 0), 0, "taken, to be sent again");
	shm_step_resend(&step);

	is_u64(shm_step_begin(&step, self, slot, generation + 1), ERR_STALE, "another generation is stale");
	is_u64(shm_step_begin(&step, self, slot, generation), 0, "the object is taken again");
	ok(step.old == first.s, "with its state");
	second = make(&step, 0x1234567800000001, 9000, SHM_STATE_LIVE, 4, 0);
	shm_step_commit(&step, second.state);
	ok(shm_peek(shm, slot, generation, NULL) == second.s, "the new state stands");
	ok(shm_block(shm, first.blob), "the old blob is readable until we are quiescent");
	for (unsigned i = 0; i < 3; i++)
		shm_rcu_quiescent(self);
	shm_rcu_offline(self);
	ok(shm_block(shm, first.blob), "F: nothing is announced while it waits in the outbox");
	drain();
	ok(!shm_block(shm, first.blob) && !shm_block(shm, first.state), "then it is gone");
	is_u64(shm_board_deadline(shm, slot), 9000, "the deadline moved later");
	ok(shm_gateway_calls(shm, 2) == 0 && shm_gateway_calls(shm, 3) == 1, "the call moved to another gateway");
	is_sound("after the second state");

	is_u64(shm_step_begin(&step, self, slot, 0), 0, "taken, any generation");
	shm_step_free(&step);
	ok(!shm_peek(shm, slot, 0, NULL), "freed");
	ok(!finds(0x1234567800000001, slot), "out of the index");
	is_u64(shm_step_begin(&step, self, slot, generation), ERR_STALE, "the old handle is stale");
	is_u64(shm_board_deadline(shm, slot), SHM_NEVER, "off the board");
	ok(shm_objects_used(shm) == 0 && shm_objects_live(shm) == 0 && shm_gateway_calls(shm, 3) == 0, "counted down");
	drain();
	is_sound("after the end");
}

static void aborts_and_resends(void)
{
	struct shm_step step;
	struct made m;
	shm_ref stray;
	void *payload;
	struct shm_out out;
	uint32_t slot;

	if (shm_step_begin_new(&step, self))
		tap_bail("no slot");
	make(&step, 5, 100, SHM_STATE_LIVE, 0, 0);
	shm_step_abort(&step);
	is_u64(shm_objects_used(shm), 0, "an aborted new object is none");
	is_sound("after an abort");
	if (shm_step_begin_new(&step, self))
		tap_bail("no slot");
	slot = step.slot;
	is_u64(shm_step_alloc(&step, 100, &stray, &payload), 0, "a block in vain");
	m = make(&step, 6, 100, SHM_STATE_LIVE | SHM_STATE_RECORD, 0, 1);
	shm_step_commit(&step, m.state);
	drain();
	ok(!shm_block(shm, stray), "what the state does not keep is given back");
	is_u64(shm_step_begin(&step, self, slot, 0), 0, "taken");
	make(&step, 6, 100, SHM_STATE_LIVE, 0, 0);
	shm_step_abort(&step);
	ok(shm_peek(shm, slot, 0, NULL) == m.s, "an abort leaves the state");
	is_u64(shm_step_begin(&step, self, slot, 0), 0, "taken");
	shm_step_resend(&step);
	is_u64(shm_outbox_count(self), 1, "resend queues the sends of the state");
	ok(!shm_outbox_entry(self, 0, &out) && out.object == slot, "as its object's");
	drain();
	is_sound("after a resend");
}

/* Whether a change of slot by `by` would overtake what was to be sent before. */
static bool overtakes(struct shm_self *by, uint32_t slot)
{
	struct shm_step step;
	bool it_would;

	if (shm_step_begin(&step, by, slot, 0))
		tap_bail("the object is held");
	it_would = shm_step_overtakes(&step);
	shm_step_abort(&step);
	return it_would;
}

/* A state with two sends, behind what waits. */
static struct made publish_two(uint32_t slot)
{
	struct shm_step step;
	struct made m;

	if (shm_step_begin(&step, self, slot, 0))
		tap_bail("the object is held");
	m = make(&step, 11, 100, SHM_STATE_LIVE, 0, 2);
	shm_step_commit(&step, m.state);
	return m;
}

static void order(void)
{
	struct shm_step step;
	struct shm_self *other;
	struct mmsghdr *going;
	struct made m;
	uint32_t slot;

	if (shm_self_claim(&other, shm, SHM_WORKER, 1) || shm_step_begin_new(&step, self))
		tap_bail("no second worker");
	slot = step.slot;
	m = make(&step, 11, 100, SHM_STATE_LIVE, 0, 1);
	shm_step_commit(&step, m.state);
	ok(!overtakes(self, slot), "F: who published sends in order");
	ok(overtakes(other, slot), "F: another would overtake what waits in our outbox");
	shm_self_free(self);
	if (shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no successor");
	ok(!overtakes(self, slot) && overtakes(other, slot), "F: so it is after a death, but for the successor");
	m = publish_two(slot);
	going = shm_sending_open(self);
	going[0] = (struct mmsghdr){ .msg_hdr.msg_iovlen = 2 };
	going[1] = (struct mmsghdr){ .msg_hdr.msg_iovlen = 1 };
	for (unsigned i = 0; i < 3; i++)
		shm_sending_add(self, i, i);
	shm_sending_close(self, 2);
	ok(overtakes(other, slot), "F: so it is while it is handed to the kernel");
	going[1].msg_len = 20;
	ok(overtakes(other, slot), "F: and while the kernel has noted one of two");
	going[0].msg_len = 40;
	ok(!overtakes(other, slot), "F: when it has noted both nothing is overtaken");
	shm_sending_open(self);
	ok(overtakes(other, slot), "F: nothing is believed of a batch that is being filled");
	going[0].msg_len = 0;
	shm_sending_close(self, 2);
	ok(overtakes(other, slot), "F: the first of the two has not left");
	shm_outbox_sent_early(self, 1);
	ok(!overtakes(other, slot), "F: one that bears a mark has");
	shm_sending_open(self);
	shm_sending_close(self, 0);
	shm_outbox_sent(self, 2);
	ok(overtakes(other, slot), "F: the second of the two has not left");
	shm_sending_open(self);
	going[0] = (struct mmsghdr){ .msg_hdr.msg_iovlen = 1, .msg_len = 20 };
	shm_sending_add(self, 0, 0);
	shm_sending_close(self, 1);
	ok(!overtakes(other, slot), "F: one that left before, and one that is noted");
	drain();
	ok(!overtakes(other, slot), "F: what was sent is not overtaken");
	shm_rcu_offline(other);
	shm_self_leave(other);
	shm_self_free(other);
	if (shm_step_begin(&step, self, slot, 0))
		tap_bail("the object is held");
	shm_step_free(&step);
	drain();
	is_sound("after that");
}

static void records(void)
{
	struct shm_self *recorder;
	struct shm_record_file file = { .offset = 10, .device = 1, .inode = 2 };
	struct shm_step step;
	uint32_t slot, generation;

	if (shm_self_claim(&recorder, shm, SHM_RECORDER, 0))
		tap_bail("no recorder");
	ok(shm_notice_next(recorder, 0, &slot, &generation), "the recorder was noticed");
	ok(!shm_notice_next(recorder, 0, &slot, &generation), "once");
	ok(!shm_recorded(shm, slot, generation), "not recorded yet");
	shm_record_open(recorder, &file);
	shm_record_commit(recorder, 300, &slot, &generation, 1);
	shm_record_begin(recorder, &file);
	ok(file.offset == 300 && file.device == 1 && file.inode == 2, "the file's position moved");
	ok(shm_recorded(shm, slot, generation), "recorded");
	is_u64(shm_step_begin(&step, self, slot, generation), 0, "taken");
	shm_step_free(&step);
	drain();
	is_u64(shm_objects_used(shm), 0, "a recorded object can be freed");
	shm_self_leave(recorder);
	shm_self_free(recorder);
}

/* A stopped recorder: its ring takes what it has room for, the rest is told so; nothing waits and nothing is overwritten. */
static void full_ring(void)
{
	struct shm_self *recorder;
	uint32_t slot, generation, n = 0;

	for (uint32_t i = 0; i < SHM_RING; i++)
		n += shm_notice_put(self, i, i + 1);
	is_u64(n, SHM_RING, "a ring takes %u notices", (unsigned)SHM_RING);
	ok(!shm_notice_put(self, 1, 1), "and then says that it is full");
	is_u64(shm_counter(shm, CNT_record_ring_full), 1, "which is counted");
	if (shm_self_claim(&recorder, shm, SHM_RECORDER, 0))
		tap_bail("no recorder");
	for (n = 0; shm_notice_next(recorder, 0, &slot, &generation) && slot == n && generation == n + 1;)
		n++;
	is_u64(n, SHM_RING, "all are there, in order");
	ok(shm_notice_put(self, 5, 5) && shm_notice_next(recorder, 0, &slot, &generation) && slot == 5, "then there is room again");
	shm_self_leave(recorder);
	shm_self_free(recorder);
}

static void fills(void)
{
	struct shm_step step;
	unsigned n = 0;
	int err;

	while (!(err = shm_step_begin_new(&step, self))) {
		shm_step_commit(&step, make(&step, 1000 + n * 0x100000001ull, 100 + n, 0, 0, 0).state);
		n++;
	}
	is_u64(err, ERR_FULL, "a full table says so");
	is_u64(n, 128, "when every slot is used");
	is_sound("when full");
	for (uint32_t slot = 0; slot < 128; slot++)
		if (!shm_step_begin(&step, self, slot, 0))
			shm_step_free(&step);
	drain();
	is_u64(shm_objects_used(shm), 0, "and is empty again");
	is_sound("when empty again");
}

static unsigned due_slots[8], due_count;
static void due(void *arg, uint32_t slot, uint64_t deadline_ms)
{
	struct shm_step step;

	(void)arg;
	(void)deadline_ms;
	due_slots[due_count++ % 8] = slot;
	if (!shm_step_begin(&step, self, slot, 0))
		shm_step_commit(&step, make(&step, 0, 1000, SHM_STATE_LIVE, 0, 0).state);
}

static void deadlines(void)
{
	struct shm_step step;
	uint32_t slots[3];

	for (unsigned i = 0; i < 3; i++) {
		if (shm_step_begin_new(&step, self))
			tap_bail("no slot");
		slots[i] = step.slot;
		shm_step_commit(&step, make(&step, 0, 100 * (i + 1), SHM_STATE_LIVE, 0, 0).state);
	}
	is_u64(shm_board_scan(self, 99, due, NULL), 0, "nothing is due before its time");
	is_u64(shm_board_scan(self, 100, due, NULL), 1, "one is due at its time");
	is_u64(due_slots[0], slots[0], "the right one");
	is_u64(shm_board_next(shm), 200, "the next one is known");
	is_u64(shm_board_scan(self, 300, due, NULL), 2, "two are due");
	is_u64(shm_board_next(shm), 1000, "all were put off");
	shm_board_rebuild(self);
	is_u64(shm_board_next(shm), 1000, "a rebuild changes nothing");
	for (unsigned i = 0; i < 3; i++)
		if (!shm_step_begin(&step, self, slots[i], 0))
			shm_step_free(&step);
	drain();
	is_sound("after deadlines");
}

int main(void)
{
	struct shm_params params = { .slots = 128, .heap_bytes = 32 << 20, .workers_max = 2 };

	is_u64(shm_create(&shm, NULL, &(struct shm_params){ .slots = 1, .workers_max = 1 }), ERR_RANGE, "too few slots");
	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	is_u64(shm_self_claim(&self, shm, SHM_WORKER, 2), ERR_RANGE, "no such process slot");
	is_sound("when new");
	a_life();
	aborts_and_resends();
	order();
	records();
	full_ring();
	fills();
	deadlines();
	shm_self_leave(self);
	shm_self_free(self);
	shm_close(shm, true);
	return tap_done();
}
