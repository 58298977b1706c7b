/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/err.h"
#include "proc/child.h"
#include "proc/control.h"
#include "proc/log.h"
#include "proc/recorder.h"
#include "proc/supervisor_private.h"
#include "proc/timer.h"
#include "proc/worker.h"

enum {
	TICK_BUSY_MS = 5,        /* while something is under way */
	TICK_IDLE_MS = 200,
	QUICK_MS = 100,          /* a death so soon after the start is no progress, unless something was done */
	CRASH_MS = 1000,         /* crashes so soon after the start have one cause */
	QUICK_DEATHS_FREE = 3,   /* so many in a row are replaced at once */
	PAUSE_MIN_MS = 50, PAUSE_MAX_MS = 5000,
	STOP_MS = 3000,          /* children that do not leave by then are killed */
	START_DEATHS_MAX = 5,    /* before the first "ready" */
};

static const char *const kinds[] = {
	[SHM_WORKER] = "worker", [SHM_TIMER] = "timer", [SHM_RECORDER] = "recorder", [SHM_CONTROL] = "control",
};

static uint64_t boot_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* sd_notify(3): one datagram to the socket that systemd names. */
static void sup_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		log_warning("NOTIFY_SOCKET: %s", strerror(errno));
	close(fd);
}

static const char *sup_name(const struct sup_child *child)
{
	static char name[32];

	snprintf(name, sizeof name, child->kind == SHM_WORKER ? "%s %u" : "%s", kinds[child->kind], child->index);
	return name;
}

/* ------------------------------------------------------------------------------------------ children */
static struct shm_proc_info sup_info(const struct supervisor *s, const struct sup_child *child)
{
	struct shm_proc_info info;

	shm_proc_info(s->heritage.shm, shm_proc_slot(s->heritage.shm, child->kind, child->index), &info);
	return info;
}

/* Whether the child's loop has turned. */
static bool sup_has_run(const struct supervisor *s, const struct sup_child *child)
{
	struct shm_proc_info info = sup_info(s, child);

	return info.pid == child->pid && info.heartbeat_ms >= child->forked_ms;
}

void sup_set_state(struct supervisor *s, struct sup_child *child, enum sup_state state)
{
	static const char *const states[] = { "starting", "running", "leaving", "burying", "waiting", "gone" };

	log_debug("%s (pid %d): %s -> %s", sup_name(child), (int)child->pid, states[child->state], states[state]);
	child->state = state;
	child->since_ms = s->now_ms;
	if (state != SUP_RUNNING && s->tick.timer_cb)
		uv_timer_start(&s->tick, s->tick.timer_cb, TICK_BUSY_MS, TICK_BUSY_MS);
}

static _Noreturn void sup_become(const struct heritage *h, const struct sup_child *child)
{
	switch (child->kind) {
	case SHM_WORKER: worker(h, child->index);
	case SHM_TIMER: timer(h);
	case SHM_RECORDER: recorder(h);
	case SHM_CONTROL: control(h);
	default: BUG("no such child");
	}
}

void sup_fork(struct supervisor *s, struct sup_child *child)
{
	pid_t pid;

	s->heritage.crashes = child->crashes;
	child->progress = sup_info(s, child).progress;
	pid = fork();
	if (pid == 0)
		sup_become(&s->heritage, child);
	child->silenced = child->outdated = false;
	child->forked_ms = s->now_ms;
	if (pid < 0) {
		log_error("cannot fork %s: %s", sup_name(child), strerror(errno));
		child->pid = 0;
		child->retry_ms = s->now_ms + PAUSE_MIN_MS;
		sup_set_state(s, child, SUP_WAITING);
		return;
	}
	child->pid = pid;
	sup_set_state(s, child, SUP_STARTING);
}

void sup_ask_to_leave(struct supervisor *s, struct sup_child *child)
{
	kill(child->pid, SIGTERM);
	sup_set_state(s, child, SUP_LEAVING);
}

static void sup_log_death(const struct sup_child *child, int status, pid_t successor)
{
	char how[64], next[48] = "";

	if (WIFSIGNALED(status))
		snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
	if (successor)
		snprintf(next, sizeof next, ", replaced by pid %d", (int)successor);
	log_warning("%s (pid %d) %s%s%s", sup_name(child), (int)child->pid, how, child->silenced ? " for its silence" : "", next);
}

/* Deaths without progress slow the replacement down. Crashes in a row, by whatever they work on, are told to the successor; someone else's
 * SIGKILL says nothing about it. */
static void sup_count_death(const struct supervisor *s, struct sup_child *child, int status, bool asked)
{
	uint64_t lived_ms = s->now_ms - child->forked_ms;
	bool crashed = child->silenced || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
	bool progress = sup_info(s, child).progress != child->progress || (sup_has_run(s, child) && lived_ms >= QUICK_MS);

	child->quick_deaths = asked || progress ? 0 : child->quick_deaths + 1;
	if (child->silenced) /* that time was no life */
		lived_ms = lived_ms > s->heritage.conf->velador.heartbeat_ms ? lived_ms - s->heritage.conf->velador.heartbeat_ms : 0;
	if (lived_ms >= CRASH_MS)
		child->crashes = 0;
	child->crashes += crashed && !asked;
}

