/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reads definitions, proves that no way through the codec loses anything of them, and prints them. Each line
 * of standard input is one to read, of three words with tabs between them:
 *
 *     pool - FILE            as a definition at rest
 *     pool-status - FILE     with the sizes of a running pool
 *     source TYPE FILE       <source> alone, printed as the whole of a pool without a name
 *     volume TYPE FILE       as a definition, for a pool of that type
 *     printed TYPE FILE      with all that only existing volumes have
 *
 * The answer is a line "ok N" or "error N", then N bytes: the XML, or "ErrorName: message". If something was
 * lost, the program ends with status 2 and says on standard error what it was.
 */

#include "common/errors.h"
#include "common/volume-def.h"
#include "tests/unit/bus-message.h"

static void lost(const char *what, const char *a, const char *b)
{
        (void) fprintf(stderr, "%s\n--- before\n%s\n--- after\n%s\n", what, strempty(a), strempty(b));
        exit(2);
}

static void must(int r, const char *what)
{
        if (r >= 0)
                return;
        (void) fprintf(stderr, "%s: %s\n", what, strerrordesc_np(-r));
        exit(2);
}

/* The answer to one line: what do_…() filled, and what kind it is. */
typedef struct Answer {
        bool ok;
        char *text;
} Answer;

static Answer failed(const sd_bus_error *error)
{
        char *text;

        const char *name = error->name ? startswith(error->name, STORAGE_ERROR_PREFIX) : NULL;

        if (!name)
                lost("an error without a name of ours", error->name, error->message);
        must(asprintf(&text, "%s: %s\n", name, error->message), "message");
        return (Answer){false, text};
}

static char *read_file(const char *path, size_t *ret_size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char *buf = malloc(DEF_XML_MAX + 2);

        must(f && buf ? 0 : -errno, path);
        *ret_size = fread(buf, 1, DEF_XML_MAX + 1, f);
        buf[*ret_size] = 0;
        return buf;
}

static void check_pool_dict(const PoolDef *def)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *back = NULL;
        _cleanup_bus_close_ sd_bus *bus = NULL;

        m = unsent_message(&bus);
        must(pool_def_append_dict(def, m), "pool_def_append_dict");
        seal_message(m);
        if (pool_def_read_dict(m, def->name, def->type, &back, &error) < 0)
                lost("its dictionary is refused", def->name, error.message);
        if (!pool_def_equal(def, back))
                lost("lost in the dictionary", def->name, back->name);
}

static void check_pool_copy(const PoolDef *def, const char *text)
{
        _cleanup_(pool_def_freep) PoolDef *copy = NULL;
        _cleanup_free_ char *again = NULL;

        must(pool_def_copy(def, &copy), "pool_def_copy");
        must(pool_def_format_xml(copy, NULL, &again), "pool_def_format_xml");
        if (!streq(text, again) || !pool_def_equal(def, copy))
                lost("lost by copying", text, again);
}

static Answer do_pool(const char *xml, size_t n, const PoolStatus *status)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL, *back = NULL;
        _cleanup_free_ char *text = NULL, *again = NULL, *shown = NULL;

        if (pool_def_parse_xml(xml, n, &def, &error) < 0)
                return failed(&error);
        must(pool_def_format_xml(def, NULL, &text), "pool_def_format_xml");
        if (pool_def_parse_xml(text, strlen(text), &back, &error) < 0)
                lost("what was printed is refused", text, error.message);
        must(pool_def_format_xml(back, NULL, &again), "pool_def_format_xml");
        if (!streq(text, again) || !pool_def_equal(def, back))
                lost("lost by printing and reading", text, again);
        check_pool_dict(def);
        check_pool_copy(def, text);
        must(pool_def_format_xml(def, status, &shown), "pool_def_format_xml");
        return (Answer){true, TAKE_PTR(shown)};
}

