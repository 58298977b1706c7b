/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ends of many calls at once, light enough to hold tens of thousands beside the proxy under test: callers on one socket, callees on another. Sets up
 * --calls at --rate, holds them for --hold seconds, lets every --dead-every-th die on one side without a word after --dead-after seconds, and has the callers of
 * the others hang up. Both ends answer refreshes and speak RFC 4028 (not with --no-timer 1); every
 * --reinvite-every-th call lists no UPDATE. --loss percent of all datagrams vanish, each way.
 * Descriptions are --padding bytes longer than they need be. Each refresh is held against its window: --low to --high milliseconds after the last confirmation, by the kernel's stamp on the packet.
 * Prints one line of JSON. Exit 1 where it could not run to its end. */
#include "t/peer/many.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 64 << 20, TURN_MS = 5 };

struct options opt = { .calls = 1, .rate = 100, .ttl_s = 4, .high_ms = 0, .t1_ms = 500, .hold_s = 5, .limit_s = 120 };
struct counts count = { .late_max_ms = -1e6 };
struct call *calls;
static int fd[2];
double turn_s;
static uint64_t seed = 88172645463325252ull;

_Noreturn void fail(const char *what)
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
	return (long)(seed % 100) < opt.loss;
}

void emit(int side, const char *bytes, size_t length)
{
	if (!lost())
		sendto(fd[side], bytes, length, 0, (struct sockaddr *)&opt.to, sizeof opt.to);
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
	double most_s = 8.0 * (double)opt.t1_ms / 1000;

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
		count.failed++;
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
	c->wait_s = (double)opt.t1_ms / 1000;
	c->resend_s = turn_s + c->wait_s;
	caller_request(i, state == INVITED ? "INVITE" : "BYE", state == INVITED ? 1 : 2);
}

/* Callers and callees die in turn. */
static void some_die(void)
{
	for (long i = 0; opt.dead_every && i < opt.calls; i += opt.dead_every) {
		if (calls[i].state != TALKING)
			continue;
		calls[i].side[i / opt.dead_every % 2].dead = true;
		count.dead++;
	}
}

static bool is_dead(const struct call *c)
{
	return c->side[CALLER].dead || c->side[CALLEE].dead;
}

static long fewest(void)
{
	long least = -1;

	for (long i = 0; i < opt.calls; i++)
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
	double due = (turn_s - began_s) * (double)opt.rate;

	while (count.started < opt.calls && (double)count.started < due)
		begin(count.started++, INVITED);
	if (!all_s && count.established + count.failed >= opt.calls)
		all_s = turn_s;
	if (all_s && !died && turn_s > all_s + opt.dead_after_s) {
		some_die();
		died = true;
	}
	if (all_s && !leave_s && turn_s > all_s + opt.hold_s)
		leave_s = turn_s;
	for (; leave_s && next_leaver < opt.calls && (double)next_leaver < (turn_s - leave_s) * (double)opt.rate; next_leaver++)
		if (calls[next_leaver].state == TALKING && !is_dead(&calls[next_leaver]))
			begin(next_leaver, LEAVING);
	if (!leave_s || next_leaver < opt.calls)
		return true;
	for (long i = 0; i < opt.calls; i++)
		if (calls[i].state != ENDED && calls[i].state != FAILED)
			return true;
	return false;
}

static void run(void)
{
	double began_s = now_s(), looked_s = 0;
	struct pollfd p[2] = { { .fd = fd[0], .events = POLLIN }, { .fd = fd[1], .events = POLLIN } };

	for (turn_s = began_s; turn(began_s) && turn_s < began_s + opt.limit_s; turn_s = now_s()) {
		if (turn_s > looked_s + 0.01) {
			for (long i = 0; i < count.started; i++)
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
	if (fd[side] < 0 || bind(fd[side], (struct sockaddr *)&opt.name[side], sizeof opt.name[side]))
		fail(opt.text[side]);
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
	long *number[128] = { ['n'] = &opt.calls, ['r'] = &opt.rate, ['T'] = &opt.ttl_s, ['d'] = &opt.dead_every, ['i'] = &opt.reinvite_every, ['l'] = &opt.loss, ['L'] = &opt.low_ms,
		['H'] = &opt.high_ms, ['1'] = &opt.t1_ms, ['N'] = &opt.no_timer, ['p'] = &opt.padding };
	double *seconds[128] = { ['h'] = &opt.hold_s, ['D'] = &opt.dead_after_s, ['m'] = &opt.limit_s };

	for (int k; (k = getopt_long(argc, argv, "", known, NULL)) != -1; ) {
		if (k == 't' || k == 'a' || k == 'b')
			address(k == 't' ? &opt.to : &opt.name[k - 'a'], opt.text[k == 't' ? 2 : k - 'a'], optarg);
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
	if (opt.padding > PADDING_MAX)
		exit(2);
	open_side(CALLER);
	open_side(CALLEE);
	if (!(calls = calloc((size_t)opt.calls, sizeof *calls)))
		fail("memory");
	run();
	printf("{\"calls\":%ld,\"established\":%ld,\"failed\":%ld,\"refreshes\":%ld,\"fewest\":%ld,\"repeats\":%ld,\"early\":%ld,\"late\":%ld,"
	       "\"early_max_ms\":%.1f,\"late_max_ms\":%.1f,\"cut\":%ld,\"left\":%ld,\"dead\":%ld,\"dead_ended\":%ld,\"dead_max_s\":%.3f,\"strange\":%ld,\"cseq_bad\":%ld}\n",
	       opt.calls, count.established, count.failed, count.refreshes, fewest(), count.repeats, count.early, count.late, count.early_max_ms, count.late_max_ms, count.cut, count.left, count.dead, count.dead_ended,
	       count.dead_max_s, count.strange, count.cseq_bad);
	return count.established + count.failed == opt.calls ? 0 : 1;
}
