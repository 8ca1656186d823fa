/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of pool definitions the golden tests do not show: names, paths, UUIDs, equality, limits. */

#include "common/errors.h"
#include "common/pool-def.h"

#undef NDEBUG
#include <assert.h>

static void test_types(void)
{
        for (PoolType t = 0; t < _POOL_TYPE_MAX; t++) {
                const PoolTypeInfo *info = pool_type_info(t);

                assert(info->type == t);
                assert(pool_type_from_string(pool_type_to_string(t)) == t);
                assert((info->source_required & ~info->source_keys) == 0);
                assert(!info->source_formats == !info->default_format);
                assert(!info->source_formats == !(info->source_keys & POOL_SOURCE_FORMAT));
                assert(!info->volume_formats == !info->default_volume_format);
        }
        assert(pool_type_from_string("floppy") == _POOL_TYPE_INVALID);
        assert(pool_type_from_string("DIR") == _POOL_TYPE_INVALID);
        assert(!pool_type_info(_POOL_TYPE_INVALID));
        assert(!pool_type_to_string(_POOL_TYPE_MAX));
}

static void path_is(const char *path, const char *expected)
{
        _cleanup_free_ char *normal = NULL;
        int r = path_normalize(path, &normal);

        if (expected)
                assert(r == 0 && streq(normal, expected));
        else
                assert(r == -EINVAL && !normal);
}

static void test_paths(void)
{
        char longest[4096 + 1] = "/";

        path_is("/", "/");
        path_is("//", "/");
        path_is("/./", "/");
        path_is("/a", "/a");
        path_is("//a///b/./c/", "/a/b/c");
        path_is("/a/.", "/a");
        path_is("/a/..b/...", "/a/..b/...");
        path_is("", NULL);
        path_is("a", NULL);
        path_is("./a", NULL);
        path_is("/..", NULL);
        path_is("/a/../b", NULL);
        path_is("/a/..", NULL);
        memset(longest + 1, 'a', 4094);
        path_is(longest, longest);
        longest[4095] = 'a';
        path_is(longest, NULL);
}

static void uuid_is(const char *s, const char *expected)
{
        char uuid[37];
        int r = uuid_normalize(s, uuid);

        if (expected)
                assert(r == 0 && streq(uuid, expected));
        else
                assert(r == -EINVAL);
}

static void test_uuids(void)
{
        static const char canonical[] = "0d5a2a61-2e1f-4f2b-9d3c-5a1c4de9b7a0";
        char a[37], b[37];

        uuid_is(canonical, canonical);
        uuid_is("0D5A2A61-2E1F-4F2B-9D3C-5A1C4DE9B7A0", canonical);
        uuid_is("0d5a2a612e1f4f2b9d3c5a1c4de9b7a0", canonical);
        uuid_is("", NULL);
        uuid_is("0d5a2a61-2e1f-4f2b-9d3c-5a1c4de9b7a", NULL);
        uuid_is("0d5a2a61-2e1f-4f2b-9d3c-5a1c4de9b7a00", NULL);
        uuid_is("0d5a2a61-2e1f-4f2b-9d3c5-a1c4de9b7a0", NULL);
        uuid_is("0d5a2a612e1f4f2b9d3c5a1c4de9b7ag", NULL);
        uuid_is("0d5a2a612e1f4f2b-9d3c-a1c4de9b7a", NULL);
        uuid_is("------------------------------------", NULL);

        uuid_generate(a);
        uuid_generate(b);
        assert(!streq(a, b));
        uuid_is(a, a);
        assert(a[14] == '4' && strchr("89ab", a[19]));
}

static void name_is_refused(const char *name)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        assert(pool_name_validate(name, &error) == -EINVAL);
        assert(streq(error.name, STORAGE_ERROR_INVALID_NAME));
        assert(utf8_is_valid(error.message));
        assert(pool_name_validate(name, NULL) == -EINVAL);
}

static void test_names(void)
{
        char name[300] = "";

        assert(pool_name_validate("default", NULL) == 0);
        assert(pool_name_validate("...", NULL) == 0);
        assert(pool_name_validate("mit Umlaut: \xc3\xa4", NULL) == 0);
        memset(name, 'n', 255);
        assert(pool_name_validate(name, NULL) == 0);
        name[255] = 'n';
        name_is_refused(name);
        name_is_refused(NULL);
        name_is_refused("");
        name_is_refused(".");
        name_is_refused("..");
        name_is_refused("a/b");
        name_is_refused("a\nb");
        name_is_refused("a\x7f");
        name_is_refused("\xc2\x85");
        name_is_refused("\xff");
        name_is_refused("\xef\xbf\xbf");
        name_is_refused("cut\xc3");
}

static PoolDef *parse(const char *xml)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        PoolDef *def = NULL;

        if (pool_def_parse_xml(xml, strlen(xml), &def, &error) < 0) {
                fprintf(stderr, "%s\n", error.message);
                abort();
        }
        return def;
}

