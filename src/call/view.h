/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Published calls as others see them: the record line (DESIGN contract of call records) and the descriptions for veladorctl.
 * Reads under RCU, takes nothing, changes nothing. Context: any process, online. */
#ifndef VELADOR_CALL_VIEW_H
#define VELADOR_CALL_VIEW_H

#include "base/out.h"
#include "call/core.h"

enum record_format { RECORD_JSON, RECORD_CSV };

/* The header line of the CSV form, with its newline; JSON has none. */
struct str record_csv_head(void);
/* Writes the call's record with its newline. Returns 0; ERR_STALE (no such object, or it is no ended call); ERR_SPACE.
 * wall_offset_ms: what to add to CLOCK_BOOTTIME milliseconds to get milliseconds since 1970. */
int record_print(struct out *o, const struct core *core, uint32_t slot, uint32_t generation, enum record_format format);

/* One entry of `veladorctl calls` as a JSON object; ERR_STALE where the slot holds no live call. Lines of the text form are made from the same fields. */
int view_call_brief(struct out *o, const struct core *core, uint32_t slot);
/* All of one call for `veladorctl call ID`. */
int view_call_full(struct out *o, const struct core *core, uint32_t slot, uint32_t generation);
/* The call's id as operators see and type it: "index.generation" in hexadecimal. parse: ERR_SYNTAX. */
void view_id_print(struct out *o, uint32_t slot, uint32_t generation);
int view_id_parse(struct str text, uint32_t *slot, uint32_t *generation);

#endif
