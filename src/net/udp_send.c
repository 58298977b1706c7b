/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outbox on its way into the kernel. Most of what a datagram costs is its way through the kernel's network stack, and several of one length for one destination can make
 * that way as one (UDP_SEGMENT, udp(7)): they are parted again at its end, in the network card or just before it, and each is a datagram of its own on the wire. Under load
 * there are several: the INVITEs of a batch to one gateway, say, differ in digits. So a batch is sorted into groups, but never two messages of one object past each other. */
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <time.h>

#include "base/err.h"
#include "base/inject.h"
#include "net/udp.h"

enum {
	BATCH = SHM_SENDING_MAX,  /* datagrams for one sendmmsg */
	GROUP_MIN = 4,            /* fewer go singly: a capture at a low rate shows each by itself */
	GROUP_MAX = 16,           /* more save little, and a queue of the network takes or drops a group as a whole */
	GROUP_LENGTH = 1300,      /* longer messages may have to be fragmented, which groups cannot be (RFC 3261 §18.1.1) */
	SINGLY_MS = 60000,        /* to a destination for which a group was refused, or that answered by an ICMP error */
	ERRORS = 128,             /* of the network, read in one go */
	TRIES = 8,                /* an error may be another datagram's, reported late, or the answer to what another process sends from the same socket. */
	NOTHING_READ = 4,         /* tries it counts for where there was none to read, so that it is most likely the datagram's own; */
	ROUNDS = 1024,            /* where more wait behind those that were read, it is no try */
	OBJECTS = 64,             /* what share a place are kept in order too */
	NONE = BATCH,
};

/* Datagrams of one length for one destination, chained in their order. */
struct group {
	struct addr to;
	uint32_t length;
	unsigned char n, first, last;
};

struct batch {
	uint16_t listen;
	unsigned looked_at;                  /* entries of the outbox, from the first on */
	unsigned ngroups, nmessages, n;      /* n: datagrams */
	struct group group[BATCH];
	const void *bytes[BATCH];            /* of entry i */
	unsigned char next[BATCH];           /* in the group of entry i */
	unsigned char after[OBJECTS];        /* the group that has an object's latest; its further ones go there or behind */
	/* for the kernel */
	struct mmsghdr *message;             /* in the arena */
	struct iovec io[BATCH];
	unsigned char entry[BATCH];          /* whose bytes io[k] has */
	struct sockaddr_storage to[BATCH];
	union {
		char room[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control[BATCH];
};

bool udp_can_group(int fd)
{
	int bytes;
	socklen_t length = sizeof bytes;

	return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, &length) == 0;
}

/* ---- destinations that get no groups */
static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Where there are too many to remember, the one that was noted first is forgotten. */
static void send_singly(struct udp_sender *sender, const struct addr *to)
{
	unsigned i = 0, oldest = 0;

	for (; i < sender->nsingly && !addr_eq(&sender->singly[i].to, to); i++)
		if (sender->singly[i].until_ms < sender->singly[oldest].until_ms)
			oldest = i;
	if (i == UDP_SINGLY)
		i = oldest;
	else if (i == sender->nsingly)
		sender->nsingly++;
	sender->singly[i] = (struct udp_singly){ .to = *to, .until_ms = now_ms() + SINGLY_MS };
}

static void forget_singly(struct udp_sender *sender)
{
	uint64_t now;

	if (!sender->nsingly)
		return;
	now = now_ms();
	for (unsigned i = sender->nsingly; i-- > 0;)
		if (sender->singly[i].until_ms <= now)
			sender->singly[i] = sender->singly[--sender->nsingly];
}

static bool goes_singly(const struct udp_sender *sender, const struct shm_out *out)
{
	if (!sender->may_group || out->length == 0 || out->length > GROUP_LENGTH || out->listen >= sender->nlisten)
		return true;
	for (unsigned i = 0; i < sender->nsingly; i++)
		if (addr_eq(&sender->singly[i].to, &out->to))
			return true;
	return false;
}

/* ---- groups */
static unsigned find_group(const struct udp_sender *sender, const struct batch *b, const struct shm_out *out)
{
	unsigned g = b->after[out->object % OBJECTS];

	if (goes_singly(sender, out))
		return b->ngroups;
	while (g < b->ngroups && (b->group[g].length != out->length || b->group[g].n == GROUP_MAX || !addr_eq(&b->group[g].to, &out->to)))
		g++;
	return g;
}

static void add(struct udp_sender *sender, struct batch *b, unsigned i, const struct shm_out *out)
{
	unsigned g = find_group(sender, b, out);
	struct group *group = &b->group[g];

	if (g == b->ngroups) {
		*group = (struct group){ .to = out->to, .length = out->length, .first = (unsigned char)i };
		b->ngroups++;
	} else {
		b->next[group->last] = (unsigned char)i;
	}
	group->last = (unsigned char)i;
	group->n++;
	b->bytes[i] = out->bytes;
	b->next[i] = NONE;
	b->after[out->object % OBJECTS] = (unsigned char)g;
}

/* Sorts waiting datagrams of one listening address, from the first on. Returns whether there is any. */
static bool gather(struct udp_sender *sender, struct batch *b)
{
	struct shm_out out;
	unsigned i;

	b->ngroups = 0;
	memset(b->after, 0, sizeof b->after);
	for (i = 0; i < BATCH && shm_outbox_entry(sender->self, i, &out) == 0; i++) {
		if (i == 0)
			b->listen = out.listen;
		else if (out.listen != b->listen)
			break;
		if (!out.sent)
			add(sender, b, i, &out);
	}
	b->looked_at = i;
	return i > 0;
}

/* ---- what the kernel gets */
static struct msghdr *add_message(struct batch *b, const struct sockaddr_storage *to, socklen_t length)
{
	struct mmsghdr *m = &b->message[b->nmessages++];

