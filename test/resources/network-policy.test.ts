import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText, placesOf, problemsOf } from "./load-fixture.ts";

/** A NetworkPolicy with this spec, indented by two. */
function policy(spec: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
${spec}`;
}

function admin(spec: string, kind = "AdminNetworkPolicy", version = "v1alpha1"): string {
  return `apiVersion: policy.networking.k8s.io/${version}
kind: ${kind}
metadata: {name: default}
spec:
${spec}`;
}

const GOOD: readonly (readonly [what: string, text: string])[] = [
  ["nobody in", policy("  podSelector: {}")],
  [
    "every kind of peer and port",
    policy(`  podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: a}}
      namespaceSelector: {}
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
    - ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}
    ports: [{port: 80}, {port: 8080, endPort: 8090, protocol: UDP}, {port: http}, {protocol: SCTP}, {}]
  egress: [{}]`),
  ],
  [
    "an admin policy with every kind of peer and port",
    admin(`  priority: 0
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: a}}}}
  ingress: [{name: i, action: Pass, from: [{namespaces: {matchLabels: {team: a}}}], ports: [{namedPort: http}]}]
  egress:
  - action: Deny
    to: [{networks: [10.0.0.0/8]}, {nodes: {}}, {pods: {namespaceSelector: {}, podSelector: {}}}]
    ports: [{portNumber: {port: 80, protocol: TCP}}, {portRange: {start: 1, end: 9}}]`),
  ],
];

for (const [what, text] of GOOD)
  test(`a network policy is taken: ${what}`, async () => {
    const loaded = await loadText(text);
    assert.deepEqual(problemsOf(loaded), []);
    assert.equal(loaded.resources.length, 1);
  });

const rule = (ingress: string): string => policy(`  podSelector: {}\n  ingress:\n  - ${ingress}`);
const to = (egress: string): string =>
  admin(`  priority: 1\n  subject: {namespaces: {}}\n  egress:\n  - {action: Allow, ${egress}}`);

const BAD: readonly (readonly [what: string, text: string, places: readonly string[]])[] = [
  ["a peer that names nobody", rule("from: [{}]"), ["BW1249_NETWORK_POLICY 7:12"]],
  [
    "a block beside a selector",
    rule("from: [{ipBlock: {cidr: 10.0.0.0/8}, namespaceSelector: {}}]"),
    ["BW1249_NETWORK_POLICY 7:13"],
  ],
  ["a block that is none", rule("from: [{ipBlock: {cidr: 10.0.0.0}}]"), ["BW1203_BAD_CIDR 7:29"]],
  ["host bits in a block", rule("from: [{ipBlock: {cidr: 10.0.0.1/8}}]"), ["BW1203_BAD_CIDR 7:29"]],
  [
    "an exception outside of the block",
    rule("from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]"),
    ["BW1249_NETWORK_POLICY 7:50"],
  ],
  [
    "an exception that is the whole block",
    rule("from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]"),
    ["BW1249_NETWORK_POLICY 7:50"],
  ],
  [
    "an exception of the other family",
    rule('from: [{ipBlock: {cidr: 0.0.0.0/0, except: ["::/16"]}}]'),
    ["BW1249_NETWORK_POLICY 7:50"],
  ],
  ["a range backwards", rule("ports: [{port: 90, endPort: 80}]"), ["BW1249_NETWORK_POLICY 7:33"]],
  ["a range of names", rule("ports: [{port: http, endPort: 80}]"), ["BW1249_NETWORK_POLICY 7:26"]],
  ["a range without a start", rule("ports: [{endPort: 80}]"), ["BW1249_NETWORK_POLICY 7:14"]],
  ["port 0", rule("ports: [{port: 0}]"), ["BW1204_BAD_PORT 7:20"]],
  ["port 65536", rule("ports: [{port: 65536}]"), ["BW1204_BAD_PORT 7:20"]],
  ["a name that is none", rule("ports: [{port: Http_1}]"), ["BW1204_BAD_PORT 7:20"]],
  ["another protocol", rule("ports: [{port: 1, protocol: ICMP}]"), ["BW1103_NOT_ONE_OF 7:33"]],
  [
    "an operator that is none",
    policy("  podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}"),
    ["BW1202_BAD_SELECTOR 5:55"],
  ],
  [
    "In without values",
    policy("  podSelector: {matchExpressions: [{key: a, operator: In}]}"),
    ["BW1202_BAD_SELECTOR 5:36"],
  ],
  [
    "Exists with values",
    policy("  podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
    ["BW1202_BAD_SELECTOR 5:63"],
  ],
  [
    "a label value that is none",
    policy("  podSelector: {matchLabels: {a: 'b c'}}"),
    ["BW1245_BAD_LABEL 5:35"],
  ],
  ["a third direction", policy("  podSelector: {}\n  policyTypes: [Both]"), ["BW1103_NOT_ONE_OF 6:17"]],
  ["a slip of a field", policy("  podSelector: {}\n  engress: []"), ["BW1101_UNKNOWN_FIELD 6:3"]],
  [
    "two ways to name one peer",
    to("to: [{namespaces: {}, networks: [10.0.0.0/8]}]"),
    ["BW1250_ADMIN_NETWORK_POLICY 8:26"],
  ],
  ["no other side", to("to: []"), ["BW1105_OUT_OF_BOUNDS 8:21"]],
  ["a network that is none", to("to: [{networks: [10.0.0.0]}]"), ["BW1203_BAD_CIDR 8:38"]],
  [
    "an action that is none",
    admin(
      "  priority: 1\n  subject: {namespaces: {}}\n  ingress: [{action: Drop, from: [{namespaces: {}}]}]",
    ),
    ["BW1103_NOT_ONE_OF 7:22"],
  ],
  [
    "Pass in a baseline",
    admin(
      "  subject: {namespaces: {}}\n  ingress: [{action: Pass, from: [{namespaces: {}}]}]",
      "BaselineAdminNetworkPolicy",
    ),
    ["BW1103_NOT_ONE_OF 6:22"],
  ],
  [
    "a version that nobody has",
    admin("  subject: {namespaces: {}}", "AdminNetworkPolicy", "v1"),
    ["BW1108_UNKNOWN_KIND 1:13"],
  ],
  ["no priority", admin("  subject: {namespaces: {}}"), ["BW1104_MISSING_FIELD 4:1"]],
];

for (const [what, text, places] of BAD)
  test(`a network policy is refused whole, with its place: ${what}`, async () => {
    const loaded = await loadText(text);
    assert.deepEqual(placesOf(loaded), places, JSON.stringify(problemsOf(loaded), null, 1));
    assert.equal(loaded.resources.length, 0);
  });
