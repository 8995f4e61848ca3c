import { flagNameOf, GLOBAL_FLAGS, helpFlag } from '../arguments.ts'
import type { CommandDefinition, FlagDefinition } from '../command.ts'
import { renderFlags } from '../render/help.ts'
import { writeFully } from '../render/log.ts'
import { SETTINGS } from '../settings.ts'

const STDERR = 2

export const command: CommandDefinition = {
  name: 'flags',
  usage: 'flags',
  summary: 'Display the list of available global flags for all wal-g commands',
  positionals: { kind: 'none' },
  flags: [],
  needsStorage: false,
  needsSettings: false,
  async run() {
    const settingFlags = Object.entries(SETTINGS).map(
      ([name, { doc }]): FlagDefinition => ({ name: flagNameOf(name), type: 'string', doc }),
    )
    const all = renderFlags([...GLOBAL_FLAGS, helpFlag('wal-g'), ...settingFlags])
    writeFully(STDERR, `Usage:\nwal-g flags [flags]\n\nGlobal Flags:\n${all}`)
    return 0
  },
}
