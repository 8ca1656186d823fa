/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The D-Bus error names of org.example.Storage1: one name, one meaning. Functions fill an sd_bus_error with
 * one of these and a message for people (what failed, on which object, why, what would help) and return a
 * negative errno.
 */

#include <systemd/sd-bus.h>

#define STORAGE_ERROR_PREFIX "org.example.Storage1.Error."

#define STORAGE_ERROR_INVALID_XML STORAGE_ERROR_PREFIX "InvalidXML"           /* -EBADMSG */
#define STORAGE_ERROR_INVALID_NAME STORAGE_ERROR_PREFIX "InvalidName"         /* -EINVAL */
#define STORAGE_ERROR_INVALID_ARGUMENT STORAGE_ERROR_PREFIX "InvalidArgument" /* -EINVAL */
#define STORAGE_ERROR_NOT_FOUND STORAGE_ERROR_PREFIX "NotFound"               /* -ENOENT */
#define STORAGE_ERROR_EXISTS STORAGE_ERROR_PREFIX "Exists"                    /* -EEXIST */
#define STORAGE_ERROR_CONFLICT STORAGE_ERROR_PREFIX "Conflict"    /* -EADDRINUSE: names the other pool */
#define STORAGE_ERROR_NOT_ACTIVE STORAGE_ERROR_PREFIX "NotActive" /* -ENETDOWN: the pool is not started */
#define STORAGE_ERROR_ACTIVE STORAGE_ERROR_PREFIX "Active" /* -EISCONN: the pool must be stopped first */
#define STORAGE_ERROR_BUSY STORAGE_ERROR_PREFIX "Busy"     /* -EBUSY: other jobs of ours are on it */
#define STORAGE_ERROR_IN_USE STORAGE_ERROR_PREFIX "InUse"  /* -ETXTBSY: somebody else uses it */
#define STORAGE_ERROR_HAS_DEPENDENTS STORAGE_ERROR_PREFIX "HasDependents" /* -ENOTEMPTY */
#define STORAGE_ERROR_UNSUPPORTED STORAGE_ERROR_PREFIX "Unsupported"      /* -EOPNOTSUPP */
#define STORAGE_ERROR_NO_SPACE STORAGE_ERROR_PREFIX "NoSpace"             /* -ENOSPC */
#define STORAGE_ERROR_CANCELLED STORAGE_ERROR_PREFIX "Cancelled"          /* -ECANCELED */
#define STORAGE_ERROR_INTERRUPTED \
        STORAGE_ERROR_PREFIX "Interrupted"                   /* -EINTR: cut off by a restart or a crash */
#define STORAGE_ERROR_TIMEOUT STORAGE_ERROR_PREFIX "Timeout" /* -ETIMEDOUT */
#define STORAGE_ERROR_INACCESSIBLE \
        STORAGE_ERROR_PREFIX "Inaccessible"                /* -EHOSTDOWN: the storage does not answer */
#define STORAGE_ERROR_FAILED STORAGE_ERROR_PREFIX "Failed" /* -EIO */

/* Lets sd_bus_error_setf() return a fitting errno for these names: each main() calls it once, before anything. */
int storage_errors_register(void);

/*
 * Fills error (may be NULL) with the name that fits the errno r (positive or negative): ENOENT is NotFound,
 * EEXIST Exists, ENOSPC and EDQUOT NoSpace, and so on, Failed for the rest; the message is the formatted
 * text, then ": " and the errno's own text. Returns -errno.
 */
int error_set_errno(sd_bus_error *error, int r, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/*
 * As sd_bus_error_setf(), for messages with words of callers in them: one that is cut short ("%.64s") may end
 * in half a character, and the bus delivers no message that is not UTF-8.
 */
int error_setf(sd_bus_error *error, const char *name, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
