/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/apply.h"

#include "base/err.h"
#include "ini/value.h"

/* Whom an assignment is for. */
struct target {
	struct conf_gateway *gateway;   /* NULL: global */
	struct conf_seen *seen;
};

static void complain(struct conf_apply *a, const struct conf_line *l, bool warning, const char *name, const char *text)
{
	conf_remark(a->report, warning, l->line ? a->file : "-o", l->line, "%.80s%s%.60s: %s", l->section,
		    *l->section ? "." : "", name, text);
}

static void *base_of(struct conf *conf, struct conf_gateway *gateway, const struct conf_key *key)
{
	switch (key->section) {
	case CONF_S_VELADOR: return &conf->velador;
	case CONF_S_LISTEN: return &conf->listen;
	case CONF_S_RECORD: return &conf->record;
	case CONF_S_SECURITY: return &conf->security;
	case CONF_S_GATEWAY: return gateway;
	default: return gateway ? &gateway->params : &conf->params;
	}
}

/* Why a value was refused, and what would be right. */
static void complain_value(struct conf_apply *a, const struct conf_line *l, const struct conf_key *key, int err, struct str bad)
{
	char text[300];
	struct out o = OUT(text, sizeof text - 1);

	if (key->type != CONF_T_SECRET) {
		out_lit(&o, "\"");
		out_str(&o, str_head(bad, 80));
		out_lit(&o, "\" ");
	}
	if (err == ERR_SYSTEM) {
		out_lit(&o, "no memory");
	} else if (err == ERR_EXISTS) {
		out_lit(&o, "is there twice; give it once");
	} else {
		out_str(&o, err == ERR_SYNTAX ? STR("is not understood; give ") : err == ERR_FULL ? STR("is one too many; give ")
										  : STR("is out of range; give "));
		conf_key_expects(key, &o);
	}
	text[o.n] = 0;
	complain(a, l, false, l->name, text);
}

static bool may_set(struct conf_apply *a, const struct conf_line *l, const struct conf_key *key, unsigned seen)
{
	char text[80];

	if (l->continued && !conf_key_is_list(key)) {
		complain(a, l, false, l->name,
			 "takes one value, and a line that begins with space continues the line above; begin keys at the left");
		return false;
	}
	if (l->line && seen > 1 && !conf_key_is_list(key)) {
		snprintf(text, sizeof text, "set in line %u already; give it once", seen - 1);
		complain(a, l, false, l->name, text);
		return false;
	}
	return true;
}

static void assign(struct conf_apply *a, struct target *t, const struct conf_key *key, const struct conf_line *l)
{
	unsigned *seen = &t->seen->at[key - conf_keys];
	void *base = base_of(a->conf, t->gateway, key);
	char text[160];
	struct str bad;
	int err;

	if (!may_set(a, l, key, *seen))
		return;
	if (!l->line && (*seen != 1 || !*l->value))
		value_clear(key, base);
	*seen = l->line + 1;
	if ((err = value_set(key, base, str_of(l->value), &bad))) {
		complain_value(a, l, key, err, bad);
		return;
	}
	if (value_below_advice(key, base)) {
		snprintf(text, sizeof text, "\"%.40s\" is less than %s advises", l->value, key->rfc);
		complain(a, l, true, l->name, text);
	}
	if (key->effect == CONF_LATER)
		complain(a, l, true, l->name, "read and checked, but not in effect in this version");
}

/* An unknown key: says where it belongs, else what there is. */
static void complain_key(struct conf_apply *a, const struct conf_line *l, enum conf_section s)
{
	const struct conf_key *other = conf_key_anywhere(str_of(l->name));
	char text[400];
	struct out o = OUT(text, sizeof text - 1);

	if (other) {
		out_fmt(&o, "no key of this section; it belongs in [%s%s]", conf_section_name(other->section),
			other->section == CONF_S_GATEWAY ? " NAME" : "");
	} else {
		out_lit(&o, "unknown key; there are ");
		for (unsigned i = 0, n = 0; i < conf_nkeys; i++)
			if (conf_keys[i].section == s)
				out_fmt(&o, "%s%s", n++ ? ", " : "", conf_keys[i].name);
		if (s == CONF_S_GATEWAY)
			out_lit(&o, ", and those of session, retransmit, reliable, publish");
	}
	text[o.n] = 0;
	complain(a, l, false, l->name, text);
}

static bool is_gateway(const char *section, struct str *name)
{
	struct str s = str_trim(str_of(section));

	if (!str_starts(s, STR("gateway")) || (s.n > 7 && s.p[7] != ' ' && s.p[7] != '\t'))
		return false;
	*name = str_trim(str_from(s, 7));
	return true;
}

static void apply_global(struct conf_apply *a, const struct conf_line *l)
{
	struct str section = str_trim(str_of(l->section));
	enum conf_section s = conf_section_of(section);
	const struct conf_key *key = conf_key_alias(str_of(l->name));
	struct target t = { .gateway = NULL, .seen = &a->seen };

	if (!key && s < CONF_S_COUNT)
		key = conf_key_find(s, str_of(l->name));
	if (key)
		assign(a, &t, key, l);
	else if (s < CONF_S_COUNT)
		complain_key(a, l, s);
	else if (!section.n)
		complain(a, l, false, l->name, "stands in no section; give section.key=value, or a line [section] above it");
	else if (!l->line)
		complain(a, l, false, l->name, "unknown section");
}

