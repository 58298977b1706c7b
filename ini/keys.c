/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/apply.h"
#include "ini/value.h"

/* The member that holds a field of each type. */
#define MEMBER_DURATION(f) f##_ms
#define MEMBER_DURATION_AUTO(f) f##_ms
#define MEMBER_STAGES(f) f##_stages_ms
#define MEMBER_GIVE_UP(f) f##_ms
#define MEMBER_OURS(f) f##_addr
#define MEMBER_NUMBER(f) f
#define MEMBER_NUMBER_AUTO(f) f
#define MEMBER_CHOICE(f) f
#define MEMBER_FLAG(f) f
#define MEMBER_TEXT(f) f
#define MEMBER_PATH(f) f
#define MEMBER_SECRET(f) f
#define MEMBER_DIGITS(f) f
#define MEMBER_LISTEN(f) f
#define MEMBER_ADDRESS(f) f
#define MEMBER_HOSTPORT(f) f
#define MEMBER_NETS(f) f
#define MEMBER_PREFIXES(f) f

#define ROW(section, in, name, field, type, low, high, choices, advice, rfc, initial, when, effect, alias, help) \
	{ CONF_S_##section, name, CONF_T_##type, offsetof(struct in, MEMBER_##type(field)),                      \
	  sizeof(((struct in *)NULL)->MEMBER_##type(field)), low, high, choices, advice, rfc, initial,           \
	  CONF_##when, CONF_##effect, alias, help },

const struct conf_key conf_keys[] = {
#define KEY_VELADOR(...) ROW(VELADOR, conf_velador, __VA_ARGS__)
#define KEY_LISTEN(...) ROW(LISTEN, conf_listen, __VA_ARGS__)
#define KEY_SESSION(...) ROW(SESSION, params, __VA_ARGS__)
#define KEY_RETRANSMIT(...) ROW(RETRANSMIT, params, __VA_ARGS__)
#define KEY_RELIABLE(...) ROW(RELIABLE, params, __VA_ARGS__)
#define KEY_PUBLISH(...) ROW(PUBLISH, params, __VA_ARGS__)
#define KEY_RECORD(...) ROW(RECORD, conf_record, __VA_ARGS__)
#define KEY_SECURITY(...) ROW(SECURITY, conf_security, __VA_ARGS__)
#define KEY_GATEWAY(...) ROW(GATEWAY, conf_gateway, __VA_ARGS__)
#include "ini/ini_keys.def"
};
const unsigned conf_nkeys = sizeof conf_keys / sizeof conf_keys[0];

_Static_assert(sizeof conf_keys / sizeof conf_keys[0] <= CONF_KEYS_MAX, "enlarge CONF_KEYS_MAX");
_Static_assert(offsetof(struct params, resend_count) - offsetof(struct params, resend_stages_ms) ==
	       offsetof(struct conf_stages, count), "struct conf_stages lies over its members");
_Static_assert(offsetof(struct params, give_up_t1) - offsetof(struct params, give_up_ms) ==
	       offsetof(struct conf_give_up, t1), "struct conf_give_up lies over its members");
_Static_assert(offsetof(struct conf_gateway, listen) - offsetof(struct conf_gateway, listen_addr) ==
	       offsetof(struct conf_ours, index), "struct conf_ours lies over its members");

static const char *const section_names[CONF_S_COUNT] = {
	[CONF_S_VELADOR] = "velador", [CONF_S_LISTEN] = "listen",     [CONF_S_SESSION] = "session",
	[CONF_S_RETRANSMIT] = "retransmit", [CONF_S_RELIABLE] = "reliable", [CONF_S_PUBLISH] = "publish",
	[CONF_S_RECORD] = "record",   [CONF_S_SECURITY] = "security", [CONF_S_GATEWAY] = "gateway",
};

const char *conf_section_name(enum conf_section s)
{
	return section_names[s];
}

enum conf_section conf_section_of(struct str name)
{
	enum conf_section s = 0;

	while (s < CONF_S_COUNT && !str_eq(name, str_of(section_names[s])))
		s++;
	return s;
}

bool conf_section_is_params(enum conf_section s)
{
	return s == CONF_S_SESSION || s == CONF_S_RETRANSMIT || s == CONF_S_RELIABLE || s == CONF_S_PUBLISH;
}

const struct conf_key *conf_key_find(enum conf_section s, struct str name)
{
	const struct conf_key *override = NULL;

	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_nkeys; k++) {
		if (!str_eq(name, str_of(k->name)))
			continue;
		if (k->section == s)
			return k;
		if (s == CONF_S_GATEWAY && conf_section_is_params(k->section))
			override = k;
	}
	return override;
}

const struct conf_key *conf_key_alias(struct str name)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_nkeys; k++)
		if (*k->alias && str_eq(name, str_of(k->alias)))
			return k;
	return NULL;
}

