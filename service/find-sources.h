/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Looks for storage that pools could be made of: by a worker of its own, which is done for afterwards, as a
 * device that does not answer must disturb nothing else.
 */

#include "common/candidate.h"
#include "service/job.h"

/* So many searches at once. */
#define FINDING_MAX 4U
/* And so many processes of former ones that the kernel does not let go of. */
#define FINDING_HUNG_MAX 16U

/*
 * A job that looks for sources of pools of source's type; source may say more about what is wanted and is
 * not taken. Unsupported where the type cannot look; LimitsExceeded. *ret is owned by the caller.
 */
int find_sources(Manager *m, const PoolDef *source, bool as_xml, uid_t uid, Job **ret, sd_bus_error *error);

/* The outcome of a job of that kind, or NULL: of another kind. */
typedef struct FoundSources FoundSources;
const FoundSources *job_found_sources(const Job *job);
bool found_sources_as_xml(const FoundSources *f);
/* As one aa{sv}, empty until the job has succeeded. */
int found_sources_append(const FoundSources *f, sd_bus_message *m);
/* As libvirt's <sources>. *ret is owned by the caller. */
int found_sources_format_xml(const FoundSources *f, char **ret);
