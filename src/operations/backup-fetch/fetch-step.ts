import { hasCode, isDamage, WalgError } from '../../kit/errors.ts'
import { isPassing, retry } from '../../kit/retry.ts'
import { PARTS_FOLDER } from '../../repository/layout.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import type { OperationContext } from '../context.ts'
import type { BackupFetchOptions } from './options.ts'
import type { PartPool, RunJob } from './part/part-pool.ts'
import type { BackupJob, NewerPagesData, PartJob, PartResult } from './part/part-protocol.ts'
import type { FetchStep } from './plan/chain-plan.ts'
import type { EarlyPart } from './plan/early-parts.ts'
import type { PlannedPart } from './plan/fetch-plan.ts'
import { BACKUP_LABEL, PG_CONTROL, TABLESPACE_MAP } from './plan/member-roles.ts'
import type { MemberTable } from './plan/member-table.ts'
import type { RestoredFiles } from './restored-files.ts'
import type { FetchState } from './resume/fetch-state.ts'

/** What all steps of a fetch share. */
export interface Fetch {
  readonly context: OperationContext
  readonly options: BackupFetchOptions
  readonly pool: PartPool
  readonly state: FetchState
  readonly restored: RestoredFiles
  readonly table: MemberTable
  readonly hasList: boolean
  /** Names that are left out where nothing lists what is wanted. */
  readonly dropped: readonly string[]
}

const RETRY_DELAY_MS = 1000
const LATE_NAMES: readonly string[] = [PG_CONTROL, BACKUP_LABEL, TABLESPACE_MAP]

/** Unpacks parts whose turn has not come, while a thread has nothing else to do. */
export class EarlyParts {
  readonly #fetch: Fetch
  readonly #waiting: EarlyPart[]
  readonly #steps: readonly FetchStep[]
  readonly #runs = new Map<number, RunPart>()
  readonly #begun = new Map<string, Promise<PartResult>>()

  constructor(fetch: Fetch, steps: readonly FetchStep[], parts: readonly EarlyPart[]) {
    this.#fetch = fetch
    this.#steps = steps
    this.#waiting = [...parts]
  }

  /** The largest of those left, in the thread of `runJob`. */
  begin(runJob: RunJob): Promise<void> | undefined {
    const next = this.#waiting.shift()
    if (next === undefined) return undefined
    const { generation, part } = next
    const run = this.#runs.get(generation) ?? openStep(this.#fetch, this.#steps[generation]!, null)
    this.#runs.set(generation, run)
    const result = run(part, false, runJob)
    this.#begun.set(part.key, result)
    return result.then(() => {})
  }

  /** Their turn has come: what is not begun is left to it. */
  claim(generation: number): void {
    const others = this.#waiting.filter(part => part.generation !== generation)
    this.#waiting.splice(0, this.#waiting.length, ...others)
  }

  /** Undefined for a part that was not begun early. */
  resultOf(part: PlannedPart): Promise<PartResult> | undefined {
    return this.#begun.get(part.key)
  }
}

/** What has come of one backup. */
export interface StepRun {
  readonly run: RunPart
  readonly memberBytes: number
}

/**
 * Unpacks the ordinary parts of one backup of the chain, side by side: of each file what no newer backup has written.
 * Then everything must be there. `take` gets the result of each part.
 */
export async function fetchStep(
  fetch: Fetch,
  generation: number,
  step: FetchStep,
  trusted: ReadonlyMap<string, PartResult>,
  newer: NewerPagesData | null,
  early: EarlyParts,
  take: (result: PartResult) => void,
): Promise<StepRun> {
  const { restored, pool, state, table } = fetch
  const run = openStep(fetch, step, newer)
  let memberBytes = 0
  const add = (result: PartResult): void => {
    restored.add(result)
    take(result)
    memberBytes += result.memberBytes
  }
  restored.beginBackup()
  for (const result of trusted.values()) {
    add(result)
    fetch.context.progress.advance(result.storedBytes)
  }
  const parts = step.parts.ordinary.filter(({ part }) => !trusted.has(part))
  if (trusted.size > 0) {
    fetch.context.log.info(`${trusted.size} parts of ${step.backup.name} are complete, ${parts.length} to go`)
  }
  early.claim(generation)
  const finish = async (part: PlannedPart, working: Promise<PartResult>): Promise<void> => {
    const result = await working
    await state.record(generation, part, result, table)
    add(result)
  }
  await pool.forEach(
    parts.filter(part => early.resultOf(part) === undefined),
    (part, runJob) => finish(part, run(part, false, runJob)),
    runJob => early.begin(runJob),
  )
  const begun = parts.flatMap(part => {
    const working = early.resultOf(part)
    return working === undefined ? [] : [finish(part, working)]
  })
  await pool.until(Promise.all(begun))
  if (fetch.hasList) restored.checkDelivered(step.backup.name, step.roles, name => LATE_NAMES.includes(name))
  return { run, memberBytes }
}

