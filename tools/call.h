/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Calls to the service: the connection, finding pools and volumes by what people call them, reading. */

#include "tools/json.h"
#include "tools/storagectl.h"

/* A caller who is asked for a password answers within minutes, not within D-Bus's 25 s. */
#define CALL_CHANGE_TIMEOUT_USEC (10 * 60 * USEC_PER_SEC)

#define MATCH_OWNER_CHANGED                                                         \
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus'," \
        "member='NameOwnerChanged',arg0='" STORAGE_BUS_NAME "'"

/* Opens the bus that was asked for, unless that was done. Negative errno and error. */
int context_connect(Context *c, sd_bus_error *error);
void context_done(Context *c);

/*
 * Calls a method that only reads and waits for the reply; types as for sd_bus_message_append(). The caller
 * owns *ret_reply. Negative errno and error.
 */
int call_read(Context *c, const char *path, const char *interface, const char *member, sd_bus_error *error,
              sd_bus_message **ret_reply, const char *types, ...);

/*
 * Begins a call that changes something: the caller appends what comes before the options, then calls
 * call_options(). Makes sure that somebody can be asked for a password. Negative errno and error.
 */
int call_new(Context *c, const char *path, const char *interface, const char *member, sd_bus_error *error,
             sd_bus_message **ret);

/*
 * Appends the trailing a{sv}: what was given of the table's options (NULL: none), and how long to wait for
 * the work where takes_wait. Negative errno.
 */
int call_options(Context *c, sd_bus_message *m, const Args *a, const Option *table, bool takes_wait);

/* The option wait alone, for who opens the a{sv}. Negative errno. */
int call_append_wait(const Context *c, sd_bus_message *m);

/* Sends such a call and waits for its reply. Negative errno and error. */
int call_send(Context *c, sd_bus_message *m, sd_bus_error *error);

/* The object path of the pool with that name or UUID; the caller frees *ret. Negative errno and error. */
int find_pool(Context *c, const char *pool, char **ret, sd_bus_error *error);

/*
 * The object path of a volume: by name in the pool at pool_path, or by an absolute path, which must lie in
 * that pool if one is given (NULL: in any). The caller frees *ret. Negative errno and error.
 */
int find_volume(Context *c, const char *pool_path, const char *volume, char **ret, sd_bus_error *error);

/*
 * The volume that the first operands name: "POOL NAME" or an absolute path alone. *ret_used is how many
 * operands that took. The caller frees *ret. Negative errno and error.
 */
int find_volume_operands(Context *c, const Args *a, char **ret, size_t *ret_used, sd_bus_error *error);

/* How many operands name the volume: 1 for an absolute path, 2 for POOL NAME. */
size_t volume_operands(const Args *a);

/* All properties of an interface, and ObjectPath. The caller owns *ret. Negative errno and error. */
int read_object(Context *c, const char *path, const char *interface, json_object **ret, sd_bus_error *error);

/*
 * The jobs and pools below the root: an object of object paths, each with its interfaces. The caller owns
 * *ret. Negative errno and error.
 */
int read_root(Context *c, json_object **ret, sd_bus_error *error);

/*
 * The pools as an array of objects, in the order of their names; table: which of the options select (NULL:
 * none). The caller owns *ret. Negative errno and error.
 */
int read_pools(Context *c, const Args *a, const Option *table, json_object **ret, sd_bus_error *error);

/*
 * Prints the text that the method of the object answers, such as GetXML; table: which of the options become
 * keys. Negative errno and error.
 */
int print_text(Context *c, const char *path, const char *interface, const char *member, const Args *a,
               const Option *table, sd_bus_error *error);

/*
 * Reads a file ("-" is standard input) of at most DEF_XML_MAX bytes of text; the caller frees *ret. Negative
 * errno and error.
 */
int read_file(const char *name, char **ret, sd_bus_error *error);
