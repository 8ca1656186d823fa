/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>

#include "common/size.h"
#include "tools/call.h"
#include "tools/copy.h"
#include "tools/follow.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/volume-call.h"
#include "tools/volume-change.h"
#include "tools/volume-clone.h"
#include "tools/volume-guest.h"
#include "tools/volume-list.h"
#include "tools/volume-options.h"
#include "tools/volume-transfer.h"
#include "tools/volume-tree.h"
#include "tools/volume-users.h"

static const Option show_options[] = {
        {"xml", NULL, OPTION_FLAG, NULL, "print libvirt's XML"},
        {0},
};

static const Option create_options[] = {
        {"xml", "FILE", OPTION_STRING, NULL, "take all from XML ('-' is standard input)"},
        {"backing", "VOLUME|PATH", OPTION_STRING, NULL, "be an overlay of it"},
        {"backing-format", "FORMAT", OPTION_STRING, "backing-format", "the format of that"},
        {0},
};

static const Option delete_options[] = {
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has it open"},
        {0},
};

static const Option resize_options[] = {
        {"shrink", NULL, OPTION_FLAG, "shrink", "allow less than it has now"},
        {"delta", NULL, OPTION_FLAG, NULL, "add SIZE to what it has; so does a SIZE like +10G"},
        {"allocate", NULL, OPTION_FLAG, "allocate", "allocate what is added (raw and qcow2)"},
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has it open"},
        {"secret", "USAGE|UUID", OPTION_STRING, "secret", "of an encrypted image, if it is not known"},
        {0},
};

static int print_volume(const Context *c, json_object *volume)
{
        static const ShowProperty properties[] = {
                {"Name", SHOW_TEXT},        {"Path", SHOW_TEXT},          {"Key", SHOW_TEXT},
                {"Type", SHOW_TEXT},        {"Format", SHOW_TEXT},        {"FormatProbed", SHOW_BOOL},
                {"Capacity", SHOW_SIZE},    {"Allocation", SHOW_SIZE},    {"Physical", SHOW_SIZE},
                {"BackingPath", SHOW_TEXT}, {"BackingFormat", SHOW_TEXT}, {"Encryption", SHOW_TEXT},
                {"Dependents", SHOW_TEXT},  {"InUse", SHOW_BOOL},         {"Problem", SHOW_TEXT},
                {"Modified", SHOW_TIME},    {"Mode", SHOW_MODE},          {"Owner", SHOW_ID},
                {"Group", SHOW_ID},         {"ObjectPath", SHOW_TEXT},
        };

        return c->json ? json_print(volume, true)
                       : show_properties(volume, properties, ELEMENTSOF(properties));
}

static int volume_show(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *volume = NULL;
        _cleanup_free_ char *path = NULL;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        if (args_has(a, "xml") && c->json)
                return usage_error("--xml and --json exclude each other");
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0 && args_has(a, "xml"))
                r = print_text(c, path, VOLUME_INTERFACE, "GetXML", a, show_options, &error);
        else if (r >= 0 && (r = read_object(c, path, VOLUME_INTERFACE, &volume, &error)) >= 0)
                r = print_volume(c, volume);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

/* --backing is a path, which the service takes as it is, or the name of a volume of the same pool. */
static int append_backing(Context *c, const char *pool, const Args *a, sd_bus_message *m,
                          sd_bus_error *error)
{
        const char *backing = args_get(a, "backing");
        _cleanup_free_ char *volume = NULL;
        int r;

        if (!backing)
                return 0;
        if (*backing == '/')
                return sd_bus_message_append(m, "{sv}", "backing-path", "s", backing);
        r = find_volume(c, pool, backing, &volume, error);
        return r < 0 ? r : sd_bus_message_append(m, "{sv}", "backing", "o", volume);
}

