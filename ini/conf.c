/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/conf.h"

#include "base/err.h"
#include "ini/apply.h"

/* By line, so that the operator goes through the file once; what is from no line comes last. */
static void sort_remarks(struct conf_report *report)
{
	for (unsigned i = 1; i < report->n; i++) {
		struct conf_remark r = report->remark[i];
		unsigned j = i;

		for (; j > 0 && report->remark[j - 1].line - 1 > r.line - 1; j--)
			report->remark[j] = report->remark[j - 1];
		report->remark[j] = r;
	}
}

int conf_read(struct conf **conf, const char *file, const char *const *overrides, struct conf_report *report)
{
	struct conf_lines lines = { NULL, 0 };
	struct conf_apply a = { .conf = calloc(1, sizeof *a.conf), .file = file ? file : "-o", .report = report };
	int err = a.conf ? 0 : ERR_SYSTEM;

	if (!err && file)
		err = conf_lines_read(&lines, file, report);
	for (; !err && overrides && *overrides; overrides++)
		err = conf_lines_override(&lines, *overrides, report);
	if (!err)
		err = conf_apply(&a, &lines);
	if (!err)
		conf_check(&a);
	if (err && !report->errors)
		conf_remark(report, false, a.file, 0, "no memory");
	if (!err && report->errors)
		err = ERR_CONFIG;
	sort_remarks(report);
	conf_lines_release(&lines);
	free(a.gateway_seen);
	if (err)
		conf_free(a.conf);
	else
		*conf = a.conf;
	return err;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	for (unsigned i = 0; i < conf->ngateways; i++)
		free(conf->gateways[i].prefix.a);
	free(conf->gateways);
	free(conf);
}

static void *section_of(struct conf *conf, enum conf_section s)
{
	switch (s) {
	case CONF_S_VELADOR: return &conf->velador;
	case CONF_S_LISTEN: return &conf->listen;
	case CONF_S_RECORD: return &conf->record;
	case CONF_S_SECURITY: return &conf->security;
	default: return &conf->params;
	}
}

void conf_keep_start(struct conf *fresh, const struct conf *running, const char *file, struct conf_report *report)
{
	for (const struct conf_key *k = conf_keys; k < conf_keys + conf_nkeys; k++) {
		char *to;
		const char *from;

		if (k->when != CONF_START || k->section == CONF_S_GATEWAY)
			continue;
		to = (char *)section_of(fresh, k->section) + k->offset;
		from = (const char *)section_of((struct conf *)(uintptr_t)running, k->section) + k->offset;
		if (memcmp(to, from, k->bytes) == 0)
			continue;
		memcpy(to, from, k->bytes);
		conf_remark(report, true, file, 0, "%s.%s: changed only by a restart; the running value stays",
			    conf_section_name(k->section), k->name);
	}
	conf_bind_listen(fresh, file, true, report);
}

const struct addr *conf_listen_addr(const struct conf *conf, unsigned i)
{
	const struct conf_listen *l = &conf->listen;

	if (i < l->udp.n)
		return &l->udp.a[i];
	i -= l->udp.n;
	return i < l->tcp.n ? &l->tcp.a[i] : NULL;
}
