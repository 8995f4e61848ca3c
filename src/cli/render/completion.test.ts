import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { renderBash } from './completion.ts'

const SCRIPT = renderBash([
  { name: 'backup-list', summary: '', words: [], flags: [{ name: 'pretty', type: 'boolean', doc: '' }] },
  { name: 'backup-push', summary: '', words: [], flags: [] },
])

/** What bash offers behind these words; `=` is a word of its own there. */
function offered(...words: string[]): string[] {
  const lines = `${SCRIPT}
    COMP_WORDS=(wal-g "$@")
    COMP_CWORD=$#
    _wal_g
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = spawnSync('bash', ['-c', lines, 'bash', ...words], { cwd: '/', encoding: 'utf8' })
  return stdout.split('\n').filter(line => line !== '')
}

test('verbs are offered, also behind flags and the file of --config', () => {
  expect(offered('backup-l')).toEqual(['backup-list'])
  expect(offered('--config', '/etc/wal-g.yaml', 'backup-l')).toEqual(['backup-list'])
  expect(offered('--config', '=', '/etc/wal-g.yaml', 'backup-')).toEqual(['backup-list', 'backup-push'])
  expect(offered('--turbo', 'backup-p')).toEqual(['backup-push'])
})

test('flags are those of the verb; --config takes a file', () => {
  expect(offered('--config', 'x.yaml', 'backup-list', '--')).toEqual(['--pretty'])
  expect(offered('backup-push', '--')).toEqual([])
  expect(offered('--config', 'et')).toEqual(['etc'])
})
