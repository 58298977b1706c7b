/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

const char *err_text(int err)
{
	static const char *const text[ERR_COUNT] = {
		[ERR_NONE] = "no error",
#define ERR(name, words) [ERR_##name] = words,
#include "base/err.def"
#undef ERR
	};
	return err >= 0 && err < ERR_COUNT ? text[err] : "unknown error";
}
