/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our sockets on the loopback interface, for tests of net/. Where there is none the test ends with "Bail out!". */
#ifndef VELADOR_T_LOOPBACK_H
#define VELADOR_T_LOOPBACK_H

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "net/udp.h"
#include "t/tap.h"

/* An address with a port that is free now. */
static struct addr free_address(const char *ip)
{
	struct sockaddr_storage ss;
	socklen_t length = sizeof ss;
	struct addr a;
	int fd;

	addr_parse(&a, str_of(ip), 0);
	socklen_t n = addr_to_sockaddr(&a, &ss);
	fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&ss, n) || getsockname(fd, (struct sockaddr *)&ss, &length))
		tap_bail("no loopback socket");
	addr_from_sockaddr(&a, &ss, ADDR_UDP);
	close(fd);
	return a;
}

static int open_at(const struct addr *a)
{
	int fd;

	if (udp_open(&fd, a, NULL))
		tap_bail(strerror(errno));
	return fd;
}

#endif
