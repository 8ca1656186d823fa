/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Guesses what somebody meant who typed a word that is not known. */

#include <stddef.h>

/* The name that is nearest to word, or NULL if none is near. */
const char *suggest_nearest(const char *word, const char *const *names, size_t n);

/* What virsh's command is called here, or NULL; group is what was typed before it, or NULL. */
const char *suggest_for_virsh(const char *group, const char *word);
