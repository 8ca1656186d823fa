/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What of volume definitions the golden tests do not show: options of CreateVolume, and what is only
 * printed. */

#include "common/errors.h"
#include "common/volume-def.h"
#include "tests/unit/bus-message.h"

#undef NDEBUG
#include <assert.h>

static void test_names(void)
{
        for (VolumeType t = 0; t < _VOLUME_TYPE_MAX; t++)
                assert(volume_type_from_string(volume_type_to_string(t)) == t);
        assert(volume_type_from_string("tape") == _VOLUME_TYPE_INVALID);
        assert(!volume_type_to_string(_VOLUME_TYPE_INVALID));
        assert(streq(encryption_format_to_string(ENCRYPTION_NONE), ""));
        assert(streq(encryption_format_to_string(ENCRYPTION_LUKS2), "luks2"));
        assert(volume_name_validate("disk.img", NULL) == 0);
        assert(volume_name_validate(".hidden", NULL) == 0);
        assert(volume_name_validate("../x", NULL) == -EINVAL);
        assert(volume_name_validate(".storaged-new-0123456789abcdef", NULL) == -EINVAL);
        assert(volume_name_validate(".storaged-snap-a@b", NULL) == -EINVAL);
}

/* One option with a value of that type; the result of reading it. */
static int read_option(VolumeDef *def, const char *key, sd_bus_error *error, const char *type, ...)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_bus_close_ sd_bus *bus = NULL;
        const char *rest;
        va_list ap;
        int r;

        m = unsent_message(&bus);
        assert(sd_bus_message_open_container(m, 'v', type) >= 0);
        va_start(ap, type);
        assert(sd_bus_message_appendv(m, type, ap) >= 0);
        va_end(ap);
        assert(sd_bus_message_close_container(m) >= 0);
        assert(sd_bus_message_append(m, "s", "rest") >= 0);
        seal_message(m);
        r = volume_def_read_option(def, key, m, error);
        if (r > 0)
                assert(sd_bus_message_read(m, "s", &rest) > 0 && streq(rest, "rest"));
        if (r == 0)
                assert(sd_bus_message_skip(m, "v") > 0);
        return r;
}

static void test_options(void)
{
        _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new();

        assert(read_option(def, "format", NULL, "s", "qcow2") == 1);
        assert(read_option(def, "compat", NULL, "s", "1.1") == 1);
        assert(read_option(def, "encryption", NULL, "s", "luks") == 1);
        assert(read_option(def, "backing-path", NULL, "s", "/b") == 1);
        assert(read_option(def, "backing-format", NULL, "s", "raw") == 1);
        assert(read_option(def, "allocation", NULL, "t", UINT64_C(4096)) == 1);
        assert(read_option(def, "cluster-size", NULL, "t", UINT64_C(65536)) == 1);
        assert(read_option(def, "mode", NULL, "u", 0640) == 1);
        assert(read_option(def, "owner", NULL, "u", 1) == 1);
        assert(read_option(def, "group", NULL, "u", 2) == 1);
        assert(read_option(def, "nocow", NULL, "b", 1) == 1);
        assert(read_option(def, "lazy-refcounts", NULL, "b", 1) == 1);
        assert(read_option(def, "extended-l2", NULL, "b", 0) == 1);
        assert(read_option(def, "preallocation", NULL, "s", "off") == 0);

        assert(streq(def->format, "qcow2") && streq(def->compat, "1.1"));
        assert(def->encryption.format == ENCRYPTION_LUKS);
        assert(streq(def->backing_path, "/b") && streq(def->backing_format, "raw"));
        assert(def->allocation_set && def->allocation == 4096 && def->cluster_size == 65536);
        assert(def->permissions.mode == 0640 && def->permissions.owner == 1 && def->permissions.group == 2);
        assert(def->nocow && def->lazy_refcounts == TRISTATE_YES && def->extended_l2 == TRISTATE_NO);

        assert(read_option(def, "encryption", NULL, "s", "") == 1);
        assert(read_option(def, "backing-path", NULL, "s", "") == 1);
        assert(def->encryption.format == ENCRYPTION_NONE && !def->backing_path);
}

static void test_wrong_options(void)
{
        static const char *const keys[] = {"format",         "compat",        "encryption", "backing-path",
                                           "backing-format", "allocation",    "mode",       "owner",
                                           "cluster-size",   "group",         "nocow",      "raw",
                                           "extended-l2",    "lazy-refcounts"};
        _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new();

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

                if (streq(keys[i], "raw")) {
                        assert(read_option(def, keys[i], &error, "d", 1.0) == 0);
                        continue;
                }
                assert(read_option(def, keys[i], &error, "d", 1.0) == -EINVAL);
                assert(streq(error.name, STORAGE_ERROR_INVALID_ARGUMENT));
                assert(strstr(error.message, keys[i]));
        }
        assert(read_option(def, "encryption", NULL, "s", "rot13") == -EINVAL);
        assert(read_option(def, "format", NULL, "as", 1, "raw") == -EINVAL);
}

