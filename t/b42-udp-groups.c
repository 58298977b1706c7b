/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams that go to the kernel several as one: what arrives is the same, once each, and of one object in its order, whatever is refused in between. */
#include "t/udp-groups.h"

enum { ROUNDS = 2000 };

/* One of each object. */
static void queue_all(const struct addr *dest, uint32_t length)
{
	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, dest, length, 0);
}

static uint64_t grouped(void)
{
	return shm_counter(shm, CNT_datagrams_grouped);
}

static uint64_t groups_refused(void)
{
	return shm_counter(shm, CNT_groups_refused);
}

/* All leaves, whole and in order. */
static struct seen flush(struct udp_sender *sender, const char *what)
{
	struct seen seen;

	is_u64(udp_flush(sender, NULL), 0, "%s: they leave", what);
	is_u64(shm_outbox_count(self), 0, "%s: the outbox is empty", what);
	seen = collect();
	is_u64(seen.overtaken + seen.wrong, 0, "%s: each is whole, those of one object in their order", what);
	shm_rcu_quiescent(self);
	return seen;
}

/* ---- groups */
static void test_groups(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = grouped(), out = shm_counter(shm, CNT_datagrams_out);
	struct seen seen;

	ok(sender.may_group, "this kernel sends several datagrams as one");
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500, 0);
		queue(k, &to[0], 700, 0);
	}
	seen = flush(&sender, "two lengths");
	is_u64(seen.n, 16, "all come, each by itself");
	ok(seen.length[0] == 500 && seen.length[7] == 500 && seen.length[8] == 700, "those of one length one after another");
	is_u64(grouped() - before, 16, "they went in groups");
	is_u64(shm_counter(shm, CNT_datagrams_out) - out, 16, "and count as what they are");
}

/* Object 0 has the longer one first: its shorter one must not go with the others' shorter ones. */
static void test_order(void)
{
	struct udp_sender sender = new_sender();

	queue(1, &to[0], 500, 0);
	queue(0, &to[0], 700, 0);
	for (unsigned k = 2; k < OBJECTS; k++)
		queue(k, &to[0], 500, 0);
	queue(0, &to[0], 500, 0);
	for (unsigned k = 1; k < OBJECTS; k++)
		queue(k, &to[0], 700, 0);
	is_u64(flush(&sender, "the other way round").n, 16, "all come");
	queue(1, &to[0], 500, 0);
	queue(0, &to[1], 500, 0);
	for (unsigned k = 2; k < OBJECTS; k++)
		queue(k, &to[0], 500, 0);
	queue(0, &to[0], 500, 0);
	is_u64(flush(&sender, "one object, two destinations").n, 9, "all come");
}

static void test_single(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = grouped();

	for (unsigned k = 0; k < 3; k++)
		queue(k, &to[0], 600, 0);
	queue_all(&to[0], 1301);
	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, &to[k % PEERS], 100 + k, 0);
	for (unsigned k = 0; k < 6; k++)
		queue(k, &to[0], 900, k % 2);
	is_u64(flush(&sender, "few, long, different, from two sockets in turn").n, 3 + OBJECTS + OBJECTS + 6, "all come");
	is_u64(grouped() - before, 0, "and went singly");
	sender.may_group = false;
	queue_all(&to[0], 500);
	is_u64(flush(&sender, "a sender without groups").n, OBJECTS, "all come");
	is_u64(grouped() - before, 0, "and went singly, too");
}

static void test_many(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = grouped();

	for (unsigned i = 0; i < 64; i++)
		queue(i % OBJECTS, &to[0], 1300, 0);
	calls = 0;
	is_u64(flush(&sender, "64 messages of 1300 bytes").n, 64, "all come");
	is_u64(grouped() - before, 64, "in groups");
	is_u64(calls, 1, "by one system call");
	is_u64(groups_refused(), 0, "none refused");
}

/* ---- refusals */
static unsigned refused;
static struct addr refused_to;

static void on_refused(void *arg, const struct addr *dest, const void *bytes, uint32_t length)
{
	(void)arg;
	(void)bytes;
	(void)length;
	refused++;
	refused_to = *dest;
}

/* The kernel takes the first group, then refuses what stands in the outbox among its members: nothing goes twice, nothing is lost. */
static void test_refused_between(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = groups_refused(), errors = shm_counter(shm, CNT_send_errors);
	struct seen seen;

	sender.refused = on_refused;
	refused = 0;
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500, 0);
		queue(k, &nowhere, 300, 0);
		queue(k, &to[1], 700, 0);
	}
	seen = flush(&sender, "eight of one length to port 0 among others");
	is_u64(refused, OBJECTS, "each of the eight is reported");
	ok(addr_eq(&refused_to, &nowhere), "with its address");
	is_u64(shm_counter(shm, CNT_send_errors) - errors, OBJECTS, "and counted");
	ok(seen.at[0] == OBJECTS && seen.at[1] == OBJECTS, "each of the others comes once");
	is_u64(groups_refused() - before, 1, "one group was refused");
	before = grouped();
	queue_all(&to[0], 500);
	flush(&sender, "afterwards");
	is_u64(grouped() - before, OBJECTS, "other destinations get groups as before");
}

