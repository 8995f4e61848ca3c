import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { WalgError } from '../../kit/errors.ts'
import { createLogger, silentLogger } from '../../kit/log.ts'
import { type ConnectionPlan, planConnections } from './connection-plan.ts'
import { type PlanSources, parseService } from './connection-settings.ts'
import { findPassword } from './password-file.ts'

const seed = Number(process.env['SEED'] ?? 20261122)

interface File {
  readonly text: string
  readonly mode?: number
  readonly uid?: number
}

function machine(files: Record<string, File> = {}): PlanSources {
  return {
    userName: 'backup',
    homeDirectory: '/home/backup',
    userId: 1000,
    readText: path => files[path]?.text,
    stat: path => {
      const file = files[path]
      return file === undefined
        ? undefined
        : { isFile: true, mode: file.mode ?? 0o600, uid: file.uid ?? 1000 }
    },
  }
}

const plan = (settings: Record<string, string>, files: Record<string, File> = {}): ConnectionPlan =>
  planConnections(settings, machine(files), silentLogger)
const places = (settings: Record<string, string>): string[] =>
  plan(settings).targets.map(target => `${target.host}|${target.hostAddress ?? ''}|${target.port}`)

test('a home that this user may not look into has no files for it; files that are named are another matter', () => {
  const refuse = (path: string): never => {
    throw new WalgError('FILE_ACCESS', `unable to read "${path}": permission denied`)
  }
  const foreign = { ...machine(), readText: refuse, stat: refuse }
  const planned = (settings: Record<string, string>) => planConnections(settings, foreign, silentLogger)
  expect(planned({}).tls).toMatchObject({ mode: 'prefer', isVerified: false, certificate: undefined })
  expect(() => planned({ PGSERVICE: 'main' })).toThrow('definition of service "main" not found')
  expect(() => planned({ PGSSLMODE: 'verify-full' })).toThrow('root.crt')
  for (const name of ['PGPASSFILE', 'PGSSLROOTCERT', 'PGSSLCERT', 'PGSSLCRL'])
    expect(() => planned({ [name]: '/named' })).toThrow('permission denied')
  expect(() => planned({ PGSERVICE: 'main', PGSERVICEFILE: '/named' })).toThrow('permission denied')
})

test('without PGUSER the role is the user of the system, who must have a name', () => {
  const nameless = { ...machine(), userName: undefined }
  const planned = (settings: Record<string, string>) => planConnections(settings, nameless, silentLogger)
  expect(() => planned({ PGDATABASE: 'postgres' })).toThrow('local user with ID 1000 does not exist')
  expect(planned({ PGUSER: 'role' })).toMatchObject({ user: 'role', database: 'role' })
  const busy = {
    ...machine(),
    get userName(): string {
      throw new Error('asked although the role is named')
    },
  }
  expect(planConnections({ PGUSER: 'role' }, busy, silentLogger).user).toBe('role')
})

