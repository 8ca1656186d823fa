/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What storaged and storaged-worker say to each other: D-Bus, peer to peer, over the socketpair that the worker
 * inherits as descriptor 3. The worker is the server side of the connection (anonymous authentication). The
 * daemon has one method call under way at a time a worker; signals that belong to a call come before its reply.
 * Only a data worker has something to ask the daemon: "Writing".
 * The worker sends a signal with the call's error in the ordinary way: names from common/errors.h.
 *
 * Roles, by the worker's first argument:
 *
 * "store": writes the daemon's own files, and tells what the backends can do
 *   Describe() → a(sasas)              type, operations, missing tools: a row for each backend
 *   Apply(a(sssu))                     changes in order: (op, path, content, mode); each is durable (fsync of file and
 *                                      folder) before the next begins, and all before the reply.
 *                                      op "write": temp file + fsync + rename + fsync of the folder;
 *                                      "write-hex": the same, of bytes in hexadecimal;
 *                                      "link": symlink whose target is content, replaced atomically;
 *                                      "remove": gone is fine. Parent folders are made (0755).
 *
 * "pool": one pool, its scan cache and its watch
 *   SetPool(s xml, a{sv})              the pool's definition; first call, and again when it changes
 *   Check() → b                        is it really active (probes reality, changes nothing)?
 *   Build(a{sv}) → b                   made: the storage was not there before, so Delete undoes it
 *   Start(a{sv})  Stop(a{sv})  Delete(a{sv})
 *                                      options: Build "overwrite" b
 *   Refresh()                          Rows signals, then Status, then the reply. The first Refresh of a worker
 *                                      sends every row; a later one only what differs from what was sent
 *   Watch(b)                           on: changes are sent as Rows and Status by themselves from now on. Off:
 *                                      no descriptor is kept on the storage
 *   CreateVolume(s xml, a{sv}) → s token, ah fd, aROW, b zero
 *                                      options: "preallocation" s (off metadata falloc full). Complete: token "",
 *                                      no fd, one row. Reserved: a token, a descriptor of the unfinished file,
 *                                      no row; then a data worker's work, then Publish or Discard. "reserve" b:
 *                                      always reserved, and empty; zero: it reads as zeros; "token" s: random, what
 *                                      a partition can be discarded by though there was no reply; "secret" s: the
 *                                      file of the passphrase, if it is to be encrypted
 *   PublishVolume(s token) → ROW       Exists if the name was taken meanwhile
 *   DiscardVolume(s token)
 *   DeleteVolume(s name, a{sv})        options: "force" b; "durable" b, it does not come back
 *                                      after a loss of power, where that might be; "start" t, also of ResizeVolume and OpenVolume: where the partition
 *                                      begins that is meant, as its number may have become another one's: NotFound
 *                                      then; 0: it is none
 *   ResizeVolume(s name, t capacity, a{sv}) → ROW
 *                                      options: "shrink" "force" b, and "allocate" b where volumes are no files;
 *                                      capacity is absolute; "from" t: Busy, unless it has that capacity now, or the new one;
 *                                      "secret" s: of an encrypted image
 *   OpenVolume(s name, s mode, a{sv}) → h  mode "r" or "rw" for clients; "read" or "write" for data jobs: the
 *                                      descriptor then has QEMU's locks, and InUse is told unless option "force" b
 *   ListUsers(s name) → a(sua{sv})     who uses it now: command or mount point or device, process (0: none is), and more,
 *                                      as Volume.ListUsers has it
 *   LookVolume(s name) → ROW           what it is now, after it was changed in place
 *   ChangeRaid(s action, s device)     of the array beneath the pool: "add", "fail" or "remove" a device
 *   FindSources(s type, s source xml) → aa{sv}  needs no SetPool: candidates for the source of a pool of that type.
 *                                      Keys: source-devices as, links as, source-name s, source-format s, size t,
 *                                      vendor s, model s, serial s, removable b, read-only b, contents s, used-by
 *                                      s, unsuitable s; only what is known
 *   Ping()
 *   Rows(b first, aROW changed, as removed)  signal; at most WORKER_ROWS_MAX rows and names in all; first: the
 *                                      first of a complete listing, forget what is not in those that follow
 *                                      until the next Status (there is one, and in a Refresh it comes before
 *                                      the reply). A folder that cannot be read gives no listing, but Status
 *                                      inaccessible; the listing comes by itself if it can be read later
 *   Status(t capacity, t allocation, t available, s health, a(ss) problems, u mode, u owner, u group,
 *          a{sv} details)
 *                                      signal, when it changed: health ok, degraded or inaccessible; problems:
 *                                      code, text for people; the target path's permissions as they are;
 *                                      details as in common/pool-details.h
 *
 * "data": one data job
 *   Fill(s pool xml, s volume xml, h fd, a{sv})  makes the volume's contents in the reserved file: options
 *                                      "preallocation" "secret" s. Reply: it is whole and fsynced
 *   Copy(s pool xml, s volume xml, h fd, a(shs) from, a{sv})  makes the volume a copy of another, in what was
 *                                      reserved. from: format ("" is raw), descriptor and secret (the file of the
 *                                      passphrase that opens it; "": none) of the source, then of what it is built on, one
 *                                      behind the other. Options: "zero" b (a reserved device
 *                                      reads as zeros), "preallocation" s, "reflink" s (auto always never),
 *                                      "compress" b, "secret" s (the file of its passphrase, if it is to be encrypted). Reply:
 *                                      it is whole and fsynced
 *   Upload(s pool xml, s volume, h fd, h source, a{sv}) → t bytes, s sha256
 *                                      into the volume from the descriptor of a client. Options: "offset" "length" t (a
 *                                      stream needs a length), "sparse" "sha256" b, "grow" b: the file may become longer,
 *                                      "fresh" b: the volume is new, and has these bytes only, "zero" b: and reads as zeros now,
 *                                      "format" s: and they must be of that. Reply: they are fsynced;
 *                                      sha256 is hex, "" if it was not asked for
 *   Download(s pool xml, s volume, h fd, h destination, a{sv}) → t bytes, s sha256
 *                                      the other way. Options: "offset" "length" t, "sparse" "sha256" b
 *   Measure(s volume, h source) → t    how many bytes Upload could read from a client's file or device
 *   Rebase(s pool xml, s volume, h fd, a(shs) image, s path, s format, a(shs) backing)
 *                                      puts in the volume's place a new image with the same contents, built on backing,
 *                                      which is recorded with that path and format; path "": on nothing. image, backing:
 *                                      formats, descriptors and secrets, of what each is built on too. Reply: it is in its place
 *   SetBacking(s pool xml, s volume, h fd, s format, s path, s backing format, a{sv})
 *                                      option "secret" s, of an encrypted image: only records another backing store in the image, without looking at it
 *   Commit(s pool xml, s volume, h fd, a(shs) image)
 *                                      writes what image has of its own into the volume, which it is built on
 *   Snapshot(s pool xml, s volume, h fd, s action, s snapshot, a{sv})  within an image: "create", "revert" to
 *                                      or "delete" it; the descriptor has QEMU's locks. Options: "mend" b, put right
 *                                      first what one that was cut off may have left, "secret" s as above
 *   Grow(s pool xml, s volume name, h fd, t capacity, t from, a{sv})
 *                                      of a file, all that is added gets storage: see backends/file-grow.h. Options:
 *                                      "secret" s, the file of an encrypted image's
 *   Wipe(s pool xml, s volume name, h fd, s algorithm)
 *                                      see backends/wipe.h. Reply: it is wiped and fsynced
 *   FileSnapshot(s pool xml, s volume, h fd, s action, s snapshot) → aROW  the same for a file that shares blocks with
 *                                      its snapshots, which are files beside it (see common/snapshot-name.h): the
 *                                      row of what was created
 *   CopyBack(s pool xml, s volume, h fd, h from)  makes the device equal to another one, writing what differs
 *   Progress(t done, t total)          signal, bytes; at most 4 a second
 *   Writing()                          a call of the worker's: it is about to change an existing volume, which is
 *                                      incomplete from then on if this does not come to its end. Reply: the daemon has
 *                                      that on disk; an error ends the job before anything is written
 *   Whole()                            signal: that came to nothing, the volume is as whole as it was before
 *
 * SIGUSR1 asks a worker to give up what it is doing (Cancelled); SIGTERM to end after that.
 */

#define WORKER_FD 3
#define WORKER_PATH "/org/example/Storage1/worker"
#define WORKER_INTERFACE "org.example.Storage1.Worker"
#define WORKER_ROWS_MAX 256U

/* A volume that is being made has a name with this prefix in its folder; it is never shown as a volume. */
#define UNFINISHED_PREFIX ".storaged-new-"
