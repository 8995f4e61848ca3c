import { createHash } from 'node:crypto'
import { crc32c } from '../../../src/postgres/crc32c.ts'

/** What goes wrong, as the service says it. */
export class GcsFailure extends Error {
  readonly status: number
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

export interface ObjectResource {
  readonly bucket: string
  readonly name: string
  readonly generation: string
  readonly metageneration: string
  readonly size: string
  readonly timeCreated: string
  readonly updated: string
  readonly etag: string
  readonly crc32c: string
  readonly md5Hash?: string
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly storageClass: string
  readonly componentCount?: number
  readonly customerEncryption?: { readonly encryptionAlgorithm: string; readonly keySha256: string }
}

export interface StoredObject {
  readonly bytes: Buffer
  resource: ObjectResource
}

/** What a client may say about a new object. */
export interface NewObject {
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly md5Hash?: string
  readonly crc32c?: string
  /** Of the customer's key. */
  readonly keySha256?: string
  readonly componentCount?: number
}

export type Conditions = Readonly<Record<string, string | undefined>>

interface Bucket {
  isVersioned: boolean
  readonly live: Map<string, StoredObject>
  readonly old: StoredObject[]
}

/** Buckets in memory with generations, preconditions, versions and the checks of the service. */
export class Buckets {
  readonly #buckets = new Map<string, Bucket>()
  #lastGeneration = BigInt(Date.now()) * 1000n

  create(name: string): void {
    if (this.#buckets.has(name))
      throw new GcsFailure(
        409,
        'conflict',
        `Your previous request to create the named bucket succeeded and you already own it.`,
      )
    this.#buckets.set(name, { isVersioned: false, live: new Map(), old: [] })
  }

  bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name)
    if (bucket === undefined) throw new GcsFailure(404, 'notFound', 'The specified bucket does not exist.')
    return bucket
  }

  setVersioned(name: string, isVersioned: boolean): void {
    this.bucket(name).isVersioned = isVersioned
  }

  find(bucketName: string, name: string, generation?: string): StoredObject {
    const bucket = this.bucket(bucketName)
    const live = bucket.live.get(name)
    const found =
      generation === undefined || live?.resource.generation === generation
        ? live
        : bucket.old.find(each => each.resource.name === name && each.resource.generation === generation)
    if (found === undefined) throw new GcsFailure(404, 'notFound', `No such object: ${bucketName}/${name}`)
    return found
  }

  checkConditions(bucketName: string, name: string, conditions: Conditions): void {
    const generation = this.bucket(bucketName).live.get(name)?.resource.generation ?? '0'
    const { ifGenerationMatch, ifGenerationNotMatch } = conditions
    const isMet =
      (ifGenerationMatch === undefined || ifGenerationMatch === generation) &&
      (ifGenerationNotMatch === undefined || ifGenerationNotMatch !== generation)
    if (!isMet)
      throw new GcsFailure(
        412,
        'conditionNotMet',
        'At least one of the pre-conditions you specified did not hold.',
      )
  }

  put(
    bucketName: string,
    name: string,
    bytes: Buffer,
    given: NewObject,
    conditions: Conditions,
  ): ObjectResource {
    const bucket = this.bucket(bucketName)
    checkName(name)
    this.checkConditions(bucketName, name, conditions)
    const md5Hash = createHash('md5').update(bytes).digest('base64')
    const crc = crcText(bytes)
    if (given.md5Hash !== undefined && given.md5Hash !== md5Hash) {
      throw new GcsFailure(
        400,
        'invalid',
        `Provided MD5 hash "${given.md5Hash}" doesn't match calculated MD5 hash "${md5Hash}".`,
      )
    }
    if (given.crc32c !== undefined && given.crc32c !== crc) {
      throw new GcsFailure(
        400,
        'invalid',
        `Provided CRC32C "${given.crc32c}" doesn't match calculated CRC32C "${crc}".`,
      )
    }
    const generation = String(++this.#lastGeneration)
    const now = new Date().toISOString()
    const resource: ObjectResource = {
      bucket: bucketName,
      name,
      generation,
      metageneration: '1',
      size: String(bytes.length),
      timeCreated: now,
      updated: now,
      etag: Buffer.from(generation).toString('base64'),
      crc32c: crc,
      storageClass: 'STANDARD',
      ...(given.contentType === undefined ? {} : { contentType: given.contentType }),
      ...(given.metadata === undefined ? {} : { metadata: given.metadata }),
      ...(given.componentCount === undefined ? { md5Hash } : { componentCount: given.componentCount }),
      ...(given.keySha256 === undefined
        ? {}
        : { customerEncryption: { encryptionAlgorithm: 'AES256', keySha256: given.keySha256 } }),
    }
    this.#retire(bucket, name)
    bucket.live.set(name, { bytes, resource })
    return resource
  }

  remove(bucketName: string, name: string, generation: string | undefined, conditions: Conditions): void {
    this.find(bucketName, name, generation)
    this.checkConditions(bucketName, name, conditions)
    const bucket = this.bucket(bucketName)
    const at = bucket.old.findIndex(
      each => each.resource.name === name && each.resource.generation === generation,
    )
    if (generation !== undefined && at !== -1) bucket.old.splice(at, 1)
    else if (generation === undefined) this.#retire(bucket, name)
    else bucket.live.delete(name)
  }

  patch(bucketName: string, name: string, change: { metadata?: Record<string, string> }): ObjectResource {
    const found = this.find(bucketName, name)
    const { resource } = found
    const metadata = { ...resource.metadata, ...change.metadata }
    const metageneration = String(Number(resource.metageneration) + 1)
    found.resource = { ...resource, metadata, metageneration, updated: new Date().toISOString() }
    return found.resource
  }

  /** Every object of a bucket in the order of a listing, old versions included when asked for. */
  sorted(bucketName: string, withVersions: boolean): ObjectResource[] {
    const { live, old } = this.bucket(bucketName)
    const all = [...live.values(), ...(withVersions ? old : [])].map(each => each.resource)
    return all.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  }

  #retire(bucket: Bucket, name: string): void {
    const before = bucket.live.get(name)
    bucket.live.delete(name)
    if (before !== undefined && bucket.isVersioned) bucket.old.push(before)
  }
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name)
  if (bytes === 0 || bytes > 1024 || /[\r\n]/.test(name) || name === '.' || name === '..') {
    throw new GcsFailure(400, 'invalid', `Invalid object name: "${name}"`)
  }
}

function crcText(bytes: Buffer): string {
  const text = Buffer.alloc(4)
  text.writeUInt32BE(crc32c(bytes))
  return text.toString('base64')
}
