/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void bug(const char *file, int line, const char *what)
{
	char text[512];
	int n = snprintf(text, sizeof text, "BUG %s:%d: %s\n", file, line, what);

	if (n > 0 && write(STDERR_FILENO, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1) < 0)
		abort();
	abort();
}
