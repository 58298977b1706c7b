/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"

enum { LINE_BYTES = 1200, TEXT_BYTES = 1000, TO_SYSLOG = -1 };

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[CONF_LOG_ERROR] = { "error", LOG_ERR },
	[CONF_LOG_WARNING] = { "warning", LOG_WARNING },
	[CONF_LOG_NOTICE] = { "notice", LOG_NOTICE },
	[CONF_LOG_INFO] = { "info", LOG_INFO },
	[CONF_LOG_DEBUG] = { "debug", LOG_DEBUG },
};

static int log_fd = STDERR_FILENO;
static enum conf_log_level log_most = CONF_LOG_INFO;
static char log_who[32] = "supervisor";
static char log_path[CONF_TEXT]; /* of a file; else empty */
static unsigned log_lost;        /* lines since the last that was taken */

int log_open(const char *target, enum conf_log_level level)
{
	int fd = STDERR_FILENO;

	if (strcmp(target, "syslog") == 0) {
		openlog("velador", LOG_PID | LOG_NDELAY, LOG_DAEMON);
		fd = TO_SYSLOG;
	} else if (strcmp(target, "stderr") != 0) {
		fd = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (fd < 0)
			return ERR_SYSTEM;
	}
	if (log_fd > STDERR_FILENO)
		close(log_fd);
	log_fd = fd;
	log_most = level;
	snprintf(log_path, sizeof log_path, "%s", fd > STDERR_FILENO ? target : "");
	return 0;
}

bool log_moved(void)
{
	struct stat is, at;

	return *log_path && !fstat(log_fd, &is) && (stat(log_path, &at) || is.st_ino != at.st_ino || is.st_dev != at.st_dev);
}

void log_name(const char *name)
{
	snprintf(log_who, sizeof log_who, "%s", name);
}

/* What others sent us may stand in a line; it must not forge another or move a terminal's cursor. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

/* Nobody waits for a reader of the log: what a pipe has no room for is lost, and counted. */
static void write_line(enum conf_log_level level, const char *text)
{
	struct pollfd p = { .fd = log_fd, .events = POLLOUT };
	char line[LINE_BYTES];
	struct out o = OUT(line, sizeof line);
	struct timespec now;

	if (poll(&p, 1, 0) == 0) {
		log_lost++;
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	out_time(&o, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
	out_fmt(&o, " velador[%d] %s %s: %s", (int)getpid(), log_who, levels[level].name, text);
	if (log_lost)
		out_fmt(&o, " (%u lines before this one were lost: nobody read them)", log_lost);
	out_lit(&o, "\n");
	if (write(log_fd, line, o.n) < 0)
		return; /* nowhere left to say it */
	log_lost = 0;
}

void log_line(enum conf_log_level level, const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list ap;

	if (level > log_most)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	make_printable(text);
	if (log_fd == TO_SYSLOG) {
		syslog(levels[level].priority, "%s: %s", log_who, text);
		return;
	}
	write_line(level, text);
}
