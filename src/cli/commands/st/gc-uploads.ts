import { WalgError } from '../../../kit/errors.ts'
import { parseDurationMs } from '../../../kit/sizes.ts'
import { collectUploads } from '../../../operations/storage-tools/unfinished-uploads.ts'
import type { CommandDefinition } from '../../command.ts'
import { onTargets } from './targets.ts'

const OLDER_THAN = '24h'

export const gcUploadsCommand: CommandDefinition = {
  name: 'gc-uploads',
  usage: 'gc-uploads',
  summary: 'Removes unfinished uploads that a crash left in the storage',
  long: 'Names what was begun below the prefix of the storage and never ended: multipart uploads of S3, whose parts are paid for, and the temporary files of a file or SFTP storage. Nothing else shows them. They are removed only with --confirm.',
  positionals: { kind: 'none' },
  flags: [
    { name: 'confirm', type: 'boolean', doc: 'Remove them; without it they are only named' },
    {
      name: 'older-than',
      type: 'string',
      doc: `Only those begun longer ago, e.g. 90m or 48h (default ${OLDER_THAN}): younger ones may be on their way`,
    },
  ],
  needsStorage: true,
  run(invocation) {
    const { flags, signal, log, print } = invocation
    const isRemoving = flags['confirm'] === true
    const olderThanMs = durationOf(flags['older-than'])
    return onTargets(invocation, async ({ storage }) => {
      const lines: string[] = []
      const count = await collectUploads(storage, {
        signal,
        olderThanMs,
        isRemoving,
        onUpload: ({ key, id, beganNs }) => {
          lines.push(`${new Date(Number(beganNs / 1_000_000n)).toISOString()} ${key} ${id}`)
        },
      })
      await print(lines.map(line => `${line}\n`).join(''))
      log.info(
        isRemoving
          ? `${count} unfinished uploads removed`
          : `${count} unfinished uploads would be removed; run again with --confirm`,
      )
    })
  },
}

function durationOf(text: unknown): number {
  const given = typeof text === 'string' && text !== '' ? text : OLDER_THAN
  try {
    return parseDurationMs(given)
  } catch (error) {
    const expected = error instanceof Error ? error.message : String(error)
    throw new WalgError('USAGE', `--older-than is "${given}", expected ${expected}`)
  }
}
