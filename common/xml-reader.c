/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/xml-reader.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>

#include "common/def-util.h"
#include "common/size.h"

int xml_error(const xmlNode *node, sd_bus_error *error, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return def_error(error, STORAGE_ERROR_INVALID_XML, -EBADMSG, "line %ld: %s", xmlGetLineNo(node),
                         text);
}

int xml_at(const xmlNode *node, int r, sd_bus_error *error)
{
        _cleanup_(sd_bus_error_free) sd_bus_error inner = SD_BUS_ERROR_NULL;

        if (r >= 0 || !error || !error->message)
                return r;
        inner = *error;
        *error = SD_BUS_ERROR_NULL;
        return def_error(error, inner.name, r, "line %ld: %s", xmlGetLineNo(node), inner.message);
}

static const char *node_name(const xmlNode *node)
{
        return (const char *) node->name;
}

static bool has_namespace(const xmlNs *ns, const char *uri)
{
        return ns ? uri && ns->href && streq((const char *) ns->href, uri) : !uri;
}

static int unknown_element(const xmlNode *node, sd_bus_error *error)
{
        if (node->ns)
                return xml_error(node, error, "unknown element <%.64s> of namespace '%.100s' in <%.64s>",
                                 node_name(node), (const char *) node->ns->href, node_name(node->parent));
        return xml_error(node, error, "unknown element <%.64s> in <%.64s>", node_name(node),
                         node_name(node->parent));
}

static int check_attributes(const xmlNode *node, const XmlElement *row, sd_bus_error *error)
{
        for (const xmlAttr *a = node->properties; a; a = a->next) {
                bool known = false;

                for (size_t i = 0; row->attributes[i]; i++)
                        known = known || (!a->ns && streq((const char *) a->name, row->attributes[i]));
                if (!known)
                        return xml_error(node, error, "unknown attribute '%.64s' of <%.64s>",
                                         (const char *) a->name, node_name(node));
        }
        return 0;
}

static bool is_blank(const xmlNode *node)
{
        const char *s = (const char *) node->content;

        return !s || s[strspn(s, " \t\r\n")] == 0;
}

/* That there is no text where elements are, and no elements where text is. */
static int check_contents(const xmlNode *node, const XmlElement *row, sd_bus_error *error)
{
        for (const xmlNode *c = node->children; c; c = c->next) {
                switch (c->type) {
                case XML_ELEMENT_NODE:
                        if (!row->nested && !row->children)
                                return xml_error(c, error, "unknown element <%.64s> in <%.64s>",
                                                 node_name(c), node_name(node));
                        break;
                case XML_TEXT_NODE:
                case XML_CDATA_SECTION_NODE:
                        if (!row->text && !is_blank(c))
                                return xml_error(node, error, "text where none belongs, in <%.64s>",
                                                 node_name(node));
                        break;
                case XML_COMMENT_NODE:
                case XML_PI_NODE:
                        break;
                default:
                        return xml_error(node, error, "only elements and text may be in <%.64s>",
                                         node_name(node));
                }
        }
        return 0;
}

int xml_read_element(xmlNode *node, const XmlElement *row, void *target, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL;
        int r;

        r = check_attributes(node, row, error);
        if (r < 0)
                return r;
        r = check_contents(node, row, error);
        if (r < 0)
                return r;
        if (row->read)
                return row->read(node, target, error);
        if (row->children)
                return xml_read_children(node, row->children, target, error);
        r = xml_get_text(node, &text, error);
        if (r < 0)
                return r;
        def_take_string((char **) ((char *) target + row->string), TAKE_PTR(text));
        return 0;
}

static const XmlElement *find_row(const xmlNode *node, const XmlElement *table)
{
        for (; table->name; table++) {
                if (streq(node_name(node), table->name) && has_namespace(node->ns, table->ns))
                        return table;
        }
        return NULL;
}

