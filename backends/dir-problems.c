/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/dir-look.h"

static const struct {
        const char *code;
        const char *text;
} texts[_ENTRY_PROBLEM_MAX] = {
        [ENTRY_NOT_UTF8] = {"bad-name", "is skipped: its name is not valid UTF-8; rename it to use it"},
        [ENTRY_CONTROL_CHARACTER] = {"bad-name",
                                     "is skipped: its name has a control character; rename it to use it"},
        [ENTRY_FIFO] = {"skipped", "is skipped: it is a FIFO, not a regular file or folder"},
        [ENTRY_SOCKET] = {"skipped", "is skipped: it is a socket, not a regular file or folder"},
        [ENTRY_DEVICE] = {"skipped", "is skipped: it is a device node, not a regular file or folder"},
        [ENTRY_LINK_DANGLES] = {"skipped",
                                "is skipped: it is a symbolic link to something that is not there"},
        [ENTRY_LINK_LOOPS] = {"skipped", "is skipped: it is a symbolic link that leads back to itself"},
        [ENTRY_LINK_LEAVES] = {"skipped", "is skipped: it is a symbolic link that leads out of the folder"},
        [ENTRY_LINK_TO_NO_FILE] =
                {"skipped", "is skipped: it is a symbolic link to something other than a regular file"},
        [ENTRY_NO_STAT] = {"skipped", "is skipped: the file system gives no information about it"},
        [ENTRY_UNREADABLE] = {"unreadable", "cannot be read and is shown as raw; check its permissions"},
};

/* Those of the folder itself must find room too. */
#define ENTRIES_SHOWN_MAX (PROBLEMS_MAX - 4U)

static int report_entry(const ScanEntry *e, PoolReport *report)
{
        _cleanup_free_ char *name = NULL;
        int r;

        r = utf8_make_valid(e->name, strlen(e->name), &name);
        if (r < 0)
                return r;
        return pool_report_add(report, texts[e->seen.problem].code, "\"%s\" %s", name,
                               texts[e->seen.problem].text);
}

int scan_cache_report(const ScanCache *cache, PoolReport *report)
{
        size_t n = 0, most = cache->n_problems < ENTRIES_SHOWN_MAX ? cache->n_problems : ENTRIES_SHOWN_MAX;

        for (size_t i = 0; i < cache->table.n_slots && n < most; i++) {
                const ScanEntry *e = (const ScanEntry *) cache->table.slots[i];
                int r;

                if (!e || e->seen.problem == ENTRY_FINE)
                        continue;
                r = report_entry(e, report);
                if (r < 0)
                        return r;
                n++;
        }
        if (cache->n_problems == n)
                return 0;
        return pool_report_add(report, "more", "%zu more entries of the folder have problems like these",
                               cache->n_problems - n);
}
