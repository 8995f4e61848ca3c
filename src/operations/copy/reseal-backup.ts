import { splitExtension } from '../../codec/extensions.ts'
import { type ByteStream, collect, concatBytes, streamOf } from '../../kit/bytes.ts'
import { HASH_ALGORITHM } from '../../kit/hash.ts'
import { parseJson, quoteJson, replaceJsonMember, writeJson } from '../../kit/json.ts'
import { readFilesMetadata } from '../../repository/catalog.ts'
import type { FilesMetadata, FilesMetadataSource } from '../../repository/files-metadata.ts'
import { encodeFilesMetadata } from '../../repository/files-metadata-document.ts'
import { backupPrefix, FILES_METADATA_NAME, PARTS_FOLDER, sentinelKey } from '../../repository/layout.ts'
import { VERIFICATION_RECORD_NAME } from '../../repository/verification-record.ts'
import type { ChosenBackup } from './copied-backups.ts'
import { copyBytes } from './copy-objects.ts'
import type { CopiedBackup, CopiedObject } from './plan-copy.ts'
import { type Resealing, resealedKey, resealObject, type StoredBytes } from './reseal-object.ts'

const DOCUMENT_BYTES_MAX = 64 << 20

export interface ResealedBackup {
  /** Of the stored content manifest, as a delta on this backup names it; undefined without one. */
  readonly manifestHash: string | undefined
}

export interface BackupResealing extends Resealing {
  /** Runs many steps side by side. */
  forEach(objects: readonly CopiedObject[], run: (object: CopiedObject) => Promise<void>): Promise<void>
  onCopied(from: string, to: string, sizeBytes: number): void
  /** The new hash of a content manifest, by the one that it had. */
  readonly manifestHashes: Map<string, string>
}

/**
 * Brings one backup under the target's key and compression: every part is opened and sealed anew, the content manifest
 * is made again with the new sizes and hashes, and the documents name what there is now. The sentinel goes last.
 */
