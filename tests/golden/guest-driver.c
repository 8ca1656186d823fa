/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Describes a disk for a guest, which standard input tells in lines:
 *
 *     bus NAME, target NAME, device NAME, node-name NAME, readonly, open-end
 *     image file|block FORMAT PATH [SECRET]     in order: the volume, then what it is built on
 *
 * argv[1]: xml or json. Prints that, or "ErrorName: message" with exit status 1.
 */

#include "service/guest-disk.h"

static void must(bool ok, const char *line)
{
        if (ok)
                return;
        (void) fprintf(stderr, "cannot make sense of: %s\n", line);
        exit(2);
}

static void read_image(GuestDisk *disk, const char *line)
{
        char kind[16], format[16], path[512], secret[512];
        int n = sscanf(line, "%15s %15s %511s %511[^\n]", kind, format, path, secret);
        const GuestFormat *f = n >= 3 ? guest_format_find(format) : NULL;

        must(f && guest_disk_add(disk, path, streq(kind, "block"), f->name, n > 3 ? secret : NULL) >= 0,
             line);
}

/* Their values live as long as the program. */
static void read_line(GuestDisk *disk, char *line)
{
        char *value = strchr(line, ' ');

        line[strcspn(line, "\n")] = 0;
        if (value)
                *value++ = 0;
        if (streq(line, "image"))
                read_image(disk, strempty(value));
        else if (streq(line, "bus"))
                disk->bus = strdup(value);
        else if (streq(line, "target"))
                disk->target = strdup(value);
        else if (streq(line, "device"))
                disk->device = strdup(value);
        else if (streq(line, "node-name"))
                disk->node_name = strdup(value);
        else if (streq(line, "readonly"))
                disk->read_only = true;
        else if (streq(line, "open-end"))
                disk->open_end = true;
        else
                must(false, line);
}

int main(int argc, char **argv)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *text = NULL;
        static GuestDisk disk; /* owned until the end: the leak checker finds it here */
        char line[2048];
        int r;

        must(argc == 2, "the arguments");
        (void) storage_errors_register();
        while (fgets(line, sizeof line, stdin))
                read_line(&disk, line);
        must(disk.n_images > 0, "no image");
        r = guest_disk_settle(&disk, &error);
        if (r >= 0)
                r = streq(argv[1], "xml") ? guest_disk_format_xml(&disk, &text, &error)
                                          : guest_disk_format_blockdev(&disk, &text, &error);
        if (r >= 0)
                (void) fputs(text, stdout);
        else
                (void) printf("%s: %s", strempty(startswith(error.name, STORAGE_ERROR_PREFIX)),
                              error.message);
        (void) fflush(stdout);
        return r < 0;
}
