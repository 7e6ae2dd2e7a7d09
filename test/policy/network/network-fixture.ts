/** Network policies and pods as one writes them by hand. */
import { loadAll } from "js-yaml";
import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import {
  compileNetworkPolicies,
  type NetworkPolicies,
} from "../../../src/policy/network/network-policies.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

type Json = Readonly<Record<string, unknown>>;

/** The first is the oldest. */
export function networkPoliciesOf(yaml: string): NetworkPolicies {
  const bodies = (loadAll(yaml) as (Json | null)[]).filter((body) => body !== null);
  return compileNetworkPolicies(
    bodies.map((body, createdAt) => resourceFromJson(body, { file: "test.yaml", createdAt })),
  );
}

/** @param key `namespace/name`; it has the label `app`, its namespace the label of its name. */
export function podOf(key: string, address: string, more: Partial<NetworkPod> = {}): NetworkPod {
  const [namespace = "", app = ""] = key.split("/");
  return {
    name: key,
    namespace,
    namespaceLabels: { "kubernetes.io/metadata.name": namespace },
    labels: { app },
    ports: [],
    addresses: address === "" ? [] : [address],
    hostNetwork: false,
    ...more,
  };
}
