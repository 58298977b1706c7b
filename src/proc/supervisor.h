/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor: opens everything, forks the children, replaces those that die or fall silent, loads new configurations. Parses nothing from the
 * network and touches no call. */
#ifndef VELADOR_PROC_SUPERVISOR_H
#define VELADOR_PROC_SUPERVISOR_H

#include "ini/conf.h"

/* Runs until SIGTERM or SIGINT. conf: read and good; taken over. Returns the exit code: 0, or 1 where it could not start. */
int supervisor(struct conf *conf, const char *file, const char *const *overrides);

#endif
