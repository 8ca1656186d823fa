/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The contract of a pool type: one const table of functions, with the facts beside them. A backend runs in a
 * worker, one call at a time, and may block. It takes const definitions and a context and returns fresh
 * results: it changes nothing that it was given and keeps no state between calls but what its watch needs. A
 * NULL function means that the type has not got the operation: Pool.Operations and the capabilities are made
 * from this table.
 *
 * Every function returns 0 or a negative errno with ctx->error filled in words for people.
 */

#include "common/errors.h"
#include "common/pool-details.h"
#include "common/volume-row.h"

typedef enum Preallocation {
        PREALLOCATION_UNSET, /* decided by allocation and capacity */
        PREALLOCATION_OFF,
        PREALLOCATION_METADATA,
        PREALLOCATION_FALLOC,
        PREALLOCATION_FULL,
        _PREALLOCATION_MAX,
} Preallocation;

const char *preallocation_to_string(Preallocation p);
Preallocation preallocation_from_string(const char *s); /* _PREALLOCATION_MAX: no such */

/* A scan cache and a watch: made by a backend, owned by the pool's worker, one a pool. */
typedef struct BackendScan BackendScan;

typedef struct BackendContext BackendContext;
struct BackendContext {
        const PoolDef *pool;
        const BackendScan *scan; /* what the last look found, for the functions of volumes; NULL: none */
        sd_bus_error *error;
        const char
                *secret; /* the file of the passphrase for what is made encrypted, or changed; NULL: none */
        uint64_t start; /* where the partition begins that is meant, whatever is its number now; 0: any */
        bool durable;   /* volume_delete: no loss of power brings it back; else it may, on file systems */
        bool (*cancelled)(BackendContext *ctx); /* long loops look, and return -ECANCELED */
        void (*progress)(BackendContext *ctx, uint64_t done,
                         uint64_t total); /* bytes; cheap, call it often */
        void *userdata;                   /* the worker's */
};

/* Where a refresh puts what it finds: what differs from the last time only. */
typedef struct RefreshSink RefreshSink;
struct RefreshSink {
        /* Both may send (and so block). The row stays the backend's. */
        int (*changed)(RefreshSink *sink, const VolumeRow *row);
        int (*removed)(RefreshSink *sink, const char *name);
        /* Before both: it is other storage than before, and all of it follows. What was there before has not
         * gone, and may come back. */
        void (*restart)(RefreshSink *sink);
        void *userdata;
};

typedef enum PoolHealth { HEALTH_OK, HEALTH_DEGRADED, HEALTH_INACCESSIBLE } PoolHealth;

#define PROBLEMS_MAX 64U

typedef struct PoolProblem {
        /* "unreadable", "bad-name", "skipped", "unwatched", "inaccessible", "more"; "low-space",
         * "missing-device", "degraded-array" */
        char *code;
        char *text; /* for people */
} PoolProblem;

/* What a refresh finds out about the pool itself; freed with pool_report_done(). */
typedef struct PoolReport {
        PoolStatus status;
        Permissions permissions; /* of the target path as they are; unset: it has none. No label */
        PoolHealth health;
        PoolProblem *problems; /* at most PROBLEMS_MAX; the last then says how many more there are */
        size_t n_problems;
        PoolDetails details;
} PoolReport;

void pool_report_done(PoolReport *report);
/* Appends a problem, unless there are PROBLEMS_MAX already. 0 or -ENOMEM. */
int pool_report_add(PoolReport *report, const char *code, const char *format, ...) _printf_(3, 4);

typedef struct BuildOptions {
        bool overwrite;
} BuildOptions;

typedef struct ResizeOptions {
        bool shrink, allocate, force; /* an encrypted image takes the context's secret */
        uint64_t from; /* Busy, unless it has this capacity, or the new one; UINT64_MAX: whatever it has */
} ResizeOptions;

/* What a volume is opened for. */
typedef enum OpenMode {
        OPEN_READ,      /* by a client, for reading */
        OPEN_WRITE,     /* by a client, for writing */
        OPEN_TO_COPY,   /* by a data job: nobody writes to it as long as this descriptor, or a copy of it, is
                           open */
        OPEN_TO_CHANGE, /* by a data job: nobody else has it open meanwhile */
        OPEN_TO_CHANGE_ALONE, /* the same, for what cannot be forced */
        _OPEN_MODE_MAX,
} OpenMode;

static inline bool open_mode_writes(OpenMode mode)
{
        return mode != OPEN_READ && mode != OPEN_TO_COPY;
}

static inline bool open_mode_changes(OpenMode mode)
{
        return mode == OPEN_TO_CHANGE || mode == OPEN_TO_CHANGE_ALONE;
}

