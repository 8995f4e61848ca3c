import { afterAll, beforeAll, expect, test } from 'bun:test'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer, type Server as TcpServer } from 'node:net'
import { join } from 'node:path'
import { createLogger, silentLogger } from '../../src/kit/log.ts'
import type { Cluster } from '../../src/postgres/cluster/cluster.ts'
import { connectCluster } from '../../src/postgres/cluster/connect.ts'
import { freePort, type Cluster as Server, startCluster } from '../support/cluster.ts'
import { describeUnless, missingTool } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { Certificates } from './certificates.ts'
import { startPair } from './standby.ts'

const never = new AbortController().signal
const connect = (settings: Record<string, string>): Promise<Cluster> =>
  connectCluster(settings, { log: silentLogger, signal: never })

/** Connects, tells whether the session is encrypted and by which TLS, and closes. */
async function encryptionOf(settings: Record<string, string>): Promise<string> {
  await using cluster = await connect(settings)
  const [row] = await cluster.query(
    "select coalesce(version, 'plain') as version from pg_stat_ssl where pid = pg_backend_pid()",
  )
  return row!['version']!
}

function useHba(server: Server, ...lines: string[]): Promise<void> {
  writeFileSync(join(server.dataDirectory, 'pg_hba.conf'), `${lines.join('\n')}\n`)
  return server.reload()
}

describeUnless(missingTool('openssl'), 'TLS to a real server', () => {
  let server: Server
  let folder: TempDirectory
  let certificates: Certificates
  let base: Record<string, string>

  beforeAll(async () => {
    folder = tempDirectory('tls')
    certificates = new Certificates(folder.path)
    for (const name of ['root', 'stranger']) certificates.authority(name)
    certificates.issue('server', 'root', '/CN=ignored', 'DNS:db.example,DNS:*.wild.example,IP:127.0.0.1')
    certificates.issue('client', 'root', '/CN=postgres')
    certificates.issue('locked', 'root', '/CN=postgres', undefined, 'sesame')
    certificates.revoke('root', 'server')
    server = await startCluster({
      major: 17,
      isStarted: false,
      settings: { ssl: true, ssl_ca_file: 'root.crt' },
    })
    for (const name of ['server.crt', 'server.key', 'root.crt']) certificates.give(server, name)
    await server.start()
    base = {
      ...server.environment,
      PGHOST: 'db.example',
      PGHOSTADDR: '127.0.0.1',
      PGSSLROOTCERT: certificates.path('root.crt'),
    }
  }, 60_000)
  afterAll(async () => {
    await server.remove()
    folder.remove()
  })
  const local = ['local all all trust', 'host all all 127.0.0.1/32 trust']

  test('sslmode decides whether a session is encrypted', async () => {
    await useHba(server, ...local)
    const bare = { ...base, PGSSLROOTCERT: join(folder.path, 'none.crt') }
    const found: Record<string, string> = {}
    for (const mode of ['disable', 'allow', 'prefer', 'require']) {
      found[mode] = await encryptionOf({ ...bare, PGSSLMODE: mode })
    }
    expect(found).toEqual({ disable: 'plain', allow: 'plain', prefer: 'TLSv1.3', require: 'TLSv1.3' })
    expect(await encryptionOf({ ...bare, PGSSLMODE: 'require', PGSSLMAXPROTOCOLVERSION: 'TLSv1.2' })).toBe(
      'TLSv1.2',
    )
    expect(await encryptionOf({ ...bare, PGSSLMODE: 'require', PGSSLNEGOTIATION: 'direct' })).toBe('TLSv1.3')
  }, 30_000)

  test('allow and prefer try the other way when the server refuses the first', async () => {
    await useHba(server, 'local all all trust', 'hostssl all all 127.0.0.1/32 trust')
    expect(await encryptionOf({ ...base, PGSSLMODE: 'allow' })).toBe('TLSv1.3')
    await expect(connect({ ...base, PGSSLMODE: 'disable' })).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
    })
    await useHba(server, 'local all all trust', 'hostnossl all all 127.0.0.1/32 trust')
    expect(await encryptionOf({ ...base, PGSSLMODE: 'prefer' })).toBe('plain')
    await expect(connect({ ...base, PGSSLMODE: 'require' })).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
    })
    await useHba(server, ...local)
  }, 30_000)

  test('verify-full accepts the right name and no other, verify-ca any name of the right authority', async () => {
    const full = (host: string): Promise<string> =>
      encryptionOf({ ...base, PGHOST: host, PGSSLMODE: 'verify-full' })
    for (const host of ['db.example', 'one.wild.example', '127.0.0.1'])
      expect(await full(host)).toBe('TLSv1.3')
    for (const host of ['other.example', 'a.b.wild.example', 'ignored']) {
      await expect(full(host)).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' })
    }
    expect(await encryptionOf({ ...base, PGHOST: 'other.example', PGSSLMODE: 'verify-ca' })).toBe('TLSv1.3')
    const stranger = { ...base, PGSSLROOTCERT: certificates.path('stranger.crt') }
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      await expect(connect({ ...stranger, PGSSLMODE: mode })).rejects.toMatchObject({
        code: 'CLUSTER_UNREACHABLE',
      })
    }
    const revoked = { ...base, PGSSLMODE: 'verify-ca', PGSSLCRL: certificates.path('root.crl') }
    await expect(connect(revoked)).rejects.toThrow('revoked')
  }, 30_000)

  test('a server that wants a client certificate gets it, with a passphrase where the key has one', async () => {
    await useHba(server, 'local all all trust', 'hostssl all all 127.0.0.1/32 cert')
    const wanted = { ...base, PGSSLMODE: 'verify-full' }
    await expect(connect(wanted)).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' })
    const withKey = (name: string): Record<string, string> => {
      chmodSync(certificates.path(`${name}.key`), 0o600)
      return {
        ...wanted,
        PGSSLCERT: certificates.path(`${name}.crt`),
        PGSSLKEY: certificates.path(`${name}.key`),
      }
    }
    expect(await encryptionOf(withKey('client'))).toBe('TLSv1.3')
    expect(await encryptionOf({ ...withKey('locked'), PGSSLPASSWORD: 'sesame' })).toBe('TLSv1.3')
    await expect(connect({ ...withKey('locked'), PGSSLPASSWORD: 'wrong' })).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
    })
    chmodSync(certificates.path('client.key'), 0o644)
    const open = {
      ...wanted,
      PGSSLCERT: certificates.path('client.crt'),
      PGSSLKEY: certificates.path('client.key'),
    }
    await expect(connect(open)).rejects.toMatchObject({ code: 'FILE_ACCESS' })
    await useHba(server, ...local)
  }, 30_000)
})

