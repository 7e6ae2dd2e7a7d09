/** The certificates and keys that a gateway's proxies are given for its servers. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { apiGroup } from "../../resources/scope.ts";
import type { Gain } from "./gains.ts";

interface ListenerShape {
  readonly tls?: {
    readonly certificateRefs?: readonly { readonly name?: string; readonly namespace?: string }[];
  };
}

/** Istio's Gateways by `credentialName`, in the gateway's own namespace; those of the Gateway API by their references. */
export function gatewaySecrets(mesh: Mesh, workload: Workload): readonly Gain[] {
  const { namespace, labels } = workload;
  const own = mesh.gateways
    .filter(({ spec }) => {
      const selector = spec.selector ?? {};
      return Object.keys(selector).length > 0 && matchesLabels(selector, labels);
    })
    .flatMap((resource) =>
      (resource.spec.servers ?? []).flatMap(({ tls }, at): readonly Gain[] => {
        const name = (tls as { readonly credentialName?: string } | undefined)?.credentialName;
        return name === undefined || name === ""
          ? []
          : [
              {
                to: `secret/${namespace}/${name}`,
                why: "it serves TLS with this certificate's key",
                evidence: [{ resource, path: ["spec", "servers", at, "tls", "credentialName"] }],
              },
            ];
      }),
    );
  return [...own, ...gatewayApiSecrets(mesh, workload)];
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
