/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Prints what image_probe() says of each file as lines of key=value: what tests in Python compare. */

#include "backends/image-probe.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

static const char *encryption_name(EncryptionFormat f)
{
        switch (f) {
        case ENCRYPTION_QCOW:
                return "qcow";
        case ENCRYPTION_LUKS:
                return "luks";
        case ENCRYPTION_LUKS2:
                return "luks2";
        default:
                return NULL;
        }
}

static void print_string(const char *key, const char *value)
{
        if (value)
                printf("%s=%s\n", key, value);
}

static void print_number(const char *key, uint64_t value)
{
        if (value)
                printf("%s=%" PRIu64 "\n", key, value);
}

static void print_extra(const ImageExtra *x)
{
        print_string("backing-path", x->backing_path);
        print_string("backing-format", x->backing_format);
        print_number("backing-json", x->backing_json);
        print_string("encryption", encryption_name(x->encryption));
        print_string("cipher-name", x->cipher_name);
        print_string("cipher-mode", x->cipher_mode);
        print_string("cipher-hash", x->cipher_hash);
        print_number("cipher-size", x->cipher_size);
        print_string("ivgen-name", x->ivgen_name);
        print_string("ivgen-hash", x->ivgen_hash);
        print_string("compat", x->compat);
        print_number("lazy-refcounts", x->lazy_refcounts);
        print_number("extended-l2", x->extended_l2);
        print_number("dirty", x->dirty);
        print_number("corrupt", x->corrupt);
        print_number("external-data", x->external_data);
        print_string("data-file", x->data_file);
        print_number("cluster-size", x->cluster_size);
        print_string("problem", x->problem);
        print_number("snapshots", x->n_snapshots);
        for (size_t i = 0; i < x->n_snapshots; i++) {
                const ImageSnapshot *s = &x->snapshots[i];

                printf("snapshot=%s/%s/%" PRIu64 "/%" PRId64 "\n", s->id, s->name, s->vm_state_size,
                       s->time);
        }
}

static int print_file(const char *path)
{
        static uint8_t head[IMAGE_HEAD_SIZE];
        _cleanup_close_ int fd = -EBADF;
        ImageFile file;
        ImageInfo info;
        struct stat st;
        ssize_t n;
        int r;

        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        n = pread(fd, head, sizeof head, 0);
        if (n < 0)
                return -errno;
        file = (ImageFile){
                .fd = fd,
                .head = head,
                .n_head = (size_t) n,
                .size = (uint64_t) st.st_size,
                .allocated = (uint64_t) st.st_blocks * 512,
                .name = path,
        };
        r = image_probe(&file, &info);
        if (r < 0)
                return r;
        printf("file=%s\nformat=%s\ncapacity=%" PRIu64 "\nplain-raw=%d\n", path,
               image_format_to_string(info.format), info.capacity, image_is_plain_raw(&file));
        if (info.extra)
                print_extra(info.extra);
        image_info_done(&info);
        return 0;
}

int main(int argc, char **argv)
{
        for (int i = 1; i < argc; i++) {
                int r = print_file(argv[i]);

                if (r < 0) {
                        fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
                        return 1;
                }
        }
        return 0;
}
