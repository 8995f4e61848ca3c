import type { HttpAnswer } from '../../http/client.ts'
import { S3Fault } from './fault.ts'
import { parseXml, textOf, type XmlElement } from './xml.ts'

/** What an answer of S3 without a body means, by its status. */
const CODES: Readonly<Record<number, string>> = { 404: 'NotFound', 412: 'PreconditionFailed' }
const RETRY_AFTER_S_MAX = 300

/** Reads an answer that says no; `text` is its body, which may be anything or nothing. */
export function faultOfAnswer(answer: Pick<HttpAnswer, 'status' | 'headers'>, text: string): S3Fault {
  const { status, headers } = answer
  const document = parsed(text)
  // A proxy or a wrong address says 404 as well: without a body only the mark of S3 tells who has answered.
  const isOfS3 = text === '' && headers.has('x-amz-request-id')
  const code = (document && textOf(document, 'Code')) ?? (isOfS3 ? CODES[status] : undefined) ?? ''
  const said = document === undefined ? '' : (textOf(document, 'Message') ?? '').trim()
  return new S3Fault({
    status,
    code,
    message: said === '' ? `the store answered HTTP ${status}` : said.replace(/\.$/, ''),
    region: (document && textOf(document, 'Region')) ?? headers.get('x-amz-bucket-region'),
    retryAfterMs: retryAfterMs(headers.get('retry-after')),
    requestId: headers.get('x-amz-request-id') ?? (document && textOf(document, 'RequestId')),
    serverMs: timeOf((document && textOf(document, 'ServerTime')) ?? headers.get('date')),
  })
}

function parsed(text: string): XmlElement | undefined {
  try {
    const document = parseXml(text)
    return document.name === 'Error' ? document : document.children.find(child => child.name === 'Error')
  } catch {
    return undefined
  }
}

/** Seconds, or a date. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const seconds = /^\d+$/.test(header) ? Number(header) : ((timeOf(header) ?? Number.NaN) - Date.now()) / 1000
  return seconds > 0 ? Math.min(seconds, RETRY_AFTER_S_MAX) * 1000 : undefined
}

function timeOf(text: string | undefined): number | undefined {
  const ms = text === undefined ? Number.NaN : Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
