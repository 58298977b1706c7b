/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which worker's socket a datagram goes to: a classic BPF program that the kernel runs on each datagram of a SO_REUSEPORT group. It looks for
 * the Call-ID header, so that all datagrams of a call, from both legs, reach the same worker in order. A matter of speed and order
 * only: any worker handles any message.
 *
 * What it does not find (compact form, a header beyond STEER_SCAN bytes, no SIP at all) goes by source address and port. The program always
 * names a socket below `workers`: falling back to the kernel's own choice would also hit sockets that nobody reads. */
#ifndef VELADOR_NET_STEER_H
#define VELADOR_NET_STEER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	STEER_SCAN = 832,      /* bytes of a message that are searched where the kernel has room for the program */
	STEER_HASHED = 16,     /* bytes of the Call-ID that count */
	STEER_CODE_MAX = 4096, /* instructions, the kernel's limit */
};

struct steer {
	unsigned workers;      /* the group's first sockets, those that are read: 1 and up */
	uint32_t seed;         /* any constant, the same for all groups */
	unsigned scan;         /* bytes to be searched, a multiple of 32, at most STEER_SCAN */
};

/* Writes the program for sockets of one IP version. Returns the number of instructions. Pure. */
unsigned steer_program(struct sock_filter code[STEER_CODE_MAX], const struct steer *steer, bool ipv6);

/* Gives the group of fd (a UDP socket with SO_REUSEPORT, bound or not yet) the program; replaces a former one. Where the kernel has no room
 * (net.core.optmem_max), less is searched: steer->scan says how much.
 * Returns 0 or ERR_SYSTEM (errno). Context: supervisor. */
int steer_attach(int fd, struct steer *steer, bool ipv6);

#endif
