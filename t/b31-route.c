/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Routing: which caller, which gateways, in which order. The arena is a table of this test's own. */
#include "base/err.h"
#include "route/route.h"
#include "tap.h"

#include <unistd.h>

static struct shm_gateway table[SHM_GATEWAYS_MAX];
static uint32_t calls[SHM_GATEWAYS_MAX];

struct shm_gateway *shm_gateway(const struct shm *shm, unsigned i)
{
	(void)shm;
	return &table[i];
}

uint32_t shm_gateway_calls(const struct shm *shm, unsigned i)
{
	(void)shm;
	return calls[i];
}

static struct conf_report report;
static struct conf *conf;
static struct route *route;

static void close_route(void)
{
	route_free(route);
	conf_free(conf);
	route = NULL;
	conf = NULL;
}

/* Reads a configuration given as text; the arena keeps what it has. Returns what failed first. */
static int open_route(const char *text)
{
	char path[] = "/tmp/velador-route-XXXXXX";
	int fd = mkstemp(path), err;

	close_route();
	memset(&report, 0, sizeof report);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		tap_bail("no temporary file");
	close(fd);
	err = conf_read(&conf, path, NULL, &report);
	unlink(path);
	if (!err)
		err = route_resolve(conf, NULL, "test", &report);
	if (!err)
		err = route_new(&route, conf, NULL);
	return err;
}

static void fresh_route(const char *text)
{
	memset(table, 0, sizeof table);
	memset(calls, 0, sizeof calls);
	if (open_route(text)) {
		conf_report_print(&report, stdout);
		tap_bail("the test's configuration is wrong");
	}
}

static struct addr address(const char *text)
{
	struct addr a;

	if (addr_parse(&a, str_of(text), 5060))
		tap_bail(text);
	return a;
}

/* The caller's name, or "-". */
static const char *caller(const char *from)
{
	struct addr a = address(from);
	unsigned g;

	return route_caller(route, &a, &g) ? "-" : route_gateway(route, g)->name;
}

static bool known(const char *from)
{
	struct addr a = address(from);

	return route_known_source(route, &a);
}

/* The candidates' names with a space between. */
static const char *candidates(const char *dialed, uint64_t random, unsigned max)
{
	static char text[400];
	struct out o = OUT(text, sizeof text - 1);
	uint16_t list[32];
	unsigned n = route_candidates(route, str_of(dialed), random, list, max);

	for (unsigned i = 0; i < n; i++)
		out_fmt(&o, "%s%s", i ? " " : "", route_gateway(route, list[i])->name);
	text[o.n] = 0;
	return text;
}

static unsigned number_of(const char *name)
{
	unsigned i = 0;

	while (i < SHM_GATEWAYS_MAX && strcmp(table[i].name, name))
		i++;
	return i;
}

#define LISTEN "[listen]\nudp = 127.0.0.1:5060, [::1]:5060\n"

static void test_prefixes(void)
{
	fresh_route(LISTEN "[gateway all]\nrole=callee\naddress=10.0.0.1\n"
			   "[gateway de]\nrole=callee\naddress=10.0.0.2\nprefix=49, +49\n"
			   "[gateway berlin]\nrole=callee\naddress=10.0.0.3\nprefix=4930,4930\n"
			   "[gateway both]\nrole=callee\naddress=10.0.0.4\nprefix=4930,\n 1\npriority=5\n"
			   "[gateway phone]\nrole=caller\nsource=10.1.0.0/16\nprefix=4930\n");
	is_text(candidates("4401", 1, 32), "all", "no prefix fits: the gateway without one");
	is_text(candidates("", 1, 32), "all", "an empty number");
	is_text(candidates("4989", 1, 32), "de", "the longest prefix alone");
	is_text(candidates("49", 1, 32), "de", "number as long as the prefix");
	is_text(candidates("4", 1, 32), "all", "number shorter than the prefix");
	is_text(candidates("+4989", 1, 32), "de", "a prefix with a plus");
	is_text(candidates("493012", 1, 32), "both berlin", "all of the longest prefix, by priority; a caller is none; a repeat counts once");
	is_text(candidates("493012", 1, 1), "both", "no more than asked for");
	is_text(candidates("12", 1, 32), "both", "second line of a list");
	is_text(candidates("alice", 1, 32), "all", "names route too");
	table[number_of("both")].available = 0;
	is_text(candidates("493012", 1, 32), "berlin", "only available gateways");
	is_text(candidates("12", 1, 32), "", "none available: no fall back to shorter prefixes");
	ok(route_has_match(route, STR("12")), "but there is a match");
}

