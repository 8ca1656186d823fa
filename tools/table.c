/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <wchar.h>

#include "common/size.h"
#include "tools/table.h"

#define COLUMNS_MAX 16U
#define GAP 2U

struct Table {
        const char *names[COLUMNS_MAX];
        bool right[COLUMNS_MAX];
        size_t widths[COLUMNS_MAX];
        size_t n_columns;
        char **cells;
        size_t n_cells, allocated;
};

size_t text_width(const char *s)
{
        mbstate_t state = {0};
        size_t width = 0;

        /* nearly all text is ASCII, and a table has many cells */
        for (; *s > 0; s++)
                width++;
        while (*s) {
                wchar_t wc;
                size_t n = mbrtowc(&wc, s, MB_CUR_MAX, &state);
                int w;

                if (n == (size_t) -1 || n == (size_t) -2 || n == 0) {
                        /* a locale without UTF-8: count the characters, not their following bytes */
                        width += ((unsigned char) *s & 0xc0) != 0x80;
                        s++;
                        memset(&state, 0, sizeof(state));
                        continue;
                }
                w = wcwidth(wc);
                width += w > 0 ? (size_t) w : 0;
                s += n;
        }
        return width;
}

Table *table_new(const char *const *columns, size_t n_columns)
{
        Table *t;

        if (n_columns > COLUMNS_MAX)
                return NULL;
        t = calloc(1, sizeof(*t));
        if (!t)
                return NULL;
        t->n_columns = n_columns;
        for (size_t i = 0; i < n_columns; i++) {
                t->right[i] = columns[i][0] == '>';
                t->names[i] = columns[i] + t->right[i];
                t->widths[i] = text_width(t->names[i]);
        }
        return t;
}

Table *table_free(Table *t)
{
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
        return NULL;
}

int table_add(Table *t, const char *cell)
{
        _cleanup_free_ char *clean = NULL;
        size_t *width = &t->widths[t->n_cells % t->n_columns], w;
        int r;

        if (isempty(cell))
                cell = "-";
        r = utf8_make_valid(cell, strlen(cell), &clean);
        if (r < 0)
                return r;
        if (t->n_cells == t->allocated) {
                size_t n = t->allocated ? 2 * t->allocated : 64;
                char **cells = reallocarray(t->cells, n, sizeof(*cells));

                if (!cells)
                        return -ENOMEM;
                t->cells = cells;
                t->allocated = n;
        }
        w = text_width(clean);
        if (w > *width)
                *width = w;
        t->cells[t->n_cells++] = TAKE_PTR(clean);
        return 0;
}

int table_add_size(Table *t, uint64_t bytes)
{
        char buf[SIZE_BUFSIZE];

        return table_add(t, size_format(buf, bytes));
}

static void print_spaces(FILE *f, size_t n)
{
        while (n-- > 0)
                (void) putc_unlocked(' ', f);
}

static void print_cell(const Table *t, FILE *f, size_t column, const char *text)
{
        bool last = column + 1 == t->n_columns;
        size_t width = text_width(text), pad = width < t->widths[column] ? t->widths[column] - width : 0;

        if (t->right[column])
                print_spaces(f, pad);
        (void) fputs(text, f);
        if (last)
                (void) fputc('\n', f);
        else
                print_spaces(f, (t->right[column] ? 0 : pad) + GAP);
}

int table_print(const Table *t, FILE *f, bool legend)
{
        if (legend)
                for (size_t i = 0; i < t->n_columns; i++)
                        print_cell(t, f, i, t->names[i]);
        for (size_t i = 0; i < t->n_cells; i++)
                print_cell(t, f, i % t->n_columns, t->cells[i]);
        return fflush(f) != 0 || ferror(f) ? -EIO : 0;
}
