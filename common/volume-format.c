/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "common/def-util.h"
#include "common/def-xml.h"
#include "common/volume-check.h"

/* All that libvirt's storagevol.rng knows as a volume's format, in whatever pool. */
static const char *const schema_formats[] = {
        "unknown",    "raw",       "dir",        "bochs",    "cloop", "dmg",  "iso",     "vpc",   "vdi",
        "fat",        "vhd",       "ploop",      "luks",     "cow",   "qcow", "qcow2",   "qed",   "vmdk",
        "none",       "auto",      "ext2",       "ext3",     "ext4",  "ufs",  "iso9660", "udf",   "gfs",
        "gfs2",       "vfat",      "hfs+",       "xfs",      "ocfs2", "vmfs", "linux",   "fat16", "fat32",
        "linux-swap", "linux-lvm", "linux-raid", "extended", NULL,
};

/* A format that libvirt has no word for, such as vhdx, is one that it does not know. */
static void write_format(XmlWriter *w, const char *format)
{
        if (format)
                xml_empty(w, "format", "type", def_list_has(schema_formats, format) ? format : "unknown");
}

static void write_time(XmlWriter *w, const char *name, int64_t ns)
{
        static const int64_t second = (int64_t) (NSEC_PER_USEC * USEC_PER_SEC);

        /* The schema has no times before 1970. */
        if (ns <= 0)
                return;
        if (ns % second)
                xml_textf(w, name, "%" PRId64 ".%09" PRId64, ns / second, ns % second);
        else
                xml_textf(w, name, "%" PRId64, ns / second);
}

static void write_times(XmlWriter *w, const VolumeTimes *times)
{
        if (!times->set)
                return;
        xml_open(w, "timestamps");
        write_time(w, "atime", times->atime);
        write_time(w, "btime", times->btime);
        write_time(w, "mtime", times->mtime);
        write_time(w, "ctime", times->ctime);
        xml_close(w);
}

/* The schema has a cipher only beside a secret and an IV generator, which a header alone does not tell. */
static void write_encryption(XmlWriter *w, const VolumeEncryption *e)
{
        if (e->format == ENCRYPTION_NONE)
                return;
        xml_open(w, "encryption");
        xml_attribute(w, "format", encryption_format_to_string(e->format));
        if (e->n_secrets > 0) {
                xml_open(w, "secret");
                xml_attribute(w, "type", e->secrets[0].type);
                xml_attribute(w, "uuid", e->secrets[0].uuid);
                xml_attribute(w, "usage", e->secrets[0].usage);
                xml_close(w);
        }
        if (e->n_secrets > 0 && e->cipher_name && e->ivgen_name) {
                xml_open(w, "cipher");
                xml_attribute(w, "name", e->cipher_name);
                xml_attributef(w, "size", "%" PRIu32, e->cipher_size);
                xml_attribute(w, "mode", e->cipher_mode);
                xml_attribute(w, "hash", e->cipher_hash);
                xml_close(w);
                xml_open(w, "ivgen");
                xml_attribute(w, "name", e->ivgen_name);
                xml_attribute(w, "hash", e->ivgen_hash);
                xml_close(w);
        }
        xml_close(w);
}

static void write_features(XmlWriter *w, const VolumeDef *def)
{
        if (def->lazy_refcounts != TRISTATE_YES && def->extended_l2 != TRISTATE_YES)
                return;
        xml_open(w, "features");
        if (def->lazy_refcounts == TRISTATE_YES) {
                xml_open(w, "lazy_refcounts");
                xml_close(w);
        }
        if (def->extended_l2 == TRISTATE_YES) {
                xml_open(w, "extended_l2");
                xml_close(w);
        }
        xml_close(w);
}

static void write_target(XmlWriter *w, const VolumeDef *def)
{
        xml_open(w, "target");
        xml_text(w, "path", def->target_path);
        write_format(w, def->format);
        permissions_write(w, &def->permissions);
        write_times(w, &def->times);
        write_encryption(w, &def->encryption);
        xml_text(w, "compat", def->compat);
        if (def->nocow) {
                xml_open(w, "nocow");
                xml_close(w);
        }
        if (def->cluster_size > 0)
                xml_size(w, "clusterSize", "B", def->cluster_size);
        write_features(w, def);
        xml_close(w);
}

/*
 * The backing store's path as the schema has it, absolute, in *ret: a relative one counts from the folder of
 * the volume, as QEMU sees it. NULL for what is no file.
 */
static int backing_path(const VolumeDef *def, char **ret)
{
        const char *end;

        *ret = NULL;
        if (!def->backing_path || volume_check_backing_path(def->backing_path, NULL) < 0)
                return 0;
        end = def->target_path ? strrchr(def->target_path, '/') : NULL;
        if (def->backing_path[0] == '/' || !end)
                return free_and_strdup(ret, def->backing_path);
        if (asprintf(ret, "%.*s/%s", (int) (end - def->target_path), def->target_path, def->backing_path) <
            0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

static void write_backing(XmlWriter *w, const VolumeDef *def)
{
        _cleanup_free_ char *path = NULL;

        if (backing_path(def, &path) < 0)
                w->failed = true;
        if (!path)
                return;
        xml_open(w, "backingStore");
        xml_text(w, "path", path);
        write_format(w, def->backing_format);
        permissions_write(w, &def->backing_permissions);
        write_times(w, &def->backing_times);
        xml_close(w);
}

static void write_source(XmlWriter *w, const VolumeDef *def)
{
        if (def->n_extents == 0)
                return;
        xml_open(w, "source");
        for (size_t i = 0; i < def->n_extents; i++) {
                const VolumeExtent *e = &def->extents[i];
                bool first = i == 0 || !streq(e->device, e[-1].device);
                bool last = i + 1 == def->n_extents || !streq(e->device, e[1].device);

                /* Extents of one device that follow each other stand in one element. */
                if (first) {
                        xml_open(w, "device");
                        xml_attribute(w, "path", e->device);
                }
                xml_open(w, "extent");
                xml_attributef(w, "start", "%" PRIu64, e->start);
                xml_attributef(w, "end", "%" PRIu64, e->end);
                xml_close(w);
                if (last)
                        xml_close(w);
        }
        xml_close(w);
}

int volume_def_format_xml(const VolumeDef *def, char **ret)
{
        XmlWriter w;
        int r;

        r = xml_writer_start(&w);
        if (r < 0)
                return r;
        xml_open(&w, "volume");
        /* The schema has no type for ploop: it is a folder with the format of that name. */
        xml_attribute(&w, "type", volume_type_to_string(def->type == VOLUME_PLOOP ? VOLUME_DIR : def->type));
        xml_text(&w, "name", def->name);
        xml_text(&w, "key", def->key);
        write_source(&w, def);
        if (def->capacity_set)
                xml_size(&w, "capacity", "bytes", def->capacity);
        if (def->capacity_set || def->allocation_set)
                xml_size(&w, "allocation", "bytes", def->allocation);
        if (def->physical > 0)
                xml_size(&w, "physical", "bytes", def->physical);
        write_target(&w, def);
        write_backing(&w, def);
        xml_close(&w);
        return xml_writer_finish(&w, ret);
}
