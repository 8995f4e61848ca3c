import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { generateKey } from 'openpgp'
import { runProcess } from '../../support/process.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { describeUnless, missingReference, reference } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

type Settings = Readonly<Record<string, string>>

const place = tempDirectory('reference-encryption')
const random = seededRandom('reference-encryption')
const SIZES = [1, 8191, 8192, 65_536, 700_001]

async function pgpKey(type: 'rsa' | 'ecc'): Promise<Settings> {
  const userIDs = [{ email: 'dba@test.invalid' }]
  const shape =
    type === 'rsa' ? ({ type, rsaBits: 2048 } as const) : ({ type, curve: 'curve25519Legacy' } as const)
  const made = await generateKey({ ...shape, userIDs, passphrase: 'pass word', format: 'armored' })
  return { WALG_PGP_KEY: made.privateKey, WALG_PGP_KEY_PASSPHRASE: 'pass word' }
}

const HEX = Buffer.from(random.bytes(32)).toString('hex')
const CASES: readonly [name: string, settings: () => Promise<Settings>][] = [
  ['libsodium, hex', async () => ({ WALG_LIBSODIUM_KEY: HEX, WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' })],
  ['libsodium, text of 25 characters', async () => ({ WALG_LIBSODIUM_KEY: 'k'.repeat(25) })],
  [
    'libsodium, text of 44 characters',
    async () => ({ WALG_LIBSODIUM_KEY: Buffer.alloc(32, 3).toString('base64') }),
  ],
  ['OpenPGP, RSA', () => pgpKey('rsa')],
  ['OpenPGP, Curve25519', () => pgpKey('ecc')],
]

/** Runs either program over the one repository. */
async function run(tool: 'ours' | 'original', args: readonly string[], settings: Settings): Promise<void> {
  const env = { WALG_FILE_PREFIX: place.at('repository'), WALG_DOWNLOAD_CONCURRENCY: '1', ...settings }
  const original = { env: { PATH: process.env['PATH'], HOME: place.path, ...env }, cwd: place.path }
  const finished =
    tool === 'ours' ? await runWalg(args, { env }) : await runProcess(reference()!, args, original)
  expect({ tool, exit: finished.exit, stderr: finished.exit === 0 ? '' : finished.stderr }).toEqual({
    tool,
    exit: 0,
    stderr: '',
  })
}

describeUnless(missingReference(), 'encrypted objects of ours and of the original', () => {
  mkdirSync(place.at('archive_status'))
  afterAll(() => place.remove())

  for (const [name, settingsOf] of CASES) {
    test(`${name}: each program reads what the other has written`, async () => {
      const settings = await settingsOf()
      for (const method of ['lz4', 'none']) {
        for (const [writer, reader] of [
          ['ours', 'original'],
          ['original', 'ours'],
        ] as const) {
          mkdirSync(place.at('repository'))
          for (const [index, size] of SIZES.entries()) {
            const history = `0000000${index + 2}.history`
            const content = random.bytes(size)
            writeFileSync(place.at(history), content)
            await run(writer, ['wal-push', place.at(history)], {
              ...settings,
              WALG_COMPRESSION_METHOD: method,
            })
            await run(reader, ['wal-fetch', history, place.at('fetched')], settings)
            expect(Buffer.compare(readFileSync(place.at('fetched')), content)).toBe(0)
            rmSync(place.at('fetched'))
          }
          rmSync(place.at('repository'), { recursive: true })
        }
      }
    }, 60_000)
  }
})
