/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of many calls at once, light enough to hold tens of thousands beside the proxy under test: callers on one socket, callees on another. Sets up
 * --calls at --rate, holds them for --hold seconds, lets every --dead-every-th die on one side without a word after --dead-after seconds, and has the callers of
 * the others hang up. Both ends answer refreshes and speak RFC 4028 (not with --no-timer 1); every
 * --reinvite-every-th call lists no UPDATE. --loss percent of all datagrams vanish, each way.
 * Descriptions are --padding bytes longer than they need be. Each refresh is held against its window: --low to --high milliseconds after the last confirmation, by the kernel's stamp on the packet.
 * Prints one line of JSON. Exit 1 where it could not run to its end. */
#include <arpa/inet.h>
#include <ctype.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX = 16384, PADDING_MAX = 8192, BUFFER_BYTES = 64 << 20, TURN_MS = 5, TARGET_MAX = 96, CALLER = 0, CALLEE = 1 };
enum state { IDLE, INVITED, TALKING, LEAVING, ENDED, FAILED };

struct side {
	double confirmed_s;     /* last 2xx to INVITE or UPDATE on this side's leg */
	uint32_t cseq;          /* highest of the proxy's requests */
	uint32_t refreshes;
	bool dead;
};
struct call {
	struct side side[2];
	enum state state;
	uint32_t invite_cseq;   /* on the callee's leg */
	double resend_s, wait_s, began_s; /* of the caller's request under way */
	double answer_s, answer_wait_s;   /* of the callee's 200, until its ACK */
	char *answer;
	char target[TARGET_MAX]; /* the proxy's Contact on the caller's leg */
};

static struct {
	long calls, rate, ttl_s, dead_every, reinvite_every, loss, low_ms, high_ms, t1_ms, no_timer, padding;
	double hold_s, dead_after_s, limit_s;
	struct sockaddr_in to, name[2];
	char text[3][32];       /* addresses as text: callers, callees, the proxy */
} o = { .calls = 1, .rate = 100, .ttl_s = 4, .high_ms = 0, .t1_ms = 500, .hold_s = 5, .limit_s = 120 };
static struct {
	long started, established, failed, refreshes, repeats, early, late, cut, dead, dead_ended, left, strange, cseq_bad;
	double late_max_ms, dead_max_s, early_max_ms;
} n = { .late_max_ms = -1e6 };
static struct call *calls;
static int fd[2];
static double turn_s;
static uint64_t seed = 88172645463325252ull;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool lost(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (long)(seed % 100) < o.loss;
}

static void emit(int side, const char *bytes, size_t length)
{
	if (!lost())
		sendto(fd[side], bytes, length, 0, (struct sockaddr *)&o.to, sizeof o.to);
}

/* ------------------------------------------------------------------------------------------ writing */

struct text { char p[MESSAGE_MAX]; size_t n; };

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
	va_list a;
	int k;

	va_start(a, format);
	k = vsnprintf(t->p + t->n, sizeof t->p - t->n, format, a);
	va_end(a);
	t->n += k > 0 ? (size_t)k : 0;
	if (t->n >= sizeof t->p)
		fail("a message too long");
}