static void test_sent_early(void)
{
	struct udp_sender sender = new_sender();
	struct seen seen;

	queue_all(&to[0], 500);
	for (unsigned i = 0; i < OBJECTS; i += 2)
		shm_outbox_sent_early(self, i);
	is_u64(shm_outbox_count(self), OBJECTS, "what was sent early waits for those in front of it");
	seen = flush(&sender, "a predecessor's marks");
	ok(seen.n == OBJECTS / 2 && seen.object[0] == 1 && seen.object[3] == 7, "only those without one are sent");
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500, 0);
		shm_outbox_sent_early(self, k);
	}
	is_u64(flush(&sender, "nothing but marks").n, 0, "nothing is sent");
}

/* Whatever the kernel has against a group, its messages go singly, and further ones to that destination. */
static void test_refused_group(int error)
{
	struct udp_sender sender = new_sender();
	uint64_t before = groups_refused(), was = grouped(), errors = shm_counter(shm, CNT_send_errors);
	struct seen seen;

	refusal = (struct refusal){ .error = error, .groups = true };
	for (unsigned i = 0; i < 2 * OBJECTS; i++)
		queue(i % OBJECTS, &to[0], i < OBJECTS ? 500 : 700, 0);
	seen = flush(&sender, strerror(error));
	is_u64(seen.n, 2 * OBJECTS, "all come");
	is_u64(groups_refused() - before, 1, "one refusal is enough");
	refusal.error = 0;
	queue_all(&to[0], 500);
	flush(&sender, "later ones to it");
	is_u64(grouped() - was, 0, "go singly as well");
	queue_all(&to[1], 500);
	flush(&sender, "those to another");
	is_u64(grouped() - was, OBJECTS, "go as one");
	is_u64(shm_counter(shm, CNT_send_errors) - errors, 0, "no datagram counts as refused");
}

/* The kernel itself: a socket that writes no checksums takes no groups, as some tunnels and cards do. */
static void test_no_checksums(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = groups_refused();
	int yes = 1, no = 0;

	if (setsockopt(ours[0], SOL_SOCKET, SO_NO_CHECK, &yes, sizeof yes))
		tap_bail("SO_NO_CHECK");
	queue_all(&to[0], 500);
	is_u64(flush(&sender, "a way without checksums").n, OBJECTS, "all come");
	is_u64(groups_refused() - before, 1, "the kernel had refused the group");
	setsockopt(ours[0], SOL_SOCKET, SO_NO_CHECK, &no, sizeof no);
}

/* A full queue refuses groups and singles: nothing is lost, and nothing that was taken goes again. */
static void test_full(int error)
{
	struct udp_sender sender = new_sender();
	unsigned blocked = 7;

	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500, 1);
		queue(k, &to[1], 700, 1);
	}
	refusal = (struct refusal){ .error = error, .groups = true, .singles = true, .from = 1 };
	is_u64(udp_flush(&sender, &blocked), 0, "%s behind the first of each call: not in the way", strerror(error));
	is_u64(collect().n, 2 * OBJECTS, "each came once");
	for (unsigned k = 0; k < OBJECTS; k++) {
		queue(k, &to[0], 500, 1);
		queue(k, &to[1], 700, 1);
	}
	refusal.from = 0;
	is_u64(udp_flush(&sender, &blocked), ERR_BUSY, "%s at once: busy", strerror(error));
	is_u64(blocked, 1, "with the listening address");
	is_u64(shm_outbox_count(self), 2 * OBJECTS, "all is kept");
	refusal.error = 0;
	is_u64(flush(&sender, "once there is room").n, 2 * OBJECTS, "all comes");
}

/* More destinations that refuse groups than are remembered: the first is forgotten, all others get groups. */
static void test_too_many(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = groups_refused(), was;
	struct addr far = to[0];

	refusal = (struct refusal){ .error = EINVAL, .groups = true };
	for (unsigned i = 0; i <= UDP_SINGLY; i++) {
		far.port = (uint16_t)(1 + i);
		for (unsigned k = 0; k < 4; k++)
			queue(k, &far, 500, 0);
		udp_flush(&sender, NULL);
		if (sender.nsingly)
			sender.singly[sender.nsingly - 1].until_ms -= UDP_SINGLY - i; /* they came one after the other */
	}
	refusal.error = 0;
	is_u64(groups_refused() - before, UDP_SINGLY + 1, "17 destinations refuse groups");
	is_u64(sender.nsingly, UDP_SINGLY, "16 are remembered");
	was = grouped();
	queue_all(&to[0], 500);
	is_u64(flush(&sender, "an 18th").n, OBJECTS, "gets its messages");
	is_u64(grouped() - was, OBJECTS, "in a group");
	for (unsigned i = 0; i < sender.nsingly; i++)
		sender.singly[i].until_ms = 1;
	queue_all(&to[0], 500);
	flush(&sender, "a minute later");
	is_u64(sender.nsingly, 0, "nothing is remembered");
}

