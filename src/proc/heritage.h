/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that the supervisor hands its children across fork. A child reads it and changes nothing; a reload gives the next child another
 * configuration. */
#ifndef VELADOR_PROC_HERITAGE_H
#define VELADOR_PROC_HERITAGE_H

#include <sys/types.h>

#include "call/core.h"
#include "ini/conf.h"
#include "route/route.h"
#include "shm/shm.h"

struct heritage {
	/* fixed at the start */
	const char *file;              /* the configuration's path; NULL = none */
	const char *const *overrides;  /* of the command line; NULL-terminated */
	struct shm *shm;
	unsigned workers, max_workers;
	unsigned nlisten;              /* UDP addresses */
	struct core_listen listen[CONF_LISTEN_MAX];
	const int *udp_fds;            /* [worker * nlisten + listen]; never closed */
	int control_fd;                /* control's listening socket: connections wait there while control is replaced */
	int request_fd;                /* control's end of its pair with the supervisor; one packet = struct sup_request or sup_answer */
	int bell_fd;                   /* eventfd that wakes the timer process: a deadline comes before it would look */
	uid_t uid;                     /* to become; (uid_t)-1 = no change */
	gid_t gid;
	pid_t supervisor;
	uint64_t started_ms;           /* CLOCK_BOOTTIME */

	/* replaced at reload */
	struct conf *conf;
	struct route *route;

	/* of this child */
	unsigned crashes;              /* predecessors in a row that crashed soon after their start or hung: something kills them */
	int loop_fd;                   /* the supervisor's, to be closed */
};

/* What control asks of the supervisor, and hears. An answer to another asker (a predecessor) is dropped. */
struct sup_request {
	pid_t asker;
	uint32_t number;
};
struct sup_answer {
	struct sup_request request;
	bool failed;
	char text[CONF_REMARK];        /* why */
};

#endif
