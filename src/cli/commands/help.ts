import type { CommandDefinition, CommandEntry } from '../command.ts'
import { renderCommandHelp, renderRootHelp } from '../render/help.ts'
import { writeFully } from '../render/log.ts'

const STDERR = 2

/** `help [command]`, for these commands; `later` are known names that are not available yet. */
export function helpCommand(commands: readonly CommandEntry[], later: readonly string[]): CommandDefinition {
  return {
    name: 'help',
    usage: 'help [command]',
    summary: 'Help about any command',
    long: 'Help provides help for any command in the application.\nSimply type wal-g help [path to command] for full details.',
    positionals: { kind: 'range', min: 0, max: 100 },
    flags: [],
    needsStorage: false,
    needsSettings: false,
    async run({ positionals, print, log }) {
      const [topic] = positionals
      const root = renderRootHelp(commands)
      const entry = topic === undefined ? undefined : commands.find(each => each.name === topic)
      if (topic === undefined) await print(root)
      else if (entry !== undefined) {
        let { command } = await entry.load()
        const groups: CommandDefinition[] = []
        for (const word of positionals.slice(1)) {
          const inner = command.subcommands?.find(each => each.name === word)
          if (inner === undefined) break
          groups.push(command)
          command = inner
        }
        await print(renderCommandHelp(command, groups))
      } else if (later.includes(topic)) {
        log.error(`"${topic}" is not available yet in this version`)
        return 1
      } else {
        const topics = positionals.map(each => `\`${each}\``).join(' ')
        writeFully(STDERR, `Unknown help topic [${topics}]\n${root.slice(root.indexOf('Usage:'))}`)
      }
      return 0
    },
  }
}
