/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Injection points: places where a test build may end the process, to prove that the shared structures
 * survive a death there. Free in normal builds. In test builds (VELADOR_INJECT) each passage calls
 * inject_hook where it is set, else counts against the environment variable VELADOR_INJECT="point:N",
 * which ends the process by SIGKILL, or the signal in VELADOR_INJECT_SIGNAL, at the N-th passage of that point ("*" = any point). */
#ifndef VELADOR_BASE_INJECT_H
#define VELADOR_BASE_INJECT_H

#ifdef VELADOR_INJECT
extern void (*inject_hook)(const char *point);
void inject_pass(const char *point);
#define INJECT(point) inject_pass(point)
#else
#define INJECT(point) ((void)0)
#endif

#endif
