/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What veladorctl's commands answer [ctl_]: one function each, listed in the table at the end. The shapes are contract. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/json.h"
#include "call/view.h"
#include "config.h"
#include "proc/control_private.h"

enum { HANGUP_TRIES = 50 };

static void member_u64(struct out *o, const char *name, uint64_t v)
{
	json_key(o, name);
	json_u64(o, v);
}

static void member_str(struct out *o, const char *name, struct str s)
{
	json_key(o, name);
	if (s.n)
		json_str(o, s);
	else
		json_null(o);
}

static int ctl_list(struct ctl_client *c, ctl_element_fn *element, uint32_t end)
{
	json_array_open(&c->o);
	c->element = element;
	c->at = 0;
	c->end = end;
	return 0;
}

static int ctl_fail(char why[CTL_WHY], int err, const char *text)
{
	snprintf(why, CTL_WHY, "%s", text);
	return err;
}

/* ------------------------------------------------------------------------------------------ status */
static const char *process_state(const struct ctl_client *c, const struct shm_proc_info *info)
{
	const struct child *child = &c->control->child;

	if (!info->pid || (kill(info->pid, 0) && errno == ESRCH))
		return "down";
	if (child->core.now_ms > info->heartbeat_ms + 2 * (uint64_t)child->h->conf->velador.heartbeat_ms)
		return "silent";
	return "running";
}

static void ctl_process(struct ctl_client *c, struct out *o, enum shm_kind kind, unsigned index)
{
	static const char *const kinds[] = {
		[SHM_SUPERVISOR] = "supervisor", [SHM_WORKER] = "worker", [SHM_TIMER] = "timer",
		[SHM_RECORDER] = "recorder", [SHM_CONTROL] = "control",
	};
	const struct shm *shm = c->control->child.core.shm;
	struct shm_proc_info info;

	shm_proc_info(shm, shm_proc_slot(shm, kind, index), &info);
	json_object_open(o);
	member_str(o, "kind", str_of(kinds[kind]));
	member_u64(o, "index", index);
	member_u64(o, "pid", (uint64_t)info.pid);
	member_u64(o, "restarts", info.incarnation ? info.incarnation - 1 : 0);
	member_str(o, "state", str_of(process_state(c, &info)));
	json_object_close(o);
}

static uint64_t uptime_s(const struct ctl_client *c)
{
	return (c->control->child.core.now_ms - c->control->child.h->started_ms) / 1000;
}

static int ctl_status(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	const struct child *child = &c->control->child;

	(void)arg;
	(void)why;
	json_object_open(&c->o);
	json_key(&c->o, "processes");
	json_array_open(&c->o);
	ctl_process(c, &c->o, SHM_SUPERVISOR, 0);
	for (unsigned i = 0; i < child->h->workers; i++)
		ctl_process(c, &c->o, SHM_WORKER, i);
	for (enum shm_kind kind = SHM_TIMER; kind <= SHM_CONTROL; kind++)
		ctl_process(c, &c->o, kind, 0);
	json_array_close(&c->o);
	member_u64(&c->o, "calls", shm_objects_live(child->core.shm));
	member_u64(&c->o, "uptime_s", uptime_s(c));
	member_str(&c->o, "version", STR(PACKAGE_VERSION));
	json_object_close(&c->o);
	return 0;
}

/* ------------------------------------------------------------------------------------------ calls */
static void call_element(struct ctl_client *c, struct out *o, uint32_t at)
{
	size_t before = o->n;

	if (view_call_brief(o, &c->control->child.core, at))
		o->n = before;
}

static int ctl_calls(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	(void)arg;
	(void)why;
	return ctl_list(c, call_element, shm_slots(c->control->child.core.shm));
}

static int ctl_call(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	const struct core *core = &c->control->child.core;
	uint32_t slot, generation;

	if (view_id_parse(arg, &slot, &generation) || slot >= shm_slots(core->shm))
		return ctl_fail(why, ERR_SYNTAX, "no call has such an id (veladorctl calls lists them)");
	if (view_call_full(&c->o, core, slot, generation))
		return ctl_fail(why, ERR_NOTFOUND, "no such call");
	return 0;
}

/* A held call is free again within microseconds. */
static int ctl_hangup(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	struct child *child = &c->control->child;
	uint32_t slot, generation;
	int err = ERR_BUSY;

	if (view_id_parse(arg, &slot, &generation) || slot >= shm_slots(child->core.shm))
		return ctl_fail(why, ERR_SYNTAX, "no call has such an id (veladorctl calls lists them)");
	for (int i = 0; i < HANGUP_TRIES && err == ERR_BUSY; i++) {
		child_make_room(child);
		err = core_hangup(&child->core, slot, generation);
		if (err == ERR_BUSY)
			uv_sleep(1);
	}
	if (err == ERR_BUSY)
		return ctl_fail(why, ERR_DENIED, "another process works on this call; try again");
	if (err)
		return ctl_fail(why, ERR_NOTFOUND, "no such call");
	json_object_open(&c->o);
	member_str(&c->o, "hangup", arg);
	json_object_close(&c->o);
	return 0;
}

