import { createHash } from 'node:crypto'

export interface OssObject {
  readonly bytes: Buffer
  readonly etag: string
  readonly modifiedMs: number
  /** Headers `x-oss-meta-…`. */
  readonly metadata: Metadata
}

export type Metadata = Readonly<Record<string, string>>

interface Upload {
  readonly metadata: Metadata
  readonly name: string
  readonly parts: Map<number, Buffer>
}

/** The objects and unfinished uploads of one bucket. */
export class OssBucket {
  readonly objects: Map<string, OssObject> = new Map()
  readonly uploads: Map<string, Upload> = new Map()

  put(name: string, bytes: Buffer, metadata: Metadata = {}, etag: string = md5(bytes)): OssObject {
    const object = {
      metadata,
      bytes: Buffer.from(bytes),
      etag: `"${etag.toUpperCase()}"`,
      modifiedMs: Math.floor(Date.now() / 1000) * 1000,
    }
    this.objects.set(name, object)
    return object
  }

  begin(name: string, metadata: Metadata): string {
    const id = crypto.randomUUID().replaceAll('-', '').toUpperCase()
    this.uploads.set(id, { name, metadata, parts: new Map() })
    return id
  }

  putPart(uploadId: string, number: number, bytes: Buffer): string | undefined {
    const upload = this.uploads.get(uploadId)
    upload?.parts.set(number, Buffer.from(bytes))
    return upload === undefined ? undefined : `"${md5(bytes).toUpperCase()}"`
  }

  /** Undefined when a part is missing, has another ETag, or one but the last is smaller than 100 KiB. */
  complete(uploadId: string, name: string, manifest: string): OssObject | undefined {
    const upload = this.uploads.get(uploadId)
    const listed = [...manifest.matchAll(/<PartNumber>(\d+)<\/PartNumber>\s*<ETag>([^<]*)<\/ETag>/g)]
    const parts: Buffer[] = []
    for (const [index, [, number, etag = '']] of listed.entries()) {
      const part = upload?.parts.get(Number(number))
      if (part === undefined || unescapeXml(etag).replaceAll('"', '').toLowerCase() !== md5(part))
        return undefined
      if (index < listed.length - 1 && part.length < 100 * 1024) return undefined
      parts.push(part)
    }
    if (parts.length === 0 || upload === undefined) return undefined
    this.uploads.delete(uploadId)
    return this.put(
      name,
      Buffer.concat(parts),
      upload.metadata,
      `${md5(Buffer.concat(parts))}-${parts.length}`,
    )
  }
}

/** The answer to ListObjectsV2. */
export function listObjects(bucket: OssBucket, query: URLSearchParams): string {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const max = Number(query.get('max-keys') ?? '100')
  const after = query.get('continuation-token') ?? query.get('start-after') ?? ''
  const entries = new Map<string, OssObject | undefined>()
  for (const name of [...bucket.objects.keys()].sort()) {
    if (!name.startsWith(prefix)) continue
    const cut = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
    const entry = cut === -1 ? name : name.slice(0, cut + delimiter.length)
    if (entry > after) entries.set(entry, cut === -1 ? bucket.objects.get(name) : undefined)
  }
  const page = [...entries].slice(0, max)
  const isCut = entries.size > page.length
  const shown = (name: string): string =>
    query.get('encoding-type') === 'url' ? encodeURIComponent(name) : escapeXml(name)
  const items = page.map(([name, object]) =>
    object === undefined
      ? `<CommonPrefixes><Prefix>${shown(name)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${shown(name)}</Key><LastModified>${new Date(object.modifiedMs).toISOString()}</LastModified><ETag>${object.etag}</ETag><Size>${object.bytes.length}</Size></Contents>`,
  )
  const next = isCut
    ? `<NextContinuationToken>${escapeXml(page.at(-1)?.[0] ?? '')}</NextContinuationToken>`
    : ''
  return `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>${isCut}</IsTruncated>${next}${items.join('')}</ListBucketResult>`
}

/** An answer that refuses. */
export function refusal(status: number, code: string): { status: number; body: string } {
  return {
    status,
    body: `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>of the test</Message></Error>`,
  }
}

export function unescapeXml(text: string): string {
  const names: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' }
  return text.replace(/&(?:#(\d+)|(\w+));/g, (_, code: string | undefined, name: string) =>
    code === undefined ? (names[name] ?? '') : String.fromCharCode(Number(code)),
  )
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, letter => `&#${letter.charCodeAt(0)};`)
}

function md5(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}
