/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/errors.h"

#include <stdarg.h>

#include "common/util.h"

static const sd_bus_error_map storage_error_map[] = {
        SD_BUS_ERROR_MAP(STORAGE_ERROR_INVALID_XML, EBADMSG),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_INVALID_NAME, EINVAL),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_INVALID_ARGUMENT, EINVAL),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_NOT_FOUND, ENOENT),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_EXISTS, EEXIST),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_CONFLICT, EADDRINUSE),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_NOT_ACTIVE, ENETDOWN),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_ACTIVE, EISCONN),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_BUSY, EBUSY),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_IN_USE, ETXTBSY),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_HAS_DEPENDENTS, ENOTEMPTY),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_UNSUPPORTED, EOPNOTSUPP),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_NO_SPACE, ENOSPC),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_CANCELLED, ECANCELED),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_INTERRUPTED, EINTR),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_TIMEOUT, ETIMEDOUT),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_INACCESSIBLE, EHOSTDOWN),
        SD_BUS_ERROR_MAP(STORAGE_ERROR_FAILED, EIO),
        SD_BUS_ERROR_MAP_END,
};

int storage_errors_register(void)
{
        return sd_bus_error_add_map(storage_error_map);
}

static const char *error_name_for_errno(int e)
{
        switch (e) {
        case ENOENT:
        case ENOTDIR:
                return STORAGE_ERROR_NOT_FOUND;
        case EEXIST:
                return STORAGE_ERROR_EXISTS;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
                return STORAGE_ERROR_NO_SPACE;
        case EINVAL:
        case ERANGE:
        case ENAMETOOLONG:
                return STORAGE_ERROR_INVALID_ARGUMENT;
        case EBUSY:
        case ETXTBSY:
                return STORAGE_ERROR_IN_USE;
        case EOPNOTSUPP:
        case ENOSYS:
                return STORAGE_ERROR_UNSUPPORTED;
        case ECANCELED:
                return STORAGE_ERROR_CANCELLED;
        case EINTR:
                return STORAGE_ERROR_INTERRUPTED;
        case ETIMEDOUT:
                return STORAGE_ERROR_TIMEOUT;
        case ESTALE:
        case ENODEV:
        case ENXIO:
        case EHOSTDOWN:
        case EHOSTUNREACH:
                return STORAGE_ERROR_INACCESSIBLE;
        default:
                return STORAGE_ERROR_FAILED;
        }
}

int error_setf(sd_bus_error *error, const char *name, const char *format, ...)
{
        _cleanup_free_ char *text = NULL, *valid = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return sd_bus_error_set_const(error, SD_BUS_ERROR_NO_MEMORY, "Out of memory");
        }
        if (!utf8_is_valid(text) && utf8_make_valid(text, strlen(text), &valid) < 0)
                return sd_bus_error_set_const(error, SD_BUS_ERROR_NO_MEMORY, "Out of memory");
        return sd_bus_error_set(error, name, valid ? valid : text);
}

int error_set_errno(sd_bus_error *error, int r, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        int e = r < 0 ? -r : r;
        va_list ap;
        int n;

        if (!error)
                return -e;
        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                (void) sd_bus_error_set_const(error, SD_BUS_ERROR_NO_MEMORY, "Out of memory");
        } else
                (void) error_setf(error, error_name_for_errno(e), "%s: %s", text, strerrordesc_np(e));
        return -e;
}
