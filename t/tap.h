/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Test Anything Protocol for our C tests: one function a check, the plan at the end.
 *
 *	int main(void)
 *	{
 *		ok(1 + 1 == 2, "RFC3261-8.1.1: arithmetic");
 *		is_u64(f(3), 9, "f of %d", 3);
 *		return tap_done();
 *	}
 *
 * The macros return whether the check held. Each file of checks is a process of its own; after fork() only one of
 * parent and child may go on checking. */
#ifndef VELADOR_T_TAP_H
#define VELADOR_T_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned tap_run, tap_failed;

__attribute__((format(printf, 2, 0), unused)) static void tap_comment(FILE *to, const char *format, va_list ap)
{
	fprintf(to, "# ");
	vfprintf(to, format, ap);
	fprintf(to, "\n");
	fflush(to);
}

/* A comment line, as `# text`. diag: why a test failed, to standard error, where prove shows it; note: the rest. */
__attribute__((format(printf, 1, 2), unused)) static void diag(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tap_comment(stderr, format, ap);
	va_end(ap);
}

__attribute__((format(printf, 1, 2), unused)) static void note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	tap_comment(stdout, format, ap);
	va_end(ap);
}

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool good, const char *file, int line, const char *format, ...)
{
	va_list ap;

	tap_run++;
	tap_failed += !good;
	va_start(ap, format);
	printf("%sok %u - ", good ? "" : "not ", tap_run);
	vprintf(format, ap);
	printf("\n");
	va_end(ap);
	fflush(stdout);
	if (!good)
		diag("  failed test %u at %s:%d", tap_run, file, line);
	return good;
}

__attribute__((unused)) static bool tap_same(bool same, const char *got, const char *want)
{
	if (!same)
		diag("  got  %s\n#   want %s", got, want);
	return same;
}

__attribute__((unused)) static bool tap_same_u64(uint64_t got, uint64_t want)
{
	if (got != want)
		diag("  got  %llu (0x%llx)\n#   want %llu (0x%llx)", (unsigned long long)got, (unsigned long long)got,
		     (unsigned long long)want, (unsigned long long)want);
	return got == want;
}

__attribute__((unused)) static bool tap_same_bytes(const void *got, size_t got_bytes, const void *want, size_t want_bytes)
{
	bool same = got_bytes == want_bytes && (got_bytes == 0 || memcmp(got, want, got_bytes) == 0);

	if (!same)
		diag("  got  (%zu) %.*s\n#   want (%zu) %.*s", got_bytes, (int)got_bytes, got_bytes ? (const char *)got : "",
		     want_bytes, (int)want_bytes, want_bytes ? (const char *)want : "");
	return same;
}

#define ok(condition, ...) tap_ok(!!(condition), __FILE__, __LINE__, __VA_ARGS__)
#define pass(...) tap_ok(true, __FILE__, __LINE__, __VA_ARGS__)
#define fail(...) tap_ok(false, __FILE__, __LINE__, __VA_ARGS__)
/* Integers of any width; evaluates each argument once. */
#define is_u64(got, want, ...) tap_ok(tap_same_u64((uint64_t)(got), (uint64_t)(want)), __FILE__, __LINE__, __VA_ARGS__)
/* NUL-terminated strings; NULL equals only itself by text "(null)". */
#define is_text(got, want, ...)                                                                                  \
	tap_ok(tap_same_text((got), (want)), __FILE__, __LINE__, __VA_ARGS__)
/* Two slices (struct str, or anything with p and n). */
#define is_str(got, want, ...) tap_ok(tap_same_bytes((got).p, (got).n, (want).p, (want).n), __FILE__, __LINE__, __VA_ARGS__)
#define is_mem(got, got_bytes, want, want_bytes, ...) \
	tap_ok(tap_same_bytes((got), (got_bytes), (want), (want_bytes)), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((unused)) static bool tap_same_text(const char *got, const char *want)
{
	got = got ? got : "(null)";
	want = want ? want : "(null)";
	return tap_same(strcmp(got, want) == 0, got, want);
}

/* The whole file does not apply here (a tool is missing, a privilege): says so to prove, and ends. */
__attribute__((unused)) static _Noreturn void tap_skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

/* No way to go on. */
__attribute__((unused)) static _Noreturn void tap_bail(const char *why)
{
	printf("Bail out! %s\n", why);
	exit(255);
}

/* Prints the plan; the value for main() to return. */
__attribute__((unused)) static int tap_done(void)
{
	printf("1..%u\n", tap_run);
	if (tap_failed)
		printf("# %u of %u failed\n", tap_failed, tap_run);
	fflush(stdout);
	return tap_failed ? 1 : 0;
}

#endif
