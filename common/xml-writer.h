/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writing XML into memory: indented by two spaces, attributes in single quotes, every text escaped. What no
 * XML can hold (control characters, bytes that are not UTF-8) is replaced, so the result is always
 * well-formed. Errors are kept until xml_writer_finish().
 */

#include "common/util.h"

/* A chain of backing stores is as deep as it has images. */
#define XML_WRITER_DEPTH 272

typedef struct XmlWriter {
        FILE *file;
        char *text;
        size_t size;
        unsigned depth;
        const char *open[XML_WRITER_DEPTH]; /* names of the elements that are not closed yet */
        bool in_tag;                        /* the innermost tag still takes attributes */
        bool failed;
} XmlWriter;

int xml_writer_start(XmlWriter *w);
/* Gives the text in *ret, owned by the caller, and releases w. 0 or -ENOMEM. */
int xml_writer_finish(XmlWriter *w, char **ret);

/* name must live until the element is closed. */
void xml_open(XmlWriter *w, const char *name);
void xml_close(XmlWriter *w);
/* A processing instruction, whose contents are XML: elements are written until it is closed. */
void xml_instruction_open(XmlWriter *w, const char *name);
void xml_instruction_close(XmlWriter *w);
/* value NULL: nothing is written. */
void xml_attribute(XmlWriter *w, const char *name, const char *value);
void xml_attributef(XmlWriter *w, const char *name, const char *format, ...) _printf_(3, 4);
/* <name>text</name>; nothing if text is NULL. */
void xml_text(XmlWriter *w, const char *name, const char *text);
void xml_textf(XmlWriter *w, const char *name, const char *format, ...) _printf_(3, 4);
/* <name attribute='value'/>; nothing if value is NULL. */
void xml_empty(XmlWriter *w, const char *name, const char *attribute, const char *value);
/* <name unit='unit'>n</name> */
void xml_size(XmlWriter *w, const char *name, const char *unit, uint64_t n);
