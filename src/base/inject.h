/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Injection points: places where a test build may end the process, to prove that the shared structures
 * survive a death there. Free in normal builds. In test builds (VELADOR_INJECT) each passage calls
 * inject_hook where it is set, else counts against the environment variable VELADOR_INJECT="point:N",
 * which ends the process by SIGKILL, or the signal in VELADOR_INJECT_SIGNAL, at the N-th passage of that point ("*" = any point).
 * inject_fault() ends nothing: it is true at the N-th passage of the point named, for what cannot be had from outside. */
#ifndef VELADOR_BASE_INJECT_H
#define VELADOR_BASE_INJECT_H

#include <stdbool.h>

#ifdef VELADOR_INJECT
extern void (*inject_hook)(const char *point);
void inject_pass(const char *point);
bool inject_fault(const char *point);
#define INJECT(point) inject_pass(point)
#define INJECT_FAULT(point) inject_fault(point)
#else
#define INJECT(point) ((void)0)
#define INJECT_FAULT(point) false
#endif

#endif
