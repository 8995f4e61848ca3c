import { expect, test } from 'bun:test'
import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import fc from 'fast-check'
import { seed } from '../../../../test/support/seeded-random.ts'
import { encodeKey, encodeQuery, signRequest } from './signature.ts'

class Sha256 {
  readonly #hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>
  constructor(key?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      key === undefined ? createHash('sha256') : createHmac('sha256', key as string | NodeJS.ArrayBufferView)
  }
  update(data: string | ArrayBufferView): void {
    this.#hash.update(data as string)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
}

test('a signature is the one that the AWS SDK makes, whatever the key, the query and the headers', async () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/)
  const query = fc.dictionary(fc.stringMatching(/^[a-z-]{1,12}$/), text, { maxKeys: 4 })
  const headers = fc.dictionary(fc.stringMatching(/^x-amz-meta-[a-z]{1,8}$/), value, { maxKeys: 4 })
  const token = fc.option(fc.stringMatching(/^[A-Za-z0-9/+=]{10,40}$/), { nil: undefined })
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 4 }),
      query,
      headers,
      token,
      async (parts, q, h, t) => {
        const path = `/${encodeKey(parts.join('/'))}`
        const keys = {
          accessKeyId: 'AKIDEXAMPLE',
          secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
          ...(t === undefined ? {} : { sessionToken: t }),
        }
        const nowMs = Date.UTC(2026, 10, 26, 12, 34, 56)
        const scope = { region: 'eu-central-1', service: 's3', nowMs }
        const given = { host: 'bucket.s3.eu-central-1.amazonaws.com', ...h }
        const ours = signRequest(
          { method: 'PUT', path, query: q, headers: given, payloadHash: 'UNSIGNED-PAYLOAD' },
          keys,
          scope,
        )
        const signer = new SignatureV4({
          credentials: keys,
          region: scope.region,
          service: scope.service,
          uriEscapePath: false,
          applyChecksum: true,
          sha256: Sha256,
        })
        const theirs = await signer.sign(
          {
            method: 'PUT',
            protocol: 'https:',
            hostname: given.host,
            path,
            query: q,
            headers: { ...given, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
          },
          { signingDate: new Date(nowMs) },
        )
        expect(ours['authorization']).toBe(theirs.headers['authorization']!)
      },
    ),
    { seed, numRuns: 300 },
  )
})

test('every sub-resource has its "=", as in the canonical form', () => {
  expect(encodeQuery({ uploads: '', prefix: 'a b/ü', 'list-type': '2' })).toBe(
    'list-type=2&prefix=a%20b%2F%C3%BC&uploads=',
  )
})
