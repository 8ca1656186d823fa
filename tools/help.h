/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* --help, made from the tables of commands and options. */

#include "tools/storagectl.h"

extern const Option global_options[];

/* The tables of commands in the order of the help, ended by NULL. */
extern const Command *const command_tables[];

/* All commands, or those of one group (NULL: all). */
void help_commands(const char *group);
void help_command(const Command *command);
