import { expect, test } from 'bun:test'
import { once } from 'node:events'
import net from 'node:net'
import { createLogger } from '../../../kit/log.ts'
import { lockPrimary } from './primary-lock.ts'

test('a primary that accepts and says nothing is an error in time, and an interruption does not wait for it', async () => {
  const server = net.createServer().listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    const abort = new AbortController()
    const ask = (timeout: string): Promise<AsyncDisposable> =>
      lockPrimary({
        repositoryIdentity: 'file:/repository',
        systemIdentifier: 1n,
        primary: { PGHOST: '127.0.0.1', PGPORT: String(port), PGUSER: 'nobody', PGCONNECT_TIMEOUT: timeout },
        log: createLogger(() => {}),
        signal: abort.signal,
      })
    await expect(ask('2')).rejects.toThrow(/^the primary \(WALG_PRIMARY_CONNINFO\): .*timeout expired/)
    const asking = ask('0')
    server.once('connection', () => abort.abort())
    await expect(asking).rejects.toMatchObject({ code: 'CANCELLED' })
  } finally {
    server.close()
  }
}, 30_000)
