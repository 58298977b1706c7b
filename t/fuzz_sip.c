/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzzing of the message layer: whatever bytes come, every slice lies within them, every parser ends, and a message that was accepted
 * is rewritten into one that is accepted again, its untouched lines unchanged. libFuzzer calls LLVMFuzzerTestOneInput(); with
 * -DFUZZ_STANDALONE there is a main() that runs it over the files it is given (gcc, AFL: `fuzz_sip @@`), or over all of t/corpus/sip and t/torture. */
#include "base/bug.h"
#include "base/err.h"
#include "sip/sip.h"

enum { ROOM = 1 << 18 };
static char buf[ROOM];
static const struct addr source = { .ip = { 127, 0, 0, 1 }, .port = 5070, .family = 4 };

static void within(struct str whole, struct str part)
{
	BUG_ON(part.n && (part.p < whole.p || part.p + part.n > whole.p + whole.n));
}

static void check_slices(const struct sip_msg *m, struct str input)
{
	const struct str parts[] = { m->raw, m->start_line, m->method_name, m->uri, m->version, m->reason, m->body, m->head_end,
				     m->call_id, m->from_tag, m->to_tag };

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		within(input, parts[i]);
	BUG_ON(m->nheaders > SIP_HEADERS_MAX);
	for (size_t i = 0; i < m->nheaders; i++) {
		const struct sip_header *h = &m->header[i];
		within(m->raw, h->line);
		within(h->line, h->name);
		within(h->line, h->value);
		BUG_ON(h->id >= SIP_H_COUNT || (h->next != SIP_NONE && (h->next <= i || m->header[h->next].id != h->id)));
	}
}

static void fuzz_uri(struct str text)
{
	struct sip_uri uri, again;
	char number[64];
	struct str user;

	if (sip_uri_parse(&uri, text))
		return;
	within(text, uri.user);
	within(text, uri.password);
	within(text, uri.host);
	within(text, uri.params);
	within(text, uri.headers);
	if (sip_uri_user(&uri, number, sizeof number, &user) == 0)
		within(str_make(number, sizeof number), user);
	BUG_ON(sip_uri_parse(&again, uri.all));
	/* a parameter given twice fits not even itself */
	BUG_ON(!sip_uri_eq(&uri, &again) && !uri.params.n && !uri.headers.n);
}

static void fuzz_via(struct str value)
{
	struct out o = OUT(buf, sizeof buf);
	struct sip_via via, stamped;
	struct addr to;

	if (sip_via_parse(&via, value))
		return;
	within(value, via.host);
	within(value, via.branch);
	within(value, via.params);
	(void)sip_response_target(&via, &source, &to);
	sip_via_stamp(&o, &via, &source);
	BUG_ON(o.overflow || sip_via_parse(&stamped, out_done(&o)));
	BUG_ON(!str_eq(stamped.branch, via.branch) || !str_eq(stamped.host, via.host) || stamped.port != via.port);
	BUG_ON(via.rport_asked && (stamped.rport != source.port || !str_eq(stamped.received, STR("127.0.0.1"))));
}

/* Every grammar rule over a value, whatever its header. */
static void fuzz_value(struct str value)
{
	struct sip_nameaddr na;
	struct str method, rest = value, one;
	uint32_t a, b;
	char refresher;

	fuzz_uri(value);
	fuzz_via(value);
	if (sip_nameaddr_parse(&na, value) == 0) {
		within(value, na.display);
		within(value, na.uri);
		within(value, na.params);
		fuzz_uri(na.uri);
		if (sip_param(na.params, STR("tag"), &one))
			within(na.params, one);
	}
	if (sip_cseq_parse(value, &a, &method) == 0)
		within(value, method);
	if (sip_rack_parse(value, &a, &b, &method) == 0)
		within(value, method);
	(void)sip_session_expires_parse(value, &a, &refresher);
	(void)sip_number_parse(value, UINT32_MAX, &a);
	for (unsigned n = 0; n < 100 && sip_list_next(&rest, &one); n++) {
		BUG_ON(!one.n && value.n && rest.n == value.n);
		within(value, one);
	}
}

static bool touched(const struct sip_header *h)
{
	static const uint8_t ids[] = { SIP_H_VIA, SIP_H_CONTACT, SIP_H_CSEQ, SIP_H_MAX_FORWARDS, SIP_H_ROUTE, SIP_H_SUPPORTED,
				       SIP_H_REQUIRE, SIP_H_CONTENT_LENGTH, SIP_H_CONTENT_TYPE, SIP_H_CONTENT_DISPOSITION,
				       SIP_H_CONTENT_ENCODING, SIP_H_CONTENT_LANGUAGE };
	return memchr(ids, h->id, sizeof ids);
}

/* Untouched headers are all there, in order, byte for byte. */
static void check_untouched(const struct sip_msg *m, const struct sip_msg *after)
{
	size_t k = 0;

	for (size_t i = 0; i < m->nheaders; i++) {
		if (touched(&m->header[i]))
			continue;
		while (k < after->nheaders && touched(&after->header[k]))
			k++;
		BUG_ON(k == after->nheaders || !str_eq(m->header[i].line, after->header[k].line));
		k++;
	}
}