static int find_gateway(const struct conf *conf, struct str name)
{
	for (unsigned i = 0; i < conf->ngateways; i++)
		if (str_eq(name, str_of(conf->gateways[i].name)))
			return (int)i;
	return -1;
}

static void apply_gateway(struct conf_apply *a, const struct conf_line *l, struct str name)
{
	const struct conf_key *key = conf_key_alias(str_of(l->name));
	int i = find_gateway(a->conf, name);
	struct target t;

	if (i < 0)
		return; /* its section was refused */
	t = (struct target){ .gateway = &a->conf->gateways[i], .seen = &a->gateway_seen[i] };
	if (!key)
		key = conf_key_find(CONF_S_GATEWAY, str_of(l->name));
	if (key)
		assign(a, &t, key, l);
	else
		complain_key(a, l, CONF_S_GATEWAY);
}

static void set_defaults(struct conf *conf, struct conf_gateway *gateway)
{
	struct str bad;

	for (unsigned i = 0; i < conf_nkeys; i++) {
		const struct conf_key *key = &conf_keys[i];
		if (*key->initial && (key->section == CONF_S_GATEWAY) == (gateway != NULL))
			value_set(key, base_of(conf, gateway, key), str_of(key->initial), &bad);
	}
	if (gateway)
		gateway->listen = -1;
}

static bool is_gateway_name(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i], lower = (char)(c | 32);
		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && !memchr("-_.", c, 3))
			return false;
	}
	return name.n > 0 && name.n < CONF_NAME;
}

/* Makes room for a gateway at its section's line, or at its first override. */
static int add_gateway(struct conf_apply *a, const struct conf_line *l, struct str name)
{
	struct conf *conf = a->conf;
	const char *file = l->line ? a->file : "-o";
	struct conf_gateway *g;
	int old = find_gateway(conf, name);

	if (old >= 0 && l->line)
		conf_remark(a->report, false, file, l->line, "gateway %.*s: there is one of this name in line %u already",
			    STR_FMT(name), conf->gateways[old].line);
	if (!is_gateway_name(name))
		conf_remark(a->report, false, file, l->line,
			    "gateway \"%.*s\": give [gateway NAME], NAME of 1 to %d letters, digits, '-', '_', '.'",
			    STR_FMT(str_head(name, 60)), CONF_NAME - 1);
	else if (old < 0 && conf->ngateways == CONF_GATEWAYS_MAX)
		conf_remark(a->report, false, file, l->line, "more than %d gateways", CONF_GATEWAYS_MAX);
	else if (old < 0) {
		if (conf->ngateways % 16 == 0) {
			void *more = realloc(conf->gateways, (conf->ngateways + 16) * sizeof *conf->gateways);
			if (!more)
				return ERR_SYSTEM;
			conf->gateways = more;
		}
		g = &conf->gateways[conf->ngateways++];
		memset(g, 0, sizeof *g);
		memcpy(g->name, name.p, name.n);
		g->line = l->line;
		set_defaults(conf, g);
	}
	return 0;
}

static int find_gateways(struct conf_apply *a, const struct conf_lines *lines)
{
	struct str name;
	int err;

	for (unsigned i = 0; i < lines->n; i++) {
		const struct conf_line *l = &lines->a[i];
		if (l->name && l->line)
			continue;
		if (is_gateway(l->section, &name)) {
			if ((err = add_gateway(a, l, name)))
				return err;
		} else if (!l->name && conf_section_of(str_of(l->section)) == CONF_S_COUNT) {
			conf_remark(a->report, false, a->file, l->line,
				    "[%.60s]: unknown section; there are velador, listen, session, retransmit, reliable, "
				    "publish, record, security, gateway NAME", l->section);
		}
	}
	return 0;
}

int conf_apply(struct conf_apply *a, const struct conf_lines *lines)
{
	struct str name;
	int err;

	set_defaults(a->conf, NULL);
	if ((err = find_gateways(a, lines)))
		return err;
	if (!(a->gateway_seen = calloc(a->conf->ngateways + 1, sizeof *a->gateway_seen)))
		return ERR_SYSTEM;
	for (unsigned i = 0; i < lines->n; i++)
		if (lines->a[i].name && !is_gateway(lines->a[i].section, &name))
			apply_global(a, &lines->a[i]);
	for (unsigned i = 0; i < a->conf->ngateways; i++)
		a->conf->gateways[i].params = a->conf->params;
	for (unsigned i = 0; i < lines->n; i++)
		if (lines->a[i].name && is_gateway(lines->a[i].section, &name))
			apply_gateway(a, &lines->a[i], name);
	return 0;
}

static unsigned seen_at(const struct conf_apply *a, int gateway, const char *name)
{
	const struct conf_key *key = gateway < 0 ? conf_key_anywhere(str_of(name)) : conf_key_find(CONF_S_GATEWAY, str_of(name));

	return gateway < 0 ? a->seen.at[key - conf_keys] : a->gateway_seen[gateway].at[key - conf_keys];
}

bool conf_apply_is_set(const struct conf_apply *a, int gateway, const char *name)
{
	return seen_at(a, gateway, name) != 0;
}

unsigned conf_apply_line(const struct conf_apply *a, int gateway, const char *name)
{
	unsigned at = seen_at(a, gateway, name);

	if (at)
		return at - 1;
	return gateway < 0 ? 0 : a->conf->gateways[gateway].line;
}
