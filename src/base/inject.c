/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/inject.h"

#ifdef VELADOR_INJECT
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*inject_hook)(const char *point);

/* Counts passages of the point that the environment names. */
static bool reached(const char *point, bool any)
{
	static const char *want;
	static long left = -1;

	if (left < 0) {
		const char *colon;
		want = getenv("VELADOR_INJECT");
		colon = want ? strrchr(want, ':') : NULL;
		left = colon ? strtol(colon + 1, NULL, 10) : 0;
	}
	if (left == 0 || !want)
		return false;
	return ((any && want[0] == '*') || (strncmp(want, point, strlen(point)) == 0 && want[strlen(point)] == ':')) && --left == 0;
}

void inject_pass(const char *point)
{
	const char *other;

	if (inject_hook) {
		inject_hook(point);
	} else if (reached(point, true)) {
		other = getenv("VELADOR_INJECT_SIGNAL");
		raise(other ? (int)strtol(other, NULL, 10) : SIGKILL);
	}
}

bool inject_fault(const char *point)
{
	return !inject_hook && reached(point, false);
}
#else
typedef int inject_is_off; /* ISO C wants one declaration in a file */
#endif
