import { WalgError } from '../../kit/errors.ts'
import { createLogger, type Logger } from '../../kit/log.ts'
import { BACKUPS_PREFIX, CATCHUP_PREFIX } from '../../repository/layout.ts'
import type { StorageDescription } from '../../storage/description.ts'
import type { Storage } from '../../storage/storage.ts'
import type { Invocation } from '../command.ts'

/** What a catchup command works with: backups in it are those in `catchup_005`. */
export interface CatchupPlace {
  readonly storage: Storage
  readonly storageDescription: StorageDescription
  readonly log: Logger
}

/**
 * Runs a command on the catchup backups of the primary storage. They have the layout of ordinary ones in a folder of their own,
 * so the storage is shown with that folder in the place of the ordinary one; what is said names the real one.
 */
export async function withCatchupPlace<T>(
  invocation: Invocation,
  mayCreate: boolean,
  work: (place: CatchupPlace) => Promise<T>,
): Promise<T> {
  const storageDescription: StorageDescription = {
    ...invocation.storageDescription,
    renamed: { from: BACKUPS_PREFIX, to: CATCHUP_PREFIX },
  }
  const storage = await invocation.openStorage({ description: storageDescription, mayCreate })
  const { log } = invocation
  const told: Logger = createLogger((level, message) => {
    const text = realName(message)
    if (level === 'DEBUG') log.debug(text)
    else if (level === 'INFO') log.info(text)
    else if (level === 'WARNING') log.warning(text)
    else log.error(text)
  })
  try {
    return await work({ storage, storageDescription, log: told })
  } catch (error) {
    throw namingCatchup(error)
  } finally {
    await storage.close()
  }
}

function realName(text: string): string {
  return text.replaceAll(`${BACKUPS_PREFIX}/`, `${CATCHUP_PREFIX}/`)
}

function namingCatchup(error: unknown): unknown {
  if (!(error instanceof WalgError) || realName(error.message) === error.message) return error
  const { code, message, facts, hint, cause } = error
  return new WalgError(code, realName(message), { facts, cause, ...(hint === undefined ? {} : { hint }) })
}
