/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor opens before its first fork [sup_]. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "net/udp.h"
#include "proc/log.h"
#include "proc/supervisor_private.h"

enum { LOCK_TRIES = 100, LOCK_TRY_MS = 10 };

static int sup_fail(const char *what, const char *which)
{
	log_error("%s %s: %s", what, which, strerror(errno));
	return ERR_SYSTEM;
}

void sup_socket_path(char *path, size_t bytes, const struct conf *conf)
{
	snprintf(path, bytes, "%s/control.sock", conf->velador.run_dir);
}

static int sup_find_user(struct supervisor *s)
{
	const char *name = s->heritage.conf->velador.user;
	struct passwd *pw;

	s->heritage.uid = (uid_t)-1;
	if (!*name || geteuid() != 0)
		return 0;
	pw = getpwnam(name);
	if (!pw) {
		log_error("velador.user: there is no user %s", name);
		return ERR_CONFIG;
	}
	s->heritage.uid = pw->pw_uid;
	s->heritage.gid = pw->pw_gid;
	return 0;
}

/* The children of a supervisor that was killed die with it, but not at the same instant. */
static bool sup_lock(int fd)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		poll(NULL, 0, LOCK_TRY_MS);
	}
	return false;
}

/* Whoever holds its lock answers at its control socket. */
static int sup_open_run_dir(struct supervisor *s)
{
	const char *dir = s->heritage.conf->velador.run_dir;

	if (mkdir(dir, 0755) && errno != EEXIST)
		return sup_fail("velador.run_dir", dir);
	s->run_dir_lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->run_dir_lock < 0)
		return sup_fail("velador.run_dir", dir);
	if (sup_lock(s->run_dir_lock))
		return 0;
	log_error("velador.run_dir: %s is in use by another Velador", dir);
	return ERR_DENIED;
}

/* An arena file whose lock nobody holds is a former run's; we hold it until the file has gone, so that only one takes it away. */
static int sup_remove_old_arena(const char *path, bool adopt)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : sup_fail("arena", path);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !sup_lock(fd)) {
		log_error("arena %s is in use by another Velador, or is no file", path);
		err = ERR_DENIED;
	} else if (unlink(path)) {
		err = sup_fail("arena", path);
	} else {
		if (adopt)
			log_warning("velador.arena = adopt is not in effect yet: calls of the former run are given up");
		log_notice("removed the arena of a former run, %s", path);
	}
	close(fd);
	return err;
}

/* Room for calls that have ended and wait for their record or their last repeats, and for transactions outside calls. */
static uint32_t sup_slots(uint32_t max_calls)
{
	uint64_t slots = (uint64_t)max_calls + max_calls / 4 + 1024;

	return slots < (16u << 20) ? (uint32_t)slots : 16u << 20;
}

static int sup_open_arena(struct supervisor *s)
{
	const struct conf_velador *v = &s->heritage.conf->velador;
	struct shm_params params = { .slots = sup_slots(v->max_calls), .workers_max = s->heritage.max_workers };
	int err = sup_remove_old_arena(v->shm_file, v->arena == CONF_ARENA_ADOPT);

	if (err)
		return err;
	if ((err = shm_create(&s->heritage.shm, v->shm_file, &params))) {
		if (err == ERR_SYSTEM)
			return sup_fail("arena", v->shm_file);
		log_error("arena %s: %s", v->shm_file, err_text(err));
	}
	return err;
}

