/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/size.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

static const char size_letters[] = "KMGTPE";

/* The factor of a unit, or 0 if there is no such unit. */
static uint64_t unit_factor(const char *unit)
{
        const char *letter;
        uint64_t base, factor = 1;

        if (isempty(unit) || strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 ||
            strcasecmp(unit, "bytes") == 0)
                return 1;
        letter = strchr(size_letters, toupper((unsigned char) unit[0]));
        if (!letter)
                return 0;
        if (unit[1] == 0 || strcasecmp(unit + 1, "ib") == 0)
                base = 1024;
        else if (strcasecmp(unit + 1, "b") == 0)
                base = 1000;
        else
                return 0;
        for (const char *p = size_letters; p <= letter; p++)
                factor *= base;
        return factor;
}

static const char *skip_spaces(const char *s)
{
        while (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\r')
                s++;
        return s;
}

/* Reads decimal digits at *s and moves it behind them. */
static int read_digits(const char **s, uint64_t *ret)
{
        const char *p = *s;
        uint64_t v = 0;

        if (!isdigit((unsigned char) *p))
                return -EINVAL;
        for (; isdigit((unsigned char) *p); p++) {
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v))
                        return -ERANGE;
        }
        *s = p;
        *ret = v;
        return 0;
}

static int multiply(uint64_t value, uint64_t factor, uint64_t *ret)
{
        uint64_t v;

        if (__builtin_mul_overflow(value, factor, &v) || v > INT64_MAX)
                return -ERANGE;
        *ret = v;
        return 0;
}

/* Minus and digits: a number, but none that is a size. */
static bool is_negative(const char *s)
{
        return s[0] == '-' && isdigit((unsigned char) s[1]);
}

int size_parse_unit(const char *value, const char *unit, uint64_t *ret)
{
        uint64_t v, factor = unit_factor(unit);
        const char *s = skip_spaces(strempty(value));
        int r;

        if (is_negative(s))
                return -ERANGE;
        r = read_digits(&s, &v);
        if (r < 0)
                return r;
        if (*skip_spaces(s) || factor == 0)
                return -EINVAL;
        return multiply(v, factor, ret);
}

/* The digits behind a decimal point, as a part of factor: what is less than a byte is cut off. */
static int read_fraction(const char **s, uint64_t factor, uint64_t *ret)
{
        uint64_t numerator = 0, denominator = 1;
        const char *p = *s;

        if (!isdigit((unsigned char) *p))
                return -EINVAL;
        for (; isdigit((unsigned char) *p); p++) {
                /* 18 digits are finer than a byte of an exbibyte: the rest changes nothing. */
                if (denominator >= UINT64_C(1000000000000000000))
                        continue;
                numerator = numerator * 10 + (uint64_t) (*p - '0');
                denominator *= 10;
        }
        *s = p;
        *ret = (uint64_t) ((unsigned __int128) numerator * factor / denominator);
        return 0;
}

/* The unit at the end of a string, without the spaces around it. */
static int read_unit(const char *s, uint64_t *ret_factor)
{
        char unit[8] = "";
        size_t n;

        s = skip_spaces(s);
        n = strcspn(s, " \t\r\n");
        if (n >= sizeof(unit) || *skip_spaces(s + n))
                return -EINVAL;
        memcpy(unit, s, n);
        *ret_factor = unit_factor(unit);
        return *ret_factor > 0 ? 0 : -EINVAL;
}

int size_parse(const char *s, uint64_t *ret)
{
        const char *fraction = NULL;
        uint64_t v, factor, part = 0;
        int r;

        s = skip_spaces(s);
        if (is_negative(s))
                return -ERANGE;
        r = read_digits(&s, &v);
        if (r < 0)
                return r;
        if (*s == '.') {
                fraction = ++s;
                s += strspn(s, "0123456789");
        }
        r = read_unit(s, &factor);
        if (r < 0)
                return r;
        if (fraction) {
                r = read_fraction(&fraction, factor, &part);
                if (r < 0)
                        return r;
        }
        r = multiply(v, factor, &v);
        if (r < 0)
                return r;
        if (part > INT64_MAX - v)
                return -ERANGE;
        *ret = v + part;
        return 0;
}

const char *size_format(char buf[static SIZE_BUFSIZE], uint64_t bytes)
{
        static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        double v = (double) bytes;
        size_t i = 0;

        for (; v >= 1024 && i + 1 < ELEMENTSOF(names); i++)
                v /= 1024;
        (void) snprintf(buf, SIZE_BUFSIZE, "%.2f %s", v, names[i]);
        return buf;
}
