import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { writeFileDurably } from '../../../kit/atomic-file.ts'
import { WalgError } from '../../../kit/errors.ts'
import { openObject } from '../../../operations/storage-tools/object-transfer.ts'
import { normalizePrefix } from '../../../storage/keys.ts'
import type { CommandDefinition } from '../../command.ts'
import { explained } from './explained.ts'
import { ALL_TARGETS, onTargets, targetName } from './targets.ts'

export const getCommand: CommandDefinition = {
  name: 'get',
  usage: 'get relative_object_path destination_path',
  summary: 'Download the specified storage object',
  positionals: { kind: 'exact', count: 2 },
  flags: [
    { name: 'no-decompress', type: 'boolean', doc: 'Do not decompress the object' },
    { name: 'no-decrypt', type: 'boolean', doc: 'Do not decrypt the object' },
  ],
  needsStorage: true,
  run(invocation) {
    const { flags, signal, log, positionals } = invocation
    const [path = '', destination = ''] = positionals
    if (targetName(invocation) === ALL_TARGETS) {
      throw new WalgError('SETTING_CONFLICT', "'all' target is not supported for st get command")
    }
    return onTargets(invocation, async ({ storage }) => {
      const file = isDirectory(destination) ? join(destination, basename(path)) : destination
      checkDestination(file)
      await explained('download the file', async () => {
        const body = await openObject(storage, normalizePrefix(path), {
          isDecrypted: flags['no-decrypt'] !== true,
          isDecompressed: flags['no-decompress'] !== true,
          codec: invocation.codecDescription,
          log,
          signal,
        })
        await writeFileDurably(file, body, { mode: 0o640, signal })
      })
    })
  },
}

function checkDestination(file: string): void {
  const refuse = (code: 'TARGET_NOT_EMPTY' | 'FILE_NOT_FOUND', why: string): WalgError =>
    new WalgError(code, `open the destination file: open ${file}: ${why}`, { facts: { path: file } })
  if (existsSync(file)) throw refuse('TARGET_NOT_EMPTY', 'file exists')
  if (!isDirectory(dirname(file))) throw refuse('FILE_NOT_FOUND', 'no such file or directory')
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
