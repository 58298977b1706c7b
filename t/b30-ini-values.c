/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the configuration: what each type takes, what it refuses, and what it says. */
#include "ini/conf.h"
#include "tap.h"

static struct conf_report report;
static struct conf *conf;

/* Reads defaults, one listening address, one gateway, and up to two assignments. */
static int set(const char *one, const char *two)
{
	const char *list[] = { "listen.udp=127.0.0.1:5060", "gateway g.address=127.0.0.1:5070", one, two, NULL };

	conf_free(conf);
	conf = NULL;
	memset(&report, 0, sizeof report);
	return conf_read(&conf, NULL, list, &report);
}

static const char *remark(void)
{
	return report.n ? report.remark[0].text : "";
}

static void test_durations(void)
{
	static const struct {
		const char *text;
		uint32_t ms;
	} good[] = {
		{ "600", 600000 }, { "600s", 600000 }, { "10m", 600000 }, { "1h", 3600000 }, { "1d", 86400000 }, { "1.5h", 5400000 },
		{ "90000ms", 90000 }, { "90.5", 90500 }, { "90.0001s", 90001 }, { " 2 h ", 7200000 }, { "0.05d", 4320000 },
		{ "00000600", 600000 }, { "1.000000001m", 60001 },
	};
	static const char *const bad[] = {
		"", "x", "5x", "-5", "+5", "5 5", "5.", ".5", "5.s", "1e3", "0x10", "5S", "5sec", "nan", "auto", "5,5", "1.0000000000",
		"0", "0.5", "999ms", "2d", "86400.001", "99999999999999999999", "18446744073709551616", "1000000000000d",
	};
	char text[64];

	for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++) {
		snprintf(text, sizeof text, "session.ttl=%s", good[i].text);
		ok(set(text, NULL) == 0 && conf->params.ttl_ms == good[i].ms, "ttl = %s is %u ms", good[i].text, good[i].ms);
	}
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(text, sizeof text, "session.ttl=%s", bad[i]);
		ok(set(text, NULL) && strstr(remark(), "-o: session.ttl: \"") && strstr(remark(), "give a duration from 1s to 1d"),
		   "ttl = %s: %s", bad[i], remark());
	}
}

