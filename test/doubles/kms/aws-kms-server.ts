import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { type Answer, type HttpService, startHttpService } from './http-service.ts'
import { WrappingKeys } from './key-wrapping.ts'

/** What AWS KMS makes of 32 bytes. */
const WRAPPED_BYTES = 184
const CONTENT_TYPE = 'application/x-amz-json-1.1'

export interface AwsKmsServer extends HttpService {
  readonly accessKey: { readonly id: string; readonly secret: string }
}

/** Encrypt and Decrypt of AWS KMS, JSON 1.1, for the keys `ids`; every request must be signed by its access key. */
export async function startAwsKmsServer(...ids: string[]): Promise<AwsKmsServer> {
  const keys = new WrappingKeys(...ids)
  const accessKey = { id: 'AKIATEST', secret: 'secret of the test' }
  const service = await startHttpService((request, body): Answer => {
    if (!isSigned(request, body, accessKey)) return failure(403, 'UnrecognizedClientException')
    const input = JSON.parse(body) as Record<string, string>
    const keyId = input['KeyId'] ?? ''
    if (!keys.has(keyId)) return failure(400, 'NotFoundException')
    switch (request.headers['x-amz-target']) {
      case 'TrentService.Encrypt': {
        const wrapped = keys.wrap(keyId, Buffer.from(input['Plaintext']!, 'base64'), WRAPPED_BYTES)
        return success({ CiphertextBlob: wrapped.toString('base64'), KeyId: keyId })
      }
      case 'TrentService.Decrypt': {
        const plain = keys.unwrap(keyId, Buffer.from(input['CiphertextBlob']!, 'base64'))
        if (plain === undefined) return failure(400, 'InvalidCiphertextException')
        return success({ Plaintext: plain.toString('base64'), KeyId: keyId })
      }
      default:
        return failure(400, 'UnknownOperationException')
    }
  })
  return { ...service, accessKey }
}

function success(body: unknown): Answer {
  return { status: 200, body, contentType: CONTENT_TYPE }
}

function failure(status: number, type: string): Answer {
  return { status, body: { __type: type, message: type }, contentType: CONTENT_TYPE }
}

/** Checks a signature of version 4. */
function isSigned(request: IncomingMessage, body: string, key: AwsKmsServer['accessKey']): boolean {
  const header = request.headers.authorization ?? ''
  const [, id, scope, names, signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=(\w+)$/.exec(header) ??
    []
  if (id !== key.id || scope === undefined || names === undefined) return false
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
  const headers = names.split(';').map(name => `${name}:${String(request.headers[name]).trim()}\n`)
  const canonical = [request.method, request.url, '', headers.join(''), names, sha256(body)].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical)].join('\n')
  let derived: string | Buffer = `AWS4${key.secret}`
  for (const part of scope.split('/')) derived = createHmac('sha256', derived).update(part).digest()
  return createHmac('sha256', derived).update(toSign).digest('hex') === signature
}
