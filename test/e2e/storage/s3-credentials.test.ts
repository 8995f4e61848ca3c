import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { patternBytes } from '../../contract/storage-support.ts'
import { type CredentialService, startCredentialService } from '../../doubles/aws-credentials.ts'
import { type S3Double, startS3Double } from '../../doubles/s3-server.ts'
import type { Finished } from '../../support/process.ts'
import { openS3 } from '../../support/servers/s3.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

describe('keys for S3 are found as every AWS program finds them:', () => {
  const place = tempDirectory('s3-keys')
  const history = place.at('00000002.history')
  let double: S3Double
  let service: CredentialService
  beforeAll(async () => {
    double = await startS3Double()
    service = await startCredentialService(count => {
      const keys = {
        accessKeyId: `ASIA${count}`,
        secretAccessKey: `issued-secret-${count}`,
        token: `issued-token-${count}`,
        endsMs: Date.now() + 3_600_000,
      }
      double.keys.set(keys.accessKeyId, { secret: keys.secretAccessKey, token: keys.token })
      return keys
    })
    writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
  })
  afterAll(async () => {
    await service.close()
    await double.close()
    place.remove()
  })

  const push = (env: Record<string, string>, isStatic = false): Promise<Finished> => {
    double.objects.clear()
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...settings } = double.settings()
    const keys = isStatic
      ? { AWS_ACCESS_KEY_ID: AWS_ACCESS_KEY_ID!, AWS_SECRET_ACCESS_KEY: AWS_SECRET_ACCESS_KEY! }
      : {}
    return runWalg(['wal-push', history], { env: { ...settings, ...keys, ...env } })
  }
  const isStored = (): boolean => double.objects.has('main/wal_005/00000002.history.lz4')
  const usedKey = (): string =>
    /Credential=(\w+)/.exec(double.requests.at(-1)?.headers['authorization'] ?? '')?.[1] ?? ''

  test('a role that is assumed with static keys', async () => {
    const env = { ...service.environment.sts, AWS_ROLE_ARN: 'arn:aws:iam::1:role/backups' }
    const { exit, stderr } = await push(env, true)
    expect([exit, stderr]).toEqual([0, expect.not.stringContaining('ERROR')])
    expect(isStored()).toBe(true)
    expect(usedKey()).toBe(service.issued.at(-1)!.accessKeyId)
  })

  test('a role by a web identity (IRSA)', async () => {
    writeFileSync(place.at('token'), 'web-token')
    const env = {
      ...service.environment.sts,
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/backups',
      AWS_WEB_IDENTITY_TOKEN_FILE: place.at('token'),
    }
    expect((await push(env)).exit).toBe(0)
    expect(usedKey()).toBe(service.issued.at(-1)!.accessKeyId)
  })

  test('the metadata of a container', async () => {
    expect((await push(service.environment.container)).exit).toBe(0)
    expect(usedKey()).toBe(service.issued.at(-1)!.accessKeyId)
  })

  test('the metadata of an instance, version 2', async () => {
    expect((await push(service.environment.instance)).exit).toBe(0)
    expect(usedKey()).toBe(service.issued.at(-1)!.accessKeyId)
    expect(service.requests).toContain('PUT /latest/api/token')
  })

  test('the token of a Yandex Cloud machine, which goes into a header of its own', async () => {
    expect((await push({ ...service.environment.instance, S3_USE_YC_SESSION_TOKEN: 'true' })).exit).toBe(0)
    expect(double.requests.at(-1)?.headers['x-yacloud-subjecttoken']).toBe(service.issued.at(-1)!.token)
  })

  test('a profile, and a role that a profile takes', async () => {
    mkdirSync(place.at('aws'))
    writeFileSync(
      place.at('aws/credentials'),
      `[base]\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret-of-the-tests\n[taken]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\n`,
    )
    const files = {
      AWS_SHARED_CREDENTIALS_FILE: place.at('aws/credentials'),
      AWS_CONFIG_FILE: place.at('aws/none'),
    }
    expect((await push({ ...files, AWS_PROFILE: 'base' })).exit).toBe(0)
    expect(usedKey()).toBe('AKIDTEST')
    expect((await push({ ...files, ...service.environment.sts, AWS_PROFILE: 'taken' })).exit).toBe(0)
    expect(usedKey()).toBe(service.issued.at(-1)!.accessKeyId)
  })

  test('a program (credential_process)', async () => {
    writeFileSync(
      place.at('keys.sh'),
      `#!/bin/sh\necho '{"Version":1,"AccessKeyId":"AKIDTEST","SecretAccessKey":"secret-of-the-tests"}'\n`,
    )
    chmodSync(place.at('keys.sh'), 0o755)
    writeFileSync(place.at('config'), `[profile program]\ncredential_process = ${place.at('keys.sh')}\n`)
    const env = {
      AWS_CONFIG_FILE: place.at('config'),
      AWS_SHARED_CREDENTIALS_FILE: place.at('no-such-file'),
      AWS_PROFILE: 'program',
    }
    expect((await push(env)).exit).toBe(0)
  })

  test('none at all is an error that says what to set', async () => {
    const { exit, stderr } = await push({ AWS_EC2_METADATA_DISABLED: 'true' })
    expect(exit).toBe(1)
    expect(stderr).toContain('no credentials for S3')
    expect(stderr).toContain('AWS_PROFILE')
  })

  test('a token that ends in the middle of an upload is replaced, and nothing is lost', async () => {
    const saved = { ...process.env }
    Object.assign(process.env, service.environment.container)
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...settings } = double.settings()
    const storage = await openS3(settings, { description: { partSizeBytes: 100_000 } })
    try {
      const content = patternBytes(1_000_000)
      const before = service.issued.length
      let parts = 0
      double.intercept = ({ query }) => {
        if (query.has('partNumber') && ++parts === 4) {
          const { accessKeyId } = service.issued.at(-1)!
          double.keys.set(accessKeyId, { secret: 'gone', token: 'gone' })
        }
        return undefined
      }
      const sink = await storage.openSink('object')
      await sink.write(content)
      await sink.end()
      expect(double.objects.get('main/object')?.body.equals(content)).toBe(true)
      expect(service.issued.length - before).toBe(2)
    } finally {
      double.intercept = undefined
      await storage.close()
      for (const name of Object.keys(service.environment.container)) delete process.env[name]
      Object.assign(process.env, saved)
    }
  })
})