static void edit_lists(struct sip_edit *e, const struct sip_msg *m, uint8_t dice)
{
	struct sip_values v = sip_values(m, SIP_H_ROUTE);
	struct str one;

	sip_edit_drop_token(e, SIP_H_SUPPORTED, STR("timer"));
	sip_edit_drop_token(e, SIP_H_SUPPORTED, STR("100rel"));
	sip_edit_drop_token(e, SIP_H_REQUIRE, STR("timer"));
	for (unsigned i = 0; i < 8 && sip_values_next(&v, &one); i++)
		if (dice >> i & 1)
			sip_edit_drop_value(e, one);
}

static void edit(struct sip_edit *e, const struct sip_msg *m, uint8_t dice)
{
	const struct sip_header *h;

	if (dice & 1)
		sip_edit_drop_all(e, SIP_H_VIA);
	sip_edit_insert_top(e, STR("Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKfuzz\r\n"));
	h = sip_first(m, SIP_H_CONTACT);
	if (h)
		sip_edit_replace(e, h->value, STR("<sip:fuzz@127.0.0.1>"));
	h = sip_first(m, SIP_H_CSEQ);
	if (h)
		sip_edit_replace(e, str_head(h->value, 1), str_head(h->value, 1));
	sip_edit_drop_all(e, SIP_H_MAX_FORWARDS);
	edit_lists(e, m, dice);
	sip_edit_insert_end(e, STR("Max-Forwards: 69\r\n"));
	if (dice & 2)
		sip_edit_body(e, STR("v=0\r\n"), STR("Content-Type: application/sdp\r\n"));
	else if (dice & 4)
		sip_edit_body(e, STR_NONE, STR_NONE);
}

static void fuzz_edit(const struct sip_msg *m, bool checked, uint8_t dice)
{
	static struct sip_edit e;
	static struct sip_msg after;
	struct sip_fault why;
	size_t n;

	sip_edit_init(&e, m);
	BUG_ON(sip_edit_write(&e, buf, sizeof buf, &n));
	BUG_ON(!str_eq(str_make(buf, n), m->raw));
	sip_edit_init(&e, m);
	edit(&e, m, dice);
	if (sip_edit_write(&e, buf, sizeof buf, &n)) {
		BUG_ON(!e.overflow);
		return;
	}
	if (m->nheaders > SIP_HEADERS_MAX - 4)
		return;
	BUG_ON(sip_parse(&after, buf, n, &why));
	check_untouched(m, &after);
	/* a Route that was not looked at may have become the first */
	if (checked)
		BUG_ON(sip_check(&after, &why) && !str_eq(str_of(why.reason), STR("Bad Route")));
	BUG_ON(!(dice & 6) && !str_eq(m->body, after.body));
	BUG_ON(sip_has_token(&after, SIP_H_SUPPORTED, STR("timer")) || sip_has_token(&after, SIP_H_SUPPORTED, STR("100rel")));
}

/* A response to what was accepted is accepted; to what was not, it is at least framed where it can be answered. */
static void fuzz_response(const struct sip_msg *m, bool checked)
{
	static struct sip_msg response;
	struct out o = OUT(buf, sizeof buf);
	struct sip_fault why;

	sip_response_head(&o, m, 200, STR("OK"), STR("fuzz"), &source);
	out_lit(&o, "Content-Length: 0\r\n\r\n");
	BUG_ON(o.overflow);
	if (!checked || m->nheaders == SIP_HEADERS_MAX)
		return;
	BUG_ON(sip_parse(&response, o.p, o.n, &why) || sip_check(&response, &why));
	BUG_ON(!response.to_tag.n || response.cseq != m->cseq || !str_eq(response.call_id, m->call_id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sip_msg m;
	struct sip_fault why = { 0, NULL };
	struct str input = str_make((const char *)data, size);
	int err = size > 65535 ? ERR_NOTFOUND : sip_parse(&m, input.p, size, &why);
	bool checked;

	fuzz_value(input);
	if (err == ERR_NOTFOUND)
		return 0;
	BUG_ON(err && (!why.reason || !why.status));
	checked = !err && sip_check(&m, &why) == 0;
	BUG_ON(!checked && !why.reason);
	check_slices(&m, input);
	for (size_t i = 0; i < m.nheaders; i++)
		fuzz_value(m.header[i].value);
	fuzz_uri(m.uri);
	if (!err)
		fuzz_edit(&m, checked, (uint8_t)(size ^ data[size / 2]));
	if (sip_answerable(&m))
		fuzz_response(&m, checked);
	return 0;
}

#ifdef FUZZ_STANDALONE
#include "t/fuzz-files.h"
int main(int argc, char **argv)
{
	return fuzz_files(argc, argv, "t/{corpus/sip,torture}/*");
}
#endif
