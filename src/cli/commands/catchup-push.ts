import { openCodec } from '../../codec/open-codec.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { type Lsn, parseLsn, toLsn } from '../../postgres/lsn.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { readPushOptions } from './backup-push.ts'
import { withCatchupPlace } from './catchup-place.ts'

export const command: CommandDefinition = {
  name: 'catchup-push',
  usage: 'catchup-push PGDATA --from-lsn LSN',
  summary: 'Creates incremental backup from lsn',
  positionals: { kind: 'exact', count: 1 },
  flags: [{ name: 'from-lsn', type: 'string', placeholder: 'uint', doc: 'LSN to start incremental backup' }],
  needsStorage: true,
  check: ({ flags }) => {
    lsnOf(flags['from-lsn'])
  },
  async run(invocation: Invocation): Promise<number> {
    const catchupFromLsn = lsnOf(invocation.flags['from-lsn'])
    const options = await readPushOptions(invocation, invocation.positionals[0]!)
    await withCatchupPlace(invocation, true, async place => {
      const { backupPush } = await import('../../operations/backup-push/backup-push.ts')
      const context = { ...invocation, ...place, codec: openCodec(invocation.codecDescription) }
      const delta = { ...options.delta, isFull: true, stepsMax: 0 }
      await backupPush(context, { ...options, delta, catchupFromLsn })
    })
    return 0
  },
}

/** Decimal, `0x…`, or PostgreSQL's `X/Y`; 0 when it is not given: everything. */
function lsnOf(given: Invocation['flags'][string]): Lsn {
  const text = given === undefined ? '0' : String(given).trim()
  try {
    return /^(?:\d+|0[xX][0-9a-fA-F]+)$/.test(text) ? toLsn(BigInt(text)) : parseLsn(text)
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    throw new WalgError('USAGE', `invalid argument "${text}" for "--from-lsn" flag: not an LSN`, {
      hint: 'it is a number, decimal or 0x…, or looks like 0/47000028',
    })
  }
}
