/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which caller a request comes from, and which gateways a call goes to (DESIGN: longest prefix, priority, weight).
 *
 * A gateway's number is its index in the arena's gateway table (shm_gateway()), the same before and after a reload, so a running call may keep it.
 * Addresses and rules are copied when the route is made and never change; only calls and availability are read from the arena.
 *
 *	route_resolve()   in a short-lived child (blocks in DNS): fills the arena's gateway table
 *	route_new()       in each process after that: the rules, ready to be asked
 *
 * Resolving and making routes must not overlap: the supervisor starts no child while it resolves. */
#ifndef VELADOR_ROUTE_H
#define VELADOR_ROUTE_H

#include "base/addr.h"
#include "base/out.h"
#include "ini/conf.h"
#include "shm/shm.h"

struct route;

/* One configured gateway. Borrowed: valid as long as the route. */
struct route_gateway {
	const char *name;
	struct addr addr;                       /* where its requests are sent: the first resolved, with port and transport; family 0 = a caller without address */
	struct addr addrs[SHM_GATEWAY_ADDRS];   /* all of them; family 0 ends */
	uint16_t listen;                        /* our listening address to send from, as in conf_listen_addr() */
	uint8_t role;                           /* enum conf_role */
	uint8_t call_id;                        /* enum conf_call_id */
	uint32_t max_calls;                     /* 0 = no limit */
	const struct params *params;
	const struct conf_gateway *conf;
};

/* Resolves the gateways' names and writes the arena's gateway table: an entry keeps its place by name, a new gateway takes an unused one, the entry of
 * one that is no longer configured stays while it has calls. A name that fails keeps its former addresses with a warning; without any it is an
 * error. Also reports callers that cannot be told apart once the names are known.
 * After ERR_CONFIG the arena is as it was. Returns 0; ERR_CONFIG (see report); ERR_FULL (no entry free; in the report too); ERR_SYSTEM (memory).
 * Context: a short-lived child, or -t with an arena of its own; may block for seconds. */
int route_resolve(const struct conf *conf, struct shm *shm, const char *file, struct conf_report *report);

/* Builds the rules. conf and shm must outlive the route. Returns 0; ERR_NOTFOUND (a gateway is not in the arena: route_resolve() first); ERR_SYSTEM (memory).
 * Owns: *route until route_free(). Context: any process at its start, never on a message path. */
int route_new(struct route **route, const struct conf *conf, struct shm *shm);
void route_free(struct route *route);

/* The gateway with this number; NULL where it is not (or no longer) configured. */
const struct route_gateway *route_gateway(const struct route *route, unsigned gateway);

/* The caller (role caller or both) that a request from src belongs to. The longest network wins; of equal ones that whose own port is the source's, then
 * an explicit source over a mere address, then the first in the file. Returns 0 or ERR_NOTFOUND. */
int route_caller(const struct route *route, const struct addr *src, unsigned *gateway);

/* Whether src belongs to any configured gateway or caller (by network or address, whatever port). */
bool route_known_source(const struct route *route, const struct addr *src);

/* The gateways (role callee or both) that may take a call to `dialed` (as sip_uri_user() gives it), in the order to try: those with the longest matching
 * prefix, lower priority first, within a priority drawn by weight. random: any 64 bits; the same value gives the same order. Only available
 * ones. Returns how many were put into list, at most max; 0 = no route. At the moment of use ask route_has_room(). */
unsigned route_candidates(const struct route *route, struct str dialed, uint64_t random, uint16_t *list, unsigned max);

/* Whether any gateway, available or not, takes calls to `dialed`: without candidates, false is 404 and true is 503. */
bool route_has_match(const struct route *route, struct str dialed);

/* Whether any gateway gets Call-IDs of our own. */
bool route_has_own_ids(const struct route *route);

/* Whether the gateway is below its max_calls (false for one no longer configured). */
bool route_has_room(const struct route *route, unsigned gateway);

/* Whether anything would be left of a number there, after `strip` and `add`; true for an INVITE that names none. A gateway that cannot is passed over. */
bool route_can_dial(const struct route *route, unsigned gateway, struct str dialed);

/* Writes the number as this gateway wants it: `strip` characters off the front, `add` before. Returns 0; ERR_SPACE; ERR_SYNTAX where nothing
 * would be left; ERR_NOTFOUND. An escape (%23) counts as one character. */
int route_number(const struct route *route, unsigned gateway, struct str dialed, struct out *number);

/* Whether a final answer sends the call to the next gateway: 5xx, 408, 480. Not 6xx, 486, 487, 404 and the rest. */
bool route_fails_over(unsigned status);

#endif
