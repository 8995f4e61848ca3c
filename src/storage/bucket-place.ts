import type { SettingParser } from '../kit/settings.ts'

/** What `scheme://bucket/path` says. */
export interface BucketPlace {
  readonly bucket: string
  /** Percent-decoded, without `/` at its ends; `''` for none. */
  readonly root: string
}

/**
 * Parses `scheme://bucket/path` as the original does (storage-format 7.1): the host is required, the path is
 * percent-decoded and cut at `?` and `#`. Another scheme than `scheme` is refused: the original does not look, and a
 * pasted prefix of another cloud is more often a mistake than a wish.
 */
export function bucketPlace(...schemes: readonly [string, ...string[]]): SettingParser<BucketPlace> {
  const expected = `a URL such as ${schemes[0]}://name/path`
  return text => {
    const match = /^([a-z0-9+.-]+):\/\/([^/?#\s]+)([^?#]*)/i.exec(text.trim())
    if (match === null || !schemes.includes(match[1]!.toLowerCase())) throw new Error(expected)
    return { bucket: match[2]!, root: trimSlashes(decode(match[3]!, expected)) }
  }
}

function decode(path: string, expected: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    throw new Error(`${expected}, with % written as %25`)
  }
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '')
}
