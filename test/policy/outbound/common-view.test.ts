/** Namespaces share what is compiled for all of them; whether one does must not be told from what is decided. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Mesh } from "../../../src/model/mesh.ts";
import { COMMON_NAMESPACE, distinctNamespaces } from "../../../src/policy/outbound/common-view.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import { explainOutbound } from "../../../src/policy/outbound/explain-outbound.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const NAMESPACES = ["a", "b", "c"];
const CLIENTS = NAMESPACES.map((namespace) => app(namespace, "client")).join("");

/** What is said here concerns no host that is asked for, but makes each namespace one that is compiled by itself. */
const APART = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: zz-apart, namespace: zz}
spec:
  hosts: [apart.invalid]
  http:
  - match: [${NAMESPACES.map((namespace) => `{sourceNamespace: ${namespace}}`).join(", ")}]
    directResponse: {status: 418}
`;

const object = (apiVersion: string, kind: string, namespace: string, name: string, spec: object): string =>
  `---\n${JSON.stringify({ apiVersion, kind, metadata: { name, namespace }, spec })}\n`;

const namespace = fc.constantFrom(...NAMESPACES);
const exportTo = fc.constantFrom(
  {},
  {},
  {},
  {},
  { exportTo: ["*"] },
  { exportTo: ["."] },
  { exportTo: ["b"] },
  { exportTo: ["~"] },
);
const HOSTS = [
  "x",
  "y",
  "x.a",
  "x.a.svc",
  "x.a.svc.cluster.local",
  "y.b.svc.cluster.local",
  "h.a.svc.cluster.local",
  "pod-0.h",
  "pod-0.h.a",
  "h",
  "x.test",
  "z.x",
  "q.x.h",
  "alias",
  "alias.a",
  "z.y.test",
  "10.96.0.1",
];
const VIRTUAL_HOSTS = [
  ...["x", "y", "x.test", "*.x", "*.test", "x.a", "x.a.svc.cluster.local", "y.b.svc.cluster.local"],
  ...["h", "h", "h", "*.h", "*.h", "*.h", "*.x.h"],
];

const service = fc
  .record({ namespace, name: fc.constantFrom("x", "y", "h"), headless: fc.boolean(), exportTo })
  .map(({ namespace: own, name, headless }) =>
    object("v1", "Service", own, name, {
      selector: { app: name },
      ...(headless ? { clusterIP: "None" } : name === "x" ? { clusterIP: "10.96.0.1" } : {}),
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    }),
  );
const alias = fc
  .record({ namespace, to: fc.constantFrom("x.a.svc.cluster.local", "x.test") })
  .map(({ namespace: own, to }) =>
    object("v1", "Service", own, "alias", {
      type: "ExternalName",
      externalName: to,
      ports: [{ name: "http", port: 80 }],
    }),
  );
const entry = fc
  .record({ namespace, host: fc.constantFrom("x", "y", "h", "x.test", "*.test", "y.b"), exportTo })
  .map(({ namespace: own, host, exportTo: to }) =>
    object("networking.istio.io/v1", "ServiceEntry", own, `se-${host.replaceAll(/[*.]/g, "-")}`, {
      hosts: [host],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: host.startsWith("*") ? "NONE" : "STATIC",
      ...(host.startsWith("*") ? {} : { endpoints: [{ address: "203.0.113.9" }] }),
      ...to,
    }),
  );
const virtualService = fc
  .record({
    namespace,
    hosts: fc.uniqueArray(fc.constantFrom(...VIRTUAL_HOSTS), { minLength: 1, maxLength: 2 }),
    to: fc.constantFrom("x", "y.b.svc.cluster.local", "x.test"),
    sourceNamespace: fc.constantFrom(undefined, undefined, undefined, "a"),
    exportTo,
  })
  .map(({ namespace: own, hosts, to, sourceNamespace, exportTo: seen }) => ({
    own,
    hosts,
    to,
    sourceNamespace,
    seen,
  }));
const destinationRule = fc.record({
  namespace,
  host: fc.constantFrom("x", "y", "x.a.svc.cluster.local", "*.b.svc.cluster.local", "x.test"),
  mode: fc.constantFrom("DISABLE", "ISTIO_MUTUAL"),
  exportTo,
});

const arbitraryMesh: fc.Arbitrary<string> = fc
  .record({
    services: fc.array(service, { maxLength: 5 }),
    aliases: fc.array(alias, { maxLength: 1 }),
    entries: fc.array(entry, { maxLength: 3 }),
    virtualServices: fc.array(virtualService, { maxLength: 4 }),
    destinationRules: fc.array(destinationRule, { maxLength: 2 }),
  })
  .map(({ services, aliases, entries, virtualServices, destinationRules }) =>
    [
      ...new Set([...services, ...aliases, ...entries]),
      ...virtualServices.map(({ own, hosts, to, sourceNamespace, seen }, index) =>
        object("networking.istio.io/v1", "VirtualService", own, `vs-${index}`, {
          hosts,
          http: [
            ...(sourceNamespace === undefined
              ? []
              : [{ match: [{ sourceNamespace }], directResponse: { status: 418 } }]),
            { route: [{ destination: { host: to } }] },
          ],
          ...seen,
        }),
      ),
      ...destinationRules.map(({ namespace: own, host, mode, exportTo: seen }, index) =>
        object("networking.istio.io/v1", "DestinationRule", own, `dr-${index}`, {
          host,
          trafficPolicy: { tls: { mode } },
          ...seen,
        }),
      ),
    ].join(""),
  );

function answers(mesh: Mesh, own: string): unknown[] {
  const client = workloadOf(mesh, `${own}/client`);
  const policy = compileOutbound(mesh, client);
  return HOSTS.flatMap((host) => {
    const question = { host, port: 80, authority: host, method: "GET", path: "/", headers: [], roll: 0.5 };
    const decision = policy.routeHttp(question);
    const tcp = policy.routeTcp({ host, port: 9000 });
    const explained = explainOutbound(mesh, client, { protocol: "http", ...question });
    return [[host, text(decision), text(tcp), explained]];
  });
}

/** Two meshes hold other objects of the same content. */
function text(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner instanceof Map || inner instanceof Set ? [...inner] : inner,
  );
}

test("a namespace that shares is told the same as one that is compiled by itself", () => {
  let sharing = 0;
  fc.assert(
    fc.property(arbitraryMesh, (yaml) => {
      const shared = meshOf(CLIENTS + yaml);
      const apart = meshOf(CLIENTS + yaml + APART);
      const distinct = distinctNamespaces(meshIndex(shared));
      sharing += NAMESPACES.filter((own) => !distinct.has(own)).length;
      for (const own of NAMESPACES) {
        assert.ok(distinctNamespaces(meshIndex(apart)).has(own));
        assert.deepEqual(answers(shared, own), answers(apart, own), own);
      }
    }),
    { numRuns: Number(process.env.ANALYSIS_RUNS ?? 300), seed: 20_261_122 },
  );
  assert.ok(sharing > 150, `${sharing} shared`);
});

test("what namespaces share is compiled once, and only what tells them apart makes one compile by itself", () => {
  const mesh = meshOf(
    `${CLIENTS}${object("networking.istio.io/v1", "ServiceEntry", "c", "private", {
      hosts: ["private.test"],
      ports: [{ number: 80, name: "http", protocol: "HTTP" }],
      resolution: "STATIC",
      endpoints: [{ address: "203.0.113.9" }],
      exportTo: ["."],
    })}`,
  );
  const cluster = (own: string) => compileOutbound(mesh, workloadOf(mesh, `${own}/client`)).clusters;
  assert.equal(cluster("a"), cluster("b"));
  assert.notEqual(cluster("a"), cluster("c"));
  assert.deepEqual([...distinctNamespaces(meshIndex(mesh))].sort(), [".", "c", "istio-system"]);
  assert.ok(!mesh.workloads.some(({ namespace: own }) => own === COMMON_NAMESPACE));
});
