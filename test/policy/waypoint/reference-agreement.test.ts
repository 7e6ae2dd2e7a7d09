/** Random meshes with waypoints: the decision, hop by hop, against the slow reference; and laws that need none. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AccessRequest } from "../../../src/index.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Decision } from "../../../src/policy/path/decision.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { authorizationText, namespaceText, peerText, podText, resourceText } from "../path/journey-text.ts";
import {
  ADDRESSES,
  type Question,
  referenceOutcome,
  type World,
  type WorldPolicy,
} from "../reference/reference-ambient.ts";
import { arbitraryQuestion, arbitraryWorld } from "./arbitrary-world.ts";
import { AMBIENT, ambientPodText, waypointPodText, waypointText } from "./waypoint-mesh.ts";

const SEED = 20261122;
const PARAMETERS = { seed: SEED, numRuns: 500 };

const INGRESS = [
  podText("g", "g", { ip: ADDRESSES.gateway, labels: { istio: "g" }, ports: [] }),
  resourceText("networking.istio.io/v1", "Gateway", "g", "g", {
    selector: { istio: "g" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
].join("");

function serviceOf(name: string, clusterIP: string, labels: Readonly<Record<string, string>>): string {
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "tcp", port: 9000, targetPort: 9000 },
  ];
  return resourceText("v1", "Service", "m", name, { clusterIP, selector: { app: "s" }, ports }, labels);
}

function policyText({ namespace, name, holds, spec, dryRun }: WorldPolicy): string {
  const attached =
    holds === "everywhere"
      ? {}
      : holds === "selector"
        ? { selector: { matchLabels: { app: "s" } } }
        : { targetRefs: [referenceTo(holds)] };
  const text = authorizationText(namespace, name, { ...spec, ...attached });
  return dryRun ? text.replace('"labels":{}', '"labels":{},"annotations":{"istio.io/dry-run":"true"}') : text;
}

const GROUPS = {
  Service: "",
  ServiceEntry: "networking.istio.io",
  Gateway: "gateway.networking.k8s.io",
  GatewayClass: "gateway.networking.k8s.io",
} as const;

function referenceTo({ kind, name }: Exclude<WorldPolicy["holds"], string>): object {
  return { kind, name, group: GROUPS[kind] };
}

function waypointIn(namespace: "m" | "w", { waypoints }: World): string {
  const { traffic, from } = waypoints[namespace];
  const selector = { matchLabels: { "kubernetes.io/metadata.name": from === "m" ? "m" : "nobody" } };
  const allowed = from === "m" || from === "other" ? { from: "Selector", selector } : { from };
  return waypointText({
    namespace,
    labels: traffic === undefined ? {} : { "istio.io/waypoint-for": traffic },
    ...(from === undefined ? {} : { allowedRoutes: { namespaces: allowed } }),
  });
}

function meshFor(world: World): Mesh {
  return meshOf(
    [
      namespaceText("m", { ...AMBIENT, ...world.namespaceLabels }),
      ambientPodText("m", "c", ADDRESSES.ambient),
      ambientPodText("m", "s", "10.1.0.2", world.podLabels),
      serviceOf("s", "10.96.0.1", world.serviceLabels),
      namespaceText("k", { "istio-injection": "enabled" }),
      podText("k", "c", { ip: ADDRESSES.sidecar }),
      podText("k", "bare", { ip: ADDRESSES.plain, labels: { "sidecar.istio.io/inject": "false" } }),
      INGRESS,
      waypointIn("m", world),
      waypointIn("w", world),
      waypointPodText("m", "wp", "10.1.0.9"),
      waypointPodText("w", "wp", "10.1.0.10"),
      world.strictTransport ? peerText("m", "strict", { mtls: { mode: "STRICT" } }) : "",
      ...world.policies.map(policyText),
    ].join(""),
  );
}

const CLIENTS = { ambient: "m/c", sidecar: "k/c", plain: "k/bare", gateway: "g/g" } as const;

function requestFor({ client, to, port, protocol, method, path }: Question): AccessRequest {
  const container = port === 80 ? 8080 : port;
  return {
    from: { workload: CLIENTS[client] },
    to: to === "service" ? { service: "s.m", port } : { host: "10.1.0.2", port: container },
    protocol,
    method,
    path,
    host: "s.m",
  };
}

async function decided(world: World, question: Question): Promise<Decision> {
  return decide(meshFor(world), requestFor(question), { compareModes: false });
}

test("a mesh with waypoints is decided as the reference does: allowed, by whom, policy and rule", async () => {
  let byWaypoint = 0;
  let refusedThere = 0;
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const { allowed, hop, policy, rule, hops } = await decided(world, question);
      assert.deepEqual({ allowed, hop, policy, rule }, referenceOutcome(world, question));
      if (hops.some(({ side }) => side === "waypoint")) byWaypoint++;
      if (hops.at(-1)?.side === "waypoint") refusedThere++;
    }),
    PARAMETERS,
  );
  assert.ok(byWaypoint > PARAMETERS.numRuns / 10, `only ${byWaypoint} went by a waypoint`);
  assert.ok(refusedThere > PARAMETERS.numRuns / 50, `only ${refusedThere} were refused by one`);
});

test("a DENY policy more, wherever it is attached, never allows what was denied", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryWorld, arbitraryQuestion, async (world, other, question) => {
      const more = other.policies.map((own, index) => ({
        ...own,
        name: `q${index}`,
        spec: { ...own.spec, action: "DENY" as const },
      }));
      const before = await decided(world, question);
      const after = await decided({ ...world, policies: [...world.policies, ...more] }, question);
      assert.ok(before.allowed || !after.allowed);
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});

test("who goes past waypoints is not touched by any policy that names a target", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const past = { ...question, client: "plain" as const };
      const without = { ...world, policies: world.policies.filter(({ holds }) => typeof holds === "string") };
      assert.deepEqual((await decided(world, past)).hops, (await decided(without, past)).hops);
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});

test("strict semantics never allow at a waypoint what Istio's refuse", async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryWorld, arbitraryQuestion, async (world, question) => {
      const { allowed, differs } = await decided(world, question);
      assert.ok(differs === undefined || (allowed && !differs.allowed));
    }),
    { ...PARAMETERS, numRuns: 200 },
  );
});
