/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/backend.h"

#include <stdarg.h>

#include "backends/dir.h"
#include "backends/disk.h"
#include "backends/fs.h"
#include "backends/logical.h"

static const Backend *const backends[] = {
        &backend_dir,
        &backend_disk,
        &backend_fs,
        &backend_logical,
};

const Backend *backend_find(PoolType type)
{
        for (size_t i = 0; i < ELEMENTSOF(backends); i++) {
                if (backends[i]->type == type)
                        return backends[i];
        }
        return NULL;
}

const Backend *backend_get(size_t i)
{
        return i < ELEMENTSOF(backends) ? backends[i] : NULL;
}

int backend_operations(const Backend *backend, char ***ret)
{
        /* What data workers do in image files. */
        bool images = pool_type_info(backend->type)->volume_formats && backend->volume_look;
        const struct {
                const char *name;
                bool has;
        } operations[] = {
                {"find-sources", backend->find_sources != NULL},
                {"build", backend->build != NULL},
                {"start", backend->start != NULL},
                {"stop", backend->stop != NULL},
                {"delete", backend->delete != NULL},
                {"refresh", backend->refresh != NULL},
                {"create", backend->volume_create != NULL},
                {"delete-volume", backend->volume_delete != NULL},
                {"resize", backend->volume_resize != NULL},
                {"open", backend->volume_open != NULL},
                {"clone", backend->volume_reserve != NULL},
                {"import", backend->volume_reserve != NULL},
                {"upload", backend->volume_open && backend->volume_look},
                {"download", backend->volume_open != NULL},
                {"wipe", backend->volume_open && backend->volume_look},
                {"snapshot", images || backend->type == POOL_LOGICAL},
                {"flatten", images},
                {"rebase", images},
                {"commit", images},
        };
        _cleanup_strv_free_ char **l = NULL;

        for (size_t i = 0; i < ELEMENTSOF(operations); i++) {
                int r = operations[i].has ? strv_extend(&l, operations[i].name) : 0;

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static const char *const preallocation_names[_PREALLOCATION_MAX] = {
        [PREALLOCATION_UNSET] = "",
        [PREALLOCATION_OFF] = "off",
        [PREALLOCATION_METADATA] = "metadata",
        [PREALLOCATION_FALLOC] = "falloc",
        [PREALLOCATION_FULL] = "full",
};

const char *preallocation_to_string(Preallocation p)
{
        return preallocation_names[p];
}

Preallocation preallocation_from_string(const char *s)
{
        for (Preallocation p = PREALLOCATION_UNSET; p < _PREALLOCATION_MAX; p++) {
                if (streq(preallocation_names[p], s))
                        return p;
        }
        return _PREALLOCATION_MAX;
}

void pool_report_done(PoolReport *report)
{
        for (size_t i = 0; i < report->n_problems; i++) {
                free(report->problems[i].code);
                free(report->problems[i].text);
        }
        free(report->problems);
        pool_details_done(&report->details);
        *report = (PoolReport){0};
}

int pool_report_add(PoolReport *report, const char *code, const char *format, ...)
{
        PoolProblem p = {0};
        va_list ap;
        int n;

        if (report->n_problems >= PROBLEMS_MAX)
                return 0;
        if (!report->problems)
                report->problems = calloc(PROBLEMS_MAX, sizeof(PoolProblem));
        if (!report->problems)
                return -ENOMEM;
        p.code = strdup(code);
        if (!p.code)
                return -ENOMEM;
        va_start(ap, format);
        n = vasprintf(&p.text, format, ap);
        va_end(ap);
        if (n < 0) {
                free(p.code);
                return -ENOMEM;
        }
        report->problems[report->n_problems++] = p;
        return 0;
}

void create_result_done(CreateResult *result)
{
        volume_row_done(&result->row);
        result->fd = safe_close(result->fd);
        free(result->token);
        result->token = NULL;
}
