import { throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import { isTemporaryName } from '../../keys.ts'
import type { ListOptions, StorageEntry } from '../../storage.ts'
import type { S3Requests } from './requests.ts'
import { childrenOf, textOf, type XmlElement } from './xml.ts'

export interface S3ListingOptions extends ListOptions {
  readonly requests: S3Requests
  /** What stands in front of every key of the storage: `''` or `root/`. */
  readonly rootPrefix: string
  /** Below the storage's root: `''`, or a folder without `/` at its end. */
  readonly prefix: string
  /** Entries of a page; the store's own maximum is 1000. */
  readonly pageSize: number
}

interface Page {
  readonly entries: StorageEntry[]
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined
}

/** Entries of a folder, or of everything below it, page by page; the next page is asked for while one is used. */
export async function* listBucket(options: S3ListingOptions): AsyncGenerator<StorageEntry> {
  let coming: Promise<Page> | undefined = listPage(options, undefined)
  try {
    while (coming !== undefined) {
      const page: Page = await coming
      coming = page.next === undefined ? undefined : listPage(options, page.next)
      coming?.catch(() => {})
      options.onProgress?.()
      for (const entry of page.entries) {
        throwIfCancelled(options.signal)
        yield entry
      }
    }
  } finally {
    coming?.catch(() => {})
  }
}

async function listPage(options: S3ListingOptions, after: string | undefined): Promise<Page> {
  const { requests, rootPrefix, prefix } = options
  const isV1 = requests.description.usesListV1
  const folder = `${rootPrefix}${prefix === '' ? '' : `${prefix}/`}`
  const position = after === undefined ? {} : isV1 ? { marker: after } : { 'continuation-token': after }
  const document = await requests.sendForXml(
    {
      method: 'GET',
      key: '',
      query: {
        ...(isV1 ? {} : { 'list-type': '2' }),
        prefix: folder,
        'encoding-type': 'url',
        'max-keys': String(options.pageSize),
        ...(options.recursive === true ? {} : { delimiter: '/' }),
        ...position,
      },
      doing: prefix === '' ? 'list' : `list "${prefix}" of`,
      signal: options.signal,
      onProgress: options.onProgress,
    },
    'ListBucketResult',
  )
  return readPage(document, folder, rootPrefix, isV1)
}

function readPage(document: XmlElement, folder: string, rootPrefix: string, isV1: boolean): Page {
  const decode = textOf(document, 'EncodingType') === 'url' ? decodeUrl : (text: string): string => text
  const entries: StorageEntry[] = []
  let lastKey = ''
  for (const element of childrenOf(document, 'Contents')) {
    const whole = decode(required(element, 'Key'))
    lastKey = whole
    if (!isObjectName(whole, folder)) continue
    entries.push({
      kind: 'object',
      key: whole.slice(rootPrefix.length),
      sizeBytes: Number(required(element, 'Size')),
      modifiedNs: timeNs(required(element, 'LastModified')),
    })
  }
  for (const element of childrenOf(document, 'CommonPrefixes')) {
    const whole = decode(required(element, 'Prefix'))
    if (whole > lastKey) lastKey = whole
    const key = whole.slice(rootPrefix.length, -1)
    if (isObjectName(whole.slice(0, -1), folder)) entries.push({ kind: 'prefix', key })
  }
  if (textOf(document, 'IsTruncated') !== 'true') return { entries, next: undefined }
  const next = isV1 ? (decodedMarker(document, decode) ?? lastKey) : textOf(document, 'NextContinuationToken')
  if (next === undefined || next === '') {
    throw new WalgError(
      'STORAGE_UNAVAILABLE',
      'the store cut a listing short without saying where it goes on',
    )
  }
  return { entries, next }
}

function decodedMarker(document: XmlElement, decode: (text: string) => string): string | undefined {
  const marker = textOf(document, 'NextMarker')
  return marker === undefined || marker === '' ? undefined : decode(marker)
}

/** Folder markers (`a/`), keys with empty components and temporaries are no objects of a repository. */
function isObjectName(whole: string, folder: string): boolean {
  const below = whole.slice(folder.length)
  return (
    below !== '' &&
    !below.startsWith('/') &&
    !below.endsWith('/') &&
    !below.includes('//') &&
    !isTemporaryName(below)
  )
}

/** As forms write it: `+` is a space. */
export function decodeUrl(text: string): string {
  return text.includes('%') || text.includes('+') ? decodeURIComponent(text.replaceAll('+', ' ')) : text
}

function required(element: XmlElement, name: string): string {
  const text = textOf(element, name)
  if (text === undefined) throw new WalgError('STORAGE_UNAVAILABLE', `an entry of a listing has no ${name}`)
  return text
}

/** Nanoseconds of an ISO time; 0 when it is none. */
export function timeNs(text: string): bigint {
  const ms = Date.parse(text)
  return BigInt(Number.isNaN(ms) ? 0 : ms) * 1_000_000n
}