/* text: what must stand in the first remark; NULL = no remark at all. */
static const struct {
	const char *assignment;
	int good;
	const char *text;
} cases[] = {
	{ "velador.workers=auto", 1, NULL },
	{ "velador.workers=AUTO", 1, NULL },
	{ "velador.workers=0", 0, "-o: velador.workers: \"0\" is out of range; give auto or a number from 1 to 64" },
	{ "velador.workers=65", 0, "out of range" },
	{ "velador.workers=two", 0, "not understood; give auto or a number from 1 to 64" },
	{ "velador.max_calls=100k", 1, NULL },
	{ "velador.max_calls=1M", 1, NULL },
	{ "velador.max_calls=16M", 1, NULL },
	{ "velador.max_calls=1G", 0, "give a number from 64 to 16000000" },
	{ "velador.max_calls=99G", 0, "out of range" },
	{ "velador.max_calls=k", 0, "not understood" },
	{ "velador.max_calls=1.5k", 0, "not understood" },
	{ "velador.max_calls=1K", 0, "not understood" },
	{ "velador.run_dir=", 0, "give a path of at most 255 bytes" },
	{ "velador.log=syslog", 1, NULL },
	{ "velador.log=/var/log/velador", 1, NULL },
	{ "velador.log=sdterr", 0, "velador.log: \"sdterr\" is not stderr, syslog or a path" },
	{ "velador.log_level=Debug", 1, NULL },
	{ "velador.log_level=loud", 0, "give one of error, warning, notice, info, debug" },
	{ "velador.log_level=inf", 0, "give one of" },
	{ "velador.log_level=", 0, "give one of" },
	{ "velador.log_level=error|warning", 0, "give one of" },
	{ "velador.heartbeat=2s", 1, NULL },
	{ "velador.drain_timeout=2s", 1, "not in effect in this version" },
	{ "velador.arena=adopt", 1, "not in effect in this version" },
	{ "velador.arena=fresh", 1, NULL },
	{ "velador.log_level=\033[31m", 0, "velador.log_level: \"?[31m\" is not understood" },
	{ "velador.colour=red", 0, "velador.colour: unknown key; there are workers, max_workers, run_dir" },
	{ "velador.ttl=60", 0, "it belongs in [session]" },
	{ "session.prefix=1", 0, "it belongs in [gateway NAME]" },
	{ "sesion.ttl=60", 0, "-o: sesion.ttl: unknown section" },
	{ "ttl=600", 0, "stands in no section" },
	{ "session.ttl", 0, "\"session.ttl\" has no '='; give section.key=value" },
	{ "listen.udp=127.0.0.2", 1, NULL },
	{ "listen.udp=[::1]:5060,127.0.0.1:5061", 1, NULL },
	{ "listen.udp=::1", 1, NULL },
	{ "listen.udp=localhost:5060", 0, "give at most 16 addresses such as 192.0.2.1:5060" },
	{ "listen.udp=127.0.0.1:0", 0, "out of range" },
	{ "listen.udp=127.0.0.1:65536", 0, "out of range" },
	{ "listen.udp=127.0.0.1:5060 127.0.0.1:5060", 0, "is there twice" },
	{ "listen.udp=", 0, "listen.udp: none; give at least one" },
	{ "listen.udp=0.0.0.0:5060", 0, "give advertise = an IPv4 address" },
	{ "listen.udp=[::]:5060", 0, "give advertise = an IPv6 address" },
	{ "listen.tcp=127.0.0.1:5060", 1, "not in effect" },
	{ "listen.advertise=192.0.2.1", 1, NULL },
	{ "listen.advertise=proxy.example.com", 0, "an IP address, with or without port" },
	{ "session.update_segment=11", 0, "a number from 2 to 10" },
	{ "session.strict_schedule=yes", 1, NULL },
	{ "session.strict_schedule=maybe", 0, "give yes or no" },
	{ "session.setup_early_hangup=301", 0, "a duration from 0 to 5m" },
	{ "session.setup_early_hangup=0", 1, NULL },
	{ "session.max_call_duration=30d", 1, NULL },
	{ "session.max_call_duration=30.1d", 0, "a duration from 0 to 30d" },
	{ "session.invite_timeout=auto", 1, NULL },
	{ "session.invite_timeout=0", 0, "auto or a duration from 100ms to 5m" },
	{ "session.ring_timeout=60", 1, "-o: session.ring_timeout: \"60\" is less than RFC 3261 section 16.6, Timer C advises" },
	{ "session.ring_timeout=180", 1, NULL },
	{ "retransmit.t1=100ms", 1, "less than RFC 3261 section 17.1.1.1 advises" },
	{ "retransmit.t1=500ms", 1, NULL },
	{ "retransmit.t1=auto", 1, NULL },
	{ "retransmit.t1_min=499ms", 1, "less than RFC 3261 section 17.1.1.1 advises" },
	{ "retransmit.t1_min=5s", 0, "t1_min: 5000 ms is more than t1_max; give at most 4000 ms" },
	{ "retransmit.give_up=64*T1", 1, NULL },
	{ "retransmit.give_up=100 * t1", 1, NULL },
	{ "retransmit.give_up=60s", 1, NULL },
	{ "retransmit.give_up=32*T1", 1, "less than RFC 3261 section 17.1.1.2 advises" },
	{ "retransmit.give_up=10s", 1, "less than RFC 3261 section 17.1.1.2 advises" },
	{ "retransmit.give_up=0*T1", 0, "N*T1 (N from 1 to 1000)" },
	{ "retransmit.give_up=1001*T1", 0, "out of range" },
	{ "retransmit.give_up=*T1", 0, "not understood" },
	{ "retransmit.give_up=64*T2", 0, "not understood" },
	{ "retransmit.resend_interval=1,2,3,4,5,6,7,8,9,10", 1, NULL },
	{ "retransmit.resend_interval=1,2,3,4,5,6,7,8,9,10,11", 0, "\"11\" is one too many; give auto or 1 to 10 durations" },
	{ "retransmit.resend_interval=", 0, "not understood" },
	{ "retransmit.resend_interval=1,x", 0, "\"x\" is not understood" },
	{ "retransmit.resend_interval=1,5ms", 0, "\"5ms\" is out of range" },
	{ "reliable.100rel=supported", 1, NULL },
	{ "reliable.100rel=on", 0, "give one of off, passthrough, supported, required" },
	{ "publish.expire=29", 0, "a duration from 30s to 1d" },
	{ "publish.min_expire=2h", 0, "min_expire: 7200000 ms is more than expire; give at most 3600000 ms" },
	{ "record.format=csv", 1, NULL },
	{ "record.format=xml", 0, "give one of json, csv" },
	{ "security.unknown=drop", 1, NULL },
	{ "session.ttl=60", 1, "less than RFC 4028 section 4 advises" },
	{ "session.min_se=601", 0, "min_se: 601000 ms is more than ttl; give at most 600000 ms" },
	{ "gateway g.address=gw.example.com", 1, NULL },
	{ "gateway g.address=gw.example.com.:5070", 1, NULL },
	{ "gateway g.address=gw_1:5070", 1, NULL },
	{ "gateway g.address=192.0.2.300", 0, "a host name or IP address" },
	{ "gateway g.address=192.0.2.1:0", 0, "out of range" },
	{ "gateway g.address=gw:0", 0, "out of range" },
	{ "gateway g.address=gw:x", 0, "not understood" },
	{ "gateway g.address=a..b", 0, "not understood" },
	{ "gateway g.address=-a", 0, "not understood" },
	{ "gateway g.address=sip:gw", 0, "not understood" },
	{ "gateway g.address=", 0, "not understood" },
	{ "gateway g.transport=tcp", 1, "its calls go by UDP" },
	{ "gateway g.transport=tls", 0, "give one of udp, tcp" },
	{ "gateway g.listen=127.0.0.1:5060", 1, NULL },
	{ "gateway g.listen=127.0.0.1:5061", 0, "none of our listening addresses" },
	{ "gateway g.role=caller", 1, NULL },
	{ "gateway g.source=10.0.0.0/8, 2001:db8::/32", 1, NULL },
	{ "gateway g.source=10.0.0.0/33", 0, "\"10.0.0.0/33\" is out of range" },
	{ "gateway g.source=10.0.0.0/8 10.1.2.3/8", 0, "\"10.1.2.3/8\" is there twice" },
	{ "gateway g.source=somewhere", 0, "give at most 64 IP addresses or networks" },
	{ "gateway g.prefix=1,22,+333,#4", 1, NULL },
	{ "gateway g.prefix=12345678901234567890123456789012", 0, "at most 31 characters" },
	{ "gateway g.strip=32", 0, "a number from 0 to 31" },
	{ "gateway g.add=+49", 1, NULL },
	{ "gateway g.add=4 9", 0, "characters of a SIP user part" },
	{ "gateway g.add=4@9", 0, "characters of a SIP user part" },
	{ "gateway g.weight=0", 0, "a number from 1 to 10000" },
	{ "gateway g.priority=65536", 0, "a number from 0 to 65535" },
	{ "gateway g.ttl=2d", 0, "-o: gateway g.ttl: \"2d\" is out of range" },
	{ "gateway g.workers=2", 0, "it belongs in [velador]" },
	{ "gateway g.colour=2", 0, "and those of session, retransmit, reliable, publish" },
	{ "gateway g.auth=digest", 0, "digest needs user and password" },
	{ "gateway bad/name.ttl=60", 0, "give [gateway NAME]" },
	{ "gateway .ttl=60", 0, "give [gateway NAME]" },
	{ "gateway abcdefghijabcdefghijabcdefghijabcdefghijab.ttl=60", 0, "NAME of 1 to 41" },
	{ "gateway new.role=caller", 0, "a caller needs an address or a source" },
	{ "gateway new.role=callee", 0, "no address to send calls to" },
	{ "gateway new.source=10.0.0.1", 0, "give address = host:port, or role = caller" },
};

