/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* 'volume upload', 'volume download' and 'volume import': the service gets the descriptor itself. */

#include "tools/storagectl.h"

extern const Option volume_upload_options[];
int volume_upload(Context *c, const Args *a);

extern const Option volume_download_options[];
int volume_download(Context *c, const Args *a);

extern const Option volume_import_options[];
int volume_import(Context *c, const Args *a);
