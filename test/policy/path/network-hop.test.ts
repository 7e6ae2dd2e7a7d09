import assert from "node:assert/strict";
import { test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Arrival, Flight, Step } from "../../../src/policy/path/journey.ts";
import {
  leaving,
  type NetworkSource,
  networkSteps,
  outsidePlace,
  outsideSource,
  outsideSteps,
} from "../../../src/policy/path/network-hop.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import { podText, resourceText } from "./journey-text.ts";

const HTTP = { protocol: "http" } as Flight;
const PODS = podText("a", "c", { ip: "10.0.0.1" }) + podText("b", "s", { ip: "10.0.0.2" });
const BOTH = ["Ingress", "Egress"];

function policy(namespace: string, spec: object): string {
  return resourceText("networking.k8s.io/v1", "NetworkPolicy", namespace, "p", { podSelector: {}, ...spec });
}

function steps(
  mesh: Mesh,
  source: NetworkSource,
  to: string,
  more: Partial<Arrival> = {},
  serverOnly = false,
) {
  const ends = { sourceIp: "10.0.0.1", destinationIp: "10.0.0.2" };
  const arrival = { workload: workloadOf(mesh, to), port: 8080, ...ends, ...more } as Arrival;
  return networkSteps(mesh, HTTP, source, arrival, serverOnly);
}

const told = (all: readonly Step[]): string[] =>
  all.map(
    ({ hop, side, allowed, code, reason, cause, layer }) =>
      `${hop} ${side} ${allowed} ${code} ${reason}/${cause} ${layer}`,
  );

test("network policies are asked at the client, then at the server; the first refusal ends the way", () => {
  const open = { ingress: [{}], egress: [{}], policyTypes: BOTH };
  const mesh = (client: object, server: object): Mesh =>
    meshOf(PODS + policy("a", client) + policy("b", server));
  const ask = (own: Mesh, serverOnly = false): string[] =>
    told(steps(own, workloadOf(own, "a/c"), "b/s", {}, serverOnly));
  const clientOk = "a/c client true 200 ok/network-rule network";
  const serverOk = "b/s server true 200 ok/network-rule network";
  const serverNo = "b/s server false 0 network/network-isolated network";
  assert.deepEqual(ask(mesh(open, open)), [clientOk, serverOk]);
  assert.deepEqual(ask(mesh(open, {})), [clientOk, serverNo]);
  assert.deepEqual(ask(mesh({ policyTypes: BOTH }, {})), [
    "a/c client false 0 network/network-isolated network",
  ]);
  assert.deepEqual(ask(mesh({ policyTypes: BOTH }, {}), true), [serverNo]);
  assert.deepEqual(
    told(
      networkSteps(meshOf(PODS), HTTP, {}, { workload: workloadOf(meshOf(PODS), "b/s"), port: 1 } as Arrival),
    ),
    [],
  );
});

test("a pod reaches itself whatever policies say; of several replicas it may be another that is reached", () => {
  const mesh = meshOf(PODS + policy("a", { policyTypes: BOTH }));
  const own = workloadOf(mesh, "a/c");
  assert.deepEqual(
    told(steps(mesh, { ...own, replicas: 1 }, "a/c", { workload: { ...own, replicas: 1 } })),
    [],
  );
  const several = { ...own, replicas: 2 };
  assert.equal(steps(mesh, several, "a/c", { workload: several }).length, 1);
});

