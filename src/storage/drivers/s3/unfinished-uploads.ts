import { hasCode } from '../../../kit/errors.ts'
import type { Abortable, UnfinishedUpload, UnfinishedUploads } from '../../storage.ts'
import { decodeUrl, timeNs } from './listing.ts'
import type { S3Requests } from './requests.ts'
import { childrenOf, textOf } from './xml.ts'

/** Multipart uploads below `rootPrefix` (`''` or `root/`) that were begun and neither completed nor aborted. */
export function unfinishedUploads(requests: S3Requests, rootPrefix: string): UnfinishedUploads {
  return {
    async *list(prefix, options = {}) {
      const folder = `${rootPrefix}${prefix === '' ? '' : `${prefix}/`}`
      let position: Record<string, string> | undefined = {}
      while (position !== undefined) {
        const page: Page = await listPage(requests, folder, position, options)
        for (const upload of page.uploads) yield { ...upload, key: upload.key.slice(rootPrefix.length) }
        position = page.next
      }
    },
    async abort({ key, id }, options = {}) {
      try {
        await requests.sendOnly({
          method: 'DELETE',
          key: `${rootPrefix}${key}`,
          query: { uploadId: id },
          doing: 'abort the upload of',
          ...options,
        })
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      }
    },
  }
}

interface Page {
  readonly uploads: readonly UnfinishedUpload[]
  readonly next: Record<string, string> | undefined
}

async function listPage(
  requests: S3Requests,
  folder: string,
  position: Readonly<Record<string, string>>,
  options: Abortable,
): Promise<Page> {
  const document = await requests.sendForXml(
    {
      method: 'GET',
      key: '',
      query: { uploads: '', prefix: folder, 'encoding-type': 'url', ...position },
      doing: 'list the uploads of',
      ...options,
    },
    'ListMultipartUploadsResult',
  )
  const isEncoded = textOf(document, 'EncodingType') === 'url'
  const decode = (text: string): string => (isEncoded ? decodeUrl(text) : text)
  const uploads = childrenOf(document, 'Upload').map(element => ({
    key: decode(textOf(element, 'Key') ?? ''),
    id: textOf(element, 'UploadId') ?? '',
    beganNs: timeNs(textOf(element, 'Initiated') ?? ''),
  }))
  const keyMarker = decode(textOf(document, 'NextKeyMarker') ?? '')
  const isMore = textOf(document, 'IsTruncated') === 'true' && keyMarker !== ''
  const idMarker = textOf(document, 'NextUploadIdMarker') ?? ''
  return {
    // a store may not know the prefix
    uploads: uploads.filter(({ key, id }) => id !== '' && key.startsWith(folder)),
    next: isMore ? { 'key-marker': keyMarker, 'upload-id-marker': idMarker } : undefined,
  }
}
