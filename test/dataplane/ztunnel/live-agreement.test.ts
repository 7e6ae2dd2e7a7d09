/** Random meshes in ambient mode: what a ztunnel lets through, live, is what `can` says, by whom and by which rule. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decide } from "../../../src/policy/decide.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { AmbientFixture, converse, eventually } from "./ambient-fixture.ts";

const SEED = 20_261_122;
const NUM_RUNS = 60;
const net = 227;
const WORKLOADS = ["m/c", "m/s", "k/c", "p/plain"] as const;
const PORTS = [9000, 9001] as const;

type Key = (typeof WORKLOADS)[number];
type Target = Key | "service";

function addressOf(key: string): string {
  return `127.${net}.1.${WORKLOADS.indexOf(key as Key) + 1}`;
}

interface World {
  readonly resources: readonly object[];
  readonly serviceBound: boolean;
  readonly podBound: boolean;
  readonly semantics: "istio" | "strict";
}

const PRINCIPALS = ["m/sa/c", "m/sa/s", "k/sa/c", "m/sa/wp"].map(
  (own) => `cluster.local/ns/${own.split("/")[0]}/sa/${own.split("/")[2]}`,
);
const BLOCKS = [...WORKLOADS.map(addressOf), `127.${net}.1.0/24`];

function some(values: readonly string[]): fc.Arbitrary<string[]> {
  return fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 2 });
}

const fields = (known: Readonly<Record<string, readonly string[]>>): fc.Arbitrary<object> =>
  fc
    .uniqueArray(fc.constantFrom(...Object.keys(known)), { minLength: 1, maxLength: 2 })
    .chain((names) =>
      fc
        .tuple(...names.map((name) => some(known[name] ?? [])))
        .map((values) => Object.fromEntries(names.map((name, at) => [name, values[at]]))),
    );
const source = fields({
  principals: PRINCIPALS,
  notPrincipals: PRINCIPALS,
  namespaces: ["m", "k"],
  notNamespaces: ["m", "k"],
  ipBlocks: BLOCKS,
  notIpBlocks: BLOCKS,
});
const operation = fields({
  ports: PORTS.map(String),
  notPorts: PORTS.map(String),
  methods: ["GET"],
  paths: ["/a"],
});
const rule = fc
  .tuple(fc.option(source, { freq: 4 }), fc.option(operation, { freq: 2 }))
  .map(([from, to]) => ({
    ...(from === null ? {} : { from: [{ source: from }] }),
    ...(to === null ? {} : { to: [{ operation: to }] }),
  }));
const selector = fc.constantFrom<object>(
  {},
  { selector: { matchLabels: { app: "s" } } },
  { selector: { matchLabels: { app: "c" } } },
  { selector: {} },
);
const namespace = fc.constantFrom("m", "m", "k", "istio-system");
const authorization = fc
  .tuple(
    namespace,
    selector,
    fc.constantFrom("ALLOW", "DENY"),
    fc.array(rule, { minLength: 1, maxLength: 2 }),
    fc.integer({ min: 0, max: 9999 }),
  )
  .map(([where, selected, action, rules, number]) => ({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name: `p${number}`, namespace: where },
    spec: { ...selected, action, rules },
  }));
const mode = fc.constantFrom("STRICT", "PERMISSIVE", "DISABLE", "UNSET");
const peers = fc
  .tuple(namespace, fc.boolean(), mode, fc.option(mode), fc.integer({ min: 0, max: 9999 }))
  .map(([where, selects, mtls, port, number]) => ({
    apiVersion: "security.istio.io/v1",
    kind: "PeerAuthentication",
    metadata: { name: `a${number}`, namespace: where },
    spec: {
      mtls: { mode: mtls },
      ...(selects ? { selector: { matchLabels: { app: "s" } } } : {}),
      ...(selects && port !== null ? { portLevelMtls: { 9000: { mode: port } } } : {}),
    },
  }));
const arbitraryWorld: fc.Arbitrary<World> = fc.record({
  resources: fc
    .tuple(
      fc.uniqueArray(authorization, { maxLength: 3, selector: nameOf }),
      fc.uniqueArray(peers, { maxLength: 3, selector: nameOf }),
    )
    .map((both) => both.flat()),
  serviceBound: fc.boolean(),
  podBound: fc.boolean(),
  semantics: fc.constantFrom("istio" as const, "strict" as const),
});

function nameOf({
  metadata: { name, namespace: where },
}: {
  metadata: { name: string; namespace: string };
}): string {
  return `${where}/${name}`;
}

function textOf({ resources, serviceBound, podBound }: World): string {
  const use = { "istio.io/use-waypoint": "wp" };
  const bodies = [
    ...["m", "k", "p"].map((name) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: name === "p" ? {} : { "istio.io/dataplane-mode": "ambient" } },
    })),
    ...WORKLOADS.map((key) => podOf(key, key === "m/s" && podBound ? use : {})),
    waypointPod(),
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: { name: "wp", namespace: "m", labels: { "istio.io/waypoint-for": "all" } },
      spec: {
        gatewayClassName: "istio-waypoint",
        listeners: [{ name: "mesh", port: 15008, protocol: "HBONE" }],
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s", namespace: "m", labels: serviceBound ? use : {} },
      spec: {
        clusterIP: `127.${net}.2.1`,
        selector: { app: "s" },
        ports: [{ name: "tcp", port: 80, targetPort: 9000 }],
      },
    },
    ...resources,
  ];
  return bodies.map((body) => JSON.stringify(body)).join("\n---\n");
}

function podOf(key: Key, labels: object): object {
  const [where = "", name = ""] = key.split("/");
  const isAmbient = where !== "p";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: where,
      labels: { app: name, ...labels },
      annotations: isAmbient ? { "ambient.istio.io/redirection": "enabled" } : {},
    },
    spec: {
      serviceAccountName: name,
      containers: [{ name: "app", image: "app", ports: PORTS.map((containerPort) => ({ containerPort })) }],
    },
    status: { podIP: addressOf(key) },
  };
}

function waypointPod(): object {
  const labels = {
    "gateway.networking.k8s.io/gateway-name": "wp",
    "gateway.istio.io/managed": "istio.io-mesh-controller",
    "istio.io/dataplane-mode": "none",
    "sidecar.istio.io/inject": "false",
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "wp", namespace: "m", labels },
    spec: { serviceAccountName: "wp", containers: [{ name: "istio-proxy", image: "auto" }] },
    status: { podIP: `127.${net}.1.9` },
  };
}

interface Asked {
  readonly from: Key;
  readonly to: Target;
  readonly port: (typeof PORTS)[number];
}

/** Nobody translates a service's address for a pod without a proxy here. */
const QUESTIONS: readonly Asked[] = WORKLOADS.flatMap((from) => [
  ...PORTS.map((port) => ({ from, to: "m/s" as const, port })),
  { from, to: "k/c" as const, port: 9000 as const },
  { from, to: "p/plain" as const, port: 9000 as const },
  ...(from === "p/plain" ? [] : [{ from, to: "service" as const, port: 9000 as const }]),
]).filter(({ from, to }) => from !== to && !(from === "p/plain" && to === "p/plain"));

