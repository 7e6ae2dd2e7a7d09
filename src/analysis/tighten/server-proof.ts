/** What is proven, and lost, of workloads that share a policy and may differ in all else. */
import type { LostAccess, Proof } from "./prove-narrower.ts";

/**
 * `proven`: over all requests, of every workload. `by construction`: of some it was not analysed; each rule is one of today's with more
 * conditions.
 */
export type ServerProof =
  | { readonly kind: "proven" }
  | {
      readonly kind: "by construction";
      readonly why: string;
      /** `namespace/name` of those that it is so of: of the others it is proven. */
      readonly workloads: readonly string[];
    };

export interface ServerLoss extends LostAccess {
  /** `namespace/name` of those that let it through today, and would not. */
  readonly workloads: readonly string[];
}

export interface ProofSummary {
  readonly proof: ServerProof;
  readonly lost: readonly ServerLoss[];
  /** Whether all that is lost is told. */
  readonly isLostAll: boolean;
}

/** The worst of the proofs, and every loss once. @param proofs of each workload; undefined: nothing changes for it. */
export function summaryOf(proofs: readonly (readonly [workload: string, Proof | undefined])[]): ProofSummary {
  const unproven = proofs.flatMap(([workload, proof]) =>
    proof?.kind === "unproven" ? [{ workload, why: proof.why }] : [],
  );
  const [first] = unproven;
  const lost = new Map<string, ServerLoss & { workloads: string[] }>();
  for (const [workload, proof] of proofs)
    for (const loss of proof?.kind === "narrower" ? proof.lost : []) {
      const { witness: _witness, ...same } = loss;
      const key = JSON.stringify(same);
      const known = lost.get(key);
      if (known === undefined) lost.set(key, { ...loss, workloads: [workload] });
      else known.workloads.push(workload);
    }
  return {
    proof:
      first === undefined
        ? { kind: "proven" }
        : {
            kind: "by construction",
            why: [...new Set(unproven.map(({ why }) => why))].join("; "),
            workloads: unproven.map(({ workload }) => workload),
          },
    lost: [...lost.values()],
    isLostAll: proofs.every(([, proof]) => proof === undefined || (proof.kind === "narrower" && proof.isAll)),
  };
}