export async function resealBackup(
  resealing: BackupResealing,
  backup: CopiedBackup,
  chosen: ChosenBackup,
): Promise<void> {
  const { source, target, signal, targetCodec } = resealing
  const prefix = `${backupPrefix(chosen.entry.name)}/`
  const link = chosen.sentinel.contentManifest
  const manifestKey = link === null ? undefined : prefix + link.object
  const isPart = ({ key }: CopiedObject): boolean => key.startsWith(`${prefix}${PARTS_FOLDER}/`)
  const expected = manifestKey === undefined ? new Map() : await readObjects(resealing, manifestKey)

  const stored = new Map<string, StoredBytes & { readonly newKey: string }>()
  await resealing.forEach(backup.payload.filter(isPart), async object => {
    const newKey = resealedKey(object.key, targetCodec)
    const inBackup = object.key.slice(prefix.length)
    const result = await resealObject(resealing, object.key, newKey, { expected: expected.get(inBackup) })
    stored.set(inBackup, { ...result, newKey: newKey.slice(prefix.length) })
    resealing.onCopied(object.key, newKey, object.sizeBytes)
  })

  let manifest: (StoredBytes & { readonly object: string }) | undefined
  if (manifestKey !== undefined && link !== null) {
    const newKey = resealedKey(manifestKey, targetCodec)
    const [, hash = ''] = link.hash.split(':')
    const result = await resealObject(resealing, manifestKey, newKey, {
      expected: { sizeBytes: link.sizeBytes, hash },
      transform: content => withObjects(content, stored),
    })
    manifest = { ...result, object: newKey.slice(prefix.length) }
    resealing.manifestHashes.set(link.hash, `${HASH_ALGORITHM}:${result.hash}`)
    resealing.onCopied(manifestKey, newKey, link.sizeBytes)
  }

  const others = backup.payload.filter(object => !isPart(object) && object.key !== manifestKey)
  for (const object of others) {
    // What verify found good were other bytes.
    if (object.key === prefix + VERIFICATION_RECORD_NAME) continue
    if (object.key === prefix + FILES_METADATA_NAME) await putFilesMetadata(resealing, chosen, object, stored)
    else await copyBytes(source, target, object, signal)
    resealing.onCopied(object.key, object.key, object.sizeBytes)
  }

  const storedBytes = [...stored.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const metadata = await readText(resealing, backup.metadata.key)
  await putText(
    resealing,
    backup.metadata.key,
    replaceJsonMember(metadata, 'compressed_size', String(storedBytes)),
  )
  resealing.onCopied(backup.metadata.key, backup.metadata.key, backup.metadata.sizeBytes)
  const sentinel = await readText(resealing, backup.sentinel.key)
  await putText(
    resealing,
    backup.sentinel.key,
    sentinelWith(resealing, sentinel, chosen, storedBytes, manifest),
  )
  resealing.onCopied(backup.sentinel.key, backup.sentinel.key, backup.sentinel.sizeBytes)
}

/** Of a backup that is in the target already: its children name this manifest. */
export async function noteResealed(resealing: BackupResealing, chosen: ChosenBackup): Promise<void> {
  const link = chosen.sentinel.contentManifest
  if (link === null) return
  const text = await collect(
    await resealing.target.get(sentinelKey(chosen.entry.name), { signal: resealing.signal }),
    DOCUMENT_BYTES_MAX,
  )
  const document = parseJson(new TextDecoder().decode(text)) as {
    readonly ContentManifest?: { readonly Hash?: string }
  }
  const hash = document.ContentManifest?.Hash
  if (hash !== undefined) resealing.manifestHashes.set(link.hash, hash)
}

function sentinelWith(
  { targetCodec, manifestHashes }: BackupResealing,
  text: string,
  { sentinel }: ChosenBackup,
  storedBytes: number,
  manifest: (StoredBytes & { readonly object: string }) | undefined,
): string {
  const sized = replaceJsonMember(text, 'CompressedSize', String(storedBytes))
  if (manifest === undefined) return sized
  const parent = sentinel.contentManifest?.parentHash
  const sealedWith = targetCodec.encryption?.write
  const link = writeJson({
    Object: manifest.object,
    Size: manifest.sizeBytes,
    Hash: `${HASH_ALGORITHM}:${manifest.hash}`,
    Parent: parent === undefined ? undefined : (manifestHashes.get(parent) ?? parent),
    Encryption: sealedWith === undefined ? undefined : { Method: sealedWith.method, Key: sealedWith.keyId },
  })
  return replaceJsonMember(sized, 'ContentManifest', link)
}

/** The list of files names the parts that hold them. */
async function putFilesMetadata(
  resealing: BackupResealing,
  chosen: ChosenBackup,
  object: CopiedObject,
  stored: ReadonlyMap<string, { readonly newKey: string }>,
): Promise<void> {
  const { source, target, signal } = resealing
  const names = new Map<string, string>()
  for (const [key, { newKey }] of stored) names.set(baseName(key), baseName(newKey))
  const isUnchanged = [...names].every(([name, newName]) => name === newName)
  const document = { sentinel: chosen.sentinel, inlineFiles: null }
  const files = isUnchanged ? null : await readFilesMetadata(source, chosen.entry.name, document, { signal })
  if (files === null) return copyBytes(source, target, object, signal)
  await target.put(object.key, encodeFilesMetadata(withPartNames(files, names)), { signal })
}

function withPartNames(files: FilesMetadata, names: ReadonlyMap<string, string>): FilesMetadataSource {
  const oldNames = new Map([...names].map(([name, newName]) => [newName, name]))
  return {
    filesCount: files.filesCount,
    databases: files.databases,
    entries: () => files.entries(),
    partNames: () => files.partNames().map(part => names.get(part) ?? part),
    partMembers: part => files.partMembers(oldNames.get(part) ?? part),
  }
}

/** What the manifest says of its objects, by their key within the backup. */
async function readObjects(resealing: BackupResealing, key: string): Promise<Map<string, StoredBytes>> {
  const { openCodec } = await import('../../codec/open-codec.ts')
  const { extension = '' } = splitExtension(key)
  const stored = await resealing.source.get(key, { signal: resealing.signal })
  const objects = new Map<string, StoredBytes>()
  for await (const line of linesOf(openCodec(resealing.sourceCodec).openStream(extension)(stored))) {
    const object = objectOf(line)
    if (object !== undefined) objects.set(object.key, { sizeBytes: object.size, hash: object.hash })
  }
  return objects
}

interface ObjectLine {
  readonly object: number
  readonly key: string
  readonly size: number
  readonly hash: string
}

const OBJECT_LINE = '{"object":'

function objectOf(line: string): ObjectLine | undefined {
  return line.startsWith(OBJECT_LINE) ? (JSON.parse(line) as ObjectLine) : undefined
}

/** The same manifest with new keys, sizes and hashes of the stored objects; every other line stays byte for byte. */
async function* withObjects(
  content: ByteStream,
  stored: ReadonlyMap<string, StoredBytes & { readonly newKey: string }>,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  for await (const line of linesOf(content)) {
    const object = objectOf(line)
    const now = object === undefined ? undefined : stored.get(object.key)
    if (object === undefined || now === undefined) yield encoder.encode(`${line}\n`)
    else {
      const key = quoteJson(now.newKey, 'v2')
      yield encoder.encode(
        `${OBJECT_LINE}${object.object},"key":${key},"size":${now.sizeBytes},"hash":"${now.hash}"}\n`,
      )
    }
  }
}

async function* linesOf(content: ByteStream): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest: Uint8Array = new Uint8Array(0)
  for await (const chunk of content) {
    const bytes = rest.length === 0 ? chunk : concatBytes([rest, chunk])
    let from = 0
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      yield decoder.decode(bytes.subarray(from, end))
      from = end + 1
    }
    rest = bytes.slice(from)
  }
  if (rest.length > 0) yield decoder.decode(rest)
}

async function readText({ source, signal }: Resealing, key: string): Promise<string> {
  return new TextDecoder().decode(await collect(await source.get(key, { signal }), DOCUMENT_BYTES_MAX))
}

async function putText({ target, signal }: Resealing, key: string, text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text)
  await target.put(key, streamOf(bytes), { signal, expectedSizeBytes: bytes.length })
}

function baseName(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1)
}
