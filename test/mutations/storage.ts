import type { Mutation } from './mutation.ts'

const POWER_LOSS = 'test/crash/storage-power-loss.test.ts'
const FAULTS = 'test/fault/fs-driver.test.ts'
const FS_CONTRACT = 'test/contract/storage.fs.test.ts'
const FS_OWN = 'src/storage/drivers/fs.test.ts'
const STALL = 'src/storage/layers/stall.test.ts'
const TEMPORARY = 'src/storage/drivers/fs/temporary.ts'
const SINK = 'src/storage/drivers/fs/sink.ts'
const PLACE = 'src/storage/drivers/fs/place.ts'

/** The guards of the storage room. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'the content is synced before it gets its name',
    file: TEMPORARY,
    find: "if (place.isDurable) yield* call('fsync', temporary.fd)",
    replace: '',
    test: POWER_LOSS,
  },
  {
    guard: 'the folder is synced after the rename',
    file: TEMPORARY,
    find: 'if (place.isDurable) yield* syncFolder(temporary.folder)',
    replace: '',
    test: POWER_LOSS,
  },
  {
    guard: 'folders above are synced, up to the root',
    file: TEMPORARY,
    find: 'for (let above = folder; above !== place.realRoot && above.length > 1; ) {',
    replace: 'for (let above = folder; above.length < 1; ) {',
    test: POWER_LOSS,
  },
  {
    guard: 'a delete is durable when it is answered',
    file: 'src/storage/drivers/fs/removal.ts',
    find: "if (place.isDurable) yield* unless(['ENOENT'], syncFolder(remaining))",
    replace: '',
    test: POWER_LOSS,
  },
  {
    guard: 'a local file is synced before its rename',
    file: 'src/kit/atomic-file.ts',
    find: "if (isDurable) await translated(path, runPooled(system, call('fsync', fd)))",
    replace: '',
    test: POWER_LOSS,
  },
  {
    guard: 'a failed background sync fails the object',
    file: SINK,
    find: `    const settled = work.catch(error => {
      this.#fail(error)
    })`,
    replace: '    const settled = work.catch(() => {})',
    test: FAULTS,
  },
  {
    guard: 'short writes are gone on with',
    file: SINK,
    find: 'at += written(calls.write(this.#temporary.fd, bytes, at, bytes.length - at))',
    replace: 'calls.write(this.#temporary.fd, bytes, at, bytes.length - at), (at = bytes.length)',
    test: FAULTS,
  },
  {
    guard: 'a failed end leaves no temporary',
    file: SINK,
    find: `      const failure = this.#fail(error)
      await this.#discard()`,
    replace: '      const failure = this.#fail(error)',
    test: FAULTS,
  },
  {
    guard: 'a full disk is told apart',
    file: PLACE,
    find: "case 'EDQUOT':",
    replace: "case 'EDQUOT_':",
    test: FAULTS,
  },
  {
    guard: 'a conditional put never falls back to a plain one',
    file: TEMPORARY,
    find: "throw errno === 'EEXIST' ? objectExists(place, temporary.key) : error",
    replace: "yield* call('rename', temporary.path, temporary.target)",
    test: FS_CONTRACT,
  },
  {
    guard: 'a lost answer of link is recognised',
    file: TEMPORARY,
    find: 'if (own.nlink < 2n) return false',
    replace: 'if (own.nlink < 9n) return false',
    test: FAULTS,
  },
  {
    guard: 'keys cannot climb out',
    file: 'src/storage/keys.ts',
    find: "if (component === '.' || component === '..') return",
    replace: "if (component === '.') return",
    test: FS_CONTRACT,
  },
  {
    guard: 'symbolic links cannot lead out',
    file: PLACE,
    find: 'throw refuse(key, place.name, `a symbolic',
    replace: 'return real\n  throw refuse(key, place.name, `a symbolic',
    test: FS_OWN,
  },
  {
    guard: 'a folder beside the root with the same beginning is outside',
    file: PLACE,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    find: 'real.startsWith(`${one}/`)',
    replace: 'real.startsWith(one)',
    test: FS_OWN,
  },
  {
    guard: 'a folder above the root is no part of the repository',
    file: PLACE,
    find: 'stat.isDirectory() && !isAbove',
    replace: 'stat.isDirectory()',
    test: FS_OWN,
  },
  {
    guard: 'a missing root is not an empty storage',
    file: PLACE,
    find: "if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'ENOTDIR') return",
    replace: 'if (errnoOf(error) !== undefined) return',
    test: FS_OWN,
  },
  {
    guard: 'the root is never created',
    file: PLACE,
    find: "if (folder === place.realRoot) throw rootMissing(place, 'it has gone')",
    replace: '',
    test: FS_OWN,
  },
  {
    guard: 'only old temporaries are swept',
    file: 'src/storage/drivers/fs/sweep.ts',
    find: 'if (!stat.isFile() || Number(stat.mtimeMs) > nowMs - STALE_AFTER_MS) continue',
    replace: '',
    test: FS_OWN,
  },
  {
    guard: 'a put survives the removal of its folder',
    file: TEMPORARY,
    find: 'attempt >= ATTEMPTS_MAX',
    replace: 'attempt >= 1',
    test: FS_CONTRACT,
  },
  {
    guard: 'a hang is a TIMEOUT',
    file: 'src/kit/deadline.ts',
    find: 'else giveUp(options.onTimeout())',
    replace: '',
    test: STALL,
  },
  {
    guard: 'the body’s own time does not count',
    file: 'src/kit/deadline.ts',
    find: 'isPaused = true',
    replace: 'isPaused = false',
    test: STALL,
  },
  {
    guard: 'a view cannot be left',
    file: 'src/storage/layers/prefix.ts',
    find: '    return joinKey(prefix, key)',
    replace: '    return key',
    test: 'src/storage/layers/layers.test.ts',
  },
  {
    guard: 'all threads share one rate',
    file: 'src/kit/limits.ts',
    find: 'const state = new BigInt64Array(limit.shared)',
    replace: 'const state = new BigInt64Array(2)',
    test: 'src/kit/limits.test.ts',
  },
  {
    guard: 'an object in S3 that another put has made is not taken for our own',
    file: 'src/storage/drivers/s3/multipart.ts',
    find: 'return answer.headers.get(MARK_HEADER) === mark',
    replace: 'return answer.headers.has(MARK_HEADER) || true',
    test: 'test/fault/s3.test.ts',
  },
  {
    guard: 'a download from S3 goes on only while the object is the same',
    file: 'src/storage/drivers/s3/source.ts',
    find: "...(etag === undefined ? {} : { 'if-match': etag }),",
    replace: '',
    test: 'test/fault/s3.test.ts',
  },
  {
    guard: 'archive classes are for tar files only',
    file: 'src/storage/drivers/s3/object-headers.ts',
    find: '&& !TAR_PART.test(key)',
    replace: '&& false',
    test: 'test/contract/s3-requests.test.ts',
  },
  {
    guard: 'a certificate that is not trusted ends the connection',
    file: 'src/storage/http/connection.ts',
    find: '...(isIP(name) === 0 ? { servername: name } : {}),',
    replace: 'rejectUnauthorized: false,',
    test: 'test/contract/s3-requests.test.ts',
  },
  {
    guard: 'a body that is shorter than announced is no body',
    file: 'src/storage/http/body.ts',
    find: 'const got = sizeBytes - leftBytes',
    replace: 'const got = sizeBytes - leftBytes\n        if (got >= 0) return undefined',
    test: 'test/fault/s3.test.ts',
  },
  {
    guard: 'a large folder is read once for what stale temporaries it has, not with each delete',
    file: 'src/storage/drivers/fs/removal.ts',
    find: 'if (attempt > 1 || (counts.get(folder) ?? 0) > 0) return false',
    replace: 'if (attempt > 1) return false',
    test: FS_OWN,
  },
  {
    guard: 'a folder that stale temporaries alone are left in goes with its last object',
    file: 'src/storage/drivers/fs/removal.ts',
    find: 'if (count !== undefined) counts.set(folder, count - 1)',
    replace: '',
    test: FS_OWN,
  },
  {
    guard: 'temporaries are looked for in all folders',
    file: 'src/storage/drivers/fs/listing.ts',
    find: 'isTemporaryName(entry.name) || !entry.isFile(),',
    replace: 'isTemporaryName(entry.name),',
    test: FS_CONTRACT,
    title: 'begun and never ended',
  },
]
