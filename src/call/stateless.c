/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers that belong to no object: refusals of what gets no slot. */
#include "call/call.h"

void stateless_answer(struct core *core, const struct shm_datagram *d, const struct sip_msg *m, unsigned status, struct str reason, struct str lines)
{
	char buf[CALL_MESSAGE_MAX], tag[20];
	struct out o = OUT(buf, sizeof buf), t = OUT(tag, sizeof tag);
	struct sip_values v = sip_values(m, SIP_H_VIA);
	struct sip_via via;
	struct addr to = d->from;
	struct str top;

	if (m->method == SIP_ACK)
		return;
	if (sip_values_next(&v, &top) && !sip_via_parse(&via, top))
		sip_response_target(&via, &d->from, &to);
	/* The same request gets the same tag each time (RFC 3261 §8.2.7). */
	out_lit(&t, "vs");
	out_hex(&t, siphash(shm_key_check(core->shm), m->raw.p, m->raw.n < 512 ? m->raw.n : 512), 16);
	sip_response_head(&o, m, status, reason.n ? reason : sip_reason(status), out_done(&t), &d->from);
	out_str(&o, lines);
	out_lit(&o, "Content-Length: 0\r\n\r\n");
	if (!o.overflow)
		shm_outbox_put(core->self, d->listen, &to, o.p, (uint32_t)o.n);
}

void stateless_full(struct core *core, const struct shm_datagram *d, const struct sip_msg *m)
{
	shm_count(core->self, shm_heap_tight(core->shm) ? CNT_arena_full : CNT_table_full);
	stateless_answer(core, d, m, 503, STR_NONE, STR("Retry-After: 10\r\n"));
}