/* RFC 3261 §18.4: of a group to a closed port on this machine the first is reported; after that none is sent in a group, and each is reported. */
static void test_unreachable(const char *ip)
{
	struct udp_sender sender = new_sender();
	struct addr closed = free_address(ip);
	struct pollfd p = { .fd = ours[0], .events = 0 };

	sender.refused = on_refused;
	refused = 0;
	queue_all(&closed, 500);
	udp_flush(&sender, NULL);
	ok(poll(&p, 1, 2000) == 1, "RFC3261-18.4: a group to a closed port: the network says so");
	udp_errors(&sender, ours[0]);
	ok(refused >= 1 && addr_eq(&refused_to, &closed), "RFC3261-18.4: one is reported, with its address");
	refused = 0;
	queue_all(&closed, 500);
	for (unsigned i = 0; i < 10 && refused < OBJECTS; i++) {
		udp_flush(&sender, NULL);
		poll(&p, 1, 1000);
		udp_errors(&sender, ours[0]);
	}
	is_u64(refused, OBJECTS, "RFC3261-18.4: the next ones are reported each");
	while (poll(&p, 1, 0) == 1)
		udp_errors(&sender, ours[0]);
	shm_rcu_quiescent(self);
}

static void test_unknown_address(void)
{
	struct udp_sender sender = new_sender();
	uint64_t before = groups_refused();

	sender.refused = on_refused;
	refused = 0;
	for (unsigned k = 0; k < OBJECTS; k++)
		queue(k, &to[0], 500, 5);
	is_u64(flush(&sender, "a listening address that there is not").n, 0, "nothing comes");
	is_u64(refused, OBJECTS, "each is reported");
	is_u64(groups_refused() - before, 0, "and no group was refused");
}

/* Whatever stands in the outbox, whatever is refused and when: each once, each object's in order. */
static void test_random(void)
{
	static const uint32_t lengths[] = { 100, 400, 401, 1400 };
	static const int errors[] = { 0, EINVAL, ENOBUFS, EPERM };
	struct udp_sender sender = new_sender();
	unsigned lost = 0, overtaken = 0, wrong = 0, busy = 0;
	uint64_t random = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned sent[PEERS] = { 0, 0 }, n;
		struct seen seen;
		random = random * 6364136223846793005u + 1442695040888963407u;
		n = 1 + (unsigned)(random >> 33) % 150;
		refusal = (struct refusal){ .error = errors[(random >> 50) % 4], .groups = true, .from = (unsigned)(random >> 56) % 4 };
		for (unsigned i = 0; i < n; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			unsigned r = (unsigned)(random >> 40), p = r / OBJECTS % PEERS;
			bool bad = r / 64 % 40 == 0;
			queue(r % OBJECTS, bad ? &nowhere : &to[p], lengths[r / 4096 % 4], 0);
			sent[p] += !bad;
		}
		busy += udp_flush(&sender, NULL) != 0 || shm_outbox_count(self) != 0;
		seen = collect();
		lost += seen.n != sent[0] + sent[1] || (!addr_eq(&to[0], &to[1]) && seen.at[0] != sent[0]);
		overtaken += seen.overtaken;
		wrong += seen.wrong;
		if (round % 8 == 0)
			sender = new_sender();
		shm_rcu_quiescent(self);
	}
	refusal.error = 0;
	is_u64(lost, 0, "%d rounds of random messages and refusals: each comes once", ROUNDS);
	is_u64(overtaken, 0, "none overtakes another of its object");
	is_u64(wrong + busy, 0, "all whole, and the outbox is empty each time");
}

int main(void)
{
	alarm(60); /* a datagram that is never marked would be sent for ever */
	open_arena();
	open_sockets(false);
	test_groups();
	test_order();
	test_single();
	test_many();
	test_refused_between();
	test_sent_early();
	test_refused_group(EINVAL);
	test_refused_group(EIO);
	test_refused_group(EMSGSIZE);
	test_refused_group(EPERM);
	test_refused_group(ENOBUFS);
	test_no_checksums();
	test_full(EAGAIN);
	test_full(ENOBUFS);
	test_too_many();
	test_unreachable("127.0.0.1");
	test_unknown_address();
	test_random();
	close(peer);
	open_sockets(true);
	diag("the same with IPv6");
	test_unreachable("::1");
	test_random();
	close_arena();
	return tap_done();
}
