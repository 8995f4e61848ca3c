import type { OssClient, OssWork } from './client.ts'
import { encodePath } from './signature.ts'
import { completionOf } from './upload.ts'

export interface OssCopy {
  readonly client: OssClient
  readonly bucket: string
  readonly key: string
  readonly from: string
  readonly to: string
  readonly sizeBytes: number
  readonly partSizeBytes: number
  request<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T>
  onProgress(): void
}

/** The most parts of one object. */
const PARTS_MAX = 10_000

/** Copies on the server: in one request, or part by part when the object is larger than one. */
export async function copyObject(copy: OssCopy): Promise<void> {
  const { client, from, to, sizeBytes, request } = copy
  const source = { 'x-oss-copy-source': encodePath(`/${copy.bucket}/${from}`) }
  const work: OssWork = { doing: `copy object "${copy.key}"`, key: copy.key }
  const partSizeBytes = Math.max(copy.partSizeBytes, Math.ceil(sizeBytes / PARTS_MAX))
  if (sizeBytes <= partSizeBytes) {
    await request(signal => client.ask(work, { method: 'PUT', name: to, headers: source, signal }))
    return
  }
  const uploadId = await request(async signal => {
    const { text } = await client.ask(work, { method: 'POST', name: to, query: { uploads: '' }, signal })
    return /<UploadId>([^<]+)<\/UploadId>/.exec(text)?.[1] ?? ''
  })
  try {
    const etags: string[] = []
    for (let at = 0; at < sizeBytes; at += partSizeBytes) {
      const range = `bytes=${at}-${Math.min(at + partSizeBytes, sizeBytes) - 1}`
      const query = { partNumber: String(etags.length + 1), uploadId }
      const headers = { ...source, 'x-oss-copy-source-range': range }
      const { text } = await request(signal =>
        client.ask(work, { method: 'PUT', name: to, query, headers, signal }),
      )
      etags.push((/<ETag>([^<]*)<\/ETag>/.exec(text)?.[1] ?? '').replaceAll('&quot;', '"'))
      copy.onProgress()
    }
    await request(signal =>
      client.ask(work, { method: 'POST', name: to, query: { uploadId }, body: completionOf(etags), signal }),
    )
  } catch (error) {
    // what is left of it is invisible, and collected by a rule of the bucket
    await request(signal =>
      client.ask(work, { method: 'DELETE', name: to, query: { uploadId }, signal }),
    ).catch(() => {})
    throw error
  }
}
