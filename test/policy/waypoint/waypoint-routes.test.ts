/** Whose routes count at a waypoint, and what it speaks to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessRequest } from "../../../src/index.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { OutboundDecision } from "../../../src/policy/outbound/types.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { compileWaypointRoutes, type WaypointRoutes } from "../../../src/policy/waypoint/waypoint-routes.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  destinationText,
  entryText,
  namespaceText,
  podText,
  routeText,
} from "../path/journey-text.ts";
import {
  AMBIENT,
  ambientPodText,
  boundServiceText,
  fromClient,
  shopText,
  toService,
  USES,
  waypointPodText,
  waypointText,
} from "./waypoint-mesh.ts";

async function ask(text: string, request: Partial<AccessRequest> = {}): Promise<Decision> {
  return decide(meshOf(text), { from: fromClient, to: toService, ...request }, { compareModes: false });
}

const last = ({ hops }: Decision): string | undefined => hops.at(-1)?.hop;
const V2 =
  ambientPodText("m", "t", "10.1.0.3") +
  boundServiceText({}, { selector: { app: "t" }, clusterIP: "10.96.0.3" }, "m", "t");
const to = (host: string, subset?: string): object => ({
  destination: {
    host: `${host}.svc.cluster.local`,
    port: { number: 80 },
    ...(subset === undefined ? {} : { subset }),
  },
});
const route = (namespace: string, http: readonly object[], hosts = ["s.m.svc.cluster.local"]): string =>
  routeText(namespace, "r", { hosts, http });

test("at a waypoint of another namespace its own namespace's routes count, and the service's, and no third one's", async () => {
  const mesh = (more: string): string =>
    [
      namespaceText("m", { ...AMBIENT, ...USES, "istio.io/use-waypoint-namespace": "w" }),
      ambientPodText("m", "c", "10.1.0.1"),
      ambientPodText("m", "s", "10.1.0.2"),
      boundServiceText(),
      waypointText({ namespace: "w", allowedRoutes: { namespaces: { from: "All" } } }),
      waypointPodText("w"),
      V2,
      more,
    ].join("");
  const routes = [{ route: [to("t.m")] }];
  for (const [namespace, expected] of [
    ["w", "m/t"],
    ["m", "m/t"],
    ["k", "m/s"],
  ] as const)
    assert.equal(last(await ask(mesh(route(namespace, routes)))), expected, namespace);
});

test("a VirtualService for several hosts counts for each of them", async () => {
  const hosts = ["other.example", "s.m.svc.cluster.local"];
  assert.equal(last(await ask(shopText(USES, V2 + route("m", [{ route: [to("t.m")] }], hosts)))), "m/t");
});

test("of a route's conditions only those on a client's labels are left out", async () => {
  const match = [{ sourceLabels: { app: "c" } }, { uri: { prefix: "/t" } }];
  const mesh = shopText(USES, V2 + route("m", [{ match, route: [to("t.m")] }, { route: [to("s.m")] }]));
  assert.equal(last(await ask(mesh, { path: "/t" })), "m/t");
  assert.equal(last(await ask(mesh, { path: "/s" })), "m/s");
});

test("to a service that is not its own a waypoint speaks as a sidecar does; to its own not even by a DestinationRule", async () => {
  const other = [
    namespaceText("n", { "istio-injection": "enabled" }),
    podText("n", "o", { ip: "10.5.0.1" }),
    boundServiceText({}, { clusterIP: "10.96.0.5" }, "n", "o"),
    authorizationText("n", "p", {
      rules: [{ from: [{ source: { principals: ["cluster.local/ns/m/sa/wp"] } }] }],
    }),
  ].join("");
  const decision = await ask(shopText(USES, other + route("m", [{ route: [to("o.n")] }])));
  assert.deepEqual(
    [decision.allowed, decision.policy, last(decision)],
    [true, "AuthorizationPolicy n/p", "n/o"],
  );
  assert.equal(decision.hops[1]?.to, "outbound|80||o.n.svc.cluster.local");
});

test("subsets are those of the waypoint's DestinationRule", async () => {
  const rule = destinationText("m", "d", {
    host: "s.m.svc.cluster.local",
    subsets: [
      { name: "v1", labels: { app: "s" } },
      { name: "none", labels: { app: "x" } },
    ],
  });
  const mesh = (subset: string): string =>
    shopText(USES, rule + route("m", [{ route: [to("s.m", subset)] }]));
  const v1 = await ask(mesh("v1"));
  assert.deepEqual([v1.allowed, v1.hops[1]?.to], [true, "inbound-vip|80|http/v1|s.m.svc.cluster.local"]);
  assert.equal((await ask(mesh("none"))).cause, "no-healthy-upstream");
  assert.equal((await ask(mesh("unknown"))).cause, "no-cluster");
});

test("of hosts that are resolved anew a waypoint takes those that the service is for", async () => {
  const entry = entryText("m", "out", {
    hosts: ["*.example"],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    location: "MESH_EXTERNAL",
    resolution: "DYNAMIC_DNS",
    addresses: ["240.0.0.9"],
  });
  const mesh = shopText(USES, entry);
  const dialled = { host: "240.0.0.9", port: 80 };
  assert.equal((await ask(mesh, { to: dialled, host: "a.example" })).allowed, true);
  const forged = await ask(mesh, { to: dialled, host: "evil.test" });
  assert.deepEqual([forged.allowed, forged.code, forged.hop], [false, 404, "m/wp"]);
});

function routesOf(text: string, name = "s"): WaypointRoutes {
  const mesh = meshOf(text);
  const service = mesh.services.find((own) => own.name === name) ?? assert.fail(`no service ${name}`);
  return compileWaypointRoutes(mesh, workloadOf(mesh, "m/wp"), service);
}

/** `VirtualService m/r tls 0 to CLUSTER`, or how it is refused. */
function decided(decision: OutboundDecision): string {
  const { by } = decision;
  const rule = `${by.resource ?? "nobody"} ${by.section} ${by.route ?? "-"}`;
  return decision.kind === "forward"
    ? `${rule} to ${decision.targets.map(({ cluster, name }) => cluster?.name ?? name).join()}`
    : `${rule} ${decision.kind}`;
}