/* A dead process that nobody follows holds up every grace period, and the call that it held. */
static void sup_bury(struct supervisor *s, struct sup_child *child)
{
	child->pid = fork();
	if (child->pid == 0)
		child_bury(&s->heritage, child->kind, child->index);
	child->silenced = child->outdated = false;
	if (child->pid < 0)
		child->pid = 0;
	sup_set_state(s, child, child->pid ? SUP_BURYING : SUP_WAITING);
}

/* Only what the others have ended keeps us: a recorder that was killed gets a successor, once. */
static void sup_died_stopping(struct supervisor *s, struct sup_child *child, int status)
{
	if (child->kind == SHM_RECORDER && status && !s->recorded_again) {
		s->recorded_again = true;
		s->stop_by_ms = s->now_ms + STOP_MS;
		sup_fork(s, child);
		return;
	}
	sup_set_state(s, child, SUP_GONE);
	child->pid = 0;
}

static void sup_died(struct supervisor *s, struct sup_child *child, int status)
{
	struct sup_child dead = *child;
	bool asked = child->state == SUP_LEAVING;

	if (s->stopping) {
		sup_died_stopping(s, child, status);
		return;
	}
	if (child->state == SUP_BURYING) {
		sup_set_state(s, child, SUP_WAITING);
		child->pid = 0;
		return;
	}
	sup_count_death(s, child, status, asked);
	if (!s->ready && child->quick_deaths >= START_DEATHS_MAX)
		s->cannot_start = true;
	if (child->quick_deaths >= QUICK_DEATHS_FREE) {
		unsigned doublings = child->quick_deaths - QUICK_DEATHS_FREE;
		uint64_t pause_ms = doublings < 7 ? (uint64_t)PAUSE_MIN_MS << doublings : PAUSE_MAX_MS;
		child->retry_ms = s->now_ms + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
		sup_bury(s, child);
	} else {
		sup_fork(s, child);
	}
	if (!asked)
		sup_log_death(&dead, status, child->state == SUP_STARTING ? child->pid : 0);
}

static void sup_reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->checker)
			sup_reload_checked(s, status);
		for (unsigned i = 0; i < s->nchildren; i++)
			if (s->child[i].pid == pid)
				sup_died(s, &s->child[i], status);
	}
}

/* ------------------------------------------------------------------------------------------ each tick */
/* Started: it has claimed its slot and its loop has turned. Silent: its loop has not turned for too long. */
static void sup_look_at(struct supervisor *s, struct sup_child *child)
{
	uint64_t patience_ms = s->heritage.conf->velador.heartbeat_ms;
	struct shm_proc_info info;

	if (child->state == SUP_WAITING && s->now_ms >= child->retry_ms)
		sup_fork(s, child);
	if (!child->pid)
		return;
	info = sup_info(s, child);
	if (child->state == SUP_STARTING && sup_has_run(s, child))
		sup_set_state(s, child, SUP_RUNNING);
	uint64_t seen_ms = child->since_ms;
	if (info.pid == child->pid && info.heartbeat_ms > seen_ms)
		seen_ms = info.heartbeat_ms;
	if (child->state == SUP_STARTING)
		patience_ms *= 2; /* repair and replay */
	if (s->now_ms > s->patient_until_ms && s->now_ms > seen_ms + patience_ms && !child->silenced) {
		child->silenced = true;
		kill(child->pid, SIGKILL);
	}
}

static bool sup_all_run(const struct supervisor *s)
{
	for (unsigned i = 0; i < s->nchildren; i++)
		if (s->child[i].state != SUP_RUNNING)
			return false;
	return true;
}

static unsigned sup_count(const struct supervisor *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->nchildren; i++)
		n += s->child[i].pid != 0;
	return n;
}

static void sup_stop(struct supervisor *s)
{
	if (s->stopping)
		return;
	log_notice("stopping");
	sup_notify("STOPPING=1");
	s->stopping = true;
	s->stop_by_ms = s->now_ms + STOP_MS;
	for (unsigned i = 0; i < s->nchildren; i++)
		if (s->child[i].pid && s->child[i].kind != SHM_RECORDER)
			sup_ask_to_leave(s, &s->child[i]);
	if (s->checker > 0)
		kill(s->checker, SIGKILL);
}

/* The recorder goes last: it still writes what the others have ended. */
static void sup_stop_step(struct supervisor *s)
{
	unsigned left = sup_count(s);

	for (unsigned i = 0; left == 1 && i < s->nchildren; i++)
		if (s->child[i].pid && s->child[i].state != SUP_LEAVING)
			sup_ask_to_leave(s, &s->child[i]);
	if (!left)
		uv_stop(&s->loop);
	else if (s->now_ms > s->stop_by_ms)
		for (unsigned i = 0; i < s->nchildren; i++)
			if (s->child[i].pid)
				kill(s->child[i].pid, SIGKILL);
}