static Answer do_source(PoolType type, const char *xml, size_t n)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(pool_def_freep) PoolDef *def = NULL;
        _cleanup_free_ char *text = NULL;

        if (pool_source_parse_xml(type, xml, n, &def, &error) < 0)
                return failed(&error);
        must(pool_def_format_xml(def, NULL, &text), "pool_def_format_xml");
        return (Answer){true, TAKE_PTR(text)};
}

static void add_extent(VolumeDef *def, const char *device, uint64_t start, uint64_t end)
{
        VolumeExtent *grown = reallocarray(def->extents, def->n_extents + 1, sizeof(VolumeExtent));

        must(grown ? 0 : -ENOMEM, "extent");
        def->extents = grown;
        grown[def->n_extents++] = (VolumeExtent){strdup(device), start, end};
}

/* As the service does it for a volume that exists. */
static void make_existing(VolumeDef *def)
{
        must(free_and_strdup(&def->key, "/images/<key>"), "key");
        must(free_and_strdup(&def->target_path, "/images/disk & one.img"), "path");
        add_extent(def, "/dev/sdb1", 0, 4096);
        add_extent(def, "/dev/sdb1", 8192, 12288);
        add_extent(def, "/dev/sdc1", 0, 512);
        def->physical = 12800;
        def->permissions.mode = 0600;
        def->permissions.owner = def->permissions.group = 0;
        def->times = (VolumeTimes){true, 1700000000 * INT64_C(1000000000) + 7, 0,
                                   1600000000 * INT64_C(1000000000), -5};
}

static Answer do_volume(PoolType type, const char *xml, size_t n, bool existing)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(volume_def_freep) VolumeDef *def = NULL, *back = NULL, *copy = NULL;
        _cleanup_free_ char *text = NULL, *again = NULL, *copied = NULL;

        if (volume_def_parse_xml(xml, n, type, &def, &error) < 0)
                return failed(&error);
        if (existing)
                make_existing(def);
        must(volume_def_format_xml(def, &text), "volume_def_format_xml");
        must(volume_def_copy(def, &copy), "volume_def_copy");
        must(volume_def_format_xml(copy, &copied), "volume_def_format_xml");
        if (!streq(text, copied))
                lost("lost by copying", text, copied);
        if (volume_def_parse_xml(text, strlen(text), type, &back, &error) < 0)
                lost("what was printed is refused", text, error.message);
        must(volume_def_format_xml(back, &again), "volume_def_format_xml");
        if (!existing && !streq(text, again))
                lost("lost by printing and reading", text, again);
        return (Answer){true, TAKE_PTR(text)};
}

static Answer answer(const char *what, const char *type_name, const char *path)
{
        static const PoolStatus running = {10737418240, 4294967296, 6442450944};
        PoolType type = pool_type_from_string(type_name);
        _cleanup_free_ char *xml = NULL;
        size_t n;

        xml = read_file(path, &n);
        if (streq(what, "pool"))
                return do_pool(xml, n, NULL);
        if (streq(what, "pool-status"))
                return do_pool(xml, n, &running);
        must(type == _POOL_TYPE_INVALID ? -EINVAL : 0, type_name);
        if (streq(what, "source"))
                return do_source(type, xml, n);
        return do_volume(type, xml, n, streq(what, "printed"));
}

int main(void)
{
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        ssize_t n;

        must(storage_errors_register(), "errors");
        while ((n = getline(&line, &size, stdin)) > 0) {
                char *type = strchr(line, '\t'), *path = type ? strchr(type + 1, '\t') : NULL;
                Answer a;

                must(path && line[n - 1] == '\n' ? 0 : -EINVAL, line);
                line[n - 1] = *type++ = *path++ = 0;
                a = answer(line, type, path);
                (void) printf("%s %zu\n%s", a.ok ? "ok" : "error", strlen(a.text), a.text);
                (void) fflush(stdout);
                free(a.text);
        }
        return 0;
}
