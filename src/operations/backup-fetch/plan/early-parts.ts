import { PARTS_FOLDER } from '../../../repository/layout.ts'
import type { FetchStep } from './chain-plan.ts'
import type { PlannedPart } from './fetch-plan.ts'
import { IS_WANTED } from './member-roles.ts'

/** A part of a backup of the chain; `generation` 0 is the full one. */
export interface EarlyPart {
  readonly generation: number
  readonly part: PlannedPart
}

/**
 * Parts of older backups that hold nothing of what newer ones have touched: they need not wait for those. Content manifests
 * tell which file is in which object; from the first backup without one on nothing is known. Largest first.
 */
export function planEarlyParts(steps: readonly FetchStep[]): EarlyPart[] {
  const early: EarlyPart[] = []
  let touched: Uint8Array = new Uint8Array(0)
  for (let generation = steps.length - 1; generation >= 0; generation--) {
    const { content, roles, parts, isTarget } = steps[generation]!
    if (content === null) break
    const objects = new Uint32Array(content.data.objects)
    if (!isTarget) {
      const bound = dependentObjects(objects, roles, touched)
      for (const part of parts.ordinary) {
        const object = content.objects.get(`${PARTS_FOLDER}/${part.part}`)
        if (object !== undefined && !bound.has(object.number)) early.push({ generation, part })
      }
    }
    if (generation > 0) touched = withRows(touched, objects)
  }
  return early.sort((a, b) => b.part.sizeBytes - a.part.sizeBytes)
}

/** Numbers of the objects with a wanted file that a newer backup has, too. */
function dependentObjects(objects: Uint32Array, roles: Uint8Array, touched: Uint8Array): ReadonlySet<number> {
  const bound = new Set<number>()
  for (let row = 0; row < objects.length; row++) {
    if (objects[row] === 0 || touched[row] !== 1 || (roles[row]! & IS_WANTED) === 0) continue
    bound.add(objects[row]!)
  }
  return bound
}

function withRows(touched: Uint8Array, objects: Uint32Array): Uint8Array {
  const rows = new Uint8Array(Math.max(touched.length, objects.length))
  rows.set(touched)
  for (let row = 0; row < objects.length; row++) if (objects[row] !== 0) rows[row] = 1
  return rows
}
