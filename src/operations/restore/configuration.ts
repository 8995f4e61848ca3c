import fs from 'node:fs'
import path from 'node:path'
import { isOn, parseConfiguration, settingOf } from '../../postgres/configuration-file.ts'
import { readIfThere } from './recovery-files.ts'

/** What the configuration in a restored directory means for its start. */
export interface RestoredConfiguration {
  /** False: it is kept elsewhere, as Debian does. */
  readonly hasConfiguration: boolean
  /** Files and folders it names that lie outside of the directory. */
  readonly outside: readonly { readonly setting: string; readonly path: string; readonly isThere: boolean }[]
  /** `data_directory` names another directory: started as it is, that one would be used. */
  readonly otherDataDirectory: string | undefined
  /** Undefined when no file in the directory says. */
  readonly isArchiving: boolean | undefined
}

const FILE_SETTINGS = [
  'include',
  'include_dir',
  'include_if_exists',
  'hba_file',
  'ident_file',
  'ssl_cert_file',
  'ssl_key_file',
  'ssl_ca_file',
]

/** Looks at postgresql.conf and postgresql.auto.conf of a directory. */
export function readRestoredConfiguration(root: string): RestoredConfiguration {
  const main = readIfThere(path.join(root, 'postgresql.conf'))
  const lines = [
    ...parseConfiguration(main ?? ''),
    ...parseConfiguration(readIfThere(path.join(root, 'postgresql.auto.conf')) ?? ''),
  ]
  const outside = lines
    .filter(({ name, value }) => FILE_SETTINGS.includes(name) && value.startsWith('/'))
    .flatMap(({ name, value }) => value.split(',').map(each => ({ setting: name, path: each.trim() })))
    .filter(each => !each.path.startsWith(`${root}/`))
    .map(each => ({ ...each, isThere: fs.existsSync(each.path) }))
  const dataDirectory = settingOf(lines, 'data_directory')
  const archiveMode = settingOf(lines, 'archive_mode')
  return {
    hasConfiguration: main !== undefined,
    outside,
    otherDataDirectory:
      dataDirectory !== undefined && path.resolve(root, dataDirectory) !== root ? dataDirectory : undefined,
    isArchiving:
      archiveMode === undefined ? undefined : isOn(archiveMode) || archiveMode.toLowerCase() === 'always',
  }
}

/** What a person has to know before the server is started. */
export function configurationWarnings(configuration: RestoredConfiguration, root: string): string[] {
  const { hasConfiguration, outside, otherDataDirectory, isArchiving } = configuration
  const warnings: string[] = []
  if (!hasConfiguration) {
    warnings.push(
      `there is no postgresql.conf in "${root}": the server kept its configuration elsewhere (Debian: /etc/postgresql), and that is not part of the backup. Bring it back and start with it; it must not have recovery settings of its own`,
    )
  }
  for (const { setting, path: place, isThere } of outside) {
    const state = isThere ? 'it is there, from whatever server' : 'it is not there'
    warnings.push(`${setting} names "${place}", outside of the restored directory: ${state}`)
  }
  if (otherDataDirectory !== undefined) {
    warnings.push(
      `data_directory in postgresql.conf is "${otherDataDirectory}": correct it, or a start would use that directory instead of "${root}"`,
    )
  }
  if (isArchiving === true) {
    warnings.push(
      'archive_mode stays on: once promoted, the restored server archives into the place that its archive_command names. For a copy beside the original restore with --no-archive',
    )
  }
  return warnings
}