static void put_body(struct text *t, int side)
{
	char sdp[512 + PADDING_MAX];
	int length = snprintf(sdp, sizeof sdp, "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=x-padding:%0*d\r\n",
			      40000 + side, (int)o.padding, 0);

	put(t, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", length, sdp);
}

static const char *allow(long i)
{
	return o.reinvite_every && i % o.reinvite_every == 0 ? "Allow: INVITE, ACK, CANCEL, BYE\r\n" : "Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\n";
}

static void caller_request(long i, const char *method, int cseq)
{
	const struct call *c = &calls[i];
	bool invite = method[0] == 'I', first = c->state == IDLE || c->state == INVITED;
	struct text t = { .n = 0 };

	put(&t, "%s %s%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%ld%c%x\r\nMax-Forwards: 70\r\n", method, first ? "sip:100@" : c->target, first ? o.text[2] : "", o.text[CALLER], i,
	    method[0], (unsigned)getpid());
	put(&t, "From: <sip:a@%s>;tag=a%ld\r\nTo: <sip:100@example.net>%s", o.text[CALLER], i, first ? "" : ";tag=b");
	if (!first)
		put(&t, "%ld", i);
	put(&t, "\r\nCall-ID: %ld-%x@many\r\nCSeq: %d %s\r\n", i, (unsigned)getpid(), cseq, method);
	if (invite) {
		put(&t, "Contact: <sip:a@%s>\r\n%s", o.text[CALLER], allow(i));
		if (!o.no_timer)
			put(&t, "Supported: timer\r\nSession-Expires: %ld\r\n", o.ttl_s);
		put_body(&t, CALLER);
	} else {
		put(&t, "Content-Length: 0\r\n\r\n");
	}
	emit(CALLER, t.p, t.n);
}

/* ------------------------------------------------------------------------------------------ reading */

/* The value of a header as we and the proxy write it; NULL where it is not there. */
static const char *header(const char *m, const char *name)
{
	char line[40];
	const char *at;

	snprintf(line, sizeof line, "\r\n%s: ", name);
	at = strstr(m, line);
	return at ? at + strlen(line) : NULL;
}

static long index_of(const char *m)
{
	const char *id = header(m, "Call-ID");
	char *end;
	long i = id ? strtol(id, &end, 10) : -1;

	return i >= 0 && i < o.calls && *end == '-' && strtoul(end + 1, NULL, 16) == (unsigned long)getpid() ? i : -1;
}

static void copy_line(struct text *t, const char *m, const char *name, const char *more)
{
	const char *v = header(m, name);

	if (v)
		put(t, "%s: %.*s%s\r\n", name, (int)strcspn(v, "\r"), v, more);
}

static void answer(struct text *t, int side, long i, const char *m, bool session)
{
	const char *to = header(m, "To"), *expires = header(m, "Session-Expires");
	bool has_tag = to && memmem(to, strcspn(to, "\r"), ";tag=", 5);
	char tag[24];

	snprintf(tag, sizeof tag, ";tag=b%ld", i);
	put(t, "SIP/2.0 200 OK\r\n");
	for (const char *at = m; (at = header(at, "Via")); )
		put(t, "Via: %.*s\r\n", (int)strcspn(at, "\r"), at);
	copy_line(t, m, "From", "");
	copy_line(t, m, "To", has_tag ? "" : tag);
	copy_line(t, m, "Call-ID", "");
	copy_line(t, m, "CSeq", "");
	if (!session) {
		put(t, "Content-Length: 0\r\n\r\n");
		return;
	}
	put(t, "Contact: <sip:%c@%s>\r\n%s", side == CALLER ? 'a' : 'b', o.text[side], allow(i));
	if (expires && !o.no_timer)
		put(t, "Supported: timer\r\nRequire: timer\r\nSession-Expires: %.*s\r\n", (int)strcspn(expires, "\r"), expires);
	if (strncmp(m, "INVITE", 6) == 0)
		put_body(t, side);
	else
		put(t, "Content-Length: 0\r\n\r\n");
}

/* A refresh: in its window? Then answered. */
static void refreshed(long i, int side, const char *m, uint32_t cseq, double at_s)
{
	struct side *s = &calls[i].side[side];
	double ms = (at_s - s->confirmed_s) * 1000;
	struct text t = { .n = 0 };

	if (cseq > s->cseq) {
		n.refreshes++;
		s->refreshes++;
		if (o.high_ms && ms > (double)o.high_ms)
			n.late++;
		if (o.high_ms && ms < (double)o.low_ms)
			n.early++;
		n.late_max_ms = fmax(n.late_max_ms, ms - (double)o.high_ms);
		n.early_max_ms = fmax(n.early_max_ms, (double)o.low_ms - ms);
		s->cseq = cseq;
	} else {
		n.repeats++;
		n.cseq_bad += cseq < s->cseq;
	}
	answer(&t, side, i, m, true);
	emit(side, t.p, t.n);
	s->confirmed_s = at_s;
}

static void invited(long i, const char *m, uint32_t cseq, double at_s)
{
	struct call *c = &calls[i];
	struct text t = { .n = 0 };

	if (c->invite_cseq) {
		if (c->answer)
			emit(CALLEE, c->answer, strlen(c->answer));
		return;
	}
	c->invite_cseq = c->side[CALLEE].cseq = cseq;
	c->side[CALLEE].confirmed_s = at_s;
	answer(&t, CALLEE, i, m, true);
	if (!(c->answer = strdup(t.p)))
		fail("memory");
	c->answer_wait_s = (double)o.t1_ms / 1000;
	c->answer_s = at_s + c->answer_wait_s;
	emit(CALLEE, t.p, t.n);
}

static void hung_up(long i, int side, const char *m, double at_s)
{
	struct call *c = &calls[i];
	const struct side *other = &c->side[!side];
	struct text t = { .n = 0 };

	answer(&t, side, i, m, false);
	emit(side, t.p, t.n);
	if (c->state == ENDED || c->state == FAILED || c->state == LEAVING)
		return; /* a repeat, or our own caller's */
	if (other->dead) {
		n.dead_ended++;
		n.dead_max_s = fmax(n.dead_max_s, at_s - other->confirmed_s);
	} else {
		n.cut++;
	}
	c->state = ENDED;
}

static void request(int side, const char *m, double at_s)
{
	const char *cseq_text = header(m, "CSeq");
	uint32_t cseq = cseq_text ? (uint32_t)strtoul(cseq_text, NULL, 10) : 0;
	long i = index_of(m);
	struct call *c = i < 0 ? NULL : &calls[i];

	if (!c || c->side[side].dead) {
		n.strange += !c;
		return;
	}
	if (strncmp(m, "ACK ", 4) == 0) {
		free(c->answer);
		c->answer = NULL;
	} else if (strncmp(m, "BYE ", 4) == 0) {
		hung_up(i, side, m, at_s);
	} else if (side == CALLEE && strncmp(m, "INVITE ", 7) == 0 && (!c->invite_cseq || cseq == c->invite_cseq)) {
		invited(i, m, cseq, at_s);
	} else if (strncmp(m, "INVITE ", 7) == 0 || strncmp(m, "UPDATE ", 7) == 0) {
		refreshed(i, side, m, cseq, at_s);
	} else {
		n.strange++;
	}
}

static void response(const char *m, double at_s)
{
	long status = strtol(m + 8, NULL, 10), i = index_of(m);
	const char *cseq = header(m, "CSeq"), *contact = header(m, "Contact");
	struct call *c = i < 0 ? NULL : &calls[i];
	bool invite = cseq && strstr(cseq, "INVITE") == cseq + strspn(cseq, "0123456789 ");

	if (!c || c->side[CALLER].dead)
		return;
	if (invite && status < 200 && c->state == INVITED) {
		c->resend_s = INFINITY;
	} else if (invite && status >= 200 && status < 300) {
		if (contact && *contact == '<')
			snprintf(c->target, sizeof c->target, "%.*s", (int)strcspn(contact + 1, ">"), contact + 1);
		if (c->state == INVITED) {
			c->state = TALKING;
			c->side[CALLER].confirmed_s = at_s;
			n.established++;
		}
		if (c->state >= TALKING && c->state != FAILED)
			caller_request(i, "ACK", 1);
	} else if (invite && status >= 300 && c->state == INVITED) {
		c->state = FAILED;
		n.failed++;
	} else if (!invite && c->state == LEAVING && status >= 200) {
		c->state = ENDED;
		n.left++;
	}
}

/* ------------------------------------------------------------------------------------------ the loop */

static void take(int side)
{
	char bytes[MESSAGE_MAX + 1], control[64];
	struct iovec v = { bytes, MESSAGE_MAX };
	struct msghdr h;
	ssize_t got;

	for (int k = 0; k < 256; k++) {
		double at_s = now_s();
		h = (struct msghdr){ .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
		if ((got = recvmsg(fd[side], &h, MSG_DONTWAIT)) <= 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
			struct timespec t;
			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
				continue;
			memcpy(&t, CMSG_DATA(c), sizeof t);
			at_s = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
		}
		bytes[got] = 0;
		if (lost())
			continue;
		if (strncmp(bytes, "SIP/2.0 ", 8) == 0)
			response(bytes, at_s);
		else
			request(side, bytes, at_s);
	}
}

/* What is to be sent again: T1 doubling up to eight times of it. */
static void resend(long i)
{
	struct call *c = &calls[i];
	double most_s = 8.0 * (double)o.t1_ms / 1000;

	if (c->answer && turn_s >= c->answer_s) {
		if (!c->side[CALLEE].dead)
			emit(CALLEE, c->answer, strlen(c->answer));
		c->answer_wait_s = fmin(2 * c->answer_wait_s, most_s);
		c->answer_s = turn_s + c->answer_wait_s;
	}
	if ((c->state != INVITED && c->state != LEAVING) || turn_s < c->resend_s || c->side[CALLER].dead)
		return;
	if (turn_s > c->began_s + 32) {
		c->state = FAILED;
		n.failed++;
		return;
	}
	caller_request(i, c->state == INVITED ? "INVITE" : "BYE", c->state == INVITED ? 1 : 2);
	c->wait_s = fmin(2 * c->wait_s, most_s);
	c->resend_s = turn_s + c->wait_s;
}

static void begin(long i, enum state state)
{
	struct call *c = &calls[i];

	c->state = state;
	c->began_s = turn_s;
	c->wait_s = (double)o.t1_ms / 1000;
	c->resend_s = turn_s + c->wait_s;
	caller_request(i, state == INVITED ? "INVITE" : "BYE", state == INVITED ? 1 : 2);
}

/* Callers and callees die in turn. */
static void some_die(void)
{
	for (long i = 0; o.dead_every && i < o.calls; i += o.dead_every) {
		if (calls[i].state != TALKING)
			continue;
		calls[i].side[i / o.dead_every % 2].dead = true;
		n.dead++;
	}
}

static bool is_dead(const struct call *c)
{
	return c->side[CALLER].dead || c->side[CALLEE].dead;
}

static long fewest(void)
{
	long least = -1;

	for (long i = 0; i < o.calls; i++)
		for (int k = 0; k < 2; k++)
			if (calls[i].state != FAILED && !is_dead(&calls[i]) && (least < 0 || calls[i].side[k].refreshes < (unsigned long)least))
				least = (long)calls[i].side[k].refreshes;
	return least;
}

/* One turn of time; returns whether anything is still to come. */
static bool turn(double began_s)
{
	static double all_s, leave_s;
	static bool died;
	static long next_leaver;
	double due = (turn_s - began_s) * (double)o.rate;

	while (n.started < o.calls && (double)n.started < due)
		begin(n.started++, INVITED);
	if (!all_s && n.established + n.failed >= o.calls)
		all_s = turn_s;
	if (all_s && !died && turn_s > all_s + o.dead_after_s) {
		some_die();
		died = true;
	}
	if (all_s && !leave_s && turn_s > all_s + o.hold_s)
		leave_s = turn_s;
	for (; leave_s && next_leaver < o.calls && (double)next_leaver < (turn_s - leave_s) * (double)o.rate; next_leaver++)
		if (calls[next_leaver].state == TALKING && !is_dead(&calls[next_leaver]))
			begin(next_leaver, LEAVING);
	if (!leave_s || next_leaver < o.calls)
		return true;
	for (long i = 0; i < o.calls; i++)
		if (calls[i].state != ENDED && calls[i].state != FAILED)
			return true;
	return false;
}

static void run(void)
{
	double began_s = now_s(), looked_s = 0;
	struct pollfd p[2] = { { .fd = fd[0], .events = POLLIN }, { .fd = fd[1], .events = POLLIN } };

	for (turn_s = began_s; turn(began_s) && turn_s < began_s + o.limit_s; turn_s = now_s()) {
		if (turn_s > looked_s + 0.01) {
			for (long i = 0; i < n.started; i++)
				resend(i);
			looked_s = turn_s;
		}
		poll(p, 2, TURN_MS);
		take(CALLER);
		take(CALLEE);
	}
}

static void open_side(int side)
{
	int bytes = BUFFER_BYTES, on = 1;

	fd[side] = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd[side] < 0 || bind(fd[side], (struct sockaddr *)&o.name[side], sizeof o.name[side]))
		fail(o.text[side]);
	if (setsockopt(fd[side], SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes))
		setsockopt(fd[side], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (setsockopt(fd[side], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
		fail("time stamps");
}

static void address(struct sockaddr_in *a, char text[32], const char *given)
{
	const char *colon = strrchr(given, ':');
	char host[32];

	snprintf(host, sizeof host, "%.*s", colon ? (int)(colon - given) : 0, given);
	snprintf(text, 32, "%s", given);
	*a = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon ? colon + 1 : "0", NULL, 10)) };
	if (inet_pton(AF_INET, host, &a->sin_addr) != 1)
		fail(given);
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "to", 1, 0, 't' }, { "callers", 1, 0, 'a' }, { "callees", 1, 0, 'b' }, { "calls", 1, 0, 'n' }, { "rate", 1, 0, 'r' }, { "ttl", 1, 0, 'T' },
		{ "hold", 1, 0, 'h' }, { "dead-every", 1, 0, 'd' }, { "dead-after", 1, 0, 'D' }, { "reinvite-every", 1, 0, 'i' }, { "loss", 1, 0, 'l' },
		{ "low", 1, 0, 'L' }, { "high", 1, 0, 'H' }, { "t1", 1, 0, '1' }, { "limit", 1, 0, 'm' }, { "seed", 1, 0, 's' },
		{ "no-timer", 1, 0, 'N' }, { "padding", 1, 0, 'p' }, { 0 },
	};
	long *number[128] = { ['n'] = &o.calls, ['r'] = &o.rate, ['T'] = &o.ttl_s, ['d'] = &o.dead_every, ['i'] = &o.reinvite_every, ['l'] = &o.loss, ['L'] = &o.low_ms,
		['H'] = &o.high_ms, ['1'] = &o.t1_ms, ['N'] = &o.no_timer, ['p'] = &o.padding };
	double *seconds[128] = { ['h'] = &o.hold_s, ['D'] = &o.dead_after_s, ['m'] = &o.limit_s };

	for (int k; (k = getopt_long(argc, argv, "", known, NULL)) != -1; ) {
		if (k == 't' || k == 'a' || k == 'b')
			address(k == 't' ? &o.to : &o.name[k - 'a'], o.text[k == 't' ? 2 : k - 'a'], optarg);
		else if (k == 's')
			seed = strtoull(optarg, NULL, 10) * 2654435761u + 1;
		else if (k < 128 && number[k])
			*number[k] = strtol(optarg, NULL, 10);
		else if (k < 128 && seconds[k])
			*seconds[k] = strtod(optarg, NULL);
		else
			exit(2);
	}
}

int main(int argc, char **argv)
{
	options(argc, argv);
	if (o.padding > PADDING_MAX)
		exit(2);
	open_side(CALLER);
	open_side(CALLEE);
	if (!(calls = calloc((size_t)o.calls, sizeof *calls)))
		fail("memory");
	run();
	printf("{\"calls\":%ld,\"established\":%ld,\"failed\":%ld,\"refreshes\":%ld,\"fewest\":%ld,\"repeats\":%ld,\"early\":%ld,\"late\":%ld,"
	       "\"early_max_ms\":%.1f,\"late_max_ms\":%.1f,\"cut\":%ld,\"left\":%ld,\"dead\":%ld,\"dead_ended\":%ld,\"dead_max_s\":%.3f,\"strange\":%ld,\"cseq_bad\":%ld}\n",
	       o.calls, n.established, n.failed, n.refreshes, fewest(), n.repeats, n.early, n.late, n.early_max_ms, n.late_max_ms, n.cut, n.left, n.dead, n.dead_ended,
	       n.dead_max_s, n.strange, n.cseq_bad);
	return n.established + n.failed == o.calls ? 0 : 1;
}
