/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `veladorctl check` [ctl_]: a helper process walks the arena and writes the answer into a pipe. A walk over a million calls takes longer than a process
 * may be silent. */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "proc/control_private.h"

static void on_problem(void *arg, const char *text)
{
	struct out *o = arg;

	if (o->n + 2 * strlen(text) + 1024 < o->cap)
		json_str(o, str_of(text));
}

/* The helper: has the chunk to itself, since the fork copied it. */
static _Noreturn void ctl_walk(struct ctl_client *c, int fd)
{
	json_object_open(&c->o);
	json_key(&c->o, "problems");
	json_array_open(&c->o);
	shm_check(c->control->child.h->shm, false, on_problem, &c->o);
	json_array_close(&c->o);
	json_object_close(&c->o);
	out_lit(&c->o, "\n");
	for (size_t at = 0; at < c->o.n;) {
		ssize_t n = write(fd, c->o.p + at, c->o.n - at);
		if (n <= 0)
			_exit(1);
		at += (size_t)n;
	}
	_exit(0);
}

static void on_helper_closed(uv_handle_t *handle)
{
	struct ctl_client *c = handle->data;

	ctl_send(c);
}

static void ctl_end_helper(struct ctl_client *c)
{
	uv_poll_stop(&c->helper);
	close(c->helper_fd);
	c->helper_fd = -1;
	waitpid(c->helper_pid, NULL, 0);
}

static void on_helper(uv_poll_t *handle, int status, int events)
{
	struct ctl_client *c = handle->data;
	ssize_t n = read(c->helper_fd, c->o.p + c->o.n, c->o.cap - c->o.n);

	(void)status;
	(void)events;
	child_wake(&c->control->child);
	if (n > 0) {
		c->o.n += (size_t)n;
		return;
	}
	ctl_end_helper(c);
	uv_close((uv_handle_t *)&c->helper, on_helper_closed);
}

/* The client has gone: so may its helper. The handle stays, closed, until the client's place is free again. */
void ctl_check_stop(struct ctl_client *c)
{
	if (c->helper_fd < 0)
		return;
	kill(c->helper_pid, SIGKILL);
	ctl_end_helper(c);
	uv_close((uv_handle_t *)&c->helper, NULL);
}

int ctl_check(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	pid_t parent = getpid();
	int fd[2];

	(void)arg;
	snprintf(why, CTL_WHY, "no process for the check can be started");
	if (pipe2(fd, O_CLOEXEC))
		return ERR_SYSTEM;
	c->helper_pid = fork();
	if (c->helper_pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
			_exit(1);
		c->o.n = 0;
		ctl_walk(c, fd[1]);
	}
	close(fd[1]);
	c->helper_fd = fd[0];
	if (c->helper_pid < 0 || uv_poll_init(&c->control->child.loop, &c->helper, fd[0])) {
		close(fd[0]);
		c->helper_fd = -1;
		return ERR_SYSTEM;
	}
	c->helper.data = c;
	uv_poll_start(&c->helper, UV_READABLE, on_helper);
	return ERR_BUSY;
}
