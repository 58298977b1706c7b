/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/keys.h"
#include "ini/value.h"

static const char head[] =
	".\\\" SPDX-License-Identifier: GPL-2.0-or-later\n"
	".\\\" Printed by velador --print-man. Change ini/ini_keys.def or ini/man.c instead.\n"
	".Dd November 22, 2026\n"
	".Dt VELADOR.INI 5\n"
	".Os\n"
	".Sh NAME\n"
	".Nm velador.ini\n"
	".Nd configuration of the SIP proxy velador\n"
	".Sh DESCRIPTION\n"
	"The file consists of sections\n"
	".Ic [section]\n"
	"with lines\n"
	".Ic key = value .\n"
	"Lines that begin with # or ; are comments, and so is what follows a ; with space before it.\n"
	"A list may go on in the next line, with space in front.\n"
	"A line has at most 198 bytes.\n"
	"An unknown key or section, a key that stands twice, and a bad value are errors.\n"
	".Pp\n"
	"Durations have a unit:\n"
	".Cm 500ms , 30s , 2m , 2h , 1d .\n"
	"A bare number is seconds; fractions such as 1.5h are allowed.\n"
	"Numbers may end in k, M or G for thousands, millions and thousands of millions.\n"
	"A value below what an RFC advises is accepted with a warning.\n"
	".Pp\n"
	"Keys of the sections session, retransmit, reliable and publish may stand in a\n"
	".Ic [gateway NAME]\n"
	"section too and count for that gateway.\n"
	"Some have a second name, that of a softswitch; it is accepted in any section.\n"
	"In a gateway's section it counts for the gateway.\n"
	".Pp\n"
	"Keys marked\n"
	".Em not in effect yet\n"
	"are read and checked, but this version does nothing with them; setting one gives a warning.\n"
	"Keys marked\n"
	".Em changed by a restart\n"
	"keep their values at a reload, with a warning if the file has another.\n"
	".Sh KEYS\n";

static const char tail[] =
	".Sh FILES\n"
	".Bl -tag -width Ds\n"
	".It Pa velador.ini.sample\n"
	"Every key with its default, and a working configuration for the loopback interface.\n"
	".It Pa profiles/\n"
	"Settings for wholesale, retail prepaid, enterprise, call center, residential and satellite.\n"
	".El\n"
	".Sh EXAMPLES\n"
	"Callers in one network, two carriers, the second for when the first fails:\n"
	".Bd -literal -offset indent\n"
	"[listen]\n"
	"udp = 192.0.2.1:5060\n"
	"\n"
	"[session]\n"
	"setup_early_hangup = 60s\n"
	"\n"
	"[gateway office]\n"
	"role = caller\n"
	"source = 198.51.100.0/24\n"
	"\n"
	"[gateway carrier-1]\n"
	"role = callee\n"
	"address = sip.carrier.example:5060\n"
	"\n"
	"[gateway carrier-2]\n"
	"role = callee\n"
	"address = 203.0.113.7\n"
	"priority = 20\n"
	".Ed\n"
	".Sh SEE ALSO\n"
	".Xr velador 8 ,\n"
	".Xr veladorctl 8\n";

static const char *const intro[CONF_S_COUNT] = {
	[CONF_S_VELADOR] = "Processes, memory, log.",
	[CONF_S_LISTEN] = "Addresses to receive on.\nAt least one\n.Cm udp\nis needed.",
	[CONF_S_SESSION] = "Session timers (RFC 4028) and the limits of a call.",
	[CONF_S_RETRANSMIT] = "When an unanswered message is sent again (RFC 3261 section 17).",
	[CONF_S_RELIABLE] = "Reliable provisional answers (RFC 3262).",
	[CONF_S_PUBLISH] = "Gateways that publish their state (RFC 3903).",
	[CONF_S_RECORD] = "Call records.",
	[CONF_S_SECURITY] = "Strangers.",
	[CONF_S_GATEWAY] = "One section for each gateway and each caller.\n"
			   "NAME has up to 41 letters, digits, hyphens, underscores and dots.\n"
			   "A gateway that gets calls needs an\n.Cm address ,\n"
			   "a caller an\n.Cm address\nor a\n.Cm source .",
};

/* A sentence a line, as manual pages are written. */
static void print_sentences(FILE *to, const char *text)
{
	for (; *text; text++) {
		bool ends = *text == '.' && text[1] == ' ';

		fputc(*text, to);
		if (ends) {
			fputc('\n', to);
			text++;
		}
	}
	fputc('\n', to);
}

static void print_key(FILE *to, const struct conf_key *key)
{
	char text[300];
	struct out o = OUT(text, sizeof text - 1);

	conf_key_expects(key, &o);
	text[o.n] = 0;
	fprintf(to, ".It Cm %s\n", key->name);
	print_sentences(to, key->help);
	fprintf(to, "Value: %s.\n", text);
	if (key->advice) {
		o = OUT(text, sizeof text - 1);
		value_print_duration(&o, key->advice);
		text[o.n] = 0;
		fprintf(to, "%s advises at least %s.\n", key->rfc, text);
	}
	if (*key->initial)
		fprintf(to, "Default: %s.\n", key->initial);
	if (*key->alias)
		fprintf(to, "Softswitch name:\n.Cm %s .\n", key->alias);
	if (key->when == CONF_START)
		fputs(".Em Changed by a restart .\n", to);
	if (key->effect == CONF_LATER)
		fputs(".Em Not in effect yet .\n", to);
}

void conf_print_man(FILE *to)
{
	fputs(head, to);
	for (enum conf_section s = 0; s < CONF_S_COUNT; s++) {
		fprintf(to, ".Ss [%s%s]\n%s\n.Bl -tag -width Ds\n", conf_section_name(s), s == CONF_S_GATEWAY ? " NAME" : "", intro[s]);
		for (unsigned i = 0; i < conf_nkeys; i++)
			if (conf_keys[i].section == s)
				print_key(to, &conf_keys[i]);
		fputs(".El\n", to);
	}
	fputs(tail, to);
}
