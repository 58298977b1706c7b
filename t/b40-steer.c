/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Steering by Call-ID, on real sockets of a SO_REUSEPORT group: both legs' messages of a call reach one worker's socket, one peer with one
 * address and port keeps all workers busy, and no datagram ever goes to a socket that nobody reads. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "net/steer.h"
#include "net/udp.h"
#include "t/tap.h"

enum { SOCKETS = 8, CALLS = 400 };

struct group {
	struct addr at;
	int fd[SOCKETS];
	int peer;          /* one peer, one port */
	unsigned workers;
};

static void group_open(struct group *g, const char *ip, unsigned workers)
{
	struct sockaddr_storage ss;
	socklen_t length = sizeof ss;
	struct addr any;

	addr_parse(&any, str_of(ip), 0);
	addr_to_sockaddr(&any, &ss);
	g->peer = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int hold = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (g->peer < 0 || bind(hold, (struct sockaddr *)&ss, sizeof(struct sockaddr_in6)) || getsockname(hold, (struct sockaddr *)&ss, &length))
		tap_bail("no loopback socket");
	addr_from_sockaddr(&g->at, &ss, ADDR_UDP);
	close(hold);
	g->workers = workers;
	struct steer steer = { .workers = workers, .seed = 0x1234567 };
	for (unsigned i = 0; i < SOCKETS; i++)
		if (udp_open(&g->fd[i], &g->at, i == 0 ? &steer : NULL))
			tap_bail(strerror(errno));
	if (steer.scan < STEER_SCAN)
		tap_skip_all("net.core.optmem_max leaves no room for the whole program");
}

static void group_close(struct group *g)
{
	for (unsigned i = 0; i < SOCKETS; i++)
		close(g->fd[i]);
	close(g->peer);
}

/* Sends a datagram from fd; the number of the socket it came to. */
static unsigned where(struct group *g, int fd, const char *bytes, size_t length)
{
	struct pollfd p[SOCKETS];
	struct sockaddr_storage ss;
	socklen_t n = addr_to_sockaddr(&g->at, &ss);
	char sink[70000];

	for (unsigned i = 0; i < SOCKETS; i++)
		p[i] = (struct pollfd){ .fd = g->fd[i], .events = POLLIN };
	if (sendto(fd, bytes, length, 0, (struct sockaddr *)&ss, n) < 0 || poll(p, SOCKETS, 2000) != 1)
		return SOCKETS;
	for (unsigned i = 0; i < SOCKETS; i++)
		if (p[i].revents && recv(g->fd[i], sink, sizeof sink, MSG_DONTWAIT) >= 0)
			return i;
	return SOCKETS;
}

static unsigned where_text(struct group *g, const char *text)
{
	return where(g, g->peer, text, strlen(text));
}

/* A message with `pad` bytes before the Call-ID header. */
static const char *message(const char *start, unsigned pad, const char *call_id, unsigned cseq)
{
	static char text[4096];
	char fill[2000];

	memset(fill, 'v', sizeof fill);
	snprintf(text, sizeof text, "%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%.*s\r\nCall-Info: <sip:x>\r\n%s\r\nCSeq: %u INVITE\r\n"
		"Contact: <sip:a@127.0.0.1>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n", start, (int)pad, fill, call_id, cseq);
	return text;
}

static void test_calls(struct group *g, const char *label)
{
	unsigned per_socket[SOCKETS + 1] = { 0 }, split = 0, least = CALLS;

	for (unsigned i = 0; i < CALLS; i++) {
		char id[128];
		snprintf(id, sizeof id, "Call-%s: %u-%u%s", i & 1 ? "ID" : "Id", i, 7919 * i, i % 3 ? "@192.0.2.1" : "");
		unsigned a = where_text(g, message("INVITE sip:1@h SIP/2.0", i % 500, id, 1));
		unsigned b = where_text(g, message("SIP/2.0 200 OK", (i * 7) % 300, id, 2));
		split += a != b;
		per_socket[a < SOCKETS ? a : SOCKETS]++;
	}
	for (unsigned i = 0; i < g->workers; i++)
		least = per_socket[i] < least ? per_socket[i] : least;
	is_u64(split, 0, "%s: both legs' messages of %u calls come to the same worker", label, CALLS);
	ok(least > CALLS / g->workers * 2 / 3, "%s: one peer keeps all of %u workers busy (least: %u calls)", label, g->workers, least);
	for (unsigned i = g->workers; i <= SOCKETS; i++)
		least = per_socket[i] ? CALLS + 1 : least;
	ok(least <= CALLS, "%s: nothing goes to a socket that nobody reads", label);
}

