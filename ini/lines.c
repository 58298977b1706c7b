/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/lines.h"

#include "base/err.h"

#include <errno.h>
#include <ini.h>

/* inih copies section and key names into buffers of 50 bytes and cuts what is longer. */
enum { INIH_NAME_MAX = 49 };

/* inih calls handle() between two calls of next_line(), so what next_line() saw of a line tells where a value stands and what inih passed over. */
struct reader {
	struct conf_lines *lines;
	struct conf_report *report;
	const char *file;
	FILE *stream;
	char *text;             /* the line as it is in the file */
	size_t cap;
	unsigned line;
	bool indented;          /* it begins with space: continues a value, if there is one */
	bool expects_value;     /* it should lead to a call of handle() */
	bool have_name;         /* the section has a key already */
	bool no_memory;
};

static int add(struct conf_lines *lines, struct str section, struct str name, struct str value, unsigned line)
{
	struct conf_line l = { .line = line };

	if (lines->n % 64 == 0) {
		void *more = realloc(lines->a, (lines->n + 64) * sizeof *lines->a);
		if (!more)
			return ERR_SYSTEM;
		lines->a = more;
	}
	l.section = strndup(section.n ? section.p : "", section.n);
	l.name = name.p ? strndup(name.p, name.n) : NULL;
	l.value = strndup(value.n ? value.p : "", value.n);
	lines->a[lines->n++] = l;
	return l.section && l.value && (l.name || !name.p) ? 0 : ERR_SYSTEM;
}

/* Before a comment that follows space. inih 55 leaves it on continuation lines. */
static struct str without_comment(struct str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == ';' && (i == 0 || value.p[i - 1] == ' ' || value.p[i - 1] == '\t'))
			return str_trim(str_head(value, i));
	return value;
}

static int append(struct conf_line *l, struct str value)
{
	size_t cap = strlen(l->value) + value.n + 3;
	char *both = malloc(cap);

	if (!both)
		return ERR_SYSTEM;
	snprintf(both, cap, "%s, %.*s", l->value, STR_FMT(value));
	free(l->value);
	l->value = both;
	l->continued = true;
	return 0;
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
	struct reader *r = user;
	struct conf_lines *lines = r->lines;
	int err;

	if (!r->expects_value)
		return 1;
	r->expects_value = false;
	if (r->indented && r->have_name)
		err = append(&lines->a[lines->n - 1], without_comment(str_of(value)));
	else
		err = add(lines, str_of(section), str_of(name), str_of(value), r->line);
	r->have_name = *name;
	r->no_memory |= err != 0;
	return 1;
}

/* What inih did not hand over. */
static void check_last_line(struct reader *r)
{
	if (r->expects_value)
		conf_remark(r->report, false, r->file, r->line, "not understood; give \"key = value\", \"[section]\" or a comment");
	r->expects_value = false;
}

/* A line "[...]": notes the section, also one without keys. */
static void see_section(struct reader *r, struct str text)
{
	size_t close = str_chr(text, ']');
	struct str name = str_trim(str_make(text.p + 1, close < text.n ? close - 1 : 0));
	struct str after = str_trim(str_from(text, close + 1));

	r->have_name = false;
	if (close == text.n) {
		conf_remark(r->report, false, r->file, r->line, "section without ']'; give [section]");
		return;
	}
	if (after.n && after.p[0] != ';')
		conf_remark(r->report, false, r->file, r->line, "text after ']'; give the key a line of its own");
	else if (close - 1 > INIH_NAME_MAX)
		conf_remark(r->report, false, r->file, r->line, "name of a section longer than %d bytes", INIH_NAME_MAX);
	r->no_memory |= add(r->lines, name, STR_NONE, STR_NONE, r->line) != 0;
}

/* Returns whether the line is for inih. */
static bool see_line(struct reader *r, struct str line, size_t most)
{
	struct str text = str_trim(line);

	r->indented = text.n && text.p > line.p;
	if (!text.n || text.p[0] == ';' || text.p[0] == '#')
		return false;
	if (memchr(line.p, 0, line.n)) {
		conf_remark(r->report, false, r->file, r->line, "NUL byte");
		return false;
	}
	if (line.n > most) {
		conf_remark(r->report, false, r->file, r->line,
			    "line longer than %zu bytes; continue a list on the next line, with space in front", most);
		return false;
	}
	if (text.p[0] == '[' && !(r->indented && r->have_name))
		see_section(r, text);
	else
		r->expects_value = true;
	return true;
}

/* fgets() for inih: whole lines without their end, or an empty one where inih must not see it. Never a full buffer, which some builds of
 * inih take for half a line. */
static char *next_line(char *buf, int size, void *user)
{
	struct reader *r = user;
	struct str line;
	ssize_t n;

	check_last_line(r);
	if ((n = getline(&r->text, &r->cap, r->stream)) < 0)
		return NULL;
	r->line++;
	line = str_make(r->text, (size_t)n);
	if (r->line == 1 && str_starts(line, STR("\xEF\xBB\xBF")))
		line = str_from(line, 3);
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (!see_line(r, line, (size_t)size - 2))
		line.n = 0;
	memcpy(buf, line.p, line.n);
	buf[line.n] = 0;
	return buf;
}

int conf_lines_read(struct conf_lines *lines, const char *file, struct conf_report *report)
{
	struct reader r = { .lines = lines, .report = report, .file = file, .stream = fopen(file, "re") };
	int err = 0;

	if (!r.stream) {
		conf_remark(report, false, file, 0, "cannot be read: %s", strerror(errno));
		return ERR_SYSTEM;
	}
	err = ini_parse_stream(next_line, &r, handle, &r) == -2 || r.no_memory ? ERR_SYSTEM : 0;
	if (ferror(r.stream)) {
		conf_remark(report, false, file, 0, "cannot be read: %s", strerror(errno));
		err = ERR_SYSTEM;
	}
	fclose(r.stream);
	free(r.text);
	return err;
}

int conf_lines_override(struct conf_lines *lines, const char *text, struct conf_report *report)
{
	struct str all = str_of(text), left = str_trim(str_head(all, str_chr(all, '=')));
	size_t dot = left.n;

	if (str_chr(all, '=') == all.n) {
		conf_remark(report, false, "-o", 0, "\"%.200s\" has no '='; give section.key=value", text);
		return 0;
	}
	while (dot > 0 && left.p[dot - 1] != '.')
		dot--;
	return add(lines, dot ? str_trim(str_head(left, dot - 1)) : STR_NONE, str_trim(str_from(left, dot)),
		   str_trim(str_from(all, str_chr(all, '=') + 1)), 0);
}

void conf_lines_release(struct conf_lines *lines)
{
	for (unsigned i = 0; i < lines->n; i++) {
		free(lines->a[i].section);
		free(lines->a[i].name);
		free(lines->a[i].value);
	}
	free(lines->a);
	*lines = (struct conf_lines){ NULL, 0 };
}
