import { type JsonValue, writeJson } from '../../kit/json.ts'
import type { DeletePlan } from '../../operations/delete/plan.ts'

/** The plan of a delete on one line: what goes with size and reason, which backups stay, and the other objects by reason. */
export function renderPlanJson(
  plan: DeletePlan | null,
  { request, isExecuted }: { readonly request: string; readonly isExecuted: boolean },
): string {
  const remove = [...(plan?.remove ?? [])]
  const keepObjects = plan?.keepObjects ?? []
  const sum = (sizes: readonly { readonly sizeBytes: number }[]): number =>
    sizes.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
  const document: JsonValue = {
    command: request,
    is_executed: isExecuted,
    target: plan?.target ?? null,
    remove_count: remove.length,
    remove_bytes: sum(remove),
    keep_count: keepObjects.reduce((total, { count }) => total + count, 0),
    keep_bytes: sum(keepObjects),
    remove: remove.map(({ key, sizeBytes, why, storageName }) => ({
      key,
      bytes: sizeBytes,
      why,
      ...(storageName === undefined ? {} : { storage: storageName }),
    })),
    keep_backups: (plan?.keepBackups ?? []).map(({ backup, why }) => ({ backup, why })),
    keep_objects: keepObjects.map(({ why, count, sizeBytes }) => ({ why, count, bytes: sizeBytes })),
  }
  return writeJson(document)
}
