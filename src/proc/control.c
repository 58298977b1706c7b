/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control process: answers veladorctl. It reads what is published and changes calls only as any other process does. Long lists are made
 * piece by piece as the client takes them, so that it never holds back a grace period. */
#include "proc/control.h"

#include <signal.h>
#include <sys/socket.h>

#include "base/err.h"
#include "proc/control_private.h"
#include "proc/log.h"

enum {
	LEAVE_MS = 1000, BACKLOG = 64,
	ASK_MS = 5000,      /* a client that has not asked by then makes room for others */
	TAKE_MS = 30000,    /* so does one that takes nothing of its answer for so long */
	SWEEP_MS = 500,
};

static void ctl_accept(struct control *control);

static void on_closed(uv_handle_t *handle)
{
	struct ctl_client *c = handle->data;

	c->used = false;
	c->control->nclients--;
	if (c->control->waiting && !c->control->child.leaving)
		ctl_accept(c->control);
}

static void ctl_close(struct ctl_client *c)
{
	c->element = NULL;
	c->reload_number = 0;
	ctl_check_stop(c);
	if (!uv_is_closing((uv_handle_t *)&c->pipe))
		uv_close((uv_handle_t *)&c->pipe, on_closed);
}

/* Fills the chunk with further elements of the list; closes the list after the last. */
static void ctl_fill(struct ctl_client *c)
{
	while (c->element && c->at < c->end && c->o.n + CTL_ELEMENT <= sizeof c->chunk) {
		size_t before = c->o.n;
		bool comma = c->begun && before == 0;
		if (comma)
			out_lit(&c->o, ",");
		c->element(c, &c->o, c->at++);
		if (c->o.n == before + comma || c->o.overflow)
			c->o.n = before;
		else
			c->begun = true;
		c->o.overflow = false;
	}
	if (c->element && c->at == c->end) {
		out_lit(&c->o, "]\n");
		c->element = NULL;
	}
}

static void on_written(uv_write_t *request, int status);

void ctl_send(struct ctl_client *c)
{
	uv_buf_t buf = uv_buf_init(c->chunk, (unsigned)c->o.n);

	c->until_ms = c->control->child.core.now_ms + TAKE_MS;
	if (uv_write(&c->write, (uv_stream_t *)&c->pipe, &buf, 1, on_written))
		ctl_close(c);
}

static void on_written(uv_write_t *request, int status)
{
	struct ctl_client *c = request->data;

	child_wake(&c->control->child);
	shm_progress(c->control->child.self);
	if (status < 0 || !c->element) {
		ctl_close(c);
		return;
	}
	c->o = OUT(c->chunk, sizeof c->chunk);
	ctl_fill(c);
	ctl_send(c);
}

static void ctl_refuse(struct ctl_client *c, const char *why)
{
	c->o = OUT(c->chunk, sizeof c->chunk);
	out_fmt(&c->o, "error: %s\n", why);
	ctl_send(c);
}

static void ctl_handle(struct ctl_client *c, struct str line)
{
	char why[CTL_WHY] = "";
	int err;

	c->asked = true;
	c->until_ms = UINT64_MAX;
	c->o = OUT(c->chunk, sizeof c->chunk);
	out_lit(&c->o, "ok\n");
	err = ctl_command(c, str_trim(line), why);
	if (err == ERR_BUSY)
		return;
	if (err || c->o.overflow) {
		ctl_refuse(c, err ? why : "the answer is too long");
		return;
	}
	if (c->element)
		ctl_fill(c);
	else
		out_lit(&c->o, "\n");
	ctl_send(c);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct ctl_client *c = handle->data;

	(void)suggested;
	*buf = uv_buf_init(c->request + c->got, (unsigned)(sizeof c->request - c->got));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct ctl_client *c = stream->data;
	size_t end;

	(void)buf;
	child_wake(&c->control->child);
	if (n == UV_EOF && c->asked) { /* it has no more to say, and waits for the answer */
		uv_read_stop(stream);
		return;
	}
	if (n < 0) { /* gone, or too much sent */
		ctl_close(c);
		return;
	}
	if (c->asked)
		return;
	c->got += (size_t)n;
	end = str_chr(str_make(c->request, c->got), '\n');
	if (end < c->got)
		ctl_handle(c, str_make(c->request, end));
	else if (c->got == sizeof c->request)
		ctl_close(c);
}

