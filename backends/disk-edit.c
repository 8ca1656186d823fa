/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "backends/disk-edit.h"

#include "backends/disk-parted.h"
#include "backends/disk-shadow.h"
#include "backends/disk-type.h"

/* A sun label counts cylinders in 16 bits: those of large disks are larger. */
#define CYLINDERS_MAX 65535
#define LARGE_TRACK 63

typedef struct Edit {
        const DiskFile *disk;
        DiskTableType type;
        DiskShadow shadow;
        PedDevice *device;
        PedDisk *table;
        sd_bus_error *error;
} Edit;

/* libparted, once an edit has begun. */
static const Parted *ped;

/* What libparted said last; it hands its messages to one handler for the whole process. */
static char said[512];

static PedExceptionOption on_exception(PedException *e)
{
        (void) snprintf(said, sizeof(said), "%s", e->message);
        /* What it offers to mend is mended in the shadow; what it warns of is not its business. */
        if (e->options & PED_EXCEPTION_FIX)
                return PED_EXCEPTION_FIX;
        if (e->type <= PED_EXCEPTION_WARNING && (e->options & PED_EXCEPTION_IGNORE))
                return PED_EXCEPTION_IGNORE;
        if (e->options & PED_EXCEPTION_OK)
                return PED_EXCEPTION_OK;
        return e->options & PED_EXCEPTION_CANCEL ? PED_EXCEPTION_CANCEL : PED_EXCEPTION_UNHANDLED;
}

static int fail(Edit *e, const char *what)
{
        return error_setf(e->error, STORAGE_ERROR_FAILED, "Cannot %s the %s partition table of %s: %s", what,
                          disk_table_to_string(e->type), e->disk->name,
                          said[0] ? said : "libparted does not say why");
}

static int fail_errno(Edit *e, int r, const char *what)
{
        return error_set_errno(e->error, r, "Cannot %s the %s partition table of %s", what,
                               disk_table_to_string(e->type), e->disk->name);
}

static void edit_done(Edit *e)
{
        if (e->table)
                ped->disk_destroy(e->table);
        if (e->device)
                ped->device_destroy(e->device);
        disk_shadow_done(&e->shadow);
}

/* libparted shall take the shadow for the disk. */
static void set_geometry(Edit *e)
{
        PedDevice *d = e->device;
        int heads = DISK_HEADS, sectors = (int) DISK_TRACK(e->disk->sector_size);

        d->sector_size = d->phys_sector_size = e->disk->sector_size;
        d->length = (PedSector) (e->disk->size / e->disk->sector_size);
        if (e->type == TABLE_SUN && d->length / (heads * sectors) > CYLINDERS_MAX)
                sectors = LARGE_TRACK;
        d->bios_geom = (PedCHSGeometry){
                .cylinders = (int) (d->length / (heads * sectors)),
                .heads = heads,
                .sectors = sectors,
        };
        d->hw_geom = d->bios_geom;
}

static int edit_open(Edit *e)
{
        char path[sizeof("/proc/self/fd/") + 16];
        const char *why;
        int r;

        r = parted_load(&ped, &why);
        if (r < 0)
                return error_setf(e->error, STORAGE_ERROR_UNSUPPORTED,
                                  "Partition tables cannot be changed, as libparted cannot be loaded: %s",
                                  why);
        ped->exception_set_handler(on_exception);
        said[0] = 0;
        r = disk_shadow_open(e->disk, &e->shadow);
        if (r < 0) {
                e->shadow.file.fd = -EBADF;
                return fail_errno(e, r, "read");
        }
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%i", e->shadow.file.fd);
        e->device = ped->device_get(path);
        if (!e->device)
                return fail(e, "read");
        set_geometry(e);
        return 0;
}

static PedDiskType *ped_type(DiskTableType type)
{
        return ped->disk_type_get(type == TABLE_DOS ? "msdos" : disk_table_to_string(type));
}

static int edit_read(Edit *e)
{
        PedDiskType *found;
        int r;

        r = edit_open(e);
        if (r < 0)
                return r;
        found = ped->disk_probe(e->device);
        if (!found || found != ped_type(e->type))
                return fail(e, "find");
        e->table = ped->disk_new(e->device);
        if (!e->table)
                return fail(e, "read");
        /* Partitions lie where we say. */
        if (e->type == TABLE_DOS)
                (void) ped->disk_set_flag(e->table, PED_DISK_CYLINDER_ALIGNMENT, 0);
        return 0;
}

static int edit_commit(Edit *e)
{
        said[0] = 0;
        return ped->disk_commit_to_dev(e->table) ? 0 : fail(e, "write");
}

static int edit_apply(Edit *e)
{
        int r = disk_shadow_apply(&e->shadow, e->disk);

        return r < 0 ? fail_errno(e, r, "write") : 0;
}

/* Others count in units of 512 bytes there, libparted in the disk's sectors. */
int disk_edit_check(const DiskFile *disk, DiskTableType type, sd_bus_error *error)
{
        if (disk->sector_size == 512 || (type != TABLE_DVH && type != TABLE_SUN && type != TABLE_PC98))
                return 0;
        return error_setf(
                error, STORAGE_ERROR_UNSUPPORTED,
                "%s has sectors of %u bytes, and %s partition tables are for those of 512; use gpt",
                disk->name, disk->sector_size, disk_table_to_string(type));
}

