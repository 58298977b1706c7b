/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams that go to the kernel several as one: what arrives is the same, once each, and of one object in its order, whatever is refused in between. */
#include <poll.h>

#include "base/err.h"
#include "t/loopback.h"

enum { OBJECTS = 8, PEERS = 2, ROUNDS = 2000, HEAD = 8, LONGEST = 2000 };

static struct shm *shm;
static struct shm_self *self;
static uint32_t slot[OBJECTS], queued[OBJECTS];
static int ours, peer[PEERS];
static struct addr to[PEERS];

/* Object k wants a datagram sent: its number, which of its datagrams it is, and filling up to `length` bytes. */
static void queue(unsigned k, const struct addr *dest, uint32_t length)
{
	struct shm_step step;
	shm_ref bytes, state;
	void *p, *s;

	if (shm_step_begin(&step, self, slot[k], 0) || shm_step_alloc(&step, length, &bytes, &p) || shm_step_alloc(&step, 300, &state, &s))
		tap_bail("no room in the arena");
	memset(p, 'x', length);
	memcpy(p, (uint32_t[]){ k, ++queued[k] }, HEAD);
	*(struct shm_state *)s = (struct shm_state){ .deadline_ms = 5000, .key = { k + 1, 0 }, .bytes = 200, .flags = SHM_STATE_LIVE, .nsends = 1, .nrefs = 1 };
	*shm_state_sends(s) = (struct shm_send){ .bytes = bytes, .length = length, .to = *dest };
	*shm_state_refs(s) = bytes;
	shm_step_commit(&step, state);
}

static void make_objects(void)
{
	struct shm_step step;
	shm_ref state;
	void *s;

	for (unsigned k = 0; k < OBJECTS; k++) {
		if (shm_step_begin_new(&step, self) || shm_step_alloc(&step, 300, &state, &s))
			tap_bail("no room in the arena");
		slot[k] = step.slot;
		*(struct shm_state *)s = (struct shm_state){ .deadline_ms = 5000, .key = { k + 1, 0 }, .bytes = 200, .flags = SHM_STATE_LIVE };
		shm_step_commit(&step, state);
	}
}

/* What has come to a peer: seen[i] = object and number of the i-th. */
struct seen {
	unsigned n, overtaken, wrong;
	uint32_t last[OBJECTS];
	uint32_t object[256], length[256];
};

static void collect(int fd, struct seen *seen)
{
	char bytes[LONGEST];
	ssize_t n;

	*seen = (struct seen){ .n = 0 };
	while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
		uint32_t head[2];
		memcpy(head, bytes, HEAD);
		if (n < HEAD || head[0] >= OBJECTS || seen->n == 256 || (n > HEAD && bytes[n - 1] != 'x')) {
			seen->wrong++;
			continue;
		}
		seen->overtaken += head[1] <= seen->last[head[0]];
		seen->last[head[0]] = head[1];
		seen->object[seen->n] = head[0];
		seen->length[seen->n++] = (uint32_t)n;
	}
}

static uint64_t count(enum counter which)
{
	return shm_counter(shm, which);
}

static struct udp_sender sender_with(struct udp_sender with)
{
	with.self = self;
	with.fds = &ours;
	with.nlisten = 1;
	with.may_group = udp_can_group(ours);
	return with;
}

static void end(void)
{
	shm_rcu_quiescent(self);
}

static void test_groups(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	uint64_t grouped = count(CNT_datagrams_grouped), out = count(CNT_datagrams_out);
	struct seen seen;

	ok(sender.may_group, "this kernel sends several datagrams as one");
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500);
		queue(k, &to[0], 700);
	}
	is_u64(udp_flush(&sender, NULL), 0, "16 messages of two lengths leave");
	is_u64(shm_outbox_count(self), 0, "the outbox is empty");
	collect(peer[0], &seen);
	is_u64(seen.n, 16, "all come, each by itself");
	ok(seen.length[0] == 500 && seen.length[7] == 500 && seen.length[8] == 700, "those of one length one after another");
	ok(!seen.overtaken && !seen.wrong, "whole, those of one object in their order");
	is_u64(count(CNT_datagrams_grouped) - grouped, 16, "they went in groups");
	is_u64(count(CNT_datagrams_out) - out, 16, "and count as what they are");
	end();
}