/** Unpacks pg_control and the label files, after everything else. */
export async function fetchLateParts(
  fetch: Fetch,
  step: FetchStep,
  { run, memberBytes }: StepRun,
): Promise<void> {
  let totalBytes = memberBytes
  await fetch.pool.forEach(step.parts.late, async (part, runJob) => {
    const result = await run(part, true, runJob)
    fetch.restored.add(result)
    totalBytes += result.memberBytes
  })
  checkSum(fetch, step, totalBytes)
}

type RunPart = (part: PlannedPart, isLate: boolean, runJob: RunJob) => Promise<PartResult>

function openStep(fetch: Fetch, step: FetchStep, newer: NewerPagesData | null): RunPart {
  const { context, table, hasList } = fetch
  const of: BackupJob = {
    backup: step.backup.name,
    isDelta: step.isDelta,
    isTarget: step.isTarget,
    table: hasList ? table.data : null,
    roles: step.roles.buffer,
    owners: new SharedArrayBuffer(table.count * 4),
    expectations: step.content?.data ?? null,
    newer,
    dropped: fetch.dropped,
  }
  const hasControlPart = step.parts.late.some(({ part }) => part.includes('pg_control.tar'))
  let number = 0
  return async (part, isLate, runJob) => {
    const object = step.content?.objects.get(`${PARTS_FOLDER}/${part.part}`)
    const job: PartJob = {
      kind: 'part',
      of,
      number: ++number,
      copy: 0,
      part: part.part,
      key: part.key,
      extension: part.extension,
      isLate,
      leavesControlFile: !isLate && (hasControlPart || !step.isTarget),
      expectedSizeBytes: part.sizeBytes,
      expectedHash: object?.hash ?? null,
      manifestObject: object?.number ?? 0,
    }
    const result = await runWithRetries(fetch, job, runJob)
    context.log.info(`Finished extraction of ${part.part}`)
    return result
  }
}

/**
 * Trouble that may pass is tried again as often as the setting says; damage once, in case the read was at fault, and
 * once for each further storage that has the backup. Each try begins with another storage.
 */
async function runWithRetries(fetch: Fetch, job: PartJob, runJob: RunJob): Promise<PartResult> {
  const { context, options } = fetch
  const copies = copiesOf(context.storage).length
  let damages = 0
  const isRetryable = (error: unknown): boolean => {
    if (isPassing(error) || hasCode(error, 'TIMEOUT')) return true
    return isDamage(error) && damages++ < copies
  }
  return retry(attempt => runJob({ ...job, copy: attempt - 1 }), {
    attemptsMax: options.retriesMax + 1,
    delayMs: RETRY_DELAY_MS,
    isRetryable,
    signal: context.signal,
    onRetry: (error, attempt, delayMs) => {
      const left = options.retriesMax - attempt + 1
      const why = error instanceof Error ? error.message : String(error)
      context.log.warning(
        `${job.part} failed to download: ${why}. It is tried again in ${Math.ceil(delayMs / 1000)} s, retries left: ${left}`,
      )
    },
  })
}

/**
 * Without any list of files a missing part shows in the sum of the sizes only. (For a backup over the replication
 * protocol, which has no catalogue size, the sentinel counts the bytes of the server's archives instead.)
 */
function checkSum(fetch: Fetch, step: FetchStep, memberBytes: number): void {
  if (!step.isSizeChecked) return
  const { name, document } = step.backup
  const { uncompressedSizeBytes, dataCatalogSizeBytes } = document.sentinel
  if (uncompressedSizeBytes === 0 || dataCatalogSizeBytes === 0) {
    fetch.context.log.warning(
      `nothing says which files backup ${name} has: a missing part would not be noticed`,
    )
    return
  }
  if (memberBytes === uncompressedSizeBytes) return
  throw new WalgError(
    'INTEGRITY',
    `the parts of backup "${name}" hold ${memberBytes} bytes, its sentinel says ${uncompressedSizeBytes}`,
    { facts: { backup: name }, hint: 'a part may be missing: restore another backup' },
  )
}