static void test_many_prefixes(void)
{
	struct out o = { malloc(400000), 0, 400000, false };
	unsigned wrong = 0;

	out_lit(&o, LISTEN);
	for (unsigned g = 0; g < 10; g++) {
		out_fmt(&o, "[gateway g%u]\nrole=callee\naddress=10.0.0.%u\nprefix=\n", g, g + 1);
		for (unsigned i = 0; i < 1000; i++)
			out_fmt(&o, " %05u\n", g * 1000 + i);
	}
	o.p[o.n] = 0;
	fresh_route(o.p);
	for (unsigned i = 0; i < 10000; i++) {
		char dialed[16], want[8];
		snprintf(dialed, sizeof dialed, "%05u99", i);
		snprintf(want, sizeof want, "g%u", i / 1000);
		wrong += strcmp(candidates(dialed, i, 4), want) != 0;
	}
	is_u64(wrong, 0, "10,000 prefixes: each finds its gateway");
	ok(!route_has_match(route, STR("99999")), "and no other");
	is_text(candidates("99999", 1, 4), "", "no route");
	free(o.p);
}

static void test_weights(void)
{
	enum { CALLS = 100000 };
	unsigned first[3] = { 0 }, second[3] = { 0 };
	static const unsigned weight[3] = { 1, 2, 7 };
	static const double share[3] = { .2 / 8 + .7 / 3, .1 * 2 / 9 + .7 * 2 / 3, .1 * 7 / 9 + .2 * 7 / 8 };
	char once[64];

	fresh_route(LISTEN "[gateway a]\nrole=callee\naddress=10.0.0.1\nweight=1\n"
			   "[gateway b]\nrole=callee\naddress=10.0.0.2\nweight=2\n"
			   "[gateway c]\nrole=callee\naddress=10.0.0.3\nweight=7\n"
			   "[gateway last]\nrole=callee\naddress=10.0.0.4\npriority=20\nweight=10000\n");
	for (uint64_t i = 0; i < CALLS; i++) {
		const char *order = candidates("1", i * 0x9e3779b97f4a7c15, 32);
		first[order[0] - 'a']++;
		second[order[2] - 'a']++;
		if (strcmp(order + 6, "last"))
			fail("higher priority number comes last: %s", order);
	}
	for (unsigned i = 0; i < 3; i++) {
		double want = CALLS * weight[i] / 10.0, chi = (first[i] - want) * (first[i] - want) / want;
		ok(chi < 15, "weight %u: %u of %u calls", weight[i], first[i], CALLS);
	}
	for (unsigned i = 0; i < 3; i++) {
		double want = CALLS * share[i], chi = (second[i] - want) * (second[i] - want) / want;
		ok(chi < 15, "the next one is drawn by weight among those left: %u of %u calls", second[i], CALLS);
	}
	snprintf(once, sizeof once, "%s", candidates("1", 77, 32));
	is_text(candidates("1", 77, 32), once, "one value, one order");
}