test('a server without TLS is refused when TLS is required, and taken in plain text when it is preferred', async () => {
  await using server = await startCluster({ major: 13 })
  const settings = { ...server.environment }
  expect(await encryptionOf(settings)).toBe('plain')
  await expect(connect({ ...settings, PGSSLMODE: 'require' })).rejects.toThrow('does not support SSL')
}, 30_000)

test('passwords come from the environment, the password file and the service file', async () => {
  await using server = await startCluster({ major: 16 })
  using folder = tempDirectory('password')
  await server.query("create role backup login password 'se:cret'")
  await useHba(
    server,
    'local all postgres trust',
    'local all all scram-sha-256',
    'host all postgres 127.0.0.1/32 trust',
    'host all all 127.0.0.1/32 scram-sha-256',
  )
  const base: Record<string, string> = {
    ...server.environment,
    PGUSER: 'backup',
    PGPASSFILE: folder.at('none'),
  }
  await using _environment = await connect({ ...base, PGPASSWORD: 'se:cret' })
  await expect(connect({ ...base, PGPASSWORD: 'wrong' })).rejects.toMatchObject({
    code: 'CLUSTER_UNREACHABLE',
    hint: expect.stringContaining('pg_hba.conf'),
  })
  await expect(connect(base)).rejects.toThrow('no password supplied')
  writeFileSync(folder.at('pass'), `127.0.0.1:${server.port}:*:backup:se\\:cret\n`, { mode: 0o600 })
  await using _file = await connect({ ...base, PGPASSFILE: folder.at('pass') })
  writeFileSync(
    folder.at('service'),
    `[s]\nhost=127.0.0.1\nport=${server.port}\nuser=backup\npassword=se:cret\ndbname=postgres\n`,
  )
  await using service = await connect({ PGSERVICE: 's', PGSERVICEFILE: folder.at('service') })
  expect(await service.query('select current_user as name')).toEqual([{ name: 'backup' }])
  // the socket of the server, by its directory; and the role has no database of its own
  await using socket = await connect({
    PGHOST: server.directory,
    PGPORT: String(server.port),
    PGUSER: 'backup',
    PGPASSWORD: 'se:cret',
  })
  expect(socket.database).toBe('postgres')
  await expect(connect({ ...base, PGPASSWORD: 'se:cret', PGDATABASE: 'nosuch' })).rejects.toThrow('nosuch')
}, 30_000)

test('options and the application name reach the server', async () => {
  await using server = await startCluster({ major: 18 })
  await using cluster = await connect({
    ...server.environment,
    PGOPTIONS: '-c work_mem=7MB -c search_path=x',
  })
  expect(
    await cluster.query(
      "select current_setting('work_mem') as work_mem, current_setting('application_name') as name",
    ),
  ).toEqual([{ work_mem: '7MB', name: 'wal-g' }])
  await using named = await connect({ ...server.environment, PGAPPNAME: 'nightly' })
  expect(await named.query("select current_setting('application_name') as name")).toEqual([
    { name: 'nightly' },
  ])
}, 30_000)

