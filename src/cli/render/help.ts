import { GLOBAL_FLAGS, helpFlag, VERSION_FLAG } from '../arguments.ts'
import type { CommandDefinition, CommandEntry, FlagDefinition } from '../command.ts'

const ALL_FLAGS_LINE = "To get the complete list of all global flags, run: 'wal-g flags'\n"

/** The help of one command: description, then usage. Ends with a line end. `groups`: from the verb down to its own. */
export function renderCommandHelp(
  command: CommandDefinition,
  groups: readonly CommandDefinition[] = [],
): string {
  const text = command.long ?? command.summary
  return `${text === '' ? '' : `${text}\n\n`}${renderCommandUsage(command, groups)}`
}

/** Usage, examples and flags of one command, in the layout of the original. */
export function renderCommandUsage(
  command: CommandDefinition,
  groups: readonly CommandDefinition[] = [],
): string {
  const path = ['wal-g', ...groups.map(group => group.name)].join(' ')
  const outerFlags = [...GLOBAL_FLAGS, ...groups.flatMap(group => group.flags)]
  if (command.subcommands !== undefined) {
    return renderGroupUsage(command, command.subcommands, `${path} ${command.name}`, outerFlags)
  }
  const examples = command.examples === undefined ? '' : `Examples:\n${command.examples}\n\n`
  const flags = [...command.flags, helpFlag(command.name)]
  return `Usage:
${path} ${command.usage} [flags]

${examples}Flags:
${renderFlags(flags)}
Global Flags:
${renderFlags(outerFlags)}
${ALL_FLAGS_LINE}`
}

function renderGroupUsage(
  group: CommandDefinition,
  subcommands: readonly CommandDefinition[],
  path: string,
  outerFlags: readonly FlagDefinition[],
): string {
  const width = Math.max(11, ...subcommands.map(each => each.name.length))
  const list = subcommands.map(each => `${each.name.padEnd(width)} ${each.summary}\n`).join('')
  return `Usage:
${path} [command]

Available Commands:
${list}
Flags:
${renderFlags([...group.flags, helpFlag(group.name)])}
Global Flags:
${renderFlags(outerFlags)}
${ALL_FLAGS_LINE}
Use "${path} [command] --help" for more information about a command.
`
}

/** The help of `wal-g` itself. */
export function renderRootHelp(entries: readonly CommandEntry[]): string {
  const shown = entries.filter(entry => entry.hidden !== true)
  const width = Math.max(11, ...shown.map(entry => entry.name.length))
  const list = shown.map(entry => `${entry.name.padEnd(width)} ${entry.summary}\n`).join('')
  return `PostgreSQL backup tool

Usage:
wal-g [command]

Available Commands:
${list}
Flags:
${renderFlags([...GLOBAL_FLAGS, helpFlag('wal-g'), VERSION_FLAG])}
${ALL_FLAGS_LINE}
Use "wal-g [command] --help" for more information about a command.
`
}

const TYPE_WORDS = {
  boolean: '',
  string: ' string',
  strings: ' strings',
  number: ' int',
  uint32: ' uint32',
  uint: ' uint',
  duration: ' duration',
} as const

/** Flags sorted by name, descriptions in one column; each line ends with a line end. */
export function renderFlags(flags: readonly FlagDefinition[]): string {
  const rows = flags
    .filter(flag => flag.hidden !== true)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(flag => ({
      names: `  ${flag.short === undefined ? '   ' : `-${flag.short},`} --${flag.name}${flag.placeholder === undefined ? TYPE_WORDS[flag.type] : ` ${flag.placeholder}`}`,
      doc: flag.doc,
    }))
  const column = Math.max(...rows.map(row => row.names.length)) + 3
  return rows
    .map(row => `${row.names.padEnd(column)}${row.doc.replaceAll('\n', `\n${' '.repeat(column)}`)}\n`)
    .join('')
}