static void test_callers(void)
{
	fresh_route(LISTEN "[gateway wide]\nrole=caller\nsource=10.0.0.0/8\n"
			   "[gateway narrow]\nrole=caller\nsource=10.1.0.0/16, 2001:db8::/32\n"
			   "[gateway host]\nrole=caller\nsource=10.1.2.3\n"
			   "[gateway six]\nrole=caller\nsource=2001:db8:0:8000::/49\n"
			   "[gateway pbx]\naddress=10.1.2.3:5090\n"
			   "[gateway pbx2]\naddress=10.1.2.3:5091\n"
			   "[gateway carrier]\nrole=callee\naddress=192.0.2.1\nsource=192.0.2.0/25\n");
	is_text(caller("10.9.9.9"), "wide", "the network");
	is_text(caller("10.1.9.9"), "narrow", "the more specific network wins");
	is_text(caller("10.1.2.3:7000"), "host", "a single host is the most specific");
	is_text(caller("10.1.2.3:5090"), "pbx", "an address with its port beats a source");
	is_text(caller("10.1.2.3:5091"), "pbx2", "two gateways of one host are told apart by port");
	is_text(caller("[2001:db8::1]"), "narrow", "IPv6");
	is_text(caller("[2001:db8:0:8001::1]"), "six", "IPv6, more specific, a length within a byte");
	is_text(caller("[2001:db8:0:7fff::1]"), "narrow", "IPv6, just beside it");
	is_text(caller("192.0.2.1"), "-", "a callee is no caller");
	ok(known("192.0.2.1"), "but known, by address");
	ok(known("192.0.2.77:9"), "and by source, whatever port");
	ok(!known("192.0.2.128"), "beside the network: a stranger");
	is_text(caller("11.0.0.1"), "-", "a stranger calls");
	ok(!known("[2001:db9::1]"), "a stranger by IPv6");
}

static void test_default_sources(void)
{
	fresh_route(LISTEN "[gateway a]\naddress=10.0.0.1:5062\n[gateway b]\naddress=10.0.0.2\nsource=10.0.0.3\n");
	is_text(caller("10.0.0.1:5062"), "a", "default source: the address");
	is_text(caller("10.0.0.1:33333"), "a", "whatever port");
	is_text(caller("10.0.0.2"), "-", "a source replaces the address");
	ok(known("10.0.0.2"), "which stays known");
	fresh_route(LISTEN "[gateway any]\nrole=caller\nsource=0.0.0.0/0\n[gateway one]\nrole=caller\nsource=10.0.0.1\n");
	is_text(caller("1.2.3.4"), "any", "the network of everybody");
	is_text(caller("10.0.0.1"), "one", "and one that is more specific");
	is_text(caller("[::1]"), "-", "IPv4's everybody is not IPv6's");
}

static const char *number(const char *gateway, const char *dialed)
{
	static char text[40];
	struct out o = OUT(text, sizeof text - 1);
	int err = route_number(route, number_of(gateway), str_of(dialed), &o);

	if (err)
		return err_text(err);
	text[o.n] = 0;
	return text;
}

static void test_numbers(void)
{
	char buf[3];
	struct out o = OUT(buf, sizeof buf);

	fresh_route(LISTEN "[gateway a]\nrole=callee\naddress=10.0.0.1\nstrip=2\nadd=+49\nmax_calls=2\n"
			   "[gateway b]\nrole=callee\naddress=[::1]:5070\nstrip=1\ncall_id=own\nttl=1800\n");
	is_text(number("a", "00123"), "+49123", "strip and add");
	is_text(number("a", "0"), "+49", "strip more than there is");
	is_text(number("a", "%230123"), "+49123", "an escape counts as one character");
	is_text(number("b", "0123"), "123", "strip alone");
	ok(route_can_dial(route, number_of("a"), STR("0")) && route_can_dial(route, number_of("b"), STR("01")) && !route_can_dial(route, number_of("b"), STR("0")),
	   "what can be dialed: something must be left of the number, or added");
	ok(route_can_dial(route, number_of("b"), STR("")) && !route_can_dial(route, number_of("b"), STR("%23")) && !route_can_dial(route, SHM_GATEWAYS_MAX, STR("01")),
	   "no number at all; an escape alone; no such gateway");
	is_text(number("b", "0"), err_text(ERR_SYNTAX), "nothing left");
	is_u64(route_number(route, number_of("a"), STR("00123"), &o), ERR_SPACE, "no room");
	is_u64(route_number(route, 9, STR("1"), &o), ERR_NOTFOUND, "no such gateway");
	ok(route_has_room(route, 0), "room");
	calls[0] = 2;
	ok(!route_has_room(route, 0), "no room at max_calls");
	calls[1] = 1000000;
	ok(route_has_room(route, 1), "no limit");
	ok(!route_has_room(route, 500), "no room at a gateway that is not there");
	is_u64(route_gateway(route, 1)->addr.port, 5070, "address");
	is_u64(route_gateway(route, 1)->listen, 1, "the listening address of its IP version");
	is_u64(route_gateway(route, 0)->listen, 0, "the other one's");
	is_u64(route_gateway(route, 1)->params->ttl_ms, 1800000, "parameters");
	is_u64(route_gateway(route, 1)->call_id, CONF_CALL_ID_OWN, "call_id");
	ok(!route_gateway(route, 2) && !route_gateway(route, 70000), "no such gateway: NULL");
}

