/** Auto mTLS, secure naming and what becomes of unknown destinations: what a sidecar does for its client. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide } from "../../../src/policy/decide.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  barePodText,
  destinationText,
  entryText,
  meshConfigText,
  peerText,
  podText,
  resourceText,
  serviceText,
} from "../path/journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const SERVER = podText("a", "s", { ip: "10.0.0.2" }) + serviceText("a", "s");
const toServer = { from: { workload: "a/c" }, to: { service: "s", port: 80 } } as const;
const ID = (account: string, trustDomain = "cluster.local", namespace = "a"): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`;

/** What the client's sidecar speaks, and whom it expects. */
async function spoken(text: string, request: Parameters<typeof decide>[1] = toServer) {
  const { tls, sans } = await decide(meshOf(CLIENT + text), request, { clientOnly: true });
  return { tls, sans };
}
const clear = { tls: "plaintext", sans: undefined };
const mutual = (...sans: readonly string[]) => ({ tls: "mtls", sans });
const rule = (trafficPolicy: object, more: object = {}): string =>
  destinationText("a", "s", { host: "s", trafficPolicy, ...more });
const tls = (mode: string, more: object = {}) => ({ tls: { mode, ...more } });

test("auto mTLS: mutual TLS to an endpoint that has a proxy and whose PeerAuthentication is not DISABLE", async () => {
  const by = async (mode: string) => spoken(SERVER + peerText("a", "default", { mtls: { mode } }));
  assert.deepEqual(await spoken(SERVER), mutual(ID("s")));
  assert.deepEqual(await by("STRICT"), mutual(ID("s")));
  assert.deepEqual(await by("PERMISSIVE"), mutual(ID("s")));
  assert.deepEqual(await by("DISABLE"), clear);
  const bare = barePodText("a", "s", { ip: "10.0.0.2" }) + serviceText("a", "s");
  assert.deepEqual(await spoken(bare), clear);
  const port = peerText("a", "own", {
    selector: { matchLabels: { app: "s" } },
    portLevelMtls: { 8080: { mode: "DISABLE" } },
  });
  assert.deepEqual(await spoken(SERVER + port), clear);
});

test("a DestinationRule's TLS wins over auto mTLS, its port's over its policy's", async () => {
  assert.deepEqual(await spoken(SERVER + rule(tls("DISABLE"))), clear);
  const disabled = peerText("a", "default", { mtls: { mode: "DISABLE" } });
  assert.deepEqual(await spoken(SERVER + disabled + rule(tls("ISTIO_MUTUAL"))), mutual(ID("s")));
  const port = { portLevelSettings: [{ port: { number: 80 }, ...tls("DISABLE") }] };
  assert.deepEqual(await spoken(SERVER + rule({ ...tls("ISTIO_MUTUAL"), ...port })), clear);
  const other = { portLevelSettings: [{ port: { number: 81 }, ...tls("DISABLE") }] };
  assert.deepEqual(await spoken(SERVER + rule({ ...tls("ISTIO_MUTUAL"), ...other })), mutual(ID("s")));
});

test("of headless services one endpoint without a proxy turns mutual TLS off for all", async () => {
  const pod = (name: string, ip: string, make: typeof podText) =>
    make("a", name, { ip, account: "s", labels: { app: "s" } });
  const headless = serviceText("a", "s", { clusterIP: "None" });
  const one = pod("s1", "10.0.1.1", podText);
  assert.deepEqual(await spoken(headless + one + pod("s2", "10.0.1.2", podText)), mutual(ID("s")));
  const bare = `---\n${JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "s2",
      namespace: "a",
      labels: { app: "s", "security.istio.io/tlsMode": "disabled" },
      annotations: { "sidecar.istio.io/inject": "false" },
    },
    spec: { serviceAccountName: "s", containers: [{ name: "app", image: "app" }] },
    status: { podIP: "10.0.1.2" },
  })}\n`;
  assert.equal((await spoken(headless + one + bare)).tls, "plaintext");
});

test("sidecar clients expect the union of the accounts of all endpoints, over aliases of the trust domain", async () => {
  const endpoint = (name: string, ip: string) => podText("a", name, { ip, labels: { app: "s" } });
  const two = endpoint("x", "10.0.1.1") + endpoint("y", "10.0.1.2") + serviceText("a", "s");
  assert.deepEqual(await spoken(two), mutual(ID("x"), ID("y")));
  const aliases = meshConfigText({ trustDomainAliases: ["old.example"] });
  const { sans = [] } = await spoken(two + aliases);
  assert.deepEqual(
    sans.toSorted(),
    [ID("x"), ID("x", "old.example"), ID("y"), ID("y", "old.example")].sort(),
  );
});

test("a ServiceEntry's SANs are expected beside the accounts; subjectAltNames of a DestinationRule replace all", async () => {
  const entry = entryText("a", "more", {
    hosts: ["s.a.svc.cluster.local"],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    location: "MESH_INTERNAL",
    resolution: "STATIC",
    subjectAltNames: [ID("declared", "cluster.local", "b")],
    workloadSelector: { labels: { app: "s" } },
  });
  const host = "s.a.svc.cluster.local";
  const declared = await spoken(podText("a", "s", { ip: "10.0.0.2" }) + entry, {
    ...toServer,
    to: { host, port: 80 },
  });
  assert.deepEqual(declared, mutual(ID("s"), ID("declared", "cluster.local", "b")));
  const own = rule(tls("ISTIO_MUTUAL", { subjectAltNames: [ID("own")] }));
  assert.deepEqual(await spoken(SERVER + own), mutual(ID("own")));
});

test("outboundTrafficPolicy: ALLOW_ANY by default, REGISTRY_ONLY refuses what nobody registered; a Sidecar overrides", async () => {
  const unknown = { from: { workload: "a/c" }, to: { host: "nowhere.example", port: 80 } } as const;
  const sidecar = (mode: string) =>
    resourceText("networking.istio.io/v1", "Sidecar", "a", "default", {
      outboundTrafficPolicy: { mode },
      egress: [{ hosts: ["*/*"] }],
    });
  const mesh = (mode: string) => meshConfigText({ outboundTrafficPolicy: { mode } });
  const isAllowed = async (text: string) => (await decide(meshOf(CLIENT + text), unknown)).allowed;
  assert.ok(await isAllowed(""));
  assert.ok(await isAllowed(mesh("ALLOW_ANY")));
  assert.ok(!(await isAllowed(mesh("REGISTRY_ONLY"))));
  assert.ok(!(await isAllowed(mesh("ALLOW_ANY") + sidecar("REGISTRY_ONLY"))));
  assert.ok(await isAllowed(mesh("REGISTRY_ONLY") + sidecar("ALLOW_ANY")));
});
