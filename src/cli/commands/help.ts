import type { CommandDefinition } from '../command.ts'
import { COMMANDS, findCommand, LATER_COMMANDS } from '../command-list.ts'
import { renderCommandHelp, renderRootHelp } from '../render/help.ts'
import { writeFully } from '../render/log.ts'

const STDERR = 2

export const command: CommandDefinition = {
  name: 'help',
  usage: 'help [command]',
  summary: 'Help about any command',
  long: 'Help provides help for any command in the application.\nSimply type wal-g help [path to command] for full details.',
  positionals: { kind: 'range', min: 0, max: 100 },
  flags: [],
  needsStorage: false,
  async run({ positionals, print, log }) {
    const [topic] = positionals
    const root = renderRootHelp(COMMANDS)
    const entry = topic === undefined ? undefined : findCommand(topic)
    if (topic === undefined) await print(root)
    else if (entry !== undefined) await print(renderCommandHelp((await entry.load()).command))
    else if (LATER_COMMANDS.includes(topic)) {
      log.error(`"${topic}" is not available yet in this version`)
      return 1
    } else {
      const topics = positionals.map(each => `\`${each}\``).join(' ')
      writeFully(STDERR, `Unknown help topic [${topics}]\n${root.slice(root.indexOf('Usage:'))}`)
    }
    return 0
  },
}
