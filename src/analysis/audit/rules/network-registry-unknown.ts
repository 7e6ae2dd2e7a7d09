import { load } from "js-yaml";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const networkRegistryUnknown: AuditRule = {
  id: "BW0126",
  title: "A network of endpoints that come from nowhere",
  severity: "low",
  same: { istio: "IST0126" },
  attacks: [],
  what: '`fromRegistry` in the `meshNetworks` of the mesh\'s ConfigMap that is neither Kubernetes, nor Mock, nor External, nor a cluster that a Secret labelled `istio/multiCluster: "true"` names.',
  why: "Endpoints of that cluster are taken to be in no network: clients call them directly instead of by the gateway between, or not at all.",
  fix: "Write the cluster's name as the remote Secret has it.",
  claims: ["configuration-in-force"],
  check: unknownRegistries,
};

const BUILT_IN = ["Mock", "Kubernetes", "External"];

function* unknownRegistries(audit: AuditContext): Iterable<Hit> {
  const remote = audit
    .every("", "Secret")
    .filter(({ labels }) => labels["istio/multiCluster"] === "true")
    .flatMap(({ body }) => Object.keys({ ...fieldsOf(body.data), ...fieldsOf(body.stringData) }));
  const known = new Set([...BUILT_IN, ...remote]);
  for (const resource of audit.every("", "ConfigMap")) {
    if (resource.name !== "istio" || resource.namespace !== audit.mesh.config.rootNamespace) continue;
    const networks = fieldsOf(fieldsOf(readYaml(fieldsOf(resource.body.data).meshNetworks)).networks);
    for (const [network, { endpoints }] of Object.entries(networks).map(
      ([name, one]) => [name, fieldsOf(one)] as const,
    ))
      for (const [, { fromRegistry }] of itemsOf(endpoints)) {
        const registry = textOf(fromRegistry);
        if (registry !== "" && !known.has(registry))
          yield {
            resource,
            path: ["data", "meshNetworks"],
            title: `network \`${network}\` takes endpoints from \`${registry}\`, which is not known`,
          };
      }
  }
}

function readYaml(text: unknown): unknown {
  try {
    return typeof text === "string" ? load(text) : undefined;
  } catch {
    return undefined;
  }
}
