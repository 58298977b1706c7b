/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints veladorctl's answers for people: lists of objects as aligned tables, objects as lines of name and value, a counter's with what it counts. */
#ifndef VELADOR_PROC_TABLE_H
#define VELADOR_PROC_TABLE_H

#include <stdio.h>

#include "base/str.h"

/* Returns 0, or ERR_SYNTAX where the text is no JSON (cut short). Context: veladorctl only; allocates. */
int table_print(FILE *to, struct str json);

#endif