static void test_cases(void)
{
	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool good = set(cases[i].assignment, NULL) == 0, said = false;

		if (cases[i].text)
			for (unsigned k = 0; k < report.n; k++)
				said |= strstr(report.remark[k].text, cases[i].text) != NULL;
		else
			said = report.n == 0;
		if (!ok(good == cases[i].good && said, "%s: %s", cases[i].assignment, *remark() ? remark() : "good"))
			conf_report_print(&report, stdout);
	}
}

static void test_results(void)
{
	struct conf_gateway *g;

	is_u64(set("retransmit.resend_interval=0.5,1 2,4", NULL), 0, "a list of stages");
	is_u64(conf->params.resend_count, 4, "has four");
	is_u64(conf->params.resend_stages_ms[0], 500, "the first");
	is_u64(conf->params.resend_stages_ms[3], 4000, "the last");
	is_u64(set("retransmit.give_up=32*T1", "retransmit.t1=700ms"), 0, "give_up in T1");
	ok(conf->params.give_up_ms == 0 && conf->params.give_up_t1 == 32 && conf->params.t1_ms == 700, "as factor, and t1");
	is_u64(set("retransmit.give_up=40", NULL), 0, "give_up as duration");
	ok(conf->params.give_up_ms == 40000, "in ms");
	is_u64(set("session.ttl=60", NULL), 0, "min_se follows a short ttl");
	ok(conf->params.min_se_ms == 60000 && conf->gateways[0].params.min_se_ms == 60000, "everywhere");
	is_u64(set("gateway g.ttl=50", "gateway g.100rel=required"), 0, "overrides of a gateway");
	g = &conf->gateways[0];
	ok(g->params.ttl_ms == 50000 && g->params.min_se_ms == 50000 && g->params.rel100 == PARAMS_100REL_REQUIRED, "count for it");
	ok(conf->params.ttl_ms == 600000 && conf->params.min_se_ms == 90000 && conf->params.rel100 == PARAMS_100REL_OFF, "alone");
	is_u64(set("gateway g.address=[2001:db8::1]:5080", NULL), 0, "an IPv6 address");
	ok(!strcmp(conf->gateways[0].address.host, "2001:db8::1") && conf->gateways[0].address.port == 5080, "without its brackets");
	is_u64(set("gateway g.source=10.1.2.3/8", NULL), 0, "a network");
	is_u64(conf->gateways[0].source.a[0].net.ip[3], 0, "its host bits are cleared");
	is_u64(set("gateway g.prefix=1", "gateway g.prefix=2"), 0, "a list set twice on the command line");
	is_u64(conf->gateways[0].prefix.n, 2, "is added to");
	is_u64(set("session.ttl=700", "session.ttl=800"), 0, "a value set twice on the command line");
	is_u64(conf->params.ttl_ms, 800000, "the last counts");
	is_u64(set("listen.udp=127.0.0.1:5062", "listen.tcp=127.0.0.1:5063"), 0, "our addresses");
	ok(conf_listen_addr(conf, 0)->port == 5060 && conf_listen_addr(conf, 1)->port == 5062 &&
	   conf_listen_addr(conf, 2)->transport == ADDR_TCP && !conf_listen_addr(conf, 3), "in one numbering");
}

