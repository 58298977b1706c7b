/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The points of RFC 4475, one message of our own a section (t/torture, with MANIFEST.tsv): each is read as the manifest says, and
 * what is accepted survives a rewriting with everything that was not touched. */
#include "t/sip-tests.h"

static struct sample s;

static bool load(const char *folder, const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (!file)
		return false;
	s.n = fread(s.bytes, 1, sizeof s.bytes, file);
	fclose(file);
	return s.n > 0;
}

/* "accept", "refuse" or "drop", and the status and reason of a refusal. */
static const char *treatment(char *reason, size_t room)
{
	int err;

	s.why = (struct sip_fault){ 0, "" };
	err = sip_parse(&s.msg, s.bytes, s.n, &s.why);
	if (!err)
		err = sip_check(&s.msg, &s.why);
	snprintf(reason, room, "-");
	if (!err)
		return "accept";
	snprintf(reason, room, "%u %s", s.why.status, s.why.reason);
	return sip_answerable(&s.msg) ? "refuse" : "drop";
}

/* A new top Via and Max-Forwards: still good, and the body bit for bit. */
static bool survives_rewriting(void)
{
	static char buf[32768];
	static struct sip_msg after;
	static struct sip_edit e;
	struct sip_fault why;
	size_t n;

	sip_edit_init(&e, &s.msg);
	sip_edit_insert_top(&e, STR("Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKnew\r\n"));
	sip_edit_drop_all(&e, SIP_H_MAX_FORWARDS);
	sip_edit_insert_end(&e, STR("Max-Forwards: 69\r\n"));
	return sip_edit_write(&e, buf, sizeof buf, &n) == 0 && sip_parse(&after, buf, n, &why) == 0 && sip_check(&after, &why) == 0 &&
	       str_eq(after.body, s.msg.body) && str_eq(after.call_id, s.msg.call_id) && str_eq(after.uri, s.msg.uri) &&
	       str_eq(sip_value(&after, SIP_H_FROM), sip_value(&s.msg, SIP_H_FROM));
}

static void check_line(const char *folder, char *line)
{
	char *name = line, *wanted = strchr(line, '\t'), *reason, *end, got[128];

	if (!wanted)
		return;
	*wanted++ = 0;
	reason = strchr(wanted, '\t');
	*reason++ = 0;
	end = strchr(reason, '\t');
	*end = 0;
	if (!ok(load(folder, name), "%s is there", name))
		return;
	is_text(treatment(got, sizeof got), wanted, "RFC4475-%.*s: %s", (int)strcspn(name, "-"), name, wanted);
	is_text(got, reason, "RFC4475-%.*s: %s", (int)strcspn(name, "-"), name, reason);
	if (strcmp(wanted, "accept") == 0)
		ok(survives_rewriting(), "RFC4475-%.*s: rewritten", (int)strcspn(name, "-"), name);
}

static void test_escaped_nul(const char *folder)
{
	struct sip_nameaddr a, b;
	struct sip_uri x, y;
	const struct sip_header *h;

	if (!load(folder, "3.1.1.4-escaped-nul.sip") || sip_parse(&s.msg, s.bytes, s.n, &s.why))
		tap_bail("3.1.1.4 cannot be read");
	h = sip_first(&s.msg, SIP_H_CONTACT);
	ok(sip_nameaddr_parse(&a, h->value) == 0 && sip_nameaddr_parse(&b, sip_next(&s.msg, h)->value) == 0 && sip_uri_parse(&x, a.uri) == 0 &&
	   sip_uri_parse(&y, b.uri) == 0 && !sip_uri_eq(&x, &y), "RFC4475-3.1.1.4: one escaped NUL is not two");
}

static void test_contact_parameters(const char *folder)
{
	struct sip_nameaddr na;

	load(folder, "3.3.12-contact-parameter.sip");
	ok(sip_parse(&s.msg, s.bytes, s.n, &s.why) == 0 && sip_nameaddr_parse(&na, sip_value(&s.msg, SIP_H_CONTACT)) == 0 && sip_param(na.params, STR("odd"), NULL), "RFC4475-3.3.12: the header's parameter");
	load(folder, "3.3.13-uri-parameter.sip");
	ok(sip_parse(&s.msg, s.bytes, s.n, &s.why) == 0 && sip_nameaddr_parse(&na, sip_value(&s.msg, SIP_H_CONTACT)) == 0 && !na.params.n, "RFC4475-3.3.13: the URI's");
}

int main(void)
{
	const char *source = getenv("VELADOR_SRC");
	char path[512], line[512];
	FILE *manifest;

	snprintf(path, sizeof path, "%s/t/torture/MANIFEST.tsv", source ? source : ".");
	manifest = fopen(path, "r");
	if (!manifest)
		tap_bail("no t/torture/MANIFEST.tsv (VELADOR_SRC)");
	*strrchr(path, '/') = 0;
	while (fgets(line, sizeof line, manifest))
		if (*line != '#')
			check_line(path, line);
	fclose(manifest);
	test_escaped_nul(path);
	test_contact_parameters(path);
	return tap_done();
}