/* Each of these differs from the first in one thing. */
static void test_equality(void)
{
        static const char head[] = "<pool type='netfs'><name>a</name>";
        static const char *const rests[] = {
                "<source><host name='h'/><dir path='/d'/></source><target><path>/t</path></target></pool>",
                "<source><host name='g'/><dir path='/d'/></source><target><path>/t</path></target></pool>",
                "<source><host name='h' port='1'/><dir "
                "path='/d'/></source><target><path>/t</path></target></pool>",
                "<source><host name='h'/><host name='h'/><dir "
                "path='/d'/></source><target><path>/t</path></target>"
                "</pool>",
                "<source><host name='h'/><dir path='/e'/></source><target><path>/t</path></target></pool>",
                "<source><host name='h'/><dir path='/d'/><format "
                "type='nfs'/></source><target><path>/t</path>"
                "</target></pool>",
                "<source><host name='h'/><dir "
                "path='/d'/></source><target><path>/t</path><permissions><mode>0</mode>"
                "</permissions></target></pool>",
                "<source><host name='h'/><dir path='/d'/></source><target><path>/t</path><permissions>"
                "<label>l</label></permissions></target></pool>",
                "<source><host name='h'/><dir path='/d'/></source><target><path>/t</path></target>"
                "<mount_opts xmlns='http://libvirt.org/schemas/storagepool/fs/1.0'><option "
                "name='ro'/></mount_opts>"
                "</pool>",
        };
        _cleanup_(pool_def_freep) PoolDef *first = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rests); i++) {
                _cleanup_(pool_def_freep) PoolDef *def = NULL, *copy = NULL;
                _cleanup_free_ char *xml = NULL;

                assert(asprintf(&xml, "%s%s", head, rests[i]) > 0);
                def = parse(xml);
                assert(pool_def_copy(def, &copy) == 0);
                assert(pool_def_equal(def, copy));
                if (!first)
                        first = TAKE_PTR(def);
                else
                        assert(!pool_def_equal(first, def));
        }
}

/* Every string is compared, and copied for good. */
static void test_strings(void)
{
        static const size_t strings[] = {
                offsetof(PoolDef, name),
                offsetof(PoolDef, uuid),
                offsetof(PoolDef, source.dir),
                offsetof(PoolDef, source.name),
                offsetof(PoolDef, source.format),
                offsetof(PoolDef, source.protocol_version),
                offsetof(PoolDef, source.vendor),
                offsetof(PoolDef, source.product),
                offsetof(PoolDef, source.initiator_iqn),
                offsetof(PoolDef, source.auth.username),
                offsetof(PoolDef, source.auth.secret_uuid),
                offsetof(PoolDef, source.auth.secret_usage),
                offsetof(PoolDef, source.adapter.name),
                offsetof(PoolDef, source.adapter.parent),
                offsetof(PoolDef, source.adapter.parent_wwnn),
                offsetof(PoolDef, source.adapter.parent_wwpn),
                offsetof(PoolDef, source.adapter.parent_fabric_wwn),
                offsetof(PoolDef, source.adapter.wwnn),
                offsetof(PoolDef, source.adapter.wwpn),
                offsetof(PoolDef, target_path),
                offsetof(PoolDef, permissions.label),
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                _cleanup_(pool_def_freep) PoolDef *a = pool_def_new(POOL_DIR), *b = pool_def_new(POOL_DIR),
                                                  *c = NULL;
                char **in_a = (char **) ((char *) a + strings[i]),
                     **in_b = (char **) ((char *) b + strings[i]);

                assert(free_and_strdup(in_a, "a") == 0 && free_and_strdup(in_b, "b") == 0);
                assert(!pool_def_equal(a, b));
                assert(pool_def_copy(a, &c) == 0);
                assert(*(char **) ((char *) c + strings[i]) != *in_a);
                assert(pool_def_equal(a, c));
        }
}

static void test_equality_of_uuids(void)
{
        _cleanup_(pool_def_freep) PoolDef *a = NULL, *b = NULL, *c = NULL;

        a = parse("<pool type='dir'><name>a</name><target><path>/t</path></target></pool>");
        b = parse("<pool type='dir'><name>a</name><uuid>0d5a2a612e1f4f2b9d3c5a1c4de9b7a0</uuid>"
                  "<target><path>/t</path></target></pool>");
        c = parse("<pool type='dir'><name>a</name><uuid>1d5a2a612e1f4f2b9d3c5a1c4de9b7a0</uuid>"
                  "<target><path>/t</path></target></pool>");
        assert(pool_def_equal(a, b) && pool_def_equal(b, a));
        assert(!pool_def_equal(b, c));
        assert(streq(b->uuid, "0d5a2a61-2e1f-4f2b-9d3c-5a1c4de9b7a0"));
}

/* The document is over before the error has somewhere to go. */
static void test_no_error_wanted(void)
{
        static const char *const xml[] = {
                "<pool", "<pool/>", "<pool type='dir'/>",
                "<pool type='dir'><name>a</name><target><path>t</path></target></pool>"};

        for (size_t i = 0; i < ELEMENTSOF(xml); i++) {
                PoolDef *def = NULL;

                assert(pool_def_parse_xml(xml[i], strlen(xml[i]), &def, NULL) < 0);
                assert(!def);
        }
}

static void test_error_codes(void)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        PoolDef *def = NULL;

        assert(pool_def_parse_xml("<pool/>", 7, &def, &error) == -EBADMSG);
        assert(streq(error.name, STORAGE_ERROR_INVALID_XML));
        sd_bus_error_free(&error);
        assert(pool_def_parse_xml("<pool\0/>", 8, &def, &error) == -EBADMSG);
        assert(streq(error.message, "line 1: the document has NUL bytes"));
        sd_bus_error_free(&error);
        assert(pool_def_parse_xml("<pool type='dir'/>", 18, &def, &error) == -EINVAL);
        assert(streq(error.name, STORAGE_ERROR_INVALID_NAME));
}

int main(void)
{
        test_types();
        test_paths();
        test_uuids();
        test_names();
        test_equality();
        test_strings();
        test_equality_of_uuids();
        test_no_error_wanted();
        test_error_codes();
        return 0;
}
