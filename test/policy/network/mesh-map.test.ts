/** Who can connect to whom in a mesh, as it is listed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mapNodes } from "../../../src/policy/network/map-nodes.ts";
import { conflictingPriorities, mapNotes } from "../../../src/policy/network/map-notes.ts";
import { type MeshMapOptions, meshMap } from "../../../src/policy/network/mesh-map.ts";
import {
  hasNetworkPolicies,
  networkPolicies,
  podMatchers,
} from "../../../src/policy/network/network-policies.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { networkPoliciesOf, podOf } from "./network-fixture.ts";

function workload(
  kind: string,
  name: string,
  more: { ports?: string; labels?: string; namespace?: string } = {},
): string {
  const { ports = "[{name: http, containerPort: 8080}]", labels = `{app: ${name}}`, namespace = "a" } = more;
  return `---
apiVersion: apps/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: {template: {metadata: {labels: ${labels}}, spec: {containers: [{name: c, image: i, ports: ${ports}}]}}}
`;
}

interface PodOptions {
  readonly owner?: string;
  readonly labels?: string;
  readonly spec?: string;
  readonly ip?: string;
  readonly ports?: string;
}

function pod(
  name: string,
  {
    owner = "",
    labels = `{app: ${name}}`,
    spec = "",
    ip,
    ports = "[{containerPort: 8080}]",
  }: PodOptions = {},
): string {
  return `---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: a, labels: ${labels}${owner === "" ? "" : `, ownerReferences: [${owner}]`}}
spec: {${spec}containers: [{name: c, image: i, ports: ${ports}}]}
${ip === undefined ? "" : `status: {podIP: ${ip}}`}
`;
}

function policy(spec: string, namespace = "a", name = "p"): string {
  return `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
`;
}

const lines = (text: string, options: MeshMapOptions = {}): string[] =>
  [...meshMap(meshOf(text), options)].map(({ from, to, connections }) => `${from} => ${to}: ${connections}`);
const ALL4 = "0.0.0.0-255.255.255.255";
const ALL6 = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
const TWO = workload("Deployment", "one") + workload("StatefulSet", "two");

test("without policies everybody connects to everybody but to itself: from outside, between pods, to the outside, sorted", () => {
  const expected = [
    `${ALL4} => a/one[Deployment]: All Connections`,
    `${ALL4} => a/two[StatefulSet]: All Connections`,
    "a/one[Deployment] => a/two[StatefulSet]: All Connections",
    `a/one[Deployment] => ${ALL4}: All Connections`,
    "a/two[StatefulSet] => a/one[Deployment]: All Connections",
    `a/two[StatefulSet] => ${ALL4}: All Connections`,
  ];
  assert.deepEqual(lines(TWO), expected);
  assert.deepEqual(
    lines(TWO, { families: [6] }),
    expected.map((line) => line.replace(ALL4, ALL6)),
  );
  assert.equal(lines(TWO, { families: [4, 6] }).length, 10);
});

test("an end that is a pod has its node, what is outside has none", () => {
  const [into, between] = [...meshMap(meshOf(TWO))].filter((_, at) => at === 0 || at === 2);
  assert.deepEqual([into?.source, into?.destination?.label], [undefined, "a/one[Deployment]"]);
  assert.deepEqual(
    [between?.source?.label, between?.destination?.label],
    ["a/one[Deployment]", "a/two[StatefulSet]"],
  );
  assert.ok(into !== undefined && !("source" in into));
});

test("what policies close has no line, and what they open has its ports", () => {
  const closed = policy(
    "{podSelector: {matchLabels: {app: two}}, ingress: [{from: [{podSelector: {}}], ports: [{port: http}, {protocol: UDP, port: 53}]}]}",
  );
  const into = lines(TWO + closed).filter((line) => line.includes("=> a/two"));
  assert.deepEqual(into, ["a/one[Deployment] => a/two[StatefulSet]: TCP 8080,UDP 53"]);
});

test("blocks of addresses mean the outside alone, or pods with an address in them besides", () => {
  const text =
    pod("one", { ip: "10.0.0.1" }) +
    pod("two", { ip: "10.0.0.2" }) +
    policy("{podSelector: {matchLabels: {app: two}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/24}}]}]}");
  const into = (options: MeshMapOptions): string[] =>
    lines(text, options).filter((line) => line.includes("=> a/two"));
  const outside = "10.0.0.0-10.0.0.255 => a/two[Pod]: All Connections";
  assert.deepEqual(into({}), [outside]);
  assert.deepEqual(into({ blocks: "outside" }), [outside]);
  assert.deepEqual(into({ blocks: "addresses" }), [outside, "a/one[Pod] => a/two[Pod]: All Connections"]);
});

test("where blocks mean pods, pairs that the families tell apart have a line for each; where none is told apart, one", () => {
  const both = (name: string, n: number): string =>
    `${pod(name).trimEnd()}\nstatus: {podIPs: [{ip: 10.0.0.${n}}, {ip: "fd00::${n}"}]}\n`;
  const text = (cidr: string): string =>
    both("one", 1) +
    both("two", 2) +
    policy(
      `{podSelector: {matchLabels: {app: two}}, ingress: [{from: [{ipBlock: {cidr: "${cidr}"}}], ports: [{port: 80}]}, {from: [{podSelector: {}}], ports: [{protocol: UDP, port: 53}]}]}`,
    );
  const into = (cidr: string, families: MeshMapOptions["families"]): string[] =>
    lines(text(cidr), { blocks: "addresses", families: families ?? [4] }).filter((line) =>
      line.startsWith("a/one[Pod] => a/two"),
    );
  const line = "a/one[Pod] => a/two[Pod]:";
  assert.deepEqual(into("fd00::/64", [4, 6]), [
    `${line} UDP 53 over IPv4`,
    `${line} TCP 80,UDP 53 over IPv6`,
  ]);
  assert.deepEqual(into("10.0.0.0/24", [4, 6]), [
    `${line} TCP 80,UDP 53 over IPv4`,
    `${line} UDP 53 over IPv6`,
  ]);
  assert.deepEqual(into("fd00:1::/64", [4, 6]), [`${line} UDP 53`]);
  assert.deepEqual(into("fd00::/64", [4]), [`${line} UDP 53`]);
  assert.deepEqual(into("10.0.0.0/24", [4]), [`${line} TCP 80,UDP 53`]);
});

test("of a family that a pod has no address of there is no line", () => {
  const closed = policy(
    '{podSelector: {matchLabels: {app: two}}, ingress: [{from: [{ipBlock: {cidr: "10.0.0.0/24"}}]}]}',
  );
  const text = pod("one", { ip: "10.0.0.1" }) + pod("two", { ip: "10.0.0.2" }) + closed;
  assert.deepEqual(
    lines(text, { blocks: "addresses", families: [4, 6] }).filter((line) => line.includes("[Pod] => a/")),
    ["a/one[Pod] => a/two[Pod]: All Connections", "a/two[Pod] => a/one[Pod]: All Connections"],
  );
});

const nodes = (text: string): string[] =>
  mapNodes(meshOf(text)).map(
    ({ label, workloads }) => `${label} ${workloads.map(({ name }) => name).join("+")}`,
  );
const OWNER = "{kind: ReplicaSet, name: web, controller: true}";

test("pods of one controller are one end, unless their ports or a policy's selector tell them apart", () => {
  const both = (more: PodOptions = {}): string =>
    pod("w1", { owner: OWNER, labels: "{app: web, n: x}" }) +
    pod("w2", { owner: OWNER, labels: "{app: web, n: y}", ...more });
  assert.deepEqual(nodes(both()), ["a/web[ReplicaSet] w1+w2"]);
  const apart = ["a/w1[Pod] w1", "a/w2[Pod] w2"];
  assert.deepEqual(nodes(both({ ports: "[{containerPort: 9090}]" })), apart);
  assert.deepEqual(nodes(both({ spec: "hostNetwork: true, " })), apart);
  assert.deepEqual(nodes(both() + policy("{podSelector: {matchLabels: {app: web}}}")), [
    "a/web[ReplicaSet] w1+w2",
  ]);
  assert.deepEqual(nodes(both() + policy("{podSelector: {matchLabels: {n: x}}}")), apart);
  const peer = "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {n: x}}}]}]}";
  assert.deepEqual(nodes(both() + policy(peer)), apart);
  const outward =
    "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {n: x}}}]}]}";
  assert.deepEqual(nodes(both() + policy(outward)), apart);
});

test("an end is called by the controller of its pod; a static pod and one with another owner by its own name", () => {
  const named = (owner: string): string[] => nodes(pod("w1", { owner }));
  assert.deepEqual(named(OWNER), ["a/web[ReplicaSet] w1"]);
  assert.deepEqual(named("{kind: Job, name: j}"), ["a/w1[Pod] w1"]);
  assert.deepEqual(named(`{kind: Job, name: j, controller: false}, ${OWNER}`), ["a/web[ReplicaSet] w1"]);
  assert.deepEqual(named("{kind: Node, name: n, controller: true}"), ["a/w1[Pod] w1"]);
  assert.deepEqual(named(""), ["a/w1[Pod] w1"]);
});

test("ends are sorted, and a WorkloadEntry is none: no policy selects what is no pod", () => {
  const entry = `---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: a}
spec: {address: 10.9.9.9, labels: {app: vm}}
`;
  const text =
    workload("Deployment", "zeta") + entry + workload("Deployment", "alpha") + workload("Deployment", "mid");
  assert.deepEqual(nodes(text), [
    "a/alpha[Deployment] alpha",
    "a/mid[Deployment] mid",
    "a/zeta[Deployment] zeta",
  ]);
});

test("notes: pods on the host's network, IPv6 that is not shown, blocks in which pods lie; none where there is no reason", () => {
  const noted = (text: string, shown: Partial<Parameters<typeof mapNotes>[2]> = {}): string[] => {
    const mesh = meshOf(text);
    const all = mapNotes(networkPolicies(mesh), mapNodes(mesh), { ipv6: false, blocks: "outside", ...shown });
    return all.map(({ code, severity, message }) => `${severity} ${code} ${message.split(": ").at(-1)}`);
  };
  const one = pod("one", { ip: "10.0.0.1" });
  assert.deepEqual(noted(one), []);
  const agents = ["b1", "b2", "b3", "b4", "b5", "b6"].map((name) =>
    pod(name, { spec: "hostNetwork: true, " }),
  );
  assert.deepEqual(noted(agents.slice(0, 1).join("")), ["info BW1521_HOST_NETWORK a/b1[Pod]"]);
  assert.deepEqual(noted(agents.slice(0, 5).join("")), [
    "info BW1521_HOST_NETWORK a/b1[Pod], a/b2[Pod], a/b3[Pod], a/b4[Pod], a/b5[Pod]",
  ]);
  assert.match(noted(agents.join(""))[0] ?? "", /a\/b5\[Pod\] and 1 more$/);
  const six =
    one +
    policy(
      '{podSelector: {}, ingress: [{}, {from: [{podSelector: {}}, {ipBlock: {cidr: "2001:db8::/32"}}]}]}',
    );
  assert.deepEqual(noted(six), ["info BW1522_IPV6_LEFT_OUT NetworkPolicy a/p"]);
  assert.deepEqual(noted(six, { ipv6: true }), []);
  const block = (cidr: string): string =>
    one + policy(`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: ${cidr}}}]}]}`);
  assert.deepEqual(noted(block("10.0.0.0/8")), ["info BW1523_BLOCK_HOLDS_PODS NetworkPolicy a/p"]);
  assert.deepEqual(noted(block("10.0.0.0/8"), { blocks: "addresses" }), []);
  assert.deepEqual(noted(block("192.0.2.0/24")), []);
});

function admin(name: string, priority: number): string {
  return `---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: ${name}}
spec: {priority: ${priority}, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
`;
}

test("two AdminNetworkPolicies of one priority have no defined order: an error; of different ones the lower number comes first", () => {
  const policies = networkPoliciesOf(admin("c", 7) + admin("b", 3) + admin("a", 7) + admin("d", 9));
  assert.deepEqual(
    policies.admin.map(({ name, priority }) => `${name} ${priority}`),
    ["AdminNetworkPolicy b 3", "AdminNetworkPolicy a 7", "AdminNetworkPolicy c 7", "AdminNetworkPolicy d 9"],
  );
  const [conflict, ...others] = conflictingPriorities(policies);
  assert.deepEqual(others, []);
  assert.deepEqual(
    [conflict?.code, conflict?.severity, conflict?.resource],
    ["BW1520_SAME_PRIORITY", "error", "AdminNetworkPolicy c"],
  );
  assert.match(conflict?.message ?? "", /priority 7, as AdminNetworkPolicy a has/);
  assert.ok(conflict?.span !== undefined && conflict.help !== undefined);
});

test("policies are those of Kubernetes' groups alone, of each tier, and every selector of pods in them is known once", () => {
  const foreign = policy("{podSelector: {}}").replace("networking.k8s.io/v1", "example.com/v1");
  assert.equal(hasNetworkPolicies(networkPoliciesOf(foreign)), false);
  assert.equal(hasNetworkPolicies(networkPoliciesOf("")), false);
  const base = admin("default", 0).replace("kind: Admin", "kind: BaselineAdmin").replace("priority: 0, ", "");
  for (const text of [policy("{podSelector: {}}"), admin("a", 1), base])
    assert.equal(hasNetworkPolicies(networkPoliciesOf(text)), true, text);
  const selectors = (text: string): string[] =>
    podMatchers(networkPoliciesOf(text)).map(({ text: own }) => own);
  const app = (name: string): string => `{podSelector: {matchLabels: {app: ${name}}}}`;
  assert.deepEqual(
    selectors(
      policy(
        `{podSelector: {matchLabels: {app: s}}, ingress: [{}, {from: [${app("i")}]}], egress: [{to: [${app("e")}, ${app("i")}, {ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
      ),
    ),
    ["app=s", "app=i", "app=e"],
  );
});

const BACKENDS = `${workload("Deployment", "web", { ports: "[{name: http, containerPort: 8080}, {name: admin, containerPort: 9090}, {name: dns, containerPort: 53, protocol: UDP}]" })}---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {selector: {app: web}, ports: [{name: main, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: 9090}, {name: dns, port: 53, targetPort: dns, protocol: UDP}, {name: gone, port: 82, targetPort: 7777}]}
`;
const opened = (text: string): string[] => lines(BACKENDS + text).filter((line) => line.startsWith("{"));
const CONTROLLER = "{ingress-controller} => a/web[Deployment]:";

function resource(apiVersion: string, kind: string, spec: string, namespace = "a"): string {
  return `---
apiVersion: ${apiVersion}
kind: ${kind}
metadata: {name: r, namespace: ${namespace}}
spec: ${spec}
`;
}

test("an Ingress opens the ports of its backends' Services, by number or name, the default backend's too", () => {
  const ingress = (spec: string): string[] => opened(resource("networking.k8s.io/v1", "Ingress", spec));
  const path = (port: string, name = "web"): string =>
    `{rules: [{host: h}, {http: {paths: [{path: /, backend: {service: {name: ${name}, port: {${port}}}}}]}}]}`;
  assert.deepEqual(opened(""), []);
  assert.deepEqual(ingress(path("number: 80")), [`${CONTROLLER} TCP 8080`]);
  assert.deepEqual(ingress(path("name: admin")), [`${CONTROLLER} TCP 9090`]);
  assert.deepEqual(ingress("{defaultBackend: {service: {name: web, port: {number: 81}}}}"), [
    `${CONTROLLER} TCP 9090`,
  ]);
  assert.deepEqual(ingress(path("number: 53")), [], "UDP is not HTTP");
  assert.deepEqual(ingress(path("number: 82")), [], "no container declares it");
  assert.deepEqual(ingress(path("number: 4444")), []);
  assert.deepEqual(ingress(path("number: 80", "other")), []);
  assert.deepEqual(ingress("{defaultBackend: {resource: {kind: Bucket, name: web}}}"), []);
  assert.deepEqual(opened(resource("example.com/v1", "Ingress", path("number: 80"))), []);
  assert.deepEqual(opened(resource("networking.k8s.io/v1", "Ingress", path("number: 80"), "b")), []);
});

test("an OpenShift Route opens the port that it names, of the pods or of the Service; without one all", () => {
  const route = (spec: string): string[] => opened(resource("route.openshift.io/v1", "Route", spec));
  assert.deepEqual(route("{to: {kind: Service, name: web}}"), [`${CONTROLLER} TCP 8080,9090`]);
  assert.deepEqual(route("{to: {name: web}, port: {targetPort: http}}"), [`${CONTROLLER} TCP 8080`]);
  assert.deepEqual(route("{to: {name: web}, port: {targetPort: 9090}}"), [`${CONTROLLER} TCP 9090`]);
  assert.deepEqual(route('{to: {name: web}, port: {targetPort: ""}}'), [`${CONTROLLER} TCP 8080,9090`]);
  assert.deepEqual(route("{to: {kind: Other, name: web}}"), []);
  assert.deepEqual(
    route(
      "{to: {kind: Service, name: x}, alternateBackends: [{kind: Service, name: web}], port: {targetPort: main}}",
    ),
    [`${CONTROLLER} TCP 8080`],
  );
});

test("a route of the Gateway API opens its backends where its parent is a Gateway, in other namespaces where they grant it", () => {
  const httpRoute = (spec: string, namespace = "a"): string =>
    resource("gateway.networking.k8s.io/v1", "HTTPRoute", spec, namespace);
  const spec = (parent: string, backend: string): string =>
    `{parentRefs: [${parent}], rules: [{}, {backendRefs: [${backend}]}]}`;
  const web = "{name: web, port: 80}";
  assert.deepEqual(opened(httpRoute(spec("{name: g}", web))), [`${CONTROLLER} TCP 8080`]);
  assert.deepEqual(
    opened(httpRoute(spec("{kind: Gateway, name: g}", "{kind: Service, name: web, port: 81}"))),
    [`${CONTROLLER} TCP 9090`],
  );
  assert.deepEqual(opened(httpRoute(spec("{kind: Service, name: s}", web))), [], "the mesh's own");
  assert.deepEqual(opened(httpRoute(spec("{kind: Service, name: s}, {name: g}", web))), [
    `${CONTROLLER} TCP 8080`,
  ]);
  assert.deepEqual(opened(httpRoute(spec("{name: g}", "{kind: Other, name: web, port: 80}"))), []);
  const abroad = httpRoute(spec("{name: g}", "{name: web, namespace: a, port: 80}"), "b");
  const grant = (from: string, to: string, namespace = "a", kind = "ReferenceGrant"): string =>
    resource("gateway.networking.k8s.io/v1beta1", kind, `{from: [${from}], to: [${to}]}`, namespace);
  const fromB = "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: b}";
  assert.deepEqual(opened(abroad), []);
  assert.deepEqual(opened(abroad + grant(fromB, "{kind: Service}")), [`${CONTROLLER} TCP 8080`]);
  for (const refused of [
    grant(fromB.replace("namespace: b", "namespace: c"), "{kind: Service}"),
    grant(fromB.replace("HTTPRoute", "GRPCRoute"), "{kind: Service}"),
    grant(fromB, "{kind: Secret}"),
    grant(fromB, "{kind: Service}", "b"),
    grant(fromB, "{kind: Service}", "a", "OtherGrant"),
  ])
    assert.deepEqual(opened(abroad + refused), [], refused);
});

test("what several routes open adds up, and policies have a say: the controller is a pod of which nothing is known", () => {
  const both =
    resource("route.openshift.io/v1", "Route", "{to: {name: web}, port: {targetPort: http}}") +
    resource(
      "networking.k8s.io/v1",
      "Ingress",
      "{defaultBackend: {service: {name: web, port: {name: admin}}}}",
    );
  assert.deepEqual(opened(both), [`${CONTROLLER} TCP 8080,9090`]);
  assert.deepEqual(opened(both + policy("{podSelector: {}}")), []);
  assert.deepEqual(
    opened(both + policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")),
    [],
    "of another namespace",
  );
  assert.deepEqual(
    opened(
      both +
        policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}], ports: [{port: admin}]}]}"),
    ),
    [`${CONTROLLER} TCP 9090`],
  );
  assert.deepEqual(
    opened(both + policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}")),
    [],
  );
});

test("a container's port that is none is left out", () => {
  assert.deepEqual(podOf("a/x", "").addresses, []);
  const [node] = mapNodes(
    meshOf(
      workload("Deployment", "w", {
        ports: "[{containerPort: 0}, {containerPort: 1}, {containerPort: 65535}, {containerPort: 65536}]",
      }),
    ),
  );
  assert.deepEqual(
    node?.pod.ports.map(({ port }) => port),
    [1, 65_535],
  );
});
