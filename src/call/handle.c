/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "base/hex.h"
#include "call/call.h"

/* Text: slot (8 hex), generation (8), number (4), check (8). */
enum { SLOT = HEX_WORD, GENERATION = HEX_WORD, NUMBER = HEX_WORD / 2, CHECK = HEX_WORD, ALL = SLOT + GENERATION + NUMBER + CHECK };

#define COOKIE "z9hG4bKv"

static uint32_t check_of(const struct core *core, const struct handle *h, uint32_t kind)
{
	uint32_t in[4] = { h->slot, h->generation, h->number, kind };

	return (uint32_t)siphash(shm_key_check(core->shm), in, sizeof in);
}

/* Each part is written as eight digits; of the number's, the four zeros in front are written over by the generation's last. */
static void print(struct out *o, const struct core *core, const struct handle *h, uint32_t kind)
{
	char *at = out_room(o, ALL);

	if (!at)
		return;
	hex_write(at + SLOT + GENERATION + NUMBER - HEX_WORD, h->number);
	hex_write(at + SLOT, h->generation);
	hex_write(at, h->slot);
	hex_write(at + SLOT + GENERATION + NUMBER, check_of(core, h, kind));
}

static bool read_number(const char *from, uint32_t *v)
{
	char digits[HEX_WORD] = { '0', '0', '0', '0' };

	memcpy(digits + HEX_WORD - NUMBER, from, NUMBER);
	return hex_read(digits, v);
}

static int parse(struct handle *h, const struct core *core, struct str text, uint32_t kind)
{
	struct handle r;
	uint32_t check;

	if (text.n != ALL || !hex_read(text.p, &r.slot) || !hex_read(text.p + SLOT, &r.generation) ||
	    !read_number(text.p + SLOT + GENERATION, &r.number) || !hex_read(text.p + SLOT + GENERATION + NUMBER, &check))
		return ERR_NOTFOUND;
	if (check != check_of(core, &r, kind) || r.slot >= shm_slots(core->shm))
		return ERR_DENIED;
	*h = r;
	return 0;
}

void handle_branch(struct out *o, const struct core *core, const struct handle *h)
{
	out_lit(o, COOKIE);
	print(o, core, h, 'b');
}

void handle_contact(struct out *o, const struct core *core, const struct handle *h)
{
	out_lit(o, "v");
	print(o, core, h, 'c');
}

int handle_of_branch(struct handle *h, const struct core *core, struct str branch)
{
	if (!str_starts(branch, STR(COOKIE)))
		return ERR_NOTFOUND;
	return parse(h, core, str_from(branch, STR(COOKIE).n), 'b');
}

int handle_of_contact(struct handle *h, const struct core *core, struct str user)
{
	if (user.n != ALL + 1 || user.p[0] != 'v')
		return ERR_NOTFOUND;
	return parse(h, core, str_from(user, 1), 'c');
}

static uint32_t slot_of(struct str text)
{
	uint32_t slot;

	return text.n >= ALL && hex_read(text.p, &slot) ? slot : UINT32_MAX;
}

uint32_t handle_slot_of_branch(struct str text)
{
	return str_starts(text, STR(COOKIE)) ? slot_of(str_from(text, STR(COOKIE).n)) : UINT32_MAX;
}

uint32_t handle_slot_of_contact(struct str text)
{
	return str_starts(text, STR("v")) ? slot_of(str_from(text, 1)) : UINT32_MAX;
}
