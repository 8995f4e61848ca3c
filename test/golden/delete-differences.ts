import type { Difference } from './differences.ts'

const HINT = 'an error also says what to do next'
const NAMES_HINT = '\n  hint: backup-list shows the names of all backups'

const JSON_FLAG = {
  reason: 'every delete can print its plan as JSON',
  replaced: [
    [
      'Confirms backup deletion\n',
      'Confirms backup deletion\n      --json                Prints the plan: what goes, what stays, and why\n',
    ],
    ['2019-12-12T12:12:12 ', '2019-12-12T12:12:12Z '],
  ],
} as const

const GROUP_HELP = {
  reason: 'a verb of our own, and every delete can print its plan as JSON',
  replaced: [
    ['garbage     \n', 'garbage     \npolicy      \n'],
    [
      'help for delete\n',
      'help for delete\n      --json                Prints the plan: what goes, what stays, and why\n',
    ],
  ],
} as const

const DELTA_KEPT = {
  set: 'pg14-waldelta',
  reason: 'a _delta object stays until its whole group of segments, and the next group, are obsolete',
  replaced: [
    ['INFO: Object marked for deletion: wal_005/000000010000000000000010_delta.lz4 storage=default\n', ''],
    ['count=11', 'count=10'],
  ],
} as const

const LEFTOVER = 'basebackups_005/base_00000001000000000000000A/'
const LEFTOVER_LINES: string = [
  'files_metadata.json',
  'metadata.json',
  'tar_partitions/backup_label.tar.zst',
  'tar_partitions/part_001.tar.zst',
  'tar_partitions/pg_control.tar.zst',
]
  .map(name => `INFO: Object marked for deletion: ${LEFTOVER}${name} storage=default\n`)
  .join('')

function leftoverFound(verdict: string): Pick<Difference, 'set' | 'reason' | 'replaced'> {
  return {
    set: 'pg15-marks',
    reason: 'garbage finds leftovers that are younger than the oldest backup, too',
    replaced: [['INFO: No objects matched the deletion criteria.', `${LEFTOVER_LINES}INFO: ${verdict}`]],
  }
}

const DRY_RUN = 'Dry run: objects would be deleted count=5, Run with --confirm to execute'

const PERMANENT = {
  set: 'pg15-marks',
  reason: 'delete target refuses permanent backups',
  ours: {
    exit: 1,
    stderr: `INFO: Backup to delete will be searched in storages: [default]
INFO: retrieving permanent objects
INFO: Found permanent objects: backups=map[{base_000000010000000000000006 default}:true {base_000000010000000000000008_D_000000010000000000000006 default}:true], wals=map[{000000010000000000000006 default}:true {000000010000000000000008 default}:true]
INFO: Selecting the backup with name base_000000010000000000000006...
ERROR: Unable to delete permanent backup base_000000010000000000000006, base_000000010000000000000008_D_000000010000000000000006
  hint: take the mark off with "backup-mark --impermanent" first, deltas before their full
`,
  },
} as const

const NOT_THERE = {
  reason: HINT,
  replaced: [['does not exist.', `does not exist.${NAMES_HINT}`]],
} as const

/** Of `delete`. */
export const DELETE_DIFFERENCES: readonly Difference[] = [
  { case: 'delete-no-sub', ...GROUP_HELP },
  { case: 'delete-unknown-sub', ...GROUP_HELP },
  ...[
    'before-no-args',
    'retain-zero',
    'retain-text',
    'target-no-args',
    'before-future',
    'everything-bad',
  ].map(name => ({ case: `delete-${name}`, ...JSON_FLAG })),
  { case: 'delete-garbage-bad', ...JSON_FLAG },
  {
    case: 'delete-retain-no-args',
    reason: 'a missing number is a usage error; the original panics',
    ours: {
      exit: 1,
      stdout: 'accepts between 1 and 2 arg(s), received 0\n',
      stderr: `Error: accepts between 1 and 2 arg(s), received 0
Usage:
wal-g delete retain [FULL|FIND_FULL] backup_count [flags]

Examples:
  retain 5                      keep 5 backups
  retain FULL 5                 keep 5 full backups and all deltas of them
  retain FIND_FULL 5            find necessary full for 5th and keep everything after it
  retain 5 --after 2019-12-12T12:12:12Z   keep 5 most recent backups and backups made after 2019-12-12 12:12:12

Flags:
  -a, --after string   Set the time after which retain backups
  -h, --help           help for retain

Global Flags:
      --config string       config file (default is $HOME/.walg.json, can also be set via WALG_CONFIG_PATH env var)
      --confirm             Confirms backup deletion
      --json                Prints the plan: what goes, what stays, and why
      --turbo               Ignore all kinds of throttling defined in config
      --use-sentinel-time   Use backup creation time from sentinel for backups ordering.

To get the complete list of all global flags, run: 'wal-g flags'

`,
    },
  },
  {
    case: 'delete-before-name',
    reason: HINT,
    replaced: [
      ['ERROR: not found', `ERROR: Backup 'base_000000010000000000000002' does not exist.${NAMES_HINT}`],
    ],
  },
  { case: 'delete-target', ...NOT_THERE },
  { set: 'pg15-lz4-deltas', case: 'delete-target-missing', ...NOT_THERE },
  { set: 'pg15-marks', case: 'delete-target-missing', ...NOT_THERE },
  ...['retain-FIND_FULL-1', 'before-full', 'garbage', 'garbage-ARCHIVES'].map(name => ({
    case: `delete-${name}`,
    ...DELTA_KEPT,
  })),
  { case: 'delete-garbage', ...leftoverFound(DRY_RUN) },
  { case: 'delete-garbage-BACKUPS', ...leftoverFound(DRY_RUN) },
  {
    case: 'delete-garbage--confirm',
    ...leftoverFound('Objects deleted successfully: count=5'),
    removes: [LEFTOVER],
  },
  { case: 'garbage-without-backup-check', ...leftoverFound(DRY_RUN) },
  { case: 'delete-target-permanent', ...PERMANENT },
  { case: 'delete-target-permanent--confirm', ...PERMANENT, removes: [] },
]
