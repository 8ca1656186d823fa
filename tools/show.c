/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>
#include <time.h>

#include "common/size.h"
#include "tools/show.h"

#define LABEL_MAX 32U

static char *show_time(uint64_t usec)
{
        time_t seconds = (time_t) (usec / USEC_PER_SEC);
        char text[64];
        struct tm tm;

        if (usec == 0 || !localtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%F %T", &tm) == 0)
                return strdup("");
        return strdup(text);
}

static char *show_list(json_object *list, const char *separator)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (size_t i = 0; i < json_object_array_length(list); i++) {
                json_object *item = json_object_array_get_idx(list, i);

                /* of a pair of code and text, people read the text */
                if (json_object_is_type(item, json_type_array))
                        item = json_object_array_get_idx(item, json_object_array_length(item) - 1);
                (void) fprintf(f, "%s%s", i > 0 ? separator : "", strempty(json_object_get_string(item)));
        }
        return fclose(f) == 0 ? text : NULL;
}

static char *show_text(json_object *v, ShowKind kind)
{
        if (json_object_is_type(v, json_type_array))
                return show_list(v, kind == SHOW_PROBLEMS ? "; " : ", ");
        if (json_object_is_type(v, json_type_object))
                return strdup(json_object_to_json_string_ext(v, JSON_C_TO_STRING_NOSLASHESCAPE));
        return strdup(strempty(json_object_get_string(v)));
}

char *show_value(json_object *o, const char *name, ShowKind kind)
{
        json_object *v;
        char text[SIZE_BUFSIZE];

        if (!json_object_object_get_ex(o, name, &v) || !v)
                return strdup("");
        switch (kind) {
        case SHOW_SIZE:
                return strdup(size_format(text, json_object_get_uint64(v)));
        case SHOW_TIME:
                return show_time(json_object_get_uint64(v));
        case SHOW_BOOL:
                return strdup(json_object_get_boolean(v) ? "yes" : "no");
        case SHOW_MODE:
        case SHOW_ID:
                if (json_object_get_uint64(v) == UINT32_MAX)
                        return strdup("");
                (void) snprintf(text, sizeof(text), kind == SHOW_MODE ? "%04o" : "%u",
                                (unsigned) json_object_get_uint64(v));
                return strdup(text);
        case SHOW_PERCENT:
                (void) snprintf(text, sizeof(text), "%.0f %%", 100 * json_object_get_double(v));
                return strdup(text);
        case SHOW_TEXT:
        case SHOW_PROBLEMS:
                break;
        }
        return show_text(v, kind);
}

/* "LastRefresh" becomes "Last refresh:"; "InstanceID" keeps its "ID". */
static void label(const char *name, char text[static LABEL_MAX])
{
        size_t n = 0;

        for (size_t i = 0; name[i] && n + 3 < LABEL_MAX; i++) {
                bool begins =
                        i > 0 && isupper((unsigned char) name[i]) && islower((unsigned char) name[i - 1]);

                if (begins)
                        text[n++] = ' ';
                text[n++] = begins && islower((unsigned char) name[i + 1])
                                    ? (char) tolower((unsigned char) name[i])
                                    : name[i];
        }
        text[n++] = ':';
        text[n] = '\0';
}

int show_properties(json_object *o, const ShowProperty *properties, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *value = show_value(o, properties[i].name, properties[i].kind),
                                    *clean = NULL;
                char name[LABEL_MAX];
                int r;

                if (!value)
                        return -ENOMEM;
                r = utf8_make_valid(value, strlen(value), &clean);
                if (r < 0)
                        return r;
                label(properties[i].name, name);
                (void) printf("%-16s %s\n", name, *clean ? clean : "-");
        }
        return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
