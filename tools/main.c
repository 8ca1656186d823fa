/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>

#include "common/errors.h"
#include "tools/call.h"
#include "tools/help.h"
#include "tools/report.h"
#include "tools/suggest.h"

#define COMMANDS_MAX 64U

static const Command *find_command(const char *group, const char *name)
{
        for (size_t t = 0; command_tables[t]; t++)
                for (const Command *command = command_tables[t]; command->name; command++)
                        if (streq_ptr(command->group, group) && streq(command->name, name))
                                return command;
        return NULL;
}

static const char *find_group(const char *name)
{
        for (size_t t = 0; command_tables[t]; t++)
                if (command_tables[t]->group && streq(command_tables[t]->group, name))
                        return command_tables[t]->group;
        return NULL;
}

/* "volume snapshot" is a group as well, where "snapshot" stands behind "volume". */
static const char *find_subgroup(const char *group, const char *name)
{
        size_t n = strlen(group);

        for (size_t t = 0; command_tables[t]; t++) {
                const char *other = command_tables[t]->group;

                if (other && startswith(other, group) && other[n] == ' ' && streq(other + n + 1, name))
                        return other;
        }
        return NULL;
}

/* The words that could stand where an unknown one stands. */
static size_t words_at(const char *group, const char *names[static COMMANDS_MAX])
{
        size_t n = 0;

        for (size_t t = 0; command_tables[t]; t++) {
                const char *other = command_tables[t]->group;
                size_t length = group ? strlen(group) : 0;

                if (!group && other && !strchr(other, ' '))
                        names[n++] = other;
                else if (group && other && startswith(other, group) && other[length] == ' ')
                        names[n++] = other + length + 1;
                for (const Command *command = command_tables[t]; command->name && n < COMMANDS_MAX;
                     command++)
                        if (streq_ptr(command->group, group))
                                names[n++] = command->name;
        }
        return n;
}

static int unknown_command(const char *group, const char *word)
{
        const char *names[COMMANDS_MAX], *nearest = suggest_nearest(word, names, words_at(group, names));
        const char *space = group ? " " : "";

        if (nearest)
                return usage_error("unknown command '%s%s%s'; did you mean '%s%s%s'?", strempty(group),
                                   space, word, strempty(group), space, nearest);
        nearest = suggest_for_virsh(group, word);
        if (nearest)
                return usage_error("unknown command '%s%s%s'; what virsh calls so is '%s' here",
                                   strempty(group), space, word, nearest);
        return usage_error("unknown command '%s%s%s'; see 'storagectl --help'", strempty(group), space,
                           word);
}

/* Takes the next word that is no option out of argv; NULL if there is none. */
static char *take_word(int *argc, char **argv)
{
        for (int i = 1; i < *argc && !streq(argv[i], "--"); i++) {
                char *word = argv[i];

                if (*word == '-')
                        continue;
                memmove(argv + i, argv + i + 1, (size_t) (*argc - i) * sizeof(*argv));
                (*argc)--;
                return word;
        }
        return NULL;
}

static int check_global(const Command *command, const Args *a)
{
        if (args_has(a, "json") && !(command->flags & COMMAND_JSON))
                return usage_error("'%s' has nothing to print as JSON", command->name);
        if (args_has(a, "no-wait") && !(command->flags & COMMAND_JOB))
                return usage_error("'%s' makes no job: --no-wait has no meaning for it", command->name);
        if (args_has(a, "user") && args_has(a, "system"))
                return usage_error("--user and --system exclude each other");
        if (args_has(a, "names") && args_has(a, "json"))
                return usage_error("--names and --json exclude each other");
        return STATUS_OK;
}

static int check_operands(const Command *command, const Args *a)
{
        if (a->n_operands < command->min)
                return usage_error("operands are missing: storagectl %s%s%s %s", strempty(command->group),
                                   command->group ? " " : "", command->name, command->operands);
        if (a->n_operands > command->max)
                return usage_error("one operand too many: '%s'", a->operands[command->max]);
        for (size_t i = 0; i < a->n_operands; i++)
                if (!*a->operands[i])
                        return usage_error("an operand is empty");
        return STATUS_OK;
}

static int run_command(const Command *command, const Args *a)
{
        Context c = {
                .user = args_has(a, "user"),
                .json = args_has(a, "json"),
                .legend = !args_has(a, "no-legend"),
                .ask_password = !args_has(a, "no-ask-password"),
                .wait = !args_has(a, "no-wait"),
                .quiet = args_has(a, "quiet"),
        };
        int status;

        status = check_global(command, a);
        if (status == STATUS_OK)
                status = check_operands(command, a);
        if (status == STATUS_OK)
                status = command->run(&c, a);
        context_done(&c);
        return status;
}

/* Without a command there is only help and version. */
static int run_nothing(const char *group, const Args *a)
{
        if (args_has(a, "version")) {
                (void) puts("storagectl " STORAGED_VERSION);
                return STATUS_OK;
        }
        if (args_has(a, "help")) {
                help_commands(group);
                return STATUS_OK;
        }
        return usage_error("a command is missing; see 'storagectl %s%s--help'", strempty(group),
                           group ? " " : "");
}

static int run(int argc, char **argv)
{
        const Command *command = NULL;
        _cleanup_free_ char *message = NULL;
        Args a = {.tables = {global_options}};
        const char *word, *group;
        int r, status;

        word = take_word(&argc, argv);
        group = word ? find_group(word) : NULL;
        if (group)
                word = take_word(&argc, argv);
        if (group && word && find_subgroup(group, word)) {
                group = find_subgroup(group, word);
                word = take_word(&argc, argv);
        }
        if (word) {
                command = find_command(group, word);
                if (!command)
                        return unknown_command(group, word);
                a.tables[1] = command->options;
                a.tables[2] = command->more_options;
        }
        r = args_parse(&a, argc, argv, &message);
        if (r < 0) {
                status = usage_error("%s", message ? message : strerror(-r));
        } else if (!command || args_has(&a, "version")) {
                status = run_nothing(group, &a);
        } else if (args_has(&a, "help")) {
                help_command(command);
                status = STATUS_OK;
        } else {
                status = run_command(command, &a);
        }
        args_done(&a);
        return status;
}

int main(int argc, char **argv)
{
        (void) setlocale(LC_ALL, "");
        if (storage_errors_register() < 0)
                return STATUS_FAILED;
        return run(argc, argv);
}
