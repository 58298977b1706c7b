/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP sockets: opened by the supervisor, received by their worker straight into its journal, written by every process from its outbox.
 * Nothing here logs or allocates. */
#ifndef VELADOR_NET_UDP_H
#define VELADOR_NET_UDP_H

#include "net/steer.h"
#include "shm/shm.h"

/* Whether nobody has bound the address: sockets of a SO_REUSEPORT group would share another program's datagrams without a word, if it has the same user and option.
 * Returns 0 or ERR_SYSTEM (errno). Context: supervisor, before the group's first socket. */
int udp_probe(const struct addr *bound);

/* Opens and binds a non-blocking socket of a SO_REUSEPORT group; bound->port must be set. The order of opening is the number in the group.
 * steer: NULL, or for the group's first socket the program to attach before it is bound, so that it is never without.
 * Returns 0 or ERR_SYSTEM (errno). Owns: *fd. Context: supervisor. */
int udp_open(int *fd, const struct addr *bound, struct steer *steer);

/* Receives what waits into the journal's entries from `from` on, as shm_journal_open has it: at most SHM_JOURNAL_BATCH - from datagrams. *n: how many; 0 = none.
 * Returns 0; ERR_SYSTEM where the network reported an error on the socket instead: udp_errors() reads it. Context: workers. */
int udp_receive(unsigned *n, int fd, struct shm_self *self, unsigned from, uint16_t listen);

/* Told of each datagram that could not be delivered: refused at once, or reported by the network later (then the bytes may be cut, to some 500 or with IPv6 1200
 * bytes, or others that were sent with it may follow it). Valid during the call only. RFC 3261 §18.4. */
typedef void udp_refused_fn(void *arg, const struct addr *to, const void *bytes, uint32_t length);

enum { UDP_SINGLY = 16 };
struct udp_singly {
	struct addr to;
	uint64_t until_ms; /* CLOCK_MONOTONIC */
};

/* What a process sends with: one socket for each listening address. */
struct udp_sender {
	struct shm_self *self;
	const int *fds;            /* fds[listen] */
	unsigned nlisten;
	bool may_group;            /* messages of one length for one destination may go as one, where udp_can_group() */
	udp_refused_fn *refused;
	void *arg;
	/* private */
	struct udp_singly singly[UDP_SINGLY]; /* destinations that get none for a while */
	unsigned nsingly;
};

/* Whether the kernel can send several datagrams as one (Linux 4.18 and later). */
bool udp_can_group(int fd);

/* Hands the outbox to the kernel, in batches. Returns 0 when it is empty; ERR_BUSY when a socket's buffer is full: *blocked (may be NULL) is its
 * listening address, and the rest is kept. Messages of one object leave in the order in which they were queued. A datagram that the kernel refuses
 * for good is counted, reported, and dropped. */
int udp_flush(struct udp_sender *sender, unsigned *blocked);

/* Reads the socket's error queue and reports what the network sent back. Returns how many it read: 128 at most. */
unsigned udp_errors(struct udp_sender *sender, int fd);

#endif