/* ------------------------------------------------------------------------------------------ gateways, endpoints */
static void gateway_element(struct ctl_client *c, struct out *o, uint32_t at)
{
	static const char *const roles[] = { "both", "caller", "callee" };
	const struct core *core = &c->control->child.core;
	const struct route_gateway *g = route_gateway(core->route, at);
	const struct shm_gateway *entry = shm_gateway(core->shm, at);

	if (!g)
		return;
	json_object_open(o);
	member_str(o, "name", str_of(g->name));
	json_key(o, "address");
	json_addr(o, &g->addr);
	member_str(o, "role", str_of(roles[g->role]));
	json_key(o, "available");
	json_bool(o, entry->available);
	json_key(o, "why");
	json_null(o);
	json_key(o, "since");
	json_time(o, entry->since_ms ? core->wall_ms - core->now_ms + entry->since_ms : 0);
	json_key(o, "until");
	json_null(o);
	member_u64(o, "calls", shm_gateway_calls(core->shm, at));
	json_object_close(o);
}

static int ctl_gateways(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	(void)arg;
	(void)why;
	return ctl_list(c, gateway_element, SHM_GATEWAYS_MAX);
}

static void endpoint_element(struct ctl_client *c, struct out *o, uint32_t at)
{
	struct shm_endpoint_info info;

	if (!shm_endpoint_info(c->control->child.core.shm, at, &info))
		return;
	json_object_open(o);
	json_key(o, "address");
	json_addr(o, &info.addr);
	member_u64(o, "t1_ms", info.t1_ms);
	member_u64(o, "srtt_ms", info.srtt_ms);
	member_u64(o, "rttvar_ms", info.rttvar_ms);
	member_u64(o, "samples", info.samples);
	json_object_close(o);
}

static int ctl_endpoints(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	(void)arg;
	(void)why;
	return ctl_list(c, endpoint_element, shm_endpoints(c->control->child.core.shm));
}

/* ------------------------------------------------------------------------------------------ stats */
static int ctl_stats(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	const struct child *child = &c->control->child;
	const struct shm *shm = child->core.shm;
	uint64_t used_bytes, all_bytes, calls = shm_objects_live(shm);

	(void)arg;
	(void)why;
	shm_heap_usage(shm, &used_bytes, &all_bytes);
	json_object_open(&c->o);
	for (unsigned i = 0; i < CNT_COUNT; i++)
		member_u64(&c->o, counter_name((enum counter)i), shm_counter(shm, (enum counter)i));
	member_u64(&c->o, "calls", calls);
	member_u64(&c->o, "calls_max", child->h->conf->velador.max_calls);
	member_u64(&c->o, "objects", shm_objects_used(shm));
	member_u64(&c->o, "heap_used_bytes", used_bytes);
	member_u64(&c->o, "heap_bytes", all_bytes);
	member_u64(&c->o, "bytes_per_call", calls ? used_bytes / calls + SHM_SLOT_BYTES : 0);
	member_u64(&c->o, "uptime_s", uptime_s(c));
	member_u64(&c->o, "workers", child->h->workers);
	json_object_close(&c->o);
	return 0;
}

/* ------------------------------------------------------------------------------------------ reload, later ones */
static int ctl_reload(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	struct sup_request request = { .asker = getpid(), .number = ++c->control->reload_number };

	(void)arg;
	if (send(c->control->child.h->request_fd, &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return ctl_fail(why, ERR_SYSTEM, "the supervisor takes no requests");
	c->reload_number = request.number;
	return ERR_BUSY;
}

static int ctl_empty(struct ctl_client *c, struct str arg, char why[CTL_WHY])
{
	(void)arg;
	(void)why;
	json_array_open(&c->o);
	json_array_close(&c->o);
	return 0;
}

static const struct {
	const char *name;
	bool wants_argument;
	int (*run)(struct ctl_client *c, struct str arg, char why[CTL_WHY]);
} commands[] = {
	{ "status", false, ctl_status }, { "calls", false, ctl_calls }, { "call", true, ctl_call },
	{ "gateways", false, ctl_gateways }, { "endpoints", false, ctl_endpoints }, { "stats", false, ctl_stats },
	{ "hangup", true, ctl_hangup }, { "reload", false, ctl_reload }, { "check", false, ctl_check },
	{ "quarantine", false, ctl_empty }, { "events", false, ctl_empty },
};

int ctl_command(struct ctl_client *c, struct str line, char why[CTL_WHY])
{
	size_t space = str_chr(line, ' ');
	struct str name = str_head(line, space), arg = str_trim(str_from(line, space));

	for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (!str_eq(name, str_of(commands[i].name)))
			continue;
		if (commands[i].wants_argument != (arg.n > 0)) {
			snprintf(why, CTL_WHY, "%s takes %s", commands[i].name, arg.n ? "no argument" : "a call's id");
			return ERR_SYNTAX;
		}
		return commands[i].run(c, arg, why);
	}
	snprintf(why, CTL_WHY, "there is no command %.*s", STR_FMT(str_head(name, 40)));
	return ERR_NOTFOUND;
}
