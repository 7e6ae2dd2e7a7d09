import { resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { tlsChoices } from "../facts/destination-tls.ts";
import { modeOf, type PeerAuthentication } from "../facts/peer-authentications.ts";
import { isMutual, strictBy, type WideTls, widePeerAuthentications, wideTls } from "../facts/wide-tls.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tlsModesApart: AuditRule = {
  id: "BW0307",
  title: "A whole namespace, or the mesh, of which clients and servers are told different things",
  severity: "medium",
  same: { kiali: "KIA0207" },
  attacks: ["M1"],
  what:
    "DestinationRules for a whole namespace (`*.ns.svc.cluster.local`, in that namespace) or the mesh (`*.local`) with mode DISABLE where the PeerAuthentication without a selector says STRICT (`KIA0207`; `KIA0208` where the mesh's does); PeerAuthentications that say DISABLE where such a rule says MUTUAL or ISTIO_MUTUAL (`KIA0505`, `KIA0506`); " +
    "and, where `enableAutoMtls` is off, STRICT without a rule that says ISTIO_MUTUAL (`KIA0501`, `KIA0401`). What the files have, not which workloads are there: of a rule for which an endpoint that is STRICT is among them, BW0650 tells, with the call that fails.",
  why: "Every call fails. The quick way out is PERMISSIVE at the server, which opens it to callers without an identity.",
  fix: "Take `tls` away from the rule, so that clients use mutual TLS by themselves; or bring the two modes together.",
  claims: ["mutual-tls", "configuration-in-force"],
  check: apart,
};

function* apart(audit: AuditContext): Iterable<Hit> {
  const refused = new Set<unknown>(
    audit.fact(tlsChoices).flatMap(({ rule, server }) => (server === "STRICT" ? [rule] : [])),
  );
  for (const wide of audit.fact(wideTls)) if (!refused.has(wide.rule)) yield* clientsInClear(audit, wide);
  for (const policy of audit.fact(widePeerAuthentications).values()) {
    if (modeOf(policy) === "DISABLE") yield* serversInClear(audit, policy);
    if (modeOf(policy) === "STRICT" && !audit.mesh.config.enableAutoMtls) yield* clientsUntold(audit, policy);
  }
}

function* clientsInClear(audit: AuditContext, { rule, namespace, mode }: WideTls): Iterable<Hit> {
  if (mode !== "DISABLE") return;
  const by = strictBy(audit, namespace ?? audit.mesh.config.rootNamespace);
  if (by === undefined) return;
  yield {
    resource: rule,
    path: ["spec", "trafficPolicy", "tls", "mode"],
    kiali: by === "namespace" ? "KIA0207" : "KIA0208",
    title: `clients speak plaintext, where the ${by} is STRICT`,
  };
}

function* serversInClear(audit: AuditContext, policy: PeerAuthentication): Iterable<Hit> {
  const isRoot = policy.namespace === audit.mesh.config.rootNamespace;
  const rival = mutualRuleFor(audit, isRoot ? undefined : policy.namespace);
  if (rival !== undefined)
    yield {
      resource: policy,
      path: ["spec", "mtls"],
      kiali: isRoot ? "KIA0506" : "KIA0505",
      title: `servers take plaintext alone, and ${resourceName(rival.rule)} has clients speak ${rival.mode}`,
    };
}

/** The namespace's own rule settles it; the mesh's holds where there is none. */
function mutualRuleFor(audit: AuditContext, namespace: string | undefined): WideTls | undefined {
  const rules = audit.fact(wideTls);
  const own = namespace === undefined ? [] : rules.filter((rule) => rule.namespace === namespace);
  const settled = own.find(({ mode }) => isMutual(mode) || mode === "DISABLE");
  if (settled !== undefined) return isMutual(settled.mode) ? settled : undefined;
  return rules.find((rule) => rule.namespace === undefined && isMutual(rule.mode));
}

function* clientsUntold(audit: AuditContext, policy: PeerAuthentication): Iterable<Hit> {
  const isRoot = policy.namespace === audit.mesh.config.rootNamespace;
  const isTold = audit
    .fact(wideTls)
    .some(
      ({ mode, namespace }) =>
        mode === "ISTIO_MUTUAL" && (namespace === undefined || (!isRoot && namespace === policy.namespace)),
    );
  if (!isTold)
    yield {
      resource: policy,
      path: ["spec", "mtls"],
      kiali: isRoot ? "KIA0401" : "KIA0501",
      title: "STRICT, and with `enableAutoMtls` off no DestinationRule has clients speak mutual TLS",
    };
}
