import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decideNetwork, type NetworkEnd } from "../../../src/policy/network/decide-network.ts";
import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import type { NetworkPolicies } from "../../../src/policy/network/network-policies.ts";
import { type NftablesOptions, nftablesPods, nftablesScript } from "../../../src/policy/network/nftables.ts";
import { networkPoliciesArbitrary, podsArbitrary } from "./arbitrary-policies.ts";
import { networkPoliciesOf, podOf } from "./network-fixture.ts";
import { type Fate, NftRuleset, type Packet } from "./nft-interpreter.ts";

const TABLE = "inet bulwark_policy";
const OPTIONS: NftablesOptions = { table: TABLE, priority: 10, refusal: "drop" };
const PORTS: readonly number[] = [53, 79, 80, 8080, 9000, 65_535];
const OUTSIDE: readonly string[] = ["10.0.1.77", "192.0.2.1", "203.0.113.9", "2001:db8::9", "2001:db9::9"];

/** Pods of one address each, no two the same: the only thing that a forwarder tells them by. */
const pods: fc.Arbitrary<NetworkPod[]> = podsArbitrary.map((all) =>
  all.map((pod, at) => ({
    ...pod,
    addresses: [at % 3 === 2 ? `2001:db8::${at + 1}` : `10.${at % 2}.${at}.1`],
  })),
);

function rulesetOf(
  policies: NetworkPolicies,
  own: readonly NetworkPod[],
  options: Partial<NftablesOptions> = {},
): NftRuleset {
  const ruleset = new NftRuleset();
  ruleset.load(nftablesScript(policies, own, { ...OPTIONS, ...options }));
  return ruleset;
}

function isAllowed(policies: NetworkPolicies, own: readonly NetworkPod[], packet: Packet): boolean {
  const endOf = (address: string): NetworkEnd => {
    const pod = own.find(({ addresses }) => addresses.includes(address));
    return pod === undefined ? { address } : { pod };
  };
  const [from, to] = [endOf(packet.source), endOf(packet.destination)];
  const protocol = packet.protocol.toUpperCase() as "TCP" | "UDP" | "SCTP";
  const { port } = packet;
  const passes = (direction: "egress" | "ingress", subject: NetworkEnd, other: NetworkEnd): boolean =>
    !("pod" in subject) ||
    decideNetwork(policies, { direction, subject: subject.pod, other, protocol, port }).outcome === "allow";
  return passes("egress", from, to) && passes("ingress", to, from);
}

function packetsBetween(addresses: readonly string[]): Packet[] {
  const isSix = (address: string): boolean => address.includes(":");
  return addresses.flatMap((source) =>
    addresses
      .filter((destination) => destination !== source && isSix(source) === isSix(destination))
      .flatMap((destination) =>
        (["tcp", "udp", "sctp"] as const).flatMap((protocol) =>
          PORTS.map((port) => ({ source, destination, protocol, port })),
        ),
      ),
  );
}

test("a packet is forwarded if and only if the policies of both ends allow its connection", () => {
  let refused = 0;
  fc.assert(
    fc.property(networkPoliciesArbitrary, pods, (policies, own) => {
      const ruleset = rulesetOf(policies, own);
      for (const packet of packetsBetween([...own.map(({ addresses: [only = ""] }) => only), ...OUTSIDE])) {
        const allowed = isAllowed(policies, own, packet);
        const { verdict } = ruleset.forward(TABLE, packet);
        assert.equal(verdict, allowed ? "accept" : "drop", JSON.stringify(packet));
        if (!allowed) refused++;
      }
    }),
    { seed: 20_261_122, numRuns: 60 },
  );
  assert.ok(refused > 500, "the policies refuse something");
});

test("pods that come and go are changed in the sets alone: as if the rules had been made with them", () => {
  fc.assert(
    fc.property(networkPoliciesArbitrary, pods, pods, (policies, before, now) => {
      const ruleset = rulesetOf(policies, before);
      ruleset.load(nftablesPods(policies, now, TABLE));
      for (const packet of packetsBetween(now.map(({ addresses: [only = ""] }) => only)))
        assert.equal(
          ruleset.forward(TABLE, packet).verdict,
          isAllowed(policies, now, packet) ? "accept" : "drop",
        );
    }),
    { seed: 20_261_122, numRuns: 30 },
  );
});

