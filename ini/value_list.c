/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ini/value_list.h"

#include "base/err.h"
#include "ini/value.h"

enum { SIP_PORT = 5060 };

static bool separates(char c)
{
	return c == ',' || c == ' ' || c == '\t';
}

/* Takes the next item off a list; false at its end. */
static bool next_item(struct str *rest, struct str *item)
{
	size_t from = 0, to;

	while (from < rest->n && separates(rest->p[from]))
		from++;
	to = from;
	while (to < rest->n && !separates(rest->p[to]))
		to++;
	*item = str_make(rest->p + from, to - from);
	*rest = str_from(*rest, to);
	return item->n > 0;
}

int value_address(struct addr *field, struct str text)
{
	*field = (struct addr){ .family = 0 };
	return text.n ? addr_parse(field, text, 0) : 0;
}

static int parse_listen(struct addr *a, struct str text)
{
	int err = addr_parse(a, text, SIP_PORT);

	return err ? err : a->port ? 0 : ERR_RANGE;
}

int value_ours(struct conf_ours *field, struct str text)
{
	field->addr = (struct addr){ .family = 0 };
	return text.n ? parse_listen(&field->addr, text) : 0;
}

/* RFC 1123 section 2.1; underscores, which the field has; a last label of digits would be an IP address gone wrong. */
static bool is_host_name(struct str host)
{
	struct str rest = host, label = STR_NONE;
	uint64_t number;

	if (!host.n || host.n > 253)
		return false;
	if (host.p[host.n - 1] == '.')
		rest.n--;
	do {
		label = str_head(rest, str_chr(rest, '.'));
		if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i], lower = (char)(c | 32);
			if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
				return false;
		}
		if (label.n == rest.n)
			break;
		rest = str_from(rest, label.n + 1);
	} while (true);
	return str_u64(label, UINT64_MAX, &number) == ERR_SYNTAX;
}

int value_hostport(struct conf_host *field, struct str text)
{
	size_t colon = str_chr(text, ':');
	struct str host = str_head(text, colon);
	uint64_t port = SIP_PORT;
	struct addr a;
	int err;

	if (!(err = addr_parse(&a, text, SIP_PORT))) {
		struct out o = OUT(field->host, sizeof field->host - 1);
		memset(field, 0, sizeof *field);
		addr_print_host(&o, &a);
		if (a.family == 6) { /* without its brackets, as getaddrinfo takes it */
			memmove(field->host, field->host + 1, o.n - 2);
			memset(field->host + o.n - 2, 0, 2);
		}
		field->port = a.port;
		return a.port ? 0 : ERR_RANGE;
	}
	if (err == ERR_RANGE || !is_host_name(host))
		return err;
	if (colon < text.n && ((err = str_u64(str_from(text, colon + 1), 65535, &port)) || !port))
		return err ? err : ERR_RANGE;
	memset(field, 0, sizeof *field);
	memcpy(field->host, host.p, host.n);
	field->port = (uint16_t)port;
	return 0;
}

int value_stages(const struct conf_key *key, struct conf_stages *field, struct str text, struct str *bad)
{
	struct conf_stages r = { .count = 0 };
	struct str rest = text, item;
	uint64_t ms;
	int err;

	if (str_ieq(text, STR("auto"))) {
		*field = r;
		return 0;
	}
	while (next_item(&rest, &item)) {
		*bad = item;
		if (r.count == PARAMS_STAGES)
			return ERR_FULL;
		if ((err = value_duration(item, &ms)))
			return err;
		if (ms < key->low || ms > key->high)
			return ERR_RANGE;
		r.ms[r.count++] = (uint32_t)ms;
	}
	if (!r.count)
		return ERR_SYNTAX;
	*field = r;
	return 0;
}

int value_listen(struct conf_listen_list *field, struct str text, struct str *bad)
{
	struct str rest = text, item;
	struct addr a;
	int err;

	while (next_item(&rest, &item)) {
		*bad = item;
		if ((err = parse_listen(&a, item)))
			return err;
		for (unsigned i = 0; i < field->n; i++)
			if (addr_eq(&a, &field->a[i]))
				return ERR_EXISTS;
		if (field->n == CONF_LISTEN_MAX)
			return ERR_FULL;
		field->a[field->n++] = a;
	}
	return 0;
}

/* Bits beyond the prefix length are cleared, so that equal networks are equal bytes. */
static void net_mask(struct addr_net *net)
{
	for (unsigned bit = net->bits; bit < 128; bit++)
		net->net.ip[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}

int value_nets(struct conf_nets *field, struct str text, struct str *bad)
{
	struct str rest = text, item;
	struct addr_net net;
	int err;

	while (next_item(&rest, &item)) {
		*bad = item;
		memset(&net, 0, sizeof net);
		if ((err = addr_net_parse(&net, item)))
			return err;
		net_mask(&net);
		for (unsigned i = 0; i < field->n; i++)
			if (net.bits == field->a[i].bits && addr_eq(&net.net, &field->a[i].net))
				return ERR_EXISTS;
		if (field->n == CONF_SOURCES_MAX)
			return ERR_FULL;
		field->a[field->n++] = net;
	}
	return 0;
}

int value_prefixes(struct conf_prefixes *field, struct str text, struct str *bad)
{
	struct str rest = text, item;

	while (next_item(&rest, &item)) {
		*bad = item;
		if (item.n >= CONF_PREFIX)
			return ERR_RANGE;
		if (field->n == CONF_PREFIXES_MAX)
			return ERR_FULL;
		if (field->n % 64 == 0) {
			void *more = realloc(field->a, (field->n + 64) * sizeof *field->a);
			if (!more)
				return ERR_SYSTEM;
			field->a = more;
		}
		memset(field->a[field->n], 0, CONF_PREFIX);
		memcpy(field->a[field->n++], item.p, item.n);
	}
	return 0;
}
