/** That egress gateways are the only way out where their firewall is applied, in each of its forms. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh, Workload } from "../../../src/model/mesh.ts";
import { decideNetwork } from "../../../src/policy/network/decide-network.ts";
import {
  type EgressFirewall,
  egressFirewall,
  egressNetworkPolicies,
  egressNftables,
} from "../../../src/policy/network/egress-firewall.ts";
import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import { compileNetworkPolicies } from "../../../src/policy/network/network-policies.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { podOf } from "./network-fixture.ts";

function deployment(key: string, labels: string): string {
  const [namespace, name] = key.split("/");
  return `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec: {template: {metadata: {labels: ${labels}}, spec: {containers: [{name: c, image: i}]}}}
`;
}

function entry(name: string, ports: string, location = "MESH_EXTERNAL"): string {
  return `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: team}
spec: {hosts: [${name}.example], location: ${location}, resolution: DNS, ports: [${ports}]}
`;
}

const GATEWAY = deployment("edge/out", "{istio: egress, pod-template-hash: x1}");
const APPS = [
  deployment("team/app", "{app: app}"),
  deployment("edge/other", "{app: other}"),
  deployment("kube-system/dns", "{app: dns}"),
  deployment("kube-public/info", "{app: info}"),
  deployment("kube-node-lease/lease", "{app: lease}"),
  deployment("istio-system/istiod", "{app: istiod}"),
].join("");
const ENTRIES =
  entry(
    "b",
    "{number: 8443, name: tls, protocol: TLS, targetPort: 443}, {number: 80, name: http, protocol: HTTP}",
  ) +
  entry("a", "{number: 80, name: http, protocol: HTTP}") +
  entry("inside", "{number: 7000, name: tcp, protocol: TCP}", "MESH_INTERNAL");

const find = (mesh: Mesh, name: string): Workload =>
  mesh.workloads.find((workload) => workload.name === name) ?? assert.fail(name);

function firewallOf(text: string, names: readonly string[] = ["out"]): EgressFirewall {
  const mesh = meshOf(text);
  return egressFirewall(
    mesh,
    names.map((name) => find(mesh, name)),
  );
}

test("gateways reach the ports that hosts outside really have, once each; pods are kept in where no part of Kubernetes or Istio lives", () => {
  const vm = `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: machines}
spec: {address: 192.0.2.1, labels: {app: vm}}
`;
  const { ports, namespaces, gateways } = firewallOf(APPS + GATEWAY + ENTRIES + vm);
  assert.deepEqual(ports, [80, 443]);
  assert.deepEqual(namespaces, ["edge", "team"]);
  assert.deepEqual(
    gateways.map(({ key }) => key),
    ["edge/out"],
  );
});

/** Whether a pod may connect as the exported policies decide. */
function connects(
  firewall: EgressFirewall,
  direction: "egress" | "ingress",
  subject: NetworkPod,
  other: NetworkPod | string,
  port: number,
): boolean {
  const policies = compileNetworkPolicies(
    egressNetworkPolicies(firewall).map((body, createdAt) =>
      resourceFromJson(body as Parameters<typeof resourceFromJson>[0], { file: "x", createdAt }),
    ),
  );
  const end = typeof other === "string" ? { address: other } : { pod: other };
  return (
    decideNetwork(policies, { direction, subject, other: end, protocol: "TCP", port }).outcome === "allow"
  );
}

const APP = podOf("team/app", "10.0.0.1");
const OUT = podOf("edge/out", "10.0.0.2", { labels: { istio: "egress", "pod-template-hash": "x9" } });

test("as NetworkPolicies: applications reach pods and nothing outside; the gateway reaches the known ports outside, never a link's own addresses", () => {
  const firewall = firewallOf(APPS + GATEWAY + ENTRIES);
  for (const pod of [
    APP,
    podOf("edge/other", "10.0.0.3"),
    podOf("edge/near", "10.0.0.4", { labels: { istio: "ingress" } }),
  ]) {
    assert.equal(connects(firewall, "egress", pod, "203.0.113.1", 443), false, pod.name);
    assert.equal(connects(firewall, "egress", pod, "2001:db8::1", 443), false, pod.name);
    assert.equal(connects(firewall, "egress", pod, OUT, 9999), true, pod.name);
  }
  for (const [address, port, expected] of [
    ["203.0.113.1", 443, true],
    ["203.0.113.1", 80, true],
    ["203.0.113.1", 22, false],
    ["2001:db8::1", 443, true],
    ["169.254.169.254", 80, false],
    ["fe80::1", 80, false],
  ] as const)
    assert.equal(connects(firewall, "egress", OUT, address, port), expected, `${address} ${port}`);
  assert.equal(connects(firewall, "egress", OUT, APP, 22), true);
  assert.equal(connects(firewall, "ingress", OUT, APP, 8443), true);
  assert.equal(connects(firewall, "ingress", OUT, "203.0.113.1", 8443), false);
  assert.equal(
    connects(firewall, "ingress", APP, "203.0.113.1", 8080),
    true,
    "nobody else's way in is closed",
  );
  assert.equal(connects(firewall, "egress", podOf("kube-system/dns", "10.0.0.9"), "203.0.113.1", 53), true);
});

