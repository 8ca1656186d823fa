/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Small helpers that every layer uses: ownership (_cleanup_, TAKE_PTR, TAKE_FD), strings, string lists.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _unused_ __attribute__((unused))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define NSEC_PER_USEC UINT64_C(1000)

/* Moves a pointer or a descriptor out of a variable, so that its cleanup finds nothing. */
#define TAKE_PTR(p)                                   \
        ({                                            \
                __typeof__(p) *_pp = &(p), _v = *_pp; \
                *_pp = NULL;                          \
                _v;                                   \
        })
#define TAKE_FD(fd)                              \
        ({                                       \
                int *_pfd = &(fd), _vfd = *_pfd; \
                *_pfd = -EBADF;                  \
                _vfd;                            \
        })

/* Defines "static inline void <func>p(type *p)" for _cleanup_(): calls func on a variable that is not NULL.
 */
#define DEFINE_CLEANUP(type, func)          \
        static inline void func##p(type *p) \
        {                                   \
                if (*p)                     \
                        func(*p);           \
        }

static inline void freep(void *p)
{
        free(*(void **) p);
}

/* Closes fd if it is one; keeps errno. Returns -EBADF, so that "fd = safe_close(fd)" leaves nothing behind.
 */
static inline int safe_close(int fd)
{
        if (fd >= 0) {
                int e = errno;

                (void) close(fd);
                errno = e;
        }
        return -EBADF;
}

static inline void closep(int *fd)
{
        *fd = safe_close(*fd);
}

DEFINE_CLEANUP(FILE *, fclose)

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

/* Equal, where NULL is equal to NULL only. */
static inline bool streq_ptr(const char *a, const char *b)
{
        return a && b ? streq(a, b) : a == b;
}

static inline bool isempty(const char *s)
{
        return !s || !*s;
}

static inline const char *strempty(const char *s)
{
        return s ? s : "";
}

/* The rest of s after prefix, or NULL if s does not begin with it. */
static inline const char *startswith(const char *s, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Replaces *p by a copy of s (NULL: frees it). 0 or -ENOMEM; on failure *p is unchanged. */
int free_and_strdup(char **p, const char *s);

/* NULL-terminated lists of owned strings. NULL is an empty list. */
char **strv_free(char **l);
size_t strv_length(char *const *l);
bool strv_contains(char *const *l, const char *s);
/* Appends a copy of s. 0 or -ENOMEM. */
int strv_extend(char ***l, const char *s);
/* A deep copy in *ret (NULL for NULL). 0 or -ENOMEM. */
int strv_copy(char *const *l, char ***ret);
bool strv_equal(char *const *a, char *const *b);
#define STRV_FOREACH(s, l) for ((s) = (l); (s) && *(s); (s)++)

static inline void strv_freep(char ***l)
{
        strv_free(*l);
}
#define _cleanup_strv_free_ _cleanup_(strv_freep)

#define _cleanup_bus_message_unref_ _cleanup_(sd_bus_message_unrefp)
#define _cleanup_bus_error_free_ _cleanup_(sd_bus_error_free)

/* Now, in µs: CLOCK_MONOTONIC and CLOCK_REALTIME. */
uint64_t now_monotonic(void);
uint64_t now_realtime(void);

/*
 * A copy of s of n bytes in *ret in which each byte that is not part of valid UTF-8 is replaced by U+FFFD
 * and control characters by '?': what comes out of an image header must not fail a whole D-Bus message.
 * 0 or -ENOMEM.
 */
int utf8_make_valid(const char *s, size_t n, char **ret);
bool utf8_is_valid(const char *s);
