import type { UnfinishedUploads } from '../../storage.ts'
import { temporaryOfUpload, uploadsOf } from '../../temporary-uploads.ts'
import type { SftpLink } from './link.ts'
import { listFolder } from './listing.ts'
import type { SftpPlace } from './place.ts'
import { removeObject, settleFolder } from './removal.ts'

/** Temporaries that nobody has renamed to their object. */
export function unfinishedUploads(link: SftpLink, place: SftpPlace): UnfinishedUploads {
  return {
    list: (prefix, options = {}) =>
      uploadsOf(listFolder(link, place, prefix, { ...options, recursive: true }, 'temporaries')),
    async abort(upload, { signal } = {}) {
      const key = temporaryOfUpload(upload)
      const folder = await link.run(session => removeObject(session, place, key), signal)
      if (folder !== undefined) await link.run(session => settleFolder(session, place, folder), signal)
    },
  }
}