test("as NetworkPolicies: without hosts that are known the gateway reaches nothing outside either", () => {
  const firewall = firewallOf(APPS + GATEWAY);
  assert.deepEqual(firewall.ports, []);
  assert.equal(connects(firewall, "egress", OUT, "203.0.113.1", 443), false);
  assert.equal(connects(firewall, "egress", OUT, APP, 443), true);
});

test("as NetworkPolicies: a gateway is known by `istio`, else by `app`, else by what labels it has, less those of one revision", () => {
  const kept = (labels: string, pod: Readonly<Record<string, string>>): boolean => {
    const firewall = firewallOf(deployment("edge/out", labels) + ENTRIES);
    return !connects(firewall, "egress", podOf("edge/x", "10.0.0.2", { labels: pod }), "203.0.113.1", 443);
  };
  assert.equal(kept("{istio: e, app: a}", { istio: "e" }), false);
  assert.equal(kept("{istio: e, app: a}", { app: "a" }), true);
  assert.equal(kept("{app: a, tier: t}", { app: "a" }), false);
  assert.equal(kept("{app: a, tier: t}", { tier: "t" }), true);
  assert.equal(kept("{role: r, tier: t, pod-template-hash: h}", { role: "r", tier: "t" }), false);
  for (const lacking of [{ role: "r" }, { tier: "t" }, { role: "r", tier: "x" }, {}])
    assert.equal(kept("{role: r, tier: t, pod-template-hash: h}", lacking), true, JSON.stringify(lacking));
});

test("as NetworkPolicies: several gateways of a namespace all get out, its other pods do not; each policy has a name of its own", () => {
  const text = deployment("edge/out", "{istio: a}") + deployment("edge/two", "{istio: b}") + APPS + ENTRIES;
  const firewall = firewallOf(text, ["out", "two"]);
  const reaches = (labels: Readonly<Record<string, string>>): boolean =>
    connects(firewall, "egress", podOf("edge/x", "10.0.0.2", { labels }), "203.0.113.1", 443);
  assert.deepEqual(
    [reaches({ istio: "a" }), reaches({ istio: "b" }), reaches({ istio: "c" })],
    [true, true, false],
  );
  const names = (own: EgressFirewall): string[] =>
    egressNetworkPolicies(own).map(({ metadata }) => {
      const { namespace, name } = metadata as { namespace: string; name: string };
      return `${namespace}/${name}`;
    });
  assert.deepEqual(names(firewall), [
    "edge/egress-only-through-gateway",
    "team/egress-only-through-gateway",
    "edge/egress-gateway-out",
    "edge/egress-gateway-two",
  ]);
  const mixed = names(firewallOf(deployment("edge/out", "{role: r, tier: t}")));
  assert.equal(new Set(mixed).size, mixed.length);
  assert.equal(mixed.length, 3);
});

test("as nftables: a set for each family, addresses alone and blocks as ranges; without known ports no port is let out", () => {
  const firewall = firewallOf(APPS + GATEWAY + ENTRIES);
  const script = egressNftables(firewall, {
    cluster: ["10.0.0.0/8", "2001:db8::/32"],
    gateways: ["10.3.0.7", "10.4.0.0/30"],
  });
  const set = (name: string): string | undefined =>
    new RegExp(`set ${name} \\{ type (\\w+); flags interval; auto-merge;(?: elements = \\{ (.*) \\})? \\}`)
      .exec(script)
      ?.slice(1)
      .join(" ");
  assert.equal(set("cluster4"), "ipv4_addr 10.0.0.0-10.255.255.255");
  assert.equal(set("cluster6"), "ipv6_addr 2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
  assert.equal(set("gateways4"), "ipv4_addr 10.3.0.7, 10.4.0.0-10.4.0.3");
  assert.equal(set("gateways6"), "ipv6_addr ");
  assert.match(script, /ip saddr @gateways4 ip daddr != 169\.254\.0\.0\/16 tcp dport \{ 80, 443 \} .*accept/);
  assert.match(script, /counter name refused drop\n {2}\}/);
  const none = egressNftables(firewallOf(APPS + GATEWAY), {
    cluster: ["10.0.0.0/8"],
    gateways: ["10.3.0.7"],
  });
  assert.match(none, /ip saddr @gateways4 .* tcp dport 0 /);
});
