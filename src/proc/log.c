/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proc/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"

#ifndef VELADOR_SYSLOG
#define VELADOR_SYSLOG "/dev/log"
#endif

enum { LINE_BYTES = 1200, TEXT_BYTES = 1000 };

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

static int log_fd = STDERR_FILENO;   /* -1: not connected to syslog yet */
static bool log_is_syslog;
static enum conf_log_level log_most = CONF_LOG_INFO;
static char log_who[32] = "supervisor";
static char log_path[CONF_TEXT]; /* of a file; else empty */
static unsigned log_lost;        /* lines since the last that was taken */

int log_open(const char *target, enum conf_log_level level)
{
	bool is_syslog = strcmp(target, "syslog") == 0;
	int fd = STDERR_FILENO;

	if (is_syslog) {
		fd = -1;
	} else if (strcmp(target, "stderr") != 0) {
		fd = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
		if (fd < 0)
			return ERR_SYSTEM;
	}
	if (log_fd > STDERR_FILENO)
		close(log_fd);
	log_fd = fd;
	log_is_syslog = is_syslog;
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

static void say_lost(struct out *o)
{
	if (log_lost)
		out_fmt(o, " (%u lines before this one were lost: nobody read them)", log_lost);
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
	say_lost(&o);
	out_lit(&o, "\n");
	if (write(log_fd, line, o.n) < 0)
		return; /* nowhere left to say it */
	log_lost = 0;
}

static int connect_syslog(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = VELADOR_SYSLOG };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* As syslog(3) writes it (RFC 3164 §4.1), which waits for a syslog daemon that takes nothing. One that was started anew is connected to again. */
static void write_syslog(enum conf_log_level level, const char *text)
{
	char line[LINE_BYTES], when[32];
	struct out o = OUT(line, sizeof line);
	time_t now = time(NULL);
	struct tm tm;

	strftime(when, sizeof when, "%h %e %T", localtime_r(&now, &tm));
	out_fmt(&o, "<%d>%s velador[%d]: %s: %s", LOG_DAEMON | levels[level].priority, when, (int)getpid(), log_who, text);
	say_lost(&o);
	for (int i = 0; i < 2; i++) {
		if (log_fd < 0 && (log_fd = connect_syslog()) < 0)
			break;
		if (send(log_fd, line, o.n, MSG_NOSIGNAL) >= 0) {
			log_lost = 0;
			return;
		}
		if (errno == EAGAIN || errno == ENOBUFS)
			break;
		close(log_fd);
		log_fd = -1;
	}
	log_lost++;
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
	if (log_is_syslog)
		write_syslog(level, text);
	else
		write_line(level, text);
}
