/* SPDX-License-Identifier: GPL-2.0-or-later */
/* veladorctl: asks the control process and prints what it says. 0: done; 1: refused or not reached, one line on stderr; 2: wrong usage. */
#include <errno.h>
#include <getopt.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "config.h"
#include "ini/conf.h"
#include "proc/table.h"

#ifndef VELADOR_CONF
#define VELADOR_CONF "/etc/velador/velador.ini"
#endif

static const char usage[] =
	"usage: veladorctl [-c FILE | -s SOCKET] [--json] COMMAND\n"
	"  status            processes, calls, uptime\n"
	"  calls             running calls\n"
	"  call ID           all about one call\n"
	"  hangup ID         ends a call\n"
	"  gateways          gateways and their state\n"
	"  endpoints         measured response times\n"
	"  stats             counters\n"
	"  reload            reads the configuration again\n"
	"  check             looks for damage in the arena\n"
	"  quarantine        messages set aside\n"
	"  events            what happened last\n";

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "veladorctl: %s%s%s\n", what, why ? ": " : "", why ? why : "");
	return 1;
}

/* The socket that a configuration names; the default's without one. */
static int find_socket(struct sockaddr_un *at, const char *file, const char *path)
{
	static struct conf_report report;
	struct conf *conf = NULL;
	char text[CONF_TEXT + 32];

	if (path) {
		snprintf(text, sizeof text, "%s", path);
	} else if (conf_read(&conf, file ? file : VELADOR_CONF, NULL, &report) == 0) {
		snprintf(text, sizeof text, "%s/control.sock", conf->velador.run_dir);
		conf_free(conf);
	} else if (file) {
		return fail(report.n ? report.remark[0].text : file, NULL);
	} else {
		snprintf(text, sizeof text, "/run/velador/control.sock");
	}
	at->sun_family = AF_UNIX;
	if (strlen(text) >= sizeof at->sun_path)
		return fail(text, "too long for a socket's path");
	memcpy(at->sun_path, text, strlen(text) + 1);
	return 0;
}

static int send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent < 0)
			return ERR_SYSTEM;
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* All that comes until the end of the stream. Owns: answer->p. */
static int read_all(int fd, struct str *answer)
{
	size_t cap = 1 << 16, n = 0;
	char *p = malloc(cap), *more;
	ssize_t got;

	while (p && (got = read(fd, p + n, cap - n)) != 0) {
		if (got < 0 && errno != EINTR)
			break;
		n += got > 0 ? (size_t)got : 0;
		if (n < cap)
			continue;
		more = realloc(p, cap *= 2);
		if (!more)
			break;
		p = more;
	}
	*answer = str_make(p, n);
	return p && n < cap ? 0 : ERR_SYSTEM;
}

static int print_answer(struct str answer, bool json)
{
	size_t end = str_chr(answer, '\n');
	struct str verdict = str_head(answer, end), body = str_from(answer, end + 1);

	if (str_starts(verdict, STR("error: "))) {
		fprintf(stderr, "veladorctl: %.*s\n", STR_FMT(str_from(verdict, 7)));
		return 1;
	}
	if (!str_eq(verdict, STR("ok")) || !body.n || body.p[body.n - 1] != '\n')
		return fail("the answer was cut short", NULL);
	if (json)
		fwrite(body.p, 1, body.n, stdout);
	else if (table_print(stdout, body))
		return fail("the answer was cut short", NULL);
	return fflush(stdout) ? fail("output", strerror(errno)) : 0;
}

static int ask(const struct sockaddr_un *at, const char *request, bool json)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct str answer = STR_NONE;
	int code;

	if (fd < 0 || connect(fd, (const struct sockaddr *)at, sizeof *at))
		return fail(at->sun_path, errno == ENOENT || errno == ECONNREFUSED ? "no Velador is running there" : strerror(errno));
	if (send_all(fd, request, strlen(request)) || read_all(fd, &answer))
		code = fail(at->sun_path, strerror(errno));
	else
		code = print_answer(answer, json);
	free((void *)(uintptr_t)answer.p);
	close(fd);
	return code;
}

static int misused(const char *why)
{
	if (why)
		fprintf(stderr, "veladorctl: %s\n", why);
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *file = NULL, *path = NULL;
	struct sockaddr_un at = { 0 };
	char request[240];
	bool json = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:s:h", options, NULL)) != -1) {
		switch (c) {
		case 'c': file = optarg; break;
		case 's': path = optarg; break;
		case 'j': json = true; break;
		case 'V': puts(PACKAGE_NAME " " PACKAGE_VERSION); return 0;
		case 'h': fputs(usage, stdout); return 0;
		default: return misused(NULL);
		}
	}
	if (optind == argc || argc - optind > 2)
		return misused(optind == argc ? "a command is missing" : "too many arguments");
	if (snprintf(request, sizeof request, "%s%s%s\n", argv[optind], argc - optind == 2 ? " " : "",
		     argc - optind == 2 ? argv[optind + 1] : "") >= (int)sizeof request)
		return misused("the argument is too long");
	return find_socket(&at, file, path) ? 1 : ask(&at, request, json);
}
