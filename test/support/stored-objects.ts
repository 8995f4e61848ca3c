import { collect, streamOf } from '../../src/kit/bytes.ts'
import { openMemoryDriver } from '../../src/storage/drivers/memory.ts'
import type { Storage } from '../../src/storage/storage.ts'

/** An empty storage in memory. */
export function memoryStorage(name: string): Storage {
  return openMemoryDriver(name, crypto.randomUUID())
}

export async function putObject(storage: Storage, key: string, text: string): Promise<void> {
  await storage.put(key, streamOf(new TextEncoder().encode(text)))
}

export async function readObject(storage: Storage, key: string): Promise<string> {
  return new TextDecoder().decode(await collect(await storage.get(key), 1 << 24))
}

/** Every key, sorted. */
export async function keysOf(storage: Storage, prefix = ''): Promise<string[]> {
  const keys: string[] = []
  for await (const entry of storage.list(prefix, { recursive: true })) {
    if (entry.kind === 'object') keys.push(entry.key)
  }
  return keys.sort()
}

/** A backup that is complete as far as tools that move objects see it. `number` is its WAL segment. */
export async function putBackup(storage: Storage, number: number, parent?: string): Promise<string> {
  const walFile = number.toString(16).toUpperCase().padStart(24, '0').replace(/^0{8}/, '00000001')
  const name = parent === undefined ? `base_${walFile}` : `base_${walFile}_D_${parent.slice(5, 29)}`
  const lsn = number * (1 << 24) + 40
  const link = { DeltaLSN: 1, DeltaFrom: parent, DeltaFullName: parent, DeltaCount: 1 }
  const sentinel = {
    LSN: lsn,
    FinishLSN: lsn + 200,
    ...(parent === undefined ? {} : link),
    PgVersion: 150000,
    SystemIdentifier: 7,
    UncompressedSize: 1,
    CompressedSize: 1,
    Version: 2,
    StartTime: '2026-11-22T11:00:00Z',
    FinishTime: '2026-11-22T11:00:01Z',
    DateFmt: '%Y-%m-%dT%H:%M:%S.%fZ',
    Hostname: 'h',
    DataDir: '/d',
    IsPermanent: false,
  }
  const folder = `basebackups_005/${name}`
  await putObject(storage, `${folder}/tar_partitions/part_001.tar.lz4`, `part of ${name}`)
  await putObject(storage, `${folder}/files_metadata.json`, '{}')
  await putObject(
    storage,
    `${folder}/metadata.json`,
    `{"start_time":"2026-11-22T11:00:00Z","finish_time":"2026-11-22T11:00:01Z","start_lsn":${lsn},"finish_lsn":${lsn + 200}}`,
  )
  await putObject(storage, `${folder}_backup_stop_sentinel.json`, JSON.stringify(sentinel))
  await putObject(storage, `wal_005/${walFile}.lz4`, `WAL ${walFile}`)
  return name
}
