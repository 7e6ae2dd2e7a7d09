import assert from "node:assert/strict";
import { before, test } from "node:test";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { loadResources } from "../../../src/resources/load.ts";
import { meshOf, workloadOf } from "./mesh-of.ts";

let mesh: Mesh;
before(async () => {
  mesh = buildMesh((await loadResources(["../shared/real/bookinfo"])).resources);
});

function reviews(headers: readonly string[]): OutboundDecision {
  return compileOutbound(mesh, workloadOf(mesh, "default/productpage-v1")).routeHttp({
    host: "reviews",
    port: 9080,
    authority: "reviews:9080",
    method: "GET",
    path: "/reviews/0",
    headers,
  });
}

test("bookinfo: of the VirtualServices named reviews the last applied one stands", () => {
  const toAll = reviews([]);
  const toJason = reviews(["end-user", "jason"]);
  assert.equal(toAll.kind, "forward");
  assert.equal(toJason.kind, "forward");
  const name = (decision: OutboundDecision): string | undefined =>
    decision.kind === "forward" ? decision.targets[0]?.name : undefined;
  assert.equal(name(toAll), "outbound|9080|v3|reviews.default.svc.cluster.local");
  assert.equal(name(toJason), "outbound|9080|v2|reviews.default.svc.cluster.local");
  assert.equal(toJason.by.resource, "VirtualService default/reviews");
});

test("bookinfo: the DestinationRule's subset has the endpoints with its labels only, in mutual TLS", () => {
  const decision = reviews([]);
  const cluster = decision.kind === "forward" ? decision.targets[0]?.cluster : undefined;
  assert.equal(cluster?.tls, "mtls");
  assert.deepEqual(
    cluster.endpoints.map(({ endpoint }) => endpoint.workload?.key),
    ["default/reviews-v3"],
  );
  assert.deepEqual(cluster.tlsSettings?.sans, ["spiffe://cluster.local/ns/default/sa/bookinfo-reviews"]);
});

/** The gateway itself is not among bookinfo's files: the installation brings it. */
const INGRESS = `
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{name: http2, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  template:
    metadata:
      labels: {istio: ingressgateway}
      annotations: {inject.istio.io/templates: gateway}
    spec: {serviceAccountName: istio-ingressgateway, containers: [{name: istio-proxy, image: auto}]}
`;

test("bookinfo: the ingress gateway routes the paths of its VirtualService and no other", async () => {
  const { resources } = await loadResources(["../shared/real/bookinfo"]);
  const whole = buildMesh([...meshOf(INGRESS).resources, ...resources]);
  const policy = compileGateway(whole, workloadOf(whole, "istio-system/istio-ingressgateway"));
  assert.deepEqual(
    policy.listeners.map(({ port, protocol }) => ({ port, protocol })),
    [{ port: 8080, protocol: "http" }],
  );
  const get = (path: string): OutboundDecision =>
    policy.routeHttp({ port: 8080, authority: "bookinfo.example", method: "GET", path, headers: [] });
  const page = get("/productpage?u=normal");
  assert.equal(
    page.kind === "forward" ? page.targets[0]?.name : page.reason,
    "outbound|9080||productpage.default.svc.cluster.local",
  );
  assert.equal(get("/static/x.css").reason, "ok");
  assert.equal(get("/admin").reason, "no-route");
  assert.equal(get("/productpage/evil").reason, "no-route", "an exact path is no prefix");
});
