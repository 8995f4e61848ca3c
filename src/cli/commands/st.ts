import type { CommandDefinition } from '../command.ts'
import { catCommand } from './st/cat.ts'
import { checkCommand } from './st/check.ts'
import { stCopyCommand } from './st/copy.ts'
import { gcUploadsCommand } from './st/gc-uploads.ts'
import { getCommand } from './st/get.ts'
import { lsCommand } from './st/ls.ts'
import { putCommand } from './st/put.ts'
import { rmCommand } from './st/rm.ts'
import { statCommand } from './st/stat.ts'
import { transferCommand } from './st/transfer.ts'

export const command: CommandDefinition = {
  name: 'st',
  usage: 'st',
  summary: '(DANGEROUS) Storage tools',
  long: "Storage tools allows to interact with the configured storage. Be aware that this command can do potentially harmful operations and make sure that you know what you're doing.",
  positionals: { kind: 'any' },
  flags: [
    { name: 'glob', short: 'g', type: 'boolean', doc: 'use a glob pattern for file paths' },
    {
      name: 'target',
      short: 't',
      type: 'string',
      doc: 'execute for specific failover storage (Postgres only) (default "default")',
    },
  ],
  subcommands: [
    catCommand,
    checkCommand,
    stCopyCommand,
    gcUploadsCommand,
    getCommand,
    lsCommand,
    putCommand,
    rmCommand,
    statCommand,
    transferCommand,
  ],
  needsStorage: true,
  run: async () => 0,
}
