import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { COMMANDS, LATER_COMMANDS } from '../../src/cli/command-list.ts'
import { SETTINGS } from '../../src/cli/settings.ts'
import type { SettingDefinition } from '../../src/kit/settings.ts'

const page = readFileSync(path.join(import.meta.dir, '../../docs/COMPATIBILITY.md'), 'utf8')

/** The part of the page below a heading, up to the next one of the same or a higher level. */
function sectionOf(heading: string): string {
  const level = /^#+/.exec(heading)![0].length
  const from = page.indexOf(`\n${heading}\n`)
  if (from < 0) return ''
  const rest = page.slice(from + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${level}} `, 'm'))
  return end < 0 ? rest : rest.slice(0, end)
}

/** Names in the first cell of every row, each with the word in the second. */
function wordsByName(text: string): Map<string, string[]> {
  const words = new Map<string, string[]>()
  for (const [, first, second] of text.matchAll(/^\| ([^|]*) \| ([^|]*) \|/gm)) {
    for (const [, name] of first!.matchAll(/`([^`]+)`/g)) {
      words.set(name!, [...(words.get(name!) ?? []), second!.trim()])
    }
  }
  return words
}

function allowedWords({ later, ignored }: SettingDefinition<unknown>): string[] {
  if (later !== undefined) return ['later']
  return ignored !== undefined ? ['no effect'] : ['same', 'differs', 'ours']
}

describe('docs/COMPATIBILITY.md', () => {
  const settings = wordsByName(sectionOf('## 3. Settings'))

  test('names every known setting once, with the word that its definition gives it', () => {
    const wrong = Object.entries(SETTINGS).filter(([name, definition]) => {
      const words = settings.get(name) ?? []
      return words.length !== 1 || !allowedWords(definition).includes(words[0]!)
    })
    expect(wrong.map(([name]) => `${name}: ${settings.get(name) ?? 'absent'}`)).toEqual([])
  })

  test('names no setting that does not exist', () => {
    expect([...settings.keys()].filter(name => SETTINGS[name] === undefined)).toEqual([])
    const known = new Set(
      Object.entries(SETTINGS).flatMap(([name, { aliases }]) => [name, ...(aliases ?? [])]),
    )
    const others = new Set(['WALG_REFERENCE'])
    const mentioned = [...page.matchAll(/`((?:WALG|WALE)_\w+)`/g)].map(([, name]) => name!)
    expect(mentioned.filter(name => !known.has(name) && !others.has(name))).toEqual([])
  })

  test('has a section or a row for every command, and a row for each of its flags', async () => {
    for (const { name, load } of COMMANDS) {
      const section = sectionOf(`### ${name}`)
      const shared = sectionOf('### completion, flags, help')
      expect(section !== '' || wordsByName(shared).has(name), name).toBe(true)
      const { command } = await load()
      const rows = wordsByName(section)
      const missing = command.flags.filter(flag => section !== '' && !rows.has(`--${flag.name}`))
      if (name !== 'wal-prefetch') expect(missing.map(flag => `${name} --${flag.name}`)).toEqual([])
    }
  })

  test('names every command of a later piece', () => {
    const section = sectionOf('### Commands of later pieces')
    expect(LATER_COMMANDS.filter(name => !section.includes(`\`${name}\``))).toEqual([])
  })
})