const SERVER = podOf("b/api", "10.0.1.1", { ports: [{ name: "http", port: 8080, protocol: "TCP" }] });
const CLIENT = podOf("a/one", "10.0.0.1");
const CLOSED = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: b}
spec: {podSelector: {}, policyTypes: [Ingress]}
`;
const TO_SERVER: Packet = { source: "10.0.0.1", destination: "10.0.1.1", protocol: "tcp", port: 8080 };

function fate(text: string, options: Partial<NftablesOptions>, packet: Partial<Packet> = {}): Fate {
  const ruleset = rulesetOf(networkPoliciesOf(text), [SERVER, CLIENT], options);
  return ruleset.forward(TABLE, { ...TO_SERVER, ...packet });
}

test("refusals are silent, or a reset where TCP has one, or left under a mark to a chain of the caller's", () => {
  assert.equal(fate(CLOSED, { refusal: "drop" }).verdict, "drop");
  assert.equal(fate(CLOSED, { refusal: "reset" }).verdict, "reset");
  assert.equal(fate(CLOSED, { refusal: "reset" }, { protocol: "udp" }).verdict, "drop");
  const marked = fate(CLOSED, { refusal: { mark: 77 } });
  assert.deepEqual([marked.verdict, marked.packetMark], ["accept", 77]);
  const passed = fate(CLOSED, { refusal: { mark: 77 } }, { destination: "10.0.0.1", source: "10.0.1.1" });
  assert.deepEqual([passed.verdict, passed.packetMark], ["accept", undefined]);
});

test("what is refused is logged once with its direction and reason, what is allowed is not", () => {
  assert.deepEqual(fate(CLOSED, { logGroup: 5 }).logged, ["5 bulwark ingress isolated: "]);
  assert.deepEqual(fate(CLOSED, {}).logged, []);
  assert.deepEqual(fate("", { logGroup: 5 }).logged, []);
  const admin = (action: string, name = "guard.one"): string => `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: ${name}}
spec: {priority: 1, subject: {namespaces: {}}, egress: [{action: ${action}, to: [{namespaces: {}}]}]}
`;
  assert.deepEqual(fate(admin("Deny"), { logGroup: 5 }).logged, [
    "5 bulwark egress AdminNetworkPolicy guard.one: ",
  ]);
  assert.deepEqual(fate(admin("Allow"), { logGroup: 5 }).logged, []);
  const long = fate(admin("Deny", "n".repeat(200)), { logGroup: 5 }).logged[0] ?? "";
  assert.ok(long.length <= "5 ".length + 127, "the kernel keeps 127 bytes of a prefix");
});

test("answers and open connections go on; with a generation, those let through under another one are asked again", () => {
  for (const state of ["established", "related"] as const)
    assert.equal(fate(CLOSED, {}, { state }).verdict, "accept", state);
  assert.equal(fate(CLOSED, {}, { state: "new" }).verdict, "drop");
  const open = { generation: 7 };
  assert.equal(fate(CLOSED, open, { state: "established", connectionMark: 7 }).verdict, "accept");
  assert.equal(fate(CLOSED, open, { state: "established", connectionMark: 6 }).verdict, "drop");
  assert.equal(fate(CLOSED, open, { state: "established", reply: true }).verdict, "accept");
  assert.equal(fate(CLOSED, open, { state: "related" }).verdict, "accept");
  assert.equal(fate("", open).connectionMark, 7);
  assert.equal(fate("", {}).connectionMark, undefined);
  assert.equal(fate(CLOSED, open).connectionMark, undefined);
});

test("a pod on the host's network has its node's address: no rule is about that", () => {
  const policies = networkPoliciesOf(CLOSED);
  const host = { ...SERVER, hostNetwork: true };
  assert.equal(rulesetOf(policies, [host]).forward(TABLE, TO_SERVER).verdict, "accept");
  assert.equal(rulesetOf(policies, [SERVER]).forward(TABLE, TO_SERVER).verdict, "drop");
});

test("of a dual-stack pod both addresses are meant", () => {
  const policies = networkPoliciesOf(CLOSED);
  const ruleset = rulesetOf(policies, [{ ...SERVER, addresses: ["10.0.1.1", "2001:db8::1"] }]);
  for (const [source, destination] of [
    ["10.0.0.1", "10.0.1.1"],
    ["2001:db8::2", "2001:db8::1"],
  ] as const)
    assert.equal(ruleset.forward(TABLE, { ...TO_SERVER, source, destination }).verdict, "drop");
  const other = { ...TO_SERVER, source: "2001:db8::2", destination: "2001:db8::3" };
  assert.equal(ruleset.forward(TABLE, other).verdict, "accept");
});

test("an AdminNetworkPolicy's node peers let in nobody: an address does not tell a node", () => {
  const policies = networkPoliciesOf(`${CLOSED}---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: nodes}
spec: {priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}
`);
  const back = { ...TO_SERVER, source: "10.0.1.1", destination: "10.0.0.1" };
  assert.equal(rulesetOf(policies, [SERVER]).forward(TABLE, back).verdict, "accept");
});

test("another script takes the place of the one before, and of nobody else's table", () => {
  const ruleset = rulesetOf(networkPoliciesOf(CLOSED), [SERVER]);
  ruleset.load("table inet other {}");
  ruleset.load(nftablesScript(networkPoliciesOf(""), [SERVER], OPTIONS));
  assert.equal(ruleset.forward(TABLE, TO_SERVER).verdict, "accept");
  assert.deepEqual([...ruleset.tables.keys()].sort(), [TABLE, "inet other"]);
});
