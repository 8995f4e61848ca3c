import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderCommandsReference, renderSettingsReference } from '../../scripts/generate-reference.ts'

function document(name: string): string {
  return readFileSync(join(import.meta.dir, '../../docs/reference', name), 'utf8')
}

describe('the reference', () => {
  test('of settings is what the tables say; run `npm run reference` when they change', () => {
    expect(document('settings.md')).toBe(renderSettingsReference())
  })

  test('of commands is what the definitions say; run `npm run reference` when they change', async () => {
    expect(document('commands.md')).toBe(await renderCommandsReference())
  })
})
