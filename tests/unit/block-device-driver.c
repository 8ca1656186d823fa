/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Asks one question of backends/block-device.h about a device and prints the answer, for
 * test_block_device.py. block-device-driver contents|use|writable|overwritable|wipe|stable PATH [FOLDER]
 */

#include "backends/block-device.h"

static int ask(BackendContext *ctx, const char *question, const BlockDevice *dev, const char *folder,
               char **words)
{
        _cleanup_(block_contents_done) BlockContents c = {0};
        int r;

        if (streq(question, "contents")) {
                r = block_device_probe(ctx, dev, &c);
                return r < 0 ? r : block_contents_describe(&c, words);
        }
        if (streq(question, "use"))
                return block_device_describe_use(ctx, dev, words);
        if (streq(question, "writable"))
                return block_device_require_writable(ctx, dev, false);
        if (streq(question, "overwritable"))
                return block_device_require_writable(ctx, dev, true);
        if (streq(question, "wipe"))
                return block_device_wipe(ctx, dev, true);
        return block_device_stable_path(dev->node, folder, words);
}

int main(int argc, char *argv[])
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(block_device_done) BlockDevice dev = {0};
        const PoolDef pool = {.type = POOL_FS, .name = (char *) "p"};
        BackendContext ctx = {.pool = &pool, .error = &error};
        _cleanup_free_ char *words = NULL;
        int r;

        if (argc < 3 || storage_errors_register() < 0)
                return 2;
        r = block_device_find(&ctx, argv[2], &dev);
        if (r >= 0)
                r = ask(&ctx, argv[1], &dev, argc > 3 ? argv[3] : "/dev", &words);
        if (r < 0) {
                printf("%s: %s\n", strempty(error.name), strempty(error.message));
                return 1;
        }
        printf("%s\n", strempty(words));
        return 0;
}
