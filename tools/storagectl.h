/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of storagectl share: its exit statuses, its settings and the shape of a command. */

#include "common/util.h"
#include "tools/options.h"

#define STORAGE_BUS_NAME "org.example.Storage1"
#define STORAGE_PATH "/org/example/Storage1"
#define STORAGE_JOB_PATH STORAGE_PATH "/job"
#define STORAGE_VOLUME_PATH STORAGE_PATH "/volume"
#define MANAGER_INTERFACE STORAGE_BUS_NAME ".Manager"
#define POOL_INTERFACE STORAGE_BUS_NAME ".Pool"
#define VOLUME_INTERFACE STORAGE_BUS_NAME ".Volume"
#define JOB_INTERFACE STORAGE_BUS_NAME ".Job"
#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define OBJECT_MANAGER_INTERFACE "org.freedesktop.DBus.ObjectManager"

/* Documented in storagectl(1): scripts rely on them. */
typedef enum ExitStatus {
        STATUS_OK = 0,
        STATUS_FAILED = 1,
        STATUS_USAGE = 2,
        STATUS_NOT_FOUND = 3,
        STATUS_ACCESS_DENIED = 4,
        STATUS_UNREACHABLE = 5,
        STATUS_IN_THE_WAY = 6,
        STATUS_NO_SPACE = 7,
        STATUS_TIMED_OUT = 8,
        STATUS_UNSUPPORTED = 9,
        STATUS_INACCESSIBLE = 10,
        STATUS_INTERRUPTED = 130,
} ExitStatus;

typedef struct Context {
        sd_bus *bus; /* opened by the first call */
        pid_t agent; /* pkttyagent, or 0 */
        bool user;
        bool json;
        bool legend;
        bool ask_password;
        bool wait;
        bool quiet;
} Context;

typedef enum CommandFlags {
        COMMAND_JSON = 1 << 0, /* takes --json */
        COMMAND_JOB = 1 << 1,  /* may become a job: takes --no-wait */
} CommandFlags;

typedef struct Command {
        const char *group; /* NULL for a command of one word; "volume snapshot" is a group in the group
                              "volume" */
        const char *name;
        const char *operands; /* for the help: "POOL..." */
        const char *help;     /* one line */
        size_t min, max;      /* how many operands */
        CommandFlags flags;
        const Option *options, *more_options; /* each ends with an entry without name; may be NULL */
        /* Returns an ExitStatus; has reported what went wrong. */
        int (*run)(Context *c, const Args *a);
} Command;

#define OPERANDS_MAX 4096 /* "any number" */

/* Each ends with an entry without name. */
extern const Command pool_commands[];
extern const Command volume_commands[];
extern const Command snapshot_commands[];
extern const Command job_commands[];
extern const Command secret_commands[];
extern const Command other_commands[];
