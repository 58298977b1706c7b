/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file and the command line as a list of assignments, not yet understood. Private to ini/. */
#ifndef VELADOR_INI_LINES_H
#define VELADOR_INI_LINES_H

#include "ini/conf.h"

struct conf_line {
	char *section;          /* "session", "gateway carrier-1"; empty before the first section */
	char *name;             /* NULL: the section's own line */
	char *value;            /* continuation lines appended, with ", " between */
	unsigned line;          /* 0 = an override */
	bool continued;
};
struct conf_lines {
	struct conf_line *a;
	unsigned n;
};

/* Reads a file by inih. What inih would take without a word (lines and section names cut at its limits, text after ']', a line without '=')
 * is an error in the report. Returns 0 (the report may hold errors all the same) or ERR_SYSTEM (in the report too). */
int conf_lines_read(struct conf_lines *lines, const char *file, struct conf_report *report);
/* Adds "section.key=value" of the command line. Returns 0 or ERR_SYSTEM (memory). */
int conf_lines_override(struct conf_lines *lines, const char *text, struct conf_report *report);
void conf_lines_release(struct conf_lines *lines);

#endif
