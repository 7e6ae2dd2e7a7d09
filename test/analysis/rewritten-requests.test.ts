import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh, type WholeDiff } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import { loadTexts } from "../../src/resources/load.ts";

async function meshOf(...texts: readonly string[]): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text: texts.join("---\n") }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

const pods = (name: string): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: shop}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {serviceAccountName: ${name}, containers: [{name: ${name}, image: registry.example/${name}:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
`;
const SHOP = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
${pods("web")}---
${pods("orders")}---
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: shop}
spec:
  selector: {matchLabels: {istio: edge}}
  template:
    metadata: {labels: {istio: edge}, annotations: {inject.istio.io/templates: gateway}}
    spec: {containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec: {selector: {istio: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: orders}}
  rules:
    - to: [{operation: {paths: ["/public*"]}}]
    - to: [{operation: {hosts: [inner.example]}}]
    - when: [{key: "request.headers[x-role]", values: [admin]}]
`;
const route = (
  more: string,
  ofDestination = "",
  hosts = "[orders]",
  gateways = "[mesh]",
): string => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: ${hosts}
  gateways: ${gateways}
  http: [{match: [{uri: {prefix: /secret}}], route: [{destination: {host: orders}${ofDestination}}]${more}}]
`;
const atGateway = (more: string, ofDestination = ""): string =>
  route(more, ofDestination, "[shop.example.com]", "[edge]");

async function answers(meshes: readonly Mesh[], request: AccessRequest): Promise<readonly boolean[]> {
  const all: boolean[] = [];
  for (const mesh of meshes) {
    const [decision] = await can(mesh, [request], { semantics: "istio" });
    all.push(decision?.allowed ?? assert.fail());
  }
  return all;
}

async function compared(old: string, now: string): Promise<readonly [readonly Mesh[], WholeDiff]> {
  const meshes = [await meshOf(SHOP, old), await meshOf(SHOP, now)] as const;
  return [meshes, await diffMesh(...meshes, { semantics: "istio" })];
}

/** What opens the server, by a route and by a destination of it. */
const OPENING: readonly (readonly [what: string, of: string, more: string, ofDestination?: string])[] = [
  ["a path that is rewritten", "with /secret as /public", ", rewrite: {uri: /public}"],
  ["a host that is rewritten", "for inner.example", ", rewrite: {authority: inner.example}"],
  ["a header that is set", "with x-role: admin", ", headers: {request: {set: {x-role: admin}}}"],
  ["a header that is added", "with x-role: admin added", ", headers: {request: {add: {x-role: admin}}}"],
  ["a destination's header", "with x-role: admin", "", ", headers: {request: {set: {x-role: admin}}}"],
];

for (const [what, asked, more, ofDestination = ""] of OPENING)
  test(`${what} is told at a sidecar and at a gateway, with a request that comes to be let through`, async () => {
    const [meshes, { clients, notCompared }] = await compared(route(""), route(more, ofDestination));
    assert.deepEqual(notCompared, []);
    assert.deepEqual(
      clients.map(({ change, gained, lost, dialled }) => [change, gained, lost, dialled]),
      [
        [
          "widened",
          [`the host dialled, ${asked}`],
          ["the host dialled, as it comes"],
          ["orders.shop.svc.cluster.local:80"],
        ],
      ],
    );
    for (const { witness } of clients) assert.deepEqual(await answers(meshes, witness), [false, true]);
    const [sides, { proxies }] = await compared(atGateway(""), atGateway(more, ofDestination));
    const place = "orders.shop.svc.cluster.local:80";
    assert.deepEqual(
      proxies.map(({ change, gained, lost, heldBack }) => [change, gained, lost, heldBack]),
      [["widened", [`${place}, ${asked}`], [`${place}, as it comes`], undefined]],
    );
    for (const { witness } of proxies) assert.deepEqual(await answers(sides, witness), [false, true]);
    const [, { proxies: same }] = await compared(
      atGateway(more, ofDestination),
      atGateway(more, ofDestination),
    );
    assert.deepEqual(same, []);
  });

test("a header that is no longer taken out is told, and so is another text for it", async () => {
  const remove = ", headers: {request: {remove: [x-role]}}";
  const [, { clients }] = await compared(route(remove), route(""));
  assert.deepEqual(
    clients.map(({ gained, lost }) => [gained, lost]),
    [[["the host dialled, as it comes"], ["the host dialled, without x-role"]]],
  );
  const set = (role: string): string => `, headers: {request: {set: {x-role: ${role}}}}`;
  const [, other] = await compared(atGateway(set("reader")), atGateway(set("admin")));
  assert.match(JSON.stringify(other.proxies.map(({ gained }) => gained)), /with x-role: admin/);
  const [, response] = await compared(route(""), route(", headers: {response: {set: {x-role: admin}}}"));
  assert.deepEqual(response.clients, []);
});

test("what is rewritten the same for other destinations is no other way of asking", async () => {
  const [, { clients }] = await compared(
    route(", rewrite: {uri: /public}"),
    route(", rewrite: {uri: /public}").replace("{host: orders}", "{host: web}"),
  );
  assert.deepEqual(
    clients.map(({ gained, lost }) => [gained, lost]),
    [[["web.shop.svc.cluster.local:80"], ["the host dialled"]]],
  );
});

const GATEWAY_API = (filter: string): string => `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: orders, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: orders}]
  rules: [{matches: [{path: {type: PathPrefix, value: /secret}}], filters: [${filter}], backendRefs: [{name: orders, port: 80}]}]
`;

test("routes of the Gateway API, too", async () => {
  const filter =
    "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /public}}}";
  const [meshes, { clients }] = await compared(GATEWAY_API(""), GATEWAY_API(filter));
  const told = clients.filter(({ gained }) => gained.some((way) => way.includes("as /public")));
  assert.ok(told.length > 0);
  for (const { witness } of told) assert.deepEqual(await answers(meshes, witness), [false, true]);
});

const redirect = (host: string): string =>
  `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec: {hosts: [orders], http: [{redirect: {authority: ${host}}}]}
`;
const requestRedirect = (host: string): string =>
  GATEWAY_API(`{type: RequestRedirect, requestRedirect: {hostname: ${host}}}`).replace(
    ", backendRefs: [{name: orders, port: 80}]",
    "",
  );
const mirrored = (host: string): string =>
  GATEWAY_API(`{type: RequestMirror, requestMirror: {backendRef: {name: ${host}, port: 80}}}`);
const cors = (origin: string): string =>
  route(`, corsPolicy: {allowOrigins: [{exact: "https://${origin}"}]}`);
const fault = (percent: number): string =>
  route(`, fault: {abort: {httpStatus: 403, percentage: {value: ${percent}}}}`);
const pattern = (match: string): string =>
  route(`, rewrite: {uriRegexRewrite: {match: "${match}", rewrite: /x}}`);

for (const [what, old, now] of [
  ["what proxies answer themselves", redirect("a.example"), redirect("b.example")],
  ["what proxies answer themselves", requestRedirect("a.example"), requestRedirect("b.example")],
  ["who gets copies of requests", mirrored("web"), mirrored("orders")],
  ["who gets copies of requests", GATEWAY_API(""), mirrored("web")],
  ["from which origins browsers may ask", cors("a.example"), cors("b.example")],
  ["how many requests its faults refuse", fault(50), fault(1)],
  ["what of paths it rewrites", pattern("^/secret/a$"), pattern("^/secret/b$")],
] as const)
  test(`never in silence: ${what} (${now.includes("HTTPRoute") ? "HTTPRoute" : "VirtualService"})`, async () => {
    const [, { notCompared }] = await compared(old, now);
    assert.deepEqual(
      notCompared.map(({ what: told }) => told?.startsWith(what)),
      [true],
    );
    const [, { notCompared: none }] = await compared(old, old);
    assert.deepEqual(none, []);
  });

test("routes that are new, or gone, are told for what nothing else compares, and for nothing else", async () => {
  const told = async (old: string, now: string): Promise<readonly string[]> => {
    const [, { notCompared }] = await compared(old, now);
    return notCompared.map(({ change, what }) => `${change}: ${what}`);
  };
  const none = pods("other");
  assert.deepEqual(await told(none, `${none}---\n${mirrored("web")}`), [
    "added: who gets copies of requests",
  ]);
  assert.deepEqual(await told(`${none}---\n${cors("a.example")}`, none), [
    "removed: from which origins browsers may ask",
  ]);
  assert.deepEqual(await told(none, `${none}---\n${route(", rewrite: {uri: /public}")}`), []);
  const twice = route("").replace(
    "http: [",
    "http: [{match: [{uri: {exact: /x}}], route: [{destination: {host: web}}]}, ",
  );
  assert.deepEqual(await told(route(""), twice), []);
});
