/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "call/call.h"

/* Text: slot (8 hex), generation (8), number (4), check (8). */
enum { SLOT = 8, GENERATION = 8, NUMBER = 4, CHECK = 8, ALL = SLOT + GENERATION + NUMBER + CHECK };

static const struct str cookie = { "z9hG4bKv", 8 };

static uint32_t check_of(const struct core *core, const struct handle *h, uint32_t kind)
{
	uint32_t in[4] = { h->slot, h->generation, h->number, kind };

	return (uint32_t)siphash(shm_key_check(core->shm), in, sizeof in);
}

static void print(struct out *o, const struct core *core, const struct handle *h, uint32_t kind)
{
	out_hex(o, h->slot, SLOT);
	out_hex(o, h->generation, GENERATION);
	out_hex(o, h->number, NUMBER);
	out_hex(o, check_of(core, h, kind), CHECK);
}

static bool hex(struct str s, uint32_t *v)
{
	uint32_t r = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9')
			r = r << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			r = r << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*v = r;
	return true;
}

static int parse(struct handle *h, const struct core *core, struct str text, uint32_t kind)
{
	struct handle r;
	uint32_t check;

	if (text.n != ALL || !hex(str_head(text, SLOT), &r.slot) ||
	    !hex(str_head(str_from(text, SLOT), GENERATION), &r.generation) ||
	    !hex(str_head(str_from(text, SLOT + GENERATION), NUMBER), &r.number) ||
	    !hex(str_from(text, SLOT + GENERATION + NUMBER), &check))
		return ERR_NOTFOUND;
	if (check != check_of(core, &r, kind) || r.slot >= shm_slots(core->shm))
		return ERR_DENIED;
	*h = r;
	return 0;
}

void handle_branch(struct out *o, const struct core *core, const struct handle *h)
{
	out_str(o, cookie);
	print(o, core, h, 'b');
}

void handle_contact(struct out *o, const struct core *core, const struct handle *h)
{
	out_lit(o, "v");
	print(o, core, h, 'c');
}

int handle_of_branch(struct handle *h, const struct core *core, struct str branch)
{
	if (!str_starts(branch, cookie))
		return ERR_NOTFOUND;
	return parse(h, core, str_from(branch, cookie.n), 'b');
}

int handle_of_contact(struct handle *h, const struct core *core, struct str user)
{
	if (user.n != ALL + 1 || user.p[0] != 'v')
		return ERR_NOTFOUND;
	return parse(h, core, str_from(user, 1), 'c');
}
