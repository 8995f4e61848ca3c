import type { OssDescription } from '../../../src/storage/drivers/oss/description.ts'
import type { OssServer } from '../../doubles/oss-server/oss-server.ts'

/** A storage in a bucket of the server of the tests. */
export function ossDescription(server: OssServer, bucket: string): OssDescription {
  const { accessKeyId, accessKeySecret, url } = server
  return {
    kind: 'oss',
    bucket,
    root: '',
    region: 'cn-test',
    endpoint: url,
    credentials: { accessKeyId, accessKeySecret },
    isChecked: true,
    attemptsMax: 6,
    connectTimeoutMs: 5000,
    partSizeBytes: 6 << 20,
    copyPartSizeBytes: 64 << 20,
  }
}

/** The settings of wal-g for it. */
export function ossEnvironment(server: OssServer, bucket: string): Record<string, string> {
  return {
    WALG_OSS_PREFIX: `oss://${bucket}/a/path`,
    OSS_ENDPOINT: server.url,
    OSS_REGION: 'cn-test',
    OSS_ACCESS_KEY_ID: server.accessKeyId,
    OSS_ACCESS_KEY_SECRET: server.accessKeySecret,
  }
}
