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

const char *counter_help(enum counter c)
{
	static const char *const help[CNT_COUNT] = {
#define COUNTER(word, text) [CNT_##word] = text,
#include "base/counters.def"
#undef COUNTER
	};
	return help[c];
}
