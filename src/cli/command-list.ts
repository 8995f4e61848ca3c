import type { CommandEntry } from './command.ts'

/** Every verb, in the order of the help. */
export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'backup-fetch',
    summary: 'Fetches a backup from storage',
    load: () => import('./commands/backup-fetch.ts'),
  },
  {
    name: 'backup-list',
    summary: 'Prints full list of backups from which recovery is available',
    load: () => import('./commands/backup-list.ts'),
  },
  {
    name: 'backup-mark',
    summary: 'Marks a backup permanent or impermanent',
    load: () => import('./commands/backup-mark.ts'),
  },
  {
    name: 'backup-push',
    summary: 'Makes backup and uploads it to storage',
    load: () => import('./commands/backup-push.ts'),
  },
  {
    name: 'catchup-fetch',
    summary: 'Fetches an incremental backup from storage',
    load: () => import('./commands/catchup-fetch.ts'),
  },
  {
    name: 'catchup-list',
    summary: 'Prints available incremental backups',
    load: () => import('./commands/catchup-list.ts'),
  },
  {
    name: 'catchup-push',
    summary: 'Creates incremental backup from lsn',
    load: () => import('./commands/catchup-push.ts'),
  },
  {
    name: 'completion',
    summary: 'Output shell completion code for the specified shell',
    load: async () => ({ command: (await import('./commands/completion.ts')).completionCommand(COMMANDS) }),
  },
  {
    name: 'copy',
    summary: 'copy specific or all backups',
    load: () => import('./commands/copy.ts'),
  },
  {
    name: 'delete',
    summary: 'Clears old backups and WALs',
    load: () => import('./commands/delete.ts'),
  },
  {
    name: 'doctor',
    summary: 'Looks at the whole set-up and says what to fix',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'drill',
    summary: 'Proves a backup: restores it, recovers, checks every database, and takes it all away again',
    load: () => import('./commands/drill.ts'),
  },
  {
    name: 'flags',
    summary: 'Display the list of available global flags for all wal-g commands',
    load: () => import('./commands/flags.ts'),
  },
  {
    name: 'help',
    summary: 'Help about any command',
    load: async () => ({
      command: (await import('./commands/help.ts')).helpCommand(COMMANDS, LATER_COMMANDS),
    }),
  },
  {
    name: 'restore',
    summary: 'Restores a cluster to a point in time: backup, WAL and recovery settings in one step',
    load: () => import('./commands/restore.ts'),
  },
  {
    name: 'st',
    summary: '(DANGEROUS) Storage tools',
    load: () => import('./commands/st.ts'),
  },
  {
    name: 'verify',
    summary: 'Reads backups and their WAL in the storage and tells whether they are whole',
    load: () => import('./commands/verify.ts'),
  },
  {
    name: 'wal-fetch',
    summary: 'Fetches a WAL file from storage',
    load: () => import('./commands/wal-fetch.ts'),
  },
  {
    name: 'wal-prefetch',
    summary: 'Used for prefetching process forking and should not be called by user.',
    hidden: true,
    load: () => import('./commands/wal-prefetch.ts'),
  },
  {
    name: 'wal-push',
    summary: 'Uploads a WAL file to storage',
    load: () => import('./commands/wal-push.ts'),
  },
  {
    name: 'wal-restore',
    summary: 'Restores WAL segments from storage.',
    load: () => import('./commands/wal-restore.ts'),
  },
  {
    name: 'wal-show',
    summary: 'Show storage WAL segments info grouped by timelines.',
    load: () => import('./commands/wal-show.ts'),
  },
  {
    name: 'wal-verify',
    summary: 'Verify WAL storage folder. Available checks: integrity, timeline.',
    load: () => import('./commands/wal-verify.ts'),
  },
]

/** Verbs of the original that belong to later pieces. */
export const LATER_COMMANDS: readonly string[] = [
  'catchup-receive',
  'catchup-send',
  'daemon',
  'pgbackrest',
  'wal-receive',
]

export function findCommand(name: string): CommandEntry | undefined {
  return COMMANDS.find(entry => entry.name === name)
}
