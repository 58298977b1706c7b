/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VELADOR_PROC_RECORDER_H
#define VELADOR_PROC_RECORDER_H

#include "proc/heritage.h"

/* The recorder process. Called after fork; never returns. */
_Noreturn void recorder(const struct heritage *h);

#endif