const struct conf_key *conf_key_anywhere(struct str name)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_nkeys; k++)
		if (str_eq(name, str_of(k->name)))
			return k;
	return NULL;
}

bool conf_key_is_list(const struct conf_key *key)
{
	return key->type == CONF_T_LISTEN || key->type == CONF_T_NETS || key->type == CONF_T_PREFIXES;
}

static void expects_choice(const struct conf_key *key, struct out *o)
{
	struct str rest = str_of(key->choices);

	out_lit(o, "one of ");
	while (rest.n) {
		struct str word = str_head(rest, str_chr(rest, '|'));
		rest = str_from(rest, word.n + 1);
		out_str(o, word);
		if (rest.n)
			out_lit(o, ", ");
	}
}

static void expects_duration(const struct conf_key *key, struct out *o, const char *one)
{
	out_fmt(o, "%s from ", one);
	value_print_duration(o, key->low);
	out_lit(o, " to ");
	value_print_duration(o, key->high);
}

static void expects_text(const struct conf_key *key, struct out *o)
{
	if (str_eq(str_of(key->name), STR("log")))
		out_lit(o, "stderr, syslog or a path");
	else
		out_fmt(o, "a text of %llu to %llu bytes", (unsigned long long)key->low, (unsigned long long)key->high);
}

void conf_key_expects(const struct conf_key *key, struct out *o)
{
	switch (key->type) {
	case CONF_T_DURATION_AUTO:
		out_lit(o, "auto or "); /* fall through */
	case CONF_T_DURATION:
		expects_duration(key, o, "a duration");
		break;
	case CONF_T_GIVE_UP:
		out_lit(o, "N*T1 (N from 1 to 1000) or ");
		expects_duration(key, o, "a duration");
		break;
	case CONF_T_STAGES:
		out_lit(o, "auto or 1 to 10 durations, each ");
		expects_duration(key, o, "one");
		break;
	case CONF_T_NUMBER_AUTO:
		out_lit(o, "auto or "); /* fall through */
	case CONF_T_NUMBER:
		out_fmt(o, "a number from %llu to %llu", (unsigned long long)key->low, (unsigned long long)key->high);
		break;
	case CONF_T_CHOICE:
		expects_choice(key, o);
		break;
	case CONF_T_FLAG:
		out_lit(o, "yes or no");
		break;
	case CONF_T_TEXT:
	case CONF_T_SECRET:
		expects_text(key, o);
		break;
	case CONF_T_PATH:
		out_fmt(o, "a path of at most %llu bytes", (unsigned long long)key->high);
		break;
	case CONF_T_DIGITS:
		out_fmt(o, "at most %llu characters of a SIP user part", (unsigned long long)key->high);
		break;
	case CONF_T_LISTEN:
		out_fmt(o, "at most %d addresses such as 192.0.2.1:5060 or [2001:db8::1]:5060, each once", CONF_LISTEN_MAX);
		break;
	case CONF_T_OURS:
		out_lit(o, "an IP address and port such as 192.0.2.1:5060 or [2001:db8::1]:5060");
		break;
	case CONF_T_ADDRESS:
		out_lit(o, "an IP address, with or without port");
		break;
	case CONF_T_HOSTPORT:
		out_lit(o, "a host name or IP address, with or without port");
		break;
	case CONF_T_NETS:
		out_fmt(o, "at most %d IP addresses or networks such as 192.0.2.0/24", CONF_SOURCES_MAX);
		break;
	case CONF_T_PREFIXES:
		out_fmt(o, "at most %d prefixes of at most %llu characters", CONF_PREFIXES_MAX, (unsigned long long)key->high);
		break;
	}
}
