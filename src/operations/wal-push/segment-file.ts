import { openSegmentChecker, type SegmentReport } from '../../postgres/wal/page-reader.ts'
import { openWalSource } from './wal-source.ts'

const READ_BYTES = 1 << 18

/** Checks a segment file on disk by its page headers, in bounded memory. Throws FILE_NOT_FOUND, FILE_ACCESS. */
export function checkSegmentFile(path: string): SegmentReport {
  const source = openWalSource(path)
  try {
    const checker = openSegmentChecker(source.name)
    const chunk = new Uint8Array(READ_BYTES)
    for (let position = 0; ; ) {
      const count = source.readAt(chunk, position)
      if (count === 0) return checker.end()
      checker.update(chunk.subarray(0, count))
      position += count
    }
  } finally {
    source.close()
  }
}
