/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The recorder: the one process that waits for a disk. Takes notices of ended calls, writes their lines at the offset kept in the arena, and commits
 * offset and calls together; what a dead recorder wrote without commit is written over. */
#include "proc/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/inject.h"
#include "call/view.h"
#include "proc/child.h"
#include "proc/log.h"

enum {
	TICK_MS = 100,
	LEAVE_MS = 1000,
	RETRY_MS = 500,           /* with a disk that takes nothing */
	BATCH = 256,              /* records in one commit */
	TEXT_BYTES = 1 << 20,
	LINE_BYTES = 64 * 1024,   /* room kept for one more record */
	BATCHES_A_TURN = 16,
	SCAN_SLOTS = 1 << 16,     /* objects looked at in one go */
};

struct recorder {
	struct child child;
	uv_timer_t tick;
	const char *path;
	enum record_format format;
	int fd;                            /* -1 = not open */
	struct shm_record_file file;       /* offset: up to where the file is committed */
	bool failing;                      /* said so in the log */
	uint64_t leave_by_ms;
	uint32_t scan_at;                  /* objects below were looked at; see rec_scan */
	/* the batch; kept until it is written */
	uint32_t slots[BATCH], generations[BATCH];
	unsigned n;
	struct out text;
	char bytes[TEXT_BYTES];
};

static void rec_delay(struct recorder *r, const char *what)
{
	shm_count(r->child.self, CNT_records_delayed);
	if (!r->failing)
		log_error("record file %s: %s: %s; records wait", r->path, what, strerror(errno));
	r->failing = true;
	uv_timer_start(&r->tick, r->tick.timer_cb, RETRY_MS, TICK_MS);
}

