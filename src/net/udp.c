/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/udp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"

enum {
	BUFFER_BYTES = 8 << 20,   /* a second of a busy worker, so that its replacement finds what came meanwhile */
	BATCH = 64,               /* datagrams for one sendmmsg */
};

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

/* Gathers waiting datagrams of one listening address, from the first on. */
static unsigned gather(struct udp_sender *sender, uint16_t *listen, struct mmsghdr *m, struct iovec *io, struct sockaddr_storage *ss)
{
	struct shm_out out;
	unsigned n = 0;

	for (; n < BATCH && shm_outbox_entry(sender->self, n, &out) == 0; n++) {
		if (n == 0)
			*listen = out.listen;
		else if (out.listen != *listen)
			break;
		io[n] = (struct iovec){ (void *)(uintptr_t)out.bytes, out.length };
		m[n].msg_hdr = (struct msghdr){ .msg_name = &ss[n], .msg_namelen = addr_to_sockaddr(&out.to, &ss[n]),
			.msg_iov = &io[n], .msg_iovlen = 1 };
	}
	return n;
}

/* The first datagram cannot be sent: out with it, so that it holds up nothing. */
static void refuse_first(struct udp_sender *sender)
{
	struct shm_out out;

	if (shm_outbox_entry(sender->self, 0, &out))
		return;
	shm_outbox_sent(sender->self, 1);
	shm_count(sender->self, CNT_send_errors);
	if (sender->refused)
		sender->refused(sender->arg, &out.to, out.bytes, out.length);
}

int udp_flush(struct udp_sender *sender, unsigned *blocked)
{
	struct sockaddr_storage ss[BATCH];
	struct mmsghdr m[BATCH];
	struct iovec io[BATCH];
	uint16_t listen = 0;
	bool tried = false;     /* the socket's pending error may have been another datagram's: the first one gets a second chance */
	unsigned n;

	while ((n = gather(sender, &listen, m, io, ss)) > 0) {
		int sent = listen < sender->nlisten ? sendmmsg(sender->fds[listen], m, n, MSG_DONTWAIT) : -1;
		if (sent > 0) {
			shm_outbox_sent(sender->self, (unsigned)sent);
			shm_count_add(sender->self, CNT_datagrams_out, (uint64_t)sent);
			tried = false;
		} else if (listen < sender->nlisten && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) {
			if (blocked)
				*blocked = listen;
			return ERR_BUSY;
		} else if (listen < sender->nlisten && !tried) {
			udp_errors(sender, sender->fds[listen]);
			tried = true;
		} else {
			refuse_first(sender);
			tried = false;
		}
	}
	return 0;
}

/* Whether the network says for good that nobody is there: destination unreachable, but for "too big". */
static bool is_unreachable(const struct sock_extended_err *e)
{
	if (e->ee_origin == SO_EE_ORIGIN_ICMP)
		return e->ee_type == ICMP_DEST_UNREACH && e->ee_code != ICMP_FRAG_NEEDED;
	return e->ee_origin == SO_EE_ORIGIN_ICMP6 && e->ee_type == ICMP6_DST_UNREACH;
}

static bool has_unreachable(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			return is_unreachable((const struct sock_extended_err *)(const void *)CMSG_DATA(c));
	return false;
}

void udp_errors(struct udp_sender *sender, int fd)
{
	char bytes[2048];
	union {
		char room[512];
		struct cmsghdr align;
	} control;
	struct sockaddr_storage ss;

	for (int i = 0; i < 128; i++) {
		struct iovec io = { bytes, sizeof bytes };
		struct msghdr m = { .msg_name = &ss, .msg_namelen = sizeof ss, .msg_iov = &io, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof control };
		ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
		struct addr to;

		if (n < 0)
			return;
		if (!has_unreachable(&m) || addr_from_sockaddr(&to, &ss, ADDR_UDP))
			continue;
		shm_count(sender->self, CNT_send_errors);
		if (sender->refused)
			sender->refused(sender->arg, &to, bytes, (uint32_t)n);
	}
}
