/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network between user agents and us: it loses, repeats, delays, and so reorders. It loses the same message at most twice in a row (a 4xx once),
 * so that whatever is resent arrives in the end and a failure is never bad luck. */
#include "sim.h"

enum { DROPS_IN_A_ROW = 2 };

/* A refusal that we keep no state of comes again only when its INVITE does, which is lost as often; and an INVITE is sent but seven times. */
static unsigned most_drops(const char *bytes, uint32_t length)
{
	struct str all = str_make(bytes, length);

	return str_starts(all, STR("SIP/2.0 4")) ? DROPS_IN_A_ROW - 1 : DROPS_IN_A_ROW;
}

bool network_is_ours(const struct sim *s, const struct addr *a)
{
	return addr_eq(a, &s->listen.bound);
}

static uint64_t hash(const char *p, size_t n, uint64_t seed)
{
	uint64_t h = seed ^ 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3ull;
	return h;
}

static bool may_drop(struct sim *s, uint64_t key, unsigned most)
{
	struct drops *d = &s->drops[key % SIM_DROPS];

	if (d->key != key)
		*d = (struct drops){ .key = key };
	if (d->count >= most) {
		d->count = 0;
		return false;
	}
	d->count++;
	return true;
}

static void launch(struct sim *s, const struct addr *from, const struct addr *to, const void *bytes, uint32_t length)
{
	struct packet *k = malloc(sizeof *k + length);

	if (!k)
		abort();
	*k = (struct packet){ .from = *from, .to = *to, .length = length };
	memcpy(k->bytes, bytes, length);
	sim_at(s, s->now_ms + s->plan.delay_ms + rng_below(&s->rng, s->plan.jitter_ms), EVENT_PACKET, k);
}

/* The rest of the text after the first occurrence of a word. */
static struct str after(struct str text, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n < text.n; i++)
		if (memcmp(text.p + i, word, n) == 0)
			return str_from(text, i + n);
	return STR_NONE;
}

#define LINE(text) STR_FMT(str_trim(str_head((text), str_chr((text), '\n'))))

static void tell(struct sim *s, const struct addr *from, const struct addr *to, const char *bytes, uint32_t length, const char *fate)
{
	char text[2 * ADDR_TEXT + 8];
	struct out o = OUT(text, sizeof text);
	struct str all = str_make(bytes, length), cseq = after(all, "\nCSeq: "), call = after(all, "sip:a");
	struct str rseq = after(all, "\nRSeq: "), rack = after(all, "\nRAck: "), tag = after(after(all, "\nTo: "), ";tag");

	addr_print(&o, from);
	out_lit(&o, " > ");
	addr_print(&o, to);
	sim_say(s, "[%.*s] %.*s %.*s | %.*s%s%.*s%.*s to%.*s body %.*s%s", STR_FMT(str_head(call, str_chr(call, '@'))), STR_FMT(out_done(&o)),
		LINE(str_from(all, 0)), LINE(cseq), rseq.n ? " RSeq " : rack.n ? " RAck " : "", LINE(rseq), LINE(rack), LINE(tag), LINE(after(all, "\nContent-Length: ")), fate);
}

void network_send(struct sim *s, const struct addr *from, const struct addr *to, const void *bytes, uint32_t length)
{
	uint64_t key = hash(bytes, length, hash((const char *)to, sizeof *to, 0));
	bool lost = rng_permille(&s->rng, s->plan.loss_permille) && may_drop(s, key, most_drops(bytes, length));
	bool twice = !lost && rng_permille(&s->rng, s->plan.repeat_permille);

	s->stats->packets++;
	s->trace = hash(bytes, length, s->trace ^ s->now_ms);
	if (s->verbose)
		tell(s, from, to, bytes, length, lost ? " LOST" : twice ? " TWICE" : "");
	if (lost) {
		s->stats->lost++;
		return;
	}
	launch(s, from, to, bytes, length);
	if (twice)
		launch(s, from, to, bytes, length);
}

void network_arrive(struct sim *s, struct packet *packet)
{
	struct sip_fault why;
	struct sip_msg *m;

	if (!network_is_ours(s, &packet->to)) {
		call_arrive(s, packet);
		free(packet);
		return;
	}
	m = malloc(sizeof *m);
	if (!m)
		abort();
	if (sip_parse(m, packet->bytes, packet->length, &why) == 0 && sip_check(m, &why) == 0)
		wire_received(s, call_of(s, m), m, &packet->from);
	free(m);
	proc_deliver(s, packet);
}
