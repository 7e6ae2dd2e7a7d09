/** Which pods and namespaces take part in the mesh, and which connections of theirs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DecideOptions, decide } from "../../../src/policy/decide.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  barePodText,
  meshConfigText,
  namespaceText,
  peerText,
  podText,
  serviceText,
} from "../path/journey-text.ts";

const PORTS = { ports: [8080, 9000] };
const capture = (name: string, value: string) => ({ [`traffic.sidecar.istio.io/${name}`]: value });
const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const service = (clusterIP?: string): string =>
  serviceText("a", "s", clusterIP === undefined ? {} : { clusterIP });
const server = (annotations: Readonly<Record<string, string>> = {}): string =>
  podText("a", "s", { ip: "10.0.0.2", ...PORTS, annotations }) + service("10.96.0.2");
const STRICT = peerText("a", "default", { mtls: { mode: "STRICT" } });
const DENY_ALL = authorizationText("a", "nothing", {});
const toServer = { from: { workload: "a/c" }, to: { service: "s", port: 80 } } as const;
const inClear = { from: { principal: null }, to: { workload: "a/s", port: 8080 } } as const;

async function told(text: string, request: AccessRequest, options: DecideOptions = {}) {
  const { allowed, reason, cause, hop, explanation } = await decide(meshOf(text), request, options);
  return { allowed, said: `${reason}/${cause} at ${hop}`, explanation: explanation.join("\n") };
}

test("an excluded inbound port is open: neither PeerAuthentication nor AuthorizationPolicy is enforced there", async () => {
  const policies = STRICT + DENY_ALL;
  const held = await told(server() + policies, inClear);
  assert.deepEqual([held.allowed, held.said], [false, "no-chain/no-chain at a/s"]);
  const open = await told(server(capture("excludeInboundPorts", "8080")) + policies, inClear);
  assert.deepEqual([open.allowed, open.said], [true, "ok/no-proxy at a/s"]);
  assert.match(open.explanation, /excludeInboundPorts.*no policy of the mesh is enforced/);
  const other = await told(server(capture("excludeInboundPorts", "9000")) + policies, inClear);
  assert.equal(other.allowed, false);
  const included = await told(server(capture("includeInboundPorts", "9000")) + policies, inClear);
  assert.equal(included.allowed, true);
});

test("a client's auto mTLS does not know of excluded ports: the application gets TLS that nobody ends", async () => {
  const excluded = server(capture("excludeInboundPorts", "8080"));
  const refused = await told(CLIENT + excluded, toServer);
  assert.deepEqual([refused.allowed, refused.said], [false, "tls/no-proxy-for-tls at a/c"]);
  assert.match(refused.explanation, /excludeInboundPorts/);
  const disabled = peerText("a", "own", {
    selector: { matchLabels: { app: "s" } },
    portLevelMtls: { 8080: { mode: "DISABLE" } },
  });
  assert.equal((await told(CLIENT + excluded + disabled, toServer)).allowed, true);
  assert.equal((await told(CLIENT + server(), toServer)).allowed, true);
});

test("an excluded outbound port passes the client's sidecar by: in clear, without routes or outbound policy", async () => {
  const registryOnly = meshConfigText({ outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } });
  const client = (annotations = {}): string => podText("a", "c", { ip: "10.0.0.1", annotations });
  const excluded = client(capture("excludeOutboundPorts", "80"));
  const strict = await told(excluded + server() + STRICT, toServer);
  assert.deepEqual([strict.allowed, strict.said], [false, "no-chain/no-chain at a/s"]);
  assert.match(strict.explanation, /excludeOutboundPorts/);
  assert.equal((await told(excluded + server(), toServer)).allowed, true);
  assert.equal((await told(client() + server() + STRICT, toServer)).allowed, true);
  const outside = { from: { workload: "a/c" }, to: { host: "www.example.com", port: 80 } } as const;
  assert.equal((await told(client() + registryOnly, outside)).allowed, false);
  const let_out = await told(excluded + registryOnly, outside);
  assert.deepEqual([let_out.allowed, let_out.said], [true, "passthrough/not-captured at a/c"]);
});

test("outbound address blocks: excluded before included ports, these before included blocks", async () => {
  const said = async (annotations: Readonly<Record<string, string>>, request: AccessRequest = toServer) => {
    const client = podText("a", "c", { ip: "10.0.0.1", annotations });
    const options = { clientOnly: true };
    return (await told(client + server(), request, options)).said;
  };
  const routed = "ok/routed at a/c";
  const past = "passthrough/not-captured at a/c";
  const included = capture("includeOutboundIPRanges", "10.96.0.0/16");
  const elsewhere = capture("includeOutboundIPRanges", "10.97.0.0/16");
  assert.equal(await said(included), routed);
  assert.equal(await said(elsewhere), past);
  assert.equal(await said(capture("includeOutboundIPRanges", "")), past);
  assert.equal(await said(capture("includeOutboundIPRanges", "*")), routed);
  assert.equal(await said(capture("excludeOutboundIPRanges", "10.96.0.0/16")), past);
  assert.equal(await said({ ...elsewhere, ...capture("includeOutboundPorts", "80") }), routed);
  const both = {
    ...capture("excludeOutboundIPRanges", "10.96.0.0/16"),
    ...capture("includeOutboundPorts", "80"),
  };
  assert.equal(await said(both), past);
});

test("where a block decides and the address is not known, so is the answer", async () => {
  const client = podText("a", "c", {
    ip: "10.0.0.1",
    annotations: capture("excludeOutboundIPRanges", "10.96.0.0/16"),
  });
  const outside = { from: { workload: "a/c" }, to: { host: "www.example.com", port: 80 } } as const;
  assert.equal((await told(client, outside)).said, "unknown/address-unknown at a/c");
  const known = { ...outside, to: { ...outside.to, ip: "10.96.0.9" } };
  assert.equal((await told(client, known)).said, "passthrough/not-captured at a/c");
  const other = { ...outside, to: { ...outside.to, ip: "192.0.2.1" } };
  assert.equal((await told(client, other)).said, "passthrough/passthrough at a/c");
});

test("strict: our own proxies serve every port and take every connection, whatever annotations say", async () => {
  const strict = { semantics: "strict" } as const;
  const excluded = server(capture("excludeInboundPorts", "8080"));
  assert.equal((await told(excluded + STRICT, inClear, strict)).allowed, false);
  assert.equal((await told(CLIENT + excluded, toServer, strict)).allowed, true);
  const { differs } = await decide(meshOf(excluded + STRICT), inClear);
  assert.equal(differs?.semantics, "strict");
  assert.equal(differs?.allowed, false);
});

test("a pod that is not injected is decided as one without a proxy, and the explanation says why", async () => {
  const spaces =
    namespaceText("a", { "istio-injection": "enabled" }) +
    namespaceText("b", { "istio-injection": "disabled" });
  const bare = podText("b", "s", { labels: { "security.istio.io/tlsMode": "disabled" }, ...PORTS });
  const strict = peerText("b", "default", { mtls: { mode: "STRICT" } });
  const to = { from: { principal: null }, to: { workload: "b/s", port: 8080 } } as const;
  const { allowed, said, explanation } = await told(spaces + bare + strict, to);
  assert.deepEqual([allowed, said], [true, "ok/no-proxy at b/s"]);
  assert.match(explanation, /its namespace says `istio-injection: disabled`/);
});

const SELECTORS = meshConfigText({ discoverySelectors: [{ matchLabels: { seen: "yes" } }] });
const seen = (name: string): string => namespaceText(name, { seen: "yes" });
const hidden = podText("b", "s", { ip: "10.0.1.2", ...PORTS }) + serviceText("b", "s");
const toHidden = { from: { workload: "a/c" }, to: { service: "s.b", port: 80 } } as const;

test("discoverySelectors: a namespace that none selects has no services for the mesh: passed through in clear, or refused", async () => {
  const text = CLIENT + seen("a") + seen("istio-system") + namespaceText("b", {}) + hidden;
  const known = await told(text, toHidden, { clientOnly: true });
  assert.equal(known.said, "ok/routed at a/c");
  const unknown = await told(text + SELECTORS, toHidden, { clientOnly: true });
  assert.equal(unknown.said, "passthrough/passthrough at a/c");
  const only = meshConfigText({
    discoverySelectors: [{ matchLabels: { seen: "yes" } }],
    outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
  });
  assert.equal((await told(text + only, toHidden)).allowed, false);
});

test("discoverySelectors: what is passed through still reaches the pod, whose sidecar has the root namespace's policies alone", async () => {
  const text = CLIENT + seen("a") + namespaceText("b", {}) + hidden + SELECTORS;
  const open = await told(text + seen("istio-system"), toHidden);
  assert.deepEqual([open.allowed, open.said], [true, "ok/no-allow-policies at b/s"]);
  const root = peerText("istio-system", "default", { mtls: { mode: "STRICT" } });
  const closed = await told(text + seen("istio-system") + root, toHidden);
  assert.deepEqual([closed.allowed, closed.said], [false, "no-chain/no-chain at b/s"]);
  const own = peerText("b", "default", { mtls: { mode: "STRICT" } }) + authorizationText("b", "nothing", {});
  assert.equal((await told(text + seen("istio-system") + own, toHidden)).allowed, true);
});

test("discoverySelectors: the root namespace is no exception: unless selected, its policies have no effect", async () => {
  const root = peerText("istio-system", "default", { mtls: { mode: "STRICT" } });
  const text = seen("a") + server() + SELECTORS + root;
  assert.equal((await told(text + seen("istio-system"), inClear)).allowed, false);
  assert.equal((await told(text + namespaceText("istio-system", {}), inClear)).allowed, true);
});

test("discoverySelectors do not keep anything from being injected", async () => {
  const mesh = meshOf(namespaceText("b", { "istio-injection": "enabled" }) + hidden + SELECTORS);
  assert.equal(mesh.workloads[0]?.dataplane, "sidecar");
  assert.deepEqual(mesh.services, []);
});

test("an application without a proxy reaches services of namespaces that are not discovered, by the cluster's DNS", async () => {
  const text =
    barePodText("a", "bare", { ip: "10.0.0.9" }) + seen("a") + namespaceText("b", {}) + hidden + SELECTORS;
  const request = { from: { workload: "a/bare" }, to: { service: "s.b", port: 80 } } as const;
  assert.equal((await told(text, request)).said, "ok/no-allow-policies at b/s");
});
