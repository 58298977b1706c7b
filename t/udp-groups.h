/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of sending share: objects that want datagrams sent, a kernel that can be told to refuse or to be died in, and a peer that sees what comes in which order. */
#ifndef VELADOR_T_UDP_GROUPS_H
#define VELADOR_T_UDP_GROUPS_H

#include <poll.h>
#include <setjmp.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "t/loopback.h"

enum { OBJECTS = 8, PEERS = 2, LONGEST = 2000 };

/* What each datagram begins with. */
struct head {
	uint32_t object, number;  /* its object's number-th, over all destinations */
	uint32_t peer;
};

static struct shm *shm;
static struct shm_self *self;
static uint32_t slot[OBJECTS], queued[OBJECTS];
static int ours[2], peer;               /* two sockets of ours; one that has the addresses of all peers, so that it shows the order in which all left */
static struct addr to[PEERS], nowhere;  /* nowhere: port 0 */

/* ---- the kernel, which may be told to refuse */
static struct refusal {
	int error;               /* 0: none */
	bool groups, singles;    /* which */
	unsigned from;           /* not the first so many messages */
} refusal;
static unsigned calls, dies_after;      /* dies_after: 0 = does not; else how many messages the kernel takes before the process dies, + 1 */
static jmp_buf grave;

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	unsigned k = 0;

	calls++;
	while (k < n && !(refusal.error && k >= refusal.from && (m[k].msg_hdr.msg_iovlen > 1 ? refusal.groups : refusal.singles)))
		k++;
	if (dies_after) {
		syscall(SYS_sendmmsg, fd, m, dies_after - 1 < k ? dies_after - 1 : k, flags);
		longjmp(grave, 1);
	}
	if (k)
		return (int)syscall(SYS_sendmmsg, fd, m, k, flags);
	errno = refusal.error;
	return -1;
}

/* ---- what is sent */
static void queue(unsigned k, const struct addr *dest, uint32_t length, uint16_t listen)
{
	struct head head = { .object = k, .number = ++queued[k], .peer = addr_eq(dest, &to[1]) };
	struct shm_step step;
	shm_ref bytes, state;
	void *p, *s;

	if (shm_step_begin(&step, self, slot[k], 0) || shm_step_alloc(&step, length, &bytes, &p) || shm_step_alloc(&step, 300, &state, &s))
		tap_bail("no room in the arena");
	memset(p, 'x', length);
	memcpy(p, &head, sizeof head);
	*(struct shm_state *)s = (struct shm_state){ .deadline_ms = 5000, .key = { k + 1, 0 }, .bytes = 200, .flags = SHM_STATE_LIVE, .nsends = 1, .nrefs = 1 };
	*shm_state_sends(s) = (struct shm_send){ .bytes = bytes, .length = length, .to = *dest, .listen = listen };
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

/* ---- what has come */
struct seen {
	unsigned n, at[PEERS], overtaken, wrong;
	uint32_t last[OBJECTS], object[256], length[256];
};

static void collect_more(struct seen *seen)
{
	char bytes[LONGEST];
	ssize_t n;

	while ((n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT)) >= 0) {
		struct head head;
		memcpy(&head, bytes, sizeof head);
		if (n < (ssize_t)sizeof head || head.object >= OBJECTS || head.peer >= PEERS || seen->n == 256 || (n > (ssize_t)sizeof head && bytes[n - 1] != 'x')) {
			seen->wrong++;
			continue;
		}
		seen->overtaken += head.number <= seen->last[head.object];
		seen->last[head.object] = head.number;
		seen->object[seen->n] = head.object;
		seen->length[seen->n++] = (uint32_t)n;
		seen->at[head.peer]++;
	}
}

static struct seen collect(void)
{
	struct seen seen = { .n = 0 };

	collect_more(&seen);
	return seen;
}

static struct udp_sender new_sender(void)
{
	return (struct udp_sender){ .self = self, .fds = ours, .nlisten = 2, .may_group = udp_can_group(ours[0]) };
}

/* One socket for both peers: with IPv4 two addresses of the loopback network, with IPv6, where there is one, the same twice. */
static void open_sockets(bool ipv6)
{
	struct addr any, a = free_address(ipv6 ? "::1" : "127.0.0.1"), b = free_address(ipv6 ? "::1" : "127.0.0.1");

	to[0] = free_address(ipv6 ? "::1" : "127.0.0.1");
	to[1] = to[0];
	if (!ipv6)
		to[1].ip[3] = 2;
	addr_parse(&any, str_of(ipv6 ? "::" : "0.0.0.0"), 0);
	any.port = to[0].port;
	ours[0] = open_at(&a);
	ours[1] = open_at(&b);
	peer = open_at(&any);
	nowhere = to[0];
	nowhere.port = 0;
}

static void open_arena(void)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 16 << 20, .endpoints = 64, .workers_max = 1 };

	if (shm_create(&shm, NULL, &params) || shm_self_claim(&self, shm, SHM_WORKER, 0))
		tap_bail("no arena");
	shm_rcu_online(self);
	make_objects();
}

static void close_arena(void)
{
	shm_self_free(self);
	shm_close(shm, true);
}

#endif
