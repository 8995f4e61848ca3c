import type { Abortable, Storage } from '../../storage/storage.ts'
import {
  copyAcross,
  finishedWithErrors,
  forEachObject,
  type MovedObject,
  type TransferContext,
  type TransferOptions,
} from './move-objects.ts'
import type { TransferNote } from './transfer-note.ts'

/** Sizes by key. */
export type Listing = ReadonlyMap<string, number>

/** What a plan makes of two listings; pure. */
export interface TransferPlan {
  /** Missing in the target, or to be written again. */
  readonly missingCount: number
  readonly objects: readonly MovedObject[]
}

/**
 * Moves every object below a prefix into another storage: copied, seen there, removed here. Objects that are in both
 * are left alone, except those of an earlier run that did not end.
 */
export async function transferFiles(
  context: TransferContext,
  note: TransferNote,
  prefix: string,
  options: TransferOptions,
): Promise<void> {
  const { source, target, log, signal } = context
  const here = await listSizes(source, prefix, { signal })
  const plan = planFiles(here, await listSizes(target, prefix, { signal }), note.unfinished, options)
  log.info(`Total files in the source storage: ${here.size}`)
  log.info(`Files missing in the target storage: ${plan.missingCount}`)
  log.info(`Files will be transferred: ${plan.objects.length}`)
  if (!options.isPreserving) await note.write(plan.objects.map(({ key }) => key))
  let left = plan.objects.length
  const failed = await forEachObject(context, plan.objects, options, async object => {
    await copyAcross(context, object, options)
    if (!options.isPreserving) await source.delete([object.key], { signal })
    left -= 1
    log.info(`File is transferred (${left} left): "${object.key}"`)
  })
  if (failed.size > 0) throw finishedWithErrors(failed.size)
  if (!options.isPreserving) await note.remove()
}

export async function listSizes(storage: Storage, prefix: string, options: Abortable): Promise<Listing> {
  const sizes = new Map<string, number>()
  for await (const entry of storage.list(prefix, { ...options, recursive: true })) {
    if (entry.kind === 'object') sizes.set(entry.key, entry.sizeBytes)
  }
  return sizes
}

/** Which objects are moved, and which of them only have to be removed from the source. */
export function planFiles(
  source: Listing,
  target: Listing,
  unfinished: ReadonlySet<string>,
  { isOverwriting, filesMax }: Pick<TransferOptions, 'isOverwriting' | 'filesMax'>,
): TransferPlan {
  const objects: MovedObject[] = []
  let missingCount = 0
  for (const key of [...source.keys()].sort()) {
    const sizeBytes = source.get(key)!
    const there = target.get(key)
    const isOwn = there === sizeBytes && unfinished.has(key)
    if (there === undefined || isOverwriting) missingCount += 1
    else if (!isOwn) continue
    objects.push({ key, sizeBytes, isThere: isOwn })
  }
  return { missingCount, objects: objects.slice(0, filesMax) }
}