function placeOf({ to, port }: Asked): { readonly ip: string; readonly port: number } {
  return to === "service" ? { ip: `127.${net}.2.1`, port: 80 } : { ip: addressOf(to), port };
}

function saidBy(fixture: AmbientFixture, asked: Asked, semantics: World["semantics"]): Promise<Decision> {
  const { ip, port } = placeOf(asked);
  const request: AccessRequest = {
    from: { workload: asked.from },
    to: asked.to === "service" ? { service: "s.m.svc.cluster.local", port } : { host: ip, port },
    protocol: "tcp",
  };
  return decide(fixture.mesh, request, { semantics, compareModes: false });
}

async function dialled(fixture: AmbientFixture, { from, ...asked }: Asked): Promise<boolean> {
  const place = placeOf({ from, ...asked });
  const socket = from === "p/plain" ? fixture.dialInClear(addressOf(from), place) : fixture.dial(from, place);
  return (await converse(socket, "hello")).bytes.toString() === "hello";
}

test("what a ztunnel lets through is what can says, in clear, through HBONE and by waypoints; and it is the same rule that refuses", async (context) => {
  const worlds = fc.sample(arbitraryWorld, { numRuns: NUM_RUNS, seed: SEED });
  const seen = { allowed: 0, denied: 0, byWaypoint: 0 };
  for (const semantics of ["istio", "strict"] as const) {
    const own = worlds.filter((world) => world.semantics === semantics);
    const [first] = own;
    assert.ok(first !== undefined);
    const fixture = await AmbientFixture.start(context, textOf(first), { net, semantics });
    for (const world of own) {
      await fixture.apply(textOf(world));
      for (const asked of QUESTIONS) {
        const said = await saidBy(fixture, asked, semantics);
        fixture.flows.length = 0;
        const note = JSON.stringify({ asked, world, said: said.hops });
        assert.equal(await dialled(fixture, asked), said.allowed, note);
        if (said.hops.some(({ side }) => side === "waypoint")) seen.byWaypoint++;
        if (said.allowed) seen.allowed++;
        else {
          seen.denied++;
          await eventually(
            () =>
              fixture.flows.some(
                (flow) =>
                  flow.verdict === "deny" &&
                  flow.reason === said.cause &&
                  flow.policy === said.policy &&
                  flow.rule === said.rule,
              ),
            `the refusal's record: ${note} in ${JSON.stringify(fixture.flows)}`,
          );
        }
      }
    }
    await fixture.stop();
  }
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 20, `only ${count} ${what}`);
});
