import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DriverDescription } from '../../src/storage/description.ts'
import {
  type FileEvent,
  type FileFault,
  type InstrumentedFiles,
  instrumentFiles,
} from '../doubles/instrumented-files.ts'

/** Records what a piece of work does to its files, from every thread that takes part, in one order. */
export interface FileRecording {
  /** For this thread: hand it to a driver, or put it in place with `replaceFileSystem`. */
  readonly files: InstrumentedFiles
  /** For descriptions: every thread that opens them records into the same log. */
  readonly systemModule: NonNullable<Extract<DriverDescription, { kind: 'fs' }>['systemModule']>
  /** From here on `label` is promised: it must survive every crash. */
  acknowledge(label: string): void
  read(): FileEvent[]
}

/** Begins a recording in the file `logPath`. */
export function recordFiles(logPath: string, faults: readonly FileFault[] = []): FileRecording {
  writeFileSync(logPath, '')
  const options = { logPath, faults }
  const url = pathToFileURL(path.join(import.meta.dir, '../doubles/instrumented-files.ts')).href
  return {
    files: instrumentFiles(options),
    systemModule: { url, options },
    acknowledge: label => appendFileSync(logPath, `${JSON.stringify({ kind: 'mark', label })}\n`),
    read: () =>
      readFileSync(logPath, 'utf8')
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as FileEvent),
  }
}
