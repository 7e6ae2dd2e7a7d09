import assert from "node:assert/strict";
import { test } from "node:test";
import { diffMesh } from "../../../src/analysis/diff/diff-mesh.ts";
import type { ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { readBulwarkFlow } from "../../../src/analysis/tighten/read-bulwark-flow.ts";
import { WorkloadNames } from "../../../src/analysis/tighten/workload-names.ts";
import { can } from "../../../src/index.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import { loadTexts } from "../../../src/resources/load.ts";
import { provideStockGateways } from "../../../src/substrate/stock-gateways.ts";
import { flow, type Tightened, tighten } from "./tighten-fixture.ts";

const pod = (name: string, address: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
status: {podIP: ${address}}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {clusterIP: ${address.replace("10.0", "10.96")}, selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---`;

const MESH = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: wp}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
${pod("orders", "10.0.0.1")}
${pod("items", "10.0.0.2")}
${pod("web", "10.0.0.3")}
`;

const policy = (
  name: string,
  targets: string,
  rules: object,
  action = "ALLOW",
  namespace = "shop",
): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: {targetRefs: ${targets}, action: ${action}, rules: ${JSON.stringify(rules)}}
---`;

const SERVICE = (name: string): string => `{kind: Service, group: "", name: ${name}}`;
const GATEWAY = "{kind: Gateway, group: gateway.networking.k8s.io, name: wp}";

async function meshOf(text: string): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text }]);
  assert.deepEqual(rejected, []);
  return buildMesh(provideStockGateways(resources).resources);
}

function meshFrom(...texts: readonly string[]): Promise<Mesh> {
  return meshOf([MESH, ...texts].join("\n"));
}

const WEB = "cluster.local/ns/shop/sa/web";
const ITEMS = "cluster.local/ns/shop/sa/items";
const ORDERS_HOST = "orders.shop.svc.cluster.local";

/** What the waypoint let pass to a service. */
function passed(
  path: string,
  rest: Partial<ServerFlow> & { readonly method?: string; readonly principal?: string } = {},
): ServerFlow {
  return flow(path, { workload: "shop/wp", service: ORDERS_HOST, port: 80, principal: WEB, ...rest });
}

function specOf({ proposal }: Tightened, name: string): AuthorizationSpec | undefined {
  return proposal.mesh.authorizationPolicies.find((own) => own.name === name)?.spec as
    | AuthorizationSpec
    | undefined;
}

async function isNarrower(mesh: Mesh, { proposal }: Tightened): Promise<void> {
  const { changes, proxies, notAnalysed } = await diffMesh(mesh, proposal.mesh, { semantics: "istio" });
  assert.deepEqual(notAnalysed, []);
  assert.deepEqual(
    [...changes, ...proxies].filter(({ change }) => change === "widened"),
    [],
  );
}

test("a waypoint's record is of the service that was asked for; of a pod's own address no service's policy decides", async () => {
  const names = new WorkloadNames(await meshFrom());
  const record = {
    id: "a@1:0",
    time: "2026-11-02T09:00:00Z",
    kind: "request",
    reporter: "shop/wp",
    direction: "inbound",
    verdict: "allow",
    protocol: "http",
    source: { principal: WEB },
    destination: { service: ORDERS_HOST, port: 80 },
    method: "GET",
    path: "/a",
  } as const;
  const reading = readBulwarkFlow(record, names);
  assert.ok(reading.kind === "server");
  assert.deepEqual([reading.workload, reading.service, reading.port], ["shop/wp", ORDERS_HOST, 80]);
  const direct = readBulwarkFlow({ ...record, destination: { workload: "shop/orders", port: 8080 } }, names);
  assert.deepEqual(direct, { kind: "left-out", why: "untold", about: "shop/wp" });
});

test("a service behind a waypoint gets who came by it, methods and paths, at the service's port: proven, asked again, and no wider by diff", async () => {
  const mesh = await meshFrom();
  const tightened = await tighten(mesh, [passed("/orders/1"), passed("/orders", { method: "POST" })]);
  assert.deepEqual(specOf(tightened, "orders-service-as-seen"), {
    targetRefs: [{ kind: "Service", group: "", name: "orders" }],
    rules: [
      {
        from: [{ source: { principals: [WEB] } }],
        to: [
          { operation: { methods: ["POST"], paths: ["/orders"], ports: ["80"] } },
          { operation: { methods: ["GET"], paths: ["/orders/1"], ports: ["80"] } },
        ],
      },
    ],
  });
  const server = tightened.proposal.servers.find(({ workloads }) => workloads.includes(ORDERS_HOST));
  assert.deepEqual(server?.proof, { kind: "proven" });
  assert.ok((server?.lost.length ?? 0) > 0);
  assert.deepEqual(tightened.replay, { records: 2, uncertain: 0, decided: 2, refused: [] });
  await isNarrower(mesh, tightened);
  const ask = (path: string) => ({
    from: { workload: "shop/web" },
    to: { service: ORDERS_HOST, port: 80 },
    method: "GET",
    path,
  });
  const answers = await can(tightened.proposal.mesh, [ask("/orders/1"), ask("/admin")]);
  assert.deepEqual(
    answers.map(({ allowed }) => allowed),
    [true, false],
  );
});

test("a policy of a service is narrowed in its place; one for several loses the service; what no record tells of stays", async () => {
  const rules = [
    { from: [{ source: { namespaces: ["shop"] } }], to: [{ operation: { hosts: ["orders*"] } }] },
  ];
  const mesh = await meshFrom(
    policy("own", `[${SERVICE("orders")}]`, [{ to: [{ operation: { paths: ["/a*"] } }] }]),
    policy("several", `[${SERVICE("orders")}, ${SERVICE("items")}]`, rules),
  );
  const tightened = await tighten(mesh, [passed("/a/1"), passed("/b")]);
  const shown = tightened.proposal.changes.map(({ action, manifest }) => [action, manifest.metadata.name]);
  assert.deepEqual(shown, [
    ["replace", "several"],
    ["replace", "own"],
  ]);
  assert.deepEqual(specOf(tightened, "several"), {
    targetRefs: [{ kind: "Service", group: "", name: "items" }],
    action: "ALLOW",
    rules,
  });
  assert.ok(JSON.stringify(specOf(tightened, "own")).includes('"hosts":["orders*"]'));
  await isNarrower(mesh, tightened);
});

test("a policy for a whole waypoint keeps it closed without rules; services that are left alone get them", async () => {
  const rules = [{ from: [{ source: { principals: [WEB] } }] }];
  const mesh = await meshFrom(policy("all", `[${GATEWAY}]`, rules));
  const tightened = await tighten(mesh, [passed("/a")]);
  assert.equal(specOf(tightened, "all")?.rules, undefined);
  assert.deepEqual(specOf(tightened, "all-for-items")?.rules, rules);
  assert.deepEqual(specOf(tightened, "all-for-web")?.rules, rules);
  assert.equal(tightened.replay.refused.length, 0);
  await isNarrower(mesh, tightened);
});

test("where a waypoint also takes what is sent to pods, its own policy stays as it is: without rules it would close that", async () => {
  const rules = [{ from: [{ source: { principals: [WEB] } }] }];
  const all = MESH.replace(
    "name: wp, namespace: shop}",
    "name: wp, namespace: shop, labels: {istio.io/waypoint-for: all}}",
  );
  const mesh = await meshOf(all + policy("all", `[${GATEWAY}]`, rules));
  const { proposal } = await tighten(mesh, [passed("/a")]);
  assert.deepEqual(proposal.changes, []);
  const why = proposal.untouched.find(({ workloads }) => workloads.includes(ORDERS_HOST))?.why;
  assert.match(why ?? "", /addresses of pods behind shop\/wp/);
});

test("refusals of waypoints stay, what today's rules refuse is a contradiction, and strangers get nothing", async () => {
  const deny = policy("deny", `[${GATEWAY}]`, [{ to: [{ operation: { paths: ["/admin*"] } }] }], "DENY");
  const mesh = await meshFrom(
    deny,
    policy("own", `[${SERVICE("orders")}]`, [{ from: [{ source: { principals: [WEB] } }] }]),
  );
  const { evidence, proposal } = await tighten(mesh, [
    passed("/a"),
    passed("/admin"),
    passed("/a", { principal: ITEMS }),
    passed("/a", { principal: "cluster.local/ns/x/sa/stranger" }),
  ]);
  const listed = [...evidence.contradictions.values()].map(({ workload, requests }) => [workload, requests]);
  assert.deepEqual(listed, [
    [ORDERS_HOST, 1],
    [ORDERS_HOST, 1],
  ]);
  assert.equal(evidence.unvouched.size, 1);
  const [grant, ...others] = proposal.servers.flatMap(({ grants }) => grants);
  assert.deepEqual([grant?.principals, others], [[WEB], []]);
});

test("a record of a waypoint that does not stand before the service today is no evidence", async () => {
  const mesh = await meshFrom();
  const { evidence, proposal } = await tighten(mesh, [
    passed("/a", { workload: "shop/web" }),
    passed("/a", { service: "none.shop.svc.cluster.local" }),
  ]);
  assert.equal(evidence.leftOut.get("untold"), 2);
  assert.deepEqual(proposal.servers, []);
});

test("pods whose records lack what their waypoint let pass are left alone: a policy by them would refuse the waypoint", async () => {
  const mesh = await meshFrom();
  const direct = flow(null, { workload: "shop/orders", principal: ITEMS });
  const { proposal } = await tighten(mesh, [passed("/a"), direct]);
  assert.deepEqual(
    proposal.servers.map(({ workloads }) => workloads),
    [[ORDERS_HOST]],
  );
  const why = proposal.untouched.find(({ workloads }) => workloads.includes("shop/orders"))?.why;
  assert.match(why ?? "", /^shop\/wp let pass/);
  const onward = flow(null, { workload: "shop/orders", principal: "cluster.local/ns/shop/sa/wp" });
  const whole = await tighten(mesh, [passed("/a"), direct, onward]);
  assert.deepEqual(
    whole.proposal.servers.map(({ workloads }) => workloads),
    [["shop/orders"], [ORDERS_HOST]],
  );
  assert.deepEqual(whole.replay.refused, []);
});

test("a waypoint that is deployed by hand is no gateway: policies that name its Gateway are the services' behind it", async () => {
  const own = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: by-hand, namespace: shop}
spec:
  selector: {matchLabels: {app: by-hand}}
  template:
    metadata: {labels: {app: by-hand, gateway.networking.k8s.io/gateway-name: wp}}
    spec: {serviceAccountName: wp, containers: [{name: istio-proxy}]}
---`;
  const rules = [{ from: [{ source: { namespaces: ["shop"] } }] }];
  const mesh = await meshFrom(own, policy("all", `[${GATEWAY}]`, rules));
  const { proposal } = await tighten(mesh, [
    flow("/a", { workload: "shop/by-hand", port: 80, principal: WEB }),
  ]);
  assert.deepEqual(proposal.changes, []);
  const { proposal: ofServices } = await tighten(mesh, [passed("/a", { workload: "shop/by-hand" })]);
  assert.deepEqual(
    ofServices.servers.map(({ workloads }) => workloads),
    [[ORDERS_HOST]],
  );
});
