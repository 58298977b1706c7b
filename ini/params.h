/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parameters that one leg of a call obeys: plain values, complete, global settings with a gateway's overrides already applied.
 * Call logic receives them by value or pointer and knows nothing of files. Expanded from ini_keys.def: the types give
 *
 *	DURATION f       uint32_t f_ms           e.g. ttl_ms, ring_timeout_ms, t1_min_ms
 *	DURATION_AUTO f  uint32_t f_ms, 0 = auto invite_timeout_ms: 0 = min(give_up, 32 s); t1_ms: 0 = measured;
 *	                                         min_se_ms: never 0, conf_read() has worked it out
 *	NUMBER f         uint32_t f              update_segment
 *	CHOICE f         uint8_t f               an enum below
 *	FLAG f           bool f                  strict_schedule
 *	STAGES f         uint32_t f_stages_ms[PARAMS_STAGES], f_count; resend_count 0 = auto
 *	GIVE_UP f        uint32_t f_ms, f_t1     give_up_ms: 0 = give_up_t1 * T1 (usually 64)
 */
#ifndef VELADOR_INI_PARAMS_H
#define VELADOR_INI_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

enum { PARAMS_STAGES = 10 };

/* In the order of the words in ini_keys.def. */
enum params_schedule { PARAMS_SEGMENTS, PARAMS_TAIL };                              /* refresh_schedule */
enum params_refresher { PARAMS_REFRESH_SELF, PARAMS_REFRESH_ENDPOINT };             /* refresher */
enum params_no_timer { PARAMS_NO_TIMER_REINVITE, PARAMS_NO_TIMER_HANGUP };          /* no_timer_action */
enum params_100rel { PARAMS_100REL_OFF, PARAMS_100REL_PASSTHROUGH, PARAMS_100REL_SUPPORTED, PARAMS_100REL_REQUIRED };

#define CONF_FIELD_DURATION(f) uint32_t f##_ms;
#define CONF_FIELD_DURATION_AUTO(f) uint32_t f##_ms;
#define CONF_FIELD_NUMBER(f) uint32_t f;
#define CONF_FIELD_NUMBER_AUTO(f) uint32_t f;
#define CONF_FIELD_CHOICE(f) uint8_t f;
#define CONF_FIELD_FLAG(f) bool f;
#define CONF_FIELD_STAGES(f) uint32_t f##_stages_ms[PARAMS_STAGES]; uint32_t f##_count;
#define CONF_FIELD_GIVE_UP(f) uint32_t f##_ms; uint32_t f##_t1;

struct params {
#define KEY_SESSION(name, field, type, ...) CONF_FIELD_##type(field)
#define KEY_RETRANSMIT(name, field, type, ...) CONF_FIELD_##type(field)
#define KEY_RELIABLE(name, field, type, ...) CONF_FIELD_##type(field)
#define KEY_PUBLISH(name, field, type, ...) CONF_FIELD_##type(field)
#include "ini/ini_keys.def"
};

#endif
