/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A broken invariant ends the process at once: its replacement repairs what it held, and nobody notices.
 * Never for bad input (that gets a SIP answer or a counted drop) and never for shortage (ERR_FULL, 503). */
#ifndef VELADOR_BASE_BUG_H
#define VELADOR_BASE_BUG_H

#include <stdbool.h>

_Noreturn void bug(const char *file, int line, const char *what);

#define BUG(what) bug(__FILE__, __LINE__, what)
#define BUG_ON(condition)                       \
	do {                                    \
		if (__builtin_expect(!!(condition), 0)) \
			BUG(#condition);        \
	} while (0)

#endif
