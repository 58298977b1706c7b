/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The floor under any proxy: what the kernel alone asks for a datagram that comes in and goes out again, in batches, on loopback.
 * usage: floor COUNT RATE BYTES
 *     prints the forwarder's own CPU microseconds for each datagram; a generator sends COUNT datagrams at RATE a second and swallows what returns. Each
 *     millisecond it sends what is due in one go, so that the forwarder finds several at once.
 * usage: floor evenly COUNT RATE BYTES
 *     the same, but the generator never sleeps, and sends each datagram at its own time
 * usage: floor between PORT GATEWAY-PORT
 *     forwards between a caller, whoever sends to PORT, and a gateway, until it is killed: what the same peers cost a proxy that reads nothing. Who is
 *     sent to may sleep, and to wake him is on the sender's account, which the first form leaves out. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, DATAGRAM_MAX_BYTES = 2048, SOCKET_BUFFER_BYTES = 8 << 20, END_BYTES = 1 };

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int udp_socket(struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = SOCKET_BUFFER_BYTES;
	socklen_t length = sizeof *name;

	*name = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof *name) || getsockname(fd, (struct sockaddr *)name, &length))
		fail("udp socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	return fd;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long swallow(int fd)
{
	char junk[DATAGRAM_MAX_BYTES];
	long n = 0;

	while (recv(fd, junk, sizeof junk, MSG_DONTWAIT) > 0)
		n++;
	return n;
}

/* Sends what is due, swallows what came, sleeps for a millisecond, if it may sleep. */
static void generate(int fd, const struct sockaddr_in *to, long count, double rate, size_t bytes, bool sleeps)
{
	static const char datagram[DATAGRAM_MAX_BYTES] = "OPTIONS";
	double start = now_s();
	long sent = 0, back = 0;

	while (sent < count) {
		long due = (long)((now_s() - start) * rate) + 1;

		for (; sent < due && sent < count; sent++)
			sendto(fd, datagram, bytes, 0, (const struct sockaddr *)to, sizeof *to);
		back += swallow(fd);
		if (sleeps)
			poll(NULL, 0, 1);
	}
	for (double end = now_s() + 2; back < count && now_s() < end;) {
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 50);
		back += swallow(fd);
	}
	sendto(fd, datagram, END_BYTES, 0, (const struct sockaddr *)to, sizeof *to);
}

static long forward(int fd, const struct sockaddr_in *to)
{
	static char buffer[BATCH][DATAGRAM_MAX_BYTES];
	struct mmsghdr m[BATCH];
	struct iovec io[BATCH];
	long done = 0;

	for (;;) {
		int n;

		memset(m, 0, sizeof m);
		for (int i = 0; i < BATCH; i++) {
			io[i] = (struct iovec){ buffer[i], sizeof buffer[i] };
			m[i].msg_hdr.msg_iov = &io[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
		if (n < 0 && errno != EINTR)
			fail("recvmmsg");
		for (int i = 0; i < n; i++) {
			if (m[i].msg_len == END_BYTES)
				return done;
			io[i].iov_len = m[i].msg_len;
			m[i].msg_hdr.msg_name = (void *)to;
			m[i].msg_hdr.msg_namelen = sizeof *to;
		}
		if (n > 0)
			sendmmsg(fd, m, (unsigned)n, 0);
		done += n > 0 ? n : 0;
	}
}

static _Noreturn void forward_between(uint16_t port, uint16_t gateway_port)
{
	static char buffer[BATCH][DATAGRAM_MAX_BYTES];
	struct sockaddr_in ours = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in gateway = ours, caller = ours, from[BATCH];
	int fd = socket(AF_INET, SOCK_DGRAM, 0), bytes = SOCKET_BUFFER_BYTES;
	struct mmsghdr m[BATCH];
	struct iovec io[BATCH];

	gateway.sin_port = htons(gateway_port);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ours, sizeof ours))
		fail("udp socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	for (;;) {
		int n;

		memset(m, 0, sizeof m);
		for (int i = 0; i < BATCH; i++) {
			io[i] = (struct iovec){ buffer[i], sizeof buffer[i] };
			m[i].msg_hdr = (struct msghdr){ .msg_iov = &io[i], .msg_iovlen = 1, .msg_name = &from[i], .msg_namelen = sizeof from[i] };
		}
		n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			io[i].iov_len = m[i].msg_len;
			if (from[i].sin_port == gateway.sin_port) {
				m[i].msg_hdr.msg_name = &caller;
			} else {
				caller = from[i];
				m[i].msg_hdr.msg_name = &gateway;
			}
		}
		if (n > 0)
			sendmmsg(fd, m, (unsigned)n, 0);
	}
}

int main(int argc, char **argv)
{
	bool sleeps = !(argc == 5 && strcmp(argv[1], "evenly") == 0);
	struct sockaddr_in in, out;
	struct rusage r;
	int forwarder, generator;
	long done;
	pid_t child;

	if (argc == 4 && strcmp(argv[1], "between") == 0)
		forward_between((uint16_t)strtoul(argv[2], NULL, 10), (uint16_t)strtoul(argv[3], NULL, 10));
	if (!sleeps) {
		argc--;
		argv++;
	}
	if (argc != 4) {
		fputs("usage: floor [evenly] COUNT RATE BYTES | floor between PORT GATEWAY-PORT\n", stderr);
		return 2;
	}
	forwarder = udp_socket(&in);
	generator = udp_socket(&out);
	child = fork();
	if (child < 0)
		fail("fork");
	if (child == 0) {
		generate(generator, &in, strtol(argv[1], NULL, 10), strtod(argv[2], NULL), strtoul(argv[3], NULL, 10), sleeps);
		_exit(0);
	}
	done = forward(forwarder, &out);
	waitpid(child, NULL, 0);
	getrusage(RUSAGE_SELF, &r);
	printf("forwarded %ld of %s cpu_us_per_datagram %.2f\n", done, argv[1],
		((double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec)) / (double)(done ? done : 1));
	return 0;
}
