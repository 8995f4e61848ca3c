import { isIP } from 'node:net'
import type { HttpTarget } from '../../http/connection.ts'
import type { S3Address, S3Description } from './description.ts'

/** How a bucket is addressed. */
export interface BucketAddress {
  readonly protocol: 'http' | 'https'
  /** Value of the Host header, the port included where it is not the usual one. */
  readonly hostHeader: string
  readonly target: HttpTarget
  /** `/bucket` in path style, else `''`. */
  readonly basePath: string
  /** For messages: `https://host:port`. */
  readonly shown: string
}

/** A name that can stand in front of a host name, and below a wildcard certificate. */
const DNS_NAME = /^(?!.*[.-]{2})[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/

/** Host and path of the bucket in `region`: AWS's own, or that of AWS_ENDPOINT. Pure. */
export function addressBucket({ bucket, endpoint }: S3Description, region: string): BucketAddress {
  const base = endpoint.address ?? awsAddress(region, endpoint.isDualStack)
  const isPathStyle =
    endpoint.isPathStyle || !DNS_NAME.test(bucket) || isIP(base.host) !== 0 || base.host === 'localhost'
  const host = isPathStyle ? base.host : `${bucket}.${base.host}`
  const shownHost = isIP(host) === 6 ? `[${host}]` : host
  const isUsualPort = base.port === (base.protocol === 'http' ? 80 : 443)
  const hostHeader = isUsualPort ? shownHost : `${shownHost}:${base.port}`
  return {
    protocol: base.protocol,
    hostHeader,
    target: targetOf({ ...base, host }, host, endpoint.ca),
    basePath: isPathStyle ? `/${bucket}` : '',
    shown: `${base.protocol}://${hostHeader}`,
  }
}

/** The same bucket, asked for at another node (S3_ENDPOINT_SOURCE): Host and certificate stay those of the endpoint. */
export function atNode(address: BucketAddress, node: S3Address, ca: string | undefined): BucketAddress {
  return { ...address, protocol: node.protocol, target: targetOf(node, address.target.host, ca) }
}

function targetOf(address: S3Address, serverName: string, ca: string | undefined): HttpTarget {
  const { protocol, host, port } = address
  if (protocol === 'http') return { host, port }
  return { host, port, tls: { serverName, ...(ca === undefined ? {} : { ca }) } }
}

function awsAddress(region: string, isDualStack: boolean): S3Address {
  const suffix = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
  return { protocol: 'https', host: `s3.${isDualStack ? 'dualstack.' : ''}${region}.${suffix}`, port: 443 }
}
