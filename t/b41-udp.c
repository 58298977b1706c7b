/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP sockets over a real arena: batches in and out, and what the network refuses is reported with its bytes and holds up nothing else. */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "net/udp.h"
#include "t/loopback.h"

struct refusals {
	unsigned n;
	struct addr to;
	char bytes[64];
	uint32_t length;
};

static void on_refused(void *arg, const struct addr *to, const void *bytes, uint32_t length)
{
	struct refusals *r = arg;

	r->n++;
	r->to = *to;
	r->length = length;
	memcpy(r->bytes, bytes, length < sizeof r->bytes ? length : sizeof r->bytes);
}

static unsigned receive(int fd, struct shm_self *self)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned n = 0;

	if (poll(&p, 1, 2000) == 1)
		udp_receive(&n, fd, self, 0, 0);
	return n;
}

static void test_batches(struct shm_self *self, const char *ip)
{
	struct addr ours = free_address(ip);
	int fd = open_at(&ours);
	struct udp_sender sender = { .self = self, .fds = &fd, .nlisten = 1 };
	struct shm_datagram d;
	unsigned n, got = 0, wrong = 0;

	for (unsigned i = 0; i < 100; i++)
		shm_outbox_put(self, 0, &ours, &i, sizeof i);
	is_u64(udp_flush(&sender, NULL), 0, "%s: 100 datagrams leave", ip);
	is_u64(shm_outbox_count(self), 0, "%s: the outbox is empty", ip);
	while (got < 100 && (n = receive(fd, self)) > 0) {
		for (unsigned i = 0; i < n; i++, got++) {
			wrong += shm_journal_entry(self, i, &d) || d.length != sizeof got || memcmp(d.bytes, &got, sizeof got) || !addr_eq(&d.from, &ours);
			shm_journal_done(self, i);
		}
		shm_rcu_quiescent(self);
	}
	is_u64(got, 100, "%s: and come, batch by batch", ip);
	is_u64(wrong, 0, "%s: in order, whole, with their source", ip);
	close(fd);
}

/* An answer of the network to one datagram is no reason to lose another. */
static void test_unreachable(struct shm_self *self, const char *ip)
{
	struct addr ours = free_address(ip), good = free_address(ip), closed = free_address(ip);
	int fd = open_at(&ours), peer = open_at(&good);
	struct refusals r = { .n = 0 };
	struct udp_sender sender = { .self = self, .fds = &fd, .nlisten = 1, .refused = on_refused, .arg = &r };
	struct pollfd p = { .fd = fd, .events = 0 };
	unsigned n;

	shm_outbox_put(self, 0, &closed, "to nobody", 9);
	udp_flush(&sender, NULL);
	ok(poll(&p, 1, 2000) == 1 && (p.revents & POLLERR), "%s: the kernel says that something was refused", ip);
	shm_outbox_put(self, 0, &good, "one", 3);
	shm_outbox_put(self, 0, &good, "two", 3);
	is_u64(udp_flush(&sender, NULL), 0, "RFC3261-18.4: %s: a pending error stops nothing", ip);
	is_u64(r.n, 1, "RFC3261-18.4: %s: an unreachable port is reported", ip);
	ok(addr_eq(&r.to, &closed) && r.length == 9 && memcmp(r.bytes, "to nobody", 9) == 0, "%s: with address and bytes", ip);
	n = receive(peer, self);
	n += n == 1 ? receive(peer, self) : 0;
	is_u64(n, 2, "%s: the others arrive", ip);
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++) {
		struct shm_datagram d;
		if (shm_journal_entry(self, i, &d) == 0)
			shm_journal_done(self, i);
	}
	close(fd);
	close(peer);
}

/* Another process, as the timer process does, sends from the same socket to somebody who is not there: its errors come to us, and are no reason to refuse ours. */
static void test_others_errors(struct shm_self *self)
{
	struct addr ours = free_address("127.0.0.1"), good = free_address("127.0.0.1"), closed = free_address("127.0.0.1");
	int fd = open_at(&ours), peer = open_at(&good);
	struct refusals r = { .n = 0 };
	struct udp_sender sender = { .self = self, .fds = &fd, .nlisten = 1, .refused = on_refused, .arg = &r };
	unsigned wrong = 0, errors = 0;
	char byte;
	pid_t pid = fork();

	if (pid == 0) {
		struct sockaddr_storage ss;
		socklen_t length = addr_to_sockaddr(&closed, &ss);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		for (;;)
			(void)!sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, length);
	}
	for (unsigned i = 0; i < 20000 || (errors < 1000 && i < 2000000); i++) {
		r.n = 0;
		shm_outbox_put(self, 0, &good, "y", 1);
		udp_flush(&sender, NULL);
		errors += r.n;
		wrong += r.n && addr_eq(&r.to, &good);
		wrong += shm_outbox_count(self);
		wrong += recv(peer, &byte, 1, MSG_DONTWAIT) != 1;
		shm_rcu_quiescent(self);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(errors >= 1000, "another process's errors come to our socket: %u", errors);
	is_u64(wrong, 0, "and none of ours is refused, or lost, for them");
	close(fd);
	close(peer);
}

/* Refused at once: to port 0, and longer than a datagram can be. */
static void test_refused(struct shm_self *self)
{
	static char huge[65535];
	struct addr ours = free_address("127.0.0.1"), good = free_address("127.0.0.1"), nowhere = ours;
	int fd = open_at(&ours), peer = open_at(&good);
	struct refusals r = { .n = 0 };
	struct udp_sender sender = { .self = self, .fds = &fd, .nlisten = 1, .refused = on_refused, .arg = &r };
	struct shm_datagram d;

	nowhere.port = 0;
	shm_outbox_put(self, 0, &nowhere, "to port 0", 9);
	shm_outbox_put(self, 0, &good, huge, sizeof huge);
	shm_outbox_put(self, 0, &good, "three", 5);
	is_u64(udp_flush(&sender, NULL), 0, "what the kernel refuses is dropped");
	is_u64(r.n, 2, "and reported");
	is_u64(receive(peer, self), 1, "what stood behind is sent");
	ok(shm_journal_entry(self, 0, &d) == 0 && d.length == 5, "that one");
	shm_journal_done(self, 0);
	shm_outbox_put(self, 7, &good, "no such address of ours", 23);
	is_u64(udp_flush(&sender, NULL), 0, "an unknown listening address too");
	is_u64(shm_outbox_count(self), 0, "the outbox is empty");
	close(fd);
	close(peer);
}

int main(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 8 << 20, .endpoints = 64, .workers_max = 1 };
	struct shm_self *self;
	struct shm *shm;

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	shm_rcu_online(self);
	for (unsigned i = 0; i < 2; i++) {
		test_batches(self, i ? "::1" : "127.0.0.1");
		shm_rcu_quiescent(self);
		test_unreachable(self, i ? "::1" : "127.0.0.1");
		shm_rcu_quiescent(self);
	}
	test_refused(self);
	test_others_errors(self);
	shm_self_free(self);
	shm_close(shm, true);
	return tap_done();
}