static void test_defaults(void)
{
	const struct params *p;

	is_u64(set(NULL, NULL), 0, "defaults are good");
	is_u64(report.n, 0, "without a warning");
	p = &conf->params;
	ok(p->ttl_ms == 600000 && p->min_se_ms == 90000 && p->update_segment == 2 && p->refresh_schedule == PARAMS_SEGMENTS &&
	   !p->strict_schedule && p->refresher == PARAMS_REFRESH_SELF && !p->timeout_early_hangup_ms && !p->setup_early_hangup_ms &&
	   p->no_timer_interval_ms == 7200000 && p->no_timer_action == PARAMS_NO_TIMER_REINVITE && !p->max_call_duration_ms &&
	   !p->invite_timeout_ms && p->ring_timeout_ms == 180000, "session");
	ok(!p->resend_count && !p->t1_ms && p->t1_min_ms == 500 && p->t1_max_ms == 4000 && p->t2_ms == 4000 && !p->give_up_ms &&
	   p->give_up_t1 == 64, "retransmit");
	ok(p->rel100 == PARAMS_100REL_OFF && p->publish_expire_ms == 3600000 && p->publish_min_expire_ms == 30000, "reliable, publish");
	ok(conf->velador.workers >= 1 && conf->velador.max_workers == conf->velador.workers && conf->velador.max_calls == 20000, "velador");
	ok(conf->gateways[0].weight == 1 && conf->gateways[0].priority == 10 && conf->gateways[0].listen == -1 &&
	   conf->gateways[0].role == CONF_ROLE_BOTH, "gateway");
	ok(memcmp(p, &conf->gateways[0].params, sizeof *p) == 0, "a gateway has the global parameters");
}

static void test_aliases(void)
{
	is_u64(set("session.SS_SIP_SESSION_TTL=700", "retransmit.SS_SIP_RESEND_INTERVAL=1,2"), 0, "the softswitch's names");
	ok(conf->params.ttl_ms == 700000 && conf->params.resend_count == 2, "set our keys");
	is_u64(set("SS_SIP_SESSION_UPDATE_SEGMENT=4", "listen.SS_SIP_SESSION_TIMEOUT_EARLY_HANGUP=9"), 0, "in any section, or none");
	ok(conf->params.update_segment == 4 && conf->params.timeout_early_hangup_ms == 9000, "set our keys");
	is_u64(set("gateway g.SS_SIP_NO_TIMER_REINVITE_INTERVAL=1800", "gateway g.SS_SIP_PUBLISH_EXPIRE=60"), 0, "in a gateway");
	ok(conf->gateways[0].params.no_timer_interval_ms == 1800000 && conf->gateways[0].params.publish_expire_ms == 60000 &&
	   conf->params.no_timer_interval_ms == 7200000, "override ours");
	is_u64(set("session.Enable 100rel=supported", "gateway g.Enable 100rel=off"), 0, "Enable 100rel");
	ok(conf->params.rel100 == PARAMS_100REL_SUPPORTED && conf->gateways[0].params.rel100 == PARAMS_100REL_OFF, "is reliable.100rel");
	ok(set("session.SS_SIP_SESSION_TTL=0", NULL) && strstr(remark(), "session.SS_SIP_SESSION_TTL: \"0\" is out of range"),
	   "and are checked: %s", remark());
}

int main(void)
{
	test_durations();
	test_cases();
	test_results();
	test_defaults();
	test_aliases();
	conf_free(conf);
	return tap_done();
}
