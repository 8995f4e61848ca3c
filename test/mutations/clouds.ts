import type { Mutation } from './mutation.ts'

const FOREIGN = 'test/fault/foreign-answer.test.ts'

const AZURE_FAULTS = 'test/fault/azure.test.ts'
const GCS_FAULTS = 'test/fault/gcs.test.ts'
const BLOCKS = 'src/storage/requests/block-sink.test.ts'
const PATIENCE = 'src/storage/requests/patient-request.test.ts'

/** The guards of the storages behind a network. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'Azure: an object of ours whose answer was lost is not taken for that of somebody else',
    file: 'src/storage/drivers/azure/upload.ts',
    find: "if (!(await request('look at', isOurs))) throw error",
    replace: 'throw error',
    test: AZURE_FAULTS,
    title: 'a lost answer',
  },
  {
    guard: 'Google: an object of ours whose answer was lost is not taken for that of somebody else',
    file: 'src/storage/drivers/gcs/upload.ts',
    find: 'return found.metadata?.[TOKEN_NAME] === token',
    replace: 'return token === undefined && found === undefined',
    test: GCS_FAULTS,
    title: 'a lost answer',
  },
  {
    guard: 'Google: an object of somebody else is not taken for ours',
    file: 'src/storage/drivers/gcs/upload.ts',
    find: 'return found.metadata?.[TOKEN_NAME] === token',
    replace: 'return found !== undefined || token !== undefined',
    test: GCS_FAULTS,
    title: 'unheard try',
  },
  {
    guard: 'Azure: a read that is taken up goes on in the same object',
    file: 'src/storage/drivers/azure/driver.ts',
    find: '...(version === undefined ? {} : { conditions: { ifMatch: version } }),',
    replace: '',
    test: AZURE_FAULTS,
    title: 'replaced while a broken read',
  },
  {
    guard: 'Google: a read that is taken up goes on in the same object',
    file: 'src/storage/drivers/gcs/driver.ts',
    find: "query: { alt: 'media', generation: version },",
    replace: "query: { alt: 'media' },",
    test: GCS_FAULTS,
    title: 'replaced while a broken read',
  },
  {
    guard: 'blocks wait for their turn where the service wants one after the other',
    file: 'src/storage/requests/block-sink.ts',
    find: 'if (!this.#options.isParallel) await Promise.all(this.#underWay)',
    replace: '',
    test: BLOCKS,
  },
  {
    guard: 'the memory of an object is given back',
    file: 'src/storage/requests/block-sink.ts',
    find: 'for (const bytes of this.#takenBytes.splice(0)) this.#options.memory?.give(bytes)',
    replace: '',
    test: BLOCKS,
  },
  {
    guard: 'a try that does not hear is over nevertheless',
    file: 'src/storage/requests/patient-request.ts',
    find: 'return await Promise.race([request(stop.signal), over])',
    replace: 'return await request(stop.signal)',
    test: PATIENCE,
  },
  {
    guard: 'S3: an answer that is no listing is no empty bucket',
    file: 'src/storage/drivers/s3/requests.ts',
    find: 'if ((names as readonly string[]).includes(name)) return document',
    replace: 'return document',
    test: FOREIGN,
    title: 's3',
  },
  {
    guard: 'S3: nothing is stored without an ETag',
    file: 'src/storage/drivers/s3/multipart.ts',
    find: 'if (etag !== undefined) return etag',
    replace: "if (etag !== 'none') return etag ?? ''",
    test: 'test/contract/s3-requests.test.ts',
    title: 'a page of something in between',
  },
  {
    guard: 'OSS: an answer that is no listing is no empty bucket',
    file: 'src/storage/drivers/oss/answers.ts',
    find: 'if (!/<ListBucketResult[\\s>]/.test(text)) return undefined',
    replace: '',
    test: FOREIGN,
    title: 'oss',
  },
  {
    guard: 'Google: an answer that is no listing is no empty bucket',
    file: 'src/storage/drivers/gcs/driver.ts',
    find: "if (page.kind === 'storage#objects') return page",
    replace: 'if (page !== undefined) return page',
    test: FOREIGN,
    title: 'gcs',
  },
  {
    guard: 'Swift: an answer that is no listing is no empty container',
    file: 'src/storage/drivers/swift/driver.ts',
    find: "if (!answer.headers.has('x-container-object-count')) throw foreignListing(this.#place, prefix)",
    replace: '',
    test: 'test/fault/swift-and-oss.test.ts',
    title: 'a 200 that is no listing',
  },
]
