/**
 * `refused`: no connection came about; `unknown host`; `untrusted`: the certificate; `reset`: the connection broke;
 * `stalled`: no byte for too long; `invalid`: not HTTP; `cut`: fewer or more bytes than announced; `aborted`: by the
 * caller; `closed`: used after close.
 */
export type HttpFaultKind =
  | 'refused'
  | 'unknown host'
  | 'untrusted'
  | 'reset'
  | 'stalled'
  | 'invalid'
  | 'cut'
  | 'aborted'
  | 'closed'

/** What went wrong below HTTP. Drivers translate it into a `WalgError`. */
export class HttpFault extends Error {
  override readonly name = 'HttpFault'
  readonly kind: HttpFaultKind

  constructor(kind: HttpFaultKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
  }

  static ofConnecting(error: unknown): HttpFault {
    if (error instanceof HttpFault) return error
    const code = codeOf(error)
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || /getaddrinfo|DNS/i.test(textOf(error))) {
      return new HttpFault('unknown host', 'the name of the host cannot be resolved', error)
    }
    if (code !== undefined && CERTIFICATE_CODES.test(code)) return HttpFault.ofCertificate(error)
    const reason = code === 'ECONNREFUSED' ? 'connection refused' : `no connection (${code ?? textOf(error)})`
    return new HttpFault('refused', reason, error)
  }

  static ofTransfer(error: unknown): HttpFault {
    if (error instanceof HttpFault) return error
    const code = codeOf(error)
    if (code !== undefined && CERTIFICATE_CODES.test(code)) return HttpFault.ofCertificate(error)
    return new HttpFault('reset', `the connection broke (${code ?? textOf(error)})`, error)
  }

  static ofCertificate(error: unknown): HttpFault {
    const reason = error === null || error === undefined ? 'unknown reason' : textOf(error)
    return new HttpFault('untrusted', `the certificate of the server is not trusted: ${reason}`, error)
  }
}

/** What OpenSSL calls the reasons not to trust a certificate. */
const CERTIFICATE_CODES =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|INVALID_CA|HOSTNAME_MISMATCH)/

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : undefined
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