/* Call-IDs as SIPp counts them: the number comes first, the rest stays as it is. */
static void test_counted(struct group *g, const char *label)
{
	unsigned worst = 0;

	for (unsigned pid = 17000; pid < 17012; pid++) {
		unsigned per_socket[SOCKETS + 1] = { 0 };
		for (unsigned i = 100; i < 300; i++) {
			char id[128];
			snprintf(id, sizeof id, "Call-ID: %u-%u@127.0.0.1", i, pid);
			unsigned a = where_text(g, message("INVITE sip:1@h SIP/2.0", 40, id, 1));
			per_socket[a < SOCKETS ? a : SOCKETS]++;
		}
		for (unsigned i = 0; i < g->workers; i++)
			worst = per_socket[i] > worst ? per_socket[i] : worst;
	}
	ok(worst <= 200 / g->workers * 3 / 2, "%s: of twelve times 200 calls counted up, none has more than %u of its 200", label, worst);
}

/* A Call-ID at every alignment and close to the end of what is searched. */
static void test_alignment(struct group *g, const char *label)
{
	unsigned home = where_text(g, message("INVITE sip:1@h SIP/2.0", 0, "Call-ID: 3c26700@example", 1)), other = 0;

	for (unsigned pad = 1; pad < 700; pad++)
		other += where_text(g, message("INVITE sip:1@h SIP/2.0", pad, "Call-ID: 3c26700@example", pad)) != home;
	is_u64(other, 0, "%s: found at each of 700 places", label);
	other = 0;
	for (unsigned n = 1; n < 20; n++) {
		char id[64];
		snprintf(id, sizeof id, "Call-ID: %.*s", (int)n, "abcdefghijklmnopqrstuvwxyz");
		home = where_text(g, message("INVITE sip:1@h SIP/2.0", 3, id, 1));
		for (unsigned cseq = 2; cseq < 6; cseq++)
			other += where_text(g, message("BYE sip:1@h SIP/2.0", 5, id, cseq << 8)) != home;
	}
	is_u64(other, 0, "%s: what follows a short Call-ID does not count", label);
}

/* What has no Call-ID that is found: still a socket that is read, and the same one for the same source. */
static void test_misses(struct group *g, const char *label)
{
	static char big[60000];
	unsigned bad = 0, moved = 0, used = 0, seen[SOCKETS] = { 0 };
	struct { const char *p; size_t n; } odd[] = {
		{ "", 0 }, { "\r\n\r\n", 4 }, { "x", 1 }, { "\nCal", 4 }, { "INVITE\nCall-ID", 14 }, { "INVITE sip:\nCall-ID: ", 21 },
		{ big, 40 }, { big, 44 }, { big, 45 }, { big, 831 }, { big, 840 }, { big, 1400 }, { big, sizeof big },
	};

	memset(big, 'x', sizeof big);
	for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++)
		bad += where(g, g->peer, odd[i].p, odd[i].n) >= g->workers;
	for (unsigned i = 0; i < 64; i++) {
		int fd = socket(g->at.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		char id[64];
		snprintf(id, sizeof id, "i: %u@h", i);
		const char *text = message("INVITE sip:1@h SIP/2.0", 3, id, 1);
		unsigned a = where(g, fd, text, strlen(text)), b = where(g, fd, text, strlen(text));
		bad += a >= g->workers;
		moved += a != b;
		if (a < SOCKETS)
			seen[a]++;
		close(fd);
	}
	for (unsigned i = 0; i < g->workers; i++)
		used += seen[i] > 0;
	is_u64(bad, 0, "%s: compact, empty, short and long datagrams reach a worker that reads", label);
	is_u64(moved, 0, "%s: without a Call-ID the source decides", label);
	is_u64(used, g->workers, "%s: and many sources reach all workers", label);
}

int main(void)
{
	static const char *const ips[] = { "127.0.0.1", "::1" };
	static const unsigned workers[] = { 1, 2, 4 };

	for (unsigned i = 0; i < 2; i++)
		for (unsigned w = 0; w < 3; w++) {
			struct group g;
			char label[64];
			snprintf(label, sizeof label, "%s, %u workers", ips[i], workers[w]);
			group_open(&g, ips[i], workers[w]);
			test_calls(&g, label);
			test_counted(&g, label);
			test_alignment(&g, label);
			test_misses(&g, label);
			group_close(&g);
		}
	return tap_done();
}
