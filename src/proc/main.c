/* SPDX-License-Identifier: GPL-2.0-or-later */
/* velador: options and exit codes. 0: done; 1: bad configuration, or it could not start; 2: wrong usage. */
#include <getopt.h>
#include <unistd.h>

#include "base/err.h"
#include "config.h"
#include "ini/conf.h"
#include "proc/log.h"
#include "proc/supervisor.h"
#include "route/route.h"

#ifndef VELADOR_CONF
#define VELADOR_CONF "/etc/velador/velador.ini"
#endif

static const char usage[] =
	"usage: velador [-c FILE] [-o SECTION.KEY=VALUE]... [-t]\n"
	"       velador --print-sample | --print-man | --version | --help\n"
	"  -c FILE                the configuration (" VELADOR_CONF ")\n"
	"  -o SECTION.KEY=VALUE   overrides it; -o 'gateway NAME.KEY=VALUE' too; may be repeated\n"
	"  -t                     checks the configuration and ends: 0 good, 1 bad\n";

/* Names are looked up too, in an arena of its own. */
static int check_names(const struct conf *conf, const char *file, struct conf_report *report)
{
	struct shm_params params = { .slots = 64, .heap_bytes = 8 << 20, .endpoints = 64, .workers_max = 1 };
	struct shm *shm;
	int err = shm_create(&shm, NULL, &params);

	if (err)
		return err;
	err = route_resolve(conf, shm, file, report);
	shm_close(shm, false);
	return err;
}

static int run(const char *file, const char *const *overrides, bool check_only)
{
	static struct conf_report report;
	static struct conf *conf; /* as long as the process */
	int err = conf_read(&conf, file, overrides, &report);

	if (!err && check_only)
		err = check_names(conf, file, &report);
	conf_report_print(&report, stderr);
	if (err) {
		if (!report.errors)
			fprintf(stderr, "error: %s: %s\n", file, err_text(err));
		return 1;
	}
	if (check_only) {
		printf("%s: good\n", file);
		return 0;
	}
	if (log_open(conf->velador.log, conf->velador.log_level)) {
		fprintf(stderr, "error: velador.log = %s: cannot be opened\n", conf->velador.log);
		return 1;
	}
	return supervisor(conf, file, overrides);
}

static int misused(const char *why)
{
	if (why)
		fprintf(stderr, "velador: %s\n", why);
	fputs(usage, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "print-sample", no_argument, NULL, 'S' }, { "print-man", no_argument, NULL, 'M' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	static const char **overrides; /* as long as the process: a reload reads them again */
	const char *file = VELADOR_CONF;
	unsigned noverrides = 0;
	bool check_only = false;
	int c;

	overrides = calloc((size_t)argc + 1, sizeof *overrides);
	if (!overrides)
		return 1;
	while ((c = getopt_long(argc, argv, "c:o:th", options, NULL)) != -1) {
		switch (c) {
		case 'c': file = optarg; break;
		case 'o': overrides[noverrides++] = optarg; break;
		case 't': check_only = true; break;
		case 'S': conf_print_sample(stdout); return 0;
		case 'M': conf_print_man(stdout); return 0;
		case 'V': puts(PACKAGE_NAME " " PACKAGE_VERSION); return 0;
		case 'h': fputs(usage, stdout); return 0;
		default: return misused(NULL);
		}
	}
	if (optind < argc)
		return misused("no arguments are taken");
	return run(file, overrides, check_only);
}
