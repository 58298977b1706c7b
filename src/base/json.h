/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A writer of JSON (RFC 8259) over struct out. Commas come by themselves: a value or key that follows a finished value gets one,
 * so writers name only what they write. Overflow is the out's. Pure: any process may call everything here.
 *
 *	json_object_open(o);
 *	json_key(o, "calls"); json_u64(o, 3);
 *	json_object_close(o);                      {"calls":3} */
#ifndef VELADOR_BASE_JSON_H
#define VELADOR_BASE_JSON_H

#include "base/addr.h"
#include "base/out.h"

void json_object_open(struct out *o);
void json_object_close(struct out *o);
void json_array_open(struct out *o);
void json_array_close(struct out *o);

/* The name of the next member; a literal of ours, written as it is. */
void json_key(struct out *o, const char *name);

/* Any bytes as a string: quotes, backslashes and control characters escaped, what is no UTF-8 (RFC 3629: overlong forms and surrogates
 * too) replaced by U+FFFD, one for each byte. */
void json_str(struct out *o, struct str s);
void json_u64(struct out *o, uint64_t v);
void json_bool(struct out *o, bool v);
void json_null(struct out *o);

/* A number of milliseconds as seconds with three decimals. */
void json_seconds(struct out *o, uint64_t ms);
/* "IP:port"; null where there is no address. */
void json_addr(struct out *o, const struct addr *a);
/* A moment as "2026-01-31T12:00:00.000Z" (RFC 3339); null for 0. wall_ms: milliseconds since 1970. */
void json_time(struct out *o, uint64_t wall_ms);

/* The same moment without quotes, for CSV and log lines; overflow beyond the year 9999. */
#define OUT_TIME_MAX_MS UINT64_C(253402300799999)
void out_time(struct out *o, uint64_t wall_ms);

#endif
