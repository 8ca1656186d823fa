/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "common/def-util.h"
#include "common/xml-reader.h"

/* What the callbacks of one parser know. */
typedef struct XmlGuard {
        startElementNsSAX2Func start; /* libxml2's own */
        size_t n_elements;
        long line;
        char *reason; /* the first thing that was wrong */
} XmlGuard;

static void guard_fail(XmlGuard *guard, long line, const char *reason)
{
        if (guard->reason)
                return;
        guard->line = line;
        guard->reason = strdup(reason);
        if (guard->reason)
                guard->reason[strcspn(guard->reason, "\n")] = 0;
}

static void stop(xmlParserCtxt *ctxt, const char *reason)
{
        guard_fail(ctxt->_private, xmlSAX2GetLineNumber(ctxt), reason);
        xmlStopParser(ctxt);
}

static void on_dtd(void *data, const xmlChar *name, const xmlChar *external_id, const xmlChar *system_id)
{
        stop(data, "a document type declaration (<!DOCTYPE) is not allowed");
}

static void on_element(void *data, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri,
                       int n_namespaces, const xmlChar **namespaces, int n_attributes, int n_defaulted,
                       const xmlChar **attributes)
{
        xmlParserCtxt *ctxt = data;
        XmlGuard *guard = ctxt->_private;

        if (ctxt->nodeNr >= XML_DEPTH_MAX)
                return stop(ctxt, "elements are nested too deeply");
        if (++guard->n_elements > XML_ELEMENTS_MAX)
                return stop(ctxt, "there are too many elements");
        guard->start(data, name, prefix, uri, n_namespaces, namespaces, n_attributes, n_defaulted,
                     attributes);
}

static void on_error(void *data, xmlErrorPtr e)
{
        xmlParserCtxt *ctxt = data;

        if (e->level >= XML_ERR_ERROR && e->message)
                guard_fail(ctxt->_private, e->line, e->message);
}

/* The end of what begins at p with a comment's, CDATA's or instruction's opening, or NULL if it is a tag. */
static const char *skip_opaque(const char *p, const char *end)
{
        static const struct {
                const char *open, *close;
        } kinds[] = {
                {"<!--", "-->"},
                {"<![CDATA[", "]]>"},
                {"<?", "?>"},
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                size_t n = strlen(kinds[i].open);
                const char *close;

                if ((size_t) (end - p) < n || memcmp(p, kinds[i].open, n) != 0)
                        continue;
                close = memmem(p + n, (size_t) (end - p) - n, kinds[i].close, strlen(kinds[i].close));
                return close ? close + strlen(kinds[i].close) : end;
        }
        return NULL;
}

/*
 * libxml2 compares each attribute of a tag with every other one, and is stuck for many seconds over a tag of
 * a hundred thousand. So they are counted before, by their '='.
 */
static bool too_many_attributes(const char *xml, size_t n)
{
        const char *p = xml, *end = xml + n;

        while (p < end && (p = memchr(p, '<', (size_t) (end - p)))) {
                const char *next = skip_opaque(p, end);
                size_t count = 0;
                char quote = 0;

                if (next) {
                        p = next;
                        continue;
                }
                for (p++; p < end && (quote || *p != '>'); p++) {
                        if (quote)
                                quote = *p == quote ? 0 : quote;
                        else if (*p == '"' || *p == '\'')
                                quote = *p;
                        else if (*p == '=' && ++count > XML_ATTRIBUTES_MAX)
                                return true;
                }
        }
        return false;
}

static int refuse(sd_bus_error *error, long line, const char *reason)
{
        return def_error(error, STORAGE_ERROR_INVALID_XML, -EBADMSG, "line %ld: %s", line, reason);
}

/* What can be told before libxml2 sees it: the callers' bytes are UTF-8, of a bounded size. */
static int check_text(const char *xml, size_t n, sd_bus_error *error)
{
        _cleanup_free_ char *copy = NULL;

        if (n > DEF_XML_MAX)
                return refuse(error, 1, "the document is larger than 1 MiB");
        copy = strndup(xml, n);
        if (!copy)
                return -ENOMEM;
        if (strlen(copy) != n)
                return refuse(error, 1, "the document has NUL bytes");
        if (copy[strspn(copy, " \t\r\n")] == 0)
                return refuse(error, 1, "the document is empty");
        if (!utf8_is_valid(copy))
                return refuse(error, 1, "the document is not UTF-8");
        if (too_many_attributes(copy, n))
                return refuse(error, 1, "an element has too many attributes");
        return 0;
}

static int parse_guarded(xmlParserCtxt *ctxt, XmlGuard *guard, const char *xml, size_t n, xmlDoc **ret,
                         sd_bus_error *error)
{
        /* Encodings that the text names are passed over: UTF-8 is what was checked. */
        static const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                   XML_PARSE_IGNORE_ENC | XML_PARSE_BIG_LINES | XML_PARSE_COMPACT;
        xmlDoc *doc;

        guard->start = ctxt->sax->startElementNs;
        ctxt->_private = guard;
        ctxt->sax->startElementNs = on_element;
        ctxt->sax->internalSubset = on_dtd;
        ctxt->sax->serror = on_error;
        doc = xmlCtxtReadMemory(ctxt, xml, (int) n, NULL, "UTF-8", options);
        if (doc && ctxt->wellFormed && ctxt->nsWellFormed && !guard->reason) {
                *ret = doc;
                return 0;
        }
        xmlFreeDoc(doc);
        if (ctxt->errNo == XML_ERR_NO_MEMORY)
                return -ENOMEM;
        return refuse(error, guard->line, guard->reason ? guard->reason : "it is not well-formed XML");
}

int xml_parse(const char *xml, size_t n, const char *root, xmlDoc **ret, sd_bus_error *error)
{
        _cleanup_(xmlFreeDocp) xmlDoc *doc = NULL;
        XmlGuard guard = {.line = 1};
        xmlParserCtxt *ctxt;
        const xmlNode *top;
        int r;

        r = check_text(xml, n, error);
        if (r < 0)
                return r;
        ctxt = xmlNewParserCtxt();
        if (!ctxt)
                return -ENOMEM;
        r = parse_guarded(ctxt, &guard, xml, n, &doc, error);
        xmlFreeParserCtxt(ctxt);
        free(guard.reason);
        if (r < 0)
                return r;
        top = xmlDocGetRootElement(doc);
        if (top->ns)
                return xml_error(top, error, "the root element has the namespace '%.100s' instead of none",
                                 (const char *) top->ns->href);
        if (root && !streq((const char *) top->name, root))
                return xml_error(top, error, "the root element is <%.64s>, not <%s>",
                                 (const char *) top->name, root);
        *ret = TAKE_PTR(doc);
        return 0;
}
