/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.example.Storage1.Pool: see interfaces/org.example.Storage1.Pool.xml. */

#include <stddef.h>

#include "interfaces/paths.h"
#include "interfaces/pool-methods.h"

#define GETTER(name)                                                                                \
        static int name(sd_bus *bus, const char *path, const char *interface, const char *property, \
                        sd_bus_message *reply, void *userdata, sd_bus_error *error)

GETTER(get_name)
{
        return sd_bus_message_append(reply, "s", ((Pool *) userdata)->def->name);
}

GETTER(get_uuid)
{
        return sd_bus_message_append(reply, "s", ((Pool *) userdata)->def->uuid);
}

GETTER(get_type)
{
        return sd_bus_message_append(reply, "s", pool_type_to_string(((Pool *) userdata)->def->type));
}

GETTER(get_volumes)
{
        _cleanup_free_ char *volumes = path_of_volumes(userdata);

        return volumes ? sd_bus_message_append(reply, "o", volumes) : -ENOMEM;
}

GETTER(get_state)
{
        return sd_bus_message_append(reply, "s", pool_state_to_string(((Pool *) userdata)->state));
}

GETTER(get_health)
{
        return sd_bus_message_append(reply, "s", ((Pool *) userdata)->health);
}

GETTER(get_problems)
{
        Pool *pool = userdata;
        size_t n = strv_length(pool->problem_texts);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = sd_bus_message_append(reply, "(ss)", pool->problem_codes[i], pool->problem_texts[i]);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

GETTER(get_target_path)
{
        return sd_bus_message_append(reply, "s", strempty(((Pool *) userdata)->def->target_path));
}

GETTER(get_source_format)
{
        return sd_bus_message_append(reply, "s", strempty(((Pool *) userdata)->def->source.format));
}

GETTER(get_autostart)
{
        return sd_bus_message_append(reply, "b", (int) ((Pool *) userdata)->autostart);
}

GETTER(get_persistent)
{
        return sd_bus_message_append(reply, "b", (int) ((Pool *) userdata)->persistent);
}

GETTER(get_update_pending)
{
        return sd_bus_message_append(reply, "b", (int) !!((Pool *) userdata)->pending);
}

GETTER(get_definition)
{
        return pool_def_append_dict(pool_next_def(userdata), reply);
}

GETTER(get_operations)
{
        Pool *pool = userdata;

        return sd_bus_message_append_strv(reply, pool->manager->abilities[pool->def->type].operations);
}

GETTER(get_volume_formats)
{
        Pool *pool = userdata;

        return sd_bus_message_append_strv(reply, (char **) pool_type_info(pool->def->type)->volume_formats);
}

#define ANYONE SD_BUS_VTABLE_UNPRIVILEGED
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

const sd_bus_vtable pool_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, CONSTANT),
        SD_BUS_PROPERTY("UUID", "s", get_uuid, 0, CONSTANT),
        SD_BUS_PROPERTY("Type", "s", get_type, 0, CONSTANT),
        SD_BUS_PROPERTY("Volumes", "o", get_volumes, 0, CONSTANT),
        SD_BUS_PROPERTY("State", "s", get_state, 0, CHANGES),
        SD_BUS_PROPERTY("Health", "s", get_health, 0, CHANGES),
        SD_BUS_PROPERTY("Problems", "a(ss)", get_problems, 0, CHANGES),
        SD_BUS_PROPERTY("TargetPath", "s", get_target_path, 0, CHANGES),
        SD_BUS_PROPERTY("SourceFormat", "s", get_source_format, 0, CHANGES),
        SD_BUS_PROPERTY("Autostart", "b", get_autostart, 0, CHANGES),
        SD_BUS_PROPERTY("Persistent", "b", get_persistent, 0, CHANGES),
        SD_BUS_PROPERTY("UpdatePending", "b", get_update_pending, 0, CHANGES),
        SD_BUS_PROPERTY("Capacity", "t", NULL, offsetof(Pool, status.capacity), CHANGES),
        SD_BUS_PROPERTY("Allocation", "t", NULL, offsetof(Pool, status.allocation), CHANGES),
        SD_BUS_PROPERTY("Available", "t", NULL, offsetof(Pool, status.available), CHANGES),
        SD_BUS_PROPERTY("LastRefresh", "t", NULL, offsetof(Pool, last_refresh), CHANGES),
        SD_BUS_PROPERTY("Generation", "t", NULL, offsetof(Pool, generation), CHANGES),
        SD_BUS_PROPERTY("VolumeCount", "u", NULL, offsetof(Pool, n_volumes), CHANGES),
        SD_BUS_PROPERTY("Definition", "a{sv}", get_definition, 0, CHANGES),
        SD_BUS_PROPERTY("Operations", "as", get_operations, 0, CHANGES),
        SD_BUS_PROPERTY("VolumeFormats", "as", get_volume_formats, 0, CHANGES),
        SD_BUS_METHOD_WITH_ARGS("Build", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                pool_method_build, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Start", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                pool_method_start, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Stop", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                pool_method_stop, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Delete", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                pool_method_delete, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Refresh", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                                pool_method_refresh, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Undefine", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                                pool_method_undefine, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("SetAutostart", SD_BUS_ARGS("b", autostart, "a{sv}", options),
                                SD_BUS_NO_RESULT, pool_method_set_autostart, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("Update", SD_BUS_ARGS("a{sv}", definition, "a{sv}", options),
                                SD_BUS_NO_RESULT, pool_method_update, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("UpdateFromXML", SD_BUS_ARGS("s", xml, "a{sv}", options), SD_BUS_NO_RESULT,
                                pool_method_update_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("CreateVolume", SD_BUS_ARGS("s", name, "t", capacity, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "o", job), pool_method_create_volume, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("CreateVolumeFromXML", SD_BUS_ARGS("s", xml, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "o", job), pool_method_create_volume_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("CloneVolume", SD_BUS_ARGS("o", source, "s", name, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "o", job), pool_method_clone_volume, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("CloneVolumeFromXML", SD_BUS_ARGS("o", source, "s", xml, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "o", job), pool_method_clone_volume_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("EnsureVolume", SD_BUS_ARGS("s", name, "t", capacity, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "as", changes, "o", job),
                                pool_method_ensure_volume, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("EnsureVolumeFromXML", SD_BUS_ARGS("s", xml, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "as", changes, "o", job),
                                pool_method_ensure_volume_xml, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("ImportVolume", SD_BUS_ARGS("s", name, "h", source, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "a{sv}", result, "o", job),
                                pool_method_import_volume, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("OpenImport", SD_BUS_ARGS("s", name, "t", length, "a{sv}", options),
                                SD_BUS_RESULT("o", volume, "h", pipe, "o", job), pool_method_open_import,
                                ANYONE),
        SD_BUS_METHOD_WITH_ARGS("GetVolume", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", volume),
                                pool_method_get_volume, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("ListVolumes", SD_BUS_ARGS("a{sv}", options),
                                SD_BUS_RESULT("a(osssttta{sv})", volumes, "s", next, "t", generation),
                                pool_method_list_volumes, ANYONE),
        SD_BUS_METHOD_WITH_ARGS("GetXML", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", xml),
                                pool_method_get_xml, ANYONE),
        SD_BUS_SIGNAL_WITH_ARGS("Refreshed", SD_BUS_ARGS("t", generation), 0),
        SD_BUS_SIGNAL_WITH_ARGS("VolumesReset", SD_BUS_ARGS("t", generation), 0),
        SD_BUS_VTABLE_END,
};
