import { describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Ended {
  readonly exit: number | null
  readonly stdout: string
  /** Without times. */
  readonly stderr: string
}

/** Runs the program from source in a directory of its own, with an empty repository below it. */
class Place implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'wal-g-run-'))

  constructor() {
    mkdirSync(join(this.path, 'repository'))
  }

  write(name: string, text: string): string {
    const path = join(this.path, name)
    writeFileSync(path, text)
    return path
  }

  walg(args: readonly string[], env: Record<string, string> = {}): Ended {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dir, 'main.ts'), ...args],
      {
        encoding: 'utf8',
        cwd: this.path,
        env: {
          PATH: process.env['PATH'],
          HOME: this.path,
          TZ: 'UTC',
          WALG_FILE_PREFIX: join(this.path, 'repository'),
          ...env,
        },
      },
    )
    return { exit: status, stdout, stderr: stderr.replace(/^(\w+: )\d{4}\S+ \S+ /gm, '$1') }
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

const LISTED = 'INFO: List backups from storages: [default]\nINFO: No backups found\n'

describe('a setting flag', () => {
  test('is one in its own spelling only: what is not looked up must not be accepted', () => {
    using place = new Place()
    const segment = place.write('000000010000000000000001', 'wal')
    for (const flag of [
      '--WALG_FILE_PREFIX',
      '--walg_file_prefix',
      '--WALG-FILE-PREFIX',
      '--Walg-file-prefix',
      '--walg-file_prefix',
    ]) {
      const ended = place.walg(['wal-push', `${flag}=${place.path}`, segment])
      expect(ended.exit).toBe(1)
      expect(ended.stderr).toStartWith(`Error: unknown flag: ${flag}\n`)
      expect(readdirSync(join(place.path, 'repository'))).toEqual([])
    }
    mkdirSync(join(place.path, 'other'))
    const other = `--walg-file-prefix=${join(place.path, 'other')}`
    expect(place.walg(['wal-push', other, segment])).toMatchObject({ exit: 0 })
    expect(readdirSync(join(place.path, 'other'))).toContain('wal_005')
  }, 30_000)
})

describe('the config file', () => {
  test('is named by --config, WALG_CONFIG_PATH or WALG_CONFIG, and loses against the environment', () => {
    using place = new Place()
    const config = place.write('c.json', JSON.stringify({ WALG_LOG_LEVEL: 'ERROR' }))
    expect(place.walg(['backup-list', '--config', config]).stderr).toBe('')
    expect(place.walg(['backup-list', `--config=${config}`]).stderr).toBe('')
    expect(place.walg(['--config', config, 'backup-list']).stderr).toBe('')
    expect(place.walg(['backup-list'], { WALG_CONFIG_PATH: config }).stderr).toBe('')
    expect(place.walg(['backup-list'], { WALG_CONFIG: config }).stderr).toBe('')
    expect(place.walg(['backup-list'], { WALG_CONFIG: config, WALG_LOG_LEVEL: 'NORMAL' }).stderr).toBe(LISTED)
    const flag = ['backup-list', '--walg-log-level=ERROR']
    expect(place.walg(flag, { WALG_LOG_LEVEL: 'NORMAL' }).stderr).toBe('')
  })

  test('that was named but is missing or broken is an error, beside all others', () => {
    using place = new Place()
    const missing = place.walg(['backup-list', '--config', 'none.json'], { WALG_UPLOAD_CONCURRENCY: '0' })
    expect(missing.exit).toBe(1)
    expect(missing.stderr).toBe(
      `ERROR: unable to read config file "none.json": no such file or directory
  hint: correct the file, or do not name it
ERROR: WALG_UPLOAD_CONCURRENCY is "0" (environment), expected a whole number of at least 1
`,
    )
    const broken = place.walg(['backup-list'], { WALG_CONFIG: place.write('c.yaml', 'a: [\n') })
    expect(broken.exit).toBe(1)
    expect(broken.stderr).toStartWith('ERROR: unable to parse config file')
    const twice = place.walg(['backup-list'], { WALG_CONFIG: 'a.json', WALG_CONFIG_PATH: 'b.json' })
    expect(twice.stderr).toContain('they mean the same and must not differ')
  })

  test('warns of keys that nobody knows, and guesses what was meant', () => {
    using place = new Place()
    const config = place.write('c.yaml', 'walg_log_levle: ERROR\nFOO: bar\n')
    const { exit, stderr } = place.walg(['backup-list', '--config', config])
    expect(exit).toBe(0)
    expect(stderr).toBe(
      `WARNING: WALG_LOG_LEVLE is unknown, did you mean WALG_LOG_LEVEL?
WARNING: FOO is unknown
WARNING: We found that some variables in your config file detected as 'Unknown'. 
  If this is not right, please create issue https://github.com/wal-g/wal-g/issues/new
${LISTED}`,
    )
  })
})

