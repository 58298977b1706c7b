/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of the counters; see counters.def. The array itself lies in the process slot (shm/). */
#ifndef VELADOR_BASE_COUNTERS_H
#define VELADOR_BASE_COUNTERS_H

#include "base/str.h"

enum counter {
#define COUNTER(name, help) CNT_##name,
#include "base/counters.def"
#undef COUNTER
	CNT_COUNT
};

/* Room in each process slot; CNT_COUNT must stay below. */
enum { CNT_ROOM = 128 };
_Static_assert((int)CNT_COUNT <= (int)CNT_ROOM, "enlarge CNT_ROOM (a change of layout)");

const char *counter_name(enum counter c);
/* What the counter of this name counts; NULL where there is none. */
const char *counter_help(struct str name);

#endif