int xml_read_children(xmlNode *node, const XmlElement *table, void *target, sd_bus_error *error)
{
        uint64_t seen = 0;
        int r;

        for (xmlNode *c = node->children; c; c = c->next) {
                const XmlElement *row;

                if (c->type != XML_ELEMENT_NODE)
                        continue;
                row = find_row(c, table);
                if (!row)
                        return unknown_element(c, error);
                if (!row->repeat && seen & UINT64_C(1) << (row - table))
                        return xml_error(c, error, "a second <%.64s> in <%.64s>", node_name(c),
                                         node_name(node));
                seen |= UINT64_C(1) << (row - table);
                r = xml_read_element(c, row, target, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A copy of what libxml2 gave, checked; what is left of it is freed. NULL for NULL and for "". */
static int take_text(const xmlNode *node, const char *what, xmlChar *raw, char **ret, sd_bus_error *error)
{
        char *copy = NULL;
        int r = 0;

        if (raw && *raw) {
                r = xml_at(node, def_check_text(what, (const char *) raw, error), error);
                if (r >= 0) {
                        copy = strdup((const char *) raw);
                        if (!copy)
                                r = -ENOMEM;
                }
        }
        xmlFree(raw);
        if (r < 0)
                return r;
        *ret = copy;
        return 0;
}

int xml_get_text(const xmlNode *node, char **ret, sd_bus_error *error)
{
        _cleanup_free_ char *what = NULL;
        xmlChar *raw;

        if (!node->children) {
                *ret = NULL;
                return 0;
        }
        if (asprintf(&what, "text of <%.64s>", node_name(node)) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        raw = xmlNodeGetContent(node);
        if (!raw)
                return -ENOMEM;
        return take_text(node, what, raw, ret, error);
}

int xml_get_name(const xmlNode *node, const char *what, char **ret, sd_bus_error *error)
{
        _cleanup_free_ char *name = NULL;
        xmlChar *raw;
        int r;

        raw = xmlNodeGetContent(node);
        if (!raw)
                return -ENOMEM;
        name = strdup((const char *) raw);
        xmlFree(raw);
        if (!name)
                return -ENOMEM;
        r = xml_at(node, def_check_name(what, name, error), error);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(name);
        return 0;
}

int xml_get_attribute(const xmlNode *node, const char *name, bool required, char **ret, sd_bus_error *error)
{
        _cleanup_free_ char *what = NULL;
        char *value;
        int r;

        if (asprintf(&what, "attribute '%s'", name) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        r = take_text(node, what, xmlGetNoNsProp(node, (const xmlChar *) name), &value, error);
        if (r < 0)
                return r;
        if (!value && required)
                return xml_error(node, error, "<%.64s> has no attribute '%s'", node_name(node), name);
        *ret = value;
        return 0;
}

static int parse_number(const xmlNode *node, const char *what, const char *s, int base, uint64_t max,
                        uint64_t *ret, sd_bus_error *error)
{
        const char *start = strempty(s);
        unsigned long long v;
        char *end;

        start += strspn(start, " \t\r\n");
        errno = 0;
        v = strtoull(start, &end, base);
        /* strtoull() would take a sign. */
        if (!isdigit((unsigned char) *start) || end[strspn(end, " \t\r\n")])
                return xml_error(node, error, "%s '%.64s' is not a%s number", what, strempty(s),
                                 base == 8 ? "n octal" : "");
        if (errno == ERANGE || v > max)
                return xml_error(node, error, "%s '%.64s' is more than %" PRIu64, what, s, max);
        *ret = v;
        return 0;
}

int xml_get_number(const xmlNode *node, int base, uint64_t max, uint64_t *ret, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL, *what = NULL;
        int r;

        r = xml_get_text(node, &text, error);
        if (r < 0)
                return r;
        if (asprintf(&what, "<%.64s>", node_name(node)) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        return parse_number(node, what, text, base, max, ret, error);
}

int xml_get_number_attribute(const xmlNode *node, const char *name, bool required, int base, uint64_t max,
                             uint64_t *ret, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL, *what = NULL;
        int r;

        r = xml_get_attribute(node, name, required, &text, error);
        if (r < 0 || !text)
                return r;
        if (asprintf(&what, "attribute '%s'", name) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        r = parse_number(node, what, text, base, max, ret, error);
        return r < 0 ? r : 1;
}

int xml_get_choice_attribute(const xmlNode *node, const char *name, bool required, const char *const *list,
                             int *ret, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL, *known = NULL;
        int r;

        r = xml_get_attribute(node, name, required, &text, error);
        if (r < 0 || !text)
                return r;
        for (int i = 0; list[i]; i++) {
                if (streq(list[i], text)) {
                        *ret = i;
                        return 1;
                }
        }
        known = def_list_join(list);
        return xml_error(node, error, "attribute '%s' is '%.64s', and not one of: %s", name, text,
                         strempty(known));
}

int xml_get_size(const xmlNode *node, uint64_t *ret, sd_bus_error *error)
{
        _cleanup_free_ char *text = NULL, *unit = NULL;
        int r;

        r = xml_get_text(node, &text, error);
        if (r < 0)
                return r;
        r = xml_get_attribute(node, "unit", false, &unit, error);
        if (r < 0)
                return r;
        r = size_parse_unit(text, unit, ret);
        if (r == -ERANGE)
                return xml_error(node, error, "the size '%.64s %.64s' of <%s> is negative or too large",
                                 text, strempty(unit), node_name(node));
        if (r < 0 && size_parse_unit(text, NULL, ret) >= 0)
                return xml_error(node, error,
                                 "unknown suffix '%.64s' of <%s>: units are B, KiB, KB, MiB and so on",
                                 strempty(unit), node_name(node));
        if (r < 0)
                return xml_error(node, error, "'%.64s' of <%s> is not a size", strempty(text),
                                 node_name(node));
        return 0;
}

int xml_read_unused_size(xmlNode *node, void *target, sd_bus_error *error)
{
        uint64_t unused;

        return xml_get_size(node, &unused, error);
}