	*m = (struct mmsghdr){ .msg_hdr = { .msg_name = (void *)(uintptr_t)to, .msg_namelen = length, .msg_iov = &b->io[b->n] } };
	return &m->msg_hdr;
}

static void set_segment(struct msghdr *m, void *control, uint16_t bytes)
{
	struct cmsghdr *c;

	memset(control, 0, CMSG_SPACE(sizeof bytes));
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof bytes);
	c = CMSG_FIRSTHDR(m);
	*c = (struct cmsghdr){ .cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof bytes) };
	memcpy(CMSG_DATA(c), &bytes, sizeof bytes);
}

static void lay_out(struct shm_self *self, struct batch *b)
{
	b->message = shm_sending_open(self);
	b->nmessages = 0;
	b->n = 0;
	for (unsigned g = 0; g < b->ngroups; g++) {
		const struct group *group = &b->group[g];
		socklen_t length = addr_to_sockaddr(&group->to, &b->to[g]);
		bool one = group->n >= GROUP_MIN;
		struct msghdr *m = NULL;

		for (unsigned i = group->first; i != NONE; i = b->next[i]) {
			if (!m || !one)
				m = add_message(b, &b->to[g], length);
			b->io[b->n] = (struct iovec){ (void *)(uintptr_t)b->bytes[i], group->length };
			shm_sending_add(self, b->n, i);
			b->entry[b->n++] = (unsigned char)i;
			m->msg_iovlen++;
		}
		if (one)
			set_segment(m, &b->control[g], (uint16_t)group->length);
	}
	shm_sending_close(self, b->nmessages);
}

/* ---- what the kernel has taken */
/* So that the outbox begins with one that waits. */
static void drop_sent(struct shm_self *self)
{
	struct shm_out out;
	unsigned n = 0;

	while (shm_outbox_entry(self, n, &out) == 0 && out.sent)
		n++;
	if (n)
		shm_outbox_sent(self, n);
}

