import type { AuditContext } from "../audit-context.ts";
import { isSelective, modeOf, portModesOf, selectorOf } from "../facts/peer-authentications.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const mtlsSelectorRoot: AuditRule = {
  id: "BW0634",
  title: "A PeerAuthentication with a selector in the root namespace, which counts for nobody",
  severity: "high",
  attacks: ["M1"],
  what: "PeerAuthentications in the mesh's root namespace whose `selector` has labels. Unlike AuthorizationPolicies there, they select in no namespace, not even in their own.",
  why: "The STRICT that it says for the selected workloads holds nowhere: they take plaintext as before.",
  fix: "Put one into each namespace that has such workloads; for all workloads of the mesh, leave the selector out.",
  claims: ["mutual-tls"],
  check: idle,
};

function* idle({ mesh }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.peerAuthentications) {
    if (resource.namespace !== mesh.config.rootNamespace || !isSelective(resource)) continue;
    const labels = Object.entries(selectorOf(resource)).map(([key, value]) => `${key}: ${value}`);
    const isStrict =
      modeOf(resource) === "STRICT" || portModesOf(resource).some(([, mode]) => mode === "STRICT");
    yield {
      resource,
      path: ["spec", "selector"],
      title: `in the root namespace \`${labels.join(", ")}\` selects nothing in any namespace`,
      ...(isStrict ? {} : { severity: "low" }),
    };
  }
}
