import type { Abortable, ListOptions, ObjectVersion, ObjectVersions } from '../../storage.ts'
import { decodeUrl, timeNs } from './listing.ts'
import { removeObjects } from './removal.ts'
import type { S3Requests } from './requests.ts'
import { childrenOf, textOf, type XmlElement } from './xml.ts'

/** What a bucket keeps of objects that were replaced or deleted, below `rootPrefix` (`''` or `root/`). */
export function objectVersions(requests: S3Requests, rootPrefix: string): ObjectVersions {
  return {
    async areKept(options = {}) {
      const { versioning } = requests.description
      if (versioning !== 'ask') return versioning === 'enabled'
      const document = await requests.sendForXml(
        {
          method: 'GET',
          key: '',
          query: { versioning: '' },
          doing: 'ask for the versioning of',
          ...options,
        },
        'VersioningConfiguration',
      )
      return textOf(document, 'Status') !== undefined
    },
    async *list(prefix, options = {}) {
      const folder = `${rootPrefix}${prefix === '' ? '' : `${prefix}/`}`
      let position: Record<string, string> | undefined = {}
      while (position !== undefined) {
        const page: Page = await listPage(requests, folder, position, options)
        options.onProgress?.()
        for (const version of page.versions) {
          if (version.key.endsWith('/')) continue
          yield { ...version, key: version.key.slice(rootPrefix.length) }
        }
        position = page.next
      }
    },
    delete: (versions, options = {}) =>
      removeObjects(
        requests,
        versions.map(({ key, versionId }) => ({ key: `${rootPrefix}${key}`, versionId })),
        options,
      ),
  }
}

interface Page {
  readonly versions: readonly ObjectVersion[]
  readonly next: Record<string, string> | undefined
}

async function listPage(
  requests: S3Requests,
  folder: string,
  position: Readonly<Record<string, string>>,
  { recursive, signal, onProgress }: ListOptions & Abortable,
): Promise<Page> {
  const document = await requests.sendForXml(
    {
      method: 'GET',
      key: '',
      query: {
        versions: '',
        prefix: folder,
        'encoding-type': 'url',
        ...(recursive === true ? {} : { delimiter: '/' }),
        ...position,
      },
      doing: 'list the versions of',
      signal,
      onProgress,
    },
    'ListVersionsResult',
  )
  const isEncoded = textOf(document, 'EncodingType') === 'url'
  const decode = (text: string): string => (isEncoded ? decodeUrl(text) : text)
  const versionOf = (element: XmlElement, isDeleted: boolean): ObjectVersion => ({
    key: decode(textOf(element, 'Key') ?? ''),
    versionId: textOf(element, 'VersionId') ?? 'null',
    isLatest: textOf(element, 'IsLatest') === 'true',
    isDeleted,
    sizeBytes: Number(textOf(element, 'Size') ?? 0),
    modifiedNs: timeNs(textOf(element, 'LastModified') ?? ''),
  })
  const versions = [
    ...childrenOf(document, 'Version').map(element => versionOf(element, false)),
    ...childrenOf(document, 'DeleteMarker').map(element => versionOf(element, true)),
  ]
  const keyMarker = decode(textOf(document, 'NextKeyMarker') ?? '')
  const isMore = textOf(document, 'IsTruncated') === 'true' && keyMarker !== ''
  const idMarker = textOf(document, 'NextVersionIdMarker') ?? ''
  return {
    versions,
    next: isMore ? { 'key-marker': keyMarker, 'version-id-marker': idMarker } : undefined,
  }
}