/* Takes the connection that libuv has accepted; where there is no place, libuv listens no more until one is free and it is taken. */
static void ctl_accept(struct control *control)
{
	uv_stream_t *listener = (uv_stream_t *)&control->listener;
	struct ctl_client *c = control->client;

	while (c < control->client + CTL_CLIENTS && c->used)
		c++;
	control->waiting = c == control->client + CTL_CLIENTS;
	if (control->waiting)
		return;
	*c = (struct ctl_client){ .control = control, .used = true, .helper_fd = -1, .until_ms = control->child.core.now_ms + ASK_MS };
	uv_pipe_init(&control->child.loop, &c->pipe, 0);
	c->pipe.data = c->write.data = c;
	control->nclients++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) || uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read))
		ctl_close(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct control *control = listener->data;

	child_wake(&control->child);
	if (status == 0)
		ctl_accept(control);
}

static void on_sweep(uv_timer_t *handle)
{
	struct control *control = handle->data;

	child_wake(&control->child);
	for (struct ctl_client *c = control->client; c < control->client + CTL_CLIENTS; c++)
		if (c->used && control->child.core.now_ms > c->until_ms)
			ctl_close(c);
}

static void ctl_answer(struct control *control, const struct sup_answer *answer)
{
	for (struct ctl_client *c = control->client; c < control->client + CTL_CLIENTS; c++) {
		if (!c->used || !c->reload_number || c->reload_number != answer->request.number ||
		    answer->request.asker != getpid())
			continue;
		c->reload_number = 0;
		if (answer->failed) {
			ctl_refuse(c, answer->text);
			continue;
		}
		out_lit(&c->o, "{\"reloaded\":true}\n");
		ctl_send(c);
	}
}

static void on_answer(uv_poll_t *handle, int status, int events)
{
	struct control *control = handle->data;
	struct sup_answer answer;

	(void)status;
	(void)events;
	child_wake(&control->child);
	while (recv(control->child.h->request_fd, &answer, sizeof answer, MSG_DONTWAIT) == (ssize_t)sizeof answer)
		ctl_answer(control, &answer);
}

/* Clients that were heard get their answer first; new ones wait in the kernel for the successor. */
static bool ctl_may_leave(struct child *child)
{
	struct control *control = (struct control *)child;

	if (!control->leave_by_ms) {
		control->leave_by_ms = child->core.now_ms + LEAVE_MS;
		uv_close((uv_handle_t *)&control->listener, NULL);
		uv_timer_start(&child->pulse, child->pulse.timer_cb, 20, 20);
	}
	return control->nclients == 0 || child->core.now_ms >= control->leave_by_ms;
}

_Noreturn void control(const struct heritage *h)
{
	static struct control control;

	child_start(&control.child, h, SHM_CONTROL, 0);
	signal(SIGPIPE, SIG_IGN);
	control.child.may_leave = ctl_may_leave;
	uv_pipe_init(&control.child.loop, &control.listener, 0);
	uv_timer_init(&control.child.loop, &control.sweep);
	control.listener.data = control.answers.data = control.sweep.data = &control;
	if (uv_pipe_open(&control.listener, h->control_fd) ||
	    uv_listen((uv_stream_t *)&control.listener, BACKLOG, on_connection) ||
	    uv_poll_init(&control.child.loop, &control.answers, h->request_fd) ||
	    uv_poll_start(&control.answers, UV_READABLE, on_answer) ||
	    uv_timer_start(&control.sweep, on_sweep, SWEEP_MS, SWEEP_MS)) {
		log_error("the control socket cannot be listened on");
		_exit(1);
	}
	child_run(&control.child);
}
