/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/child.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "base/inject.h"
#include "proc/log.h"
#include "txn/txn.h"

enum {
	TIMER_NICE = -10,
	PULSE_MS = 1000,       /* an idle child still shows that it lives */
	ROOM = 2 * SHM_SENDS_MAX,
	BATCH = 64,            /* sent before more is handled: fewer would wake the peers more often, more would overrun those with small buffers */
	PREFAULT_MS = 10, PREFAULT_BYTES = 8 << 20,
	BLOCKED_MS = 100,      /* longest wait for a full socket buffer */
};

static const char *const kind_names[] = {
	[SHM_SUPERVISOR] = "supervisor", [SHM_WORKER] = "worker", [SHM_TIMER] = "timer",
	[SHM_RECORDER] = "recorder", [SHM_CONTROL] = "control",
};

static uint64_t draw(void *arg)
{
	struct child *c = arg;

	if (c->nrandom == 0) {
		BUG_ON(getrandom(c->random, sizeof c->random, 0) != (ssize_t)sizeof c->random);
		c->nrandom = sizeof c->random / sizeof c->random[0];
	}
	return c->random[--c->nrandom];
}

static void give_up(const char *what)
{
	log_error("%s: %s", what, strerror(errno));
	_exit(1);
}

/* A busy machine must not make resends late: the timer process goes before the workers, where we may ask for that (needs CAP_SYS_NICE). */
static void take_precedence(enum shm_kind kind)
{
	if (kind == SHM_TIMER)
		(void)setpriority(PRIO_PROCESS, 0, TIMER_NICE);
}

/* setresuid clears the wish to die with the parent, so that comes after; a parent that died before is seen by getppid. */
static void shed(const struct heritage *h)
{
	if (h->uid != (uid_t)-1 &&
	    (setgroups(0, NULL) || setresgid(h->gid, h->gid, h->gid) || setresuid(h->uid, h->uid, h->uid)))
		give_up("cannot become the configured user");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		give_up("prctl");
	if (getppid() != h->supervisor)
		_exit(0);
}

static void name_process(enum shm_kind kind, unsigned index)
{
	char name[32], title[16];

	if (kind == SHM_WORKER)
		snprintf(name, sizeof name, "worker %u", index);
	else
		snprintf(name, sizeof name, "%s", kind_names[kind]);
	log_name(name);
	snprintf(title, sizeof title, kind == SHM_WORKER ? "velador-%.1s%u" : "velador-%.7s", kind_names[kind], index);
	prctl(PR_SET_NAME, title);
}

static void on_signal(uv_poll_t *handle, int status, int events)
{
	struct child *c = handle->data;
	struct signalfd_siginfo info;

	(void)status;
	(void)events;
	child_wake(c);
	while (read(c->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGTERM)
			c->leaving = true;
		else if (info.ssi_signo == SIGHUP && c->hup)
			c->hup(c);
	}
}

/* The terminal's SIGINT reaches every process of the group; only the supervisor acts on it. */
static void open_signals(struct child *c)
{
	sigset_t mine;

	sigemptyset(&mine);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGHUP);
	c->signal_fd = signalfd(-1, &mine, SFD_NONBLOCK | SFD_CLOEXEC);
	if (c->signal_fd < 0)
		give_up("signalfd");
	uv_poll_init(&c->loop, &c->signals, c->signal_fd);
	c->signals.data = c;
	uv_poll_start(&c->signals, UV_READABLE, on_signal);
}

static void on_pulse(uv_timer_t *handle)
{
	child_wake(handle->data);
}

/* A pair that no table lists is counted each time and said once, by each process. */
static void say_unlisted(struct child *c)
{
	const struct core_unlisted *u = &c->core.unlisted;

	if (!u->machine || c->said_unlisted)
		return;
	c->said_unlisted = true;
	log_warning("an event that no table lists: %s transaction, state %s, event %s; dropped. Please report this. Later ones are only counted (stats: unlisted_event)",
		    txn_machine_name((enum txn_machine)u->machine), txn_state_name((enum txn_state)u->state), txn_event_name((enum txn_event)u->event));
}

static void ring_timer(const struct child *c)
{
	uint64_t one = 1;

	(void)!write(c->h->bell_fd, &one, sizeof one); /* full: it rings already */
}

static void ring_if_early(const struct child *c)
{
	if (!shm_board_early(c->h->shm) || c->is_timer)
		return;
	INJECT("child.unrung");
	ring_timer(c);
}

/* The end of a turn. Nothing found in the arena is used after this. */
static void on_before_sleep(uv_prepare_t *handle)
{
	struct child *c = handle->data;

	if (c->leaving)
		child_wake(c);
	if (!c->awake)
		return;
	if (c->end_turn)
		c->end_turn(c);
	else
		child_flush(c, NULL);
	ring_if_early(c); /* a datagram that was refused may have changed a call */
	shm_rcu_quiescent(c->self);
	say_unlisted(c);
	if (c->leaving && (!c->may_leave || c->may_leave(c)))
		uv_stop(&c->loop);
	shm_rcu_offline(c->self);
	c->awake = false;
}

