/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/xml-writer.h"

#include <inttypes.h>
#include <stdarg.h>

int xml_writer_start(XmlWriter *w)
{
        *w = (XmlWriter){};
        w->file = open_memstream(&w->text, &w->size);
        return w->file ? 0 : -ENOMEM;
}

int xml_writer_finish(XmlWriter *w, char **ret)
{
        if (fclose(w->file) != 0)
                w->failed = true;
        w->file = NULL;
        if (w->failed) {
                free(TAKE_PTR(w->text));
                return -ENOMEM;
        }
        *ret = TAKE_PTR(w->text);
        return 0;
}

/* One character at s that must not stand as it is: its replacement, and how many bytes it has. */
static const char *escape(const char *s, size_t *ret_length)
{
        *ret_length = 1;
        switch (*s) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '\'':
                return "&apos;";
        case '"':
                return "&quot;";
        default:
                break;
        }
        /* U+FFFE and U+FFFF are valid UTF-8, but no XML. */
        if (strncmp(s, "\xef\xbf\xbe", 3) == 0 || strncmp(s, "\xef\xbf\xbf", 3) == 0) {
                *ret_length = 3;
                return "\xef\xbf\xbd";
        }
        return NULL;
}

static void write_escaped(XmlWriter *w, const char *s)
{
        _cleanup_free_ char *valid = NULL;

        if (utf8_make_valid(s, strlen(s), &valid) < 0) {
                w->failed = true;
                return;
        }
        for (const char *p = valid; *p;) {
                size_t n = 1;
                const char *replacement = escape(p, &n);

                if (replacement)
                        (void) fputs(replacement, w->file);
                else
                        (void) fputc(*p, w->file);
                p += n;
        }
}

static void begin_line(XmlWriter *w)
{
        if (w->in_tag)
                (void) fputs(">\n", w->file);
        w->in_tag = false;
        (void) fprintf(w->file, "%*s", (int) w->depth * 2, "");
}

void xml_open(XmlWriter *w, const char *name)
{
        begin_line(w);
        (void) fprintf(w->file, "<%s", name);
        w->open[w->depth++] = name;
        w->in_tag = true;
}

void xml_close(XmlWriter *w)
{
        const char *name = w->open[--w->depth];

        if (w->in_tag)
                (void) fputs("/>\n", w->file);
        else
                (void) fprintf(w->file, "%*s</%s>\n", (int) w->depth * 2, "", name);
        w->in_tag = false;
}

void xml_instruction_open(XmlWriter *w, const char *name)
{
        begin_line(w);
        (void) fprintf(w->file, "<?%s\n", name);
        w->open[w->depth++] = name;
}

void xml_instruction_close(XmlWriter *w)
{
        w->depth--;
        (void) fprintf(w->file, "%*s?>\n", (int) w->depth * 2, "");
}

void xml_attribute(XmlWriter *w, const char *name, const char *value)
{
        if (!value)
                return;
        (void) fprintf(w->file, " %s='", name);
        write_escaped(w, value);
        (void) fputc('\'', w->file);
}

/* The formatted text, or NULL with w marked as failed. */
static char *format_text(XmlWriter *w, const char *format, va_list ap) _printf_(2, 0);
static char *format_text(XmlWriter *w, const char *format, va_list ap)
{
        char *text;

        if (vasprintf(&text, format, ap) < 0) {
                w->failed = true;
                return NULL;
        }
        return text;
}

void xml_attributef(XmlWriter *w, const char *name, const char *format, ...)
{
        _cleanup_free_ char *value = NULL;
        va_list ap;

        va_start(ap, format);
        value = format_text(w, format, ap);
        va_end(ap);
        xml_attribute(w, name, value);
}

void xml_text(XmlWriter *w, const char *name, const char *text)
{
        if (!text)
                return;
        begin_line(w);
        (void) fprintf(w->file, "<%s>", name);
        write_escaped(w, text);
        (void) fprintf(w->file, "</%s>\n", name);
}

void xml_textf(XmlWriter *w, const char *name, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = format_text(w, format, ap);
        va_end(ap);
        xml_text(w, name, text);
}

void xml_empty(XmlWriter *w, const char *name, const char *attribute, const char *value)
{
        if (!value)
                return;
        xml_open(w, name);
        xml_attribute(w, attribute, value);
        xml_close(w);
}

void xml_size(XmlWriter *w, const char *name, const char *unit, uint64_t n)
{
        begin_line(w);
        (void) fprintf(w->file, "<%s unit='%s'>%" PRIu64 "</%s>\n", name, unit, n, name);
}
