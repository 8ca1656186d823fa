/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ctype.h>

#include "tools/help.h"

#define HELP_COLUMN 40

const Option global_options[] = {
        {"help", NULL, OPTION_FLAG, NULL, "print this help (-h)"},
        {"version", NULL, OPTION_FLAG, NULL, "print the version"},
        {"system", NULL, OPTION_FLAG, NULL, "use the service of the machine (default)"},
        {"user", NULL, OPTION_FLAG, NULL, "use the service of your own session"},
        {"json", NULL, OPTION_FLAG, NULL, "print JSON, where a command prints something"},
        {"no-legend", NULL, OPTION_FLAG, NULL, "print no headers"},
        {"no-wait", NULL, OPTION_FLAG, NULL, "do not wait for work: print the path of its job"},
        {"no-ask-password", NULL, OPTION_FLAG, NULL, "never ask for a password"},
        {"quiet", NULL, OPTION_FLAG, NULL, "print no confirmation and no progress (-q)"},
        {0},
};

const Command *const command_tables[] = {pool_commands, volume_commands, snapshot_commands,
                                         job_commands,  secret_commands, other_commands,
                                         NULL};

static void print_line(const char *left, const char *right)
{
        if (strlen(left) + 2 > HELP_COLUMN)
                (void) printf("  %s\n  %*s%s\n", left, HELP_COLUMN, "", right);
        else
                (void) printf("  %-*s%s\n", HELP_COLUMN, left, right);
}

static void print_options(const char *title, const Option *options)
{
        if (!options || !options->name)
                return;
        (void) printf("\n%s:\n", title);
        for (const Option *o = options; o->name; o++) {
                char left[96];

                (void) snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "",
                                strempty(o->value));
                print_line(left, o->help);
        }
}

static void synopsis(const Command *command, char *text, size_t size)
{
        (void) snprintf(text, size, "%s%s%s%s%s", strempty(command->group), command->group ? " " : "",
                        command->name, *command->operands ? " " : "", command->operands);
}

/* Or in a group of that group. */
static bool is_in_group(const Command *command, const char *group)
{
        const char *rest = command->group ? startswith(command->group, group) : NULL;

        return rest && (*rest == '\0' || *rest == ' ');
}

void help_commands(const char *group)
{
        (void) printf("Usage: storagectl [OPTION...] %s%sCOMMAND [OPTION...] [OPERAND...]\n\n"
                      "Manages storage pools and volumes for virtual machines.\n\nCommands:\n",
                      strempty(group), group ? " " : "[pool|volume|job|secret] ");
        for (size_t t = 0; command_tables[t]; t++) {
                for (const Command *command = command_tables[t]; command->name; command++) {
                        char left[96];

                        if (group && !is_in_group(command, group))
                                continue;
                        synopsis(command, left, sizeof(left));
                        print_line(left, command->help);
                }
        }
        print_options("Options", global_options);
        (void) puts("\nA POOL is a name or a UUID, a PATH that of a volume.\n"
                    "'storagectl COMMAND --help' tells a command's own options; see also storagectl(1).");
}

void help_command(const Command *command)
{
        char text[96];

        synopsis(command, text, sizeof(text));
        (void) printf("Usage: storagectl %s [OPTION...]\n\n%c%s.\n", text,
                      toupper((unsigned char) command->help[0]), command->help + 1);
        print_options("Options of this command", command->options);
        print_options(streq_ptr(command->group, "volume") ? "Options that describe the volume"
                                                          : "Options that describe the pool",
                      command->more_options);
        print_options("Options of all commands", global_options);
}
