/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/conf.h"

#include <stdarg.h>

/* A value may hold anything, and goes to a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = '?';
}

void conf_remark(struct conf_report *report, bool warning, const char *file, unsigned line, const char *fmt, ...)
{
	struct conf_remark *r;
	struct out o;
	va_list ap;

	if (warning)
		report->warnings++;
	else
		report->errors++;
	if (report->n == CONF_REMARKS_MAX)
		return;
	r = &report->remark[report->n++];
	o = OUT(r->text, sizeof r->text);
	r->warning = warning;
	r->line = line;
	if (line)
		out_fmt(&o, "%.200s:%u: ", file, line);
	else if (file)
		out_fmt(&o, "%.200s: ", file);
	va_start(ap, fmt);
	(void)vsnprintf(r->text + o.n, sizeof r->text - o.n, fmt, ap);
	va_end(ap);
	make_printable(r->text);
}

void conf_report_print(const struct conf_report *report, FILE *to)
{
	unsigned all = report->errors + report->warnings;

	for (unsigned i = 0; i < report->n; i++)
		fprintf(to, "%s: %s\n", report->remark[i].warning ? "warning" : "error", report->remark[i].text);
	if (all > report->n)
		fprintf(to, "and %u more\n", all - report->n);
}
