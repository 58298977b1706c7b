/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control process and its protocol: a client connects to control.sock and sends one line, a command and its argument. The answer is a line
 * "ok" or "error: why", after "ok" one JSON text and a line feed, then the end of the stream. */
#ifndef VELADOR_PROC_CONTROL_H
#define VELADOR_PROC_CONTROL_H

#include "proc/heritage.h"

/* The control process. Called after fork; never returns. */
_Noreturn void control(const struct heritage *h);

#endif
