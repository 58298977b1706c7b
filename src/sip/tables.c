/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sip/grammar.h"

static const struct str methods[] = {
	[SIP_UNKNOWN] = { "", 0 },
#define METHOD(name) [SIP_##name] = { #name, sizeof #name - 1 },
#include "sip/method.def"
#undef METHOD
};

enum sip_method sip_method_of(struct str name)
{
	for (unsigned m = SIP_UNKNOWN + 1; m < SIP_METHOD_COUNT; m++)
		if (str_eq(methods[m], name))
			return m;
	return SIP_UNKNOWN;
}

struct str sip_method_name(enum sip_method m)
{
	return m < SIP_METHOD_COUNT ? methods[m] : methods[SIP_UNKNOWN];
}

const struct str sip_names[SIP_H_COUNT] = {
	[SIP_H_OTHER] = { "", 0 },
#define HEADER(id, name, compact, flags, section) [SIP_H_##id] = { name, sizeof name - 1 },
#include "sip/header.def"
#undef HEADER
};

static const char compacts[] = {
#define HEADER(id, name, compact, flags, section) [SIP_H_##id] = compact[0],
#include "sip/header.def"
#undef HEADER
};

const uint8_t sip_flags_of[SIP_H_COUNT] = {
#define HEADER(id, name, compact, flags, section) [SIP_H_##id] = flags,
#include "sip/header.def"
#undef HEADER
};

const uint8_t sip_slot_id[SIP_SLOTS] = {
#define SLOT(hash, id) [hash] = SIP_H_##id,
#include "sip/header_slot.def"
#undef SLOT
};
_Static_assert(SIP_H_COUNT <= 256, "ids are kept in bytes");

enum sip_header_id sip_compact_of(struct str letter)
{
	char low = letter.n ? letter.p[0] | 0x20 : 0;
	const char *found = low >= 'a' && low <= 'z' ? memchr(compacts, low, sizeof compacts) : NULL;

	return found ? (enum sip_header_id)(found - compacts) : SIP_H_OTHER;
}

enum sip_header_id sip_header_of(struct str name)
{
	return sip_header_find(name);
}

struct str sip_header_name(enum sip_header_id id)
{
	return id < SIP_H_COUNT ? sip_names[id] : sip_names[SIP_H_OTHER];
}

const char *sip_fault_text(enum sip_header_id id, enum sip_trouble trouble)
{
	static const char *const texts[][3] = {
		[SIP_H_OTHER] = { "Missing header", "Duplicate header", "Bad header" },
#define HEADER(id, name, compact, flags, section) \
	[SIP_H_##id] = { "Missing " name, "Duplicate " name, "Bad " name },
#include "sip/header.def"
#undef HEADER
	};

	return texts[id][trouble];
}

struct str sip_reason(unsigned status)
{
	switch (status) {
#define STATUS(code, text) case code: return STR(text);
#include "sip/status.def"
#undef STATUS
	}
	return STR("Unknown");
}

bool sip_option_known(struct str tag)
{
	static const struct str tags[] = {
#define OPTION(name, rfc) { name, sizeof name - 1 },
#include "sip/option.def"
#undef OPTION
	};

	for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
		if (str_ieq(tags[i], tag))
			return true;
	return false;
}
