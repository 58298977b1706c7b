/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The map: sizes, creation, what the header keeps. */
#include "shm/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

enum { KINDS_BUT_WORKER = 4 };

/* Huge pages spare the processes most of their address look-ups and of their page faults: a tenth of the CPU time of a call. The kernel joins pages
 * in some 10 ms each; smaller arenas gain nothing, and a start must not take long. */
enum { HUGE_BYTES = 2 << 20, HUGE_FROM_BYTES = 128 << 20, HUGE_MS = 3000 };

static uint64_t pages(uint64_t bytes)
{
	return (bytes + SHM_PAGE - 1) / SHM_PAGE * SHM_PAGE;
}

static uint64_t place(uint64_t *end, uint64_t bytes)
{
	uint64_t at = *end;

	*end += pages(bytes);
	return at;
}

static uint64_t summaries(uint32_t slots)
{
	return (slots + SHM_BOARD_BLOCK - 1) / SHM_BOARD_BLOCK;
}

/* What a settled call with two short descriptions keeps, for each slot. A call that is being set up, changed or refreshed keeps more for a while, and so does one with long
 * descriptions: of few calls all may do so at once, of very many only a part. A heap that is full would let no call change any more, not even end. */
static uint64_t heap_bytes(uint32_t slots)
{
	enum { BASE = 16 << 20, SETTLED = 1472, BUSY = 2560, BUSY_SLOTS = 1 << 17 };

	return BASE + (uint64_t)slots * SETTLED + (uint64_t)(slots < BUSY_SLOTS ? slots : BUSY_SLOTS) * BUSY;
}

static int lay_out(struct shm_header *h, const struct shm_params *params)
{
	uint64_t heap = params->heap_bytes ? params->heap_bytes : heap_bytes(params->slots);
	uint64_t end = pages(sizeof *h);

	if (params->slots < 64 || params->slots > 16u << 20 || params->workers_max < 1 || params->workers_max > 64)
		return ERR_RANGE;
	if (params->endpoints > 1u << 20 || heap > 128ull << 30)
		return ERR_RANGE;
	h->version = SHM_LAYOUT_VERSION;
	h->layout_hash = SHM_LAYOUT_HASH;
	h->slots = params->slots;
	h->endpoints = params->endpoints ? params->endpoints : 4096;
	h->workers_max = params->workers_max;
	h->nprocs = params->workers_max + KINDS_BUT_WORKER;
	h->chunks = (uint32_t)((heap + SHM_CHUNK_BYTES - 1) / SHM_CHUNK_BYTES);
	h->buckets = (uint32_t)(((uint64_t)params->slots * SHM_INDEX_PER_SLOT + SHM_BUCKET - 1) / SHM_BUCKET);
	h->procs_at = place(&end, (uint64_t)h->nprocs * sizeof(struct shm_proc));
	h->journals_at = place(&end, (uint64_t)h->workers_max * sizeof(struct shm_journal));
	h->slots_at = place(&end, (uint64_t)h->slots * sizeof(struct shm_slot));
	h->slot_hints_at = place(&end, ((uint64_t)h->slots + 63) / 64 * 8);
	h->deadlines_at = place(&end, (uint64_t)h->slots * 8);
	h->summaries_at = place(&end, summaries(h->slots) * 8);
	h->index_at = place(&end, ((uint64_t)h->buckets + SHM_WINDOW - 1) * SHM_BUCKET * 8);
	h->endpoints_at = place(&end, (uint64_t)h->endpoints * sizeof(struct shm_endpoint));
	h->chunk_class_at = place(&end, ((uint64_t)h->chunks + 1) * 4);
	h->chunk_hints_at = place(&end, ((uint64_t)h->chunks + 1) * sizeof(struct shm_chunk_hints));
	h->heap_at = place(&end, (uint64_t)h->chunks * SHM_CHUNK_BYTES);
	h->bytes = end;
	h->epoch = 1;
	return 0;
}

static void draw_keys(struct shm_header *h)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	BUG_ON(getrandom(&h->key_index, sizeof h->key_index, 0) != (ssize_t)sizeof h->key_index);
	BUG_ON(getrandom(&h->key_check, sizeof h->key_check, 0) != (ssize_t)sizeof h->key_check);
	if (fd < 0)
		return;
	n = read(fd, h->boot_id, sizeof h->boot_id - 1);
	h->boot_id[n > 0 ? n : 0] = 0;
	h->boot_id[strcspn(h->boot_id, "\n")] = 0;
	close(fd);
}

static void find_sections(struct shm *shm, char *base)
{
	struct shm_header *h = shm->header;

	shm->procs = base + h->procs_at;
	shm->journals = base + h->journals_at;
	shm->slots = (void *)(base + h->slots_at);
	shm->slot_hints = (void *)(base + h->slot_hints_at);
	shm->deadlines = (void *)(base + h->deadlines_at);
	shm->summaries = (void *)(base + h->summaries_at);
	shm->index = (void *)(base + h->index_at);
	shm->endpoints = (void *)(base + h->endpoints_at);
	shm->chunk_class = (void *)(base + h->chunk_class_at);
	shm->chunk_hints = (void *)(base + h->chunk_hints_at);
	shm->heap = base + h->heap_at - SHM_CHUNK_BYTES; /* chunks count from 1, so that index 0 is no block */
	shm->nslots = h->slots;
	shm->nsummaries = (uint32_t)summaries(h->slots);
	shm->nchunks = h->chunks;
	shm->nbuckets = h->buckets;
	shm->nprocs = h->nprocs;
	shm->bytes = h->bytes;
}