describe('where to connect', () => {
  test('without a host it is the default sockets, never localhost by itself', () => {
    expect(places({})).toEqual(['/var/run/postgresql||5432', '/tmp||5432'])
    expect(plan({})).toMatchObject({
      user: 'backup',
      database: 'backup',
      isDatabaseDefault: true,
      applicationName: 'wal-g',
      attributes: 'any',
      connectTimeoutMs: 30_000,
    })
  })

  test('hosts, addresses and ports are lists that match, or one port for all', () => {
    expect(places({ PGHOST: 'a,/run/x,b', PGPORT: '1,2,3' })).toEqual(['a||1', '/run/x||2', 'b||3'])
    expect(places({ PGHOST: 'a, b', PGPORT: '6432' })).toEqual(['a||6432', 'b||6432'])
    expect(places({ PGHOST: 'a,b', PGPORT: '1,' })).toEqual(['a||1', 'b||5432'])
    expect(places({ PGHOST: 'a,b', PGHOSTADDR: '10.0.0.1,::1' })).toEqual(['a|10.0.0.1|5432', 'b|::1|5432'])
    expect(places({ PGHOSTADDR: '10.0.0.1' })).toEqual(['10.0.0.1|10.0.0.1|5432'])
    expect(() => plan({ PGHOST: 'a,b,c', PGPORT: '1,2' })).toThrow('PGPORT has 2 entries for 3 hosts')
    expect(() => plan({ PGHOST: 'a,b', PGHOSTADDR: '10.0.0.1' })).toThrow('as many')
    expect(() => plan({ PGHOSTADDR: 'db1' })).toThrow('not a numeric address')
  })

  test('values that mean nothing are errors that name the setting', () => {
    for (const settings of [
      { PGPORT: '0' },
      { PGPORT: '70000' },
      { PGPORT: 'x' },
      { PGSSLMODE: 'on' },
      { PGTARGETSESSIONATTRS: 'master' },
      { PGCONNECT_TIMEOUT: 'soon' },
      { PGLOADBALANCEHOSTS: 'yes' },
      { PGHOST: '@abstract' },
    ]) {
      const name = Object.keys(settings)[0]!
      expect(() => plan(settings)).toThrow(name)
    }
  })

  test('what a setting demands and this program cannot prove is an error, not a weaker connection', () => {
    for (const settings of [
      { PGCHANNELBINDING: 'require' },
      { PGREQUIREAUTH: 'scram-sha-256' },
      { PGREQUIREPEER: 'postgres' },
      { PGGSSENCMODE: 'require' },
      { PGSSLCRLDIR: '/crls' },
    ]) {
      expect(() => plan(settings)).toThrow('not supported')
    }
    expect(() => plan({ PGCHANNELBINDING: 'prefer', PGGSSENCMODE: 'disable' })).not.toThrow()
  })
})

describe('TLS', () => {
  const root = { '/home/backup/.postgresql/root.crt': { text: 'ROOT' } }

  test('is preferred without proof by default, and a root certificate that is there is used', () => {
    expect(plan({}).tls).toMatchObject({ mode: 'prefer', isVerified: false, isNameVerified: false })
    expect(plan({ PGSSLMODE: 'require' }, root).tls).toMatchObject({
      isVerified: true,
      isNameVerified: false,
    })
    expect(plan({ PGSSLMODE: 'verify-full' }, root).tls).toMatchObject({
      roots: 'ROOT',
      isNameVerified: true,
    })
    expect(plan({ PGSSLMODE: 'disable' }, root).tls.roots).toBeUndefined()
  })

  test('verify-ca and verify-full without a root certificate are refused', () => {
    for (const mode of ['verify-ca', 'verify-full']) {
      expect(() => plan({ PGSSLMODE: mode })).toThrow('/home/backup/.postgresql/root.crt')
      expect(() => plan({ PGSSLMODE: mode, PGSSLROOTCERT: '/no/where' })).toThrow('/no/where')
    }
  })

  test("the system's certificates demand verify-full", () => {
    const system = { '/etc/ssl/certs/ca-certificates.crt': { text: 'SYSTEM' } }
    expect(plan({ PGSSLROOTCERT: 'system' }, system).tls).toMatchObject({
      mode: 'verify-full',
      roots: 'SYSTEM',
    })
    expect(() => plan({ PGSSLROOTCERT: 'system', PGSSLMODE: 'require' }, system)).toThrow('verify-full')
  })

  test('a client key that others may read is refused; one of root may be readable by a group', () => {
    const files = (mode: number, uid: number): Record<string, File> => ({
      '/c.crt': { text: 'CERT' },
      '/c.key': { text: 'KEY', mode, uid },
    })
    const settings = { PGSSLCERT: '/c.crt', PGSSLKEY: '/c.key', PGSSLPASSWORD: 'open' }
    expect(plan(settings, files(0o600, 1000)).tls).toMatchObject({
      certificate: 'CERT',
      key: 'KEY',
      passphrase: 'open',
    })
    expect(plan(settings, files(0o640, 0)).tls.key).toBe('KEY')
    expect(() => plan(settings, files(0o640, 1000))).toThrow('group or world access')
    expect(() => plan(settings, files(0o644, 0))).toThrow('group or world access')
    expect(() => plan({ PGSSLCERT: '/c.crt' }, files(0o600, 1000))).toThrow('private key')
    expect(() => plan({ PGSSLCERT: '/no.crt' })).toThrow('/no.crt')
    for (const head of ['-----BEGIN ENCRYPTED PRIVATE KEY-----', 'Proc-Type: 4,ENCRYPTED']) {
      const sealed = { ...files(0o600, 1000), '/c.key': { text: `${head}\nabc`, mode: 0o600, uid: 1000 } }
      expect(plan(settings, sealed).tls.passphrase).toBe('open')
      expect(() => plan({ ...settings, PGSSLPASSWORD: '' }, sealed)).toThrow(
        'is encrypted, and nothing opens it',
      )
    }
  })
})

