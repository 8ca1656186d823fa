/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/volume-transfer.h"

#include "common/size.h"
#include "tools/follow.h"
#include "tools/local-file.h"
#include "tools/report.h"
#include "tools/volume-call.h"

const Option volume_upload_options[] = {
        {"offset", "SIZE", OPTION_SIZE, "offset", "where in the volume to begin"},
        {"length", "SIZE", OPTION_SIZE, "length", "how much; needed for a pipe"},
        {"sparse", NULL, OPTION_FLAG, "sparse", "let zeros and holes become holes"},
        {"sha256", NULL, OPTION_FLAG, "sha256", "tell the checksum of what went through"},
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has the volume open"},
        {0},
};

const Option volume_download_options[] = {
        {"offset", "SIZE", OPTION_SIZE, "offset", "where in the volume to begin"},
        {"length", "SIZE", OPTION_SIZE, "length", "how much, instead of all up to the end"},
        {"sparse", NULL, OPTION_FLAG, "sparse", "let zeros and holes become holes"},
        {"sha256", NULL, OPTION_FLAG, "sha256", "tell the checksum of what went through"},
        {"overwrite", NULL, OPTION_FLAG, NULL, "replace a file that exists"},
        {"force", NULL, OPTION_FLAG, "force", "even if somebody has the volume open"},
        {0},
};

const Option volume_import_options[] = {
        {"format", "FORMAT", OPTION_STRING, "format", "what the contents must be"},
        {"length", "SIZE", OPTION_SIZE, "length", "how much; needed for a pipe"},
        {"sparse", NULL, OPTION_FLAG, "sparse", "let zeros and holes become holes"},
        {"sha256", NULL, OPTION_FLAG, "sha256", "tell the checksum of what went through"},
        {"allocation", "SIZE", OPTION_SIZE, "allocation",
         "how much to allocate, where volumes are no files"},
        {"nocow", NULL, OPTION_FLAG, "nocow", "no copy on write by the filesystem"},
        {"mode", "MODE", OPTION_MODE, "mode", "permissions, octal"},
        {"owner", "USER", OPTION_USER, "owner", "owner"},
        {"group", "GROUP", OPTION_GROUP, "group", "group"},
        {0},
};

/* out: where volumes' contents do not go. */
static int print_result(const Context *c, json_object *result, FILE *out, const char *volume,
                        const char *done)
{
        const char *sha256 = json_string(result, "sha256");
        char size[SIZE_BUFSIZE];

        if (!c->wait)
                return 0;
        if (c->json)
                return json_print(result, true);
        if (!c->quiet)
                (void) fprintf(out, "Volume %s %s: %s.\n", volume, done,
                               size_format(size, json_number(result, "bytes")));
        if (*sha256)
                (void) fprintf(out, "SHA-256: %s\n", sha256);
        return fflush(out) != 0 ? -EIO : 0;
}

/* A stream's end does not tell whether all was there. */
static int check_length(const Args *a, const char *file, bool stream)
{
        if (!stream || args_has(a, "length"))
                return STATUS_OK;
        return usage_error(
                "%s%s%s has no length of its own: say with --length how much will come, or put it "
                "into a file first",
                streq(file, "-") ? "standard input" : "'", streq(file, "-") ? "" : file,
                streq(file, "-") ? "" : "'");
}

/* The file to be read, or '-'. */
static int open_source(const Context *c, const Args *a, const char *file, int *ret_fd)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        bool stream;
        int r;

        r = source_open(file, ret_fd, &stream, &error);
        return r < 0 ? report(c, &error, r) : check_length(a, file, stream);
}

/* The rest of the call: the descriptor, and the options. */
static int transfer(Context *c, const Args *a, sd_bus_message *m, int fd, const Option *options,
                    const char *verb, const char *volume, json_object **ret, sd_bus_error *error)
{
        _cleanup_free_ char *label = NULL;
        int r;

        if (asprintf(&label, "%s %s", verb, volume) < 0) {
                label = NULL;
                return -ENOMEM;
        }
        r = sd_bus_message_append(m, "h", fd);
        if (r >= 0)
                r = call_options(c, m, a, options, true);
        return r < 0 ? r : job_call_result(c, m, label, ret, error);
}

int volume_upload(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_json_ json_object *result = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *file, *name;
        size_t used;
        int r;

        r = check_volume_operands(a, 1, "a file or '-'");
        if (r != STATUS_OK)
                return r;
        file = a->operands[a->n_operands - 1];
        name = a->operands[volume_operands(a) - 1];
        r = open_source(c, a, file, &fd);
        if (r != STATUS_OK)
                return r;
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = call_new(c, path, VOLUME_INTERFACE, "Upload", &error, &m);
        if (r >= 0)
                r = transfer(c, a, m, fd, volume_upload_options, "upload", name, &result, &error);
        if (r >= 0)
                r = print_result(c, result, stdout, name, "uploaded");
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

static int check_download(const Context *c, const Args *a)
{
        const char *file;
        int r;

        r = check_volume_operands(a, 1, "a file or '-'");
        if (r != STATUS_OK)
                return r;
        file = a->operands[a->n_operands - 1];
        if (streq(file, "-") && (c->json || !c->wait))
                return usage_error("%s, as standard output is for the volume's contents",
                                   c->json ? "there is no place for JSON"
                                           : "there is no place for the job's path");
        if (!c->wait)
                return usage_error("a file gets its name when it is whole: wait for that");
        return STATUS_OK;
}

int volume_download(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_json_ json_object *result = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_(destination_done) Destination d = {.fd = -EBADF};
        const char *file, *name;
        size_t used;
        int r;

        r = check_download(c, a);
        if (r != STATUS_OK)
                return r;
        file = a->operands[a->n_operands - 1];
        name = a->operands[volume_operands(a) - 1];
        r = find_volume_operands(c, a, &path, &used, &error);
        if (r >= 0)
                r = destination_open(file, args_has(a, "overwrite"), &d, &error);
        if (r >= 0)
                r = call_new(c, path, VOLUME_INTERFACE, "Download", &error, &m);
        if (r >= 0)
                r = transfer(c, a, m, d.fd, volume_download_options, "download", name, &result, &error);
        if (r >= 0)
                r = destination_publish(&d, &error);
        if (r >= 0)
                r = print_result(c, result, streq(file, "-") ? stderr : stdout, name, "downloaded");
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

int volume_import(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_bus_message_unref_ sd_bus_message *m = NULL;
        _cleanup_json_ json_object *result = NULL;
        _cleanup_free_ char *pool = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *name = a->operands[1], *file = a->operands[2];
        int r;

        r = open_source(c, a, file, &fd);
        if (r != STATUS_OK)
                return r;
        r = find_pool(c, a->operands[0], &pool, &error);
        if (r >= 0)
                r = call_new(c, pool, POOL_INTERFACE, "ImportVolume", &error, &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = transfer(c, a, m, fd, volume_import_options, "import", name, &result, &error);
        if (r >= 0)
                r = print_result(c, result, stdout, name, "imported");
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}