test("in ambient mode both ends' policies see port 15008 and a refusal says so", () => {
  const onPort = (port: number): Mesh => {
    const ports = [{ port }];
    return meshOf(
      PODS +
        ["a", "b"]
          .map((at) => policy(at, { ingress: [{ ports }], egress: [{ ports }], policyTypes: BOTH }))
          .join(""),
    );
  };
  const ask = (mesh: Mesh, hbone: boolean): readonly Step[] =>
    steps(mesh, workloadOf(mesh, "a/c"), "b/s", hbone ? { hbone } : {});
  assert.deepEqual(
    ask(onPort(15_008), true).map(({ allowed }) => allowed),
    [true, true],
  );
  assert.deepEqual(
    ask(onPort(8080), false).map(({ allowed }) => allowed),
    [true, true],
  );
  const [refused] = ask(onPort(8080), true);
  assert.match(refused?.explain().join("\n") ?? "", /^NetworkPolicy out: [\s\S]*HBONE.*TCP 15008/);
  const [plain] = ask(onPort(15_008), false);
  assert.doesNotMatch(plain?.explain().join("\n") ?? "", /HBONE/);
  const [fine, into] = ask(onPort(15_008), true);
  assert.doesNotMatch(fine?.explain().join("\n") ?? "", /HBONE/);
  assert.match(into?.explain()[0] ?? "", /^NetworkPolicy in: /);
});

test("out of the mesh only a workload's own egress policies are asked", () => {
  const mesh = meshOf(
    PODS +
      policy("a", {
        policyTypes: ["Egress"],
        egress: [{ to: [{ ipBlock: { cidr: "192.0.2.0/24" } }], ports: [{ port: 443 }] }],
      }),
  );
  const out = (source: NetworkSource, ip: string | undefined, port = 443): string[] =>
    told(outsideSteps(mesh, HTTP, source, { port, ...(ip === undefined ? {} : { ip }) }));
  const client = workloadOf(mesh, "a/c");
  assert.deepEqual(out(client, "192.0.2.1"), ["a/c client true 200 ok/network-rule network"]);
  assert.deepEqual(out(client, "198.51.100.1"), ["a/c client false 0 network/network-isolated network"]);
  assert.deepEqual(out(client, undefined), ["a/c client false 0 unknown/address-unknown network"]);
  assert.deepEqual(out(workloadOf(mesh, "b/s"), "192.0.2.1"), []);
  assert.deepEqual(out({ address: "10.0.0.9" }, "192.0.2.1"), []);
});

test("who is no workload is an address, or by an identity alone anybody", () => {
  const sender = (ip: string) => ({ ip }) as Parameters<typeof outsideSource>[1];
  const to = { host: "h", port: 80 };
  assert.deepEqual(outsideSource({ to }, sender("192.0.2.1")), { address: "192.0.2.1" });
  assert.deepEqual(outsideSource({ to }, sender("")), {});
  assert.deepEqual(outsideSource({ to, from: { principal: "p" } }, sender("")), { anybody: true });
  assert.deepEqual(outsideSource({ to, from: { principal: "p" } }, sender("192.0.2.1")), {
    address: "192.0.2.1",
  });
});

test("a refusal is the last step; what is allowed stands before the hop that sends", () => {
  const step = (allowed: boolean, hop: string): Step => ({ allowed, hop }) as Step;
  const order = (network: readonly Step[]): string =>
    leaving(network, step(true, "hop"))
      .map(({ hop }) => hop)
      .join(" ");
  assert.equal(order([step(true, "a"), step(true, "b")]), "a b hop");
  assert.equal(order([step(true, "a"), step(false, "b")]), "hop a b");
  assert.equal(order([]), "hop");
});

test("a cluster's name has its port, else it is what was dialled; its address is the dialled one", () => {
  const place = (way: string, dialled?: object): unknown =>
    outsidePlace(
      (dialled === undefined ? {} : { dialled }) as Parameters<typeof outsidePlace>[0],
      { kind: "outside", way } as Parameters<typeof outsidePlace>[1],
    );
  assert.deepEqual(place("outbound|8443||a.example", { port: 443, ip: "192.0.2.1" }), {
    port: 8443,
    ip: "192.0.2.1",
  });
  assert.deepEqual(place("PassthroughCluster", { port: 443, ip: "192.0.2.1" }), {
    port: 443,
    ip: "192.0.2.1",
  });
  assert.deepEqual(place("PassthroughCluster", { port: 443 }), { port: 443 });
  assert.deepEqual(place("outbound|80||a.example"), { port: 80 });
});
