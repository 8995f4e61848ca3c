import type { Codec, CompressionHelp, CompressionOptions } from '../../../codec/codec.ts'
import type { Awaitable, ByteSink } from '../../../kit/bytes.ts'
import { type Hasher, openHasher } from '../../../kit/hash.ts'
import type { RateLimit } from '../../../kit/limits.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import type { ObjectSink, Storage } from '../../../storage/storage.ts'
import { modifiedNsOf, type ObjectTraits, openNewObject } from './new-object.ts'
import { PartPacker } from './part-packer.ts'

/** A part that is complete, durable and visible. */
export interface StoredPart {
  /** Name of the object below `tar_partitions/`. */
  readonly name: string
  /** Sum of the members' sizes. */
  readonly contentBytes: number
  readonly storedBytes: number
  /** Of the stored bytes. */
  readonly storedHash: string
  /** Of the object, as `ObjectTraits` has it. */
  readonly modifiedNs: bigint | undefined
}

export interface PartPlace {
  readonly storage: Storage
  readonly codec: Codec
  /** The memory that the codec works on, so that nothing is copied for a hash. */
  readonly memory?: LinearMemory
  readonly diskLimit?: RateLimit
  /** A sign of life after every read; throws to stop the packing. */
  readonly onRead?: (bytes: number) => void
  readonly help?: CompressionHelp
  /** Learns of every object before it is put, and what it is like afterwards. */
  readonly own?: OwnRecord
}

/** What this push has put, so that it can be taken back. */
export interface OwnRecord {
  begun(key: string): void
  stored(key: string, traits: ObjectTraits): void
}

/** One part while it is packed: end it or abort it. */
export interface OpenPart {
  readonly packer: PartPacker
  /** `bare`: what was put is no tar, and gets no end of archive. */
  end(form?: 'tar' | 'bare'): Promise<StoredPart>
  /** Nothing of the object remains. */
  abort(): Promise<void>
}

/** Opens the object `key`, the codec in front of it and a packer in front of that. */
export async function openPart(
  place: PartPlace,
  key: string,
  use: CompressionOptions['use'] = 'part',
): Promise<OpenPart> {
  const hashers = [openHasher(place.memory), openHasher(place.memory)] as const
  const { onRead } = place
  // A storage that takes its time, or tries again, is alive.
  const onProgress = onRead === undefined ? {} : { onProgress: () => onRead(0) }
  place.own?.begun(key)
  const sink = await openNewObject(place.storage, key, onProgress)
  const stored = meterSink(sink, hashers[0])
  const release = (): void => {
    for (const hasher of hashers) hasher.close()
  }
  try {
    const writer = await place.codec.seal(stored, use, place.help)
    const packer = new PartPacker({ ...place, writer, hasher: hashers[1] })
    return {
      packer,
      async end(form: 'tar' | 'bare' = 'tar'): Promise<StoredPart> {
        await packer.end(form)
        writer.close()
        const part = {
          name: key.slice(key.lastIndexOf('/') + 1),
          contentBytes: packer.contentBytes,
          storedBytes: stored.bytes(),
          storedHash: hashers[0].digest(),
          modifiedNs: await modifiedNsOf(place.storage, key),
        }
        place.own?.stored(key, traitsOf(part))
        release()
        return part
      },
      async abort(): Promise<void> {
        writer.close()
        release()
        await sink.abort()
      },
    }
  } catch (error) {
    release()
    await sink.abort()
    throw error
  }
}

export function traitsOf({ storedBytes, storedHash, modifiedNs }: StoredPart): ObjectTraits {
  return { sizeBytes: storedBytes, hash: storedHash, modifiedNs }
}

/** Counts and hashes what is stored. */
export function meterSink(sink: ObjectSink, hasher: Hasher): ByteSink & { bytes(): number } {
  let storedBytes = 0
  return {
    write(bytes: Uint8Array): Awaitable<void> {
      hasher.update(bytes)
      storedBytes += bytes.length
      return sink.write(bytes)
    },
    end: () => sink.end(),
    bytes: () => storedBytes,
  }
}
