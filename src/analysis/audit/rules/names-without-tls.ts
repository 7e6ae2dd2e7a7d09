import { matchesLabels } from "../../../model/selector.ts";
import { indexPeerMtls } from "../../../policy/outbound/peer-mtls.ts";
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import { isIdentityKey } from "../facts/plaintext-ports.ts";
import { idleRules } from "../facts/rule-effects.ts";
import { isMutual, type WideTls, wideTls } from "../facts/wide-tls.ts";
import { fieldsOf, itemsOf, labelsOf, listOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const namesWithoutTls: AuditRule = {
  id: "BW0316",
  title: "A policy that names callers where none of them shows who it is",
  severity: "medium",
  same: { kiali: "KIA0105" },
  attacks: ["M1"],
  what:
    "AuthorizationPolicies with a selector, or for a namespace, whose rules ask for `principals`, `namespaces`, `notPrincipals` or `notNamespaces`, or by `when` for the source's principal or namespace or the SNI, where no call comes by mutual TLS as the files have it: PeerAuthentication says DISABLE, a DestinationRule for the namespace or the mesh says DISABLE, or `enableAutoMtls` is off and no such rule, nor one for a Service of the selected pods, says ISTIO_MUTUAL or MUTUAL. " +
    "One finding a policy. What BW0604 shows of workloads of the files is told there; policies with `targetRefs` are not looked at.",
  why: "Nobody has a name here: an ALLOW by name lets nobody in, until somebody widens it; a DENY by name keeps nobody out; `notPrincipals` holds of everybody.",
  fix: "Have servers and clients speak mutual TLS: take DISABLE away, leave `enableAutoMtls` on.",
  claims: ["policies-hold", "mutual-tls"],
  check: nameless,
};

const FIELDS = ["principals", "notPrincipals", "namespaces", "notNamespaces"] as const;

function* nameless(audit: AuditContext): Iterable<Hit> {
  const { mesh } = audit;
  const rules = audit.fact(wideTls);
  const off = mesh.peerAuthentications.some(({ spec }) => JSON.stringify(spec).includes("DISABLE"));
  if (!off && mesh.config.enableAutoMtls && !rules.some(({ mode }) => mode === "DISABLE")) return;
  const peers = indexPeerMtls(mesh);
  const unreached = new Set<Resource>(
    audit.fact(idleRules).flatMap(({ policy, reason }) => (reason === "unreached" ? [policy] : [])),
  );
  for (const resource of audit.of("security.istio.io", "AuthorizationPolicy")) {
    const { selector, targetRef, targetRefs } = fieldsOf(resource.spec);
    const path = nameIn(resource);
    if (path === undefined || unreached.has(resource)) continue;
    if (targetRef !== undefined || listOf(targetRefs).length > 0) continue;
    const labels = labelsOf(fieldsOf(selector).matchLabels);
    const isServerOff = peers.endpointMode(resource.namespace, labels, -1) === "DISABLE";
    const client = isCalledByTls(audit, resource.namespace, labels)
      ? undefined
      : clientsIn(audit, rules, resource.namespace);
    if (isServerOff || client !== undefined)
      yield {
        resource,
        path,
        title: `no caller has a name here: ${isServerOff ? "PeerAuthentication says DISABLE" : client}`,
      };
  }
}

/** Why clients speak plaintext; undefined where they do not. The namespace's own rule counts before the mesh's. */
function clientsIn({ mesh }: AuditContext, rules: readonly WideTls[], namespace: string): string | undefined {
  const rule =
    rules.find((one) => one.namespace === namespace) ?? rules.find((one) => one.namespace === undefined);
  if (rule !== undefined && !isMutual(rule.mode))
    return `\`${rule.rule.name}\` has clients speak ${rule.mode}`;
  if (rule !== undefined || mesh.config.enableAutoMtls) return undefined;
  return "`enableAutoMtls` is off, and no DestinationRule has clients speak mutual TLS";
}

/** Whether a rule has clients speak mutual TLS to a Service of the pods with these labels. */
function isCalledByTls(
  audit: AuditContext,
  namespace: string,
  labels: Readonly<Record<string, string>>,
): boolean {
  const mutual = audit.fact(mutualHosts);
  if (mutual.size === 0 || Object.keys(labels).length === 0) return false;
  return audit.every("", "Service").some((service) => {
    const selector = labelsOf(fieldsOf(service.spec).selector);
    const isOfPods = Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    return service.namespace === namespace && isOfPods && mutual.has(fullHost(service.name, namespace));
  });
}

/** Hosts for which a rule says so, wildcards apart. */
function mutualHosts(audit: AuditContext): ReadonlySet<string> {
  return new Set(
    audit.every("networking.istio.io", "DestinationRule").flatMap(({ spec, namespace }) => {
      const { host, trafficPolicy } = fieldsOf(spec);
      const isSaid = isMutual(textOf(fieldsOf(fieldsOf(trafficPolicy).tls).mode));
      return isSaid ? [fullHost(textOf(host), namespace)] : [];
    }),
  );
}

/** The first place of the policy that asks for a name. */
function nameIn({ spec }: Resource): FieldPath | undefined {
  for (const [rule, { from, when }] of itemsOf(fieldsOf(spec).rules)) {
    for (const [index, { source }] of itemsOf(from)) {
      const field = FIELDS.find((name) => listOf(fieldsOf(source)[name]).length > 0);
      if (field !== undefined) return ["spec", "rules", rule, "from", index, "source", field];
    }
    for (const [index, { key }] of itemsOf(when))
      if (isIdentityKey(textOf(key)) || key === "connection.sni")
        return ["spec", "rules", rule, "when", index, "key"];
  }
  return undefined;
}
