/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking ahead: the guess finds the slot in what we wrote ourselves, guesses nothing of what we did not, and reads no byte beyond the datagram. */
#include "base/err.h"
#include "call/call.h"
#include "t/tap.h"

enum { SLOTS = 64, SLOT = 37, NOTHING = -1 };

static uint32_t guess(const struct core *core, const char *text, size_t n)
{
	struct core_ahead ahead = { 0 };
	char *bytes = malloc(n ? n : 1); /* of its own, so that a sanitizer sees what is read behind it */
	struct shm_datagram d = { .bytes = bytes, .length = (uint32_t)n };
	uint32_t slot;

	if (!bytes)
		tap_bail("no memory");
	memcpy(bytes, text, n);
	core_ahead_see(&ahead, core, &d);
	slot = ahead.slot[0];
	core_ahead_step(&ahead, core);
	free(bytes);
	return slot;
}

/* %b stands for our branch, %c for the user part of our Contact. */
static struct str written(char *room, size_t cap, const struct core *core, const char *text)
{
	const struct handle h = { .slot = SLOT, .generation = 5, .number = 7 };
	struct out o = OUT(room, cap);

	for (; *text; text++) {
		if (text[0] == '%' && text[1] == 'b')
			handle_branch(&o, core, &h);
		else if (text[0] == '%' && text[1] == 'c')
			handle_contact(&o, core, &h);
		else
			out_mem(&o, text, 1);
		text += text[0] == '%';
	}
	return out_done(&o);
}

static void test_guesses(const struct core *core)
{
	static const struct {
		const char *name, *text;
		int slot;
	} cases[] = {
		{ "a response", "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=%b\r\n", SLOT },
		{ "one whose Via has parameters before the branch", "SIP/2.0 200 OK\r\nv:SIP/2.0/UDP h;rport=5;received=10.0.0.1;branch=%b;x\r\n", SLOT },
		{ "one with another's branch", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK776asdhds00000025000000050007\r\n", NOTHING },
		{ "one without branch", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\n", NOTHING },
		{ "one whose branch is cut off", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKv00000025", NOTHING },
		{ "one with letters for digits", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKv0000zz25000000050007ffffffff\r\n", NOTHING },
		{ "a request within a call", "BYE sip:%c@10.0.0.1:5060 SIP/2.0\r\n", SLOT },
		{ "one of an unknown method", "NEWMETHOD sip:%c@10.0.0.1 SIP/2.0\r\n", SLOT },
		{ "an INVITE to a number", "INVITE sip:100@10.0.0.1 SIP/2.0\r\n", NOTHING },
		{ "an INVITE to a name that begins like ours", "INVITE sip:velador-and-some-more-of-a-name@10.0.0.1 SIP/2.0\r\n", NOTHING },
		{ "a tel URI", "INVITE tel:%c SIP/2.0\r\n", NOTHING },
		{ "what is no message", "\r\n\r\n", NOTHING },
		{ "one word", "INVITE", NOTHING },
		{ "nothing", "", NOTHING },
	};
	char room[512];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct str text = written(room, sizeof room, core, cases[i].text);
		is_u64(guess(core, text.p, text.n), (uint32_t)cases[i].slot, "%s", cases[i].name);
	}
}

/* Every beginning of a message: no guess, or the right one. */
static void test_cut_off(const struct core *core)
{
	static const char *const texts[] = { "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=%b\r\n", "ACK sip:%c@10.0.0.1 SIP/2.0\r\n" };
	char room[512];
	unsigned wrong = 0, right = 0;

	for (unsigned k = 0; k < 2; k++) {
		struct str text = written(room, sizeof room, core, texts[k]);
		for (size_t n = 0; n <= text.n; n++) {
			uint32_t slot = guess(core, text.p, n);
			right += slot == SLOT;
			wrong += slot != SLOT && slot != UINT32_MAX;
		}
	}
	is_u64(wrong, 0, "no beginning of a message leads to another slot");
	ok(right > 0, "and those that have the handle lead to ours");
}

/* A handle behind ever longer reason phrases: found while it lies where it is looked for, then not, and never wrong. */
static void test_far_off(const struct core *core)
{
	char text[1024], room[1024], phrase[512] = "";
	unsigned found = 0, lost = 0, wrong = 0;

	for (unsigned n = 0; n < 400; n++) {
		snprintf(text, sizeof text, "SIP/2.0 200 %s\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=%%b\r\n", phrase);
		struct str message = written(room, sizeof room, core, text);
		uint32_t slot = guess(core, message.p, message.n);
		wrong += slot != SLOT && slot != UINT32_MAX;
		wrong += slot == SLOT && lost;
		found += slot == SLOT;
		lost += slot == UINT32_MAX;
		phrase[n] = 'k';
	}
	ok(found > 0 && lost > 0 && wrong == 0, "a handle is found up to some distance, and beyond it none (%u, %u)", found, lost);
}

/* Slots that nobody checked: a forged handle may name any. */
static void test_any_slot(const struct core *core)
{
	struct core_ahead ahead = { 0 };

	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++) {
		char text[128];
		int n = snprintf(text, sizeof text, "BYE sip:v%08x000000010000ffffffff@h SIP/2.0\r\n", i % 2 ? i : 0xfffffff0u + i);
		struct shm_datagram d = { .bytes = text, .length = (uint32_t)n };
		core_ahead_see(&ahead, core, &d);
	}
	for (unsigned i = 0; i < SHM_JOURNAL_BATCH; i++)
		core_ahead_step(&ahead, core);
	is_u64(ahead.at, SHM_JOURNAL_BATCH, "slots that are free, or none at all, are stepped over");
}

int main(void)
{
	struct shm_params params = { .slots = SLOTS, .heap_bytes = 8 << 20, .endpoints = 64, .workers_max = 1 };
	struct core core = { .max_calls = SLOTS };

	if (shm_create(&core.shm, NULL, &params) || shm_self_claim(&core.self, core.shm, SHM_WORKER, 0))
		tap_bail("no arena");
	shm_rcu_online(core.self);
	test_guesses(&core);
	test_cut_off(&core);
	test_far_off(&core);
	test_any_slot(&core);
	shm_rcu_offline(core.self);
	shm_self_free(core.self);
	shm_close(core.shm, true);
	return tap_done();
}
