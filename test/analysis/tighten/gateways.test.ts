import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../../src/analysis/diff/diff-mesh.ts";
import type { ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import { loadTexts } from "../../../src/resources/load.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { provideStockGateways } from "../../../src/substrate/stock-gateways.ts";
import { authorization, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod, type Tightened, tighten } from "./tighten-fixture.ts";

const SLEEP = "cluster.local/ns/foo/sa/sleep";
const ADMIN = "cluster.local/ns/bar/sa/admin";

function gatewayApi(kind: string, name: string, spec: object): Resource {
  return { ...resource(kind, name, spec), apiVersion: "gateway.networking.k8s.io/v1" };
}

const LISTENERS = [{ name: "http", port: 80, protocol: "HTTP" }];
const GATEWAY = gatewayApi("Gateway", "gw", { gatewayClassName: "istio", listeners: LISTENERS });
const ROUTE = gatewayApi("HTTPRoute", "r", {
  parentRefs: [{ name: "gw" }],
  rules: [{ backendRefs: [{ name: "httpbin", port: 80 }] }],
});
const REF = { group: "gateway.networking.k8s.io", kind: "Gateway", name: "gw" };

function gatewayMesh(...others: readonly Resource[]): Mesh {
  const own = [GATEWAY, ROUTE, pod("foo", "sleep"), pod("bar", "admin"), ...others];
  return meshOf(...provideStockGateways(own).resources);
}

function entered(path: string, rest: Partial<ServerFlow> & { readonly principal?: string } = {}): ServerFlow {
  return flow(path, { workload: "foo/gw-istio", port: 80, ...rest });
}

function specOf({ proposal }: Tightened, name: string): AuthorizationSpec | undefined {
  const found = proposal.mesh.authorizationPolicies.find((own) => own.name === name);
  return found?.spec as AuthorizationSpec | undefined;
}

async function isNarrower(mesh: Mesh, { proposal }: Tightened): Promise<void> {
  const { changes, proxies, notAnalysed } = await diffMesh(mesh, proposal.mesh, { semantics: "istio" });
  assert.deepEqual(notAnalysed, []);
  assert.ok(proxies.some(({ change }) => change === "narrowed"));
  const wider = [...changes, ...proxies].filter(({ change }) => change === "widened");
  assert.deepEqual(wider, []);
}

test("a gateway of the Gateway API gets a policy that names it, of who came and for what; diff finds nothing wider", async () => {
  const mesh = gatewayMesh();
  const tightened = await tighten(mesh, [entered("/a"), entered("/b", { principal: ADMIN })]);
  const operation = (path: string) => ({ operation: { methods: ["GET"], paths: [path], ports: ["80"] } });
  assert.deepEqual(specOf(tightened, "gw-istio-as-seen"), {
    targetRefs: [REF],
    rules: [
      { from: [{ source: { principals: [ADMIN] } }], to: [operation("/b")] },
      { from: [{ source: { principals: [SLEEP] } }], to: [operation("/a")] },
    ],
  });
  assert.deepEqual(tightened.replay.refused, []);
  assert.deepEqual(
    tightened.proposal.servers.map(({ proof, isLostAll }) => [proof, isLostAll]),
    [[{ kind: "proven" }, false]],
  );
  await isNarrower(mesh, tightened);
});

test("a policy that names a gateway of the Gateway API alone is narrowed in its place, with its name", async () => {
  const today = authorization("own", {
    targetRefs: [REF],
    rules: [{ to: [{ operation: { hosts: ["app"] } }] }],
  });
  const mesh = gatewayMesh(today);
  const tightened = await tighten(mesh, [entered("/a")]);
  assert.deepEqual(
    tightened.proposal.changes.map(({ action, manifest }) => [action, manifest.metadata.name]),
    [["replace", "own"]],
  );
  const own = specOf(tightened, "own") as AuthorizationSpec & { readonly targetRefs?: unknown };
  assert.deepEqual(own.targetRefs, [REF]);
  assert.deepEqual(own.rules?.[0]?.to?.[0]?.operation?.hosts, ["app"]);
  await isNarrower(mesh, tightened);
});

test("a policy for a gateway and a service at once stays: without its rules the service's waypoint would close", async () => {
  const both = authorization("both", {
    targetRefs: [REF, { group: "", kind: "Service", name: "httpbin" }],
    rules: [{ from: [{ source: { namespaces: ["foo"] } }] }],
  });
  const { proposal } = await tighten(gatewayMesh(both), [entered("/a")]);
  assert.deepEqual(proposal.changes, []);
  const why = proposal.untouched.find(({ workloads }) => workloads.includes("foo/gw-istio"))?.why;
  assert.match(why ?? "", /foo\/both is for services or waypoints, too/);
});

const MUTUAL = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: in, namespace: foo}
spec:
  selector: {matchLabels: {istio: in}}
  template:
    metadata: {labels: {istio: in}, annotations: {inject.istio.io/templates: gateway}}
    spec: {serviceAccountName: in, containers: [{name: istio-proxy}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: in, namespace: foo}
spec:
  selector: {istio: in}
  servers:
    - {port: {number: 8443, name: https, protocol: HTTPS}, hosts: [app.example], tls: {mode: MUTUAL, credentialName: clients}}
`;

test("a gateway whose clients bring certificates of others is not called proven: which those are, its files do not say", async () => {
  const { resources } = await loadTexts([{ file: "mutual.yaml", text: MUTUAL }]);
  const mesh = meshOf(...resources, pod("foo", "sleep"));
  const { proposal } = await tighten(mesh, [
    flow("/a", { workload: "foo/in", port: 8443, sni: "app.example" }),
  ]);
  const [own] = proposal.servers;
  assert.equal(own?.proof.kind, "by construction");
  assert.match(own?.proof.kind === "by construction" ? own.proof.why : "", /TLS mode MUTUAL/);
});
