/** Whose routes count at a waypoint, and what it speaks to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessRequest } from "../../../src/index.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { meshOf } from "../outbound/mesh-of.ts";
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