static VolumeDef *make(const char *format, uint64_t capacity)
{
        VolumeDef *def = volume_def_new();

        assert(def && free_and_strdup(&def->name, "v") == 0 && free_and_strdup(&def->format, format) == 0);
        def->capacity = capacity;
        def->capacity_set = true;
        return def;
}

static void test_defaults(void)
{
        _cleanup_(volume_def_freep) VolumeDef *file = make(NULL, 10), *part = make(NULL, 10),
                                              *lv = make("raw", 10), *folder = make("dir", 0);

        assert(volume_def_validate(file, POOL_DIR, NULL) == 0);
        assert(streq(file->format, "raw") && file->allocation == 10 && !file->allocation_set);
        assert(volume_def_validate(part, POOL_DISK, NULL) == 0);
        assert(streq(part->format, "none"));
        assert(volume_def_validate(lv, POOL_LOGICAL, NULL) == 0);
        assert(!lv->format);
        assert(volume_def_validate(folder, POOL_DIR, NULL) == 0);
        assert(folder->type == VOLUME_DIR);
}

/* Every string is copied for good. */
static void test_copied_strings(void)
{
        static const size_t strings[] = {
                offsetof(VolumeDef, name),
                offsetof(VolumeDef, key),
                offsetof(VolumeDef, target_path),
                offsetof(VolumeDef, format),
                offsetof(VolumeDef, permissions.label),
                offsetof(VolumeDef, encryption.cipher_name),
                offsetof(VolumeDef, encryption.cipher_mode),
                offsetof(VolumeDef, encryption.cipher_hash),
                offsetof(VolumeDef, encryption.ivgen_name),
                offsetof(VolumeDef, encryption.ivgen_hash),
                offsetof(VolumeDef, compat),
                offsetof(VolumeDef, backing_path),
                offsetof(VolumeDef, backing_format),
                offsetof(VolumeDef, backing_permissions.label),
        };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                _cleanup_(volume_def_freep) VolumeDef *def = volume_def_new(), *copy = NULL;
                char **own = (char **) ((char *) def + strings[i]), **copied;

                assert(free_and_strdup(own, "a") == 0);
                assert(volume_def_copy(def, &copy) == 0);
                copied = (char **) ((char *) copy + strings[i]);
                assert(*copied != *own && streq(*copied, "a"));
        }
}

static void test_sizes(void)
{
        _cleanup_(volume_def_freep) VolumeDef *large = make("raw", (uint64_t) INT64_MAX + 1),
                                              *zero = make("raw", 0);
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;

        assert(volume_def_validate(large, POOL_DIR, &error) == -EINVAL);
        assert(streq(error.name, STORAGE_ERROR_INVALID_ARGUMENT));
        assert(volume_def_validate(zero, POOL_DIR, NULL) == 0);
}

static char *print(const VolumeDef *def)
{
        char *text = NULL;

        assert(volume_def_format_xml(def, &text) == 0);
        assert(utf8_is_valid(text));
        return text;
}

/* What is found on disk may be nothing that a definition can have, and has to be printed still. */
static void test_foreign_volumes(void)
{
        _cleanup_(volume_def_freep) VolumeDef *def = make("vhdx", 1), *copy = NULL;
        _cleanup_free_ char *text = NULL, *linked = NULL, *far = NULL;

        def->type = VOLUME_PLOOP;
        def->encryption = (VolumeEncryption){.format = ENCRYPTION_LUKS, .cipher_name = strdup("aes")};
        assert(free_and_strdup(&def->key, "a\x01\xff\xef\xbf\xbe]]>") == 0);
        text = print(def);
        assert(strstr(text, "<volume type='dir'>"));
        assert(strstr(text, "<format type='unknown'/>"));
        assert(strstr(text, "<encryption format='luks'/>"));
        assert(strstr(text, "<key>a?\xef\xbf\xbd\xef\xbf\xbd]]&gt;</key>"));

        assert(free_and_strdup(&def->target_path, "/images/a.qcow2") == 0);
        assert(free_and_strdup(&def->backing_path, "base/b.qcow2") == 0);
        linked = print(def);
        assert(strstr(linked, "<path>/images/base/b.qcow2</path>"));

        assert(volume_def_copy(def, &copy) == 0);
        assert(free_and_strdup(&copy->backing_path, "nbd://example.com/b") == 0);
        far = print(copy);
        assert(!strstr(far, "backingStore"));
}

int main(void)
{
        assert(storage_errors_register() >= 0);
        test_names();
        test_options();
        test_wrong_options();
        test_defaults();
        test_copied_strings();
        test_sizes();
        test_foreign_volumes();
        return 0;
}
