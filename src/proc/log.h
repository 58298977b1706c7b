/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines: to stderr, syslog or a file, each one write(), so that lines of several processes never mix. Context: processes only (this folder);
 * lower layers return codes and never log. */
#ifndef VELADOR_PROC_LOG_H
#define VELADOR_PROC_LOG_H

#include "base/str.h"
#include "ini/conf.h"

/* Where lines go: "stderr", "syslog", or a file's path; the file is made when missing. Before the first call: stderr, level info.
 * Returns 0 or ERR_SYSTEM (errno; the former target stays). Called again it changes over. */
int log_open(const char *target, enum conf_log_level level);

/* Whether the log is a file that stands no more under its name: it was rotated. */
bool log_moved(void);

/* Who speaks: "supervisor", "worker 0"; kept by copy. */
void log_name(const char *name);

/* Writes a line of a level; longer than 1000 bytes is cut; control characters become '?'. Does not wait for a pipe's reader or the syslog daemon: a line that finds no room is lost, and
 * the next that finds some says how many were. */
void log_line(enum conf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(CONF_LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(CONF_LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(CONF_LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(CONF_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(CONF_LOG_DEBUG, __VA_ARGS__)

#endif
