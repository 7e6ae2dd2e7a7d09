/** Which Secrets a proxy needs: it is given no others. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { resolveCredential, rootsOfCredential, type SecretReference } from "./credential.ts";
import { mergeServers } from "./gateway-servers.ts";
import { type DestinationRuleShape, shapeOf, type TrafficPolicy } from "./resource-shapes.ts";

/** `namespace/name` of the Secrets that a workload's proxy ends TLS with, or opens it. */
export function secretsUsedBy(mesh: Mesh, workload: Workload): ReadonlySet<string> {
  const used = [...originated(mesh, workload)];
  if (workload.role === "gateway") used.push(...terminated(mesh, workload));
  return new Set(used.map(({ namespace, name }) => `${namespace}/${name}`));
}

function terminated(mesh: Mesh, workload: Workload): readonly SecretReference[] {
  return [...mergeServers(mesh, workload).values()].flat().flatMap(({ server: { tls } }) => {
    const { credentials = [], clientRoots } = tls ?? {};
    const all = credentials.flatMap((credential) => [credential, ...rootsOfCredential(credential)]);
    return clientRoots === undefined ? all : [...all, clientRoots];
  });
}

/** Sidecars use the Secrets only of rules that select them, and rules select workloads of their own namespace alone. */
function originated(mesh: Mesh, { namespace, labels, role }: Workload): readonly SecretReference[] {
  return mesh.destinationRules.flatMap((resource) => {
    const rule = shapeOf<DestinationRuleShape>(resource);
    const { workloadSelector: selector } = rule;
    const concerned =
      selector === undefined
        ? role === "gateway"
        : resource.namespace === namespace && matchesLabels(selector.matchLabels ?? {}, labels);
    if (!concerned) return [];
    return policiesOf(rule)
      .map(({ tls }) => tls?.credentialName ?? "")
      .filter((written) => written !== "")
      .map((written) => resolveCredential(written, namespace))
      .flatMap((credential) => [credential, ...rootsOfCredential(credential)]);
  });
}

function policiesOf({ trafficPolicy, subsets = [] }: DestinationRuleShape): readonly TrafficPolicy[] {
  const whole = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)].filter(
    (policy) => policy !== undefined,
  );
  return whole.flatMap((policy) => [policy, ...(policy.portLevelSettings ?? [])]);
}
