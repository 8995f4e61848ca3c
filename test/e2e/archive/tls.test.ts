import { expect } from 'bun:test'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Certificates } from '../../postgres/certificates.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { missingTool, testUnless } from '../../support/skip.ts'
import { runWalg } from '../../support/walg.ts'
import { HBA, startArchivingCluster, walg } from '../archiving-cluster.ts'

testUnless(
  missingPostgres(18) ?? missingTool('openssl'),
  'backup-push speaks TLS: verify-full with a client certificate, and not with a server of another name',
  async () => {
    await using source = await startArchivingCluster({ major: 18 })
    const { cluster, place } = source
    const certificates = new Certificates(place.path)
    certificates.authority('ca')
    certificates.issue('server', 'ca', '/CN=localhost', 'DNS:localhost')
    certificates.issue('client', 'ca', '/CN=wal_g')
    for (const name of ['server.crt', 'server.key', 'ca.crt']) certificates.give(cluster, name)
    for (const name of ['client.crt', 'client.key', 'ca.crt'])
      giveToClusterUser(certificates.path(name), 0o600)
    const onlyTls = HBA.filter(line => !line.startsWith('host all all'))
    onlyTls.push('hostssl all all 127.0.0.1/32 cert')
    writeFileSync(path.join(cluster.dataDirectory, 'pg_hba.conf'), `${onlyTls.join('\n')}\n`)
    cluster.configure({ ssl: true, ssl_ca_file: 'ca.crt', log_connections: true })
    await cluster.stop()
    await cluster.start()

    const env = {
      ...source.connection(),
      PGHOST: 'localhost',
      PGHOSTADDR: '127.0.0.1',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: certificates.path('ca.crt'),
      PGSSLCERT: certificates.path('client.crt'),
      PGSSLKEY: certificates.path('client.key'),
    }
    await walg(['backup-push', cluster.dataDirectory], env)
    expect(cluster.log()).toMatch(/connection authorized: user=wal_g .*SSL enabled/)

    const args = ['backup-push', cluster.dataDirectory]
    const misnamed = await runWalg(args, { env: { ...env, PGHOST: 'db.example' }, asClusterUser: true })
    expect({ exit: misnamed.exit, stderr: misnamed.stderr }).toEqual({
      exit: 1,
      stderr: expect.stringContaining('db.example'),
    })
    const plain = { ...env, PGSSLMODE: 'disable' }
    expect((await runWalg(args, { env: plain, asClusterUser: true })).exit).toBe(1)
  },
  60_000,
)
