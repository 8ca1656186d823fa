/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reading untrusted XML strictly, by tables that say which elements and attributes there may be. Everything
 * refused is InvalidXML with the line ("line 7: …") and -EBADMSG; out of memory is -ENOMEM.
 */

#include <libxml/tree.h>
#include <systemd/sd-bus.h>

#include "common/util.h"

#define XML_DEPTH_MAX 32
#define XML_ELEMENTS_MAX 16384
#define XML_ATTRIBUTES_MAX 64 /* of one tag */

/*
 * Parses n bytes (UTF-8, n ≤ DEF_XML_MAX) whose root element must be <root> (NULL: any) of no namespace. No
 * DTD, no entities but the predefined ones, no network. *ret is freed with xmlFreeDoc().
 */
int xml_parse(const char *xml, size_t n, const char *root, xmlDoc **ret, sd_bus_error *error);
DEFINE_CLEANUP(xmlDoc *, xmlFreeDoc)

/* "line N: " and the text; returns -EBADMSG. */
int xml_error(const xmlNode *node, sd_bus_error *error, const char *format, ...) _printf_(3, 4);
/* Puts "line N: " before the message that a check left in error, if r is negative. Returns r. */
int xml_at(const xmlNode *node, int r, sd_bus_error *error);

typedef int (*XmlRead)(xmlNode *node, void *target, sd_bus_error *error);

/* What an element may hold. In a table the first of these that fits is the way it is read. */
typedef struct XmlElement {
        const char *name;           /* NULL ends a table */
        const char *ns;             /* its namespace; NULL: none */
        const char *attributes[10]; /* all that there may be, NULL-terminated */
        bool repeat;                /* may be there more than once */
        bool nested;                /* read goes through its children; else it has no child elements */
        bool text;                  /* may have text */
        size_t string;              /* read is NULL: the offset in target of the char * for its text */
        XmlRead read;               /* NULL: see string */
        const struct XmlElement
                *children; /* if there is no read: its child elements, with the same target */
} XmlElement;

/* Checks one element's attributes and kind of contents against its row, and reads it. */
int xml_read_element(xmlNode *node, const XmlElement *row, void *target, sd_bus_error *error);
/* Reads all child elements; one that is not in the table, or twice without repeat, is refused. */
int xml_read_children(xmlNode *node, const XmlElement *table, void *target, sd_bus_error *error);

/* An element's text, NULL if there is none (or only an empty string). *ret is owned by the caller. */
int xml_get_text(const xmlNode *node, char **ret, sd_bus_error *error);
/* An attribute of no namespace; NULL if it is missing or empty, which is an error if required. */
int xml_get_attribute(const xmlNode *node, const char *name, bool required, char **ret, sd_bus_error *error);

/* An element's text as the name of a pool or volume (what); errors as those of def_check_name(). */
int xml_get_name(const xmlNode *node, const char *what, char **ret, sd_bus_error *error);

/* Numbers: white space around them is fine, a sign is not. base is as for strtoull(). */
int xml_get_number(const xmlNode *node, int base, uint64_t max, uint64_t *ret, sd_bus_error *error);
/* 1: read, 0: no such attribute and *ret is unchanged. */
int xml_get_number_attribute(const xmlNode *node, const char *name, bool required, int base, uint64_t max,
                             uint64_t *ret, sd_bus_error *error);
/* The same with the place of a string in the list, NULL-terminated. */
int xml_get_choice_attribute(const xmlNode *node, const char *name, bool required, const char *const *list,
                             int *ret, sd_bus_error *error);
/* The size that an element with an optional unit attribute holds. */
int xml_get_size(const xmlNode *node, uint64_t *ret, sd_bus_error *error);
/* XmlRead: an element whose size is checked and not kept. */
int xml_read_unused_size(xmlNode *node, void *target, sd_bus_error *error);
