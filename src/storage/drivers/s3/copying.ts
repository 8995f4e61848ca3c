import type { Abortable } from '../../storage.ts'
import { copySourceKeyHeaders, customerKeyHeaders, newObjectHeaders } from './object-headers.ts'
import type { S3Requests } from './requests.ts'
import { encodeKey } from './signature.ts'
import { escapeXml, textOf } from './xml.ts'

/** The largest object that one request copies. */
const COPY_BYTES_MAX = 5 * 2 ** 30
const COPY_PART_BYTES = 2 ** 30

/** Copies within the bucket, at the store: by one request, or part by part where the object is too large for that. */
export async function copyObject(
  requests: S3Requests,
  source: { readonly key: string; readonly sizeBytes: number },
  target: string,
  options: Abortable & { readonly partBytes?: number; readonly bytesMax?: number },
): Promise<void> {
  const { description } = requests
  const from = {
    'x-amz-copy-source': `/${description.bucket}/${encodeKey(source.key)}`,
    ...copySourceKeyHeaders(description),
  }
  const { signal, onProgress } = options
  if (source.sizeBytes <= (options.bytesMax ?? COPY_BYTES_MAX)) {
    const headers = { ...newObjectHeaders(description, target), ...from }
    await requests.sendForXml(
      { method: 'PUT', key: target, headers, doing: 'copy to', signal, onProgress },
      'CopyObjectResult',
    )
    return
  }
  const begun = await requests.sendForXml(
    {
      method: 'POST',
      key: target,
      query: { uploads: '' },
      headers: newObjectHeaders(description, target),
      doing: 'begin the copy to',
      signal,
    },
    'InitiateMultipartUploadResult',
  )
  const uploadId = textOf(begun, 'UploadId') ?? ''
  try {
    const parts: string[] = []
    const partBytes = options.partBytes ?? COPY_PART_BYTES
    for (let first = 0; first < source.sizeBytes; first += partBytes) {
      const number = parts.length + 1
      const last = Math.min(first + partBytes, source.sizeBytes) - 1
      const copied = await requests.sendForXml(
        {
          method: 'PUT',
          key: target,
          query: { partNumber: String(number), uploadId },
          headers: {
            ...from,
            ...customerKeyHeaders(description),
            'x-amz-copy-source-range': `bytes=${first}-${last}`,
          },
          doing: `copy part ${number} to`,
          signal,
          onProgress,
        },
        'CopyPartResult',
        'CopyObjectResult',
      )
      const etag = escapeXml(textOf(copied, 'ETag') ?? '')
      parts.push(`<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`)
      onProgress?.()
    }
    await requests.sendForXml(
      {
        method: 'POST',
        key: target,
        query: { uploadId },
        headers: { 'content-type': 'application/xml', ...customerKeyHeaders(description) },
        body: [Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`)],
        doing: 'complete the copy to',
        signal,
      },
      'CompleteMultipartUploadResult',
    )
  } catch (error) {
    await requests
      .sendOnly({ method: 'DELETE', key: target, query: { uploadId }, doing: 'abort the copy to' })
      .catch(() => {})
    throw error
  }
}
