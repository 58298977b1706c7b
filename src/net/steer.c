/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Classic BPF has no loops and only short conditional jumps, so the search is unrolled: one word of the datagram is looked at every four
 * bytes. Whatever the alignment of "\nCall-I", that word is one of four; a hit is verified on the spot, since "Call-Info" and texts
 * like "Call" look alike. A load beyond the end would end the program with 0 (worker 0), so the length is checked every 32 bytes. */
#include "net/steer.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/bug.h"
#include "base/err.h"

enum {
	STRIDE_BYTES = 4,
	CHECK_EVERY = 32,
	LOOK_AHEAD = CHECK_EVERY + 8,   /* the last group of a block may verify this far */
	VALUE_AT = 10,                  /* "\nCall-ID: " */
	GROUP_CODE = 18,
	MEM_HASH = 0, MEM_AT = 1,
	MULTIPLIER = 0x9e3779b1,        /* 2^32 / golden ratio: spreads the low bits upwards */
	FOLD_BITS = 15,
};

struct program {
	struct sock_filter *code;
	unsigned n;
	unsigned found[STEER_SCAN / STRIDE_BYTES], nfound;   /* jumps to be pointed at the hash */
	unsigned missed[STEER_SCAN / CHECK_EVERY + 1], nmissed; /* jumps to the fallback */
};

static void emit(struct program *p, uint16_t op, uint32_t k)
{
	BUG_ON(p->n >= STEER_CODE_MAX);
	p->code[p->n++] = (struct sock_filter){ .code = op, .k = k };
}

/* A conditional jump; jt and jf count from the next instruction. */
static void emit_if(struct program *p, uint16_t op, uint32_t k, unsigned jt, unsigned jf)
{
	BUG_ON(jt > 255 || jf > 255);
	emit(p, BPF_JMP | op | BPF_K, k);
	p->code[p->n - 1].jt = (uint8_t)jt;
	p->code[p->n - 1].jf = (uint8_t)jf;
}

static uint32_t word(const char *text)
{
	return (uint32_t)(unsigned char)text[0] << 24 | (uint32_t)(unsigned char)text[1] << 16 |
		(uint32_t)(unsigned char)text[2] << 8 | (unsigned char)text[3];
}

/* Leaves for the fallback where fewer than `bytes` bytes are left. */
static void emit_length_check(struct program *p, uint32_t bytes)
{
	emit(p, BPF_LD | BPF_W | BPF_LEN, 0);
	emit_if(p, BPF_JGE, bytes, 1, 0);
	p->missed[p->nmissed++] = p->n;
	emit(p, BPF_JMP | BPF_JA, 0);
}

/* Looks at the word at offset `at`; a hit goes on with X = offset of the line feed before "Call-ID". */
static void emit_group(struct program *p, uint32_t at)
{
	static const char window[] = "\nCall-I";
	unsigned start = p->n, verify = start + 12, next = start + GROUP_CODE;

	emit(p, BPF_LD | BPF_W | BPF_ABS, at);
	for (unsigned k = 0; k < 4; k++)
		emit_if(p, BPF_JEQ, word(window + k), start + 5 + 2 * k - (p->n + 1), k < 3 ? 0 : next - (p->n + 1));
	for (unsigned k = 0; k < 4; k++) {
		emit(p, BPF_LDX | BPF_W | BPF_IMM, at >= k ? at - k : 0);
		if (k < 3)
			emit(p, BPF_JMP | BPF_JA, verify - (p->n + 1));
	}
	emit(p, BPF_LD | BPF_W | BPF_IND, 0);
	emit_if(p, BPF_JEQ, word("\nCal"), 0, next - (p->n + 1));
	emit(p, BPF_LD | BPF_W | BPF_IND, 4);
	emit(p, BPF_ALU | BPF_OR | BPF_K, 0x20);
	emit_if(p, BPF_JEQ, word("l-Id"), 0, next - (p->n + 1));
	p->found[p->nfound++] = p->n;
	emit(p, BPF_JMP | BPF_JA, 0);
	BUG_ON(p->n != next);
}

/* hash = (hash ^ A) * MULTIPLIER; X is lost, A too. fold: its upper bits into the lower, for a product carries upwards only, and Call-IDs that are counted up may differ
 * in the first byte of a word alone. */
