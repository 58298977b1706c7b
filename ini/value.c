/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/value.h"

#include "base/err.h"
#include "ini/value_list.h"

#include <inttypes.h>

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };

enum { NUNITS = sizeof units / sizeof units[0] };
#define DURATION_MAX_MS (UINT64_C(1000) * 86400000)

static size_t digits_of(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* The unit that follows a number, in milliseconds; 0 where it is none of ours. */
static uint64_t unit_ms(struct str name)
{
	if (!name.n)
		return 1000;
	for (unsigned i = 0; i < NUNITS; i++)
		if (str_eq(name, str_of(units[i].name)))
			return units[i].ms;
	return 0;
}

int value_duration(struct str text, uint64_t *ms)
{
	struct str whole = str_head(text, digits_of(text)), fraction = STR_NONE;
	struct str rest = str_from(text, whole.n);
	uint64_t n, unit, part = 0, scale = 1;
	int err;

	if (rest.n && rest.p[0] == '.') {
		fraction = str_head(str_from(rest, 1), digits_of(str_from(rest, 1)));
		if (!fraction.n)
			return ERR_SYNTAX;
		rest = str_from(rest, 1 + fraction.n);
	}
	if (!(unit = unit_ms(str_trim(rest))) || !whole.n)
		return ERR_SYNTAX;
	if (whole.n > 12 || fraction.n > 9 || (err = str_u64(whole, DURATION_MAX_MS / unit, &n)))
		return ERR_RANGE;
	if (fraction.n && (err = str_u64(fraction, 999999999, &part)))
		return err;
	for (size_t i = 0; i < fraction.n; i++)
		scale *= 10;
	*ms = n * unit + (part * unit + scale - 1) / scale;
	return 0;
}

int value_number(struct str text, uint64_t *number)
{
	static const char suffixes[] = "kMG";
	uint64_t n, factor = 1;
	int err;

	if (text.n) {
		const char *suffix = memchr(suffixes, text.p[text.n - 1], 3);
		for (const char *s = suffixes; suffix && s <= suffix; s++)
			factor *= 1000;
		text.n -= suffix != NULL;
	}
	if ((err = str_u64(text, UINT32_MAX / factor, &n)))
		return err;
	*number = n * factor;
	return 0;
}

void value_print_duration(struct out *o, uint64_t ms)
{
	unsigned i = 0;

	if (!ms) {
		out_lit(o, "0");
		return;
	}
	while (ms % units[i].ms)
		i++;
	out_fmt(o, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
}

static int in_range(const struct conf_key *key, uint64_t v)
{
	return v >= key->low && v <= key->high ? 0 : ERR_RANGE;
}

static int set_duration(const struct conf_key *key, uint32_t *field, struct str text)
{
	uint64_t ms;
	int err;

	if (key->type == CONF_T_DURATION_AUTO && str_ieq(text, STR("auto"))) {
		*field = 0;
		return 0;
	}
	if ((err = value_duration(text, &ms)) || (err = in_range(key, ms)))
		return err;
	*field = (uint32_t)ms;
	return 0;
}

static int set_number(const struct conf_key *key, uint32_t *field, struct str text)
{
	uint64_t n;
	int err;

	if (key->type == CONF_T_NUMBER_AUTO && str_ieq(text, STR("auto"))) {
		*field = 0;
		return 0;
	}
	if ((err = value_number(text, &n)) || (err = in_range(key, n)))
		return err;
	*field = (uint32_t)n;
	return 0;
}

static int set_choice(const struct conf_key *key, uint8_t *field, struct str text)
{
	struct str rest = str_of(key->choices);

	for (uint8_t i = 0; rest.n; i++) {
		struct str word = str_head(rest, str_chr(rest, '|'));
		rest = str_from(rest, word.n + 1);
		if (str_ieq(text, word)) {
			*field = i;
			return 0;
		}
	}
	return ERR_SYNTAX;
}

static int set_flag(bool *field, struct str text)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
		if (str_ieq(text, str_of(words[i]))) {
			*field = i % 2;
			return 0;
		}
	return ERR_SYNTAX;
}

/* "64*T1", or a duration. */
static int set_give_up(const struct conf_key *key, struct conf_give_up *field, struct str text)
{
	size_t star = str_chr(text, '*');
	uint64_t n;
	int err;

	if (star == text.n) {
		if ((err = value_duration(text, &n)) || (err = in_range(key, n)))
			return err;
		*field = (struct conf_give_up){ .ms = (uint32_t)n, .t1 = 64 };
		return 0;
	}
	if (!str_ieq(str_trim(str_from(text, star + 1)), STR("T1")))
		return ERR_SYNTAX;
	if ((err = str_u64(str_trim(str_head(text, star)), 1000, &n)))
		return err;
	if (!n)
		return ERR_RANGE;
	*field = (struct conf_give_up){ .ms = 0, .t1 = (uint32_t)n };
	return 0;
}

/* `cap` bytes with the NUL. Control characters never belong into a value. */
static int set_text(const struct conf_key *key, char *field, size_t cap, struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < ' ' || text.p[i] == 127)
			return ERR_SYNTAX;
	if (text.n >= cap || in_range(key, text.n))
		return ERR_RANGE;
	memset(field, 0, cap);
	memcpy(field, text.p, text.n);
	return 0;
}

