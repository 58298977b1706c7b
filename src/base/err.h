/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Error codes: 0 is success, everything else a line of err.def. */
#ifndef VELADOR_BASE_ERR_H
#define VELADOR_BASE_ERR_H

enum err {
	ERR_NONE = 0,
#define ERR(name, text) ERR_##name,
#include "base/err.def"
#undef ERR
	ERR_COUNT
};

/* The text of an error code; never NULL. */
const char *err_text(int err);

#endif
