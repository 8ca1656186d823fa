/* SPDX-License-Identifier: LGPL-2.1-or-later */
#undef NDEBUG
#include <assert.h>

#include "backends/image-chain.h"
#include "backends/qemu-img.h"

static void check(char **argv, const char *expected)
{
        _cleanup_free_ char *line = NULL;
        size_t n;
        FILE *f = open_memstream(&line, &n);
        char **s;

        assert(f);
        STRV_FOREACH (s, argv)
                fprintf(f, "%s%s", s == argv ? "" : " ", *s);
        fclose(f);
        if (!streq(line, expected))
                fprintf(stderr, "expected %s\n     got %s\n", expected, line);
        assert(streq(line, expected));
        strv_free(argv);
}

static void check_create(const ImagePlan *plan, const VolumeDef *def, const char *expected)
{
        char **argv;

        assert(qemu_img_create_argv(plan, def, QEMU_IMG_TARGET, &argv) == 0);
        check(argv, expected);
}

static void test_create(void)
{
        VolumeDef def = {.lazy_refcounts = TRISTATE_UNSET, .extended_l2 = TRISTATE_UNSET};
        ImagePlan plan = {.format = IMAGE_VDI, .capacity = 1048576, .preallocation = PREALLOCATION_OFF};

        check_create(&plan, &def, "qemu-img create -q -f vdi /proc/self/fd/3 1048576");
        plan.format = IMAGE_VPC;
        check_create(&plan, &def, "qemu-img create -q -f vpc /proc/self/fd/3 1048576");
        plan.format = IMAGE_QCOW2;
        check_create(&plan, &def, "qemu-img create -q -f qcow2 -o compat=1.1 /proc/self/fd/3 1048576");
        plan.preallocation = PREALLOCATION_METADATA;
        check_create(
                &plan, &def,
                "qemu-img create -q -f qcow2 -o compat=1.1,preallocation=metadata /proc/self/fd/3 1048576");
}

static void test_create_with_features(void)
{
        char compat[] = "1.1", path[] = "base, with a comma", format[] = "raw";
        VolumeDef def = {
                .compat = compat,
                .cluster_size = 131072,
                .lazy_refcounts = TRISTATE_YES,
                .extended_l2 = TRISTATE_NO,
        };
        ImagePlan plan = {
                .format = IMAGE_QCOW2,
                .capacity = 512,
                .preallocation = PREALLOCATION_OFF,
                .backing_path = path,
                .backing_format = format,
        };

        check_create(
                &plan, &def,
                "qemu-img create -q -f qcow2 -u -b base, with a comma -F raw "
                "-o compat=1.1,cluster_size=131072,lazy_refcounts=on,extended_l2=off /proc/self/fd/3 512");
}

static void test_create_encrypted(void)
{
        char aes[] = "aes", xts[] = "xts", cbc[] = "cbc", sha[] = "sha256", plain[] = "plain64",
             essiv[] = "essiv";
        VolumeDef def = {.lazy_refcounts = TRISTATE_UNSET, .extended_l2 = TRISTATE_UNSET};
        ImagePlan plan = {
                .format = IMAGE_RAW,
                .capacity = 1048576,
                .preallocation = PREALLOCATION_FALLOC,
                .encrypted = true,
        };

        check_create(&plan, &def,
                     "qemu-img create -q -f luks --object secret,id=sec0,format=raw,file=/proc/self/fd/4 "
                     "-o key-secret=sec0 /proc/self/fd/3 1048576");
        plan.preallocation = PREALLOCATION_FULL;
        def.encryption = (VolumeEncryption){.cipher_name = aes,
                                            .cipher_size = 256,
                                            .cipher_mode = xts,
                                            .cipher_hash = sha,
                                            .ivgen_name = plain};
        check_create(&plan, &def,
                     "qemu-img create -q -f luks --object secret,id=sec0,format=raw,file=/proc/self/fd/4 "
                     "-o key-secret=sec0,cipher-alg=aes-256,cipher-mode=xts,hash-alg=sha256,"
                     "ivgen-alg=plain64,preallocation=full /proc/self/fd/3 1048576");
        plan.format = IMAGE_QCOW2;
        plan.preallocation = PREALLOCATION_OFF;
        def.encryption.cipher_mode = cbc;
        def.encryption.ivgen_name = essiv;
        def.encryption.ivgen_hash = sha;
        check_create(&plan, &def,
                     "qemu-img create -q -f qcow2 --object secret,id=sec0,format=raw,file=/proc/self/fd/4 "
                     "-o compat=1.1,encrypt.format=luks,encrypt.key-secret=sec0,encrypt.cipher-alg=aes-256,"
                     "encrypt.cipher-mode=cbc,encrypt.hash-alg=sha256,encrypt.ivgen-alg=essiv,"
                     "encrypt.ivgen-hash-alg=sha256 /proc/self/fd/3 1048576");
}

