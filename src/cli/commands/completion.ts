import { GLOBAL_FLAGS, helpFlag } from '../arguments.ts'
import type { CommandDefinition, CommandEntry, FlagDefinition } from '../command.ts'
import { type CompletedCommand, renderBash, renderFish, renderZsh } from '../render/completion.ts'

const SHELLS = { bash: renderBash, zsh: renderZsh, fish: renderFish } as const

/** `completion SHELL`, for these commands. */
export function completionCommand(commands: readonly CommandEntry[]): CommandDefinition {
  return {
    name: 'completion',
    usage: 'completion bash|zsh|fish',
    summary: 'Output shell completion code for the specified shell',
    positionals: { kind: 'words', words: Object.keys(SHELLS) },
    flags: [],
    needsStorage: false,
    needsSettings: false,
    examples: `  Bash, with the bash-completion package installed:
    echo 'source <(wal-g completion bash)' >>~/.bashrc
  Zsh, with completion switched on by "autoload -U compinit; compinit" in ~/.zshrc:
    wal-g completion zsh > "\${fpath[1]}/_wal-g"
  Fish:
    wal-g completion fish > ~/.config/fish/completions/wal-g.fish
  Start another shell for it to take effect.`,
    async run({ positionals, print }) {
      const render = SHELLS[positionals[0] as keyof typeof SHELLS]
      await print(render(await completedCommands(commands)))
      return 0
    },
  }
}

async function completedCommands(commands: readonly CommandEntry[]): Promise<CompletedCommand[]> {
  const shown = commands.filter(entry => entry.hidden !== true)
  return Promise.all(
    shown.map(async ({ name, summary, load }) => {
      const definition = (await load()).command
      const inner = definition.subcommands ?? []
      const own = [...definition.flags, ...inner.flatMap(each => each.flags)]
      const flags: FlagDefinition[] = [...own, ...GLOBAL_FLAGS, helpFlag(name)]
      const { positionals } = definition
      const words = positionals.kind === 'words' ? positionals.words : inner.map(each => each.name)
      return { name, summary, words, flags: flags.filter(flag => flag.hidden !== true) }
    }),
  )
}
