import { oneOf, text } from '../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable, SettingsTableOf } from '../kit/settings.ts'

/** Of the front door itself. */
export interface OwnSettings {
  readonly WALG_LOG_LEVEL: 'NORMAL' | 'DEVEL' | 'ERROR'
  readonly WALG_LOG_DESTINATION: string
  readonly WALG_LOG_FORMAT: 'text' | 'json'
}

export const ownSettings: SettingsTableOf<OwnSettings> = {
  WALG_LOG_LEVEL: {
    parse: oneOf('NORMAL', 'DEVEL', 'ERROR'),
    default: 'NORMAL',
    doc: '`NORMAL`; `DEVEL` adds debug lines and the stacks of errors; `ERROR` leaves only errors.',
  },
  WALG_LOG_DESTINATION: {
    parse: text,
    default: 'stderr',
    doc: '`stderr`, or a file to which log lines are appended.',
  },
  WALG_LOG_FORMAT: {
    parse: oneOf('text', 'json'),
    default: 'text',
    doc: '`json` writes one object per line instead of text.',
  },
}

/** Read before the table is (config file), or known to the original and without effect. */
export const moreOwnSettings: SettingsTable = {
  WALG_CONFIG_PATH: {
    parse: text,
    aliases: ['WALG_CONFIG'],
    defaultText: '~/.walg.json, .toml, .yaml, .yml, .dotenv or .env',
    doc: 'Config file, from the environment only; the flag `--config` wins. It must exist and be readable.',
  },
  WALG_SERIALIZER_TYPE: ignored('JSON serializer.', 'deprecated, there is one'),
  GOMAXPROCS: ignored('Threads of the Go runtime.', 'there is no Go runtime'),
  GODEBUG: ignored('Switches of the Go runtime.', 'there is no Go runtime'),
  WALG_STREAM_CREATE_COMMAND: ignored('Command that writes a backup.', 'for other databases'),
  WALG_STREAM_RESTORE_COMMAND: ignored('Command that reads a backup.', 'for other databases'),
  WALG_STREAM_SPLITTER_PARTITIONS: ignored('Parts of a stream.', 'for other databases'),
  WALG_STREAM_SPLITTER_BLOCK_SIZE: ignored('Blocks of a stream.', 'for other databases'),
  WALG_STREAM_SPLITTER_MAX_FILE_SIZE: ignored('Files of a stream.', 'for other databases'),
}

function ignored(doc: string, why: string): SettingDefinition<string> {
  return { parse: text, doc, ignored: why }
}
