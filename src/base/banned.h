/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that have cost others too much. Included by the compiler's command line in every file of ours,
 * after the system headers that declare them. */
#ifndef VELADOR_BASE_BANNED_H
#define VELADOR_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok atoi atol atof gmtime localtime ctime asctime

#endif
