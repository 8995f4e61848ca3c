import { textsOfRecord } from '../../../src/kit/settings.ts'
import type { S3Description } from '../../../src/storage/drivers/s3/description.ts'
import { openS3Driver, type S3DriverOptions } from '../../../src/storage/drivers/s3/driver.ts'
import { readS3 } from '../../../src/storage/drivers/s3/read-settings.ts'
import type { Storage } from '../../../src/storage/storage.ts'

/** The description that settings stand for; throws when they are wrong. */
export async function s3Description(settings: Readonly<Record<string, string>>): Promise<S3Description> {
  const { description, problems } = await readS3(textsOfRecord(settings, 'test'))
  if (description === undefined) throw new Error(problems.map(each => each.message).join('\n'))
  return description
}

/** A driver by its settings; what no setting says by `more`. */
export async function openS3(
  settings: Readonly<Record<string, string>>,
  more: Partial<Omit<S3DriverOptions, 'description'>> & {
    readonly description?: Partial<S3Description>
  } = {},
): Promise<Storage> {
  const description = { ...(await s3Description(settings)), ...more.description }
  return openS3Driver({ name: 's3', stallTimeoutMs: 60_000, ...more, description })
}