static void test_resize(void)
{
        char **argv;

        QemuImgResize z = {.format = "qcow2", .capacity = 4096};

        assert(qemu_img_resize_argv(&z, &argv) == 0);
        check(argv,
              "qemu-img resize -q json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"file\","
              "\"locking\":\"off\",\"filename\":\"/proc/self/fd/3\"}} 4096");
        z = (QemuImgResize){.format = "qed", .capacity = 4096, .shrink = true};
        assert(qemu_img_resize_argv(&z, &argv) == 0);
        check(argv, "qemu-img resize -q --shrink json:{\"driver\":\"qed\",\"backing\":null,\"file\":{"
                    "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/3\"}} 4096");
        z = (QemuImgResize){.format = "qcow2", .capacity = 4096, .preallocation = "falloc"};
        assert(qemu_img_resize_argv(&z, &argv) == 0);
        check(argv, "qemu-img resize -q --preallocation falloc "
                    "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{"
                    "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/3\"}} 4096");
        z = (QemuImgResize){.format = "qcow2", .capacity = 4096, .encrypted = true};
        assert(qemu_img_resize_argv(&z, &argv) == 0);
        check(argv,
              "qemu-img resize -q --object secret,id=sec0,format=raw,file=/proc/self/fd/4 "
              "json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"sec0\"},"
              "\"backing\":null,\"file\":{\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/"
              "self/fd/3\"}} 4096");
}

static void test_convert(void)
{
        QemuImgConvert c = {
                .source = "json:{}", .target = QEMU_IMG_TARGET, .target_format = "qcow2", .zero = true};
        char **argv;

        assert(qemu_img_convert_argv(&c, &argv) == 0);
        check(argv, "qemu-img convert -p -n --target-is-zero --target-image-opts json:{} "
                    "driver=qcow2,file.driver=file,file.locking=off,file.filename=/proc/self/fd/3");
        c.compress = true;
        assert(qemu_img_convert_argv(&c, &argv) == 0);
        check(argv, "qemu-img convert -p -n --target-is-zero -c --target-image-opts json:{} "
                    "driver=qcow2,file.driver=file,file.locking=off,file.filename=/proc/self/fd/3");
        c = (QemuImgConvert){.source = "json:{}",
                             .target = QEMU_IMG_TARGET,
                             .target_format = "raw",
                             .device = true,
                             .direct = true,
                             .offset = 4096};
        assert(qemu_img_convert_argv(&c, &argv) == 0);
        check(argv, "qemu-img convert -p -n -t none -W --target-image-opts json:{} "
                    "driver=raw,offset=4096,file.driver=host_device,file.locking=off,file.filename=/proc/"
                    "self/fd/3");
}

