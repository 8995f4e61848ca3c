import { createReadStream, statSync } from 'node:fs'
import { fromSystemError, WalgError } from '../../../kit/errors.ts'
import { putObject } from '../../../operations/storage-tools/object-transfer.ts'
import { joinKey, normalizePrefix } from '../../../storage/keys.ts'
import type { CommandDefinition, Invocation } from '../../command.ts'
import { ALL_TARGETS, onTargets, targetName } from './targets.ts'

const READ_BYTES = 1 << 18

export const putCommand: CommandDefinition = {
  name: 'put',
  usage: 'put local_path destination_path',
  summary: 'Upload the specified file to the storage',
  positionals: { kind: 'range', min: 1, max: 2 },
  flags: [
    { name: 'force', short: 'f', type: 'boolean', doc: 'Overwrite the existing object' },
    { name: 'no-compress', type: 'boolean', doc: 'Do not compress the object' },
    { name: 'no-encrypt', type: 'boolean', doc: 'Do not encrypt the object' },
    { name: 'read-stdin', short: 's', type: 'boolean', doc: 'Read file content from STDIN' },
  ],
  needsStorage: true,
  run(invocation) {
    const { flags, signal, positionals } = invocation
    const file = sourceFile(invocation)
    const name = objectName(positionals[file === undefined ? 0 : 1] ?? '')
    return onTargets(invocation, async ({ storage }) => {
      await putObject(storage, name, file === undefined ? readStdin() : readLocal(file), {
        isEncrypted: flags['no-encrypt'] !== true,
        isCompressed: flags['no-compress'] !== true,
        isForced: flags['force'] === true,
        codec: invocation.codecDescription,
        signal,
      })
    })
  },
}

/** The local file to send; undefined for standard input. Throws before anything is sent. */
function sourceFile(invocation: Invocation): string | undefined {
  const { flags, positionals } = invocation
  if (flags['read-stdin'] === true) {
    if (targetName(invocation) !== ALL_TARGETS) return undefined
    throw new WalgError('SETTING_CONFLICT', 'standard input can be read once only, not for every storage', {
      hint: 'name one storage with --target, or put a file',
    })
  }
  const [file = '', destination] = positionals
  if (destination === undefined) {
    throw new WalgError('SETTING_MISSING', 'should specify localPath on read-from stdin flag', {
      hint: 'wal-g st put local_path destination_path, or wal-g st put --read-stdin destination_path',
    })
  }
  let isDirectory: boolean
  try {
    isDirectory = statSync(file).isDirectory()
  } catch (error) {
    const cause = fromSystemError(error, 'open', file)
    const isAbsent = cause.code === 'FILE_NOT_FOUND'
    const text = isAbsent ? `open ${file}: no such file or directory` : cause.message
    throw new WalgError(cause.code, `open the local file: ${text}`, { facts: cause.facts, cause: error })
  }
  if (!isDirectory) return file
  throw new WalgError('FILE_ACCESS', `provided local path (${file}) points to a directory, exiting`)
}

/** `dir/name`; with a closing slash the last component names the object too, as in the original. */
function objectName(destination: string): string {
  const name = normalizePrefix(destination)
  if (name === '') throw new WalgError('USAGE', 'the destination has no name: it is the root of the storage')
  return destination.endsWith('/') ? joinKey(name, name.slice(name.lastIndexOf('/') + 1)) : name
}

async function* readLocal(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>
  } catch (error) {
    throw fromSystemError(error, 'read', path)
  }
}

async function* readStdin(): AsyncGenerator<Uint8Array> {
  yield* process.stdin as AsyncIterable<Uint8Array>
}
