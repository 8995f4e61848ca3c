import { WalgError } from '../../../kit/errors.ts'
import { MIB } from '../../../kit/sizes.ts'

interface SegmentSize {
  readonly walSegmentBytes: number
}

/** Throws SETTING_INVALID when the server's segments have another size than the setting says. */
export function checkSegmentSize(server: SegmentSize, setting: SegmentSize): void {
  if (server.walSegmentBytes === setting.walSegmentBytes) return
  throw new WalgError(
    'SETTING_INVALID',
    'bytes_per_wal_segment of the server does not match expected value, you may need to set WALG_PG_WAL_SIZE',
    {
      facts: { server: server.walSegmentBytes, setting: setting.walSegmentBytes },
      hint: `set WALG_PG_WAL_SIZE=${server.walSegmentBytes / MIB}`,
    },
  )
}
