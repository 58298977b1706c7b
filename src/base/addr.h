/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A transport address: IP, port, transport. Plain bytes without pointers, so it may lie in shared memory
 * and be compared with addr_eq(). Pure: any process may call everything here. */
#ifndef VELADOR_BASE_ADDR_H
#define VELADOR_BASE_ADDR_H

#include <sys/socket.h>

#include "base/out.h"
#include "base/str.h"

enum addr_transport { ADDR_UDP = 0, ADDR_TCP = 1 };

struct addr {
	uint8_t ip[16];    /* network order; IPv4 in the first four bytes, the rest zero */
	uint16_t port;     /* host order */
	uint8_t family;    /* 4, 6; 0 = no address */
	uint8_t transport; /* enum addr_transport */
	uint32_t scope;    /* IPv6 scope id of link-local addresses, else 0 */
};

_Static_assert(sizeof(struct addr) == 24, "struct addr lies in shared memory");

/* Longest text of addr_print(): "[" IPv6 "%" scope "]:" port. */
enum { ADDR_TEXT = 64 };

static inline bool addr_eq(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* Same IP address, whatever port and transport. */
static inline bool addr_same_ip(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Reads an IP literal without port: "192.0.2.1", "2001:db8::1" or "[2001:db8::1]"; sets family and ip, port 0.
 * Returns 0 or ERR_SYNTAX (a host name is ERR_SYNTAX too). */
int addr_parse_ip(struct addr *a, struct str text);

/* Reads "IP", "IP:port", "[IPv6]" or "[IPv6]:port"; the port defaults to default_port.
 * Returns 0, ERR_SYNTAX or ERR_RANGE (port above 65535). */
int addr_parse(struct addr *a, struct str text, uint16_t default_port);

/* Whether it is one host's: neither multicast nor the limited broadcast address. */
bool addr_is_unicast(const struct addr *a);

/* Writes "IP:port", IPv6 in brackets; addr_print_host the host alone, IPv6 in brackets, as in a SIP URI. */
void addr_print(struct out *o, const struct addr *a);
void addr_print_host(struct out *o, const struct addr *a);

/* Conversions; to_sockaddr returns the length for the kernel (0 for no address). IPv4-mapped IPv6 becomes IPv4. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss);
int addr_from_sockaddr(struct addr *a, const struct sockaddr_storage *ss, enum addr_transport transport);

/* A network in CIDR notation: prefix length in bits of a->family. */
struct addr_net {
	struct addr net;
	uint8_t bits;
};

/* Reads "IP" (a host) or "IP/bits". Returns 0, ERR_SYNTAX, ERR_RANGE. */
int addr_net_parse(struct addr_net *net, struct str text);

#endif
