import type { Mutation } from './mutation.ts'

const WALK = 'src/postgres/data-directory.test.ts'
const WALKER = 'src/postgres/data-directory.ts'
const PAGES = 'src/postgres/page.test.ts'
const WAL = 'test/postgres/wal.test.ts'
const RECORDS = 'src/postgres/wal/record-reader.ts'
const SEGMENT = 'src/postgres/wal/page-reader.ts'
const SESSIONS = 'test/postgres/backup-session.test.ts'
const CONNECT = 'test/postgres/connect.test.ts'
const PLAN = 'src/postgres/cluster/connection-plan.test.ts'
const TLS_PLAN = 'src/postgres/cluster/tls-plan.ts'
const SESSION = 'src/postgres/cluster/session.ts'
const REPLY = 'src/postgres/replication/copy-stream.ts'
const SILENCE = 'test/postgres/silent-server.test.ts'

/** The guards of the PostgreSQL room. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'what cannot be read stops a backup before anything is sent',
    file: WALKER,
    find: '  walk.refusals.assertNone(realRoot)\n',
    replace: '',
    test: WALK,
  },
  {
    guard: 'a name that is not UTF-8 is noticed',
    file: 'src/postgres/walk/list-names.ts',
    find: 'else onBadName(bytes)',
    replace: '',
    test: WALK,
  },
  {
    guard: 'names are in the order of their bytes',
    file: 'src/postgres/walk/list-names.ts',
    find: 'if (!names.some(name => SURROGATE.test(name))) return names.sort()',
    replace: 'return names.sort()',
    test: WALK,
  },
  {
    guard: 'a link to a directory is followed once',
    file: WALKER,
    find: 'walk.tablespaces.roots.has(identity) || walk.followed.has(identity)',
    replace: 'walk.tablespaces.roots.has(identity)',
    test: WALK,
  },
  {
    guard: 'a symlinked pg_wal becomes a directory',
    file: WALKER,
    find: 'else if (stats.isSymbolicLink()) keepLeftOutLink(walk, place, name, leftOut.kind)',
    replace: '',
    test: WALK,
  },
  {
    guard: 'a tablespace around the data directory does not hold it again',
    file: WALKER,
    find: 'if (isOtherTree(walk, place, path, stats)) continue\n',
    replace: '',
    test: WALK,
  },
  {
    guard: 'pages with something in them but no upper bound are damaged',
    file: 'src/postgres/page-header.ts',
    find: "return upper === 0 ? 'new' : 'invalid'",
    replace: "return 'invalid'",
    test: PAGES,
  },
  {
    guard: 'pages are left to replay up to the end of the WAL only',
    file: 'src/postgres/page.ts',
    find: '{ startLsn, endLsn }\n  return',
    replace: '{ startLsn, endLsn: LSN_MAX }\n  return',
    test: PAGES,
  },
  {
    guard: 'suspects are read again before they count as damaged',
    file: 'src/postgres/page.ts',
    find: 'scan(offset, 1, block, found)',
    replace: 'found.push(block)',
    test: PAGES,
  },
  {
    guard: 'the checksum of a record is compared',
    file: RECORDS,
    find: 'if (endCrc32c(crc) !== view.getUint32(at + CRC_AT, true)) {',
    replace: 'if (view.getUint32(at + CRC_AT, true) < 0) {',
    test: WAL,
  },
  {
    guard: 'a record that was cut off and overwritten does not end the WAL',
    file: RECORDS,
    find: '(header.flags & FLAG_OVERWRITE_CONTRECORD) !== 0',
    replace: 'header.flags < 0',
    test: WAL,
  },
  {
    guard: 'after a switch the rest of the segment is ignored',
    file: RECORDS,
    find: '    this.#isSwitched = true\n',
    replace: '',
    test: WAL,
  },
  {
    guard: 'the pages of a segment are where its name says',
    file: SEGMENT,
    find: 'if (header.pageLsn !== expected) {',
    replace: 'if (header.pageLsn < 0n) {',
    test: WAL,
  },
  {
    guard: 'a page of zeros before written ones is a fault',
    file: SEGMENT,
    find: 'if (this.#zeroAt !== undefined) {',
    replace: 'if (this.#zeroAt === 0) {',
    test: WAL,
  },
  {
    guard: 'the checksum of pg_control is compared',
    file: 'src/postgres/control-file.ts',
    find: 'if (crc32c(bytes.subarray(0, crcOffset)) !== view.getUint32(crcOffset, true)) {',
    replace: 'if (crcOffset < 0) {',
    test: 'test/postgres/files.test.ts',
  },
  {
    guard: 'two backups of one cluster into one repository exclude each other',
    file: 'src/postgres/cluster/backup-session.ts',
    find: '    await takeBackupLock(session, options.repositoryIdentity)\n',
    replace: '',
    test: SESSIONS,
  },
  {
    guard: 'they do so from different databases, too',
    file: 'src/postgres/cluster/backup-lock.ts',
    find: 'if (isTaken && others.length === 0) return',
    replace: 'if (isTaken) return',
    test: SESSIONS,
  },
  {
    guard: 'a backup fails when its session is lost',
    file: 'src/postgres/cluster/backup-session.ts',
    find: "session.lost.addEventListener('abort', () => this.#fail(session.lost.reason), { once: true })",
    replace: '',
    test: SESSIONS,
  },
  {
    guard: 'a certificate is verified',
    file: SESSION,
    find: 'rejectUnauthorized: plan.isVerified',
    replace: 'rejectUnauthorized: false',
    test: CONNECT,
  },
  {
    guard: 'the name in a certificate is verified',
    file: SESSION,
    find: 'plan.isNameVerified ? checkServerIdentity(target.host, certificate) : undefined',
    replace: 'undefined',
    test: CONNECT,
  },
  {
    guard: 'revoked certificates are refused',
    file: SESSION,
    find: '...(plan.revocations === undefined ? {} : { crl: plan.revocations }),',
    replace: '',
    test: CONNECT,
  },
  {
    guard: 'verification without a root certificate is refused',
    file: TLS_PLAN,
    find: 'if (text === undefined && isNeeded) {',
    replace: 'if (text === undefined && path === undefined) {',
    test: PLAN,
  },
  {
    guard: 'a key that others may read is refused',
    file: TLS_PLAN,
    find: 'if ((stats.mode & forbidden) !== 0) {',
    replace: 'if (stats.mode < 0) {',
    test: PLAN,
  },
  {
    guard: 'a password file that others may read is ignored',
    file: 'src/postgres/cluster/password-file.ts',
    find: 'if ((stats.mode & OTHERS_MAY) !== 0) {',
    replace: 'if (stats.mode < 0) {',
    test: PLAN,
  },
  {
    guard: 'demands that cannot be met are refused',
    file: TLS_PLAN,
    find: '  refuseUnkeptPromises(values)\n',
    replace: '',
    test: PLAN,
  },
  {
    guard: 'a server that falls silent while it sends is given up',
    file: REPLY,
    find: '        silence = this.#silence\n',
    replace: '',
    test: SILENCE,
    title: '17: a server that falls silent',
  },
  {
    guard: 'the checkpoint before a base backup is no silence',
    file: REPLY,
    find: 'let silence: DeadlineOptions | undefined',
    replace: 'let silence = this.#silence',
    test: SILENCE,
    title: '17: a long checkpoint',
  },
  {
    guard: 'everything that stands against a backup is told at once',
    file: 'src/postgres/walk/readable.ts',
    find: 'const found = [...this.#aboutUnreadable(), ...this.#aboutBadNames()]',
    replace: 'const found = [...this.#aboutUnreadable(), ...this.#aboutBadNames()].slice(0, 1)',
    test: 'src/postgres/walk/readable.test.ts',
  },
]
