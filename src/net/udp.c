/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/err.h"

enum { BUFFER_BYTES = 8 << 20 }; /* a second of a busy worker, so that its replacement finds what came meanwhile */

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value);
}

/* Buffers as large as we may have: the privileged option first. */
static void set_buffers(int fd)
{
	if (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES))
		set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	if (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES))
		set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
}

/* Errors of the network are wanted (RFC 3261 §18.4); path MTU discovery is not: a large answer must be fragmented, not refused. */
static int set_family(int fd, bool ipv6)
{
	if (ipv6)
		return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) || set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1) ||
			set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	return set(fd, IPPROTO_IP, IP_RECVERR, 1) || set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
}

int udp_probe(const struct addr *bound)
{
	struct sockaddr_storage ss;
	socklen_t length = addr_to_sockaddr(bound, &ss);
	int s = socket(bound->family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), saved;
	bool taken = s < 0 || (bound->family == 6 && set(s, IPPROTO_IPV6, IPV6_V6ONLY, 1)) || bind(s, (struct sockaddr *)&ss, length);

	saved = errno;
	if (s >= 0)
		close(s);
	errno = saved;
	return taken ? ERR_SYSTEM : 0;
}

int udp_open(int *fd, const struct addr *bound, struct steer *steer)
{
	bool ipv6 = bound->family == 6;
	struct sockaddr_storage ss;
	socklen_t length = addr_to_sockaddr(bound, &ss);
	int err = ERR_SYSTEM, saved;
	int s = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (s < 0)
		return ERR_SYSTEM;
	set_buffers(s);
	if (set(s, SOL_SOCKET, SO_REUSEPORT, 1) || set_family(s, ipv6))
		goto out;
	if (steer && (err = steer_attach(s, steer, ipv6)))
		goto out;
	err = bind(s, (struct sockaddr *)&ss, length) ? ERR_SYSTEM : 0;
out:
	if (err) {
		saved = errno;
		close(s);
		errno = saved;
		return err;
	}
	*fd = s;
	return 0;
}

int udp_receive(unsigned *n, int fd, struct shm_self *self, unsigned from, uint16_t listen)
{
	struct mmsghdr *batch = shm_journal_open(self, from, listen);
	int got = recvmmsg(fd, batch, SHM_JOURNAL_BATCH - from, MSG_DONTWAIT, NULL);

	*n = got > 0 ? (unsigned)got : 0;
	if (*n)
		shm_count_add(self, CNT_datagrams_in, *n);
	return got < 0 && errno != EAGAIN && errno != EINTR ? ERR_SYSTEM : 0;
}
