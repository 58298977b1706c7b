/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SipHash-1-3 (Aumasson, Bernstein 2012; the rounds that hash tables of other systems use): a keyed hash that a sender who does not know the key
 * cannot steer. Used for the call index, branch and Contact checks. Pure. */
#ifndef VELADOR_BASE_SIPHASH_H
#define VELADOR_BASE_SIPHASH_H

#include "base/str.h"

struct siphash_key {
	uint64_t k[2];
};

uint64_t siphash(const struct siphash_key *key, const void *p, size_t n);

/* The hash of several slices as if each were followed by a NUL byte: ("ab","c") differs from ("a","bc"). */
uint64_t siphash_strs(const struct siphash_key *key, const struct str *s, size_t count);

#endif
