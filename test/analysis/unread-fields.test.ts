import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { unreadChanges } from "../../src/analysis/diff/unread-fields.ts";
import { alteringResources } from "../../src/analysis/verify/altered-proxies.ts";
import { BUILT_INS } from "../../src/analysis/verify/built-in-invariants.ts";
import { verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { loadTexts } from "../../src/resources/load.ts";

const POD = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {serviceAccountName: web, containers: [{name: web, image: registry.example/web:1, ports: [{containerPort: 80}]}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;

async function meshOf(...texts: string[]): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([
    { file: "mesh.yaml", text: [POD, ...texts].join("---\n") },
  ]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

const tokens = (field: string): string => `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: staff, namespace: shop}
spec: {jwtRules: [{issuer: "https://login.example", ${field}}]}
`;
const custom = (provider: string): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asked, namespace: shop}
spec: {action: CUSTOM, provider: {name: ${provider}}, rules: [{}]}
`;
const rule = (tls: string): string => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: partner, namespace: shop}
spec: {host: api.partner.example, trafficPolicy: {tls: {mode: SIMPLE${tls}}}}
`;
const entry = (address: string): string => `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: shop}
spec:
  hosts: [api.partner.example]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: STATIC
  endpoints: [{address: ${address}}]
`;
const route = (more: string): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]${more}}]}
`;

const CHANGES: readonly (readonly [what: string, old: string, now: string])[] = [
  [
    "how tokens are verified",
    tokens("jwksUri: https://login.example/keys"),
    tokens("jwksUri: https://evil.example/keys"),
  ],
  [
    "how tokens are verified",
    tokens("jwksUri: https://login.example/keys"),
    tokens("jwksUri: https://login.example/keys, fromParams: [token]"),
  ],
  ["which authorizer is asked", custom("one"), custom("other")],
  ["how the server is known", rule(", caCertificates: system"), rule(", insecureSkipVerify: true")],
  ["how the server is known", rule(", subjectAltNames: [api.partner.example]"), rule("")],
  ["which addresses stand for the host", entry("192.0.2.1"), entry("198.51.100.1")],
  ["who gets copies of requests", route(""), route(", mirror: {host: other}")],
];

for (const [what, old, now] of CHANGES)
  test(`a change is never passed in silence that is about ${what}`, async () => {
    const [before, after] = [await meshOf(old), await meshOf(now)];
    const [told, ...more] = unreadChanges(before, after);
    assert.match(told?.what ?? "", new RegExp(`^${what}`));
    assert.deepEqual(more, []);
    assert.deepEqual(unreadChanges(before, await meshOf(old)), []);
    const { notCompared } = await diffMesh(before, after, { semantics: "istio" });
    assert.ok(notCompared.some((cause) => cause.what === told?.what));
  });

test("another service account is told, and a RequestAuthentication that comes or goes", async () => {
  const before = await meshOf();
  const [resource] = unreadChanges(
    before,
    buildMesh(
      (
        await loadTexts([
          { file: "mesh.yaml", text: POD.replace("serviceAccountName: web", "serviceAccountName: admin") },
        ])
      ).resources,
    ),
  );
  assert.deepEqual(
    [resource?.resource, resource?.what],
    ["Deployment shop/web", "the service account that it runs as"],
  );
  const with_ = await meshOf(tokens("jwksUri: https://login.example/keys"));
  assert.deepEqual(
    unreadChanges(before, with_).map(({ change }) => change),
    ["added"],
  );
  assert.deepEqual(
    unreadChanges(with_, before).map(({ change }) => change),
    ["removed"],
  );
});

const filter = (context: string, labels = ""): string => `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: cut, namespace: shop}
spec:
  ${labels === "" ? "" : `workloadSelector: {labels: {${labels}}}`}
  configPatches:
    - applyTo: HTTP_FILTER
      match: {context: ${context}, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.rbac}}}}}
      patch: {operation: REMOVE}
`;

test("nothing is called proven of a proxy that an EnvoyFilter or a WasmPlugin changes", async () => {
  const invariants = (mesh: Mesh) =>
    BUILT_INS.find(({ name }) => name === "no-plaintext")?.invariants(mesh) ?? [];
  const outcome = async (mesh: Mesh) =>
    (await verifyAccess(mesh, invariants(mesh), { semantics: "istio" })).results[0];
  assert.equal((await outcome(await meshOf()))?.outcome, "proven");
  const patched = await outcome(await meshOf(filter("SIDECAR_INBOUND")));
  assert.equal(patched?.outcome, "unclear");
  assert.match(patched?.findings[0]?.why ?? "", /EnvoyFilter shop\/cut may change what its proxy does/);
  for (const elsewhere of [
    filter("SIDECAR_OUTBOUND"),
    filter("GATEWAY"),
    filter("SIDECAR_INBOUND", "app: other"),
  ])
    assert.equal((await outcome(await meshOf(elsewhere)))?.outcome, "proven");
  const mesh = await meshOf(`apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: plugin, namespace: istio-system}
spec: {url: "oci://registry.example/plugin:1"}
`);
  const [workload] = mesh.workloads;
  assert.ok(workload);
  assert.deepEqual(alteringResources(mesh)(workload), ["WasmPlugin istio-system/plugin"]);
});
