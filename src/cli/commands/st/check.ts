import { checkReadable, checkWritable } from '../../../operations/storage-tools/access-check.ts'
import type { CommandDefinition } from '../../command.ts'
import { onTargets } from './targets.ts'

const READ: CommandDefinition = {
  name: 'read',
  usage: 'read [filename1 filename2 ...]',
  summary: 'check read access to the storage',
  positionals: { kind: 'any' },
  flags: [],
  needsStorage: true,
  run: invocation =>
    onTargets(invocation, async ({ storage }) => {
      const { positionals, signal, log } = invocation
      await checkReadable(storage, positionals, { signal })
      log.info('Read check OK')
    }),
}

const WRITE: CommandDefinition = {
  name: 'write',
  usage: 'write',
  summary: 'check write access to the storage',
  positionals: { kind: 'none' },
  flags: [],
  needsStorage: true,
  run: invocation =>
    onTargets(invocation, async ({ storage }) => {
      await checkWritable(storage, { signal: invocation.signal })
      invocation.log.info('Write check OK')
    }),
}

export const checkCommand: CommandDefinition = {
  name: 'check',
  usage: 'check',
  summary: 'check access to the storage',
  positionals: { kind: 'any' },
  flags: [],
  subcommands: [READ, WRITE],
  needsStorage: true,
  run: async () => 0,
}
