/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, hosts and lists; see value.h. Private to ini/. */
#ifndef VELADOR_INI_VALUE_LIST_H
#define VELADOR_INI_VALUE_LIST_H

#include "ini/keys.h"

/* Each as value_set() for its type. Lists are separated by commas or space and added to. */
int value_address(struct addr *field, struct str text);
int value_ours(struct conf_ours *field, struct str text);
int value_hostport(struct conf_host *field, struct str text);
int value_stages(const struct conf_key *key, struct conf_stages *field, struct str text, struct str *bad);
int value_listen(struct conf_listen_list *field, struct str text, struct str *bad);
int value_nets(struct conf_nets *field, struct str text, struct str *bad);
int value_prefixes(struct conf_prefixes *field, struct str text, struct str *bad);

#endif
