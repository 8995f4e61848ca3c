/**
 * Where the segments of a large object lie: below a folder beside it, in the same container. So the original, which
 * knows nothing of them, reads the object by its manifest and deletes them with the backup's folder.
 */
const SEGMENTS = '_slo_segments'

/** `<name>_slo_segments/<16 hex digits>/`, for one upload of the object `name`. */
export function segmentsFolder(name: string, token: string): string {
  return `${name}${SEGMENTS}/${token}/`
}

/** Whether a name below the root is a segment, or their folder: no object of anybody. */
export function isSegmentName(name: string): boolean {
  return /_slo_segments(\/|$)/.test(name)
}