describe('before any work', () => {
  test('every problem is reported, and no secret', () => {
    using place = new Place()
    const { exit, stdout, stderr } = place.walg(['backup-list', '--target-storage', 'other'], {
      WALG_LIBSODIUM_KEY: 'hunter2hunter2',
      WALG_S3_PREFIX: 'bucket/path',
      WALG_DELTA_MAX_STEPS: '-1',
      WALG_LOG_DESTINATION: '/nonexistent/none/log',
    })
    expect(exit).toBe(1)
    expect(stdout).toBe('')
    const lines = stderr.split('\n').filter(line => line.startsWith('ERROR: '))
    expect(lines).toHaveLength(5)
    for (const name of [
      'the key in WALG_LIBSODIUM_KEY has 14 bytes',
      'WALG_S3_PREFIX is "bucket/path"',
      'WALG_DELTA_MAX_STEPS is "-1"',
      'WALG_LOG_DESTINATION cannot be used',
      'unknown storage "other"',
    ]) {
      expect(lines.join('\n')).toContain(name)
    }
    expect(stderr).not.toContain('hunter2')
  })

  test('the environment is shown at DEVEL without its secrets', () => {
    using place = new Place()
    const { stderr } = place.walg(['backup-list'], { WALG_LOG_LEVEL: 'DEVEL', PGPASSWORD: 'hunter2' })
    expect(stderr).toContain('DEBUG: --- COMPILED ENVIRONMENT VARS ---')
    expect(stderr).toContain('PGPASSWORD=--HIDDEN--')
    expect(stderr).not.toContain('hunter2')
  })

  test('verbs that need no storage run without one, and whatever the settings are', () => {
    using place = new Place()
    const none = { WALG_FILE_PREFIX: '' }
    expect(place.walg(['help'], none).exit).toBe(0)
    expect(place.walg(['help'], { ...none, WALG_PGP_KEY: 'k', WALG_LOG_LEVEL: 'LOUD' }).exit).toBe(0)
    const flags = place.walg(['flags'], none)
    expect(flags.exit).toBe(0)
    expect(flags.stdout).toBe('')
    expect(flags.stderr).toContain('--walg-file-prefix string')
    expect(place.walg(['backup-list'], none).exit).toBe(1)
  })

  test('log lines go to a file, and as JSON, on request', () => {
    using place = new Place()
    const log = join(place.path, 'log')
    const env = { WALG_LOG_DESTINATION: log, WALG_LOG_FORMAT: 'json' }
    expect(place.walg(['backup-list'], env)).toEqual({ exit: 0, stdout: '', stderr: '' })
    expect(place.walg(['backup-list', '--config', 'none.json'], env).exit).toBe(1)
    const lines = readFileSync(log, 'utf8').trim().split('\n').map(line => JSON.parse(line)) // biome-ignore format: one chain
    expect(lines.map(line => line.level)).toEqual(['INFO', 'INFO', 'ERROR'])
    expect(lines[2]).toMatchObject({ code: 'SETTING_INVALID', hint: 'correct the file, or do not name it' })
  })
})

describe('exit statuses', () => {
  test('of wal-fetch in recovery: 74 for "not there", 126 for usage, settings and storage errors', () => {
    using place = new Place()
    place.write('recovery.signal', '')
    mkdirSync(join(place.path, 'pg_wal'))
    const fetch = ['wal-fetch', '000000010000000000000001', 'pg_wal/RECOVERYXLOG']
    const missing = place.walg(fetch)
    expect(missing).toEqual({
      exit: 74,
      stdout: '',
      stderr: "ERROR: Archive '000000010000000000000001' does not exist.\n",
    })
    expect(place.walg(fetch.slice(0, 2)).exit).toBe(126)
    expect(place.walg([...fetch, '--no-such-flag']).exit).toBe(126)
    expect(place.walg(fetch, { WALG_COMPRESSION_METHOD: 'nope' }).exit).toBe(126)
    expect(place.walg(fetch, { WALG_FILE_PREFIX: '' }).exit).toBe(126)
    expect(place.walg(fetch, { WALG_FILE_PREFIX: '/nonexistent/none' }).exit).toBe(126)
    expect(
      place.walg(fetch, { WALG_FILE_PREFIX: '/nonexistent/none', WALG_FETCH_ERROR_EXIT_CODE: '7' }).exit,
    ).toBe(7)
    place.write('standby.signal', '')
    expect(place.walg(fetch, { WALG_FILE_PREFIX: '/nonexistent/none' }).exit).toBe(1)
  })

  test('hold for errors that nobody caught, too', () => {
    using place = new Place()
    place.write('recovery.signal', '')
    const stray = (verb: string, how: string): number | null => {
      const script = `
        import { run } from ${JSON.stringify(join(import.meta.dir, 'run.ts'))}
        void run(['${verb}', 'x', 'y'])
        ${how}`
      const env = { PATH: process.env['PATH'], HOME: place.path, WALG_FILE_PREFIX: place.path }
      return spawnSync(process.execPath, ['-e', script], { cwd: place.path, env }).status
    }
    for (const how of [
      "queueMicrotask(() => { throw new Error('x') })",
      "void Promise.reject(new Error('x'))",
    ]) {
      expect(stray('wal-fetch', how)).toBe(126)
      expect(stray('wal-push', how)).toBe(1)
    }
  })

  test('of output whose reader went away: 0, without a word; of output that cannot be written: 1', () => {
    using place = new Place()
    const help = `'${process.execPath}' '${join(import.meta.dir, 'main.ts')}' help`
    const shell = (line: string): string => {
      const { stdout, stderr } = spawnSync('bash', ['-c', line], { encoding: 'utf8', cwd: place.path })
      return stdout + stderr
    }
    expect(shell(`${help} | true; echo "\${PIPESTATUS[0]}"`)).toBe('0\n')
    const full = shell(`${help} >/dev/full; echo "$?"`)
    expect(full).toStartWith('1\nERROR: ')
    expect(full).toContain('no space left')
  })

  test('of a verb that is not available yet, or not known at all: 1', () => {
    using place = new Place()
    expect(place.walg(['daemon'])).toEqual({
      exit: 1,
      stdout: '',
      stderr: 'ERROR: "daemon" is not available yet in this version\n',
    })
    expect(place.walg(['backup-lits'])).toEqual({
      exit: 1,
      stdout: 'unknown command "backup-lits" for "wal-g"\n\nDid you mean this?\n\tbackup-list\n\n',
      stderr:
        'Error: unknown command "backup-lits" for "wal-g"\n\nDid you mean this?\n\tbackup-list\n\nRun \'wal-g --help\' for usage.\n',
    })
  })
})
