/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The XML writer's escapes, and documents that are made to keep the parser busy. */

#include "common/errors.h"
#include "common/pool-def.h"
#include "common/xml-writer.h"

#undef NDEBUG
#include <assert.h>
#include <time.h>

static void test_writer(void)
{
        _cleanup_free_ char *text = NULL;
        XmlWriter w;

        assert(xml_writer_start(&w) == 0);
        xml_open(&w, "a");
        xml_attribute(&w, "b", "<'\"&>");
        xml_attribute(&w, "none", NULL);
        xml_attributef(&w, "n", "%d", 7);
        xml_open(&w, "empty");
        xml_close(&w);
        xml_text(&w, "t", "x\ny\x7f \xc3\xa4 \xc3");
        xml_text(&w, "none", NULL);
        xml_textf(&w, "u", "%s", "&");
        xml_empty(&w, "e", "k", "v");
        xml_empty(&w, "e", "k", NULL);
        xml_size(&w, "s", "B", UINT64_MAX);
        xml_close(&w);
        assert(xml_writer_finish(&w, &text) == 0);
        assert(streq(text, "<a b='&lt;&apos;&quot;&amp;&gt;' n='7'>\n"
                           "  <empty/>\n"
                           "  <t>x?y? \xc3\xa4 \xef\xbf\xbd</t>\n"
                           "  <u>&amp;</u>\n"
                           "  <e k='v'/>\n"
                           "  <s unit='B'>18446744073709551615</s>\n"
                           "</a>\n"));
}

/* The processor's time that this process took, in ns: others may keep the machine busy. */
static uint64_t cpu_time(void)
{
        struct timespec ts;

        assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == 0);
        return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

/* Refused, with that in the message, and long before it could annoy anybody: unguarded it takes half a
 * minute. */
static void refused_quickly(const char *xml, size_t n, const char *part)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t start = cpu_time();
        PoolDef *def = NULL;

        assert(pool_def_parse_xml(xml, n, &def, &error) == -EBADMSG);
        if (!strstr(error.message, part)) {
                fprintf(stderr, "%s\n", error.message);
                abort();
        }
        assert(cpu_time() - start < UINT64_C(8000000000));
}

/* A document of nearly the greatest size: head, as many parts as there is room for with
 * a number for '#', tail. */
static void refused_full(const char *head, const char *part, const char *tail, const char *reason)
{
        _cleanup_free_ char *xml = NULL;
        size_t size = 0, counter = 0;
        const char *hash = strchr(part, '#');
        FILE *f = open_memstream(&xml, &size);

        assert(f && hash);
        (void) fputs(head, f);
        while (ftell(f) < (long) DEF_XML_MAX - 256)
                (void) fprintf(f, "%.*s%zu%s", (int) (hash - part), part, counter++, hash + 1);
        (void) fputs(tail, f);
        assert(fclose(f) == 0);
        refused_quickly(xml, size, reason);
}

static void test_busy_documents(void)
{
        refused_full("<pool ", "a#='' ", "/>", "too many attributes");
        refused_full("<pool ", "xmlns:a#='b' ", "/>", "too many attributes");
        refused_full("<!-- a > b --><pool ", "a#='>' ", "/>", "too many attributes");
        refused_full("<pool type='dir'>", "<name>#</name>", "</pool>", "too many elements");
        refused_full("", "<a#>", "", "nested too deeply");
        refused_full("<pool type='dir'>", "<!-- = = # -->", "</pool", "line 1");
        refused_full("<pool type='dir'>", "&a#;", "</pool>", "not defined");
        refused_full("<pool type='dir' a='", "&lt;#", "'/>", "unknown attribute 'a'");
        refused_full("<pool type='dir'>", "<![CDATA[#]]>", "</pool>", "text where none belongs");
        refused_full("<!DOCTYPE a [", "<!ENTITY a# 'b'>", "]><pool/>", "document type declaration");
}

static void test_encodings(void)
{
        static const char utf16[] = "\xff\xfe<\0p\0o\0o\0l\0/\0>\0";
        static const char latin1[] = "<?xml version='1.0' encoding='ISO-8859-1'?><pool type='\xc3\xa4'/>";
        static const char ebcdic[] = "<?xml version='1.0' encoding='EBCDIC-US'?><pool type='x'/>";

        refused_quickly(utf16, sizeof(utf16) - 1, "NUL bytes");
        /* The bytes are taken for what they are, whatever the document says. */
        refused_quickly(latin1, sizeof(latin1) - 1, "unknown pool type '\xc3\xa4'");
        refused_quickly(ebcdic, sizeof(ebcdic) - 1, "unknown pool type 'x'");
        refused_quickly("<pool type='\xff'/>", 16, "not UTF-8");
}

int main(void)
{
        assert(storage_errors_register() >= 0);
        test_writer();
        test_busy_documents();
        test_encodings();
        return 0;
}