static void sup_become_ready(struct supervisor *s)
{
	s->ready = true;
	sup_notify("READY=1");
	log_info("%u workers, room for %u calls: ready", s->heritage.workers, s->heritage.conf->velador.max_calls);
}

static void on_tick(uv_timer_t *handle)
{
	struct supervisor *s = handle->data;

	s->now_ms = boot_ms();
	if (s->now_ms - s->last_tick_ms > 1000) /* we were stopped ourselves, so silence proves nothing */
		s->patient_until_ms = s->now_ms + s->heritage.conf->velador.heartbeat_ms;
	s->last_tick_ms = s->now_ms;
	shm_heartbeat(s->self, s->now_ms);
	sup_reap(s);
	if (s->stopping) {
		sup_stop_step(s);
		return;
	}
	for (unsigned i = 0; i < s->nchildren; i++)
		sup_look_at(s, &s->child[i]);
	sup_reload_step(s);
	if (s->cannot_start) {
		log_error("a child dies again and again: giving up the start");
		sup_stop(s);
	} else if (sup_all_run(s) && s->reload == SUP_IDLE) {
		if (!s->ready)
			sup_become_ready(s);
		uv_timer_start(&s->tick, on_tick, TICK_IDLE_MS, TICK_IDLE_MS);
	}
}

/* ------------------------------------------------------------------------------------------ events */
static void on_signal(uv_poll_t *handle, int status, int events)
{
	struct supervisor *s = handle->data;
	struct signalfd_siginfo info;

	(void)status;
	(void)events;
	s->now_ms = boot_ms();
	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			sup_reap(s);
		else if (info.ssi_signo == SIGHUP)
			sup_reload_start(s);
		else
			sup_stop(s);
	}
	uv_timer_start(&s->tick, on_tick, TICK_BUSY_MS, TICK_BUSY_MS);
}

static void on_request(uv_poll_t *handle, int status, int events)
{
	struct supervisor *s = handle->data;

	(void)status;
	(void)events;
	s->now_ms = boot_ms();
	sup_reload_request(s);
	uv_timer_start(&s->tick, on_tick, TICK_BUSY_MS, TICK_BUSY_MS);
}

static int sup_open_loop(struct supervisor *s)
{
	sigset_t mine;

	sigemptyset(&mine);
	sigaddset(&mine, SIGCHLD);
	sigaddset(&mine, SIGHUP);
	sigaddset(&mine, SIGTERM);
	sigaddset(&mine, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &mine, NULL) || (s->signal_fd = signalfd(-1, &mine, SFD_NONBLOCK | SFD_CLOEXEC)) < 0 ||
	    uv_loop_init(&s->loop)) {
		log_error("cannot open the event loop: %s", strerror(errno));
		return ERR_SYSTEM;
	}
	s->heritage.loop_fd = uv_backend_fd(&s->loop);
	uv_timer_init(&s->loop, &s->tick);
	uv_poll_init(&s->loop, &s->signals, s->signal_fd);
	s->tick.data = s->signals.data = s->requests.data = s;
	uv_poll_start(&s->signals, UV_READABLE, on_signal);
	return 0;
}

static void sup_add(struct supervisor *s, enum shm_kind kind, unsigned index)
{
	struct sup_child *child = &s->child[s->nchildren++];

	*child = (struct sup_child){ .kind = kind, .index = index };
	sup_fork(s, child);
}

/* Control comes last, here and at a reload: it tells the operator that the others are done. */
static void sup_fork_all(struct supervisor *s)
{
	for (unsigned i = 0; i < s->heritage.workers; i++)
		sup_add(s, SHM_WORKER, i);
	sup_add(s, SHM_TIMER, 0);
	sup_add(s, SHM_RECORDER, 0);
	sup_add(s, SHM_CONTROL, 0);
}

int supervisor(struct conf *conf, const char *file, const char *const *overrides)
{
	static struct supervisor s;

	s.now_ms = s.last_tick_ms = boot_ms();
	s.request_fd = -1;
	s.heritage = (struct heritage){
		.file = file, .overrides = overrides, .conf = conf, .supervisor = getpid(), .started_ms = s.now_ms,
		.workers = conf->velador.workers, .max_workers = conf->velador.max_workers,
	};
	if (sup_open_loop(&s) || sup_open(&s) || shm_self_claim(&s.self, s.heritage.shm, SHM_SUPERVISOR, 0)) {
		sup_close(&s);
		return 1;
	}
	shm_rcu_offline(s.self);
	uv_poll_init(&s.loop, &s.requests, s.request_fd);
	s.requests.data = &s;
	uv_poll_start(&s.requests, UV_READABLE, on_request);
	sup_fork_all(&s);
	uv_timer_start(&s.tick, on_tick, TICK_BUSY_MS, TICK_BUSY_MS);
	uv_run(&s.loop, UV_RUN_DEFAULT);
	sup_close(&s);
	log_notice("stopped");
	return s.cannot_start ? 1 : 0;
}
