/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/keys.h"
#include "ini/value.h"

enum { WIDTH = 98 };

/* What the sample sets, so that it works as it is on the loopback interface; the rest stands there as a comment with its default. */
static const struct {
	const char *section, *key, *value;
} settings[] = {
	{ "listen", "udp", "127.0.0.1:5060" },
};

static const char head[] =
	"# velador.ini: the configuration of Velador, as printed by velador --print-sample.\n"
	"# It works as it is on the loopback interface: calls that come from 127.0.0.1 go to a gateway at\n"
	"# 127.0.0.1:5090. Every key is here; those that are commented out show their default.\n"
	"#\n"
	"# Durations: 500ms, 30s, 2m, 2h, 1d; a bare number is seconds; fractions are allowed.\n"
	"# Numbers: 20k is 20000, 1M is 1000000.\n"
	"# Comments: lines that begin with # or ;, and what follows a ; with space before it.\n"
	"# A list may go on in the next line, with space in front. Lines have at most 198 bytes.\n"
	"# Keys of [session], [retransmit], [reliable] and [publish] may stand in a [gateway NAME] section\n"
	"# too and count for that gateway. The softswitch's own names are accepted wherever ours are.\n"
	"# velador -t -c FILE checks a file; velador.ini(5) is the manual.\n";

static const char *const intro[CONF_S_COUNT] = {
	[CONF_S_VELADOR] = "Processes, memory, log.",
	[CONF_S_LISTEN] = "Addresses to receive on. At least one udp.",
	[CONF_S_SESSION] = "Session timers (RFC 4028) and the limits of a call.",
	[CONF_S_RETRANSMIT] = "When an unanswered message is sent again (RFC 3261 section 17).",
	[CONF_S_RELIABLE] = "Reliable provisional answers (RFC 3262).",
	[CONF_S_PUBLISH] = "Gateways that publish their state (RFC 3903).",
	[CONF_S_RECORD] = "Call records.",
	[CONF_S_SECURITY] = "Strangers.",
};

static const char tail[] =
	"\n"
	"# Who may call.\n"
	"[gateway phones]\n"
	"role = caller\n"
	"source = 127.0.0.1\n"
	"\n"
	"# Where calls go.\n"
	"[gateway carrier]\n"
	"role = callee\n"
	"address = 127.0.0.1:5090\n";

/* A comment, broken between words. */
static void print_comment(FILE *to, struct str text)
{
	while (text.n) {
		size_t n = text.n;

		if (n > WIDTH - 2)
			for (n = WIDTH - 2; n > 0 && text.p[n] != ' '; n--)
				;
		fprintf(to, "# %.*s\n", (int)n, text.p);
		text = str_trim(str_from(text, n));
	}
}

static const char *setting(const struct conf_key *key)
{
	for (unsigned i = 0; i < sizeof settings / sizeof settings[0]; i++)
		if (!strcmp(settings[i].section, conf_section_name(key->section)) && !strcmp(settings[i].key, key->name))
			return settings[i].value;
	return NULL;
}

static void print_key(FILE *to, const struct conf_key *key)
{
	char text[400];
	struct out o = OUT(text, sizeof text);
	const char *value = setting(key);

	fputc('\n', to);
	print_comment(to, str_of(key->help));
	out_lit(&o, "Value: ");
	conf_key_expects(key, &o);
	if (key->advice) {
		out_fmt(&o, "; %s advises at least ", key->rfc);
		value_print_duration(&o, key->advice);
	}
	out_str(&o, key->when == CONF_START ? STR(". Changed by a restart.") : STR("."));
	if (key->effect == CONF_LATER)
		out_lit(&o, " NOT IN EFFECT YET.");
	if (*key->alias)
		out_fmt(&o, " Softswitch: %s.", key->alias);
	print_comment(to, out_done(&o));
	if (value)
		fprintf(to, "%s = %s\n", key->name, value);
	else
		fprintf(to, "# %s =%s%s\n", key->name, *key->initial ? " " : "", key->initial);
}

void conf_print_sample(FILE *to)
{
	fputs(head, to);
	for (enum conf_section s = 0; s < CONF_S_COUNT; s++) {
		if (s == CONF_S_GATEWAY)
			fputs("\n# One section for each gateway and each caller, [gateway NAME]. Its keys:\n", to);
		else
			fprintf(to, "\n# %s\n[%s]\n", intro[s], conf_section_name(s));
		for (unsigned i = 0; i < conf_nkeys; i++)
			if (conf_keys[i].section == s)
				print_key(to, &conf_keys[i]);
	}
	fputs(tail, to);
}
