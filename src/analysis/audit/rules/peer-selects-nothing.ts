import type { Labels } from "../../../model/mesh.ts";
import { matchesLabels } from "../../../model/selector.ts";
import { nearestWithin } from "../../../resources/did-you-mean.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const peerSelectsNothing: AuditRule = {
  id: "BW0636",
  title: "A PeerAuthentication or RequestAuthentication whose selector no workload has",
  severity: "medium",
  same: { kiali: "KIA0004" },
  attacks: ["M1", "M5"],
  what:
    "PeerAuthentications and RequestAuthentications with a `selector` whose labels no workload among the files has: of its namespace, or, for a RequestAuthentication in the root namespace, of any. Where a workload has nearly the same label, it is named. " +
    "AuthorizationPolicies are BW0127, PeerAuthentications in the root namespace BW0634. Namespaces without any workload among the files are not judged.",
  why: "The STRICT, or the check of tokens, that it says holds for nobody: the workload that was meant takes plaintext, or any token that it is shown.",
  fix: "Mend the selector: it is compared with the labels of the pods, not of the Deployment or the Service.",
  claims: ["mutual-tls", "configuration-in-force"],
  check: idle,
};

interface Selectable {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
}

function* idle({ mesh }: AuditContext): Iterable<Hit> {
  const byNamespace = Map.groupBy(mesh.workloads, ({ namespace }) => namespace);
  const all = mesh.workloads;
  const root = mesh.config.rootNamespace;
  const resources: readonly Resource[] = [...mesh.peerAuthentications, ...mesh.requestAuthentications];
  for (const resource of resources) {
    const { selector, targetRef, targetRefs = [] } = (resource.spec ?? {}) as Selectable;
    const labels = selector?.matchLabels ?? {};
    const isRoot = resource.namespace === root;
    if (Object.keys(labels).length === 0 || targetRef !== undefined || targetRefs.length > 0) continue;
    if (isRoot && resource.kind === "PeerAuthentication") continue;
    const candidates = isRoot ? all : (byNamespace.get(resource.namespace) ?? []);
    if (candidates.length === 0 || candidates.some((workload) => matchesLabels(labels, workload.labels)))
      continue;
    const text = Object.entries(labels).map(([key, value]) => `${key}: ${value}`);
    const near = nearest(
      labels,
      candidates.map((workload) => workload.labels),
    );
    yield {
      resource,
      path: ["spec", "selector"],
      title: `no workload has \`${text.join(", ")}\`${near === undefined ? "" : `; did you mean \`${near}\`?`}`,
    };
  }
}

/** A label that workloads have, for one of the selector's that none has. */
function nearest(wanted: Labels, candidates: readonly Labels[]): string | undefined {
  const own = new Set(
    candidates.flatMap((labels) => Object.entries(labels).map(([key, value]) => `${key}: ${value}`)),
  );
  for (const [key, value] of Object.entries(wanted)) {
    const text = `${key}: ${value}`;
    const close = own.has(text) ? undefined : nearestWithin(text, own, 2);
    if (close !== undefined) return close;
  }
  return undefined;
}