int disk_edit_label(const DiskFile *disk, DiskTableType type, sd_bus_error *error)
{
        Edit e = {.disk = disk, .type = type, .error = error, .shadow.file.fd = -EBADF};
        int r;

        r = edit_open(&e);
        if (r >= 0) {
                e.table = ped->disk_new_fresh(e.device, ped_type(type));
                r = e.table ? edit_commit(&e) : fail(&e, "make");
        }
        if (r >= 0)
                r = edit_apply(&e);
        edit_done(&e);
        return r;
}

/* The types of gpt are libparted's flags; the name tells those apart that have one type. */
static bool set_gpt_type(PedPartition *part, const char *format)
{
        static const struct {
                const char *format;
                PedPartitionFlag flag;
        } flags[] = {
                {"none", PED_PARTITION_MSFT_DATA},  {"fat16", PED_PARTITION_MSFT_DATA},
                {"fat32", PED_PARTITION_MSFT_DATA}, {"linux-swap", PED_PARTITION_SWAP},
                {"linux-lvm", PED_PARTITION_LVM},   {"linux-raid", PED_PARTITION_RAID},
        };

        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                if (streq(flags[i].format, format) && !ped->partition_set_flag(part, flags[i].flag, 1))
                        return false;
        }
        return !startswith(format, "fat") || ped->partition_set_name(part, format);
}

static PedPartitionType ped_kind(DiskPartitionKind kind)
{
        if (kind == PARTITION_EXTENDED)
                return PED_PARTITION_EXTENDED;
        return kind == PARTITION_LOGICAL ? PED_PARTITION_LOGICAL : PED_PARTITION_NORMAL;
}

static bool put(PedDisk *table, PedPartition *part)
{
        PedConstraint *exact = ped->constraint_exact(&part->geom);
        bool done = exact && ped->disk_add_partition(table, part, exact);

        if (exact)
                ped->constraint_destroy(exact);
        return done;
}

static int add(Edit *e, const DiskPartition *p)
{
        PedSector start = (PedSector) (p->start / e->disk->sector_size);
        PedSector end = (PedSector) (p->end / e->disk->sector_size) - 1;
        PedPartition *part;

        part = ped->partition_new(e->table, ped_kind(p->kind), NULL, start, end);
        if (!part)
                return fail(e, "add a partition to");
        if (!put(e->table, part)) {
                ped->partition_destroy(part);
                return fail(e, "add a partition to");
        }
        if ((unsigned) part->num != p->number || part->geom.start != start || part->geom.end != end) {
                (void) snprintf(said, sizeof(said), "it would not be partition %u where it should be",
                                p->number);
                return fail(e, "add a partition to");
        }
        if (e->type == TABLE_GPT
                    ? !set_gpt_type(part, p->format)
                    : p->kind == PARTITION_EXTENDED && !ped->partition_set_flag(part, PED_PARTITION_LBA, 1))
                return fail(e, "set the type of a partition in");
        return edit_commit(e);
}

int disk_edit_add(const DiskFile *disk, DiskTableType type, const DiskPartition *p, sd_bus_error *error)
{
        Edit e = {.disk = disk, .type = type, .error = error, .shadow.file.fd = -EBADF};
        int r;

        r = edit_read(&e);
        if (r >= 0)
                r = add(&e, p);
        if (r >= 0 && type != TABLE_GPT) {
                r = disk_type_write(&e.shadow.file, type, p->number, p->end - p->start, p->format);
                if (r < 0)
                        (void) fail_errno(&e, r, "set the type of a partition in");
        }
        if (r >= 0)
                r = edit_apply(&e);
        edit_done(&e);
        return r;
}

int disk_edit_remove(const DiskFile *disk, DiskTableType type, unsigned number, sd_bus_error *error)
{
        Edit e = {.disk = disk, .type = type, .error = error, .shadow.file.fd = -EBADF};
        int r;

        r = edit_read(&e);
        if (r >= 0) {
                PedPartition *part = ped->disk_get_partition(e.table, (int) number);

                if (!part || !ped->disk_delete_partition(e.table, part))
                        r = fail(&e, "remove a partition from");
                else
                        r = edit_commit(&e);
        }
        if (r >= 0)
                r = edit_apply(&e);
        edit_done(&e);
        return r;
}

int disk_edit_resize(const DiskFile *disk, DiskTableType type, unsigned number, uint64_t end,
                     sd_bus_error *error)
{
        Edit e = {.disk = disk, .type = type, .error = error, .shadow.file.fd = -EBADF};
        PedPartition *part;
        int r;

        r = edit_read(&e);
        part = r >= 0 ? ped->disk_get_partition(e.table, (int) number) : NULL;
        if (part) {
                PedSector start = part->geom.start, last = (PedSector) (end / disk->sector_size) - 1;
                PedGeometry *geometry = ped->geometry_new(e.device, start, last - start + 1);
                PedConstraint *exact = geometry ? ped->constraint_exact(geometry) : NULL;

                r = exact && ped->disk_set_partition_geom(e.table, part, exact, start, last)
                            ? edit_commit(&e)
                            : fail(&e, "resize a partition in");
                if (exact)
                        ped->constraint_destroy(exact);
                if (geometry)
                        ped->geometry_destroy(geometry);
        } else if (r >= 0)
                r = fail(&e, "find the partition in");
        if (r >= 0)
                r = edit_apply(&e);
        edit_done(&e);
        return r;
}
