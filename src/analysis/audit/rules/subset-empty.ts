import type { AuditContext } from "../audit-context.ts";
import { lookUpHost } from "../facts/known-hosts.ts";
import { podsSelected } from "../facts/pods.ts";
import { fieldsOf, itemsOf, labelsOf, textOf, textsOf } from "../facts/written.ts";
import { arePodsWritten } from "../facts/written-kinds.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const subsetEmpty: AuditRule = {
  id: "BW0173",
  title: "A subset that no pod is in",
  severity: "medium",
  same: { istio: "IST0173", kiali: "KIA0203" },
  attacks: ["M11"],
  what: "A subset of a DestinationRule for a known host whose labels, with those of the ServiceEntry's `workloadSelector`, no pod has. By where pods run (topology labels) subsets are judged where the files have Nodes. `info` where the files have no pods at all: they stand elsewhere then.",
  why: "Requests for it are answered with 503, or by whoever makes a pod with these labels.",
  fix: "Mend the labels, or remove the subset and the routes to it.",
  claims: ["configuration-in-force"],
  check: empty,
};

const TOPOLOGY = /^(topology\.|kubernetes\.io\/hostname$)/;

function* empty(audit: AuditContext): Iterable<Hit> {
  const hasPods = audit.fact(arePodsWritten);
  const placements = audit.fact(nodeLabels);
  for (const resource of audit.every("networking.istio.io", "DestinationRule")) {
    const { host, exportTo, subsets } = fieldsOf(resource.spec);
    const known = lookUpHost(audit, textOf(host), resource.namespace, textsOf(exportTo));
    if (known === undefined) continue;
    for (const [index, { name, labels }] of itemsOf(subsets)) {
      const wanted = Object.entries({ ...known.selector, ...labelsOf(labels) });
      const own = Object.fromEntries(wanted.filter(([key]) => !TOPOLOGY.test(key)));
      const placed = wanted.filter(([key]) => TOPOLOGY.test(key));
      const isPlaced = (node: string): boolean =>
        placed.every(([key, value]) => placements.size === 0 || placements.get(node)?.[key] === value);
      if (podsSelected(audit, own).some(({ spec }) => isPlaced(textOf(spec.nodeName)))) continue;
      yield {
        resource,
        path: ["spec", "subsets", index, "labels"],
        ...(hasPods ? {} : { severity: "info" as const }),
        title: `no pod is in subset \`${textOf(name)}\` of \`${textOf(host)}\``,
      };
    }
  }
}

function nodeLabels(audit: AuditContext): ReadonlyMap<string, Readonly<Record<string, string>>> {
  return new Map(
    audit
      .every("", "Node")
      .map(({ name, labels }) => [name, { "kubernetes.io/hostname": name, ...withoutEmpty(labels) }]),
  );
}

/** A region without a name is none. */
function withoutEmpty(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}
