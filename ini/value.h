/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the configuration file: from text into the structs. Private to ini/. Pure but for the memory of prefix lists. */
#ifndef VELADOR_INI_VALUE_H
#define VELADOR_INI_VALUE_H

#include "ini/keys.h"

/* Reads a duration: digits, an optional fraction, an optional unit ms, s, m, h, d (none = seconds). A fraction of a millisecond counts as a whole
 * one, so that nothing but 0 becomes 0. Returns 0, ERR_SYNTAX, ERR_RANGE (above 1000 days). */
int value_duration(struct str text, uint64_t *ms);
/* Reads a number with an optional k, M or G (thousands). Returns 0, ERR_SYNTAX, ERR_RANGE. */
int value_number(struct str text, uint64_t *number);
/* Writes a duration in the largest unit that divides it: "500ms", "90s", "2h". */
void value_print_duration(struct out *o, uint64_t ms);

/* Reads `text` as a value of this key into the struct at base; a list is added to.
 * Returns 0; ERR_SYNTAX, ERR_RANGE, ERR_EXISTS (twice in a list) with *bad the offending part of text; ERR_FULL (list full); ERR_SYSTEM (memory). */
int value_set(const struct conf_key *key, void *base, struct str text, struct str *bad);
/* Empties a list. */
void value_clear(const struct conf_key *key, void *base);
/* Whether the value is one that its RFC advises against: below key->advice and not 0. */
bool value_below_advice(const struct conf_key *key, const void *base);

#endif
