import { type AuthClient, GoogleAuth, JWT } from 'google-auth-library'
import type { GcsCredentials } from './description.ts'

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write'

/** Where the Authorization header of a request comes from; tokens are renewed before they expire. */
export interface GcsAuthorization {
  header(): Promise<string>
  /** The last one was refused: the next is a new one. */
  forget(): void
}

/**
 * Google's own chain of credentials. A service account signs its tokens itself, which spares every command the request
 * for one.
 */
export function openAuthorization(credentials: Exclude<GcsCredentials, { kind: 'none' }>): GcsAuthorization {
  const file = credentials.kind === 'file' ? { keyFilename: credentials.path } : {}
  let opening: Promise<AuthClient> | undefined
  return {
    async header(): Promise<string> {
      opening ??= open(new GoogleAuth({ scopes: [SCOPE], ...file }))
      const headers = await (await opening).getRequestHeaders()
      return headers['Authorization'] ?? ''
    },
    forget() {
      opening = undefined
    },
  }
}

async function open(auth: GoogleAuth): Promise<AuthClient> {
  const client = await auth.getClient()
  if (client instanceof JWT) client.useJWTAccessWithScope = true
  return client
}
