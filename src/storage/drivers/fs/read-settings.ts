import { readTable, type SettingTexts } from '../../../kit/settings.ts'
import type { DriverReading } from '../../driver-reading.ts'
import type { FsDescription } from './description.ts'
import { fsSettings } from './settings.ts'

/** Reads WALG_FILE_PREFIX. */
export async function readFs(texts: SettingTexts): Promise<DriverReading<FsDescription>> {
  const { values, problems } = readTable(fsSettings, texts)
  const root = values.WALG_FILE_PREFIX
  if (root === undefined) return { problems, warnings: [] }
  return { description: { kind: 'fs', root, isDurable: true }, problems, warnings: [] }
}
