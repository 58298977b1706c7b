/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fuzz target without a fuzzer: runs it over files, one test each. A target that finds something wrong ends the process. */
#ifndef VELADOR_T_FUZZ_FILES_H
#define VELADOR_T_FUZZ_FILES_H

#include <glob.h>

#include "t/tap.h"

static void fuzz_file(const char *path)
{
	enum { ROOM_BYTES = 1 << 18 };
	FILE *file = fopen(path, "rb");
	char *bytes = malloc(ROOM_BYTES), *exact;
	size_t n = file && bytes ? fread(bytes, 1, ROOM_BYTES, file) : 0;

	exact = malloc(n ? n : 1); /* of its own size, so that a read beyond the end is seen */
	if (!file || !bytes || !exact)
		tap_bail("a file cannot be read");
	memcpy(exact, bytes, n);
	LLVMFuzzerTestOneInput((const uint8_t *)exact, n);
	pass("%s", path);
	free(exact);
	free(bytes);
	fclose(file);
}

/* The files given, or those that fit the pattern below VELADOR_SRC. */
static int fuzz_files(int argc, char **argv, const char *pattern)
{
	const char *top = getenv("VELADOR_SRC");
	char path[512];
	glob_t found;

	for (int i = 1; i < argc; i++)
		fuzz_file(argv[i]);
	if (argc > 1)
		return tap_done();
	snprintf(path, sizeof path, "%s/%s", top ? top : ".", pattern);
	if (glob(path, GLOB_BRACE, NULL, &found))
		tap_bail("no files (VELADOR_SRC)");
	for (size_t i = 0; i < found.gl_pathc; i++)
		fuzz_file(found.gl_pathv[i]);
	globfree(&found);
	return tap_done();
}

#endif