/* Object 0 has the longer one first: its shorter one must not go with the others' shorter ones. */
static void test_order(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	struct seen seen;

	queue(1, &to[0], 500);
	queue(0, &to[0], 700);
	for (unsigned k = 2; k < OBJECTS; k++)
		queue(k, &to[0], 500);
	queue(0, &to[0], 500);
	for (unsigned k = 1; k < OBJECTS; k++)
		queue(k, &to[0], 700);
	udp_flush(&sender, NULL);
	collect(peer[0], &seen);
	is_u64(seen.n, 16, "an object whose messages come the other way round");
	is_u64(seen.overtaken, 0, "keeps its order");
	end();
}

static void test_single(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	uint64_t grouped = count(CNT_datagrams_grouped);
	struct seen seen;

	for (unsigned k = 0; k < 3; k++)
		queue(k, &to[0], 600);
	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, &to[0], 1301);
	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, &to[k % PEERS], 100 + k);
	udp_flush(&sender, NULL);
	collect(peer[0], &seen);
	is_u64(seen.n, 3 + OBJECTS + OBJECTS / PEERS, "few, long, and different ones arrive");
	collect(peer[1], &seen);
	is_u64(seen.n, OBJECTS / PEERS, "at the other peer too");
	is_u64(count(CNT_datagrams_grouped) - grouped, 0, "and went singly");
	end();
}

/* More bytes than one datagram of the kernel's may have. */
static void test_many_bytes(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	uint64_t grouped = count(CNT_datagrams_grouped);
	struct seen seen;

	for (unsigned i = 0; i < 64; i++)
		queue(i % OBJECTS, &to[0], 1300);
	is_u64(udp_flush(&sender, NULL), 0, "64 messages of 1300 bytes leave");
	collect(peer[0], &seen);
	is_u64(seen.n, 64, "and come");
	is_u64(seen.overtaken, 0, "in order");
	is_u64(count(CNT_datagrams_grouped) - grouped, 64, "in two groups");
	is_u64(count(CNT_groups_refused), 0, "none of them refused");
	end();
}

struct refusals {
	unsigned n;
	struct addr to;
};

static void on_refused(void *arg, const struct addr *dest, const void *bytes, uint32_t length)
{
	struct refusals *r = arg;

	(void)bytes;
	(void)length;
	r->n++;
	r->to = *dest;
}

/* The kernel takes the first group, then refuses what stands in the outbox among its members: nothing goes twice, nothing is lost. */
static void test_refused_between(void)
{
	struct refusals r = { .n = 0 };
	struct udp_sender sender = sender_with((struct udp_sender){ .refused = on_refused, .arg = &r });
	struct addr nowhere = to[0];
	struct seen seen;

	nowhere.port = 0;
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500);
		if (k % 2)
			queue(k, &nowhere, 300 + k);
		queue(k, &to[1], 700);
	}
	is_u64(udp_flush(&sender, NULL), 0, "messages to port 0 between others");
	is_u64(r.n, 4, "are refused");
	ok(addr_eq(&r.to, &nowhere), "with their address");
	is_u64(shm_outbox_count(self), 0, "the outbox is empty");
	for (unsigned i = 0; i < PEERS; i++) {
		collect(peer[i], &seen);
		is_u64(seen.n, OBJECTS, "peer %u: each of the others comes once", i);
		is_u64(seen.overtaken + seen.wrong, 0, "peer %u: whole, in order", i);
	}
	ok(sender.may_group, "a datagram's refusal is no group's");
	end();
}