static void test_chain(void)
{
        ImageChain chain = {.n = 2, .fds = {-1, -1}, .formats = {IMAGE_QCOW2, IMAGE_RAW}};
        const char *node =
                "{\"driver\":\"qcow2\",\"backing\":{\"driver\":\"raw\",\"backing\":null,\"file\":{"
                "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/5\"}},\"file\":{"
                "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/4\"}}";
        _cleanup_free_ char *expected = NULL, *found = NULL, *part = NULL, *expected_part = NULL;

        assert(image_chain_format(&chain, 4, &found) == 0 && asprintf(&expected, "json:%s", node) > 0);
        assert(streq(found, expected));
        assert(image_chain_format_part(&chain, 4, 512, 4096, &part) == 0 &&
               asprintf(&expected_part, "json:{\"driver\":\"raw\",\"offset\":512,\"size\":3584,\"file\":%s}",
                        node) > 0);
        assert(streq(part, expected_part));
}

/* Each with its own secret, which comes behind the images. */
static void test_chain_encrypted(void)
{
        ImageChain chain = {.n = 2,
                            .fds = {-1, -1},
                            .formats = {IMAGE_QCOW2, IMAGE_LUKS},
                            .secrets = {"/dev/null", "/dev/zero"}};
        const char *expected =
                "json:{\"driver\":\"qcow2\",\"encrypt\":{\"format\":\"luks\",\"key-secret\":\"src4\"},"
                "\"backing\":{\"driver\":\"luks\",\"key-secret\":\"src5\",\"backing\":null,\"file\":{"
                "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/5\"}},\"file\":{"
                "\"driver\":\"file\",\"locking\":\"off\",\"filename\":\"/proc/self/fd/4\"}}";
        int fds[QEMU_IMG_FDS_MAX] = {-1, -1, -1};
        _cleanup_free_ char *found = NULL;
        BackendContext ctx = {0};
        char **argv = NULL;
        size_t n = 3;

        assert(image_chain_format(&chain, 4, &found) == 0 && streq(found, expected));
        assert(image_chain_add_secrets(&ctx, &chain, 4, fds, &n, &argv) == 0 && n == 5);
        check(argv, "--object secret,id=src4,format=raw,file=/proc/self/fd/6 "
                    "--object secret,id=src5,format=raw,file=/proc/self/fd/7");
        assert(fds[3] >= 0 && fds[4] >= 0 && close(fds[3]) == 0 && close(fds[4]) == 0);
}

static void test_convert_encrypted(void)
{
        char object[] = "--object", secret[] = "secret,id=src4,format=raw,file=/proc/self/fd/6";
        QemuImgConvert c = {
                .source = "json:{}",
                .target = QEMU_IMG_TARGET,
                .target_format = "luks",
                .secret_fd = 5,
                .objects = (char *[]){object, secret, NULL},
        };
        char **argv;

        assert(qemu_img_convert_argv(&c, &argv) == 0);
        check(argv, "qemu-img convert -p -n --object secret,id=sec0,format=raw,file=/proc/self/fd/5 "
                    "--object secret,id=src4,format=raw,file=/proc/self/fd/6 --target-image-opts json:{} "
                    "driver=luks,key-secret=sec0,file.driver=file,file.locking=off,"
                    "file.filename=/proc/self/fd/3");
        c.target_format = "qcow2";
        c.objects = NULL;
        c.zero = true;
        assert(qemu_img_convert_argv(&c, &argv) == 0);
        check(argv, "qemu-img convert -p -n --object secret,id=sec0,format=raw,file=/proc/self/fd/5 "
                    "--target-is-zero --target-image-opts json:{} "
                    "driver=qcow2,encrypt.format=luks,encrypt.key-secret=sec0,file.driver=file,"
                    "file.locking=off,file.filename=/proc/self/fd/3");
}

int main(void)
{
        test_create();
        test_create_with_features();
        test_create_encrypted();
        test_resize();
        test_convert();
        test_convert_encrypted();
        test_chain();
        test_chain_encrypted();
        return 0;
}