static void test_failover(void)
{
	static const unsigned yes[] = { 408, 480, 500, 503, 504, 580, 599 }, no[] = { 200, 301, 400, 404, 422, 486, 487, 600, 603 };

	for (unsigned i = 0; i < sizeof yes / sizeof yes[0]; i++)
		ok(route_fails_over(yes[i]), "%u: next gateway", yes[i]);
	for (unsigned i = 0; i < sizeof no / sizeof no[0]; i++)
		ok(!route_fails_over(no[i]), "%u: to the caller", no[i]);
}

static void test_reload(void)
{
	unsigned a, b;

	fresh_route(LISTEN "[gateway a]\nrole=callee\naddress=10.0.0.1\n[gateway b]\nrole=callee\naddress=10.0.0.2\n");
	a = number_of("a");
	b = number_of("b");
	table[b].available = 0;
	is_u64(open_route(LISTEN "[gateway new]\nrole=callee\naddress=10.0.0.3\n[gateway b]\nrole=callee\naddress=10.0.0.9\n"), 0, "reload");
	is_u64(number_of("b"), b, "a gateway keeps its number");
	is_u64(table[b].available, 0, "and its state");
	is_u64(route_gateway(route, b)->addr.ip[3], 9, "with its new address");
	ok(!route_gateway(route, a), "one that is gone is no longer there");
	ok(number_of("new") != a, "its number is not taken while there are others");
	is_u64(open_route(LISTEN "[gateway b]\nrole=callee\naddress=nowhere.invalid\n"), 0, "a name that fails at reload");
	is_u64(report.warnings, 1, "is a warning");
	is_u64(route_gateway(route, b)->addr.ip[3], 9, "the former address stays");
	is_u64(open_route(LISTEN "[gateway b]\nrole=callee\naddress=10.0.0.7\n[gateway c]\nrole=callee\naddress=nowhere.invalid\n"),
	       ERR_CONFIG, "a new name that fails is an error");
	ok(strstr(report.remark[0].text, "test:6: gateway c.address: nowhere.invalid: "), "with its line: %s", report.remark[0].text);
	is_u64(table[b].addrs[0].ip[3], 9, "and changes nothing");
	is_u64(number_of("c"), SHM_GATEWAYS_MAX, "nothing at all");
	is_u64(open_route("[listen]\nudp=127.0.0.1:5060\n[gateway v6]\nrole=callee\naddress=[::1]\n"), ERR_CONFIG,
	       "IPv6 without an IPv6 listening address");
	is_u64(open_route(LISTEN "[gateway x]\naddress=localhost:5070\n[gateway y]\naddress=127.0.0.1:5070\n"), ERR_CONFIG,
	       "two callers at one address by different names");
}

static void test_full(void)
{
	static const char text[] = LISTEN "[gateway a]\naddress=10.0.0.1\n[gateway b]\naddress=10.0.0.2\n";

	fresh_route(LISTEN "[gateway a]\nrole=callee\naddress=10.0.0.1\n");
	for (unsigned i = 1; i < SHM_GATEWAYS_MAX; i++) {
		snprintf(table[i].name, SHM_NAME, "former%u", i);
		calls[i] = 1;
	}
	is_u64(open_route(text), ERR_FULL, "all entries have calls: full");
	calls[700] = 0;
	is_u64(open_route(text), 0, "the last call of one ended");
	is_u64(number_of("b"), 700, "its entry is free");
}

int main(void)
{
	test_prefixes();
	test_many_prefixes();
	test_weights();
	test_callers();
	test_default_sources();
	test_numbers();
	test_failover();
	test_reload();
	test_full();
	close_route();
	return tap_done();
}
