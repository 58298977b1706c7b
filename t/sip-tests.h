/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the message layer share: messages as text with LF line ends, read as if they had come with CR LF. */
#ifndef VELADOR_T_SIP_TESTS_H
#define VELADOR_T_SIP_TESTS_H

#include "base/err.h"
#include "sip/sip.h"
#include "t/tap.h"

/* A message and the bytes that it lies over. */
struct sample {
	char bytes[16384];
	size_t n;
	struct sip_msg msg;
	struct sip_fault why;
};

__attribute__((unused)) static void sample_text(struct sample *s, const char *text)
{
	s->n = 0;
	for (; *text && s->n < sizeof s->bytes - 2; text++) {
		if (*text == '\n')
			s->bytes[s->n++] = '\r';
		s->bytes[s->n++] = *text;
	}
	s->why = (struct sip_fault){ 0, "" };
}

/* Reads and checks; the first error of the two. */
__attribute__((unused)) static int sample_read(struct sample *s, const char *text)
{
	int err;

	sample_text(s, text);
	err = sip_parse(&s->msg, s->bytes, s->n, &s->why);
	return err ? err : sip_check(&s->msg, &s->why);
}

__attribute__((unused)) static void sample_good(struct sample *s, const char *text)
{
	if (sample_read(s, text)) {
		diag("%u %s", s->why.status, s->why.reason);
		tap_bail("a sample that should be good is not");
	}
}

#endif
