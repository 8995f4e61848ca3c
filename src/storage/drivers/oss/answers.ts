/** One page of ListObjectsV2, names decoded. */
export interface OssPage {
  readonly objects: readonly {
    readonly name: string
    readonly sizeBytes: number
    readonly modifiedNs: bigint
  }[]
  /** With `/` at their ends. */
  readonly prefixes: readonly string[]
  /** Undefined on the last page. */
  readonly next: string | undefined
}

/** Reads the answer to a listing that was asked for with `encoding-type=url`; undefined for anything else. */
export function readPage(text: string): OssPage | undefined {
  if (!/<ListBucketResult[\s>]/.test(text)) return undefined
  const objects = blocksOf(text, 'Contents').map(block => ({
    name: decodeName(fieldOf(block, 'Key')),
    sizeBytes: Number(fieldOf(block, 'Size')),
    modifiedNs: timeOf(fieldOf(block, 'LastModified')),
  }))
  const prefixes = blocksOf(text, 'CommonPrefixes').map(block => decodeName(fieldOf(block, 'Prefix')))
  const isCut = fieldOf(text, 'IsTruncated') === 'true'
  return { objects, prefixes, next: isCut ? textOfXml(fieldOf(text, 'NextContinuationToken')) : undefined }
}

/** Nanoseconds of a time of the service: ISO 8601 in listings, RFC 1123 in headers; whole seconds. */
export function timeOf(text: string): bigint {
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? 0n : BigInt(ms) * 1_000_000n
}

/** The body of a delete of many objects. */
export function deletionOf(names: readonly string[]): string {
  const objects = names.map(name => `<Object><Key>${xmlOf(name)}</Key></Object>`)
  return `<?xml version="1.0" encoding="UTF-8"?><Delete><Quiet>true</Quiet>${objects.join('')}</Delete>`
}

function blocksOf(text: string, tag: string): string[] {
  return [...text.matchAll(new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs'))].map(match => match[1] ?? '')
}

function fieldOf(text: string, tag: string): string {
  return new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(text)?.[1] ?? ''
}

/** Encoded as a form: a space may be a plus sign. */
function decodeName(text: string): string {
  return decodeURIComponent(textOfXml(text).replaceAll('+', '%20'))
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' }

function textOfXml(text: string): string {
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (_, name: string) => ENTITIES[name] ?? '')
}

/** Line ends would become spaces, or other line ends. */
function xmlOf(text: string): string {
  return text.replace(/[<>&"'\p{Cc}]/gu, letter => `&#${letter.codePointAt(0)};`)
}
