/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of the message layer: methods, headers with their compact forms and hash slots, statuses.
 * With the argument "slots" prints src/sip/header_slot.def anew. */
#include "sip/grammar.h"
#include "t/sip-tests.h"

static const struct {
	enum sip_header_id id;
	const char *id_text, *name, *compact;
	unsigned flags;
	const char *section;
} headers[] = {
#define HEADER(id, name, compact, flags, section) { SIP_H_##id, #id, name, compact, flags, section },
#include "sip/header.def"
#undef HEADER
};
enum { HEADERS = sizeof headers / sizeof *headers };

/* The factors of sip_header_slot() that give no collision; false where some do. */
static bool factors_good(unsigned length, unsigned first, unsigned middle)
{
	bool taken[SIP_SLOTS] = { false };

	for (size_t i = 0; i < HEADERS; i++) {
		const char *s = headers[i].name;
		size_t n = strlen(s);
		unsigned slot = ((unsigned)n * length + (s[0] | 0x20u) * first + (s[n / 2] | 0x20u) * middle + (s[n - 1] | 0x20u)) % SIP_SLOTS;
		if (taken[slot])
			return false;
		taken[slot] = true;
	}
	return true;
}

static int suggest_factors(void)
{
	for (unsigned length = 1; length < 64; length++)
		for (unsigned first = 1; first < SIP_SLOTS; first++)
			for (unsigned middle = 1; middle < SIP_SLOTS; middle++)
				if (factors_good(length, first, middle)) {
					fprintf(stderr, "collision; in grammar.h: SIP_SLOT_LENGTH = %u, SIP_SLOT_FIRST = %u, SIP_SLOT_MIDDLE = %u\n",
						length, first, middle);
					return 1;
				}
	fprintf(stderr, "collision; SIP_SLOTS must grow\n");
	return 1;
}

static int print_slots(void)
{
	if (!factors_good(SIP_SLOT_LENGTH, SIP_SLOT_FIRST, SIP_SLOT_MIDDLE))
		return suggest_factors();
	printf("/* SPDX-License-Identifier: GPL-2.0-or-later\n"
	       " * SLOT(hash, id): where sip_header_of() finds each header of header.def, without collisions.\n"
	       " * Made by `t/b10-sip-tables slots`; the same program's test proves it complete. */\n");
	for (unsigned slot = 0; slot < SIP_SLOTS; slot++)
		for (size_t i = 0; i < HEADERS; i++)
			if (sip_header_slot(str_of(headers[i].name)) == slot)
				printf("SLOT(%u, %s)\n", slot, headers[i].id_text);
	return 0;
}

static void swap_case(char *to, const char *from)
{
	for (; *from; from++)
		*to++ = (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ? *from ^ 0x20 : *from;
	*to = 0;
}

static void test_headers(void)
{
	unsigned found = 0, folded = 0, compact = 0, compacts = 0, near = 0;
	char other[64];

	for (size_t i = 0; i < HEADERS; i++) {
		struct str name = str_of(headers[i].name), letter = str_of(headers[i].compact);

		swap_case(other, headers[i].name);
		found += sip_header_of(name) == headers[i].id && str_eq(sip_header_name(headers[i].id), name);
		folded += sip_header_of(str_of(other)) == headers[i].id;
		near += name.n == 2 || sip_header_of(str_head(name, name.n - 1)) == SIP_H_OTHER;
		compacts += letter.n;
		swap_case(other, headers[i].compact);
		compact += letter.n && sip_header_of(letter) == headers[i].id && sip_header_of(str_of(other)) == headers[i].id;
	}
	is_u64(found, HEADERS, "RFC3261-20: every header of the table is found by its name (header_slot.def is complete)");
	is_u64(folded, HEADERS, "RFC3261-7.3.1: names are case-insensitive");
	is_u64(compact, compacts, "RFC3261-7.3.3: compact forms in both cases");
	is_u64(near, HEADERS, "a name that lacks its last letter is another header");
	is_u64(sip_header_of(STR_NONE), SIP_H_OTHER, "no name, no header");
	is_u64(sip_header_of(STR("q")), SIP_H_OTHER, "a letter that is no compact form");
	is_u64(sip_header_of(STR("6")), SIP_H_OTHER, "a digit is no compact form");
	is_u64(sip_header_of(STR("\x16")), SIP_H_OTHER, "a control character that folds to a letter is none");
	is_u64(sip_header_of(STR("X-Something-Else")), SIP_H_OTHER, "an unknown header");
	is_u64(sip_header_of(STR("Session-Expires")), SIP_H_SESSION_EXPIRES, "RFC4028-4: Session-Expires");
	is_u64(sip_header_of(STR("x")), SIP_H_SESSION_EXPIRES, "RFC4028-4: its compact form");
}

static void test_methods(void)
{
	unsigned same = 0;

	for (unsigned m = SIP_UNKNOWN + 1; m < SIP_METHOD_COUNT; m++)
		same += sip_method_of(sip_method_name(m)) == m;
	is_u64(same, SIP_METHOD_COUNT - 1, "every method is found by its name");
	is_u64(sip_method_of(STR("INVITE")), SIP_INVITE, "INVITE");
	is_u64(sip_method_of(STR("invite")), SIP_UNKNOWN, "RFC3261-7.1: methods are case-sensitive");
	is_u64(sip_method_of(STR_NONE), SIP_UNKNOWN, "no method");
	is_str(sip_method_name(SIP_PRACK), STR("PRACK"), "RFC3262-6: PRACK");
	is_str(sip_method_name(SIP_UNKNOWN), STR(""), "an unknown method has no name");
}

static void test_reasons(void)
{
	is_str(sip_reason(100), STR("Trying"), "RFC3261-21.1.1: 100");
	is_str(sip_reason(487), STR("Request Terminated"), "RFC3261-21.4.25: 487");
	is_str(sip_reason(422), STR("Session Interval Too Small"), "RFC4028-6: 422");
	is_str(sip_reason(299), STR("Unknown"), "a code without a phrase");
}

static void test_options(void)
{
	ok(sip_option_known(STR("100rel")) && sip_option_known(STR("Timer")), "RFC3261-19.2: registered option tags, in any case");
	ok(!sip_option_known(STR("never-heard-of")) && !sip_option_known(STR_NONE), "RFC3261-19.2: others are unknown");
}

static void test_flags(void)
{
	unsigned good = 0;

	for (size_t i = 0; i < HEADERS; i++)
		good += headers[i].flags != (SIP_HF_LIST | SIP_HF_SINGLE) && strncmp(headers[i].section, "RFC", 3) == 0;
	is_u64(good, HEADERS, "no header is both a list and single, each names its RFC");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "slots") == 0)
		return print_slots();
	test_headers();
	test_methods();
	test_reasons();
	test_options();
	test_flags();
	return tap_done();
}
