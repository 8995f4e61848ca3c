import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Major } from '../../support/postgres-binaries.ts'
import { type Block, isFor, readBlocks } from './document-blocks.ts'
import { ScratchHost } from './scratch-host.ts'

export const README = 'README.md'
/** What the README restores with: everything before it sets the host up. */
const RESTORE = /wal-g\.yaml (restore|backup-fetch) /

/** Puts a block that is a file (`file=postgresql.conf`) where it belongs. */
async function placeFile(host: ScratchHost, block: Block): Promise<void> {
  const name = block.attributes.get('file') ?? ''
  if (name !== 'postgresql.conf') {
    const file = host.place.at('systemd', path.basename(name))
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, host.localise(block.text))
    return
  }
  appendFileSync(path.join(host.cluster.dataDirectory, name), `\n${host.localise(block.text)}`)
  await host.cluster.stop()
  await host.cluster.start()
}

/** Runs one block of a document as it stands. */
export async function runBlock(host: ScratchHost, block: Block): Promise<void> {
  if (block.language === 'sql') await host.sql(block)
  else if (block.language === 'ini') await placeFile(host, block)
  else await host.shell(block)
}

/** Every block of a document that is to be run on this major, in order. */
export function runnable(document: string, major: Major): Block[] {
  return readBlocks(document).filter(block => block.attributes.has('run') && isFor(block, major))
}

export const isNamed = (block: Block): boolean => block.attributes.get('run') !== ''

/** True for a block that restores. */
export const isRestore = (block: Block): boolean => RESTORE.test(block.text)

/** What the README does before it restores: settings, role, archiving, a first backup, and data. */
export async function setUp(major: Major, isEncrypted = false): Promise<ScratchHost> {
  const host = await ScratchHost.open(major)
  try {
    const blocks = runnable(README, major)
    const restore = blocks.findIndex(isRestore)
    for (const block of blocks.slice(0, restore)) {
      if (isEncrypted || block.attributes.get('run') !== 'encrypt') await runBlock(host, block)
    }
    await host.cluster.query('create table payments as select g as id from generate_series(1, 1000) g')
    return host
  } catch (error) {
    await host[Symbol.asyncDispose]()
    throw error
  }
}
