import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ClientChange, clientChanges } from "../../src/analysis/diff/client/client-changes.ts";
import { compareWays, waysOf } from "../../src/analysis/diff/client/ways.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { compileOutbound } from "../../src/policy/outbound/compile-outbound.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { resourceFromJson } from "../../src/resources/wire.ts";

const SEED = 20_261_122;
const RUNS = Number(process.env.BULWARK_RUNS ?? 50);

type Json = Readonly<Record<string, unknown>>;

function made(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  spec: Json,
  labels: Json = {},
): Resource {
  const metadata = { name, labels, ...(namespace === "" ? {} : { namespace }) };
  return resourceFromJson({ apiVersion, kind, metadata, spec }, { file: "x", createdAt: 0 });
}

const NETWORKING = "networking.istio.io/v1";
const ONE = "one.a.svc.cluster.local";
const TWO = "two.b.svc.cluster.local";
const GATE = "gate.a.svc.cluster.local";
const HOSTS = [ONE, TWO, GATE, "ext.example", "x.wild.example", "host.unknown.example"];
const PORTS = [80, 443, 9000, 7777];

function deployment(namespace: string, name: string): Resource {
  const labels = { app: name, version: "v1" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c" }] } };
  return made("apps/v1", "Deployment", namespace, name, { selector: { matchLabels: labels }, template });
}

function service(namespace: string, name: string): Resource {
  const ports = [
    { name: "http", port: 80 },
    { name: "tcp", port: 9000 },
  ];
  return made("v1", "Service", namespace, name, { selector: { app: name }, ports });
}

const FIXED = [
  ...["a", "b"].map((name) => made("v1", "Namespace", "", name, {}, { "istio-injection": "enabled" })),
  ...[deployment("a", "client"), deployment("b", "client"), deployment("a", "one"), deployment("b", "two")],
  ...[service("a", "one"), service("b", "two"), service("a", "gate")],
];

const uri = fc.constantFrom<Json>(
  { exact: "/a" },
  { prefix: "/a" },
  { prefix: "/a/b" },
  { exact: "/" },
  { prefix: "/" },
);
const match = fc.record(
  {
    uri,
    method: fc.constantFrom({ exact: "GET" }, { exact: "POST" }),
    headers: fc.constantFrom({ "x-user": { exact: "me" } }, { "x-user": { prefix: "m" } }, { "x-user": {} }),
    queryParams: fc.constant({ v: { exact: "2" } }),
    sourceNamespace: fc.constantFrom("a", "b"),
  },
  { requiredKeys: [] },
);
const destination = fc.constantFrom<Json>(
  { host: ONE },
  { host: TWO, port: { number: 80 } },
  { host: ONE, subset: "v1" },
  { host: "ext.example", port: { number: 443 } },
  { host: "nowhere.example" },
);
const httpRoute = fc.record(
  {
    match: fc.array(match, { minLength: 1, maxLength: 2 }),
    route: fc
      .array(destination, { minLength: 1, maxLength: 2 })
      .map((all) => all.map((own) => ({ destination: own, weight: 100 / all.length }))),
  },
  { requiredKeys: ["route"] },
);
const virtualService = fc.record({
  hosts: fc.subarray([ONE, TWO, "ext.example", "*.wild.example"], { minLength: 1, maxLength: 2 }),
  http: fc.array(httpRoute, { minLength: 1, maxLength: 3 }),
});
const sidecar = fc.record(
  {
    egress: fc.constantFrom(
      [{ hosts: ["./*"] }],
      [{ hosts: ["*/*"] }],
      [{ hosts: ["b/*", "a/ext.example"] }],
    ),
    outboundTrafficPolicy: fc.constantFrom({ mode: "REGISTRY_ONLY" }, { mode: "ALLOW_ANY" }),
  },
  { requiredKeys: [] },
);
const entry = fc.constantFrom<Json>(
  {
    hosts: ["ext.example"],
    location: "MESH_EXTERNAL",
    resolution: "DNS",
    ports: [{ number: 443, name: "tls", protocol: "TLS" }],
  },
  {
    hosts: ["ext.example"],
    location: "MESH_EXTERNAL",
    resolution: "DNS",
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
  },
  {
    hosts: ["*.wild.example"],
    location: "MESH_EXTERNAL",
    ports: [{ number: 443, name: "tls", protocol: "TLS" }],
  },
);
const rule = fc.record({
  host: fc.constantFrom(ONE, TWO),
  trafficPolicy: fc.constantFrom<Json>({}, { tls: { mode: "DISABLE" } }, { tls: { mode: "ISTIO_MUTUAL" } }),
  subsets: fc.constant([{ name: "v1", labels: { version: "v1" } }]),
});

const resources: fc.Arbitrary<Resource[]> = fc
  .record({
    virtualServices: fc.array(virtualService, { maxLength: 2 }),
    sidecar: fc.option(sidecar, { nil: undefined }),
    entries: fc.uniqueArray(entry, { maxLength: 2 }),
    rules: fc.array(rule, { maxLength: 2 }),
  })
  .map(({ virtualServices, sidecar, entries, rules }) => [
    ...virtualServices.map((spec, at) => made(NETWORKING, "VirtualService", "a", `v${at}`, spec)),
    ...(sidecar === undefined ? [] : [made(NETWORKING, "Sidecar", "a", "default", sidecar)]),
    ...entries.map((spec, at) => made(NETWORKING, "ServiceEntry", "a", `e${at}`, spec)),
    ...rules.map((spec, at) => made(NETWORKING, "DestinationRule", "a", `r${at}`, spec)),
  ]);

const call = fc.record({
  client: fc.constantFrom("a/client", "b/client"),
  host: fc.constantFrom(...HOSTS),
  port: fc.constantFrom(...PORTS),
  protocol: fc.constantFrom("http" as const, "tls" as const, "tcp" as const),
  path: fc.constantFrom("/", "/a", "/a/", "/a/b", "/a/b/c", "/ax", "/z", "/a?v=2", "/?v=2", "/a?v=3"),
  method: fc.constantFrom("GET", "POST", "PUT"),
  headers: fc.constantFrom<string[]>([], ["x-user", "me"], ["x-user", "mx"], ["x-user", "z"]),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

function ways(mesh: Mesh, { client, host, port, protocol, path, method, headers }: Call) {
  const workload = mesh.workloads.find(({ key }) => key === client) ?? assert.fail();
  const policy = compileOutbound(mesh, workload);
  const dialled = { host, port };
  const authority = port === 80 ? host : `${host}:${port}`;
  const decision =
    protocol === "tcp"
      ? policy.routeTcp(dialled)
      : protocol === "tls"
        ? policy.routeTls({ ...dialled, sni: host })
        : policy.routeHttp({ ...dialled, authority, path, method, headers });
  return waysOf(decision, host, port);
}

/** Changes that are about this client, what it dials, and the protocol. */
function about(
  changes: readonly ClientChange[],
  { client, host, port, protocol }: Call,
): readonly ClientChange[] {
  const named =
    host === "x.wild.example"
      ? ["*.wild.example", "hosts that no service has"]
      : [host, "hosts that no service has"];
  const isDialled = (dialled: string): boolean =>
    named.some((name) => dialled === `${name}:${port}` || dialled.startsWith(`${name}, any port`));
  return changes.filter(
    (change) =>
      change.clients.includes(client) &&
      change.protocols.includes(protocol) &&
      change.dialled.some(isDialled),
  );
}

test("what a sidecar lets its client reach flips only where a change is told, and all of it where no request is excepted", () => {
  let flips = 0;
  let quiet = 0;
  fc.assert(
    fc.property(resources, resources, fc.array(call, { minLength: 30, maxLength: 30 }), (old, now, calls) => {
      const [before, after] = [buildMesh([...FIXED, ...old]), buildMesh([...FIXED, ...now])];
      const { changes, notAnalysed } = clientChanges(before, after);
      assert.deepEqual(notAnalysed, []);
      for (const each of calls) {
        const changed = compareWays(ways(before, each), ways(after, each));
        const told = about(changes, each);
        if (changed === undefined) {
          quiet++;
          const whole = told.filter(
            ({ requests, dialled }) => requests.length === 0 && dialled.includes(`${each.host}:${each.port}`),
          );
          assert.deepEqual(whole, [], JSON.stringify(each));
          continue;
        }
        flips++;
        const fitting = told.filter(
          ({ gained, lost }) =>
            JSON.stringify([gained, lost]) === JSON.stringify([changed.gained, changed.lost]),
        );
        assert.ok(
          fitting.length > 0,
          `${JSON.stringify(each)}: ${JSON.stringify(changed)} is told by ${JSON.stringify(told)}`,
        );
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(flips > 300 && quiet > 300, `${flips} flips, ${quiet} not`);
});

test("every witness of a client's change is answered otherwise before and after", async () => {
  let witnesses = 0;
  await fc.assert(
    fc.asyncProperty(resources, resources, async (old, now) => {
      const [before, after] = [buildMesh([...FIXED, ...old]), buildMesh([...FIXED, ...now])];
      for (const { witness, causes } of clientChanges(before, after).changes) {
        witnesses++;
        const answers = await Promise.all(
          [before, after].map(async (mesh) => {
            const [decision] = await can(mesh, [witness], { semantics: "istio" });
            const { allowed, code, cluster, clusters, tls, reason } = decision as unknown as Json;
            return { allowed, code, cluster, clusters, tls, reason };
          }),
        );
        assert.notDeepEqual(answers[0], answers[1], JSON.stringify([witness, answers]));
        assert.ok(causes.length > 0, JSON.stringify(witness));
      }
    }),
    { seed: SEED, numRuns: Math.ceil(RUNS / 3) },
  );
  assert.ok(witnesses > RUNS, String(witnesses));
});

test("what opens is the same told alone as it is among what closes", () => {
  let opened = 0;
  let closed = 0;
  fc.assert(
    fc.property(resources, resources, (old, now) => {
      const [before, after] = [buildMesh([...FIXED, ...old]), buildMesh([...FIXED, ...now])];
      const all = clientChanges(before, after);
      const alone = clientChanges(before, after, { widenedOnly: true });
      const isOpened = ({ change }: ClientChange): boolean => change === "widened";
      assert.deepEqual(alone, { ...all, changes: all.changes.filter(isOpened) });
      opened += alone.changes.length;
      closed += all.changes.length - alone.changes.length;
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(opened > RUNS / 2 && closed > RUNS / 2, `${opened} opened, ${closed} closed`);
});

test("a client's own Sidecar is the cause of what it changes, and not every other that came with it", () => {
  const of = (namespace: string, name: string): Resource =>
    made(NETWORKING, "Sidecar", namespace, `${name}-only`, {
      workloadSelector: { labels: { app: name } },
      egress: [{ hosts: ["./*"] }],
      outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
    });
  const after = buildMesh([...FIXED, of("a", "client"), of("b", "client")]);
  const { changes } = clientChanges(buildMesh(FIXED), after);
  assert.ok(changes.length > 0);
  for (const { clients, causes } of changes)
    assert.deepEqual(
      causes.map(({ resource }) => resource),
      clients.map((key) => `Sidecar ${key}-only`),
    );
});
