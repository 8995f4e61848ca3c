import { type HttpService, startHttpService } from './kms/http-service.ts'

export interface IssuedKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly token: string
  readonly endsMs: number
}

export interface CredentialService extends HttpService {
  /** Environment that leads the credential chain of AWS to this service. */
  readonly environment: Readonly<Record<'sts' | 'instance' | 'container', Record<string, string>>>
  /** Every set of keys that was given out, the latest last. */
  readonly issued: IssuedKeys[]
}

/**
 * STS (AssumeRole, AssumeRoleWithWebIdentity), the metadata of an instance (IMDSv2: a token is demanded) and of a
 * container, on 127.0.0.1. `issue` is called for each set of keys that it gives out.
 */
export async function startCredentialService(
  issue: (count: number) => IssuedKeys,
): Promise<CredentialService> {
  const issued: IssuedKeys[] = []
  const next = (): IssuedKeys => {
    const keys = issue(issued.length)
    issued.push(keys)
    return keys
  }
  const service = await startHttpService((request, body) => {
    const path = request.url ?? '/'
    if (path === '/latest/api/token') return { status: 200, body: 'imds-token', contentType: 'raw' }
    if (path.startsWith('/latest/meta-data/')) {
      if (request.headers['x-aws-ec2-metadata-token'] !== 'imds-token') return { status: 401, body: '' }
      return path.endsWith('/security-credentials/')
        ? { status: 200, body: 'the-role', contentType: 'raw' }
        : { status: 200, body: metadataOf(next()) }
    }
    if (path === '/container') {
      if (request.headers['authorization'] !== 'container-token') return { status: 403, body: {} }
      return { status: 200, body: metadataOf(next()) }
    }
    const form = new URLSearchParams(body)
    const action = form.get('Action') ?? ''
    if (action === 'AssumeRoleWithWebIdentity' && form.get('WebIdentityToken') !== 'web-token') {
      return {
        status: 403,
        body: '<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>',
        contentType: 'text/xml',
      }
    }
    return { status: 200, body: assumed(action, next()), contentType: 'text/xml' }
  })
  return {
    ...service,
    issued,
    environment: {
      sts: { AWS_ENDPOINT_URL_STS: service.url, AWS_REGION: 'us-east-1' },
      instance: { AWS_EC2_METADATA_SERVICE_ENDPOINT: service.url },
      container: {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${service.url}/container`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: 'container-token',
      },
    },
  }
}

function metadataOf({ accessKeyId, secretAccessKey, token, endsMs }: IssuedKeys): object {
  return {
    Code: 'Success',
    Type: 'AWS-HMAC',
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: token,
    Expiration: new Date(endsMs).toISOString(),
  }
}

function assumed(action: string, { accessKeyId, secretAccessKey, token, endsMs }: IssuedKeys): string {
  return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials><AccessKeyId>${accessKeyId}</AccessKeyId><SecretAccessKey>${secretAccessKey}</SecretAccessKey><SessionToken>${token}</SessionToken><Expiration>${new Date(endsMs).toISOString()}</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn><AssumedRoleId>AROA:y</AssumedRoleId></AssumedRoleUser></${action}Result></${action}Response>`
}
