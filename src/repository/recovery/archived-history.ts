import type { Codec } from '../../codec/codec.ts'
import { hasCode } from '../../kit/errors.ts'
import { parseTimelineHistory, type TimelineHistory } from '../../postgres/timeline-history.ts'
import { formatHistoryName, type TimelineId } from '../../postgres/wal-segment.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import { WAL_PREFIX } from '../layout.ts'
import { readPayload } from '../sealed.ts'

const HISTORY_BYTES_MAX = 16 << 20

/** The archived history of a timeline; null when it is not there. Throws FORMAT_INVALID when it is damaged. */
export async function readArchivedHistory(
  storage: Storage,
  codec: Codec,
  timeline: TimelineId,
  options: Abortable = {},
): Promise<TimelineHistory | null> {
  const file = formatHistoryName(timeline)
  try {
    const bytes = await readPayload(storage, codec, `${WAL_PREFIX}/${file}`, HISTORY_BYTES_MAX, options)
    return parseTimelineHistory(new TextDecoder().decode(bytes), timeline)
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return null
    throw error
  }
}
