/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VELADOR_PROC_WORKER_H
#define VELADOR_PROC_WORKER_H

#include "proc/heritage.h"

/* A worker process; index: 0 to workers - 1. Called after fork; never returns. */
_Noreturn void worker(const struct heritage *h, unsigned index);

#endif
