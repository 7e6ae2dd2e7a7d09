import type { AuditContext } from "../audit-context.ts";
import { enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { accessRequestOf, isLetThrough } from "../facts/sample-requests.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const oddIdentities: AuditRule = {
  id: "BW0955",
  title: "Namespaces that are looked for anywhere in an identity",
  severity: "info",
  attacks: ["E4"],
  what:
    "The first ALLOW rule with `namespaces` at a sidecar, if there is one, with how many more there are: Istio's sidecars match it by a pattern over the whole SPIFFE ID, so that `<trust domain>/ns/a/sa/ns/b/sa/c` passes for namespace `b`. " +
    "istiod's own CA gives no such identities; another CA under the same roots may. Shown by such a request, which Bulwark's own proxies refuse.",
  why: "Whoever is given an identity with slashes in its account's name, by a plugged-in CA or SPIRE, is let in as another namespace.",
  fix: "See to it that no CA under the mesh's roots signs names that are not `<trust domain>/ns/<namespace>/sa/<account>`; or name `principals` in full.",
  claims: ["own-trust-domain"],
  check: odd,
};

function* odd(audit: AuditContext): Iterable<Hit> {
  let first: Hit | undefined;
  let more = 0;
  for (const rule of audit.fact(enforcedRules)) {
    if (rule.action !== "ALLOW") continue;
    const at = (rule.spec.from ?? []).findIndex(({ source }) =>
      (source?.namespaces ?? []).some((name) => !name.includes("*")),
    );
    const name = rule.spec.from?.[at]?.source?.namespaces?.find((one) => !one.includes("*"));
    if (name === undefined) continue;
    if (first !== undefined) {
      more++;
      continue;
    }
    const identity = `${audit.mesh.config.trustDomain}/ns/x/sa/ns/${name}/sa/x`;
    for (const server of rule.classes.filter(({ isSidecar }) => isSidecar)) {
      const sample = [...probesIn(audit, server, rule)]
        .map((probe) => ({ ...probe, principal: identity }))
        .find((probe) => isLetThrough(server, probe));
      if (sample === undefined) continue;
      first = {
        resource: rule.policy,
        path: ["spec", "rules", rule.index, "from", at, "source", "namespaces"],
        title: `\`${identity}\` passes for namespace \`${name}\``,
        witness: accessRequestOf(sample, server),
      };
      break;
    }
  }
  if (first !== undefined)
    yield more === 0
      ? first
      : { ...first, title: `${first.title}, and so in ${more} more rule${more > 1 ? "s" : ""}` };
}
