/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/size.h"

#undef NDEBUG
#include <assert.h>

static void unit_is(const char *value, const char *unit, uint64_t expected)
{
        uint64_t v = 0;

        assert(size_parse_unit(value, unit, &v) == 0);
        assert(v == expected);
}

static void test_units(void)
{
        uint64_t v = 42;

        unit_is("7", NULL, 7);
        unit_is("7", "", 7);
        unit_is("7", "B", 7);
        unit_is("7", "byte", 7);
        unit_is("7", "BYTES", 7);
        unit_is("7", "k", 7 * 1024);
        unit_is("7", "KiB", 7 * 1024);
        unit_is("7", "kib", 7 * 1024);
        unit_is("7", "KB", 7000);
        unit_is("7", "M", 7 << 20);
        unit_is("7", "mB", 7000000);
        unit_is("7", "G", UINT64_C(7) << 30);
        unit_is("7", "gb", UINT64_C(7000000000));
        unit_is("7", "TiB", UINT64_C(7) << 40);
        unit_is("7", "P", UINT64_C(7) << 50);
        unit_is("7", "E", UINT64_C(7) << 60);
        unit_is("7", "EB", UINT64_C(7000000000000000000));
        unit_is(" \n7\t", "K", 7168);
        unit_is("9223372036854775807", "B", INT64_MAX);

        assert(size_parse_unit("9223372036854775808", "B", &v) == -ERANGE);
        assert(size_parse_unit("99999999999999999999", "B", &v) == -ERANGE);
        assert(size_parse_unit("8", "E", &v) == -ERANGE);
        assert(size_parse_unit("17592186044416", "M", &v) == -ERANGE);
        assert(size_parse_unit("-1", "B", &v) == -ERANGE);
        assert(size_parse_unit("-1", "parsec", &v) == -ERANGE);
        assert(size_parse_unit("1", "parsec", &v) == -EINVAL);
        assert(size_parse_unit("1", "Ki", &v) == -EINVAL);
        assert(size_parse_unit("1", "KiBs", &v) == -EINVAL);
        assert(size_parse_unit("1", "Z", &v) == -EINVAL);
        assert(size_parse_unit("", "K", &v) == -EINVAL);
        assert(size_parse_unit(NULL, "K", &v) == -EINVAL);
        assert(size_parse_unit("+1", "K", &v) == -EINVAL);
        assert(size_parse_unit("0x10", NULL, &v) == -EINVAL);
        assert(size_parse_unit("1 2", NULL, &v) == -EINVAL);
        assert(size_parse_unit("1.5", "K", &v) == -EINVAL);
        assert(v == 42);
}

static void size_is(const char *s, uint64_t expected)
{
        uint64_t v = 0;

        assert(size_parse(s, &v) == 0);
        assert(v == expected);
}

static void test_strings(void)
{
        uint64_t v = 42;

        size_is("512", 512);
        size_is("10G", UINT64_C(10) << 30);
        size_is("10 GiB", UINT64_C(10) << 30);
        size_is(" 20 MB ", 20000000);
        size_is("1.5 GiB", UINT64_C(3) << 29);
        size_is("1.5k", 1536);
        size_is("0.5", 0);
        size_is("2.999B", 2);
        size_is("0.1KB", 100);
        size_is("1.0000000000000000000000001M", 1 << 20);
        size_is("7.999999999999999999E", INT64_MAX - 1);
        size_is("0", 0);

        assert(size_parse("", &v) == -EINVAL);
        assert(size_parse("G", &v) == -EINVAL);
        assert(size_parse("1.G", &v) == -EINVAL);
        assert(size_parse(".5G", &v) == -EINVAL);
        assert(size_parse("1.5.5G", &v) == -EINVAL);
        assert(size_parse("1e3", &v) == -EINVAL);
        assert(size_parse("1 G B", &v) == -EINVAL);
        assert(size_parse("1 gigabytes", &v) == -EINVAL);
        assert(size_parse("-1G", &v) == -ERANGE);
        assert(size_parse("8E", &v) == -ERANGE);
        assert(v == 42);
}

static void text_is(uint64_t bytes, const char *expected)
{
        char buf[SIZE_BUFSIZE];

        assert(streq(size_format(buf, bytes), expected));
}

static void test_format(void)
{
        text_is(0, "0.00 B");
        text_is(1023, "1023.00 B");
        text_is(1024, "1.00 KiB");
        text_is(1536, "1.50 KiB");
        text_is(UINT64_C(10) << 30, "10.00 GiB");
        text_is(UINT64_MAX, "16.00 EiB");
}

int main(void)
{
        test_units();
        test_strings();
        test_format();
        return 0;
}
