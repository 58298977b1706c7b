/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/addr.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Four numbers up to 255 without leading zeros, as inet_pton() has them. */
static bool parse_ip4(uint8_t ip[4], struct str text)
{
	const char *p = text.p, *end = p + text.n;

	for (unsigned i = 0; i < 4; i++) {
		unsigned v, digit;

		if (i && (p == end || *p++ != '.'))
			return false;
		if (p == end || (v = (unsigned char)*p - '0') > 9)
			return false;
		while (++p != end && (digit = (unsigned char)*p - '0') <= 9) {
			if (!v || (v = 10 * v + digit) > 255)
				return false;
		}
		ip[i] = (uint8_t)v;
	}
	return p == end;
}

int addr_parse_ip(struct addr *a, struct str text)
{
	char z[INET6_ADDRSTRLEN + 1];
	struct addr r = { .family = 0 };

	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
		text = str_make(text.p + 1, text.n - 2);
		r.family = 6;
	}
	if (!text.n)
		return ERR_SYNTAX;
	if (r.family != 6 && parse_ip4(r.ip, text)) {
		r.family = 4;
		*a = r;
		return 0;
	}
	if (text.n >= sizeof z || memchr(text.p, 0, text.n))
		return ERR_SYNTAX;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	if (inet_pton(AF_INET6, z, r.ip) != 1)
		return ERR_SYNTAX;
	r.family = 6;
	*a = r;
	return 0;
}

int addr_parse(struct addr *a, struct str text, uint16_t default_port)
{
	struct str host = text;
	uint64_t port = default_port;
	size_t colon;
	struct addr r;
	int err;

	if (text.n && text.p[0] == '[') {
		size_t close = str_chr(text, ']');
		if (close == text.n)
			return ERR_SYNTAX;
		host = str_head(text, close + 1);
		text = str_from(text, close + 1);
		if (text.n && text.p[0] != ':')
			return ERR_SYNTAX;
		colon = 0;
	} else {
		colon = str_chr(text, ':');
		if (str_chr(str_from(text, colon + 1), ':') < str_from(text, colon + 1).n)
			colon = text.n; /* a bare IPv6 address */
		host = str_head(text, colon);
	}
	if (colon < text.n && (err = str_u64(str_from(text, colon + 1), 65535, &port)))
		return err;
	if ((err = addr_parse_ip(&r, host)))
		return err;
	r.port = (uint16_t)port;
	*a = r;
	return 0;
}

static char *put_octet(char *at, unsigned v)
{
	if (v >= 100) {
		*at++ = (char)('0' + v / 100);
		return out_put_pair(at, v % 100);
	}
	if (v >= 10)
		return out_put_pair(at, v);
	*at++ = (char)('0' + v);
	return at;
}

static void print_ip4(struct out *o, const uint8_t ip[4])
{
	char text[INET_ADDRSTRLEN], *at = put_octet(text, ip[0]);

	for (unsigned i = 1; i < 4; i++) {
		*at++ = '.';
		at = put_octet(at, ip[i]);
	}
	out_mem(o, text, (size_t)(at - text));
}

bool addr_is_unicast(const struct addr *a)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };

	if (a->family == 6)
		return a->ip[0] != 0xff;
	return (a->ip[0] & 0xf0) != 0xe0 && memcmp(a->ip, broadcast, sizeof broadcast) != 0;
}

void addr_print_host(struct out *o, const struct addr *a)
{
	char z[INET6_ADDRSTRLEN];

	if (a->family == 4) {
		print_ip4(o, a->ip);
	} else if (a->family == 6) {
		inet_ntop(AF_INET6, a->ip, z, sizeof z);
		out_lit(o, "[");
		out_str(o, str_of(z));
		out_lit(o, "]");
	} else {
		out_lit(o, "-");
	}
}

void addr_print(struct out *o, const struct addr *a)
{
	addr_print_host(o, a);
	out_lit(o, ":");
	out_u64(o, a->port);
}

socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *ss)
{
	if (a->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;
		memset(in, 0, sizeof *in);
		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof *in;
	}
	if (a->family == 6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
		memset(in6, 0, sizeof *in6);
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		in6->sin6_scope_id = a->scope;
		memcpy(&in6->sin6_addr, a->ip, 16);
		return sizeof *in6;
	}
	return 0;
}

int addr_from_sockaddr(struct addr *a, const struct sockaddr_storage *ss, enum addr_transport transport)
{
	struct addr r = { .transport = (uint8_t)transport };

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
		r.family = 4;
		r.port = ntohs(in->sin_port);
		memcpy(r.ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
		r.port = ntohs(in6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
			r.family = 4;
			memcpy(r.ip, in6->sin6_addr.s6_addr + 12, 4);
		} else {
			r.family = 6;
			r.scope = IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? in6->sin6_scope_id : 0;
			memcpy(r.ip, &in6->sin6_addr, 16);
		}
	} else {
		return ERR_SYNTAX;
	}
	*a = r;
	return 0;
}

int addr_net_parse(struct addr_net *net, struct str text)
{
	size_t slash = str_chr(text, '/');
	struct addr_net r;
	uint64_t bits;
	int err;

	if ((err = addr_parse_ip(&r.net, str_head(text, slash))))
		return err;
	bits = r.net.family == 4 ? 32 : 128;
	if (slash < text.n && (err = str_u64(str_from(text, slash + 1), bits, &bits)))
		return err;
	r.bits = (uint8_t)bits;
	*net = r;
	return 0;
}
