import type { FinishedRotation, Rotation } from "../../identity/rotation/rotation.ts";
import type { AuditRecord, CaStore } from "../../identity/store/ca-store.ts";

/** Puts a phase that has begun, or with `rotation` null the end of the last rotation, on the CA's record. @throws {BulwarkError} BW_CA_STORE_… */
export async function auditRotation(
  store: Pick<CaStore, "audit">,
  rotation: Rotation | null,
  last: FinishedRotation | null,
): Promise<void> {
  const about = rotation ?? last;
  if (about === null) return;
  const { kind, by, from, to, passedOver } = about;
  const what = rotation === null ? "replaced; the old keys are deleted" : `phase ${rotation.phase}`;
  const without = passedOver.length === 0 ? "" : `, without ${passedOver.join(", ")}`;
  const record: AuditRecord = {
    timeMs: Date.now(),
    kind: "rotation",
    caller: by,
    method: null,
    spiffeId: null,
    serial: null,
    code: null,
    message: `${kind} ${from} → ${to}: ${what}${without}`,
  };
  await store.audit(record);
}
