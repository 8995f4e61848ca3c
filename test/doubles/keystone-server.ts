import { createServer } from 'node:http'

/** What a request for a token said, as far as it was right. */
export interface TokenRequest {
  readonly methods: readonly string[]
  readonly identity: Readonly<Record<string, unknown>>
  readonly scope: unknown
}

/** The Identity API v3 in front of a Swift of TempAuth: its tokens are those of that Swift. */
export interface KeystoneServer extends AsyncDisposable {
  /** With `/v3`. */
  readonly url: string
  readonly requests: readonly TokenRequest[]
}

interface Body {
  readonly auth?: {
    readonly identity?: { readonly methods?: readonly string[] } & Readonly<Record<string, unknown>>
    readonly scope?: unknown
  }
}

const SECRET = 'testing'

/** `accepts` is the user `tester` of the domain `Default`, and the application credential `credential`. */
export async function startKeystoneServer(swiftUrl: string): Promise<KeystoneServer> {
  const requests: TokenRequest[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', chunk => {
      text += String(chunk)
    })
    request.on('end', () => void answer(text))

    async function answer(body: string): Promise<void> {
      const { identity, scope } = (JSON.parse(body) as Body).auth ?? {}
      const isRight = request.method === 'POST' && request.url === '/v3/auth/tokens' && isKnown(identity)
      if (!isRight || identity === undefined) {
        response.writeHead(request.url === '/v3/auth/tokens' ? 401 : 404, {
          'content-type': 'application/json',
        })
        response.end(
          JSON.stringify({ error: { message: 'The request you have made requires authentication.' } }),
        )
        return
      }
      requests.push({ methods: identity.methods ?? [], identity, scope })
      const headers = { 'x-auth-user': 'test:tester', 'x-auth-key': SECRET }
      const given = await fetch(`${swiftUrl}/auth/v1.0`, { headers })
      const url = given.headers.get('x-storage-url') ?? ''
      const endpoints = ['public', 'internal'].map(each => ({
        interface: each,
        region: 'RegionTwo',
        region_id: 'RegionTwo',
        url: each === 'public' ? `${url}/` : 'http://127.0.0.1:1/v1/AUTH_test',
      }))
      const elsewhere = {
        interface: 'public',
        region_id: 'RegionOne',
        url: 'http://127.0.0.1:1/v1/AUTH_test',
      }
      const catalog = [
        { type: 'identity', endpoints: [] },
        { type: 'object-store', endpoints: [elsewhere, ...endpoints] },
      ]
      response.writeHead(201, { 'x-subject-token': given.headers.get('x-auth-token') ?? '' })
      response.end(JSON.stringify({ token: { catalog } }))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/v3`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

function isKnown(identity: Readonly<Record<string, unknown>> | undefined): boolean {
  const text = JSON.stringify(identity ?? {})
  const user = { name: 'tester', domain: { name: 'Default' }, password: SECRET }
  return [
    { methods: ['password'], password: { user } },
    { methods: ['password'], password: { user: { id: 'u-1', password: SECRET } } },
    { methods: ['application_credential'], application_credential: { id: 'credential', secret: SECRET } },
    { methods: ['token'], token: { id: 'a-token' } },
  ].some(each => JSON.stringify(each) === text)
}
