/** Which workloads network policies let connect to another: a request that the server would let through has to get there first. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { decideNetwork, selectingPolicies } from "../../policy/network/decide-network.ts";
import { networkPod } from "../../policy/network/network-pod.ts";
import { hasNetworkPolicies, networkPolicies } from "../../policy/network/network-policies.ts";
import { HBONE_PORT } from "../../policy/path/network-hop.ts";

export class NetworkSenders {
  readonly #mesh: Mesh;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** @returns null where network policies keep nobody from the workload: then anybody will do. */
  to(server: Workload): SendersTo | null {
    const policies = networkPolicies(this.#mesh);
    if (!hasNetworkPolicies(policies)) return null;
    const subject = networkPod(this.#mesh, server);
    const selecting = new Set(selectingPolicies(policies, { subject, direction: "ingress" }));
    if (selecting.size === 0) return null;
    const own = {
      admin: policies.admin.filter((policy) => selecting.has(policy)),
      policies: policies.policies.filter((policy) => selecting.has(policy)),
      baseline: policies.baseline.filter((policy) => selecting.has(policy)),
    };
    return {
      first: (principal, port) =>
        this.#mesh.workloads.find(
          (sender) =>
            sender.key !== server.key &&
            (principal === null || sender.spiffeId === `spiffe://${principal}`) &&
            decideNetwork(own, {
              direction: "ingress",
              subject,
              other: { pod: networkPod(this.#mesh, sender) },
              protocol: "TCP",
              port: server.dataplane === "ambient" && principal !== null ? HBONE_PORT : port,
            }).outcome === "allow",
        )?.key,
    };
  }
}

export interface SendersTo {
  /**
   * @param principal without `spiffe://`; null: whoever it is.
   * @returns a workload of that identity that may connect to the port, `namespace/name`.
   */
  first(principal: string | null, port: number): string | undefined;
}
