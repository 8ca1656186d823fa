/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/call.h"
#include "tools/monitor.h"
#include "tools/report.h"
#include "tools/show.h"
#include "tools/table.h"

static const Option capabilities_options[] = {
        {"xml", NULL, OPTION_FLAG, NULL, "print libvirt's storagepoolCapabilities XML"},
        {0},
};

static int print_capabilities_xml(Context *c, sd_bus_error *error)
{
        _cleanup_bus_message_unref_ sd_bus_message *reply = NULL;
        const char *xml;
        int r;

        r = call_read(c, STORAGE_PATH, MANAGER_INTERFACE, "GetCapabilities", error, &reply, "");
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &xml);
        if (r < 0)
                return r;
        (void) printf("%s%s", xml, *xml && xml[strlen(xml) - 1] == '\n' ? "" : "\n");
        return fflush(stdout) != 0 ? -EIO : 0;
}

static int print_types(const Context *c, json_object *types)
{
        static const char *const columns[] = {"TYPE", "OPERATIONS", "SOURCE FORMATS", "VOLUME FORMATS",
                                              "MISSING TOOLS"};
        static const char *const keys[] = {"operations", "source-formats", "volume-formats",
                                           "missing-tools"};
        _cleanup_(table_freep) Table *t = table_new(columns, ELEMENTSOF(columns));
        int r = t ? 0 : -ENOMEM;

        json_object_object_foreach(types, type, facts)
        {
                if (r >= 0)
                        r = table_add(t, type);
                for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++) {
                        _cleanup_free_ char *text = show_value(facts, keys[i], SHOW_TEXT);

                        r = text ? table_add(t, text) : -ENOMEM;
                }
        }
        return r < 0 ? r : table_print(t, stdout, c->legend);
}

static int print_manager(const Context *c, json_object *manager)
{
        static const ShowProperty properties[] = {
                {"Version", SHOW_TEXT}, {"Features", SHOW_TEXT}, {"InstanceID", SHOW_TEXT}};
        json_object *types;
        int r;

        if (c->json)
                return json_print(manager, true);
        r = show_properties(manager, properties, ELEMENTSOF(properties));
        if (r < 0 || !json_object_object_get_ex(manager, "PoolTypes", &types))
                return r;
        (void) putchar('\n');
        return print_types(c, types);
}

static int capabilities(Context *c, const Args *a)
{
        _cleanup_bus_error_free_ sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_json_ json_object *manager = NULL;
        int r;

        if (args_has(a, "xml") && c->json)
                return usage_error("--xml and --json exclude each other");
        if (args_has(a, "xml"))
                r = print_capabilities_xml(c, &error);
        else if ((r = read_object(c, STORAGE_PATH, MANAGER_INTERFACE, &manager, &error)) >= 0)
                r = print_manager(c, manager);
        return r < 0 ? report(c, &error, r) : STATUS_OK;
}

const Command other_commands[] = {
        {NULL, "monitor", "", "print what happens, a line each, until Ctrl-C", 0, 0, COMMAND_JSON,
         monitor_options, NULL, monitor},
        {NULL, "capabilities", "", "show what the service can do", 0, 0, COMMAND_JSON, capabilities_options,
         NULL, capabilities},
        {0},
};
