/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "call/field.h"

struct str field_uri(struct str value, char *buf, size_t cap)
{
	struct out o = OUT(buf, cap);
	struct sip_nameaddr na;
	struct sip_uri uri;

	if (!value.n || sip_address_parse(&na, &uri, value) || na.star)
		return STR_NONE;
	out_str(&o, uri.scheme);
	out_lit(&o, ":");
	if (!uri.is_sip && !uri.is_sips) {
		out_str(&o, str_head(uri.rest, str_chr(uri.rest, ';')));
		return out_done(&o);
	}
	if (uri.user.n) {
		out_str(&o, uri.user);
		out_lit(&o, "@");
	}
	out_str(&o, uri.host);
	if (uri.port) {
		out_lit(&o, ":");
		out_u64(&o, uri.port);
	}
	return out_done(&o);
}

/* Leg A's dialog holds the INVITE's From as the remote value and its To as the local one: there we are the UAS (RFC 3261 §12.1.1). */
struct str field_from(const struct shm *shm, const struct call *c, char *buf, size_t cap)
{
	return field_uri(strings_get(shm, c->leg[LEG_A].dialog, DIALOG_REMOTE), buf, cap);
}

struct str field_to(const struct shm *shm, const struct call *c, char *buf, size_t cap)
{
	return field_uri(strings_get(shm, c->leg[LEG_A].dialog, DIALOG_LOCAL), buf, cap);
}

struct str field_call_id(const struct shm *shm, const struct call *c)
{
	return strings_get(shm, c->leg[LEG_A].dialog, DIALOG_CALL_ID);
}

struct str field_dialed(const struct shm *shm, const struct call *c)
{
	return strings_get(shm, c->leg[LEG_A].dialog, DIALOG_DIALED);
}

struct str field_sent(const struct shm *shm, const struct call *c)
{
	struct str sent = strings_get(shm, c->leg[LEG_A].dialog, DIALOG_SENT);

	if (!c->ntried)
		return STR_NONE;
	return sent.n ? sent : field_dialed(shm, c);
}

struct str field_gateway(const struct core *core, uint16_t gateway)
{
	const struct route_gateway *gw;
	const char *name;

	if (gateway >= SHM_GATEWAYS_MAX)
		return STR_NONE;
	gw = core->route ? route_gateway(core->route, gateway) : NULL;
	if (gw)
		return str_of(gw->name);
	name = shm_gateway(core->shm, gateway)->name;
	return str_make(name, strnlen(name, SHM_NAME));
}

uint64_t field_wall_offset_ms(const struct core *core)
{
	return core->wall_ms - core->now_ms;
}

struct str field_100rel(const struct call *c, unsigned leg)
{
	if (c->flags & CALL_REL_THROUGH)
		return STR("passthrough");
	if (c->rel & (leg == LEG_A ? REL_USED_A : REL_USED_B))
		return STR("used");
	return c->flags & (leg == LEG_A ? CALL_REL_A : CALL_REL_B) ? STR("offered") : STR("none");
}
