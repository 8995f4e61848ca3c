import { backupList } from '../../operations/backup-list/backup-list.ts'
import type { CommandDefinition, Invocation } from '../command.ts'
import { printBackups } from './backup-list.ts'
import { withCatchupPlace } from './catchup-place.ts'

export const command: CommandDefinition = {
  name: 'catchup-list',
  usage: 'catchup-list',
  summary: 'Prints available incremental backups',
  positionals: { kind: 'none' },
  flags: [
    { name: 'detail', type: 'boolean', doc: 'Prints extra backup details' },
    { name: 'json', type: 'boolean', doc: 'Prints output in json format' },
    { name: 'pretty', type: 'boolean', doc: 'Prints more readable output' },
  ],
  needsStorage: true,
  async run(invocation: Invocation): Promise<number> {
    await withCatchupPlace(invocation, false, async ({ storage, log }) => {
      // as the original: not a word about which storages there are
      const context = { storage, log: { ...log, info() {} }, signal: invocation.signal }
      const backups = await backupList(context, { detail: invocation.flags['detail'] === true })
      await printBackups({ ...invocation, log }, backups, false)
    })
    return 0
  },
}
