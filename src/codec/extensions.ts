import type { CompressionName } from './codec.ts'

/** One way in which the name of a stored payload can end, and the compression that goes with it. */
export interface ExtensionLookup {
  /** What is appended to the name: `.lz4`, …, `.` (dangling dot) or nothing. */
  readonly suffix: string
  /** Without dot, as `Codec.open` takes it. */
  readonly extension: string
  readonly compression: CompressionName
}

/** Order in which a payload with unknown extension is looked for: storage-format 0, observed A. */
export const EXTENSIONS_BY_LOOKUP_ORDER: readonly ExtensionLookup[] = [
  { suffix: '.lz4', extension: 'lz4', compression: 'lz4' },
  { suffix: '.lzma', extension: 'lzma', compression: 'lzma' },
  { suffix: '.gz', extension: 'gz', compression: 'gzip' },
  { suffix: '.', extension: '', compression: 'none' },
  { suffix: '.br', extension: 'br', compression: 'brotli' },
  { suffix: '.lzo', extension: 'lzo', compression: 'lzo' },
  { suffix: '.zst', extension: 'zst', compression: 'zstd' },
  { suffix: '', extension: '', compression: 'none' },
]

/** The compression behind an extension (without dot; `''` is none); undefined for a foreign one. */
export function compressionByExtension(extension: string): CompressionName | undefined {
  return EXTENSIONS_BY_LOOKUP_ORDER.find(lookup => lookup.extension === extension)?.compression
}

/** The extension of new objects, without dot. */
export function extensionOf(compression: CompressionName): string {
  return EXTENSIONS_BY_LOOKUP_ORDER.find(lookup => lookup.compression === compression)?.extension ?? ''
}

/**
 * Splits a stored name into the name proper and its extension: `x.tar.lz4` -> `x.tar`, `lz4`; `x.tar.` ->
 * `x.tar`, `''`. Undefined extension: none that we know (a bare name, or a foreign object).
 */
export function splitExtension(storedName: string): { name: string; extension: string | undefined } {
  const dot = storedName.lastIndexOf('.')
  if (dot < 0 || dot < storedName.lastIndexOf('/')) return { name: storedName, extension: undefined }
  const extension = storedName.slice(dot + 1)
  if (compressionByExtension(extension) === undefined) return { name: storedName, extension: undefined }
  return { name: storedName.slice(0, dot), extension }
}
