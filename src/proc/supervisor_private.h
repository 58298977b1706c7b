/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by supervisor.c (the loop), open.c (what is opened before the first fork) and reload.c. */
#ifndef VELADOR_PROC_SUPERVISOR_PRIVATE_H
#define VELADOR_PROC_SUPERVISOR_PRIVATE_H

#include <uv.h>

#include "proc/heritage.h"

enum { SUP_CHILDREN_MAX = 64 + 3 };

enum sup_state {
	SUP_STARTING, SUP_RUNNING, SUP_LEAVING,
	SUP_BURYING,            /* it waits, and a process puts right what it left */
	SUP_WAITING, SUP_GONE
};

struct sup_child {
	enum shm_kind kind;
	unsigned index;
	pid_t pid;              /* 0 = none */
	enum sup_state state;
	uint64_t since_ms;      /* of this state; of the fork while STARTING and RUNNING */
	uint64_t forked_ms;
	uint64_t retry_ms;      /* when WAITING ends */
	uint64_t progress;      /* what its slot said at the fork */
	unsigned quick_deaths;  /* in a row, without progress */
	unsigned crashes;       /* in a row, each soon after its start, or silent */
	bool silenced;          /* killed by us for its silence */
	bool outdated;          /* runs with the configuration before the last reload */
};

enum sup_reload { SUP_IDLE, SUP_CHECKING, SUP_REPLACING };

struct supervisor {
	struct heritage heritage;
	struct sup_child child[SUP_CHILDREN_MAX];
	unsigned nchildren;
	struct shm_self *self;
	uv_loop_t loop;
	uv_timer_t tick;
	uv_poll_t signals, requests;
	int signal_fd, request_fd;
	int *udp_fds;
	int run_dir_lock;           /* held as long as any process of ours lives */
	uint64_t now_ms, last_tick_ms, patient_until_ms;
	bool ready, stopping, cannot_start;
	bool recorded_again;        /* the recorder died while stopping, and has got its one successor */
	uint64_t stop_by_ms;

	/* reload.c */
	enum sup_reload reload;
	bool reload_again;          /* asked for while one was under way */
	bool same_again;            /* the children are replaced for the log's sake: with the configuration that they have */
	pid_t checker;
	uint64_t check_by_ms;
	uv_poll_t report;           /* libuv knows it while report_open: from the fork of the checker until it is closed */
	bool report_open;
	int report_fd;
	char report_text[16384];
	size_t report_bytes;
	unsigned replacing;         /* the child whose turn it is */
	struct sup_request asked;   /* asker 0 = nobody waits */
};

/* The control socket's path. */
void sup_socket_path(char *path, size_t bytes, const struct conf *conf);

/* Opens arena, sockets, control socket, resolves names, makes the route. Returns 0 or an error code after saying why in the log. */
int sup_open(struct supervisor *s);
/* Takes away what sup_open made. */
void sup_close(struct supervisor *s);

/* Forks a process that checks (file != NULL: reads it anew) and resolves; *fd: its report. -1 where fork fails. */
pid_t sup_fork_checker(struct supervisor *s, bool read_anew, int *fd);
/* Logs a report, line by line; copies the first error into why (may be NULL). */
void sup_log_report(const char *text, char *why, size_t bytes);

void sup_fork(struct supervisor *s, struct sup_child *child);
void sup_set_state(struct supervisor *s, struct sup_child *child, enum sup_state state);
/* Asks a child to finish its turn and leave. */
void sup_ask_to_leave(struct supervisor *s, struct sup_child *child);

void sup_reload_start(struct supervisor *s);
/* The checker's end; status as of waitpid. */
void sup_reload_checked(struct supervisor *s, int status);
/* Goes on with the replacement; called at each tick. */
void sup_reload_step(struct supervisor *s);
/* A packet from control. */
void sup_reload_request(struct supervisor *s);

#endif
