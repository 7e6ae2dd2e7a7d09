import type { AuditContext } from "../audit-context.ts";
import { hitsOfRights } from "../facts/bound-rights.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const rightsMesh: AuditRule = {
  id: "BW0525",
  title: "A right to change what the mesh enforces",
  severity: "medium",
  attacks: ["C6", "M11", "M12"],
  what: "Creating, changing or removing AuthorizationPolicies, PeerAuthentications and RequestAuthentications, EnvoyFilters, WasmPlugins and ProxyConfigs, the mesh's ConfigMaps, the injector's webhook, routes of the mesh, NetworkPolicies, and Namespaces' labels. One finding a binding that gives it in the whole cluster, for objects of any name, or in the control plane's namespace. Everybody and nobody are BW0511 and BW0510; Kubernetes' own users, groups and namespaces and Istio's control plane are left out.",
  why: "Whoever has it needs no hole in a policy: he removes the policy, puts code into the proxies, or takes the namespace out of the mesh, and nothing that the mesh enforces holds against him.",
  fix: "Give it for the namespaces of one's own (a Role), and in the whole cluster to what deploys the mesh alone.",
  claims: [],
  check: (audit: AuditContext): Iterable<Hit> =>
    hitsOfRights(audit, [
      "write-mesh-policies",
      "write-proxies",
      "write-mesh-config",
      "stop-injection",
      "steer-mesh",
      "write-network-policies",
      "label-namespaces",
    ]),
};