/* What volume_create returns: either a whole volume (row) or a reserved one (fd and token). */
typedef struct CreateResult {
        VolumeRow row; /* row.name is NULL if reserved */
        int fd;        /* -EBADF if whole; else the unfinished storage, open read-write */
        char *token;   /* names it for publish and discard */
        bool zero;     /* a reserved one reads as zeros */
} CreateResult;

/* A candidate for a pool's source; its strings are the backend's. What is not known is NULL or 0. */
typedef struct FoundSource {
        const char *const *devices; /* for source-devices, NULL-terminated */
        const char *const *links;   /* stable names of the first device, NULL-terminated */
        const char *name;           /* for source-name */
        const char *format;         /* for source-format */
        uint64_t size;
        const char *vendor, *model, *serial;
        bool removable, read_only;
        const char *contents;   /* what is on it, for people */
        const char *used_by;    /* which mount or array or volume group has it, for people */
        const char *unsuitable; /* why it cannot be one as it is, for people; NULL: it can */
} FoundSource;

typedef struct FoundSink FoundSink;
struct FoundSink {
        int (*found)(FoundSink *sink, const FoundSource *source);
        void *userdata;
};

typedef struct Backend {
        PoolType type;
        bool needs_root; /* not offered in session mode */
        /* Tools that some operation needs (NULL-terminated): those not installed are told to users. */
        const char *const *tools;

        /* Candidates for a pool's source. ctx->pool: what the caller said about it, not validated. */
        int (*find_sources)(BackendContext *ctx, FoundSink *sink);
        int (*check)(BackendContext *ctx, bool *ret_active);
        /* *ret_made: the storage was not there before, so delete undoes this without harm to anybody. */
        int (*build)(BackendContext *ctx, const BuildOptions *options, bool *ret_made);
        int (*start)(BackendContext *ctx);
        int (*stop)(BackendContext *ctx);
        int (*delete)(BackendContext *ctx);

        /* Opens the cache (empty: the first refresh reports everything). Freed by scan_free. */
        int (*scan_new)(BackendContext *ctx, BackendScan **ret);
        BackendScan *(*scan_free)(BackendScan *scan);
        int (*refresh)(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);
        /*
         * Watches from now on: the backend adds its sources to event and calls wake(userdata) when something
         * happened that has been still, or been held back, long enough to look at: the worker then calls
         * refresh_changes. Off: event NULL.
         */
        int (*watch)(BackendContext *ctx, BackendScan *scan, sd_event *event, void (*wake)(void *userdata),
                     void *userdata);
        /* As refresh, but looks only at what the watch saw; a lost event makes it a whole refresh. */
        int (*refresh_changes)(BackendContext *ctx, BackendScan *scan, RefreshSink *sink, PoolReport *ret);

        /*
         * A change made by ourselves is put into the cache with this, so that the watch does not report it a
         * second time: row, or NULL if name is gone.
         */
        int (*scan_note)(BackendScan *scan, const char *name, const VolumeRow *row);

        /* One that is to be encrypted on a device is never made by this, but reserved and then filled. */
        int (*volume_create)(BackendContext *ctx, const VolumeDef *def, Preallocation p, CreateResult *ret);
        /* Fills a reserved volume: fd and def are those of volume_create. On return it is durable. */
        int (*volume_fill)(BackendContext *ctx, const VolumeDef *def, Preallocation p, int fd);
        /*
         * Reserves a volume, always: its contents come from elsewhere (a clone, an import). What is reserved
         * has def's capacity where that is fixed (a logical volume, a partition), and room for the header of
         * its encryption; a file is empty. token:
         * one that nothing else ever had: where nothing else tells what is reserved, that is its token, and
         * may be discarded even if this function did not return.
         */
        int (*volume_reserve)(BackendContext *ctx, const VolumeDef *def, const char *token,
                              CreateResult *ret);
        int (*volume_publish)(BackendContext *ctx, const char *token, VolumeRow *ret);
        int (*volume_discard)(BackendContext *ctx, const char *token);
        int (*volume_delete)(BackendContext *ctx, const char *name, bool force);
        int (*volume_resize)(BackendContext *ctx, const char *name, uint64_t capacity,
                             const ResizeOptions *options, VolumeRow *ret);
        /* InUse, naming who, for the modes of data jobs, unless force. */
        int (*volume_open)(BackendContext *ctx, const char *name, OpenMode mode, bool force, int *ret_fd);
        /* What it is now. */
        int (*volume_look)(BackendContext *ctx, const char *name, VolumeRow *ret);
} Backend;

void create_result_done(CreateResult *result);

/* NULL if no backend has that type yet. */
const Backend *backend_find(PoolType type);
/* NULL after the last. */
const Backend *backend_get(size_t i);

/*
 * The names of the operations that a table has, as Pool.Operations shows them: find-sources build start
 * stop delete refresh create delete-volume resize open … A NULL-terminated list owned by the caller.
 */
int backend_operations(const Backend *backend, char ***ret);
