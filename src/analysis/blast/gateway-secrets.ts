/** The certificates and keys that a gateway's proxies are given for its servers. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";
import type { Gain } from "./gains.ts";

interface ListenerShape {
  readonly tls?: {
    readonly certificateRefs?: readonly { readonly name?: string; readonly namespace?: string }[];
  };
}

/**
 * Istio's Gateways by `credentialName`, in the gateway's own namespace; those of the Gateway API by their references; and the client certificates of
 * DestinationRules, which are looked for there, too.
 */
export function gatewaySecrets(mesh: Mesh, workload: Workload): readonly Gain[] {
  return [
    ...istioSecrets(mesh, workload),
    ...gatewayApiSecrets(mesh, workload),
    ...clientSecrets(mesh, workload),
  ];
}

interface TlsShape {
  readonly credentialName?: string;
  readonly credentialNames?: readonly string[];
}

/** A Gateway without a selector is for every gateway. */
function istioSecrets(mesh: Mesh, { namespace, labels }: Workload): readonly Gain[] {
  return mesh.gateways
    .filter(({ spec }) => matchesLabels(spec.selector ?? {}, labels))
    .flatMap((resource) =>
      (resource.spec.servers ?? []).flatMap((server, at) => {
        const { credentialName = "", credentialNames = [] } = (server.tls ?? {}) as TlsShape;
        return [credentialName, ...credentialNames]
          .filter((name) => name !== "")
          .map((name): Gain => {
            const field = name === credentialName ? "credentialName" : "credentialNames";
            return {
              to: `secret/${namespace}/${name}`,
              why: "it serves TLS with this certificate's key",
              evidence: [{ resource, path: ["spec", "servers", at, "tls", field] }],
            };
          });
      }),
    );
}

interface PolicyShape {
  readonly tls?: TlsShape;
  readonly portLevelSettings?: readonly { readonly tls?: TlsShape }[];
}

/** Of those that its namespace is told of. */
function clientSecrets(mesh: Mesh, { namespace }: Workload): readonly Gain[] {
  return mesh.destinationRules
    .filter((rule) => isToldTo(rule, namespace))
    .flatMap((resource) => {
      const { trafficPolicy, subsets = [] } = resource.spec as {
        readonly trafficPolicy?: PolicyShape;
        readonly subsets?: readonly { readonly trafficPolicy?: PolicyShape }[];
      };
      const policies = [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)];
      const names = policies.flatMap((policy) =>
        [policy?.tls, ...(policy?.portLevelSettings ?? []).map(({ tls }) => tls)].flatMap(
          (tls) => tls?.credentialName ?? [],
        ),
      );
      return [...new Set(names)].map(
        (name): Gain => ({
          to: `secret/${namespace}/${name}`,
          why: "it calls with this client certificate's key",
          evidence: [{ resource, path: ["spec"] }],
        }),
      );
    });
}

function isToldTo(rule: Resource, namespace: string): boolean {
  const { exportTo } = rule.spec as { readonly exportTo?: readonly string[] };
  if (exportTo === undefined || exportTo.length === 0) return true;
  return exportTo.some(
    (to) => to === "*" || to === namespace || (to === "." && rule.namespace === namespace),
  );
}

function gatewayApiSecrets(mesh: Mesh, { namespace, labels }: Workload): readonly Gain[] {
  const name = labels["gateway.networking.k8s.io/gateway-name"];
  const resource = mesh.resources.find(
    (one) =>
      one.kind === "Gateway" &&
      apiGroup(one.apiVersion) === "gateway.networking.k8s.io" &&
      one.namespace === namespace &&
      one.name === name,
  );
  if (resource === undefined) return [];
  const { listeners = [] } = resource.spec as { readonly listeners?: readonly ListenerShape[] };
  return listeners.flatMap(({ tls }, at) =>
    (tls?.certificateRefs ?? []).map(
      (reference): Gain => ({
        to: `secret/${reference.namespace ?? namespace}/${reference.name ?? ""}`,
        why: "it serves TLS with this certificate's key",
        evidence: [{ resource, path: ["spec", "listeners", at, "tls"] }],
      }),
    ),
  );
}
