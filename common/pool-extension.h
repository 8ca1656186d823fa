/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a pool's definition has beyond libvirt's XML. It is written as processing instructions of <pool>,
 * whose contents are XML: libvirt's schema allows them everywhere, and its parser passes them over, so that
 * it sees a pool on a device which is there only while the array runs.
 *
 *     <?storaged
 *       <raid level='raid1' spares='1' chunk-size='65536'>
 *         <device path='/dev/vdb'/>
 *         …
 *       </raid>
 *     ?>
 *     <?storaged
 *       <format type='btrfs'/>
 *     ?>
 *
 * Texts and attributes are escaped as everywhere, and so have no '>' which could end the instruction.
 */

#include "common/def-xml.h"

/* Reads all of them that are children of <pool>, after the elements. InvalidXML or InvalidArgument. */
int pool_extensions_read(xmlNode *pool, PoolDef *def, sd_bus_error *error);
void pool_extensions_write(XmlWriter *w, const PoolDef *def);

/* The source format as libvirt's <format> can say it: one that it has not is "auto". */
const char *pool_libvirt_format(const PoolDef *def);
