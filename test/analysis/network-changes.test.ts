import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { type NetworkChange, networkChanges } from "../../src/analysis/diff/network-changes.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { formatRange } from "../../src/policy/network/address-range.ts";
import { hasConnection, NETWORK_PROTOCOLS } from "../../src/policy/network/connection-set.ts";
import { NetworkMap } from "../../src/policy/network/network-map.ts";
import { networkPod } from "../../src/policy/network/network-pod.ts";
import { networkPolicies } from "../../src/policy/network/network-policies.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";
import { NAMESPACES, PORTS, policyResourcesArbitrary } from "../policy/network/arbitrary-policies.ts";

const SEED = 20_261_122;
const RUNS = Number(process.env.BULWARK_RUNS ?? 150);
const ASKED: readonly number[] = [...PORTS, 2, 54, 8081];
/** Inside and outside of the blocks that policies are made with. */
const OUTSIDE: readonly string[] = ["10.0.0.1", "10.0.1.1", "10.200.0.1", "192.0.2.1", "203.0.113.1"];

interface PodShape {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

const label = fc.constantFrom("x", "y", "z");
const podShape = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  labels: fc.dictionary(fc.constantFrom("app", "tier"), label, { maxKeys: 2 }),
});
const teams = fc.record(Object.fromEntries(NAMESPACES.map((name) => [name, fc.constantFrom("red", "blue")])));

function meshWith(
  policies: readonly Resource[],
  pods: readonly PodShape[],
  team: Readonly<Record<string, string>>,
): Mesh {
  const made = (kind: string, metadata: object, spec?: object): Resource =>
    resourceFromJson(
      { apiVersion: "v1", kind, metadata, ...(spec === undefined ? {} : { spec }) },
      { file: "x", createdAt: 0 },
    );
  const ports = [
    { name: "web", containerPort: 80 },
    { name: "dns", containerPort: 53, protocol: "UDP" },
  ];
  return buildMesh([
    ...NAMESPACES.map((name) => made("Namespace", { name, labels: { team: team[name] ?? "" } })),
    ...pods.map(({ namespace, labels }, at) =>
      made("Pod", { name: `pod-${at}`, namespace, labels }, { containers: [{ name: "c", ports }] }),
    ),
    ...policies,
  ]);
}

/** Every connection that policies let through, as text. */
function connectionsOf(mesh: Mesh): ReadonlySet<string> {
  const pods = mesh.workloads.map((workload) => networkPod(mesh, workload));
  const map = new NetworkMap(networkPolicies(mesh), pods, { families: [4], blocks: "outside" });
  const found = new Set<string>();
  const note = (from: string, to: string, connections: Parameters<typeof hasConnection>[0]): void => {
    for (const protocol of NETWORK_PROTOCOLS)
      for (const port of ASKED)
        if (hasConnection(connections, protocol, port)) found.add(textOf({ from, to, protocol, port }));
  };
  const within = (range: unknown): readonly string[] => {
    const [first = "", last = ""] = formatRange(range as Parameters<typeof formatRange>[0]).split("-");
    return OUTSIDE.filter((address) => number(address) >= number(first) && number(address) <= number(last));
  };
  for (const [at, { name }] of pods.entries()) {
    for (const [other, { name: target }] of pods.entries())
      if (other !== at) note(name, target, map.between(at, other));
    for (const { from, connections } of map.fromOutside(at))
      for (const address of within(from)) note(address, name, connections);
    for (const { to, connections } of map.toOutside(at))
      for (const address of within(to)) note(name, address, connections);
  }
  return found;
}

