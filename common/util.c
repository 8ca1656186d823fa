/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/util.h"

#include <time.h>

int free_and_strdup(char **p, const char *s)
{
        char *copy = NULL;

        if (s) {
                copy = strdup(s);
                if (!copy)
                        return -ENOMEM;
        }
        free(*p);
        *p = copy;
        return 0;
}

char **strv_free(char **l)
{
        char **i;

        STRV_FOREACH (i, l) {
                free(*i);
        }
        free(l);
        return NULL;
}

size_t strv_length(char *const *l)
{
        size_t n = 0;

        while (l && l[n])
                n++;
        return n;
}

bool strv_contains(char *const *l, const char *s)
{
        char *const *i;

        STRV_FOREACH (i, l) {
                if (streq(*i, s))
                        return true;
        }
        return false;
}

int strv_extend(char ***l, const char *s)
{
        size_t n = strv_length(*l);
        char **grown, *copy;

        copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        grown = reallocarray(*l, n + 2, sizeof(char *));
        if (!grown) {
                free(copy);
                return -ENOMEM;
        }
        grown[n] = copy;
        grown[n + 1] = NULL;
        *l = grown;
        return 0;
}

int strv_copy(char *const *l, char ***ret)
{
        _cleanup_strv_free_ char **copy = NULL;
        char *const *i;
        int r;

        STRV_FOREACH (i, l) {
                r = strv_extend(&copy, *i);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(copy);
        return 0;
}

bool strv_equal(char *const *a, char *const *b)
{
        size_t n = strv_length(a);

        if (n != strv_length(b))
                return false;
        for (size_t i = 0; i < n; i++) {
                if (!streq(a[i], b[i]))
                        return false;
        }
        return true;
}

static uint64_t now_of(clockid_t clock)
{
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

uint64_t now_monotonic(void)
{
        return now_of(CLOCK_MONOTONIC);
}

uint64_t now_realtime(void)
{
        return now_of(CLOCK_REALTIME);
}

/* The length of the valid UTF-8 sequence at s (n bytes left), or 0: no overlong forms, surrogates, >
 * U+10FFFF. */
static size_t utf8_sequence(const unsigned char *s, size_t n)
{
        unsigned char c = s[0];
        size_t len = c < 0x80             ? 1
                     : (c & 0xe0) == 0xc0 ? 2
                     : (c & 0xf0) == 0xe0 ? 3
                     : (c & 0xf8) == 0xf0 ? 4
                                          : 0;
        uint32_t v = len == 1 ? c : len == 2 ? c & 0x1f : len == 3 ? c & 0x0f : c & 0x07;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

        if (len == 0 || len > n)
                return 0;
        for (size_t i = 1; i < len; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                v = v << 6 | (s[i] & 0x3f);
        }
        if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
                return 0;
        return len;
}

bool utf8_is_valid(const char *s)
{
        size_t n = strlen(s);

        while (n > 0) {
                size_t len = utf8_sequence((const unsigned char *) s, n);

                if (len == 0)
                        return false;
                s += len;
                n -= len;
        }
        return true;
}

int utf8_make_valid(const char *s, size_t n, char **ret)
{
        char *buf, *w;

        /* Each bad byte grows to the three bytes of U+FFFD. */
        buf = malloc(n * 3 + 1);
        if (!buf)
                return -ENOMEM;
        w = buf;
        while (n > 0 && *s) {
                size_t len = utf8_sequence((const unsigned char *) s, n);

                if (len == 0) {
                        memcpy(w, "\xef\xbf\xbd", 3);
                        w += 3;
                        len = 1;
                } else if (len == 1 && ((unsigned char) *s < 0x20 || *s == 0x7f))
                        *w++ = '?';
                else {
                        memcpy(w, s, len);
                        w += len;
                }
                s += len;
                n -= len;
        }
        *w = 0;
        *ret = buf;
        return 0;
}