test('hosts are tried in turn; every one that failed is named with its reason, and none is made up', async () => {
  await using server = await startCluster({ major: 15 })
  const deaf = await freePort()
  const settings: Record<string, string> = {
    ...server.environment,
    PGHOST: `127.0.0.1,no-such-host.invalid,127.0.0.1`,
    PGPORT: `${deaf},5432,${server.port}`,
  }
  await using cluster = await connect(settings)
  expect(cluster.address).toBe(`127.0.0.1:${server.port}`)
  const failure = connect({
    ...settings,
    PGHOST: '127.0.0.1,no-such-host.invalid,/nonexistent',
    PGPORT: `${deaf},5432,5433`,
  })
  const message = await failure.then(
    () => '',
    error => String(error.message),
  )
  for (const place of [`127.0.0.1:${deaf}`, 'no-such-host.invalid:5432', '/nonexistent:5433'])
    expect(message).toContain(place)
  expect(message).not.toContain('localhost')
}, 30_000)

test('the hint names what to look at', async () => {
  await using server = await startCluster({ major: 18 })
  for (const [name, value, hint] of [
    ['PGDATABASE', 'nosuch', 'PGDATABASE'],
    ['PGOPTIONS', '-c nosuch=1', 'PGOPTIONS'],
    ['PGUSER', 'nosuch', 'PGUSER'],
    ['PGSSLMODE', 'require', 'PGSSLMODE'],
    ['PGTARGETSESSIONATTRS', 'standby', 'PGTARGETSESSIONATTRS'],
    ['PGPORT', '1', 'PGPORT'],
  ] as const) {
    const failure = connect({ ...server.environment, [name]: value })
    await expect(failure).rejects.toMatchObject({ hint: expect.stringContaining(hint) })
  }
}, 30_000)

test('a server that accepts and says nothing is given up in time, and the next host is tried', async () => {
  await using server = await startCluster({ major: 14 })
  const mute: TcpServer = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => mute.once('listening', resolve))
  const { port } = mute.address() as { port: number }
  try {
    const settings: Record<string, string> = {
      ...server.environment,
      PGHOST: '127.0.0.1,127.0.0.1',
      PGPORT: `${port},${server.port}`,
      PGCONNECT_TIMEOUT: '2',
    }
    await using cluster = await connect(settings)
    expect(cluster.address).toBe(`127.0.0.1:${server.port}`)
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 50)
    const aborted = connectCluster(
      { ...settings, PGCONNECT_TIMEOUT: '20' },
      { log: silentLogger, signal: controller.signal },
    )
    await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED' })
  } finally {
    mute.close()
  }
}, 30_000)

test('target_session_attrs chooses between a primary and a standby', async () => {
  await using pair = await startPair(16)
  const both: Record<string, string> = {
    ...pair.primary.environment,
    PGHOST: '127.0.0.1,127.0.0.1',
    PGPORT: `${pair.primary.port},${pair.standby.port}`,
  }
  const chosen = async (attributes: string, settings = both): Promise<number> => {
    await using cluster = await connect({ ...settings, PGTARGETSESSIONATTRS: attributes })
    return Number(cluster.address.split(':')[1])
  }
  expect(await chosen('any')).toBe(pair.primary.port)
  for (const attributes of ['standby', 'prefer-standby', 'read-only']) {
    expect(await chosen(attributes)).toBe(pair.standby.port)
  }
  const turned = { ...both, PGPORT: `${pair.standby.port},${pair.primary.port}` }
  for (const attributes of ['primary', 'read-write'])
    expect(await chosen(attributes, turned)).toBe(pair.primary.port)
  const onlyPrimary = { ...pair.primary.environment }
  expect(await chosen('prefer-standby', onlyPrimary)).toBe(pair.primary.port)
  await expect(chosen('standby', onlyPrimary)).rejects.toThrow('not a standby')
}, 60_000)

test('a server that is only starting up does not end the search', async () => {
  const warnings: string[] = []
  const log = createLogger((_level, message) => warnings.push(message))
  await using server = await startCluster({ major: 18 })
  const starting = createServer(socket => {
    socket.once('data', () => {
      const fields = 'SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0'
      const message = Buffer.alloc(5 + fields.length)
      message.write('E')
      message.writeInt32BE(4 + fields.length, 1)
      message.write(fields, 5, 'latin1')
      socket.end(message)
    })
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => starting.once('listening', resolve))
  const { port } = starting.address() as { port: number }
  try {
    const settings = {
      ...server.environment,
      PGHOST: '127.0.0.1,127.0.0.1',
      PGPORT: `${port},${server.port}`,
      PGSSLMODE: 'disable',
    }
    await using cluster = await connectCluster(settings, { log, signal: never })
    expect(cluster.address).toBe(`127.0.0.1:${server.port}`)
    expect(warnings).toEqual([])
  } finally {
    starting.close()
  }
}, 30_000)
