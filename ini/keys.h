/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ini_keys.def as a table. Private to ini/. */
#ifndef VELADOR_INI_KEYS_H
#define VELADOR_INI_KEYS_H

#include "base/out.h"
#include "ini/conf.h"

enum conf_section {
	CONF_S_VELADOR, CONF_S_LISTEN, CONF_S_SESSION, CONF_S_RETRANSMIT, CONF_S_RELIABLE, CONF_S_PUBLISH,
	CONF_S_RECORD, CONF_S_SECURITY, CONF_S_GATEWAY, CONF_S_COUNT
};

enum conf_type {
	CONF_T_DURATION, CONF_T_DURATION_AUTO, CONF_T_NUMBER, CONF_T_NUMBER_AUTO, CONF_T_CHOICE, CONF_T_FLAG,
	CONF_T_STAGES, CONF_T_GIVE_UP, CONF_T_TEXT, CONF_T_PATH, CONF_T_SECRET, CONF_T_DIGITS, CONF_T_LISTEN,
	CONF_T_ADDRESS, CONF_T_HOSTPORT, CONF_T_OURS, CONF_T_NETS, CONF_T_PREFIXES
};

enum conf_when { CONF_START, CONF_RELOAD };
enum conf_effect { CONF_NOW, CONF_LATER };

struct conf_key {
	enum conf_section section;
	const char *name;
	enum conf_type type;
	size_t offset, bytes;       /* of its member in the section's struct */
	uint64_t low, high;
	const char *choices;
	uint32_t advice;
	const char *rfc, *initial;
	enum conf_when when;
	enum conf_effect effect;
	const char *alias, *help;
};

extern const struct conf_key conf_keys[];
extern const unsigned conf_nkeys;

/* The members behind CONF_T_STAGES, CONF_T_GIVE_UP and CONF_T_OURS, as they lie in their structs. */
struct conf_stages {
	uint32_t ms[PARAMS_STAGES], count;
};
struct conf_give_up {
	uint32_t ms, t1;
};
struct conf_ours {
	struct addr addr;
	int index;
};

/* "session"; and the section of a name, CONF_S_COUNT where there is none. */
const char *conf_section_name(enum conf_section s);
enum conf_section conf_section_of(struct str name);
/* Whether the section is part of struct params, so that a gateway may override it. */
bool conf_section_is_params(enum conf_section s);

/* The key of this name in a section; in CONF_S_GATEWAY the keys of params too. NULL where there is none. */
const struct conf_key *conf_key_find(enum conf_section s, struct str name);
/* The key with this softswitch name, NULL where there is none. */
const struct conf_key *conf_key_alias(struct str name);
/* The key of this name in whatever section, to tell where it belongs. */
const struct conf_key *conf_key_anywhere(struct str name);

/* Whether a value is a list: continued on lines that begin with space, and added to by repeating the key. */
bool conf_key_is_list(const struct conf_key *key);
/* Writes what a right value looks like: "a duration from 1s to 1d". */
void conf_key_expects(const struct conf_key *key, struct out *o);

#endif
