/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VELADOR_PROC_TIMER_H
#define VELADOR_PROC_TIMER_H

#include "proc/heritage.h"

/* The timer process. Called after fork; never returns. */
_Noreturn void timer(const struct heritage *h);

#endif