describe('service files', () => {
  const text = `# comment
[main]
host=db1
port=6000
user = alice
keepalives=1

[other]
host=db2
dbname=x
`
  test('go before the environment, as in libpq', () => {
    const files = { '/home/backup/.pg_service.conf': { text } }
    const found = plan({ PGSERVICE: 'main', PGHOST: 'elsewhere', PGDATABASE: 'kept' }, files)
    expect(found).toMatchObject({ user: 'alice', database: 'kept' })
    expect(found.targets).toMatchObject([{ host: 'db1', port: 6000 }])
    expect(plan({ PGSERVICE: 'other', PGSERVICEFILE: '/s' }, { '/s': { text } }).database).toBe('x')
  })

  test('the system has one as well; an unknown service or keyword is an error', () => {
    const files = { '/etc/postgresql-common/pg_service.conf': { text } }
    expect(plan({ PGSERVICE: 'main' }, files).user).toBe('alice')
    expect(plan({ PGSERVICE: 'main', PGSYSCONFDIR: '/s' }, { '/s/pg_service.conf': { text } }).user).toBe(
      'alice',
    )
    expect(() => plan({ PGSERVICE: 'nosuch' }, files)).toThrow('definition of service "nosuch" not found')
    expect(() => plan({ PGSERVICE: 'main', PGSERVICEFILE: '/none' }, files)).toThrow('"/none" not found')
    expect(() => parseService('[a]\nhots=db1\n', 'a', '/s')).toThrow('line 2')
  })
})

describe('password files', () => {
  const question = { host: 'db:1', port: 5432, database: 'my\\db', user: 'u' }

  test('match field by field, with escapes and wildcards; the first line wins', () => {
    expect(findPassword('# no\n\ndb\\:1:5432:my\\\\db:u:s\\:e\\\\c\n*:*:*:*:late', question)).toBe('s:e\\c')
    expect(findPassword('db1:*:*:*:x\n*:5433:*:*:y\n*:*:*:*:z:ignored', question)).toBe('z')
    expect(findPassword('too:few', question)).toBeUndefined()
  })

  test(`find any password written with escapes (SEED=${seed})`, () => {
    const field = fc.string({ maxLength: 12 }).filter(text => !/[\r\n#]/.test(text) && text !== '*')
    const quote = (text: string): string => text.replace(/[\\:]/g, '\\$&')
    fc.assert(
      fc.property(field, field, field, field, (host, database, user, password) => {
        const line = [quote(host), '5432', quote(database), quote(user), quote(password)].join(':')
        expect(findPassword(`nothing:1:2:3:4\n${line}\n`, { host, port: 5432, database, user })).toBe(
          password,
        )
      }),
      { seed, numRuns: 300 },
    )
  })

  test('are ignored with a warning when others may read them', () => {
    const warnings: string[] = []
    const log = createLogger((_level, message) => warnings.push(message))
    const files = (mode: number): PlanSources =>
      machine({ '/home/backup/.pgpass': { text: 'localhost:*:*:*:secret', mode } })
    expect(planConnections({}, files(0o600), log).targets[0]!.password).toBe('secret')
    expect(planConnections({ PGPASSWORD: 'own' }, files(0o600), log).targets[0]!.password).toBe('own')
    expect(warnings).toEqual([])
    expect(planConnections({}, files(0o640), log).targets[0]!.password).toBeUndefined()
    expect(warnings[0]).toContain('group or world access')
  })
})
