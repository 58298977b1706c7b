/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which leg runs RFC 3262 with us, by what is configured (100rel) and what its messages say; and what of it a message may bear to the other. */
#include "call/call.h"

static bool acts(enum params_100rel mode)
{
	return mode == PARAMS_100REL_SUPPORTED || mode == PARAMS_100REL_REQUIRED || mode == PARAMS_100REL_PASSTHROUGH;
}

unsigned reliable_refusal(const struct params *p, const struct sip_msg *m, struct out *lines)
{
	bool required = sip_has_token(m, SIP_H_REQUIRE, STR("100rel"));

	if (p->rel100 == PARAMS_100REL_OFF && required) {
		out_lit(lines, "Unsupported: 100rel\r\nWarning: 399 velador \"100rel is off for this caller\"\r\n");
		return 420;
	}
	if (p->rel100 == PARAMS_100REL_REQUIRED && !required && !sip_has_token(m, SIP_H_SUPPORTED, STR("100rel"))) {
		out_lit(lines, "Require: 100rel\r\nWarning: 399 velador \"This caller must support 100rel\"\r\n");
		return 421;
	}
	return 0;
}

void reliable_begin(struct work *w, const struct sip_msg *m)
{
	bool required = sip_has_token(m, SIP_H_REQUIRE, STR("100rel"));

	if (required)
		w->call.flags |= CALL_A_MUST;
	if (required || sip_has_token(m, SIP_H_SUPPORTED, STR("100rel")))
		w->call.flags |= CALL_A_CAN;
	if (!has_sdp(m))
		w->call.flags |= CALL_OFFERLESS;
}

/* Whether an attempt at this gateway can satisfy both legs; settles how each of them works. */
bool reliable_attempt(struct work *w, const struct params *gateway)
{
	enum params_100rel a = leg_params(w, LEG_A)->rel100, b = gateway->rel100;
	struct call *c = &w->call;

	c->flags &= (uint16_t)~(CALL_REL_A | CALL_REL_B | CALL_REL_THROUGH);
	if (a == PARAMS_100REL_PASSTHROUGH && b == PARAMS_100REL_PASSTHROUGH) {
		c->flags |= CALL_REL_THROUGH;
		reliable_close(w); /* what another gateway's attempt left open is sent no more */
		return true;
	}
	if (acts(a) && c->flags & CALL_A_CAN)
		c->flags |= CALL_REL_A;
	/* An offer that comes in a reliable response needs a caller whose PRACK can answer it. */
	if (c->flags & CALL_OFFERLESS && !(c->flags & CALL_REL_A))
		return b != PARAMS_100REL_REQUIRED;
	if (acts(b))
		c->flags |= CALL_REL_B;
	return true;
}

struct str reliable_unfit(const struct call *c, const struct sip_msg *m)
{
	if (c->flags & CALL_REL_THROUGH)
		return STR_NONE;
	if (m->status == 420 && c->flags & CALL_REL_B && sip_has_token(m, SIP_H_UNSUPPORTED, STR("100rel")))
		return STR("Warning: 399 velador \"100rel is required for the gateway, which does not support it\"\r\n");
	if (m->status == 421 && !(c->flags & CALL_REL_B) && sip_has_token(m, SIP_H_REQUIRE, STR("100rel")))
		return STR("Warning: 399 velador \"The gateway requires 100rel, which is off for it or for this call\"\r\n");
	return STR_NONE;
}

/* Our option tags in the INVITE to the gateway. */
void reliable_ask(const struct work *w, struct out *lines)
{
	if (!(w->call.flags & CALL_REL_B))
		return;
	out_str(lines, leg_params(w, LEG_B)->rel100 == PARAMS_100REL_REQUIRED ? STR("Require: 100rel\r\n") : STR("Supported: 100rel\r\n"));
}

/* Nothing of one leg's reliability leaks to the other; Allow names PRACK where we speak it, and nowhere else. */
void reliable_strip(const struct work *w, struct sip_edit *e, unsigned to, struct out *lines)
{
	bool ours = w->call.flags & (to == LEG_A ? CALL_REL_A : CALL_REL_B);

	if (w->call.flags & CALL_REL_THROUGH)
		return;
	sip_edit_drop_token(e, SIP_H_SUPPORTED, STR("100rel"));
	sip_edit_drop_token(e, SIP_H_REQUIRE, STR("100rel"));
	sip_edit_drop_token(e, SIP_H_UNSUPPORTED, STR("100rel"));
	sip_edit_drop_all(e, SIP_H_RSEQ);
	sip_edit_drop_all(e, SIP_H_RACK);
	if (!sip_first(e->m, SIP_H_ALLOW))
		return;
	if (!ours)
		sip_edit_drop_token(e, SIP_H_ALLOW, STR("PRACK"));
	else if (!sip_has_token(e->m, SIP_H_ALLOW, STR("PRACK")))
		out_lit(lines, "Allow: PRACK\r\n");
}
