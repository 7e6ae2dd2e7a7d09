/** What network policies decide where something is not known, and what is told of their decisions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decideNetwork,
  type NetworkEnd,
  type NetworkQuestion,
} from "../../../src/policy/network/decide-network.ts";
import { explainNetwork } from "../../../src/policy/network/explain-network.ts";
import { networkPoliciesOf, podOf } from "./network-fixture.ts";

const SERVER = podOf("b/api", "10.0.1.1", { ports: [{ name: "http", port: 8080, protocol: "TCP" }] });
const ONE = podOf("a/one", "10.0.0.1");
const HOST = podOf("a/agent", "192.168.0.1", { hostNetwork: true });

function policy(name: string, spec: string): string {
  return `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: b}
spec: ${spec}
`;
}

function admin(rules: string, kind = "AdminNetworkPolicy", more = "priority: 5, "): string {
  const name = kind === "AdminNetworkPolicy" ? "guard" : "default";
  return `---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: ${kind}
metadata: {name: ${name}}
spec: {${more}subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: b}}}, ${rules}}
`;
}

const baseline = (rules: string): string => admin(rules, "BaselineAdminNetworkPolicy", "");

function ask(text: string, more: Partial<NetworkQuestion> = {}): readonly string[] {
  const policies = networkPoliciesOf(text);
  const question: NetworkQuestion = {
    direction: "ingress",
    subject: SERVER,
    other: { pod: ONE },
    protocol: "TCP",
    port: 8080,
    ...more,
  };
  const verdict = decideNetwork(policies, question);
  return [`${verdict.outcome} ${verdict.cause}`, ...explainNetwork(policies, question, verdict)];
}

const decided = (text: string, more: Partial<NetworkQuestion> = {}): string => ask(text, more)[0] ?? "";
const SELECTED = "b/api is selected for ingress by NetworkPolicy b/p";
const WHAT = "TCP 8080 from a/one";
const NOBODY_MORE = `NetworkPolicies let in only what their rules name: no rule allows ${WHAT}`;

test("a block of addresses is asked for the address that the connection goes by; of one that is not known only all of the family is sure", () => {
  const block = (cidr: string): string =>
    policy("p", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: "${cidr}"}}]}]}`);
  const dual = podOf("a/dual", "", { addresses: ["10.0.0.1", "fd00::1"] });
  const outcome = (cidr: string, pod: typeof dual, family?: 4 | 6): string | undefined =>
    ask(block(cidr), { other: { pod }, ...(family === undefined ? {} : { family }) })[0];
  assert.equal(outcome("fd00::/64", dual, 6), "allow network-rule");
  assert.equal(outcome("fd00::/64", dual, 4), "deny network-isolated");
  assert.equal(outcome("fd00::/64", dual), "deny network-isolated");
  assert.equal(outcome("10.0.0.0/24", dual, 4), "allow network-rule");
  assert.equal(outcome("10.0.0.0/24", dual, 6), "deny network-isolated");
  assert.equal(outcome("fd00::/64", ONE, 6), "unknown address-unknown");
  assert.equal(outcome("::/0", ONE, 6), "allow network-rule");
  assert.equal(outcome("10.0.0.0/24", ONE, 6), "deny network-isolated");
});

test("a pod that no policy selects is not restricted, and it is said of whom and which way", () => {
  assert.deepEqual(ask(""), [
    "allow not-isolated",
    `no network policy selects b/api for ingress: ${WHAT} is not restricted`,
  ]);
  const egress = { direction: "egress" as const, protocol: "UDP" as const, port: 53 };
  assert.deepEqual(ask(policy("p", "{podSelector: {}}"), egress), [
    "allow not-isolated",
    "no network policy selects b/api for egress: UDP 53 to a/one is not restricted",
  ]);
});

test("the rule that allows is named by its place, an admin rule also by its name", () => {
  assert.deepEqual(ask(policy("p", "{podSelector: {}, ingress: [{ports: [{port: 1}]}, {}]}")), [
    "allow network-rule",
    SELECTED,
    `NetworkPolicy b/p ingress rule 1 allows ${WHAT}`,
  ]);
  const rule = (action: string, name = "from-all"): string =>
    `ingress: [{name: ${JSON.stringify(name)}, action: ${action}, from: [{namespaces: {}}]}]`;
  const all = (text: string): readonly string[] => ask(text).filter((_, at) => at !== 1);
  const by = "AdminNetworkPolicy guard ingress rule 0";
  assert.deepEqual(all(admin(rule("Allow"))), ["allow admin-allow", `${by} (from-all) allows ${WHAT}`]);
  assert.deepEqual(all(admin(rule("Deny"))), ["deny admin-deny", `${by} (from-all) denies ${WHAT}`]);
  assert.deepEqual(all(admin(rule("Deny", ""))), ["deny admin-deny", `${by} denies ${WHAT}`]);
  const base = "BaselineAdminNetworkPolicy default ingress rule 0 (from-all)";
  assert.deepEqual(all(baseline(rule("Allow"))), ["allow baseline-allow", `${base} allows ${WHAT}`]);
  assert.deepEqual(all(baseline(rule("Deny"))), ["deny baseline-deny", `${base} denies ${WHAT}`]);
  assert.deepEqual(all(admin(rule("Pass"))), [
    "allow not-isolated",
    `none of them has a rule for ${WHAT}, and no NetworkPolicy isolates the pod: allowed`,
  ]);
  assert.deepEqual(all(baseline("egress: [{action: Deny, to: [{namespaces: {}}]}]")), ["allow not-isolated"]);
});

test("all policies that select the pod are named", () => {
  const text =
    admin("ingress: [{action: Pass, from: [{namespaces: {}}]}]") +
    policy("p", "{podSelector: {}}") +
    policy("q", "{podSelector: {}}") +
    policy("other", "{podSelector: {matchLabels: {app: other}}}");
  assert.equal(
    ask(text)[1],
    "b/api is selected for ingress by AdminNetworkPolicy guard, NetworkPolicy b/p, NetworkPolicy b/q",
  );
});

test("of a refusal the nearest rules are told: whom they want where the port is right, which port where the peer is", () => {
  const nearest = (rules: string): readonly string[] =>
    ask(policy("p", `{podSelector: {}, ingress: [${rules}]}`)).slice(2);
  const near = "nearest: NetworkPolicy b/p ingress rule";
  assert.deepEqual(nearest(""), [
    NOBODY_MORE,
    "NetworkPolicy b/p has no ingress rules: it lets nothing through",
  ]);
  assert.deepEqual(nearest("{ports: [{port: 9000}, {protocol: UDP, port: 53, endPort: 60}, {port: web}]}"), [
    NOBODY_MORE,
    `${near} 0 wants TCP 9000 or UDP 53-60 or the port named web`,
  ]);
  assert.deepEqual(nearest("{from: [{podSelector: {matchLabels: {app: x}}}], ports: [{port: 9000}]}"), [
    NOBODY_MORE,
  ]);
  for (const [peer, wanted] of [
    ["podSelector: {matchLabels: {app: x}}", "pods with app=x of namespace b"],
    ["podSelector: {}", "any pod of namespace b"],
    ["namespaceSelector: {}, podSelector: {matchLabels: {app: x}}", "pods with app=x of any namespace"],
    ["namespaceSelector: {matchLabels: {team: red}}", "any pod of namespaces with team=red"],
    ["ipBlock: {cidr: 192.0.2.0/24}", "an address in 192.0.2.0/24"],
    [
      "ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28, 192.0.2.16/28]}",
      "an address in 192.0.2.0/24 except 192.0.2.0/28, 192.0.2.16/28",
    ],
  ] as const)
    assert.deepEqual(nearest(`{from: [{${peer}}]}`), [NOBODY_MORE, `${near} 0 wants ${wanted}`]);
  assert.deepEqual(
    nearest("{from: [{podSelector: {}}, {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}]}"),
    [NOBODY_MORE, `${near} 0 wants any pod of namespace b or an address in 192.0.2.0/24`],
  );
  const many = Array.from({ length: 5 }, (_, at) => `{ports: [{port: ${at + 1}}]}`).join(", ");
  assert.equal(nearest(many).length, 1 + 3, "three at most");
});

test("nearest rules are those of NetworkPolicies alone, and are told of refusals alone", () => {
  const pass = admin("ingress: [{action: Pass, from: [{namespaces: {}}], ports: [{portNumber: {port: 9}}]}]");
  assert.equal(ask(pass + policy("p", "{podSelector: {}}")).length, 4);
  const allowed = ask(policy("p", "{podSelector: {}, ingress: [{}, {ports: [{port: 1}]}]}"));
  assert.equal(allowed.length, 3);
  const denied = ask(
    admin("ingress: [{action: Deny, from: [{namespaces: {}}]}]") + policy("p", "{podSelector: {}}"),
  );
  assert.equal(denied.length, 3);
});

test("an isolated pod of one policy is refused by that one, of several by none alone", () => {
  const isolating = (text: string): string | null | undefined =>
    decideNetwork(networkPoliciesOf(text), {
      direction: "ingress",
      subject: SERVER,
      other: { pod: ONE },
      protocol: "TCP",
      port: 8080,
    }).policy?.name;
  assert.equal(isolating(policy("p", "{podSelector: {}}")), "NetworkPolicy b/p");
  assert.equal(isolating(policy("p", "{podSelector: {}}") + policy("q", "{podSelector: {}}")), undefined);
});

const toBlock = (cidrs: string): string =>
  policy("p", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [${cidrs}]}]}`);
const OUT: Partial<NetworkQuestion> = { direction: "egress", other: {} };

test("an address that is not known leaves a rule about addresses open, unless it is about all of IPv4 or none of it", () => {
  const block = (cidr: string, except = ""): string =>
    `{ipBlock: {cidr: "${cidr}"${except === "" ? "" : `, except: [${except}]`}}}`;
  const open = ask(toBlock(block("192.0.2.0/24")), OUT);
  assert.deepEqual(open, [
    "unknown address-unknown",
    "b/api is selected for egress by NetworkPolicy b/p",
    "unknown: NetworkPolicy b/p egress rule 0 asks for addresses, and that of the other side is not known",
  ]);
  assert.equal(decided(toBlock(block("0.0.0.0/0")), OUT), "allow network-rule");
  assert.equal(decided(toBlock(block("0.0.0.0/1")), OUT), "unknown address-unknown");
  assert.equal(decided(toBlock(block("128.0.0.0/1")), OUT), "unknown address-unknown");
  assert.equal(decided(toBlock(block("0.0.0.0/0", "10.0.0.0/8")), OUT), "unknown address-unknown");
  assert.equal(decided(toBlock(block("2001:db8::/32")), OUT), "deny network-isolated");
  assert.equal(decided(toBlock(block("::/0")), OUT), "deny network-isolated");
  const both = `${block("192.0.2.0/24")}, ${block("0.0.0.0/0")}`;
  assert.equal(decided(toBlock(both), OUT), "allow network-rule");
  assert.equal(ask("", OUT)[1]?.includes("to outside is"), true);
  assert.equal(ask("", { ...OUT, other: { address: "192.0.2.7" } })[1]?.includes("to 192.0.2.7 is"), true);
});

test("a rule that may match leaves the answer open only where what is below answers otherwise", () => {
  const rule = (action: string): string => `egress: [{action: ${action}, to: [{networks: [192.0.2.0/24]}]}]`;
  const closed = policy("p", "{podSelector: {}, policyTypes: [Egress]}");
  assert.equal(decided(admin(rule("Deny")), OUT), "unknown address-unknown");
  assert.equal(decided(admin(rule("Allow")), OUT), "allow not-isolated");
  assert.equal(decided(admin(rule("Deny")) + closed, OUT), "deny network-isolated");
  assert.equal(decided(admin(rule("Allow")) + closed, OUT), "unknown address-unknown");
  assert.equal(decided(admin(rule("Pass")) + closed, OUT), "deny network-isolated");
  assert.equal(decided(baseline(rule("Deny")), OUT), "unknown address-unknown");
  const several = `egress: [{action: Deny, to: [{networks: [192.0.2.0/24]}]}, {action: Allow, to: [{networks: [0.0.0.0/0]}]}]`;
  assert.equal(decided(admin(several), OUT), "unknown address-unknown");
  assert.match(ask(admin(several), OUT)[2] ?? "", /guard egress rule 0 asks for addresses/);
});

test("who connects is not known by an identity alone: a rule about peers is open, one without peers is not", () => {
  const other: NetworkEnd = { anybody: true };
  const some = policy("p", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}");
  assert.deepEqual(ask(some, { other }).slice(2), [
    "unknown: NetworkPolicy b/p ingress rule 0 asks who connects, and only an identity is known (give from.workload)",
  ]);
  assert.equal(decided(policy("p", "{podSelector: {}, ingress: [{}]}"), { other }), "allow network-rule");
  assert.equal(decided(policy("p", "{podSelector: {}}"), { other }), "deny network-isolated");
  assert.match(ask("", { other })[1] ?? "", /from somebody is not restricted/);
});

test("for a pod on the host's network Kubernetes leaves open how policies hold: only what they allow is told", () => {
  const subject = { ...SERVER, hostNetwork: true };
  assert.deepEqual(ask(policy("p", "{podSelector: {}}"), { subject }), [
    "unknown host-network-unknown",
    SELECTED,
    "unknown: Kubernetes leaves open how policies hold for pods on the host's network, and NetworkPolicy b/p decides",
    "a plugin that cannot tell b/api from its node does not apply them",
  ]);
  const two = policy("p", "{podSelector: {}}") + policy("q", "{podSelector: {}}");
  assert.equal(
    ask(two, { subject })[2],
    "unknown: Kubernetes leaves open how policies hold for pods on the host's network",
  );
  assert.equal(decided(policy("p", "{podSelector: {}, ingress: [{}]}"), { subject }), "allow network-rule");
});

test("a pod on the host's network as the other side may or may not be known by its labels", () => {
  const other = { pod: HOST };
  const from = (app: string): string =>
    policy(
      "p",
      `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: ${app}}}}]}]}`,
    );
  assert.equal(decided(from("agent"), { other }), "unknown host-network-unknown");
  assert.equal(decided(from("one"), { other }), "deny network-isolated");
  assert.equal(decided(from("one")), "allow network-rule");
});

test("a rule about nodes may mean an address and what is on the host's network, never another pod nor who has no address", () => {
  const nodes = admin("egress: [{action: Deny, to: [{nodes: {}}]}]");
  const egress = { direction: "egress" as const };
  assert.equal(decided(nodes, { ...egress, other: { pod: HOST } }), "unknown host-network-unknown");
  assert.equal(decided(nodes, { ...egress, other: { address: "192.0.2.1" } }), "unknown address-unknown");
  assert.equal(decided(nodes, egress), "allow not-isolated");
  assert.equal(decided(nodes, { ...egress, other: {} }), "allow not-isolated");
  assert.equal(
    decided(nodes + policy("p", "{podSelector: {}, policyTypes: [Egress]}"), {
      ...egress,
      other: { pod: HOST },
    }),
    "deny network-isolated",
  );
});

test("policyTypes: without them a policy is about ingress, and about egress where it has rules for it; empty is as without", () => {
  const egress = { direction: "egress" as const };
  for (const [spec, into, out] of [
    ["{podSelector: {}}", "deny", "allow"],
    ["{podSelector: {}, policyTypes: []}", "deny", "allow"],
    ["{podSelector: {}, egress: []}", "deny", "allow"],
    ["{podSelector: {}, egress: [{ports: [{port: 1}]}]}", "deny", "deny"],
    ["{podSelector: {}, policyTypes: [Egress]}", "allow", "deny"],
    ["{podSelector: {}, policyTypes: [Ingress], egress: [{ports: [{port: 1}]}]}", "deny", "allow"],
    ["{podSelector: {}, policyTypes: [Ingress, Egress]}", "deny", "deny"],
  ] as const) {
    const text = policy("p", spec);
    assert.deepEqual(
      [decided(text), decided(text, egress)].map((own) => own.split(" ")[0]),
      [into, out],
      spec,
    );
  }
});
