/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by control.c (connections) and control_commands.c (what each command answers). */
#ifndef VELADOR_PROC_CONTROL_PRIVATE_H
#define VELADOR_PROC_CONTROL_PRIVATE_H

#include "proc/child.h"

enum {
	CTL_CLIENTS = 32,
	CTL_REQUEST = 256,         /* longest request, bytes */
	CTL_CHUNK = 256 * 1024,    /* one write; the next is made when it has left */
	CTL_ELEMENT = 96 * 1024,   /* room that one element of a list may need */
	CTL_WHY = 600,
};

struct control;
struct ctl_client;

/* Writes element `at` of a list into o, or nothing. */
typedef void ctl_element_fn(struct ctl_client *c, struct out *o, uint32_t at);

struct ctl_client {
	struct control *control;
	uv_pipe_t pipe;
	uv_write_t write;
	char request[CTL_REQUEST];
	size_t got;
	bool used, asked;          /* asked: the request was read */
	uint64_t until_ms;         /* it must have asked, or taken what it was sent, by then; UINT64_MAX: it waits for us */
	struct out o;              /* the chunk being made */
	char chunk[CTL_CHUNK];
	/* a list that does not fit into one chunk */
	ctl_element_fn *element;   /* NULL = no list, or at its end */
	uint32_t at, end;
	bool begun;                /* an element was written */
	uint32_t reload_number;    /* waits for the supervisor's answer; 0 = no */
	uv_poll_t helper;          /* waits for a helper's output, when helper_fd >= 0 */
	int helper_fd;
	pid_t helper_pid;
};

struct control {
	struct child child;
	uv_pipe_t listener;
	uv_poll_t answers;
	uv_timer_t sweep;
	bool waiting;              /* a connection was accepted for which no place was free */
	unsigned nclients;
	uint32_t reload_number;
	uint64_t leave_by_ms;
	struct ctl_client client[CTL_CLIENTS];
};

/* Carries out a request line. Returns 0 with the answer's JSON (or its beginning, see element) in c->o; ERR_BUSY when the answer comes
 * later; else an error code and the reason in why. */
int ctl_command(struct ctl_client *c, struct str line, char why[CTL_WHY]);

/* Gives the client the answer that is in c->o, as it is. */
void ctl_send(struct ctl_client *c);

/* control_check.c: walks the arena in a process of its own, since it may take seconds; returns as ctl_command(). */
int ctl_check(struct ctl_client *c, struct str arg, char why[CTL_WHY]);
void ctl_check_stop(struct ctl_client *c);

#endif
