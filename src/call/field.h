/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What call records and views share: a call's strings as operators read them. Private to src/call.
 * Reads under RCU; what is returned lives until the reader's next quiescent state. */
#ifndef VELADOR_CALL_FIELD_H
#define VELADOR_CALL_FIELD_H

#include "base/out.h"
#include "call/call.h"

enum { FIELD_URI_MAX = 4096 }; /* longest URI shown, bytes; longer ones are cut */

/* The URI of a From or To value without display name, password and parameters, "scheme:user@host[:port]", into buf.
 * Returns the empty slice where the value cannot be read. */
struct str field_uri(struct str value, char *buf, size_t cap);
/* From and To of the caller's INVITE in that form. */
struct str field_from(const struct shm *shm, const struct call *c, char *buf, size_t cap);
struct str field_to(const struct shm *shm, const struct call *c, char *buf, size_t cap);
struct str field_call_id(const struct shm *shm, const struct call *c);
/* User part of the Request-URI as received; as last sent to a gateway, empty where none was tried. */
struct str field_dialed(const struct shm *shm, const struct call *c);
struct str field_sent(const struct shm *shm, const struct call *c);
/* The configured name; that in the arena for one that is configured no more; empty where there is no gateway. */
struct str field_gateway(const struct core *core, uint16_t gateway);
/* How a leg carries reliable provisional responses: none, passthrough, offered (nothing was sent reliably yet), used. */
struct str field_100rel(const struct call *c, unsigned leg);
/* What to add to CLOCK_BOOTTIME milliseconds to get milliseconds since 1970. */
uint64_t field_wall_offset_ms(const struct core *core);

#endif
