import { expect, test } from 'bun:test'
import type { FetchStep } from './chain-plan.ts'
import { planEarlyParts } from './early-parts.ts'
import { IS_WANTED } from './member-roles.ts'

interface MadeStep {
  /** By row: the number of the part that has the file, 0 for none. */
  readonly parts: readonly number[]
  readonly sizes?: readonly number[]
  readonly unwanted?: readonly number[]
  readonly isTarget?: boolean
  readonly hasManifest?: boolean
}

function stepOf({ parts, sizes = [1, 1, 1], unwanted = [], isTarget = false, hasManifest = true }: MadeStep) {
  const objects = new Uint32Array(new SharedArrayBuffer(parts.length * 4))
  objects.set(parts)
  const names = sizes.map((_, index) => `part_00${index + 1}.tar`)
  const content = {
    data: { objects: objects.buffer },
    objects: new Map(names.map((name, index) => [`tar_partitions/${name}`, { number: index + 1 }])),
  }
  return {
    isTarget,
    content: hasManifest ? content : null,
    roles: Uint8Array.from(parts, (_, row) => (unwanted.includes(row) ? 0 : IS_WANTED)),
    parts: { ordinary: names.map((part, index) => ({ part, sizeBytes: sizes[index]! })) },
  } as unknown as FetchStep
}

/** Oldest first, as generations count. */
const early = (...steps: readonly MadeStep[]): string[] =>
  planEarlyParts(steps.map(stepOf)).map(({ generation, part }) => `${generation} ${part.part}`)

test('a part of an older backup goes ahead when no newer one has any of its files', () => {
  const full = { parts: [1, 1, 2, 3], sizes: [5, 7, 9] }
  const newest = { parts: [0, 1, 0, 0], sizes: [1], isTarget: true }
  expect(early(full, newest)).toEqual(['0 part_003.tar', '0 part_002.tar'])
})

test('what any backup in between has counts, and so does a file that is not in the list of the newest', () => {
  const full = { parts: [1, 2, 3] }
  const between = { parts: [0, 1, 2, 0], sizes: [1, 1] }
  const newest = { parts: [1, 0, 0, 0], sizes: [1], isTarget: true }
  expect(early(full, between, newest)).toEqual(['1 part_001.tar', '1 part_002.tar'])
})

test('a file that is not wanted binds nobody', () => {
  const full = { parts: [1, 2], sizes: [1, 1], unwanted: [0] }
  expect(early(full, { parts: [1, 0], sizes: [1], isTarget: true })).toEqual([
    '0 part_001.tar',
    '0 part_002.tar',
  ])
})

test('from the first backup without a content manifest on nothing is known, and the newest waits for nobody', () => {
  const full = { parts: [1, 2, 3] }
  expect(early(full, { parts: [0, 0, 0], isTarget: true, hasManifest: false })).toEqual([])
  expect(early(full, { parts: [0, 0, 0], hasManifest: false }, { parts: [0, 0, 0], isTarget: true })).toEqual(
    [],
  )
  expect(early({ ...full, isTarget: true })).toEqual([])
})