static void sup_raise_files(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static const char *sup_addr_text(char text[ADDR_TEXT], const struct addr *a)
{
	struct out o = OUT(text, ADDR_TEXT - 1);

	addr_print(&o, a);
	text[o.n] = 0;
	return text;
}

static void sup_note_listen(struct supervisor *s, unsigned i)
{
	const struct addr *bound = conf_listen_addr(s->heritage.conf, i);
	struct addr advertised = s->heritage.conf->listen.advertise;

	if (advertised.family != bound->family)
		advertised = *bound;
	advertised.transport = bound->transport;
	if (!advertised.port)
		advertised.port = bound->port;
	core_listen_set(&s->heritage.listen[i], bound, &advertised);
}

/* The order of opening is the number in the kernel's group, so all workers' sockets of one address come in the workers' order. */
static int sup_open_sockets(struct supervisor *s)
{
	struct heritage *h = &s->heritage;
	struct steer steer = { .workers = h->workers, .seed = (uint32_t)shm_key_index(h->shm)->k[0] };
	char text[ADDR_TEXT];

	sup_raise_files();
	h->nlisten = h->conf->listen.udp.n;
	s->udp_fds = calloc((size_t)h->max_workers * h->nlisten + 1, sizeof *s->udp_fds);
	if (!s->udp_fds)
		return sup_fail("memory", "");
	h->udp_fds = s->udp_fds;
	for (unsigned l = 0; l < h->nlisten; l++) {
		sup_note_listen(s, l);
		if (udp_probe(&h->listen[l].bound))
			return sup_fail("listen.udp", sup_addr_text(text, &h->listen[l].bound));
	}
	for (unsigned l = 0; l < h->nlisten; l++) {
		sup_addr_text(text, &h->listen[l].bound);
		for (unsigned w = 0; w < h->max_workers; w++)
			if (udp_open(&s->udp_fds[w * h->nlisten + l], &h->listen[l].bound, w == 0 ? &steer : NULL))
				return sup_fail("listen.udp", text);
		log_info("listening on %s by UDP, %u workers", text, h->workers);
	}
	if (steer.scan < STEER_SCAN)
		log_warning("the kernel lets us search only %u bytes of a message for its Call-ID, which costs order and speed; "
			    "raise net.core.optmem_max to 131072", steer.scan);
	return 0;
}

static int sup_open_bell(struct supervisor *s)
{
	s->heritage.bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return s->heritage.bell_fd < 0 ? sup_fail("eventfd", "") : 0;
}

static int sup_open_control(struct supervisor *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), pair[2];
	char path[CONF_TEXT + 16];
	mode_t mask;

	sup_socket_path(path, sizeof path, s->heritage.conf);
	if (strlen(path) >= sizeof at.sun_path) {
		log_error("velador.run_dir: %s is too long a path for a socket", path);
		return ERR_CONFIG;
	}
	memcpy(at.sun_path, path, strlen(path) + 1);
	unlink(at.sun_path);
	mask = umask(0177);
	int failed = fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 64);
	umask(mask);
	if (failed)
		return sup_fail("control socket", at.sun_path);
	if (s->heritage.uid != (uid_t)-1 && chown(at.sun_path, s->heritage.uid, s->heritage.gid))
		return sup_fail("control socket", at.sun_path);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return sup_fail("socketpair", "");
	s->heritage.control_fd = fd;
	s->request_fd = pair[0];
	s->heritage.request_fd = pair[1];
	return 0;
}

/* Names are resolved by a process of their own: what a resolver library does is not our risk. */
static int sup_resolve(struct supervisor *s)
{
	char text[16384];
	size_t n = 0;
	ssize_t got;
	int fd, status = 0;
	pid_t pid = sup_fork_checker(s, false, &fd);

	if (pid < 0)
		return sup_fail("fork", "");
	while (n < sizeof text - 1 && (got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = 0;
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	sup_log_report(text, NULL, 0);
	return status ? ERR_CONFIG : 0;
}

int sup_open(struct supervisor *s)
{
	int err;

	if ((err = sup_find_user(s)) || (err = sup_open_run_dir(s)) || (err = sup_open_arena(s)) || (err = sup_open_sockets(s)) ||
	    (err = sup_open_control(s)) || (err = sup_open_bell(s)) || (err = sup_resolve(s)))
		return err;
	if ((err = route_new(&s->heritage.route, s->heritage.conf, s->heritage.shm)))
		log_error("routes: %s", err_text(err));
	return err;
}

void sup_close(struct supervisor *s)
{
	char path[CONF_TEXT + 16];

	if (s->request_fd >= 0) {
		sup_socket_path(path, sizeof path, s->heritage.conf);
		unlink(path);
	}
	if (s->heritage.shm)
		shm_close(s->heritage.shm, true);
}
