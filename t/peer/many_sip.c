/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What callers and callees say, and what they make of what they hear: set-up, refreshes, the end. */
#include "t/peer/many.h"

#include <math.h>
#include <stdarg.h>
#include <unistd.h>

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
			      40000 + side, (int)opt.padding, 0);

	put(t, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", length, sdp);
}

static const char *allow(long i)
{
	return opt.reinvite_every && i % opt.reinvite_every == 0 ? "Allow: INVITE, ACK, CANCEL, BYE\r\n" : "Allow: INVITE, ACK, CANCEL, BYE, UPDATE\r\n";
}

void caller_request(long i, const char *method, int cseq)
{
	const struct call *c = &calls[i];
	bool invite = method[0] == 'I', first = c->state == IDLE || c->state == INVITED;
	struct text t = { .n = 0 };

	put(&t, "%s %s%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%ld%c%x\r\nMax-Forwards: 70\r\n", method, first ? "sip:100@" : c->target, first ? opt.text[2] : "", opt.text[CALLER], i,
	    method[0], (unsigned)getpid());
	put(&t, "From: <sip:a@%s>;tag=a%ld\r\nTo: <sip:100@example.net>%s", opt.text[CALLER], i, first ? "" : ";tag=b");
	if (!first)
		put(&t, "%ld", i);
	put(&t, "\r\nCall-ID: %ld-%x@many\r\nCSeq: %d %s\r\n", i, (unsigned)getpid(), cseq, method);
	if (invite) {
		put(&t, "Contact: <sip:a@%s>\r\n%s", opt.text[CALLER], allow(i));
		if (!opt.no_timer)
			put(&t, "Supported: timer\r\nSession-Expires: %ld\r\n", opt.ttl_s);
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

	return i >= 0 && i < opt.calls && *end == '-' && strtoul(end + 1, NULL, 16) == (unsigned long)getpid() ? i : -1;
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
	put(t, "Contact: <sip:%c@%s>\r\n%s", side == CALLER ? 'a' : 'b', opt.text[side], allow(i));
	if (expires && !opt.no_timer)
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
		count.refreshes++;
		s->refreshes++;
		if (opt.high_ms && ms > (double)opt.high_ms)
			count.late++;
		if (opt.high_ms && ms < (double)opt.low_ms)
			count.early++;
		count.late_max_ms = fmax(count.late_max_ms, ms - (double)opt.high_ms);
		count.early_max_ms = fmax(count.early_max_ms, (double)opt.low_ms - ms);
		s->cseq = cseq;
	} else {
		count.repeats++;
		count.cseq_bad += cseq < s->cseq;
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
	c->answer_wait_s = (double)opt.t1_ms / 1000;
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
		count.dead_ended++;
		count.dead_max_s = fmax(count.dead_max_s, at_s - other->confirmed_s);
	} else {
		count.cut++;
	}
	c->state = ENDED;
}

void request(int side, const char *m, double at_s)
{
	const char *cseq_text = header(m, "CSeq");
	uint32_t cseq = cseq_text ? (uint32_t)strtoul(cseq_text, NULL, 10) : 0;
	long i = index_of(m);
	struct call *c = i < 0 ? NULL : &calls[i];

	if (!c || c->side[side].dead) {
		count.strange += !c;
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
		count.strange++;
	}
}

void response(const char *m, double at_s)
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
			count.established++;
		}
		if (c->state >= TALKING && c->state != FAILED)
			caller_request(i, "ACK", 1);
	} else if (invite && status >= 300 && c->state == INVITED) {
		c->state = FAILED;
		count.failed++;
	} else if (!invite && c->state == LEAVING && status >= 200) {
		c->state = ENDED;
		count.left++;
	}
}
