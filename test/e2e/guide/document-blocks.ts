import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type Major, projectRoot } from '../../support/postgres-binaries.ts'

/** A fenced block of a document: ```` ```sh run majors=13-14 ````. */
export interface Block {
  /** `README.md:42`. */
  readonly place: string
  readonly language: string
  /** `name=value`, `name="two words"`, or `name` alone, which has the value ''. */
  readonly attributes: ReadonlyMap<string, string>
  /** Without the fences; ends with a newline. */
  readonly text: string
}

/** Every fenced block of a document, in order. */
export function readBlocks(document: string): Block[] {
  const lines = readFileSync(path.join(projectRoot, document), 'utf8').split('\n')
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; at++) {
    const fence = /^( *)```(\S*)(.*)$/.exec(lines[at]!)
    if (fence === null) continue
    const [, indent = '', language = '', attributes = ''] = fence
    const end = lines.indexOf(`${indent}\`\`\``, at + 1)
    if (end < 0) throw new Error(`${document}:${at + 1}: the block has no end`)
    blocks.push({
      place: `${document}:${at + 1}`,
      language,
      attributes: parseAttributes(attributes),
      text: lines
        .slice(at + 1, end)
        .map(line => `${line.slice(indent.length)}\n`)
        .join(''),
    })
    at = end
  }
  return blocks
}

function parseAttributes(text: string): Map<string, string> {
  const attributes = new Map<string, string>()
  for (const [, name, quoted, bare] of text.matchAll(/([\w-]+)(?:="([^"]*)"|=(\S+))?/g)) {
    attributes.set(name!, quoted ?? bare ?? '')
  }
  return attributes
}

/** False for a block that is about other majors (`majors=13-14`). */
export function isFor(block: Block, major: Major): boolean {
  const range = block.attributes.get('majors')
  if (range === undefined) return true
  const [first, last = first] = range.split('-').map(Number)
  return major >= first! && major <= last!
}

/** The statements with which the README makes a role for backups on this major. */
export function backupRoleSql(major: Major): string {
  const blocks = readBlocks('README.md').filter(
    block => block.language === 'sql' && block.text.includes('CREATE ROLE') && isFor(block, major),
  )
  if (blocks.length !== 1)
    throw new Error(`README.md has ${blocks.length} blocks that make a role on ${major}`)
  return blocks[0]!.text
}