static int64_t clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* At an address where huge pages may begin. */
static void *map_aligned(uint64_t bytes, int flags, int fd)
{
	uintptr_t room = (uintptr_t)mmap(NULL, bytes + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), at;

	if ((void *)room == MAP_FAILED)
		return MAP_FAILED;
	at = (room + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1);
	if (at > room)
		munmap((void *)room, at - room);
	munmap((void *)(at + bytes), room + HUGE_BYTES - at);
	return mmap((void *)at, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
}

/* Joins small pages, from the front, as long as the kernel does it and there is time. Nobody else may use the map yet. */
static void join_pages(char *base, uint64_t bytes)
{
	int64_t until_ms = clock_ms(CLOCK_MONOTONIC) + HUGE_MS;

	if (bytes < HUGE_FROM_BYTES)
		return;
	for (uint64_t at = 0; at + HUGE_BYTES <= bytes && clock_ms(CLOCK_MONOTONIC) < until_ms; at += HUGE_BYTES)
		if (madvise(base + at, HUGE_BYTES, MADV_COLLAPSE) && errno == EINVAL)
			return;
}

/* Maps `bytes` of a new file, its pages allocated, or of anonymous memory. The file is locked before it takes time, so that nobody takes it for a former run's. */
static int map_new(void **base, int *file, const char *path, uint64_t bytes)
{
	int fd = -1, error, flags = MAP_SHARED;

	bytes = pages(bytes);
	if (!path) {
		flags |= MAP_ANONYMOUS | MAP_NORESERVE;
	} else {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			return errno == EEXIST ? ERR_EXISTS : ERR_SYSTEM;
		error = flock(fd, LOCK_EX | LOCK_NB) ? errno : posix_fallocate(fd, 0, (off_t)bytes);
		if (error)
			goto failed;
	}
	*base = map_aligned(bytes, flags, fd);
	error = *base == MAP_FAILED ? errno : 0;
	if (error)
		goto failed;
	if (path) {
		join_pages(*base, bytes);
		for (uint64_t at = 0; at < bytes; at += SHM_PAGE) /* entered here, inherited or entered again by the others */
			(void)uatomic_read((uint64_t *)(*(char **)base + at));
	}
	*file = fd;
	return 0;
failed:
	if (fd >= 0) {
		unlink(path);
		close(fd);
	}
	errno = error;
	return ERR_SYSTEM;
}

int shm_create(struct shm **shm, const char *path, const struct shm_params *params)
{
	struct shm_header *sizes = calloc(1, sizeof *sizes);
	struct shm *s = calloc(1, sizeof *s);
	void *base = NULL;
	int err = sizes && s ? lay_out(sizes, params) : ERR_SYSTEM;

	if (!err && path && !(s->path = strdup(path)))
		err = ERR_SYSTEM;
	if (!err)
		err = map_new(&base, &s->fd, path, sizes->bytes);
	if (err) {
		free(s ? s->path : NULL);
		free(s);
		free(sizes);
		return err;
	}
	draw_keys(sizes);
	sizes->wall_offset_ms = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
	memcpy(base, sizes, sizeof *sizes);
	free(sizes);
	s->header = base;
	find_sections(s, base);
	memset(s->deadlines, 0xff, (size_t)s->nslots * 8); /* SHM_NEVER */
	memset(s->summaries, 0xff, (size_t)s->nsummaries * 8);
	cmm_smp_wmb();
	s->header->magic = SHM_MAGIC;
	*shm = s;
	return 0;
}

bool shm_prefault(const struct shm *shm, uint64_t *at, uint64_t bytes)
{
	uint64_t left = shm->bytes - *at;

	bytes = bytes < left ? bytes : left;
#ifdef MADV_POPULATE_WRITE
	if (madvise((char *)shm->header + *at, bytes, MADV_POPULATE_WRITE))
		return false; /* an older kernel: the pages come one by one */
	*at += bytes;
	return *at < shm->bytes;
#else
	return false;
#endif
}

void shm_close(struct shm *shm, bool unlink_file)
{
	if (unlink_file && shm->path)
		unlink(shm->path);
	munmap(shm->header, shm->bytes);
	if (shm->fd >= 0)
		close(shm->fd);
	free(shm->path);
	free(shm);
}

const struct siphash_key *shm_key_index(const struct shm *shm)
{
	return &shm->header->key_index;
}

const struct siphash_key *shm_key_check(const struct shm *shm)
{
	return &shm->header->key_check;
}

uint32_t shm_slots(const struct shm *shm)
{
	return shm->nslots;
}

struct shm_gateway *shm_gateway(const struct shm *shm, unsigned i)
{
	BUG_ON(i >= SHM_GATEWAYS_MAX);
	return &shm->header->gateways[i];
}
