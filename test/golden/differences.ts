import { DELETE_DIFFERENCES } from './delete-differences.ts'

/** What ours says where it is not what the original said, and why; `docs/COMPATIBILITY.md` tells it to people. */
export interface Difference {
  /** Default: the recorded outputs for an empty repository. */
  readonly set?: string
  readonly case: string
  readonly reason: string
  /** Replaces what the original gave; log lines without their time. */
  readonly ours?: Partial<Outcome>
  /** Pieces of both outputs that differ, and what stands there instead. */
  readonly replaced?: readonly (readonly [original: string, ours: string])[]
  /** What begins so goes, instead of what the original removed. */
  readonly removes?: readonly string[]
  /** Only the first line of stdout is compared. */
  readonly isFirstLineEnough?: boolean
}

export interface Outcome {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
}

const HINT = 'an error also says what to do next'

const PUSH_FLAGS = {
  reason: 'a flag of our own',
  replaced: [
    [
      'backup sentinel and metadata files.\n',
      'backup sentinel and metadata files.\n      --apply-policy                  When the backup is complete, delete what the retention policy does not keep\n',
    ],
  ],
} as const

const FETCH_FLAGS = {
  reason: 'three flags of our own; flags that are not available yet, or change nothing, say so',
  replaced: [
    [
      '      --mask string               Fetches only',
      '      --ignore-content-manifest   Restores a backup whose content manifest is missing or damaged, without comparing hashes\n      --mask string               Fetches only',
    ],
    [
      '      --reverse-unpack            Unpack delta backups in reverse order (beta feature)',
      '      --resume                    Goes on with an interrupted fetch: parts that are complete and verified are not read again\n      --reverse-unpack            Accepted; the result is that of the forward restore',
    ],
    [
      'Skip tars with no useful data (requires reverse delta unpack)',
      'Accepted; the result is that of the forward restore',
    ],
    [
      '      --target-storage string',
      '      --tablespace-mapping map    Puts the tablespace of OLDDIR into NEWDIR, as OLDDIR=NEWDIR; may be repeated\n      --target-storage string',
    ],
  ],
} as const

const VERIFY_FLAG = {
  reason: 'a flag of our own',
  replaced: [
    [
      '  -h, --help                 help for wal-verify\n',
      '      --exit-code            Status 3 for WARNING, 4 for FAILURE, instead of always 0.\n  -h, --help                 help for wal-verify\n',
    ],
  ],
} as const

