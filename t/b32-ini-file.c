/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: lines, sections, continuation, what stands twice, what is changed at reload. */
#include "base/err.h"
#include "ini/conf.h"
#include "tap.h"

#include <unistd.h>

static struct conf_report report;
static struct conf *conf;

static int read_bytes(const char *bytes, size_t n, const char *const *overrides)
{
	char path[] = "/tmp/velador-ini-XXXXXX";
	int fd = mkstemp(path), err;

	conf_free(conf);
	conf = NULL;
	memset(&report, 0, sizeof report);
	if (fd < 0 || write(fd, bytes, n) != (ssize_t)n)
		tap_bail("no temporary file");
	close(fd);
	err = conf_read(&conf, path, overrides, &report);
	unlink(path);
	return err;
}

static int read_text(const char *text)
{
	return read_bytes(text, strlen(text), NULL);
}

/* Whether some remark has this text, about this line. */
static bool said(unsigned line, const char *text)
{
	for (unsigned i = 0; i < report.n; i++)
		if (report.remark[i].line == line && strstr(report.remark[i].text, text))
			return true;
	conf_report_print(&report, stdout);
	return false;
}

#define LISTEN "[listen]\nudp = 127.0.0.1:5060\n"
#define GATEWAY "[gateway g]\naddress = 127.0.0.1:5070\n"

static void test_forms(void)
{
	is_u64(read_text("\xEF\xBB\xBF# comment\r\n; comment\r\n[listen] ; comment\r\n  udp = 127.0.0.1:5060 ; comment\r\n\r\n"
			 "[gateway carrier-1.de]\r\naddress:127.0.0.1:5070\r\nprefix =\r\n\t1, 2 ; a comment\r\n# another\r\n\r\n  3\r\n"
			 "\t4,\r\npriority=7\r\n[ retransmit ]\nt2=5"), 0, "BOM, CR LF, comments, colon, continuation, no line end at the end");
	is_u64(report.n, 0, "no remark");
	is_u64(conf->ngateways, 1, "one gateway");
	is_text(conf->gateways[0].name, "carrier-1.de", "its name");
	is_u64(conf->gateways[0].line, 6, "its line");
	is_u64(conf->gateways[0].prefix.n, 4, "prefixes over several lines");
	is_text(conf->gateways[0].prefix.a[3], "4", "the last of them");
	is_u64(conf->gateways[0].priority, 7, "the key after them");
	is_u64(conf->gateways[0].params.t2_ms, 5000, "a global section after the gateway counts for it");
	is_u64(read_text(LISTEN GATEWAY "password = a;b#c\nuser = x ; y\n"), 0, "semicolons");
	is_text(conf->gateways[0].password, "a;b#c", "part of a value without space before");
	is_text(conf->gateways[0].user, "x", "a comment after space");
	is_u64(read_text("[session]\n[listen]\n[session]\nttl = 700\n" LISTEN GATEWAY), 0, "global sections may be opened again");
	is_u64(read_text(LISTEN "udp = [::1]:5060\nudp = 127.0.0.2:5060\n" GATEWAY), 0, "a repeated list key");
	is_u64(conf->listen.udp.n, 3, "adds to the list");
}

static void test_lines(void)
{
	char text[1000];

	is_u64(read_text("[session]\nttl 600\n= 5\nttl =\n[listen\nudp = x\n[listen] udp = 1.2.3.4\n[]\n"), ERR_CONFIG, "broken lines");
	ok(said(2, ":2: not understood; give \"key = value\""), "no '='");
	ok(said(3, "unknown key"), "no key");
	ok(said(4, ":4: session.ttl: \"\" is not understood; give a duration from 1s to 1d"), "no value");
	ok(said(5, "section without ']'"), "no bracket");
	ok(said(7, "text after ']'"), "text after the bracket");
	ok(said(8, "[]: unknown section"), "no name");
	snprintf(text, sizeof text, LISTEN GATEWAY "prefix = %0190d\nprefix = %0150d\n", 1, 1);
	is_u64(read_text(text), ERR_CONFIG, "long lines");
	ok(said(5, "line longer than "), "longer than inih takes");
	ok(said(6, "is out of range; give at most 4096 prefixes of at most 31 characters"), "shorter than that");
	snprintf(text, sizeof text, "# %0400d\n" LISTEN GATEWAY, 1);
	is_u64(read_text(text), 0, "a comment may be as long as it likes");
	is_u64(read_text(LISTEN "[gateway abcdefghijabcdefghijabcdefghijabcdefghija]\naddress = 127.0.0.1\n"), 0, "41 characters of name");
	is_u64(read_text(LISTEN "[gateway abcdefghijabcdefghijabcdefghijabcdefghijab]\naddress = 127.0.0.1\n"), ERR_CONFIG, "42 are too many");
	ok(said(3, "name of a section longer than 49 bytes"), "and not cut");
	is_u64(read_bytes("[session]\nttl = 6\0" "00\n", 21, NULL), ERR_CONFIG, "a NUL byte");
	ok(said(2, "NUL byte"), "is named");
	is_u64(conf_read(&conf, "/nonexistent/velador.ini", NULL, &report), ERR_SYSTEM, "no such file");
	is_u64(conf_read(&conf, "/", NULL, &report), ERR_SYSTEM, "a directory");
	is_u64(read_text(""), ERR_CONFIG, "an empty file");
	ok(said(0, "listen.udp: none"), "lacks a listening address");
}