static int append_create_options(Context *c, const char *pool, const Args *a, sd_bus_message *m,
                                 sd_bus_error *error)
{
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = args_append(a, create_options, m);
        if (r >= 0)
                r = args_append(a, volume_description_options, m);
        if (r >= 0)
                r = append_backing(c, pool, a, m, error);
        if (r >= 0)
                r = call_append_wait(c, m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int new_create_call(Context *c, const char *pool, const Args *a, uint64_t capacity,
                           sd_bus_error *error, sd_bus_message **ret)
{
        const char *file = args_get(a, "xml");
        _cleanup_free_ char *xml = NULL;
        int r;

        if (file) {
                r = read_file(file, &xml, error);
                if (r >= 0)
                        r = call_new(c, pool, POOL_INTERFACE, "CreateVolumeFromXML", error, ret);
                if (r >= 0)
                        r = sd_bus_message_append(*ret, "s", xml);
                return r < 0 ? r : call_options(c, *ret, a, volume_xml_options, true);
        }
        r = call_new(c, pool, POOL_INTERFACE, "CreateVolume", error, ret);
        if (r >= 0)
                r = sd_bus_message_append(*ret, "st", a->operands[1], capacity);
        return r < 0 ? r : append_create_options(c, pool, a, *ret, error);
}

static int check_create_xml(const Args *a)
{
        const Option *const tables[] = {create_options, volume_description_options};

        for (size_t t = 0; t < ELEMENTSOF(tables); t++)
                for (const Option *o = tables[t]; o->name; o++)
                        if (args_has(a, o->name) && !streq(o->name, "xml") &&
                            !streq(o->name, "preallocation"))
                                return usage_error("with --xml, say in the XML what --%s would say",
                                                   o->name);
        if (a->n_operands > 1)
                return usage_error("with --xml, name and size come from the XML, not from '%s'",
                                   a->operands[1]);
        return STATUS_OK;
}

/* With XML there is nothing more to say; without, the size may be left out where a backing volume has one.
 */
static int check_create(const Args *a, uint64_t *ret_capacity)
{
        *ret_capacity = 0;
        if (args_has(a, "xml"))
                return check_create_xml(a);
        if (a->n_operands < 2)
                return usage_error("give the pool, the name of the new volume and its size, or --xml FILE");
        if (a->n_operands < 3)
                return args_has(a, "backing") ? STATUS_OK
                                              : usage_error("give the size of the new volume, such as 10G");
        if (size_parse(a->operands[2], ret_capacity) < 0)
                return usage_error("'%s' is not a size; write it like 512, 10G or 1.5TiB", a->operands[2]);
        return STATUS_OK;
}

static int volume_create(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *pool = NULL, *label = NULL;
        const char *name = a->n_operands > 1 ? a->operands[1] : "volume";
        uint64_t capacity;
        int r;

        r = check_create(a, &capacity);
        if (r != STATUS_OK)
                return r;
        if (asprintf(&label, "create %s", name) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_pool(c, a->operands[0], &pool, &error);
        if (r >= 0)
                r = new_create_call(c, pool, a, capacity, &error, &m);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, r);
        if (args_has(a, "xml"))
                confirm(c, "Volume created from %s.", args_get(a, "xml"));
        else
                confirm(c, "Volume %s created.", name);
        return STATUS_OK;
}

static int delete_one(Context *c, const Args *a, const char *pool, const char *volume)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL, *label = NULL;
        int r;

        if (asprintf(&label, "delete %s", volume) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume(c, pool, volume, &path, &error);
        if (r >= 0)
                r = call_new(c, path, VOLUME_INTERFACE, "Delete", &error, &m);
        if (r >= 0)
                r = call_options(c, m, a, delete_options, true);
        if (r >= 0)
                r = job_call(c, m, label, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Volume %s deleted.", volume);
        return STATUS_OK;
}

static int volume_delete(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *pool = NULL;
        size_t first = volume_operands(a) - 1;
        int status = STATUS_OK, r;

        if (a->n_operands <= first)
                return check_volume_operands(a, 0, NULL);
        if (first == 1) {
                r = find_pool(c, a->operands[0], &pool, &error);
                if (r < 0)
                        return report(c, &error, r);
        }
        for (size_t i = first; i < a->n_operands; i++)
                if (!pool && a->operands[i][0] != '/')
                        return usage_error("'%s' is no absolute path, and no pool was given",
                                           a->operands[i]);
        for (size_t i = first; i < a->n_operands && status != STATUS_INTERRUPTED; i++) {
                int s = delete_one(c, a, pool, a->operands[i]);

                if (status == STATUS_OK || s == STATUS_INTERRUPTED)
                        status = s;
        }
        return status;
}

static int send_resize(Context *c, const Args *a, const char *path, uint64_t size, bool delta,
                       const char *label, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        int r;

        r = call_new(c, path, VOLUME_INTERFACE, "Resize", error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "t", size);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = args_append(a, resize_options, m);
        if (r >= 0 && delta)
                r = sd_bus_message_append(m, "{sv}", "delta", "b", 1);
        if (r >= 0)
                r = call_append_wait(c, m);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : job_call(c, m, label, error);
}

static int volume_resize(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL, *label = NULL;
        const char *text;
        uint64_t size;
        size_t used;
        bool plus;
        int r;

        r = check_volume_operands(a, 1, "the size");
        if (r != STATUS_OK)
                return r;
        text = a->operands[a->n_operands - 1];
        plus = *text == '+';
        if (size_parse(text + plus, &size) < 0)
                return usage_error("'%s' is not a size; write it like 512, 10G, 1.5TiB or +10G", text);
        if (asprintf(&label, "resize %s", a->operands[volume_operands(a) - 1]) < 0)
                return report(c, NULL, -ENOMEM);
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = send_resize(c, a, path, size, plus || args_has(a, "delta"), label, &error);
        if (r < 0)
                return report(c, &error, r);
        confirm(c, "Volume %s resized.", a->operands[used - 1]);
        return STATUS_OK;
}

static int open_volume(Context *c, const char *path, int *ret, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL, *reply = NULL;
        int fd, r;

        r = call_new(c, path, VOLUME_INTERFACE, "Open", error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", "r", 0);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, CALL_CHANGE_TIMEOUT_USEC, error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return r;
        *ret = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return *ret < 0 ? -errno : 0;
}

static int volume_cat(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t used;
        int r;

        r = check_volume_operands(a, 0, NULL);
        if (r != STATUS_OK)
                return r;
        if (isatty(STDOUT_FILENO))
                return usage_error("will not write a volume's contents to a terminal: redirect the output");
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = open_volume(c, path, &fd, &error);
        if (r >= 0)
                r = copy_all(fd, STDOUT_FILENO, &error);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

const Command volume_commands[] = {
        {"volume", "list", "POOL", "list the volumes of a pool", 1, 1, COMMAND_JSON, volume_list_options,
         NULL, volume_list},
        {"volume", "show", "POOL VOLUME|PATH", "show what a volume is and how it is", 1, 2, COMMAND_JSON,
         show_options, NULL, volume_show},
        {"volume", "create", "POOL [NAME [SIZE]]", "make a volume", 1, 3, COMMAND_JOB, create_options,
         volume_description_options, volume_create},
        {"volume", "clone", "POOL VOLUME|PATH NAME", "make a volume with the contents of another", 1, 3,
         COMMAND_JOB, volume_clone_options, volume_description_options, volume_clone},
        {"volume", "convert", "POOL VOLUME|PATH NAME", "make a volume of another format of another", 2, 3,
         COMMAND_JOB, volume_convert_options, volume_description_options, volume_convert},
        {"volume", "import", "POOL NAME FILE|-", "make a volume of what is in a file", 3, 3,
         COMMAND_JOB | COMMAND_JSON, volume_import_options, NULL, volume_import},
        {"volume", "delete", "POOL VOLUME...|PATH...", "delete volumes and what is in them", 1, OPERANDS_MAX,
         COMMAND_JOB, delete_options, NULL, volume_delete},
        {"volume", "resize", "POOL VOLUME|PATH SIZE", "change the capacity of a volume", 2, 3, COMMAND_JOB,
         resize_options, NULL, volume_resize},
        {"volume", "wipe", "POOL VOLUME|PATH", "make the contents of a volume unreadable", 1, 2, COMMAND_JOB,
         volume_wipe_options, NULL, volume_wipe},
        {"volume", "upload", "POOL VOLUME|PATH FILE|-", "write a file over the contents of a volume", 2, 3,
         COMMAND_JOB | COMMAND_JSON, volume_upload_options, NULL, volume_upload},
        {"volume", "download", "POOL VOLUME|PATH FILE|-", "write the contents of a volume to a file", 2, 3,
         COMMAND_JOB | COMMAND_JSON, volume_download_options, NULL, volume_download},
        {"volume", "cat", "POOL VOLUME|PATH", "write the bytes of a volume to standard output", 1, 2, 0,
         NULL, NULL, volume_cat},
        {"volume", "flatten", "POOL VOLUME|PATH", "copy in what a volume is built on", 1, 2, COMMAND_JOB,
         NULL, NULL, volume_flatten},
        {"volume", "rebase", "POOL VOLUME|PATH BACKING", "build a volume on another one", 2, 3, COMMAND_JOB,
         volume_rebase_options, NULL, volume_rebase},
        {"volume", "commit", "POOL VOLUME|PATH", "write a volume into the one that it is built on", 1, 2,
         COMMAND_JOB, NULL, NULL, volume_commit},
        {"volume", "tree", "[POOL]", "show which volumes are built on which", 0, 1, COMMAND_JSON, NULL, NULL,
         volume_tree},
        {"volume", "users", "POOL VOLUME|PATH", "tell who has a volume open", 1, 2, COMMAND_JSON, NULL, NULL,
         volume_users},
        {"volume", "disk-xml", "POOL VOLUME|PATH", "describe a volume to a guest of libvirt", 1, 2, 0,
         volume_disk_xml_options, NULL, volume_disk_xml},
        {"volume", "blockdev", "POOL VOLUME|PATH", "describe a volume to QEMU, as JSON", 1, 2, COMMAND_JSON,
         volume_blockdev_options, NULL, volume_blockdev},
        {0},
};
