/** Wildcard ServiceEntries of resolution DYNAMIC_DNS for clients in ambient mode: istiod gives them an address, which a waypoint serves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import { authorizationText, journey, namespaceText, resourceText } from "../path/journey-text.ts";
import { meshFrom } from "../path/mesh-text.ts";
import { AMBIENT, ambientPodText, USES, waypointPodText, waypointText } from "./waypoint-mesh.ts";

const DENY_ALL = entryPolicy({ action: "DENY", rules: [{}] });
const PORTS = [
  { number: 80, name: "http", protocol: "HTTP" },
  { number: 443, name: "tls", protocol: "TLS" },
];

function entryPolicy(spec: object): string {
  const ref = { kind: "ServiceEntry", group: "networking.istio.io", name: "s" };
  return authorizationText("ext", "d", { targetRefs: [ref], ...spec });
}

function entryText(spec: object = {}): string {
  const all = { hosts: ["*.ext.com"], ports: PORTS, resolution: "DYNAMIC_DNS", ...spec };
  return resourceText("networking.istio.io/v1", "ServiceEntry", "ext", "s", all);
}

async function ask(text: string, to: Partial<AccessRequest> = {}, uses: object = USES): Promise<string> {
  const { mesh } = await meshFrom(
    namespaceText("cli", AMBIENT) + ambientPodText("cli", "c", "10.1.9.1"),
    namespaceText("ext", { ...AMBIENT, ...uses }) +
      waypointText({ namespace: "ext" }) +
      waypointPodText("ext") +
      text,
  );
  const { ways } = await journey(mesh, {
    id: "r",
    from: { workload: "cli/c" },
    to: { host: "a.ext.com", port: 80 },
    protocol: "http",
    path: "/",
    ...to,
  });
  assert.equal(ways.length, 1);
  return ways[0]?.steps.at(-1) ?? "";
}

test("HTTP to a name under a wildcard goes to the waypoint, whose policies for the entry refuse it", async () => {
  assert.match(
    await ask(entryText() + DENY_ALL),
    /^ext\/wp waypoint refused 403 rbac\/deny-matched .* ext\/d #0/,
  );
});

test("what no policy refuses goes on to the name asked for, outside", async () => {
  assert.match(await ask(entryText()), /^ext\/wp waypoint allowed 200 ok\/no-allow-policies/);
  const other = entryPolicy({ action: "DENY", rules: [{ to: [{ operation: { paths: ["/x"] } }] }] });
  assert.match(await ask(entryText() + other), /^ext\/wp waypoint allowed 200/);
});

test("a Host that the wildcard does not cover has no route at its waypoint", async () => {
  assert.match(await ask(entryText(), { host: "else.org" }), /^ext\/wp waypoint refused 404/);
});

test("a port that the entry does not declare is refused by its waypoint", async () => {
  assert.match(
    await ask(entryText(), { to: { host: "a.ext.com", port: 81 } }),
    /refused .* no-chain\/no-chain/,
  );
});

test("TLS ports, entries inside of the mesh and entries without a waypoint are not decided, and never allowed", async () => {
  const unknown = /waypoint refused \d+ unknown\/waypoint-unknown/;
  const tls = { to: { host: "a.ext.com", port: 443 }, protocol: "tls", sni: "a.ext.com" } as const;
  assert.match(await ask(entryText(), tls), unknown);
  assert.match(await ask(entryText({ location: "MESH_INTERNAL" })), unknown);
  assert.match(await ask(entryText(), {}, {}), unknown);
});

test("names that no wildcard covers, and wildcards without an address, pass as they are", async () => {
  const passes = /^cli\/c client allowed 200 passthrough\/passthrough/;
  assert.match(await ask(entryText() + DENY_ALL, { to: { host: "ext.com", port: 80 } }), passes);
  assert.match(await ask(entryText({ resolution: "NONE" }) + DENY_ALL), passes);
});

test("of two wildcards the more specific one counts", async () => {
  const other = resourceText("networking.istio.io/v1", "ServiceEntry", "cli", "wide", {
    hosts: ["*.com"],
    ports: PORTS,
    resolution: "DYNAMIC_DNS",
  });
  assert.match(await ask(other + entryText() + DENY_ALL), /^ext\/wp waypoint refused 403/);
  assert.match(
    await ask(other + entryText() + DENY_ALL, { to: { host: "a.org.com", port: 80 } }),
    /unknown\/waypoint-unknown/,
  );
});
