import { runPooled } from '../../../kit/file-steps.ts'
import type { FileSystem } from '../../../kit/file-system.ts'
import type { UnfinishedUploads } from '../../storage.ts'
import { temporaryOfUpload, uploadsOf } from '../../temporary-uploads.ts'
import { listFolder } from './listing.ts'
import type { FsPlace } from './place.ts'
import { type EntryCounts, removeObject, settleFolder } from './removal.ts'

/** Temporaries that nobody has renamed to their object. */
export function unfinishedUploads(
  system: FileSystem,
  place: FsPlace,
  counts: EntryCounts,
): UnfinishedUploads {
  return {
    list: (prefix, options = {}) =>
      uploadsOf(listFolder(system, place, prefix, { ...options, recursive: true }, 'temporaries')),
    async abort(upload, { signal } = {}) {
      const folder = await runPooled(system, removeObject(place, temporaryOfUpload(upload)), signal)
      if (folder !== undefined) await runPooled(system, settleFolder(place, folder, counts), signal)
    },
  }
}
