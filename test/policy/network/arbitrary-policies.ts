/** Random network policies and pods: few labels, ports and blocks, so that they meet. */
import fc from "fast-check";
import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import {
  compileNetworkPolicies,
  type NetworkPolicies,
} from "../../../src/policy/network/network-policies.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

type Json = Readonly<Record<string, unknown>>;

export const NAMESPACES: readonly string[] = ["a", "b", "c"];
const TEAMS: Readonly<Record<string, string>> = { a: "red", b: "blue", c: "red" };
export const PORTS: readonly number[] = [1, 53, 79, 80, 81, 8080, 9000, 65_535];
const BLOCKS: readonly string[] = [
  "10.0.0.0/8",
  "10.0.0.0/9",
  "10.0.1.0/24",
  "192.0.2.0/24",
  "0.0.0.0/0",
  "2001:db8::/32",
];

const label = fc.constantFrom("x", "y", "z");
const requirement: fc.Arbitrary<Json> = fc.oneof(
  fc.record({
    key: fc.constantFrom("app", "tier"),
    operator: fc.constantFrom("In", "NotIn"),
    values: fc.array(label, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key: fc.constantFrom("app", "tier"), operator: fc.constantFrom("Exists", "DoesNotExist") }),
);
const podSelector: fc.Arbitrary<Json> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 4, arbitrary: fc.record({ matchLabels: fc.record({ app: label }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ matchExpressions: fc.array(requirement, { minLength: 1, maxLength: 2 }) }),
  },
);
const namespaceSelector: fc.Arbitrary<Json> = fc.oneof(
  fc.constant({}),
  fc.record({ matchLabels: fc.record({ team: fc.constantFrom("red", "blue") }) }),
  fc.record({ matchLabels: fc.record({ "kubernetes.io/metadata.name": fc.constantFrom(...NAMESPACES) }) }),
);
const protocol = fc.constantFrom("TCP", "UDP", "SCTP");
const number = fc.constantFrom(...PORTS);

const policyPort: fc.Arbitrary<Json> = fc.oneof(
  fc.record({ port: number, protocol }),
  fc.record({ port: fc.constantFrom("web", "dns"), protocol: fc.constantFrom("TCP", "UDP") }),
  fc.record({ port: fc.constantFrom(1, 53, 80), endPort: fc.constantFrom(80, 8080, 65_535), protocol }),
  fc.record({ protocol }),
  fc.constant({ port: 80 }),
);
const ipBlock: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(...BLOCKS).map((cidr) => ({ cidr })),
  fc.constant({ cidr: "10.0.0.0/8", except: ["10.0.1.0/24", "10.128.0.0/9"] }),
);
const policyPeer: fc.Arbitrary<Json> = fc.oneof(
  fc.record({ podSelector }),
  fc.record({ namespaceSelector }),
  fc.record({ podSelector, namespaceSelector }),
  fc.record({ ipBlock }),
);
const few = <T>(arbitrary: fc.Arbitrary<T>, minLength = 0): fc.Arbitrary<T[]> =>
  fc.array(arbitrary, { minLength, maxLength: 2 });
const policySpec: fc.Arbitrary<Json> = fc.record(
  {
    podSelector,
    policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    ingress: few(fc.record({ from: few(policyPeer), ports: few(policyPort) }, { requiredKeys: [] })),
    egress: few(fc.record({ to: few(policyPeer), ports: few(policyPort) }, { requiredKeys: [] })),
  },
  { requiredKeys: ["podSelector"] },
);

const adminPort: fc.Arbitrary<Json> = fc.oneof(
  fc.record({ portNumber: fc.record({ port: number, protocol }) }),
  fc.record({
    portRange: fc.record({ start: fc.constantFrom(1, 53), end: fc.constantFrom(80, 65_535), protocol }),
  }),
  fc.constantFrom({ namedPort: "web" }, { namedPort: "dns" }),
);
const inside: fc.Arbitrary<Json> = fc.oneof(
  fc.record({ namespaces: namespaceSelector }),
  fc.record({ pods: fc.record({ namespaceSelector, podSelector }) }),
);
const outside: fc.Arbitrary<Json> = fc.record({
  networks: fc.array(fc.constantFrom(...BLOCKS), { minLength: 1, maxLength: 2 }),
});
const adminSpec = (actions: readonly string[]): fc.Arbitrary<Json> => {
  const rule = (key: string, peer: fc.Arbitrary<Json>): fc.Arbitrary<Json> =>
    fc.record(
      { action: fc.constantFrom(...actions), [key]: few(peer, 1), ports: few(adminPort, 1) },
      { requiredKeys: ["action", key] },
    );
  return fc.record({
    subject: inside,
    ingress: few(rule("from", inside)),
    egress: few(rule("to", fc.oneof(inside, outside))),
  });
};

function resource(apiVersion: string, kind: string, namespace: string, name: string, spec: Json, at: number) {
  return resourceFromJson(
    { apiVersion, kind, metadata: { name, ...(namespace === "" ? {} : { namespace }) }, spec },
    { file: "x", createdAt: at },
  );
}

const ADMIN = "policy.networking.k8s.io/v1alpha1";

export const policyResourcesArbitrary: fc.Arbitrary<Resource[]> = fc
  .record({
    policies: fc.array(fc.tuple(fc.constantFrom(...NAMESPACES), policySpec), { maxLength: 4 }),
    admin: fc.array(adminSpec(["Allow", "Deny", "Pass"]), { maxLength: 2 }),
    baseline: fc.option(adminSpec(["Allow", "Deny"]), { nil: undefined }),
  })
  .map(({ policies, admin, baseline }) => [
    ...policies.map(([namespace, spec], at) =>
      resource("networking.k8s.io/v1", "NetworkPolicy", namespace, `p${at}`, spec, at),
    ),
    ...admin.map((spec, at) =>
      resource(ADMIN, "AdminNetworkPolicy", "", `a${at}`, { ...spec, priority: 10 - at }, at),
    ),
    ...(baseline === undefined
      ? []
      : [resource(ADMIN, "BaselineAdminNetworkPolicy", "", "default", baseline, 0)]),
  ]);

export const networkPoliciesArbitrary: fc.Arbitrary<NetworkPolicies> =
  policyResourcesArbitrary.map(compileNetworkPolicies);

const containerPorts = fc.subarray([
  { name: "web", port: 80, protocol: "TCP" },
  { name: "web", port: 8080, protocol: "TCP" },
  { name: "dns", port: 53, protocol: "UDP" },
  { name: "dns", port: 53, protocol: "TCP" },
] as const);

export const podsArbitrary: fc.Arbitrary<NetworkPod[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom(...NAMESPACES),
      labels: fc.dictionary(fc.constantFrom("app", "tier"), label, { maxKeys: 2 }),
      ports: containerPorts,
      address: fc.constantFrom("10.0.0.1", "10.0.1.1", "10.200.0.1", "192.168.0.1"),
    }),
    { minLength: 2, maxLength: 6 },
  )
  .map((pods) =>
    pods.map(({ namespace, labels, ports, address }, at) => ({
      name: `${namespace}/pod-${at}`,
      namespace,
      namespaceLabels: { team: TEAMS[namespace] ?? "", "kubernetes.io/metadata.name": namespace },
      labels,
      ports,
      addresses: [address],
      hostNetwork: false,
    })),
  );
