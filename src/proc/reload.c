/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new configuration [sup_]: a short-lived process reads and checks it and resolves its names; then the supervisor takes it, and the children are
 * replaced one by one, each getting it by fork. A bad one changes nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "proc/log.h"
#include "proc/supervisor_private.h"

enum { CHECK_MS = 60000 };

static void sup_check(struct supervisor *s, bool read_anew, int fd)
{
	static struct conf_report report;
	struct heritage *h = &s->heritage;
	struct conf *conf = h->conf;
	FILE *to = fdopen(fd, "w");
	int err = 0;

	if (read_anew && (err = conf_read(&conf, h->file, h->overrides, &report)) == 0)
		conf_keep_start(conf, h->conf, h->file, &report);
	if (!err)
		err = route_resolve(conf, h->shm, h->file, &report);
	if (to) {
		conf_report_print(&report, to);
		fflush(to);
	}
	_exit(err ? 1 : 0);
}

pid_t sup_fork_checker(struct supervisor *s, bool read_anew, int *fd)
{
	int pipe_fd[2];
	sigset_t none;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		log_name("checker");
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != s->heritage.supervisor)
			_exit(1);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		close(pipe_fd[0]);
		sup_check(s, read_anew, pipe_fd[1]);
	}
	close(pipe_fd[1]);
	if (pid < 0)
		close(pipe_fd[0]);
	else
		*fd = pipe_fd[0];
	return pid;
}

void sup_log_report(const char *text, char *why, size_t bytes)
{
	struct str rest = str_of(text);

	if (why)
		*why = 0;
	while (rest.n) {
		size_t end = str_chr(rest, '\n');
		struct str line = str_head(rest, end);
		bool error = str_starts(line, STR("error: "));
		line = str_from(line, str_chr(line, ' ') + 1);
		log_line(error ? CONF_LOG_ERROR : CONF_LOG_WARNING, "%.*s", STR_FMT(line));
		if (error && why && !*why)
			snprintf(why, bytes, "%.*s", STR_FMT(line));
		rest = str_from(rest, end + 1);
	}
}