const toT = (port: number): object => ({
  route: [{ destination: { host: "t.m.svc.cluster.local", port: { number: port } } }],
});
const OWN_BYTES = "nobody default - to inbound-vip|443|tcp|s.m.svc.cluster.local";
const TLS_TO_T = "VirtualService m/r tls 0 to inbound-vip|443|tcp|t.m.svc.cluster.local";

test("of tls routes those count whose server name is the service's alone, on the port that they name", () => {
  const tls = (match: readonly object[] | undefined): string => {
    const routes = [{ ...(match === undefined ? {} : { match }), ...toT(443) }];
    const text = routeText("m", "r", { hosts: ["s.m.svc.cluster.local"], tls: routes });
    return decided(routesOf(shopText(USES, V2 + text)).routeTcp(443, false));
  };
  const own = "s.m.svc.cluster.local";
  assert.equal(tls([{ sniHosts: [own] }]), TLS_TO_T);
  assert.equal(tls([{ sniHosts: [own], port: 443 }]), TLS_TO_T);
  assert.equal(tls([{ sniHosts: [own], port: 80 }]), OWN_BYTES);
  assert.equal(tls([{ sniHosts: ["other.example"] }]), OWN_BYTES);
  assert.equal(tls([{ sniHosts: [own, "other.example"] }]), OWN_BYTES);
  assert.equal(tls([{}]), OWN_BYTES);
  assert.equal(tls([{ sniHosts: ["other.example"] }, { sniHosts: [own] }]), TLS_TO_T, "one is enough");
  assert.equal(tls([]), TLS_TO_T);
  assert.equal(tls(undefined), TLS_TO_T);
});

