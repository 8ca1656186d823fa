/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-place.h"

#define ALIGNMENT (UINT64_C(1024) * 1024)
/* Some devices claim nonsense as their optimal I/O size. */
#define OPTIMAL_MAX (UINT64_C(64) * 1024 * 1024)
#define OPTIMAL_UNIT 4096U

/* How many sectors each logical partition leaves free before it for the record that leads to it; the first
 * record of all is at the very start of the extended partition. */
#define RECORD_SECTORS 1U

static int by_start(const void *a, const void *b)
{
        const DiskPartition *x = *(const DiskPartition *const *) a, *y = *(const DiskPartition *const *) b;

        return x->start < y->start ? -1 : x->start > y->start;
}

/* Those that stand in that space, in the order of position. */
static int sort_partitions(const DiskTable *table, bool logical, const DiskPartition ***ret, size_t *ret_n)
{
        const DiskPartition **l = calloc(table->n_partitions + 1, sizeof(*l));
        size_t n = 0;

        if (!l)
                return -ENOMEM;
        for (size_t i = 0; i < table->n_partitions; i++) {
                const DiskPartition *p = &table->partitions[i];
                /* The whole disk as an entry takes nothing away. */
                bool whole = p->kind == PARTITION_RESERVED && p->start == 0 && p->end >= table->last;

                if ((p->kind == PARTITION_LOGICAL) == logical && !whole)
                        l[n++] = p;
        }
        qsort(l, n, sizeof(*l), by_start);
        *ret = l;
        *ret_n = n;
        return 0;
}

/* Other programs leave more between a record and its partition: it is never taken for room, as that is wiped
 * before libparted, which moves the records, has read them. */
static int add_space(const DiskTable *table, DiskSpace **spaces, size_t *n, uint64_t start, uint64_t end,
                     bool logical)
{
        DiskSpace *l;

        if (start >= end)
                return 0;
        for (size_t i = 0; logical && i < table->n_records; i++) {
                uint64_t at = table->records[i];
                int r;

                if (at < start || at >= end)
                        continue;
                r = add_space(table, spaces, n, start, at, logical);
                start = at + (uint64_t) (1 + RECORD_SECTORS) * table->sector_size;
                return r < 0 ? r : add_space(table, spaces, n, start, end, logical);
        }
        l = reallocarray(*spaces, *n + 1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l[(*n)++] = (DiskSpace){.start = start, .end = end, .logical = logical};
        *spaces = l;
        return 0;
}

/* Each partition leaves before bytes free in front of it. */
static int add_gaps(const DiskTable *table, bool logical, uint64_t from, uint64_t to, uint64_t before,
                    DiskSpace **spaces, size_t *n)
{
        _cleanup_free_ const DiskPartition **l = NULL;
        size_t n_l;
        int r;

        r = sort_partitions(table, logical, &l, &n_l);
        for (size_t i = 0; r >= 0 && i < n_l; i++) {
                uint64_t start = l[i]->start > before ? l[i]->start - before : 0;

                r = add_space(table, spaces, n, from, start < to ? start : to, logical);
                if (l[i]->end + before > from)
                        from = l[i]->end + before;
        }
        return r < 0 ? r : add_space(table, spaces, n, from, to, logical);
}

static int space_by_start(const void *a, const void *b)
{
        const DiskSpace *x = a, *y = b;

        return x->start < y->start ? -1 : x->start > y->start;
}

int disk_spaces(const DiskTable *table, DiskSpace **ret, size_t *ret_n)
{
        const DiskPartition *extended = disk_table_extended(table);
        uint64_t record = (uint64_t) RECORD_SECTORS * table->sector_size;
        _cleanup_free_ DiskSpace *spaces = NULL;
        size_t n = 0;
        int r;

        r = add_gaps(table, false, table->first, table->last, 0, &spaces, &n);
        if (r >= 0 && extended)
                r = add_gaps(table, true, extended->start + 2 * record, extended->end, record, &spaces, &n);
        if (r < 0)
                return r;
        if (n > 0)
                qsort(spaces, n, sizeof(*spaces), space_by_start);
        *ret = TAKE_PTR(spaces);
        *ret_n = n;
        return 0;
}

static uint64_t round_up(uint64_t size, uint64_t to)
{
        uint64_t more = size % to;

        if (more == 0)
                return size;
        return size > UINT64_MAX - (to - more) ? UINT64_MAX - to : size + (to - more);
}

uint64_t disk_alignment(const DiskTable *table, uint64_t optimal_size)
{
        if (table->cylinder > 0)
                return table->cylinder;
        if (optimal_size == 0 || optimal_size > OPTIMAL_MAX || optimal_size % OPTIMAL_UNIT != 0)
                return ALIGNMENT;
        return round_up(ALIGNMENT, optimal_size);
}

uint64_t disk_round_size(const DiskTable *table, uint64_t size)
{
        return round_up(size, table->cylinder ?: table->sector_size);
}

bool disk_place(const DiskTable *table, const DiskSpace *spaces, size_t n, bool logical, uint64_t size,
                uint64_t alignment, uint64_t *ret_start, uint64_t *ret_largest)
{
        uint64_t unit = table->cylinder ?: table->sector_size, largest = 0, best = UINT64_MAX;

        for (size_t i = 0; i < n; i++) {
                uint64_t start = round_up(spaces[i].start, alignment), room;

                if (spaces[i].logical != logical || start >= spaces[i].end)
                        continue;
                room = (spaces[i].end - start) / unit * unit;
                if (room > largest)
                        largest = room;
                if (room >= size && room < best) {
                        best = room;
                        *ret_start = start;
                }
        }
        *ret_largest = largest;
        return best < UINT64_MAX;
}

uint64_t disk_grow_limit(const DiskTable *table, const DiskPartition *partition)
{
        const DiskPartition *extended = disk_table_extended(table);
        bool logical = partition->kind == PARTITION_LOGICAL;
        uint64_t unit = table->cylinder ?: table->sector_size;
        uint64_t limit = logical && extended ? extended->end : table->last;

        for (size_t i = 0; i < table->n_partitions; i++) {
                const DiskPartition *p = &table->partitions[i];
                uint64_t start = p->start;

                if ((p->kind == PARTITION_LOGICAL) != logical || p->start < partition->end)
                        continue;
                if (logical)
                        start -= (uint64_t) RECORD_SECTORS * table->sector_size;
                if (start < limit)
                        limit = start;
        }
        limit -= limit % unit;
        return limit > partition->end ? limit : partition->end;
}

unsigned disk_next_number(const DiskTable *table, bool logical)
{
        static const unsigned last[_TABLE_MAX] = {
                [TABLE_DOS] = 4, [TABLE_DVH] = 16,  [TABLE_GPT] = 128, [TABLE_MAC] = 60,
                [TABLE_BSD] = 8, [TABLE_PC98] = 16, [TABLE_SUN] = 8,
        };
        unsigned n = logical ? 5 : 1;

        for (; n <= (logical ? 4 + DISK_CHAIN_MAX / 2 : last[table->type]); n++) {
                /* The volume header and the whole volume; the whole disk. */
                if (table->type == TABLE_DVH && (n == 9 || n == 11))
                        continue;
                if (table->type == TABLE_SUN && n == 3)
                        continue;
                if (!disk_table_find(table, n))
                        return n;
        }
        return 0;
}
