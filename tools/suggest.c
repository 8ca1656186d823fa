/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/suggest.h"
#include "common/util.h"

#define WORD_MAX 32U

/* How many letters have to be changed, added, removed or swapped with their neighbour. */
static size_t distance(const char *a, const char *b)
{
        size_t d[WORD_MAX + 1][WORD_MAX + 1], n = strlen(a), m = strlen(b);

        if (n > WORD_MAX || m > WORD_MAX)
                return SIZE_MAX;
        for (size_t i = 0; i <= n; i++) {
                for (size_t j = 0; j <= m; j++) {
                        size_t best;

                        if (i == 0 || j == 0) {
                                d[i][j] = i + j;
                                continue;
                        }
                        best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                        if (d[i - 1][j] + 1 < best)
                                best = d[i - 1][j] + 1;
                        if (d[i][j - 1] + 1 < best)
                                best = d[i][j - 1] + 1;
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        }
        return d[n][m];
}

const char *suggest_nearest(const char *word, const char *const *names, size_t n)
{
        const char *nearest = NULL;
        size_t best = strlen(word) <= 3 ? 2 : 3; /* anything farther is no likely slip */

        for (size_t i = 0; i < n; i++) {
                size_t d = distance(word, names[i]);

                if (strlen(word) >= 2 && startswith(names[i], word))
                        d = 1;
                if (d < best) {
                        best = d;
                        nearest = names[i];
                }
        }
        return nearest;
}

const char *suggest_for_virsh(const char *group, const char *word)
{
        static const struct {
                const char *virsh, *ours;
        } words[] = {
                {"find-storage-pool-sources", "pool find-sources --xml"},
                {"find-storage-pool-sources-as", "pool find-sources"},
                {"pool-capabilities", "capabilities --xml"},
                {"pool-create-as", "pool create"},
                {"pool-define-as", "pool define"},
                {"pool-destroy", "pool stop"},
                {"pool-dumpxml", "pool show --xml"},
                {"pool-edit", "pool update"},
                {"pool-event", "monitor"},
                {"pool-info", "pool show"},
                {"pool-list", "pool list"},
                {"pool-start", "pool start"},
                {"vol", "volume"},
                {"vol-clone", "volume clone"},
                {"vol-create", "volume create --xml"},
                {"vol-create-as", "volume create"},
                {"vol-delete", "volume delete"},
                {"vol-download", "volume download"},
                {"vol-dumpxml", "volume show --xml"},
                {"vol-info", "volume show"},
                {"vol-list", "volume list"},
                {"vol-resize", "volume resize"},
                {"vol-upload", "volume upload"},
                {"vol-wipe", "volume wipe"},
        };
        char full[2 * WORD_MAX];

        /* "pool dumpxml" is what somebody types who knows "pool-dumpxml" */
        (void) snprintf(full, sizeof(full), "%s%s%s",
                        !group                   ? ""
                        : streq(group, "volume") ? "vol"
                                                 : group,
                        group ? "-" : "", word);
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (streq(full, words[i].virsh))
                        return words[i].ours;
        return NULL;
}
