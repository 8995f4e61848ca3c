import path from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { formatSetting } from '../../postgres/configuration-file.ts'
import { type ControlFile, readControlFile } from '../../postgres/control-file.ts'
import { recoverySettings } from '../../postgres/recovery-settings.ts'
import type { DrillOptions } from './options.ts'
import type { ScratchPlace } from './scratch-place.ts'

const SOCKET_MODE = '0700'
export const DRILL_PORT = 5432

/**
 * Replaces the configuration of a restored copy by one of our own: reachable by a socket that only its owner can use,
 * archiving nothing, following nobody, without workers and libraries of the original.
 */
export async function writeDrillConfiguration(
  place: ScratchPlace,
  options: DrillOptions,
  majorVersion: number,
): Promise<void> {
  const hba = path.join(place.scratch, 'pg_hba.conf')
  const ident = path.join(place.scratch, 'pg_ident.conf')
  const control = await readControlFile(place.dataDirectory)
  const settings: (readonly [string, string])[] = [
    ['data_directory', place.dataDirectory],
    ['hba_file', hba],
    ['ident_file', ident],
    ...isolation(place, options, majorVersion),
    ...capacity(control, majorVersion),
    ...recoverySettings({
      restoreCommand: options.restoreCommand,
      target: options.target,
      action: 'promote',
      timeline: options.timeline,
      isArchivingOff: true,
    }),
  ]
  const text = settings.map(([name, value]) => formatSetting(name, value)).join('\n')
  await writeFileDurably(hba, 'local all all trust\n')
  await writeFileDurably(ident, '')
  await writeFileDurably(place.configuration, `${text}\n`)
  // it would be read on top of everything
  await writeFileDurably(path.join(place.dataDirectory, 'postgresql.auto.conf'), '')
}

function isolation(
  place: ScratchPlace,
  { preloadLibraries }: DrillOptions,
  majorVersion: number,
): (readonly [string, string])[] {
  return [
    ['listen_addresses', ''],
    ['unix_socket_directories', place.socketDirectory],
    ['unix_socket_permissions', SOCKET_MODE],
    ['port', String(DRILL_PORT)],
    ['ssl', 'off'],
    ['archive_command', ''],
    ...(majorVersion >= 15 ? [['archive_library', ''] as const] : []),
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
    ['hot_standby', 'off'],
    ['shared_preload_libraries', preloadLibraries],
    ['session_preload_libraries', ''],
    ['local_preload_libraries', ''],
    ['max_logical_replication_workers', '0'],
    ['autovacuum', 'off'],
    ...(majorVersion >= 17 ? [['event_triggers', 'off'] as const] : []),
    ['logging_collector', 'off'],
    ['log_destination', 'stderr'],
    ['log_line_prefix', '%m [%p] '],
    ['lc_messages', 'C'],
    ['restart_after_crash', 'off'],
  ]
}

/** Nothing of it is kept, so nothing is flushed; limits are as high as what is replayed may need. */
function capacity(control: ControlFile, majorVersion: number): (readonly [string, string])[] {
  const most = (value: number, least: number): string => String(Math.max(value, least))
  return [
    ['fsync', 'off'],
    ['full_page_writes', 'off'],
    ['synchronous_commit', 'off'],
    ['jit', 'off'],
    ['max_connections', most(control.maxConnections, 20)],
    ['max_prepared_transactions', most(control.maxPreparedTransactions, 64)],
    ['max_locks_per_transaction', most(control.maxLocksPerTransaction, 64)],
    ['max_replication_slots', '200'],
    ...(majorVersion >= 18 ? [['max_active_replication_origins', '200'] as const] : []),
    ['max_wal_senders', '0'],
  ]
}