static void emit_mix(struct program *p, bool fold)
{
	emit(p, BPF_MISC | BPF_TAX, 0);
	emit(p, BPF_LD | BPF_MEM, MEM_HASH);
	emit(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	emit(p, BPF_ALU | BPF_MUL | BPF_K, MULTIPLIER);
	if (fold) {
		emit(p, BPF_MISC | BPF_TAX, 0);
		emit(p, BPF_ALU | BPF_RSH | BPF_K, FOLD_BITS);
		emit(p, BPF_ALU | BPF_XOR | BPF_X, 0);
	}
	emit(p, BPF_ST, MEM_HASH);
}

/* Ends with the hash brought into 0..workers-1. */
static void emit_return(struct program *p, unsigned workers)
{
	emit(p, BPF_LD | BPF_MEM, MEM_HASH);
	emit(p, BPF_ALU | BPF_MOD | BPF_K, workers);
	emit(p, BPF_RET | BPF_A, 0);
}

/* X = offset of the line feed. Hashes the value up to its end of line, at most STEER_HASHED bytes: what follows a short Call-ID differs from
 * message to message. */
static void emit_hash(struct program *p, unsigned workers)
{
	unsigned ends[STEER_HASHED], partial[STEER_HASHED], n = 0;

	emit(p, BPF_STX, MEM_AT);
	for (unsigned at = 0; at < STEER_HASHED; at += 4) {
		for (unsigned b = 0; b < 4; b++) {
			emit(p, BPF_LD | BPF_B | BPF_IND, VALUE_AT + at + b);
			ends[n++] = p->n;
			emit_if(p, BPF_JEQ, '\r', 0, 0);
		}
		emit(p, BPF_LD | BPF_W | BPF_IND, VALUE_AT + at);
		emit_mix(p, true);
		emit(p, BPF_LDX | BPF_W | BPF_MEM, MEM_AT);
	}
	emit_return(p, workers);
	for (unsigned i = 0; i < STEER_HASHED; i++) {
		partial[i] = p->n;
		if (i % 4) {
			emit(p, BPF_LD | BPF_W | BPF_IND, VALUE_AT + i - i % 4);
			emit(p, BPF_ALU | BPF_RSH | BPF_K, 8 * (4 - i % 4));
			emit_mix(p, true);
		}
		emit_return(p, workers);
	}
	for (unsigned i = 0; i < STEER_HASHED; i++) {
		BUG_ON(partial[i] - (ends[i] + 1) > 255);
		p->code[ends[i]].jt = (uint8_t)(partial[i] - (ends[i] + 1));
	}
}

/* Source address and port, read from the network header that lies before the data. */
static void emit_fallback(struct program *p, unsigned workers, bool ipv6)
{
	static const int v4[] = { 12, 20, -1 }, v6[] = { 8, 12, 16, 20, 40, -1 };

	for (const int *at = ipv6 ? v6 : v4; *at >= 0; at++) {
		bool ports = at[1] < 0;
		emit(p, BPF_LD | BPF_ABS | (ports ? BPF_H : BPF_W), (uint32_t)(SKF_NET_OFF + *at));
		emit_mix(p, ports);
	}
	emit_return(p, workers);
}

unsigned steer_program(struct sock_filter code[STEER_CODE_MAX], const struct steer *steer, bool ipv6)
{
	struct program p = { .code = code };
	unsigned hash, miss;

	BUG_ON(!steer->workers || steer->scan > STEER_SCAN);
	emit(&p, BPF_LD | BPF_W | BPF_IMM, steer->seed);
	emit(&p, BPF_ST, MEM_HASH);
	for (uint32_t at = STRIDE_BYTES; at < steer->scan; at += STRIDE_BYTES) {
		if (at % CHECK_EVERY == STRIDE_BYTES)
			emit_length_check(&p, at + LOOK_AHEAD);
		emit_group(&p, at);
	}
	p.missed[p.nmissed++] = p.n;
	emit(&p, BPF_JMP | BPF_JA, 0);
	hash = p.n;
	emit_hash(&p, steer->workers);
	miss = p.n;
	emit_fallback(&p, steer->workers, ipv6);
	for (unsigned i = 0; i < p.nfound; i++)
		code[p.found[i]].k = hash - (p.found[i] + 1);
	for (unsigned i = 0; i < p.nmissed; i++)
		code[p.missed[i]].k = miss - (p.missed[i] + 1);
	return p.n;
}

int steer_attach(int fd, struct steer *steer, bool ipv6)
{
	struct sock_filter code[STEER_CODE_MAX];
	struct sock_fprog program = { .filter = code };

	for (steer->scan = STEER_SCAN;; steer->scan -= CHECK_EVERY) {
		program.len = (unsigned short)steer_program(code, steer, ipv6);
		if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0)
			return 0;
		if (errno != ENOMEM || steer->scan < CHECK_EVERY)
			return ERR_SYSTEM;
	}
}
