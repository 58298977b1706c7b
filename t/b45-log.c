/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines to a syslog daemon, that is, to a socket of our own: as RFC 3164 has them, never waited for, and to a new daemon after a restart. */
#include "t/tap.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proc/log.h"

static int listen_as_daemon(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX, .sun_path = VELADOR_SYSLOG };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at))
		tap_bail("cannot bind " VELADOR_SYSLOG);
	return fd;
}

/* The next line that the daemon gets; empty where there is none. */
static const char *next(int daemon)
{
	static char line[2048];
	ssize_t n = recv(daemon, line, sizeof line - 1, 0);

	line[n > 0 ? n : 0] = 0;
	return line;
}

static bool ends_in(const char *line, const char *end)
{
	size_t n = strlen(line), m = strlen(end);

	return n >= m && strcmp(line + n - m, end) == 0;
}

/* Fills the daemon's queue; returns how many lines it took. */
static unsigned fill(int daemon)
{
	unsigned taken = 0;

	for (int i = 0; i < 100000; i++)
		log_info("filling");
	while (*next(daemon))
		taken++;
	return taken;
}

int main(void)
{
	char dir[] = "/tmp/velador-b45-XXXXXX", who[32], lost[100];
	unsigned taken;
	const char *line;
	int daemon;

	if (!mkdtemp(dir) || chdir(dir))
		tap_bail("no directory");
	log_name("worker 0");
	is_u64(log_open("syslog", CONF_LOG_INFO), 0, "log = syslog, and no daemon yet");
	log_info("early");
	daemon = listen_as_daemon();
	log_warning("a\nb");
	line = next(daemon);
	snprintf(who, sizeof who, " velador[%d]: worker 0: ", (int)getpid());
	ok(strncmp(line, "<28>", 4) == 0 && strstr(line, who) == line + 19, "RFC3164-4.1 priority, time, tag: %s", line);
	ok(ends_in(line, ": a?b (1 lines before this one were lost: nobody read them)"), "one line, which says what was lost");
	log_debug("too much");
	ok(!*next(daemon), "nothing below the level");
	taken = fill(daemon);
	ok(taken > 0 && taken < 100000, "a daemon that reads nothing: it took %u lines, and nobody waited", taken);
	log_error("after");
	snprintf(lost, sizeof lost, ": after (%u lines before this one were lost: nobody read them)", 100000 - taken);
	ok(ends_in(next(daemon), lost), "the next line says how many were lost");
	close(daemon);
	unlink(VELADOR_SYSLOG);
	daemon = listen_as_daemon();
	log_notice("again");
	ok(ends_in(next(daemon), ": again"), "a daemon that was started anew gets the next line");
	log_notice("and again");
	ok(ends_in(next(daemon), ": and again"), "and those after");
	close(daemon);
	unlink(VELADOR_SYSLOG);
	if (chdir("/") == 0)
		rmdir(dir);
	return tap_done();
}
