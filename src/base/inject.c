/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/inject.h"

#ifdef VELADOR_INJECT
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*inject_hook)(const char *point);

void inject_pass(const char *point)
{
	static const char *want;
	static long left = -1;
	static int signal_number = SIGKILL;

	if (inject_hook) {
		inject_hook(point);
		return;
	}
	if (left < 0) {
		const char *colon, *other = getenv("VELADOR_INJECT_SIGNAL");
		signal_number = other ? (int)strtol(other, NULL, 10) : SIGKILL;
		want = getenv("VELADOR_INJECT");
		colon = want ? strrchr(want, ':') : NULL;
		left = colon ? strtol(colon + 1, NULL, 10) : 0;
	}
	if (left == 0 || !want)
		return;
	if ((want[0] == '*' || (strncmp(want, point, strlen(point)) == 0 && want[strlen(point)] == ':')) && --left == 0)
		raise(signal_number);
}
#else
typedef int inject_is_off; /* ISO C wants one declaration in a file */
#endif