/* A successor finds what its predecessor had sent early, and had no time to drop. */
static void test_sent_early(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	struct seen seen;

	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, &to[0], 500);
	for (unsigned i = 0; i < OBJECTS; i += 2)
		shm_outbox_sent_early(self, i);
	is_u64(shm_outbox_count(self), OBJECTS, "what was sent early waits for those in front of it");
	udp_flush(&sender, NULL);
	collect(peer[0], &seen);
	is_u64(seen.n, OBJECTS / 2, "but is not sent again");
	ok(seen.object[0] == 1 && seen.object[3] == 7, "only the others are");
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500);
		shm_outbox_sent_early(self, k);
	}
	is_u64(udp_flush(&sender, NULL), 0, "an outbox of such alone");
	is_u64(shm_outbox_count(self), 0, "is emptied");
	collect(peer[0], &seen);
	is_u64(seen.n, 0, "and nothing sent");
	end();
}

/* A socket that writes no checksums takes no groups, as some tunnels and cards do. */
static void test_refused_group(void)
{
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	uint64_t grouped = count(CNT_datagrams_grouped);
	struct seen seen;
	int yes = 1, no = 0;

	if (setsockopt(ours, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof yes))
		tap_bail("SO_NO_CHECK");
	for (unsigned i = 0; i < 2 * OBJECTS; i++)
		queue(i % OBJECTS, &to[0], i < OBJECTS ? 500 : 700);
	is_u64(udp_flush(&sender, NULL), 0, "a kernel that refuses a group");
	collect(peer[0], &seen);
	is_u64(seen.n, 2 * OBJECTS, "gets its messages singly");
	is_u64(seen.overtaken + seen.wrong, 0, "whole, in order");
	is_u64(count(CNT_groups_refused), 1, "that counts once");
	ok(!sender.may_group, "and is not tried again");
	is_u64(count(CNT_datagrams_grouped) - grouped, 0, "no group left");
	is_u64(count(CNT_send_errors), 4, "and no datagram counts as refused, but for those to port 0 before");
	setsockopt(ours, SOL_SOCKET, SO_NO_CHECK, &no, sizeof no);
	end();
}

/* Whatever stands in the outbox: each once, each object's in order. */
static void test_random(void)
{
	static const uint32_t lengths[] = { 100, 400, 401, 1400 };
	struct udp_sender sender = sender_with((struct udp_sender){ 0 });
	struct addr nowhere = to[0];
	unsigned lost = 0, overtaken = 0, wrong = 0, busy = 0;
	uint64_t random = 1;
	struct seen seen;

	nowhere.port = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned sent[PEERS] = { 0, 0 }, n;
		random = random * 6364136223846793005u + 1442695040888963407u;
		n = 1 + (unsigned)(random >> 33) % 150;
		for (unsigned i = 0; i < n; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			unsigned r = (unsigned)(random >> 40), p = r / OBJECTS % PEERS;
			bool bad = r / 64 % 40 == 0;
			queue(r % OBJECTS, bad ? &nowhere : &to[p], lengths[r / 4096 % 4]);
			sent[p] += !bad;
		}
		busy += udp_flush(&sender, NULL) != 0 || shm_outbox_count(self) != 0;
		for (unsigned p = 0; p < PEERS; p++) {
			collect(peer[p], &seen);
			lost += seen.n != sent[p];
			overtaken += seen.overtaken;
			wrong += seen.wrong;
		}
		end();
	}
	is_u64(lost, 0, "%d rounds of random messages, some of them refused: each comes once", ROUNDS);
	is_u64(overtaken, 0, "none overtakes another of its object");
	is_u64(wrong + busy, 0, "all whole, and the outbox is empty each time");
}

int main(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 16 << 20, .endpoints = 64, .workers_max = 1 };
	struct addr a = free_address("127.0.0.1");

	alarm(60); /* a datagram that is never marked would be sent for ever */
	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	shm_rcu_online(self);
	ours = open_at(&a);
	for (unsigned i = 0; i < PEERS; i++) {
		to[i] = free_address("127.0.0.1");
		peer[i] = open_at(&to[i]);
	}
	make_objects();
	test_groups();
	test_order();
	test_single();
	test_many_bytes();
	test_refused_between();
	test_sent_early();
	test_refused_group();
	test_random();
	shm_self_free(self);
	shm_close(shm, true);
	return tap_done();
}
