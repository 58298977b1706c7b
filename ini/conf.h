/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: reads velador.ini (by inih) into plain C values, checks every one, and prints sample file and manual page, all from
 * ini_keys.def. Read at start and at reload by the supervisor's children and by `velador -t`; workers get it by fork and never change it.
 * Includes only base; logs nothing: what is wrong goes into a report. */
#ifndef VELADOR_INI_CONF_H
#define VELADOR_INI_CONF_H

#include <stdio.h>

#include "base/addr.h"
#include "ini/params.h"

enum {
	CONF_TEXT = 256,            /* paths, host names, bytes with NUL */
	CONF_NAME = 42,             /* gateway name: inih cuts a section's name at 49 bytes, "gateway " takes 8 */
	CONF_LISTEN_MAX = 16,       /* udp and tcp together */
	CONF_GATEWAYS_MAX = 1024,
	CONF_SOURCES_MAX = 64,      /* networks of one gateway */
	CONF_PREFIXES_MAX = 4096,   /* prefixes of one gateway */
	CONF_PREFIX = 32,           /* one prefix, bytes with NUL */
};

/* In the order of the words in ini_keys.def. */
enum conf_log_level { CONF_LOG_ERROR, CONF_LOG_WARNING, CONF_LOG_NOTICE, CONF_LOG_INFO, CONF_LOG_DEBUG };
enum conf_arena { CONF_ARENA_ADOPT, CONF_ARENA_FRESH };
enum conf_format { CONF_FORMAT_JSON, CONF_FORMAT_CSV };
enum conf_unknown { CONF_UNKNOWN_REJECT, CONF_UNKNOWN_DROP };
enum conf_role { CONF_ROLE_BOTH, CONF_ROLE_CALLER, CONF_ROLE_CALLEE };
enum conf_call_id { CONF_CALL_ID_KEEP, CONF_CALL_ID_OWN };
enum conf_publish { CONF_PUBLISH_IGNORE, CONF_PUBLISH_OPTIONAL, CONF_PUBLISH_REQUIRED };
enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_DIGEST };

struct conf_listen_list {
	struct addr a[CONF_LISTEN_MAX];
	unsigned n;
};
struct conf_host {
	char host[CONF_TEXT];           /* name or IP literal, IPv6 without brackets; empty = none */
	uint16_t port;
};
struct conf_nets {
	struct addr_net a[CONF_SOURCES_MAX];
	unsigned n;
};
struct conf_prefixes {
	char (*a)[CONF_PREFIX];         /* malloc'ed; NUL-terminated; n = 0: all numbers */
	unsigned n;
};

/* What each type of ini_keys.def becomes; those of params.h beside. */
#define CONF_FIELD_TEXT(f) char f[CONF_TEXT];
#define CONF_FIELD_PATH(f) char f[CONF_TEXT];
#define CONF_FIELD_SECRET(f) char f[CONF_TEXT];
#define CONF_FIELD_DIGITS(f) char f[CONF_PREFIX];
#define CONF_FIELD_LISTEN(f) struct conf_listen_list f;
#define CONF_FIELD_ADDRESS(f) struct addr f;            /* family 0 = none, port 0 = ours */
#define CONF_FIELD_HOSTPORT(f) struct conf_host f;
#define CONF_FIELD_OURS(f) struct addr f##_addr; int f; /* index as in conf_listen_addr(), -1 = by IP version */
#define CONF_FIELD_NETS(f) struct conf_nets f;
#define CONF_FIELD_PREFIXES(f) struct conf_prefixes f;

/* [velador]. workers and max_workers are worked out: never 0, max_workers >= workers. */
struct conf_velador {
#define KEY_VELADOR(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
};
struct conf_listen {
#define KEY_LISTEN(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
};
struct conf_record {
#define KEY_RECORD(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
};
struct conf_security {
#define KEY_SECURITY(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
};
struct conf_gateway {
	char name[CONF_NAME];
	unsigned line;                  /* of its section, for messages; 0 = command line */
#define KEY_GATEWAY(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
	struct params params;           /* complete: the global ones with this gateway's overrides */
};

struct conf {
	struct conf_velador velador;
	struct conf_listen listen;
	struct params params;           /* [session], [retransmit], [reliable], [publish] */
	struct conf_record record;
	struct conf_security security;
	struct conf_gateway *gateways;  /* in the file's order */
	unsigned ngateways;
};

/* ------------------------------------------------------------------------------------------ reading */
enum { CONF_REMARKS_MAX = 100, CONF_REMARK = 512 };

/* One line for the operator: "FILE:LINE: section.key: what is wrong; what would be right". */
struct conf_remark {
	bool warning;
	unsigned line;                  /* 0 = not from a line */
	char text[CONF_REMARK];
};
/* Large: keep it static or on the heap. Start with all bytes zero. */
struct conf_report {
	unsigned errors, warnings;      /* all of them, those beyond CONF_REMARKS_MAX included */
	unsigned n;
	struct conf_remark remark[CONF_REMARKS_MAX];
};

/* Reads and checks a configuration. file: path, or NULL for defaults and overrides alone. overrides: NULL-terminated list (may be NULL) of
 * "section.key=value" and "gateway NAME.key=value"; they go over the file, a gateway not in the file is added.
 * All errors are collected in the report, warnings too.
 * Returns 0 (there may be warnings); ERR_CONFIG (see report); ERR_SYSTEM (the file cannot be read; in the report too).
 * Owns: *conf until conf_free(). Context: start, reload, -t; reads the file, may block; resolves no names. */
int conf_read(struct conf **conf, const char *file, const char *const *overrides, struct conf_report *report);
void conf_free(struct conf *conf);

/* Adds a line to a report, for checks made elsewhere (names that do not resolve). gateway may be NULL. */
void conf_remark(struct conf_report *report, bool warning, const char *file, unsigned line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Prints the remarks, one a line, "error: " or "warning: " before each. */
void conf_report_print(const struct conf_report *report, FILE *to);

/* At reload: gives the keys that only a restart can change their running values again, with a warning for each that differed. */
void conf_keep_start(struct conf *fresh, const struct conf *running, const char *file, struct conf_report *report);

/* Our listening addresses in one numbering: udp first, then tcp; transport is set. NULL past the last. */
const struct addr *conf_listen_addr(const struct conf *conf, unsigned i);

/* ------------------------------------------------------------------------------------------ printing */
/* velador.ini.sample and velador.ini(5). Same bytes each time. */
void conf_print_sample(FILE *to);
void conf_print_man(FILE *to);

#endif