function number(address: string): number {
  return address.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

function textOf({ from, to, protocol, port }: NetworkChange["connection"]): string {
  return `${from} ${to} ${protocol} ${port}`;
}

/** What changes say of each connection that is asked about. */
function toldBy(changes: readonly NetworkChange[], kind: NetworkChange["change"]): ReadonlySet<string> {
  const expand = (end: string): readonly string[] => {
    const [first = "", last] = end.split("-").length === 2 && !end.includes("/") ? end.split("-") : [end];
    if (last === undefined) return [end];
    if (first.includes(":")) return [];
    return OUTSIDE.filter((address) => number(address) >= number(first) && number(address) <= number(last));
  };
  const told = new Set<string>();
  for (const { from, to, connections } of changes.filter(({ change }) => change === kind))
    for (const source of from.flatMap(expand))
      for (const target of to.flatMap(expand))
        for (const protocol of NETWORK_PROTOCOLS)
          for (const port of ASKED)
            if (source !== target && says(connections, protocol, port))
              told.add(textOf({ from: source, to: target, protocol, port }));
  return told;
}

function says(connections: string, protocol: string, port: number): boolean {
  if (connections === "All Connections") return true;
  const own = new RegExp(`${protocol} ([0-9,-]+)`).exec(connections)?.[1] ?? "";
  return own.split(",").some((range) => {
    const [first = "", last = first] = range.split("-");
    return first !== "" && port >= Number(first) && port <= Number(last);
  });
}

test("network changes are exactly the connections that one of two meshes lets through and the other does not", () => {
  let widened = 0;
  let narrowed = 0;
  fc.assert(
    fc.property(
      policyResourcesArbitrary,
      policyResourcesArbitrary,
      fc.array(fc.tuple(podShape, fc.option(podShape, { nil: undefined })), { minLength: 2, maxLength: 6 }),
      teams,
      teams,
      (old, now, pods, oldTeams, nowTeams) => {
        const before = meshWith(
          old,
          pods.map(([shape]) => shape),
          oldTeams,
        );
        // A pod that changes keeps its namespace, which is part of its name.
        const changed = pods.map(([shape, other]) => ({ ...shape, labels: (other ?? shape).labels }));
        const after = meshWith(now, changed, nowTeams);
        const changes = networkChanges(before, after);
        const [was, is] = [connectionsOf(before), connectionsOf(after)];
        assert.deepEqual([...toldBy(changes, "widened")].sort(), [...is.difference(was)].sort());
        assert.deepEqual([...toldBy(changes, "narrowed")].sort(), [...was.difference(is)].sort());
        const opened = changes.filter(({ change }) => change === "widened");
        assert.deepEqual(networkChanges(before, after, { widenedOnly: true }), opened);
        for (const { change, connection: witness, causes } of changes) {
          assert.ok(causes.length > 0, "a change has a cause");
          if (!ASKED.includes(witness.port) || witness.from.includes(":") || witness.to.includes(":"))
            continue;
          if (![witness.from, witness.to].every((end) => end.includes("/") || OUTSIDE.includes(end)))
            continue;
          const [has, lacks] = change === "widened" ? [is, was] : [was, is];
          assert.ok(has.has(textOf(witness)) && !lacks.has(textOf(witness)), textOf(witness));
        }
        widened += is.difference(was).size;
        narrowed += was.difference(is).size;
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(widened > 1000 && narrowed > 1000, `${widened} and ${narrowed}`);
});

test("policies that are written otherwise and mean the same change nothing", () => {
  fc.assert(
    fc.property(
      policyResourcesArbitrary,
      fc.array(podShape, { minLength: 2, maxLength: 6 }),
      teams,
      (old, pods, team) => {
        const now = old.map((resource, at) => ({ ...resource, name: `renamed-${at}` }) as Resource);
        // Of admin policies of one priority the name decides which comes first.
        fc.pre(old.length > 0 && old.every(({ kind }) => kind === "NetworkPolicy"));
        assert.deepEqual(networkChanges(meshWith(old, pods, team), meshWith(now, pods, team)), []);
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
});

const RESTRICTED = { apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy" } as const;

async function changesBy(policy: object, ...others: readonly object[]) {
  const resources = (all: readonly object[]): Resource[] =>
    all.map((one) =>
      resourceFromJson(one as Parameters<typeof resourceFromJson>[0], { file: "x", createdAt: 0 }),
    );
  const pod = (name: string): object => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: name } },
    spec: { containers: [{ name: "c", ports: [{ containerPort: 8080 }] }] },
  });
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "server", namespace: "shop" },
    spec: { selector: { app: "server" }, ports: [{ name: "tcp", port: 80, targetPort: 8080 }] },
  };
  const base = [pod("client"), pod("server"), service, ...others];
  const meshes = [
    buildMesh(resources([...base, { ...RESTRICTED, ...policy }])),
    buildMesh(resources(base)),
  ] as const;
  const { network } = await diffMesh(...meshes, { semantics: "istio" });
  return { network, meshes };
}

async function answers(
  meshes: readonly Mesh[],
  request: AccessRequest,
): Promise<readonly (boolean | undefined)[]> {
  return Promise.all(meshes.map(async (mesh) => (await can(mesh, [request]))[0]?.allowed));
}

test("examples of network changes are requests that can answers otherwise: into a pod, out of it, from and to the outside", async () => {
  const server = { podSelector: { matchLabels: { app: "server" } } };
  const client = { podSelector: { matchLabels: { app: "client" } } };
  const policies = {
    in: { ...server, policyTypes: ["Ingress"] },
    "from-outside": { ...server, policyTypes: ["Ingress"], ingress: [{ from: [{ podSelector: {} }] }] },
    out: { ...client, policyTypes: ["Egress"] },
    "to-outside": { ...client, policyTypes: ["Egress"], egress: [{ to: [{ podSelector: {} }] }] },
  };
  const told: string[] = [];
  for (const [name, spec] of Object.entries(policies)) {
    const { network, meshes } = await changesBy({ metadata: { name, namespace: "shop" }, spec });
    assert.ok(network.length > 0);
    for (const { change, witness, heldBack } of network) {
      assert.equal(change, "widened");
      assert.equal(heldBack, undefined, JSON.stringify(witness));
      assert.deepEqual(
        await answers(meshes, witness ?? assert.fail()),
        [false, true],
        JSON.stringify(witness),
      );
      told.push(JSON.stringify([witness?.from, witness?.to]));
    }
  }
  for (const wanted of [
    '[{"workload":"shop/client"},{"workload":"shop/server","port":8080}]',
    '[{"principal":null,"ip":"0.0.0.0"},{"workload":"shop/server","port":8080}]',
    '[{"workload":"shop/client"},{"host":"server.shop.svc.cluster.local","port":80}]',
    '[{"workload":"shop/client"},{"host":"0.0.0.0","port":443,"ip":"0.0.0.0"}]',
  ])
    assert.ok(told.includes(wanted), `${wanted} of ${told.join(" ")}`);
});

test("what can asks nothing of has its connection alone, and what is refused elsewhere is held back", async () => {
  const spec = { podSelector: { matchLabels: { app: "server" } }, policyTypes: ["Ingress"] };
  const allTcp = { ...spec, ingress: [{ ports: [{ protocol: "TCP" }, { protocol: "SCTP" }] }] };
  const udp = await changesBy({ metadata: { name: "in", namespace: "shop" }, spec: allTcp });
  assert.ok(udp.network.length > 0);
  for (const { witness, connection } of udp.network) {
    assert.equal(witness, undefined);
    assert.equal(connection.protocol, "UDP");
  }
  const closed = {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: "closed", namespace: "shop" },
    spec: {},
  };
  const injected = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop", labels: { "istio-injection": "enabled" } },
  };
  const { network, meshes } = await changesBy(
    { metadata: { name: "in", namespace: "shop" }, spec },
    closed,
    injected,
  );
  for (const { witness, heldBack } of network) {
    assert.equal(heldBack, true);
    assert.deepEqual(await answers(meshes, witness ?? assert.fail()), [false, false]);
  }
});

test("on random policies every example that is not held back is answered otherwise, and few are held back", async () => {
  let flipped = 0;
  let held = 0;
  await fc.assert(
    fc.asyncProperty(
      policyResourcesArbitrary,
      policyResourcesArbitrary,
      fc.array(podShape, { minLength: 2, maxLength: 4 }),
      async (old, now, pods) => {
        const meshes = [meshWith(old, pods, {}), meshWith(now, pods, {})] as const;
        const { network } = await diffMesh(...meshes, { semantics: "istio" });
        for (const { change, witness, heldBack, connection } of network) {
          assert.equal(witness === undefined, connection.protocol !== "TCP");
          if (witness === undefined) continue;
          if (heldBack === true) held++;
          else {
            flipped++;
            const expected = change === "widened" ? [false, true] : [true, false];
            assert.deepEqual(await answers(meshes, witness), expected, JSON.stringify(witness));
          }
        }
      },
    ),
    { seed: SEED, numRuns: Math.max(8, Math.round(RUNS / 10)) },
  );
  assert.ok(flipped > 20, `${flipped} flipped, ${held} held back`);
});
