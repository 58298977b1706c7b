/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Death and interruption at injection points. A process that dies never comes back from its turn: longjmp() to the guard, and what was on its
 * stack is forgotten as the kernel forgets a killed process. One that is interrupted waits while another has a turn,
 * as on a machine whose scheduler takes the processor away at the worst moment. */
#include "base/inject.h"
#include "sim.h"

enum {
	SAFE_PASSES = 300, /* of a process after its death: enough to finish what it left */
	SAFE_PASSES_A_SLOT = 3, /* and for a timer process to look at every object once */
	DEPTH_MAX = 3,     /* turns within turns */
};

static struct sim *hooked;

static void hook(const char *point)
{
	if (hooked)
		kill_point(hooked, point);
}

/* Geometric waiting times look like a stranger's kill -9: no point is spared for long. */
static uint64_t draw(struct sim *s, unsigned every)
{
	return every ? s->passes + 1 + rng_below(&s->kill_rng, 2 * every) : UINT64_MAX;
}

void kill_open(struct sim *s)
{
	hooked = s;
	inject_hook = hook;
	kill_rearm(s);
}

void inject_off(void)
{
	hooked = NULL;
	inject_hook = NULL;
}

void kill_rearm(struct sim *s)
{
	s->kill_at = draw(s, s->plan.kill_every);
	s->interrupt_at = draw(s, s->plan.interrupt_every);
}

static void interrupt(struct sim *s, const char *point)
{
	unsigned first = rng_below(&s->kill_rng, s->nprocs);

	s->interrupt_at = draw(s, s->plan.interrupt_every);
	if (s->depth >= DEPTH_MAX)
		return;
	for (unsigned i = 0; i < s->nprocs; i++) {
		struct proc *p = &s->procs[(first + i) % s->nprocs];
		if (!p->alive || p->inside)
			continue;
		if ((p->kind == SHM_WORKER && !p->head) || (p->kind == SHM_CONTROL && !s->admin))
			continue;
		sim_say(s, "interrupted at %s by %d.%u", point, (int)p->kind, p->index);
		s->stats->interruptions++;
		proc_turn(s, p);
		return;
	}
}

void kill_point(struct sim *s, const char *point)
{
	struct proc *p = s->running;

	if (!p || s->failed)
		return;
	s->passes++;
	p->passes++;
	if (s->passes >= s->interrupt_at)
		interrupt(s, point);
	if (s->passes < s->kill_at)
		return;
	s->kill_at = draw(s, s->plan.kill_every);
	if (p->passes < p->safe_until_pass)
		return;
	p->safe_until_pass = p->passes + SAFE_PASSES + (uint64_t)SAFE_PASSES_A_SLOT * s->plan.slots;
	sim_say(s, "death of %d.%u at %s", (int)p->kind, p->index, point);
	s->stats->kills++;
	longjmp(p->death, 1);
}

bool kill_guard(struct sim *s, struct proc *p, void (*turn)(struct sim *, struct proc *))
{
	struct proc *volatile outer = s->running;
	volatile unsigned depth = s->depth;
	volatile bool lived = false;

	s->running = p;
	p->inside = true;
	if (setjmp(p->death) == 0) {
		s->depth++;
		turn(s, p);
		lived = true;
	}
	s->depth = depth;
	p->inside = false;
	s->running = outer;
	return lived;
}

void kill_mortal(struct proc *p)
{
	if (p->safe_until_pass > p->passes + SAFE_PASSES)
		p->safe_until_pass = p->passes + SAFE_PASSES;
}
