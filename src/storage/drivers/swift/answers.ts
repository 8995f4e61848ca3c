/** One line of a listing. */
export type ListedEntry =
  | { readonly name: string; readonly bytes: number; readonly last_modified: string }
  | { readonly subdir: string }

/** What a bulk delete answers with. */
export interface BulkAnswer {
  readonly 'Response Status'?: string
  readonly Errors?: readonly (readonly [name: string, status: string])[]
}

/** A name as a path of a URL. */
export function encoded(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/')
}

/** `2026-11-26T01:02:03.123450`, UTC without saying so. */
export function timeOfListing(text: string): bigint {
  const [seconds = '', fraction = ''] = text.split('.')
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0').slice(0, 9))
}

/** `X-Timestamp: 1764119000.12345`, as exact as a listing; else the whole seconds of Last-Modified. */
export function timeOfHeaders(headers: Headers): bigint {
  const match = /^(\d+)\.?(\d*)$/.exec(headers.get('x-timestamp') ?? '')
  if (match === null) return BigInt(Date.parse(headers.get('last-modified') ?? '') || 0) * 1_000_000n
  return BigInt(match[1]!) * 1_000_000_000n + BigInt(match[2]!.padEnd(9, '0').slice(0, 9))
}
