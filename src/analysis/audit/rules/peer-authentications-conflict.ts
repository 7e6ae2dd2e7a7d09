import type { AuditContext } from "../audit-context.ts";
import { isSelective, selectorOf } from "../facts/peer-authentications.ts";
import { selectedTwice, unselectiveTwice } from "../facts/selected-twice.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const peerAuthenticationsConflict: AuditRule = {
  id: "BW0303",
  title: "PeerAuthentications for the same workloads",
  severity: "medium",
  same: { kiali: "KIA0003" },
  attacks: ["M1"],
  what: "Two or more PeerAuthentications of a namespace without a selector (`KIA0002`), or two that select the same pod. Those that say the same mode for everything are told, too: which of them counts is decided by their age.",
  why: "The oldest counts, by the day on which it was made, which no file shows: the STRICT that somebody adds beside an old PERMISSIVE is not in force, and deleting the one changes what the other does.",
  fix: "Join them.",
  claims: ["mutual-tls", "configuration-in-force"],
  check: rivals,
};

function* rivals(audit: AuditContext): Iterable<Hit> {
  const policies = audit.mesh.peerAuthentications;
  const selectors = new Map<unknown, Readonly<Record<string, string>>>(
    policies.map((policy) => [policy, selectorOf(policy)]),
  );
  const unselective = new Set<unknown>(policies.filter((policy) => !isSelective(policy)));
  for (const { resource, rivals } of unselectiveTwice(policies, (policy) => unselective.has(policy)))
    yield {
      resource,
      kiali: "KIA0002",
      title: `${rivals.join(" and ")} are for all of \`${resource.namespace}\``,
    };
  const seen = new Set<string>();
  for (const { resource, rivals, pod } of selectedTwice(
    audit,
    policies,
    (policy) => selectors.get(policy) ?? {},
  )) {
    const key = `${resource.name} ${rivals.join()}`;
    if (seen.has(key)) continue;
    seen.add(key);
    yield {
      resource,
      path: ["spec", "selector"],
      title: `${rivals.join(" and ")} select \`${pod.resource.name}\``,
    };
  }
}
