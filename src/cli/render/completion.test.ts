import { describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { COMMANDS } from '../command-list.ts'
import { completionCommand } from '../commands/completion.ts'

async function script(shell: string): Promise<string> {
  let text = ''
  const print = async (more: string): Promise<void> => {
    text += more
  }
  const { run } = completionCommand(COMMANDS)
  await run({ positionals: [shell], print } as unknown as Parameters<typeof run>[0])
  return text
}

describe('completion', () => {
  test('in bash offers verbs, then the flags of the verb that was typed', async () => {
    const complete = (words: string): string => {
      const count = words.split(' ').length - 1
      const ask = `COMP_WORDS=(${words} ''); COMP_CWORD=${count + 1}; _wal_g; echo "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', `${source}\n${ask}`], { encoding: 'utf8' }).stdout
    }
    const source = await script('bash')
    expect(complete('wal-g').split(' ')).toEqual(
      expect.arrayContaining(['backup-fetch', 'backup-list', 'backup-push', 'wal-fetch', 'wal-push']),
    )
    expect(complete('wal-g backup-list')).toContain('--detail')
    expect(complete('wal-g --turbo backup-list')).toContain('--detail')
    expect(complete('wal-g completion')).toContain('bash zsh fish')
    expect(complete('wal-g')).not.toContain('wal-prefetch')
  })

  test('in zsh and fish names every listed verb and every flag of it', async () => {
    const [zsh, fish] = [await script('zsh'), await script('fish')]
    for (const { name, hidden, load } of COMMANDS) {
      if (hidden === true) continue
      expect(zsh).toContain(`'${name}:`)
      expect(fish).toContain(`-a ${name} `)
      for (const flag of (await load()).command.flags.filter(each => each.hidden !== true)) {
        expect(zsh).toContain(`'--${flag.name}`)
        expect(fish).toContain(`-l ${flag.name}`)
      }
    }
  })
})