static void refused(void *arg, const struct addr *to, const void *bytes, uint32_t length)
{
	struct child *c = arg;

	if (shm_outbox_count(c->self) <= SHM_OUTBOX - ROOM) /* else its timer finds out */
		core_transport_error(&c->core, to, bytes, length);
}

static void fill_core(struct child *c)
{
	const struct heritage *h = c->h;

	c->core = (struct core){
		.shm = h->shm, .self = c->self, .route = h->route, .params = &h->conf->params,
		.listen = h->listen, .nlisten = h->nlisten, .max_calls = h->conf->velador.max_calls,
		.drop_unknown = h->conf->security.unknown == CONF_UNKNOWN_DROP,
		.random = draw, .random_arg = c,
	};
	c->sender = (struct udp_sender){
		.self = c->self, .fds = h->udp_fds, .nlisten = h->nlisten, .refused = refused, .arg = c,
		/* what is sent again is sent by itself: to it the network's answer comes for each */
		.may_group = h->conf->listen.udp_gso && !c->is_timer && udp_can_group(h->udp_fds[0]),
	};
}

static void open_loop(struct child *c)
{
	uint64_t pulse_ms = c->h->conf->velador.heartbeat_ms / 2;

	close(c->h->loop_fd);
	if (uv_loop_init(&c->loop))
		give_up("uv_loop_init");
	open_signals(c);
	uv_prepare_init(&c->loop, &c->before_sleep);
	c->before_sleep.data = c;
	uv_prepare_start(&c->before_sleep, on_before_sleep);
	uv_timer_init(&c->loop, &c->pulse);
	c->pulse.data = c;
	pulse_ms = pulse_ms < PULSE_MS ? pulse_ms : PULSE_MS;
	uv_timer_start(&c->pulse, on_pulse, pulse_ms, pulse_ms);
}

void child_start(struct child *c, const struct heritage *h, enum shm_kind kind, unsigned index)
{
	*c = (struct child){ .h = h, .is_timer = kind == SHM_TIMER };
	name_process(kind, index);
	take_precedence(kind);
	shed(h);
	if (shm_self_claim(&c->self, h->shm, kind, index))
		give_up("cannot claim a process slot");
	fill_core(c);
	open_loop(c);
	child_wake(c);
	ring_timer(c); /* a predecessor may have died when it was about to */
}

void child_clock(struct child *c)
{
	struct timespec boot, wall;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	clock_gettime(CLOCK_REALTIME, &wall);
	c->core.now_ms = (uint64_t)boot.tv_sec * 1000 + (uint64_t)boot.tv_nsec / 1000000;
	c->core.wall_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
	if (c->running)
		shm_heartbeat(c->self, c->core.now_ms);
}

void child_wake(struct child *c)
{
	if (c->awake)
		return;
	shm_rcu_online(c->self);
	c->awake = true;
	child_clock(c);
}

bool child_flush(struct child *c, unsigned *blocked)
{
	ring_if_early(c);
	return shm_outbox_count(c->self) == 0 || udp_flush(&c->sender, blocked) == 0;
}

void child_make_room(struct child *c)
{
	unsigned blocked = 0;

	if (shm_outbox_count(c->self) < BATCH || child_flush(c, &blocked))
		return;
	for (int i = 0; i < BLOCKED_MS && shm_outbox_count(c->self) > SHM_OUTBOX - ROOM; i++) {
		if (child_flush(c, &blocked))
			return;
		poll(NULL, 0, 1); /* it may be a queue behind the socket that is full: the socket says that it has room */
	}
	while (shm_outbox_count(c->self) > SHM_OUTBOX - ROOM) {
		struct shm_out first;

		if (shm_outbox_entry(c->self, 0, &first) == 0 && !first.sent)
			shm_count(c->self, CNT_send_errors);
		shm_outbox_sent(c->self, 1);
	}
}

static void on_prefault(uv_timer_t *handle)
{
	struct child *c = handle->data;

	if (!shm_prefault(c->h->shm, &c->prefaulted_bytes, PREFAULT_BYTES))
		uv_timer_stop(handle);
}

void child_prefault(struct child *c)
{
	uv_timer_init(&c->loop, &c->prefault);
	c->prefault.data = c;
	uv_timer_start(&c->prefault, on_prefault, PREFAULT_MS, PREFAULT_MS);
}

static _Noreturn void leave(struct child *c)
{
	if (shm_outbox_count(c->self) == 0)
		shm_self_leave(c->self);
	_exit(0);
}

_Noreturn void child_bury(const struct heritage *h, enum shm_kind kind, unsigned index)
{
	static struct child c;

	child_start(&c, h, kind, index);
	child_flush(&c, NULL);
	ring_if_early(&c);
	shm_rcu_quiescent(c.self);
	leave(&c);
}

_Noreturn void child_run(struct child *c)
{
	c->running = true;
	child_clock(c);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	leave(c);
}
