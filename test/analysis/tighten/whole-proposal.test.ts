import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClientFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import type { Manifest } from "../../../src/analysis/tighten/manifest.ts";
import { proposeNetworkPolicies } from "../../../src/analysis/tighten/network.ts";
import { Replay, type ReplayResult } from "../../../src/analysis/tighten/replay.ts";
import { type ExtraProposal, proposeSidecars } from "../../../src/analysis/tighten/sidecars.ts";
import { type WholeProposal, wholeProposal } from "../../../src/analysis/tighten/whole-proposal.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod, tighten } from "./tighten-fixture.ts";

const CLIENT: ClientFlow = {
  kind: "client",
  workload: "foo/sleep",
  host: "httpbin",
  port: 80,
  protocol: "http",
  timeMs: 0,
};

const FLOWS = [flow("/get")];

interface Whole {
  readonly mesh: Mesh;
  readonly whole: WholeProposal;
}

/** The mesh with what is proposed, and with what is not: changes of any kind that somebody makes up. */
async function wholeWith(
  manifests: readonly Manifest[],
  today: readonly Resource[] = [],
  isOwn = true,
): Promise<Whole> {
  const mesh = meshOf(pod("foo", "sleep"), pod("bar", "admin"), ...today);
  const { proposal, evidence } = await tighten(mesh, FLOWS);
  evidence.add(CLIENT);
  const extra: ExtraProposal = {
    changes: manifests.map((manifest) => ({ action: "add", manifest, why: "made up" })),
    untouched: [],
  };
  const own = isOwn
    ? [await proposeSidecars(mesh, evidence), await proposeNetworkPolicies(mesh, proposal.servers)]
    : [];
  return { mesh, whole: await wholeProposal(mesh, proposal, [...own, extra], "istio") };
}

function replayOf({ mesh, whole }: Whole): Promise<ReplayResult> {
  const replay = new Replay(mesh, whole.mesh, "istio");
  for (const one of FLOWS) replay.add(one);
  replay.addClient(CLIENT);
  return replay.finish();
}

const networkPolicy = (spec: object): Manifest => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "made-up", namespace: "foo" },
  spec,
});

const sidecar = (hosts: readonly string[]): Manifest => ({
  apiVersion: "networking.istio.io/v1",
  kind: "Sidecar",
  metadata: { name: "made-up", namespace: "foo" },
  spec: { egress: [{ hosts }], outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } },
});

test("policies, Sidecars and NetworkPolicies together are compared with today once, and what was seen passes all of them", async () => {
  const own = await wholeWith([]);
  const kinds = own.whole.changes.map(({ manifest }) => manifest.kind).toSorted();
  assert.deepEqual(kinds, ["AuthorizationPolicy", "NetworkPolicy", "Sidecar"]);
  assert.deepEqual([own.whole.wider, own.whole.notCompared], [[], []]);
  const replay = await replayOf(own);
  assert.deepEqual(replay, { records: 1, uncertain: 0, decided: 2, refused: [] });
});

test("a change that opens what another layer closes today is found wider: at the server, for clients, in the network", async () => {
  const strict = resource(
    "PeerAuthentication",
    "default",
    { mtls: { mode: "STRICT" } },
    { namespace: "istio-system" },
  );
  const disabled: Manifest = {
    apiVersion: "security.istio.io/v1",
    kind: "PeerAuthentication",
    metadata: { name: "made-up", namespace: "bar" },
    spec: { mtls: { mode: "DISABLE" } },
  };
  const closed = {
    ...resource("NetworkPolicy", "all", { podSelector: {}, policyTypes: ["Ingress"] }),
    apiVersion: "networking.k8s.io/v1",
  };
  const nowhere = resource("Sidecar", "default", {
    egress: [{ hosts: ["~/*"] }],
    outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
  });
  const everywhere: Manifest = {
    ...sidecar(["*/*"]),
    spec: { workloadSelector: { labels: { app: "sleep" } }, egress: [{ hosts: ["*/*"] }] },
  };
  const cases = [
    [disabled, strict, /^bar\/admin: /],
    [networkPolicy({ podSelector: {}, ingress: [{}] }), closed, /^network: /],
    [everywhere, nowhere, /^clients: /],
  ] as const;
  for (const [manifest, today, says] of cases) {
    const { whole } = await wholeWith([manifest], [today], false);
    assert.ok(whole.wider.length > 0, `${manifest.kind} opens something`);
    for (const one of whole.wider) assert.match(one, says);
  }
});

test("what was seen is asked of the whole: a network policy, or a Sidecar, that stands in its way is a refusal", async () => {
  for (const manifest of [
    networkPolicy({ podSelector: { matchLabels: { app: "httpbin" } }, policyTypes: ["Ingress"] }),
    networkPolicy({ podSelector: { matchLabels: { app: "sleep" } }, policyTypes: ["Egress"] }),
    sidecar(["bar/*"]),
  ]) {
    const own = await wholeWith([manifest], [], false);
    assert.deepEqual(own.whole.wider, []);
    const { refused } = await replayOf(own);
    assert.ok(refused.length > 0, JSON.stringify(manifest.spec));
  }
});