static void sup_answer(struct supervisor *s, const char *why)
{
	struct sup_answer answer = { .request = s->asked, .failed = why != NULL };

	if (!s->asked.asker)
		return;
	snprintf(answer.text, sizeof answer.text, "%s", why ? why : "");
	if (send(s->request_fd, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_warning("nobody takes the answer to a reload: %s", strerror(errno));
	s->asked.asker = 0;
}

/* Who asked meanwhile asked for what the file holds by now. */
static void sup_over(struct supervisor *s)
{
	s->reload = SUP_IDLE;
	if (!s->reload_again || s->report_open)
		return;
	s->reload_again = false;
	sup_reload_start(s);
}

static void sup_replace_all(struct supervisor *s)
{
	s->reload = SUP_REPLACING;
	s->replacing = 0;
	for (unsigned i = 0; i < s->nchildren; i++)
		s->child[i].outdated = s->child[i].pid && s->child[i].state != SUP_BURYING;
}

/* Whoever rotates the log sends SIGHUP, too, and does not know what is in the configuration. */
static void sup_refuse(struct supervisor *s, const char *why)
{
	const struct conf_velador *v = &s->heritage.conf->velador;

	log_error("reload refused, nothing is changed: %s", why);
	shm_count(s->self, CNT_reload_failures);
	sup_answer(s, why);
	s->same_again = log_moved() && log_open(v->log, v->log_level) == 0;
	if (s->same_again)
		sup_replace_all(s);
	else
		sup_over(s);
}

static void on_report(uv_poll_t *handle, int status, int events)
{
	struct supervisor *s = handle->data;
	ssize_t n = read(s->report_fd, s->report_text + s->report_bytes, sizeof s->report_text - 1 - s->report_bytes);

	(void)status;
	(void)events;
	if (n > 0)
		s->report_bytes += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		uv_poll_stop(&s->report);
}

void sup_reload_start(struct supervisor *s)
{
	if (s->reload != SUP_IDLE || s->report_open) {
		s->reload_again = true;
		return;
	}
	log_notice("reading the configuration again");
	s->checker = sup_fork_checker(s, true, &s->report_fd);
	if (s->checker < 0) {
		sup_refuse(s, "fork failed");
		return;
	}
	s->reload = SUP_CHECKING;
	s->check_by_ms = s->now_ms + CHECK_MS;
	s->report_bytes = 0;
	fcntl(s->report_fd, F_SETFL, O_NONBLOCK);
	uv_poll_init(&s->loop, &s->report, s->report_fd);
	s->report_open = true;
	s->report.data = s;
	uv_poll_start(&s->report, UV_READABLE, on_report);
}

/* Reads once more in this process what the checker found good. */
static int sup_take(struct supervisor *s, char *why, size_t bytes)
{
	static struct conf_report report;
	struct heritage *h = &s->heritage;
	struct conf *fresh;
	struct route *route;

	report = (struct conf_report){ .errors = 0 };
	if (conf_read(&fresh, h->file, h->overrides, &report)) {
		snprintf(why, bytes, "%s", report.n ? report.remark[0].text : "the file has changed meanwhile");
		return ERR_CONFIG;
	}
	conf_keep_start(fresh, h->conf, h->file, &report);
	if (route_new(&route, fresh, h->shm)) {
		snprintf(why, bytes, "the file has changed meanwhile");
		conf_free(fresh);
		return ERR_CONFIG;
	}
	route_free(h->route);
	conf_free(h->conf);
	h->conf = fresh;
	h->route = route;
	if (log_open(fresh->velador.log, fresh->velador.log_level)) /* opened anew: it may have been rotated */
		log_warning("velador.log = %s: cannot be opened again; the old one is kept", fresh->velador.log);
	return 0;
}

static void on_report_closed(uv_handle_t *handle)
{
	struct supervisor *s = handle->data;

	close(s->report_fd);
	s->report_open = false;
	if (s->reload == SUP_IDLE)
		sup_over(s);
}

void sup_reload_checked(struct supervisor *s, int status)
{
	char why[CONF_REMARK] = "";

	s->checker = 0;
	on_report(&s->report, 0, 0);
	s->report_text[s->report_bytes] = 0;
	uv_close((uv_handle_t *)&s->report, on_report_closed);
	sup_log_report(s->report_text, why, sizeof why);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		sup_refuse(s, *why ? why : "the check did not end well");
		return;
	}
	if (sup_take(s, why, sizeof why)) {
		sup_refuse(s, why);
		return;
	}
	shm_count(s->self, CNT_reloads);
	sup_replace_all(s);
}

static void sup_finish(struct supervisor *s)
{
	log_notice(s->same_again ? "all write to the new log" : "the new configuration is in effect");
	s->same_again = false;
	sup_over(s);
}

/* One child at a time; the next when its replacement runs. Control is the last, and gives the answer on before it goes. */
void sup_reload_step(struct supervisor *s)
{
	if (s->reload == SUP_CHECKING && s->now_ms > s->check_by_ms && s->checker > 0) {
		kill(s->checker, SIGKILL);
		s->check_by_ms = UINT64_MAX;
	}
	while (s->reload == SUP_REPLACING) {
		if (s->replacing == s->nchildren) {
			sup_finish(s);
			return;
		}
		struct sup_child *child = &s->child[s->replacing];
		if (child->state == SUP_RUNNING && child->outdated) {
			if (child->kind == SHM_CONTROL)
				sup_answer(s, NULL);
			sup_ask_to_leave(s, child);
			return;
		}
		if (child->outdated || child->state == SUP_STARTING || child->state == SUP_LEAVING)
			return;
		s->replacing++;
	}
}

/* Another waits for his reload, and lives; or the verdict on the one under way is another's, and the control process that asks would not live to hear its own. */
static bool sup_must_wait(const struct supervisor *s)
{
	const struct sup_child *control = &s->child[s->nchildren - 1];

	return (s->asked.asker && s->asked.asker == control->pid) || s->reload == SUP_CHECKING || (s->reload == SUP_REPLACING && control->outdated);
}

void sup_reload_request(struct supervisor *s)
{
	struct sup_request request;

	while (recv(s->request_fd, &request, sizeof request, MSG_DONTWAIT) == (ssize_t)sizeof request) {
		if (sup_must_wait(s)) {
			struct sup_answer answer = { .request = request, .failed = true, .text = "another reload is under way" };
			if (send(s->request_fd, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				return;
			continue;
		}
		s->asked = request;
		sup_reload_start(s);
	}
}
