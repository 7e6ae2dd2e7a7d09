/** Claims that a proof over all requests decides. */
import { type Judge, notShown, shortened } from "../claim.ts";

export function byProof(name: string, how = `bulwark verify --builtin ${name}`): Judge {
  return ({ proofs, audit }) => {
    const results = proofs.get(name)?.results ?? [];
    const outside = audit.mesh.workloads.filter(
      ({ dataplane, role }) => dataplane === "none" && role === "application",
    );
    const wrong = [
      ...results.flatMap(({ findings }) =>
        findings
          .filter(({ outcome }) => outcome === "violated")
          .map(({ workloads, why }) => `${workloads.slice(0, 3).join(", ")}: ${why}`),
      ),
      ...outside.map(({ key }) => `${key} has no proxy: nothing is enforced before it`),
    ];
    const unclear = results.filter(({ outcome }) => outcome === "unclear");
    const proven = results.reduce((sum, one) => sum + one.proven.length, 0);
    if (wrong.length > 0) return { status: "refuted", evidence: shortened(wrong) };
    if (unclear.length > 0 || proven === 0)
      return notShown(...shortened(unclear.flatMap(({ findings }) => findings.map(({ why }) => why))));
    return {
      status: "shown",
      evidence: [`proven over all requests for ${proven} workloads (${how})`],
    };
  };
}
