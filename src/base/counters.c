/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/counters.h"

const char *counter_name(enum counter c)
{
	static const char *const name[CNT_COUNT] = {
#define COUNTER(word, text) [CNT_##word] = #word,
#include "base/counters.def"
#undef COUNTER
	};
	return name[c];
}

const char *counter_help(struct str name)
{
	static const char *const help[CNT_COUNT] = {
#define COUNTER(word, text) [CNT_##word] = text,
#include "base/counters.def"
#undef COUNTER
	};
	for (unsigned c = 0; c < CNT_COUNT; c++)
		if (str_eq(name, str_of(counter_name((enum counter)c))))
			return help[c];
	return NULL;
}