static void rec_close(struct recorder *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

static int rec_write(struct recorder *r, struct str text)
{
	uint64_t at = r->file.offset;

	while (text.n) {
		ssize_t n = pwrite(r->fd, text.p, text.n, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ENOSPC;
			return ERR_SYSTEM;
		}
		at += (uint64_t)n;
		text = str_from(text, (size_t)n);
		INJECT("rec.written");
	}
	return 0;
}

/* The file that the arena knows goes on at the committed offset, without what stands behind it; another file is continued at its end. */
static int rec_settle(struct recorder *r, const struct stat *st)
{
	if (r->file.device == (uint64_t)st->st_dev && r->file.inode == (uint64_t)st->st_ino &&
	    r->file.offset <= (uint64_t)st->st_size)
		return (uint64_t)st->st_size > r->file.offset && ftruncate(r->fd, (off_t)r->file.offset) ? ERR_SYSTEM : 0;
	r->file = (struct shm_record_file){ (uint64_t)st->st_size, (uint64_t)st->st_dev, (uint64_t)st->st_ino };
	shm_record_open(r->child.self, &r->file);
	return 0;
}

static int rec_open(struct recorder *r)
{
	struct str head = record_csv_head();
	struct stat st;

	/* Locked, since another who writes at an offset of its own would write over our lines. */
	r->fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (r->fd < 0 || flock(r->fd, LOCK_EX | LOCK_NB) || fstat(r->fd, &st) || rec_settle(r, &st))
		goto failed;
	if (r->format == RECORD_CSV && r->file.offset == 0) {
		if (rec_write(r, head))
			goto failed;
		r->file.offset = head.n;
		shm_record_commit(r->child.self, r->file.offset, NULL, NULL, 0);
	}
	return 0;
failed:
	rec_delay(r, errno == EWOULDBLOCK ? "another process has locked it" : "open");
	rec_close(r);
	return ERR_SYSTEM;
}

/* The file was renamed or removed by whoever rotates it, or cut short: the next line belongs into the new one. */
static void rec_follow(struct recorder *r)
{
	struct stat st;

	if (r->fd < 0)
		return;
	if (stat(r->path, &st) || (uint64_t)st.st_dev != r->file.device || (uint64_t)st.st_ino != r->file.inode ||
	    (uint64_t)st.st_size < r->file.offset)
		rec_close(r);
}

static bool rec_has(const struct recorder *r, uint32_t slot, uint32_t generation)
{
	for (unsigned i = 0; i < r->n; i++)
		if (r->slots[i] == slot && r->generations[i] == generation)
			return true;
	return false;
}

static bool rec_has_room(const struct recorder *r)
{
	return r->n < BATCH && r->text.n + LINE_BYTES < sizeof r->bytes;
}

/* A notice may come twice, or for a call whose record a predecessor has written. */
static void rec_take(struct recorder *r, uint32_t slot, uint32_t generation)
{
	size_t before = r->text.n;

	if (shm_recorded(r->child.core.shm, slot, generation) || rec_has(r, slot, generation))
		return;
	if (record_print(&r->text, &r->child.core, slot, generation, r->format)) {
		r->text.n = before;
		r->text.overflow = false;
		return;
	}
	r->slots[r->n] = slot;
	r->generations[r->n++] = generation;
}

/* A dead predecessor had taken notices that it did not live to commit: once, all objects are asked whether they wait for their record. */
static void rec_scan(struct recorder *r)
{
	const struct shm *shm = r->child.core.shm;
	uint32_t end = shm_slots(shm) - r->scan_at > SCAN_SLOTS ? r->scan_at + SCAN_SLOTS : shm_slots(shm), generation;

	for (; r->scan_at < end && rec_has_room(r); r->scan_at++) {
		const struct shm_state *state = shm_peek(shm, r->scan_at, 0, &generation);
		if (state && (state->flags & SHM_STATE_RECORD))
			rec_take(r, r->scan_at, generation);
	}
}

static void rec_gather(struct recorder *r)
{
	uint32_t slot, generation;

	rec_scan(r);
	for (unsigned p = 0; p < SHM_PROCS_MAX; p++)
		while (rec_has_room(r) && shm_notice_next(r->child.self, p, &slot, &generation))
			rec_take(r, slot, generation);
}

/* Returns false when there is nothing more to do now. */
static bool rec_batch(struct recorder *r)
{
	rec_gather(r);
	if (r->n == 0)
		return r->scan_at < shm_slots(r->child.core.shm);
	rec_follow(r);
	if (r->fd < 0 && rec_open(r))
		return false;
	if (rec_write(r, out_done(&r->text))) {
		rec_delay(r, "write");
		if (ftruncate(r->fd, (off_t)r->file.offset))
			rec_close(r);
		return false;
	}
	INJECT("rec.uncommitted");
	r->file.offset += r->text.n;
	shm_record_commit(r->child.self, r->file.offset, r->slots, r->generations, r->n);
	INJECT("rec.committed");
	shm_progress(r->child.self);
	shm_count_add(r->child.self, CNT_records_written, r->n);
	if (r->failing)
		log_notice("record file %s: written again", r->path);
	r->failing = false;
	r->n = 0;
	r->text = OUT(r->bytes, sizeof r->bytes);
	return true;
}

static void on_tick(uv_timer_t *handle)
{
	struct recorder *r = handle->data;

	child_wake(&r->child);
	for (int i = 0; i < BATCHES_A_TURN && rec_batch(r); i++)
		child_clock(&r->child);
}

static void rec_hup(struct child *c)
{
	rec_close((struct recorder *)c);
}

/* What the others have ended is written first, if the disk takes it, for a bounded time, since at a reload they go on; the rest waits for a successor. */
static bool rec_may_leave(struct child *c)
{
	struct recorder *r = (struct recorder *)c;

	if (!r->leave_by_ms)
		r->leave_by_ms = c->core.now_ms + LEAVE_MS;
	while (rec_batch(r) && c->core.now_ms < r->leave_by_ms)
		child_clock(c);
	return true;
}

_Noreturn void recorder(const struct heritage *h)
{
	static struct recorder r;

	child_start(&r.child, h, SHM_RECORDER, 0);
	r.child.hup = rec_hup;
	r.child.may_leave = rec_may_leave;
	r.path = h->conf->record.file;
	r.format = h->conf->record.format == CONF_FORMAT_CSV ? RECORD_CSV : RECORD_JSON;
	r.text = OUT(r.bytes, sizeof r.bytes);
	r.fd = -1;
	shm_record_begin(r.child.self, &r.file);
	uv_timer_init(&r.child.loop, &r.tick);
	r.tick.data = &r;
	uv_timer_start(&r.tick, on_tick, 0, TICK_MS);
	rec_open(&r);
	child_run(&r.child);
}