static void test_continuation(void)
{
	is_u64(read_text("[session]\nttl = 600\n  update_segment = 3\n" LISTEN GATEWAY), ERR_CONFIG, "an indented key continues the one above");
	ok(said(2, "session.ttl: takes one value, and a line that begins with space continues the line above"), "and is no silent mistake");
	is_u64(read_text("[session]\n  ttl = 700\n" LISTEN GATEWAY), 0, "the first key of a section may be indented");
	is_u64(conf->params.ttl_ms, 700000, "and counts");
}

static void test_twice(void)
{
	is_u64(read_text("[session]\nttl = 700\nttl = 800\nSS_SIP_SESSION_TTL = 900\n" LISTEN GATEWAY "ttl = 5m\nttl = 6m\n" GATEWAY),
	       ERR_CONFIG, "what stands twice");
	ok(said(3, "session.ttl: set in line 2 already"), "a key");
	ok(said(4, "session.SS_SIP_SESSION_TTL: set in line 2 already"), "a key by its other name");
	ok(said(10, "gateway g.ttl: set in line 9 already"), "a gateway's key");
	ok(said(11, "gateway g: there is one of this name in line 7 already"), "a gateway");
}

static void test_sources(void)
{
	is_u64(read_text(LISTEN "[gateway a]\nrole=caller\nsource=10.0.0.0/8\n[gateway b]\nrole=caller\nsource=10.1.0.0/16, 10.7.7.7/8\n"),
	       ERR_CONFIG, "two callers with one network");
	ok(said(8, "gateway b.source: 10.0.0.0/8 is a source of gateway a too"), "are a tie");
	is_u64(read_text(LISTEN "[gateway a]\nrole=caller\nsource=10.0.0.0/8\n[gateway b]\nrole=callee\naddress=10.0.0.1\nsource=10.0.0.0/8\n"),
	       0, "a caller and a callee are none");
	is_u64(read_text(LISTEN "[gateway a]\naddress=10.0.0.1\n[gateway b]\naddress=10.0.0.1:5060\n"), ERR_CONFIG, "two callers with one address");
	ok(said(6, "the same address as gateway a"), "are a tie");
	is_u64(read_text(LISTEN "[gateway a]\naddress=10.0.0.1\n[gateway b]\naddress=10.0.0.1:5062\n"), 0, "one host, two ports");
	ok(said(6, "requests from other ports than theirs count as the former's"), "is a warning");
	is_u64(read_text(LISTEN "[gateway a]\nrole=callee\naddress=10.0.0.1\n[gateway b]\nrole=callee\naddress=10.0.0.1\n"), 0,
	       "two callees with one address");
	is_u64(report.n, 0, "are nothing to talk about");
}

static void test_all_errors(void)
{
	static char text[20000];
	struct out o = OUT(text, sizeof text - 1);

	out_lit(&o, "[session]\n");
	for (unsigned i = 0; i < 300; i++)
		out_lit(&o, "nonsense = 1\n");
	is_u64(read_text(text), ERR_CONFIG, "300 errors");
	is_u64(report.errors, 300, "are all counted");
	is_u64(report.n, CONF_REMARKS_MAX, "some are kept");
	for (unsigned i = 1; i < report.n; i++)
		if (report.remark[i - 1].line > report.remark[i].line)
			fail("in the order of the file");
}

static void test_overrides(void)
{
	static const char *const list[] = { "session.ttl=900", "listen.udp=127.0.0.1:6060", "gateway g.prefix=9", "gateway new.1.address=10.0.0.1",
					    NULL };
	static const char text[] = "[session]\nttl = 600\n" LISTEN GATEWAY "prefix = 1, 2\n";

	is_u64(read_bytes(text, sizeof text - 1, list), 0, "the command line goes over the file");
	is_u64(conf->params.ttl_ms, 900000, "a value");
	ok(conf->listen.udp.n == 1 && conf->listen.udp.a[0].port == 6060, "a list is replaced");
	ok(conf->gateways[0].prefix.n == 1 && !strcmp(conf->gateways[0].prefix.a[0], "9"), "a gateway's too");
	ok(conf->ngateways == 2 && !strcmp(conf->gateways[1].name, "new.1"), "a gateway that the file has not");
	is_u64(conf->gateways[0].params.ttl_ms, 900000, "a global value counts for gateways");
}

static void test_reload(void)
{
	struct conf *running;

	is_u64(read_text("[velador]\nworkers = 2\nmax_workers = 4\nlog_level = info\n" LISTEN GATEWAY "listen = 127.0.0.1:5060\n"), 0, "running");
	running = conf;
	conf = NULL;
	is_u64(read_text("[velador]\nworkers = 3\nmax_workers = 4\nlog_level = debug\n[listen]\nudp = 127.0.0.1:5061\n" GATEWAY
			 "listen = 127.0.0.1:5061\n"), 0, "read again");
	conf_keep_start(conf, running, "velador.ini", &report);
	is_u64(conf->velador.workers, 2, "what only a restart can change stays");
	is_u64(conf->listen.udp.a[0].port, 5060, "listening addresses too");
	is_u64(conf->velador.log_level, CONF_LOG_DEBUG, "the rest changes");
	is_u64(report.warnings, 3, "each is said");
	ok(said(0, "velador.workers: changed only by a restart; the running value stays"), "so");
	ok(said(7, "gateway g.listen: none of our listening addresses") && conf->gateways[0].listen == -1, "and what follows from it");
	conf_free(running);
}

int main(void)
{
	test_forms();
	test_lines();
	test_continuation();
	test_twice();
	test_sources();
	test_all_errors();
	test_overrides();
	test_reload();
	conf_free(conf);
	return tap_done();
}