export const DIFFERENCES: readonly Difference[] = [
  ...DELETE_DIFFERENCES,
  {
    case: 'st-bare',
    reason: 'a tool of our own',
    replaced: [
      [
        '\nget         Download',
        '\ngc-uploads  Removes unfinished uploads that a crash left in the storage\nget         Download',
      ],
    ],
  },
  { case: 'wal-verify-lsn-only', ...VERIFY_FLAG },
  { case: 'wal-verify-no-args', ...VERIFY_FLAG },
  { case: 'wal-verify-unknown', ...VERIFY_FLAG },
  {
    set: 'pg15-timelines',
    case: 'wal-verify-backup-name-missing',
    reason: 'the message without the mistake in its format, and what to do next',
    replaced: [
      ['integrity:%!(EXTRA *errors.withStack=Failed', 'integrity: Failed'],
      ['was not found)', 'was not found\n  hint: backup-list shows the names of all backups'],
    ],
  },
  { case: 'backup-fetch-no-args', ...FETCH_FLAGS },
  { case: 'backup-fetch-three-args', ...FETCH_FLAGS },
  { case: 'backup-push-two-args', ...PUSH_FLAGS },
  { case: 'help-backup-push', ...PUSH_FLAGS },
  {
    case: 'backup-mark-no-args',
    reason: 'a flag of our own',
    replaced: [
      ['-h, --help          help', '-h, --help               help'],
      [
        '-i, --impermanent   Marks a backup impermanent\n',
        '-i, --impermanent        Marks a backup impermanent\n      --user-data string   Replaces the user data (JSON); alone it leaves the mark as it is\n',
      ],
    ],
  },
  {
    case: 'backup-fetch-missing',
    reason: HINT,
    replaced: [['does not exist.', 'does not exist.\n  hint: backup-list shows the names of all backups']],
  },
  {
    case: 'no-storage',
    reason: HINT,
    ours: {
      stderr:
        'ERROR: Failed to find any configured storage\n  hint: set WALG_FILE_PREFIX to the directory of the repository\n',
    },
  },
  {
    case: 'storage-missing-directory',
    reason: HINT,
    ours: {
      stderr: `ERROR: configure primary storage: configure storage with prefix "/srv/interop/no-such-dir": create FS storage: FS storage root directory doesn't exist or is inaccessible: stat /srv/interop/no-such-dir: no such file or directory
  hint: create the directory, or mount it: it is never created by itself, lest backups go below an empty mount point
`,
    },
  },
  {
    case: 'bad-compression',
    reason:
      'settings are checked before any work, all at once, each with its name, value, source and what was expected',
    ours: {
      stderr:
        'ERROR: WALG_COMPRESSION_METHOD is "nope" (environment), expected one of lz4, lzma, zstd, brotli, none\n',
    },
  },
  {
    case: 'bad-log-level',
    reason: 'as for every other setting; the original names the default instead of the value that was given',
    ours: { stderr: 'ERROR: WALG_LOG_LEVEL is "LOUD" (environment), expected one of NORMAL, DEVEL, ERROR\n' },
  },
  {
    case: 'completion-bad',
    reason: 'fish is known here, so that this prints its completion',
    ours: { exit: 0, stdout: '# fish completion for wal-g', stderr: '' },
    isFirstLineEnough: true,
  },
  {
    case: 'copy-no-flags',
    reason: 'a flag of our own',
    replaced: [
      [
        '  -t, --to string            Storage config to where',
        "      --re-encrypt           Open every object and seal it with the target's key and compression\n  -t, --to string            Storage config to where",
      ],
    ],
  },
  {
    case: 'st-cat-missing',
    reason: 'an error names the object and its storage',
    replaced: [
      [
        "object '/srv/interop/empty/x' not found in storage",
        `object "x" not found in storage "default"\n  cause: ENOENT: no such file or directory, realpath '/srv/interop/empty/x'`,
      ],
    ],
  },
  {
    case: 'bare',
    reason: 'verbs of our own; verbs of later pieces are not listed',
    ours: {
      stdout: `PostgreSQL backup tool

Usage:
wal-g [command]

Available Commands:
backup-fetch  Fetches a backup from storage
backup-list   Prints full list of backups from which recovery is available
backup-mark   Marks a backup permanent or impermanent
backup-push   Makes backup and uploads it to storage
catchup-fetch Fetches an incremental backup from storage
catchup-list  Prints available incremental backups
catchup-push  Creates incremental backup from lsn
completion    Output shell completion code for the specified shell
copy          copy specific or all backups
delete        Clears old backups and WALs
doctor        Looks at the whole set-up and says what to fix
drill         Proves a backup: restores it, recovers, checks every database, and takes it all away again
flags         Display the list of available global flags for all wal-g commands
help          Help about any command
restore       Restores a cluster to a point in time: backup, WAL and recovery settings in one step
st            (DANGEROUS) Storage tools
verify        Reads backups and their WAL in the storage and tells whether they are whole
wal-fetch     Fetches a WAL file from storage
wal-push      Uploads a WAL file to storage
wal-restore   Restores WAL segments from storage.
wal-show      Show storage WAL segments info grouped by timelines.
wal-verify    Verify WAL storage folder. Available checks: integrity, timeline.

Flags:
      --config string   config file (default is $HOME/.walg.json, can also be set via WALG_CONFIG_PATH env var)
  -h, --help            help for wal-g
      --turbo           Ignore all kinds of throttling defined in config
  -v, --version         version for wal-g

To get the complete list of all global flags, run: 'wal-g flags'

Use "wal-g [command] --help" for more information about a command.
`,
    },
  },
]