static void sent(struct udp_sender *sender, const struct batch *b, unsigned messages)
{
	unsigned n = 0, grouped = 0;

	for (unsigned k = 0; k < messages; k++) {
		unsigned in_it = (unsigned)b->message[k].msg_hdr.msg_iovlen;
		n += in_it;
		grouped += in_it > 1 ? in_it : 0;
	}
	shm_count_add(sender->self, CNT_datagrams_out, n);
	if (grouped)
		shm_count_add(sender->self, CNT_datagrams_grouped, grouped);
	if (messages == b->nmessages) {
		shm_outbox_sent(sender->self, b->looked_at);
		return;
	}
	for (unsigned k = 0; k < n; k++)
		shm_outbox_sent_early(sender->self, b->entry[k]);
	drop_sent(sender->self);
}

/* The first message cannot be sent. A group: its messages are tried singly, for what refuses a group (a tunnel, a card without checksums, a full queue) may well take them.
 * A datagram: out with it, so that it holds up nothing. */
static void refuse_first(struct udp_sender *sender, const struct batch *b)
{
	struct shm_out out;

	if (b->message[0].msg_hdr.msg_iovlen > 1) {
		send_singly(sender, &b->group[0].to);
		shm_count(sender->self, CNT_groups_refused);
		return;
	}
	if (shm_outbox_entry(sender->self, 0, &out))
		return;
	shm_outbox_sent(sender->self, 1);
	drop_sent(sender->self);
	shm_count(sender->self, CNT_send_errors);
	if (sender->refused)
		sender->refused(sender->arg, &out.to, out.bytes, out.length);
}

static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM;
}

int udp_flush(struct udp_sender *sender, unsigned *blocked)
{
	struct batch b;
	unsigned tries = 0, rounds = 0, read;

	drop_sent(sender->self); /* a predecessor may have died before it could */
	forget_singly(sender);
	while (gather(sender, &b)) {
		bool ours = b.listen < sender->nlisten, group;
		int n;

		if (!b.ngroups) { /* all were sent early */
			shm_outbox_sent(sender->self, b.looked_at);
			continue;
		}
		lay_out(sender->self, &b);
		group = b.message[0].msg_hdr.msg_iovlen > 1;
		n = ours ? sendmmsg(sender->fds[b.listen], b.message, b.nmessages, MSG_DONTWAIT) : -1;
		if (n > 0) {
			INJECT("net.taken");
			sent(sender, &b, (unsigned)n);
			tries = rounds = 0;
		} else if (ours && (errno == EAGAIN || (is_full(errno) && !group))) {
			if (blocked)
				*blocked = b.listen;
			return ERR_BUSY;
		} else if (ours && !is_full(errno) && tries < TRIES - 1 && rounds++ < ROUNDS) {
			read = udp_errors(sender, sender->fds[b.listen]);
			tries += read == 0 ? NOTHING_READ : read < ERRORS;
		} else {
			refuse_first(sender, &b);
			tries = rounds = 0;
		}
	}
	return 0;
}

/* ---- what the network sent back */
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

unsigned udp_errors(struct udp_sender *sender, int fd)
{
	char bytes[2048];
	union {
		char room[512];
		struct cmsghdr align;
	} control;
	struct sockaddr_storage ss;

	for (unsigned i = 0; i < ERRORS; i++) {
		struct iovec io = { bytes, sizeof bytes };
		struct msghdr m = { .msg_name = &ss, .msg_namelen = sizeof ss, .msg_iov = &io, .msg_iovlen = 1,
			.msg_control = &control, .msg_controllen = sizeof control };
		ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT);
		struct addr to;

		if (n < 0)
			return i;
		if (!has_unreachable(&m) || addr_from_sockaddr(&to, &ss, ADDR_UDP))
			continue;
		send_singly(sender, &to); /* of a group only the first one is reported, where the answer comes from this very machine */
		shm_count(sender->self, CNT_send_errors);
		if (sender->refused)
			sender->refused(sender->arg, &to, bytes, (uint32_t)n);
	}
	return ERRORS;
}
