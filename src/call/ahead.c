/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking ahead in a batch: which call a datagram belongs to is told by the handle in the branch of the topmost Via, where it is a response, and by that in the
 * Request-URI, where it is a request within a call. */
#include "base/bug.h"
#include "call/call.h"

enum {
	GUESS_BYTES = 256,             /* where a handle is looked for: the start line and the topmost Via */
	STATE_AHEAD = 2, BLOCKS_AHEAD = 1, /* datagrams before theirs in which these are fetched */
};

static uint32_t slot_of_response(struct str text)
{
	size_t n;

	while ((n = str_chr(text, ';')) < text.n) {
		text = str_from(text, n + 1);
		if (str_starts(text, STR("branch=")))
			return handle_slot_of_branch(str_from(text, STR("branch=").n));
	}
	return UINT32_MAX;
}

static uint32_t slot_of_request(struct str text)
{
	text = str_from(text, str_chr(text, ' '));
	return str_starts(text, STR(" sip:")) ? handle_slot_of_contact(str_from(text, STR(" sip:").n)) : UINT32_MAX;
}

void core_ahead_see(struct core_ahead *ahead, const struct core *core, const struct shm_datagram *d)
{
	struct str text = { d->bytes, d->length < GUESS_BYTES ? d->length : GUESS_BYTES };
	uint32_t slot = str_starts(text, STR("SIP/")) ? slot_of_response(text) : slot_of_request(text);

	BUG_ON(ahead->n == SHM_JOURNAL_BATCH);
	ahead->slot[ahead->n++] = slot;
	shm_fetch_slot(core->shm, slot);
}

void core_ahead_step(struct core_ahead *ahead, const struct core *core)
{
	unsigned i = ahead->at++;

	for (unsigned k = i ? i + STATE_AHEAD : 0; k <= i + STATE_AHEAD && k < ahead->n; k++) /* the first step catches up */
		shm_fetch_state(core->shm, ahead->slot[k]);
	if (i + BLOCKS_AHEAD < ahead->n)
		shm_fetch_blocks(core->shm, ahead->slot[i + BLOCKS_AHEAD]);
}
