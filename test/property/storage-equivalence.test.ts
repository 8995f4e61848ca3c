import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { collect } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import { openFsDriver } from '../../src/storage/drivers/fs.ts'
import { dropMemory, openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import type { GetOptions, Storage } from '../../src/storage/storage.ts'
import { lentStream, listAll, patternBytes } from '../contract/storage-support.ts'
import { seed } from '../support/seeded-random.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** One step of a random history; what it gives must not depend on the driver. */
type Step = (storage: Storage) => Promise<unknown>

interface NamedStep {
  readonly text: string
  readonly run: Step
}

const names = fc.constantFrom('a', 'b', 'a b', 'A', 'ä+%', 'part_001.tar.lz4')
const keys = fc.array(names, { minLength: 1, maxLength: 3 }).map(parts => parts.join('/'))
const contents = fc
  .record({ sizeBytes: fc.constantFrom(0, 1, 10, 4096, 70_001), version: fc.nat(5) })
  .map(({ sizeBytes, version }) => patternBytes(sizeBytes, version))
const ranges = fc.oneof(
  fc.record({ first: fc.nat(5000) }),
  fc.record({ first: fc.nat(5000), end: fc.nat(80_000) }),
)

async function putBySink(storage: Storage, key: string, content: Uint8Array, isKept: boolean): Promise<void> {
  const sink = await storage.openSink(key)
  await sink.write(content)
  await (isKept ? sink.end() : sink.abort())
}

async function read(storage: Storage, key: string, options: GetOptions): Promise<string> {
  const bytes = await collect(await storage.get(key, options), 1 << 20)
  return `${bytes.length} ${Bun.hash(bytes)}`
}

async function namesIn(storage: Storage, prefix: string, isRecursive: boolean): Promise<unknown> {
  const entries = await listAll(storage, prefix, isRecursive)
  return entries.map(entry => [entry.kind, entry.key, entry.kind === 'object' ? entry.sizeBytes : 0])
}

function named(text: string, run: Step): NamedStep {
  return { text, run }
}

const steps: fc.Arbitrary<NamedStep> = fc.oneof(
  fc
    .tuple(keys, contents, fc.boolean())
    .map(([key, content, ifAbsent]) =>
      named(`put ${key} ${content.length} ${ifAbsent}`, storage =>
        storage.put(key, lentStream(content, 10_000), { ifAbsent }),
      ),
    ),
  fc
    .tuple(keys, contents, fc.boolean())
    .map(([key, content, isKept]) =>
      named(`sink ${key} ${content.length} ${isKept}`, storage => putBySink(storage, key, content, isKept)),
    ),
  fc
    .tuple(keys, keys)
    .map(([source, target]) => named(`copy ${source} ${target}`, storage => storage.copy(source, target))),
  fc
    .array(keys, { maxLength: 4 })
    .map(list => named(`delete ${list.join(' ')}`, storage => storage.delete(list))),
  keys.map(key => named(`stat ${key}`, async storage => (await storage.stat(key)).sizeBytes)),
  fc
    .tuple(keys, fc.option(ranges))
    .map(([key, range]) =>
      named(`get ${key} ${JSON.stringify(range)}`, storage =>
        read(storage, key, range === null ? {} : { range }),
      ),
    ),
  fc
    .tuple(fc.oneof(fc.constant(''), keys), fc.boolean())
    .map(([prefix, isRecursive]) =>
      named(`list ${prefix} ${isRecursive}`, storage => namesIn(storage, prefix, isRecursive)),
    ),
)

async function outcome(step: NamedStep, storage: Storage): Promise<unknown> {
  try {
    return { value: await step.run(storage) }
  } catch (error) {
    if (error instanceof WalgError) return { code: error.code }
    throw error
  }
}

test('after any history the memory and the file-system driver have said and kept the same', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(steps, { minLength: 1, maxLength: 40 }),
      fc.constantFrom('pooled' as const, 'blocking' as const),
      async (history, mode) => {
        using directory = tempDirectory('equal')
        const id = crypto.randomUUID()
        const memory = openMemoryDriver('both', id)
        const disk = await openFsDriver({ name: 'both', root: directory.path, isDurable: false, mode })
        for (const step of [...history, named('list all', storage => namesIn(storage, '', true))]) {
          const [one, two] = [await outcome(step, memory), await outcome(step, disk)]
          expect({ step: step.text, ...(two as object) }).toEqual({ step: step.text, ...(one as object) })
        }
        dropMemory(id)
      },
    ),
    { seed, numRuns: 150 },
  )
})
