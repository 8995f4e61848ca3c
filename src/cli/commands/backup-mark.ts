import { hasCode } from '../../kit/errors.ts'
import { checkPortableJson } from '../../kit/json.ts'
import { backupMark } from '../../operations/backup-mark/backup-mark.ts'
import { storageIdentity } from '../../storage/storage-identity.ts'
import { usage } from '../arguments.ts'
import type { CommandDefinition, Invocation, PushStorage } from '../command.ts'
import { checkExact } from '../configuration/exact-text.ts'
import { withOpened } from '../opened-storages.ts'

export const command: CommandDefinition = {
  name: 'backup-mark',
  usage: 'backup-mark backup_name',
  summary: 'Marks a backup permanent or impermanent',
  positionals: { kind: 'exact', count: 1 },
  flags: [
    { name: 'impermanent', short: 'i', type: 'boolean', doc: 'Marks a backup impermanent' },
    {
      name: 'user-data',
      type: 'string',
      doc: 'Replaces the user data (JSON); alone it leaves the mark as it is',
    },
  ],
  needsStorage: true,
  check: given => void readUserData(given),
  async run(invocation: Invocation): Promise<number> {
    const { log, signal, flags, positionals, storageDescription } = invocation
    const userData = readUserData(invocation)
    const isImpermanent = flags['impermanent'] === true
    return withOpened(await openMarked(invocation), async ({ storage }) => {
      await backupMark(
        { storage, log, signal },
        {
          name: positionals[0] ?? '',
          permanence: isImpermanent ? 'impermanent' : userData === null ? 'permanent' : null,
          userData,
          place: placeOf(storageDescription),
        },
      )
      return 0
    })
  },
}

/** The primary storage, as in the original; its mirrors are marked with it. */
async function openMarked(invocation: Invocation): Promise<Pick<PushStorage, 'storage' | 'end'>> {
  if (invocation.settings.WALG_MIRROR_STORAGES.length > 0) return invocation.openForPush()
  const storage = await invocation.openStorage()
  return { storage, end: () => storage.close() }
}

function readUserData({ flags }: Pick<Invocation, 'flags'>): string | null {
  const text = flags['user-data']
  if (typeof text !== 'string' || text === '') return null
  checkExact(text, 'the user data', undefined)
  try {
    checkPortableJson(text)
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    throw usage(`the user data are not valid JSON: ${text}`)
  }
  return text
}

function placeOf(description: Invocation['storageDescription']): string {
  const { driver, prefix } = description
  if (driver.kind !== 'fs') return storageIdentity(description)
  const root = driver.root.replace(/\/$/, '')
  const below = prefix.split('/').filter(component => component !== '')
  return [root, ...below].join('/')
}
