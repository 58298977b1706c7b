/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"
#include "route/internal.h"

static int compare_text(const struct route_prefix *x, struct str text)
{
	size_t n = x->n < text.n ? x->n : text.n;
	int c = n ? memcmp(x->text, text.p, n) : 0;

	return c ? c : (int)x->n - (int)text.n;
}

static int compare(const void *p, const void *q)
{
	const struct route_prefix *x = p, *y = q;
	int c = compare_text(x, str_make(y->text, y->n));

	if (c)
		return c;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (int)x->order - (int)y->order;
}

static void add(struct route_prefixes *t, const struct route *route, unsigned number, const char *text)
{
	const struct route_gateway *g = route->by_number[number];
	struct route_prefix *p = &t->a[t->n++];

	p->n = (uint8_t)strlen(text);
	memcpy(p->text, text, p->n);
	p->gateway = (uint16_t)number;
	p->priority = (uint16_t)g->conf->priority;
	p->weight = (uint16_t)g->conf->weight;
	p->order = (uint16_t)(g - route->gateways);
	t->lengths |= 1u << p->n;
}

/* A gateway that names a prefix twice has it once. */
static void drop_repeats(struct route_prefixes *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (!n || compare(&t->a[n - 1], &t->a[i]) != 0)
			t->a[n++] = t->a[i];
	t->n = n;
}

int route_prefixes_build(struct route *route)
{
	struct route_prefixes *t = &route->prefixes;
	size_t room = 1;

	_Static_assert(CONF_PREFIX <= 32, "lengths has a bit for each length");
	for (unsigned i = 0; i < route->conf->ngateways; i++)
		room += route->conf->gateways[i].prefix.n + 1;
	if (!(t->a = calloc(room, sizeof *t->a)))
		return ERR_SYSTEM;
	for (unsigned i = 0; i < SHM_GATEWAYS_MAX; i++) {
		const struct route_gateway *g = route->by_number[i];
		if (!g || g->role == CONF_ROLE_CALLER)
			continue;
		for (unsigned k = 0; k < g->conf->prefix.n; k++)
			add(t, route, i, g->conf->prefix.a[k]);
		if (!g->conf->prefix.n)
			add(t, route, i, "");
	}
	qsort(t->a, t->n, sizeof *t->a, compare);
	drop_repeats(t);
	return 0;
}

/* The first entry of exactly this prefix, or NULL. */
static const struct route_prefix *find(const struct route_prefixes *t, struct str text)
{
	unsigned low = 0, high = t->n;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		if (compare_text(&t->a[mid], text) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->n && compare_text(&t->a[low], text) == 0 ? &t->a[low] : NULL;
}

static const struct route_prefix *find_longest(const struct route_prefixes *t, struct str dialed)
{
	const struct route_prefix *found = NULL;
	size_t n = dialed.n < CONF_PREFIX ? dialed.n : CONF_PREFIX - 1;

	for (size_t length = n + 1; !found && length-- > 0;)
		if (t->lengths >> length & 1)
			found = find(t, str_head(dialed, length));
	return found;
}

/* splitmix64: a stream of well mixed numbers from one. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

struct draw {
	uint64_t random;
	uint32_t weights;               /* of those in the hat */
	unsigned n;
	const struct route_prefix *hat[SHM_GATEWAYS_MAX];
};

/* Draws all that are in the hat by weight, each once, as far as they fit into the list. */
static unsigned draw(struct draw *d, uint16_t *list, unsigned max)
{
	unsigned done = 0;

	while (d->n && done < max) {
		uint32_t at = (uint32_t)((next_random(&d->random) >> 32) * d->weights >> 32);
		unsigned i = 0;

		while (at >= d->hat[i]->weight)
			at -= d->hat[i++]->weight;
		list[done++] = d->hat[i]->gateway;
		d->weights -= d->hat[i]->weight;
		memmove(&d->hat[i], &d->hat[i + 1], (--d->n - i) * sizeof d->hat[0]);
	}
	d->n = 0;
	d->weights = 0;
	return done;
}

static bool is_available(const struct route *route, unsigned gateway)
{
	return __atomic_load_n(&shm_gateway(route->shm, gateway)->available, __ATOMIC_RELAXED) != 0;
}

unsigned route_candidates(const struct route *route, struct str dialed, uint64_t random, uint16_t *list, unsigned max)
{
	const struct route_prefixes *t = &route->prefixes;
	const struct route_prefix *p = find_longest(t, dialed), *end = t->a + t->n, *first = p;
	struct draw d;
	unsigned n = 0;

	d.random = random;
	d.weights = 0;
	d.n = 0;
	for (; p && p < end && n < max && compare_text(p, str_make(first->text, first->n)) == 0; p++) {
		if (d.n && p->priority != d.hat[0]->priority)
			n += draw(&d, list + n, max - n);
		if (!is_available(route, p->gateway))
			continue;
		d.hat[d.n++] = p;
		d.weights += p->weight;
	}
	return n + draw(&d, list + n, max - n);
}

bool route_has_match(const struct route *route, struct str dialed)
{
	return find_longest(&route->prefixes, dialed) != NULL;
}