test("tcp routes count on their port, whichever of their conditions holds; tls routes come before them", () => {
  const decide = (routes: object): string => {
    const text = routeText("m", "r", { hosts: ["s.m.svc.cluster.local"], ...routes });
    return decided(routesOf(shopText(USES, V2 + text)).routeTcp(9000, false));
  };
  const toTcp = "VirtualService m/r tcp 0 to inbound-vip|9000|tcp|t.m.svc.cluster.local";
  const own = "nobody default - to inbound-vip|9000|tcp|s.m.svc.cluster.local";
  assert.equal(decide({ tcp: [{ match: [{ port: 9000 }], ...toT(9000) }] }), toTcp);
  assert.equal(decide({ tcp: [{ match: [{ port: 80 }], ...toT(9000) }] }), own);
  assert.equal(decide({ tcp: [{ match: [{ port: 80 }, { port: 9000 }], ...toT(9000) }] }), toTcp);
  for (const match of [{}, { match: [] }]) assert.equal(decide({ tcp: [{ ...match, ...toT(9000) }] }), toTcp);
  assert.equal(decide({ tcp: [{ match: [{ sourceNamespace: "m" }], ...toT(9000) }] }), own);
  const second = { tcp: [{ match: [{ port: 80 }], ...toT(80) }, toT(9000)] };
  assert.equal(decide(second), toTcp.replace("tcp 0", "tcp 1"));
  const tls = { tls: [{ match: [{ sniHosts: ["s.m.svc.cluster.local"] }], ...toT(80) }] };
  assert.equal(
    decide({ tcp: [toT(9000)], ...tls }),
    "VirtualService m/r tls 0 to inbound-vip|80|http|t.m.svc.cluster.local",
  );
});

test("a refusal at a waypoint names the listener of the service's virtual address", () => {
  const text = shopText(USES, route("m", [{ match: [{ uri: { exact: "/a" } }], route: [to("s.m")] }]));
  const request = { authority: "s.m", method: "GET", headers: [], path: "/b" };
  const refused = routesOf(text).routeHttp(80, request);
  assert.equal(refused.kind, "refuse");
  assert.equal(refused.kind === "refuse" && refused.code, 404);
  assert.match(JSON.stringify(refused), /inbound-vip\|80\|\|s\.m\.svc\.cluster\.local/);
});

test("each port of the service has routes of its own", () => {
  const on = (port: number): object => ({ match: [{ port }], route: [to("t.m")] });
  const routes = routesOf(shopText(USES, V2 + route("m", [on(90), { route: [to("s.m")] }])));
  const request = { authority: "s.m", method: "GET", headers: [], path: "/" };
  assert.match(decided(routes.routeHttp(90, request)), /http 0 to inbound-vip\|80\|http\|t\.m/);
  assert.match(decided(routes.routeHttp(80, request)), /http 1 to inbound-vip\|80\|http\|s\.m/);
});

test("to a service behind another waypoint it speaks as a sidecar does, as to one behind none", () => {
  const cluster = (name: string, labels: Readonly<Record<string, string>>): string => {
    const other =
      boundServiceText(labels, { selector: { app: name }, clusterIP: "10.96.0.4" }, "m", name) +
      ambientPodText("m", name, "10.1.0.4") +
      waypointText({ name: "wp2" }) +
      waypointPodText("m", "wp2", "10.1.0.8");
    const text = shopText(USES, other + route("m", [{ route: [to(`${name}.m`)] }]));
    const request = { authority: "s.m", method: "GET", headers: [], path: "/" };
    return decided(routesOf(text).routeHttp(80, request));
  };
  assert.match(cluster("mine", {}), / to inbound-vip\|80\|http\|mine\.m/);
  assert.match(cluster("theirs", { "istio.io/use-waypoint": "wp2" }), / to outbound\|80\|\|theirs\.m/);
  assert.match(cluster("nobodys", { "istio.io/use-waypoint": "none" }), / to outbound\|80\|\|nobodys\.m/);
});
