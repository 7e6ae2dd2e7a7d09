/** Which workloads share what is compiled for them, and that those that must not do not. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { distinctNamespaces } from "../../../src/policy/outbound/common-view.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import type { OutboundPolicy } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const networking = (kind: string, namespace: string, spec: string, name = "n"): string => `
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;

const policy = (mesh: Mesh, key: string): OutboundPolicy => compileOutbound(mesh, workloadOf(mesh, key));

describe("labels of clients", () => {
  const ORDERS = [
    "a: '1', b: '2', c: '3'",
    "c: '3', b: '2', a: '1'",
    "b: '2', c: '3', a: '1'",
    "c: '3', a: '1', b: '2'",
  ];
  const clients = [...ORDERS, "a: '1', b: '2'", "a: '1', b: '2', c: '4'"]
    .map((labels, index) =>
      app("bar", `client-${index}`).replace(
        `labels: {"app":"client-${index}"}`,
        `labels: {app: x, ${labels}}`,
      ),
    )
    .join("");
  const keys = ["a", "b", "c"].map(
    (key) => `{match: [{sourceLabels: {${key}: '1'}}], directResponse: {status: 418}}`,
  );
  const telling = networking("VirtualService", "foo", `{hosts: [apart.invalid], http: [${keys.join(", ")}]}`);

  test("that a route asks for tell clients apart, in whatever order they are written", () => {
    const mesh = meshOf(clients + telling);
    const [first, ...others] = ORDERS.map((_labels, index) => policy(mesh, `bar/client-${index}`));
    for (const other of others) assert.equal(other, first);
    assert.notEqual(policy(mesh, "bar/client-4"), first);
    assert.notEqual(policy(mesh, "bar/client-5"), first);
    assert.notEqual(policy(mesh, "bar/client-4"), policy(mesh, "bar/client-5"));
  });

  test("that nothing asks for do not", () => {
    const mesh = meshOf(clients);
    assert.equal(policy(mesh, "bar/client-0"), policy(mesh, "bar/client-5"));
  });

  const ASKING: readonly [name: string, yaml: string][] = [
    [
      "a tls route",
      networking(
        "VirtualService",
        "foo",
        "{hosts: [x.invalid], tls: [{match: [{sniHosts: [x.invalid], sourceLabels: {c: '3'}}]}]}",
      ),
    ],
    [
      "a tcp route",
      networking(
        "VirtualService",
        "foo",
        "{hosts: [x.invalid], tcp: [{}, {match: [{port: 1}, {sourceLabels: {c: '3'}}]}]}",
      ),
    ],
    [
      "a rule's selector",
      networking("DestinationRule", "foo", "{host: x.invalid, workloadSelector: {matchLabels: {c: '3'}}}"),
    ],
  ];
  for (const [name, yaml] of ASKING)
    test(`${name} asks as well`, () => {
      const mesh = meshOf(clients + yaml);
      assert.notEqual(policy(mesh, "bar/client-0"), policy(mesh, "bar/client-5"));
      assert.equal(policy(mesh, "bar/client-0"), policy(mesh, "bar/client-1"));
    });
});

test("clients under different Sidecars of one namespace have different policies", () => {
  const sidecar = (name: string, host: string): string =>
    networking(
      "Sidecar",
      "bar",
      `{workloadSelector: {labels: {app: ${name}}}, egress: [{hosts: [${host}]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
      name,
    );
  const mesh = meshOf(
    app("foo", "web") +
      app("bar", "one") +
      app("bar", "two") +
      sidecar("one", "foo/*") +
      sidecar("two", "./*"),
  );
  const reason = (key: string): string => policy(mesh, key).routeTcp({ host: "web.foo", port: 9000 }).reason;
  assert.deepEqual([reason("bar/one"), reason("bar/two")], ["ok", "blackhole"]);
});

describe("addresses of clients", () => {
  const pod = (name: string, ip: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: foo, labels: {app: db}}
spec: {serviceAccountName: db, containers: [{name: app, image: app}]}
status: {podIP: ${ip}}
---
`;
  const service = (spec: string): string => `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: foo}
spec: {${spec}, ports: [{name: tcp, port: 9000}]}
---
`;
  const pods = pod("db-0", "10.0.0.1") + pod("db-1", "10.0.0.2") + pod("db-2", "10.0.0.3");
  const REGISTRY_ONLY = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
---
`;
  const reached = (mesh: Mesh, from: string): string[] =>
    ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((ip) => policy(mesh, from).routeTcp({ ip, port: 9000 }).reason);

  test("one of a headless service reaches the others by their addresses, not itself", () => {
    const mesh = meshOf(REGISTRY_ONLY + pods + service("clusterIP: None, selector: {app: db}"));
    assert.deepEqual(reached(mesh, "foo/db-0"), ["blackhole", "ok", "ok"]);
    assert.deepEqual(reached(mesh, "foo/db-2"), ["ok", "ok", "blackhole"]);
  });

  test("the same holds for addresses that are written in a ServiceEntry without resolution", () => {
    const entry = networking(
      "ServiceEntry",
      "foo",
      "{hosts: [db.example], location: MESH_INTERNAL, resolution: NONE, ports: [{number: 9000, name: tcp, protocol: TCP}], endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2}]}",
    );
    const mesh = meshOf(REGISTRY_ONLY + pods + entry);
    assert.deepEqual(reached(mesh, "foo/db-0"), ["blackhole", "ok", "blackhole"]);
    assert.deepEqual(reached(mesh, "foo/db-2"), ["ok", "ok", "blackhole"]);
    assert.notEqual(policy(mesh, "foo/db-0"), policy(mesh, "foo/db-1"));
  });

  test("of other services tell nobody apart", () => {
    const mesh = meshOf(pods + service("clusterIP: 10.96.0.1, selector: {app: db}"));
    assert.equal(policy(mesh, "foo/db-0"), policy(mesh, "foo/db-1"));
    const fixed = networking(
      "ServiceEntry",
      "foo",
      "{hosts: [db.example], resolution: STATIC, ports: [{number: 9000, name: tcp, protocol: TCP}], endpoints: [{address: 10.0.0.1}]}",
    );
    const entries = meshOf(pods + fixed);
    assert.equal(policy(entries, "foo/db-0"), policy(entries, "foo/db-1"));
  });
});

describe("namespaces that are compiled by themselves", () => {
  const BASE = app("a", "web") + app("b", "web") + app("c", "web");
  const distinct = (yaml: string): string[] => [...distinctNamespaces(meshIndex(meshOf(BASE + yaml)))].sort();
  const ROOT = "istio-system";
  const config = (mesh: string): string => `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "${mesh}"}
---
`;
  const rule = (spec: string, namespace = "a"): string =>
    networking("DestinationRule", namespace, `{${spec}}`);
  const routes = (spec: string): string => networking("VirtualService", "a", `{hosts: [x.invalid], ${spec}}`);
  const entry = (host: string, namespace: string): string =>
    networking(
      "ServiceEntry",
      namespace,
      `{hosts: ["${host}"], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]}`,
    );

  const CASES: readonly [name: string, yaml: string, namespaces: readonly string[]][] = [
    ["the root namespace alone, where all see the same", "", [ROOT]],
    [
      "the owner of what is not for all, and whom it is for",
      networking(
        "ServiceEntry",
        "a",
        "{hosts: [x.test], exportTo: [b, d], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}",
      ),
      ["a", "b", "d", ROOT],
    ],
    ["all owners of one host", entry("x.test", "a") + entry("x.test", "b"), ["a", "b", ROOT]],
    ["not the owner of a host of its own", entry("x.test", "a") + entry("y.test", "b"), [ROOT]],
    [
      "the owner of an alias",
      "apiVersion: v1\nkind: Service\nmetadata: {name: alias, namespace: a}\nspec: {type: ExternalName, externalName: x.test, ports: [{name: http, port: 80}]}\n---\n",
      ["a", ROOT],
    ],
    [
      "the owner of a VirtualService that is not for all, and whom it is for",
      routes("exportTo: [b], http: [{directResponse: {status: 200}}]"),
      ["a", "b", ROOT],
    ],
    [
      "whom a route names as its source, in every section",
      routes(
        "http: [{directResponse: {status: 200}}, {match: [{port: 1}, {sourceNamespace: d}], directResponse: {status: 200}}], tls: [{match: [{sniHosts: [x.invalid], sourceNamespace: e}]}], tcp: [{match: [{sourceNamespace: f}]}]",
      ),
      ["d", "e", "f", ROOT],
    ],
    ["nobody, for a rule of one's own service, for all", rule("host: web"), [ROOT]],
    [
      "nobody, for such a rule, whatever the case of the host, exported to all",
      rule("host: WEB.a.svc.cluster.local, exportTo: [b, '*']"),
      [ROOT],
    ],
    ["the owner of a rule for some", rule("host: web, exportTo: [b]"), ["a", "b", ROOT]],
    ["the owner of a rule for itself", rule("host: web, exportTo: [.]"), [".", "a", ROOT]],
    [
      "the owner of a rule for some of its workloads",
      rule("host: web, workloadSelector: {matchLabels: {app: web}}"),
      ["a", ROOT],
    ],
    ["the owner of a rule for another's service", rule("host: web.b.svc.cluster.local"), ["a", ROOT]],
    ["the owner of a rule for nobody's service", rule("host: x.invalid"), ["a", ROOT]],
    ["the owner of a rule for a wildcard", rule("host: '*.a.svc.cluster.local'"), ["a", ROOT]],
    [
      "the owner of a rule for a wildcard that a service has as well",
      entry("*.test", "a") + rule("host: '*.test'"),
      ["a", ROOT],
    ],
    [
      "all owners of a host that a rule is for",
      entry("x.test", "a") + entry("x.test", "b") + rule("host: x.test", "c"),
      ["a", "b", "c", ROOT],
    ],
    [
      "the owner of any rule, where the mesh keeps them to themselves",
      config("defaultDestinationRuleExportTo: ['.']") + rule("host: web"),
      ["a", ROOT],
    ],
    [
      "nobody, where the mesh exports them to all",
      config("defaultDestinationRuleExportTo: ['*']") + rule("host: web"),
      [ROOT],
    ],
  ];
  for (const [name, yaml, namespaces] of CASES)
    test(name, () => assert.deepEqual(distinct(yaml), [...namespaces].sort()));
});
