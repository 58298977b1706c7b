/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From assignments to a configuration. Private to ini/. */
#ifndef VELADOR_INI_APPLY_H
#define VELADOR_INI_APPLY_H

#include "ini/keys.h"
#include "ini/lines.h"

/* Where each key was set, by its place in conf_keys: 0 = nowhere, 1 = on the command line, else the line + 1. */
enum { CONF_KEYS_MAX = 96 };
struct conf_seen {
	unsigned at[CONF_KEYS_MAX];
};

struct conf_apply {
	struct conf *conf;
	const char *file;
	struct conf_report *report;
	struct conf_seen seen;          /* of the global sections */
	struct conf_seen *gateway_seen; /* one for each gateway */
};

/* Puts in the defaults, then the lines. Errors go into the report. Returns 0 or ERR_SYSTEM (memory). */
int conf_apply(struct conf_apply *a, const struct conf_lines *lines);

/* Whether and where a key was set (well or not): its line, else that of the gateway, or 0. gateway: its index, or -1 for the global sections. */
bool conf_apply_is_set(const struct conf_apply *a, int gateway, const char *name);
unsigned conf_apply_line(const struct conf_apply *a, int gateway, const char *name);

/* Checks values against each other and works out what follows from others (check.c). */
void conf_check(struct conf_apply *a);
/* Finds the numbers of the gateways' listening addresses; unknown ones are errors (warnings at reload). */
void conf_bind_listen(struct conf *conf, const char *file, bool warning, struct conf_report *report);

#endif