/* RFC 3261 section 25.1, user: unreserved and user-unreserved but the comma. */
static int set_digits(const struct conf_key *key, char *field, struct str text)
{
	static const char marks[] = "-_.!~*'()&=+$;?/";

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i], lower = (char)(c | 32);
		if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'z') && !memchr(marks, c, sizeof marks - 1))
			return ERR_SYNTAX;
	}
	return set_text(key, field, CONF_PREFIX, text);
}

int value_set(const struct conf_key *key, void *base, struct str text, struct str *bad)
{
	void *field = (char *)base + key->offset;

	*bad = text;
	switch (key->type) {
	case CONF_T_DURATION:
	case CONF_T_DURATION_AUTO: return set_duration(key, field, text);
	case CONF_T_NUMBER:
	case CONF_T_NUMBER_AUTO: return set_number(key, field, text);
	case CONF_T_CHOICE: return set_choice(key, field, text);
	case CONF_T_FLAG: return set_flag(field, text);
	case CONF_T_GIVE_UP: return set_give_up(key, field, text);
	case CONF_T_TEXT:
	case CONF_T_PATH:
	case CONF_T_SECRET: return set_text(key, field, CONF_TEXT, text);
	case CONF_T_DIGITS: return set_digits(key, field, text);
	case CONF_T_ADDRESS: return value_address(field, text);
	case CONF_T_OURS: return value_ours(field, text);
	case CONF_T_HOSTPORT: return value_hostport(field, text);
	case CONF_T_STAGES: return value_stages(key, field, text, bad);
	case CONF_T_LISTEN: return value_listen(field, text, bad);
	case CONF_T_NETS: return value_nets(field, text, bad);
	case CONF_T_PREFIXES: return value_prefixes(field, text, bad);
	}
	return ERR_SYNTAX;
}

void value_clear(const struct conf_key *key, void *base)
{
	void *field = (char *)base + key->offset;

	if (key->type == CONF_T_PREFIXES)
		((struct conf_prefixes *)field)->n = 0;
	else if (conf_key_is_list(key))
		memset(field, 0, key->bytes);
}

bool value_below_advice(const struct conf_key *key, const void *base)
{
	const void *field = (const char *)base + key->offset;
	uint32_t v = 0;

	if (key->type == CONF_T_GIVE_UP) {
		const struct conf_give_up *g = field;
		return g->ms ? g->ms < 32000 : g->t1 < 64;
	}
	if (key->type == CONF_T_DURATION || key->type == CONF_T_DURATION_AUTO)
		v = *(const uint32_t *)field;
	return v && v < key->advice;
}
