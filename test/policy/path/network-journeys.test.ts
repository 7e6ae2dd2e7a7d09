import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type AccessRequest, can, canAll, type Decision, loadMesh, type Mesh } from "../../../src/index.ts";
import { inFolder } from "../../resources/load-fixture.ts";

function pod(namespace: string, name: string, ip: string, more = ""): string {
  return `apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: ${namespace}, labels: {app: ${name}, security.istio.io/tlsMode: istio, sidecar.istio.io/inject: "true"}}
spec: {${more}containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
status: {podIP: ${ip}}
---
`;
}

function policy(namespace: string, name: string, spec: string): string {
  return `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
}

const SERVICE = `apiVersion: v1
kind: Service
metadata: {name: api, namespace: b}
spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{name: http, port: 80, targetPort: http}]}
---
`;

const PODS =
  pod("a", "one", "10.0.0.1") + pod("a", "two", "10.0.0.2") + pod("b", "api", "10.0.1.1") + SERVICE;

function meshOf(text: string): Promise<Mesh> {
  return inFolder(async (folder) => {
    writeFileSync(join(folder, "mesh.yaml"), text);
    const { mesh, rejected } = await loadMesh(folder);
    assert.deepEqual(rejected, []);
    return mesh;
  });
}

async function ask(text: string, request: Partial<AccessRequest> = {}): Promise<Decision> {
  const mesh = await meshOf(text);
  const [decision] = await can(mesh, [
    { from: { workload: "a/one" }, to: { host: "api.b", port: 80 }, path: "/", ...request },
  ]);
  assert.ok(decision !== undefined);
  return decision;
}

function told({ allowed, code, reason, cause, layer, policy: by, rule, hop }: Decision): unknown[] {
  return [allowed, code, reason, cause, layer, by, rule, hop];
}

function networkHops({ hops }: Decision): string[] {
  return hops
    .filter(({ layer }) => layer === "network")
    .map(({ hop, side, allowed, cause }) => `${hop} ${side} ${allowed ? "allowed" : "denied"} ${cause}`);
}

const ONE_ALONE = `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: one}}}], ports: [{port: http}]}]}`;

test("can: without network policies there are no network hops", async () => {
  assert.deepEqual(networkHops(await ask(PODS)), []);
});

test("can: a NetworkPolicy at the server lets in whom its rule names, by the container's port, and nobody else", async () => {
  const text = PODS + policy("b", "one-alone", ONE_ALONE);
  const allowed = await ask(text);
  assert.deepEqual(networkHops(allowed), ["b/api server allowed network-rule"]);
  assert.equal(allowed.allowed, true);
  assert.equal(allowed.cause, "no-allow-policies");
  const denied = await ask(text, { from: { workload: "a/two" } });
  assert.deepEqual(told(denied), [
    false,
    503,
    "network",
    "network-isolated",
    "network",
    "NetworkPolicy b/one-alone",
    null,
    "b/api",
  ]);
  assert.match(
    denied.explanation.join("\n"),
    /nearest: NetworkPolicy b\/one-alone ingress rule 0 wants pods with app=one/,
  );
});

test("can: the client's own network policy is asked first", async () => {
  const closed = policy("a", "closed", "{podSelector: {matchLabels: {app: one}}, policyTypes: [Egress]}");
  const decision = await ask(PODS + closed + policy("b", "one-alone", ONE_ALONE));
  assert.deepEqual(networkHops(decision), ["a/one client denied network-isolated"]);
  assert.match(decision.explanation.join("\n"), /NetworkPolicy a\/closed has no egress rules/);
});

test("can: an AdminNetworkPolicy's deny goes before what a NetworkPolicy allows, and Pass leaves it to that", async () => {
  const admin = (action: string): string => `apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: guard}
spec: {priority: 1, subject: {namespaces: {}}, ingress: [{name: from-a, action: ${action}, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: a}}}]}]}
---
`;
  const text = PODS + policy("b", "one-alone", ONE_ALONE);
  assert.deepEqual(told(await ask(text + admin("Deny"))).slice(2), [
    "network",
    "admin-deny",
    "network",
    "AdminNetworkPolicy guard",
    0,
    "b/api",
  ]);
  assert.deepEqual(networkHops(await ask(text + admin("Pass"))), ["b/api server allowed network-rule"]);
});

test("can: in ambient mode network policies see HBONE's port, not the application's", async () => {
  const ambient = PODS.replaceAll('sidecar.istio.io/inject: "true"', "istio.io/dataplane-mode: ambient");
  const onPort = (port: string): string =>
    policy("b", "ports", `{podSelector: {}, ingress: [{ports: [{port: ${port}}]}]}`);
  const denied = await ask(ambient + onPort("http"));
  assert.equal(denied.cause, "network-isolated");
  assert.match(denied.explanation.join("\n"), /has to allow TCP 15008/);
  assert.equal((await ask(ambient + onPort("15008"))).allowed, true);
  // The same where the question names the pod itself: with an identity nobody gets there but by the tunnel.
  const to = { workload: "b/api", port: 8080 };
  assert.equal((await ask(ambient + onPort("http"), { to })).allowed, false);
  assert.equal((await ask(ambient + onPort("15008"), { to })).allowed, true);
  const inClear = { from: { ip: "10.0.0.9", principal: null }, to };
  assert.equal((await ask(ambient + onPort("http"), inClear)).allowed, true);
});

test("can: a way out of the mesh is asked about at the client; an address that is not known leaves it open", async () => {
  const out = (cidr: string): string =>
    PODS +
    policy(
      "a",
      "out",
      `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: ${cidr}}}], ports: [{port: 443}]}]}`,
    );
  const to = (ip?: string, port = 443): Partial<AccessRequest> => ({
    to: { host: "www.example.com", port, ...(ip === undefined ? {} : { ip }) },
    protocol: "tls",
    sni: "www.example.com",
  });
  assert.equal((await ask(out("192.0.2.0/24"), to("192.0.2.9"))).allowed, true);
  assert.equal((await ask(out("192.0.2.0/24"), to("198.51.100.1"))).cause, "network-isolated");
  assert.equal((await ask(out("192.0.2.0/24"), to("192.0.2.9", 8443))).cause, "network-isolated");
  assert.deepEqual(told(await ask(out("192.0.2.0/24"), to())).slice(2, 5), [
    "unknown",
    "address-unknown",
    "network",
  ]);
  assert.equal((await ask(out("0.0.0.0/0"), to())).allowed, true);
});

test("can: of a ServiceEntry with addresses network policies are asked by the endpoint's, and by its port", async () => {
  const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: a}
spec:
  hosts: [ledger.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]
  endpoints: [{address: 192.0.2.9}]
---
`;
  const out = (cidr: string, port: number): string =>
    `${PODS}${entry}${policy("a", "out", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: ${cidr}}}], ports: [{port: ${port}}]}]}`)}`;
  const to: Partial<AccessRequest> = {
    to: { host: "ledger.example", port: 443 },
    protocol: "tls",
    sni: "ledger.example",
  };
  assert.equal((await ask(out("192.0.2.9/32", 8443), to)).allowed, true);
  assert.equal((await ask(out("192.0.2.9/32", 443), to)).cause, "network-isolated");
  assert.equal((await ask(out("192.0.2.8/32", 8443), to)).cause, "network-isolated");
});

test("can: the server's side alone is asked about the way in; an identity alone does not tell which pod connects", async () => {
  const text = PODS + policy("b", "one-alone", ONE_ALONE);
  const to = { workload: "b/api", port: 8080 };
  assert.equal((await ask(text, { to })).allowed, true);
  assert.equal((await ask(text, { to, from: { workload: "a/two" } })).cause, "network-isolated");
  const principal = "cluster.local/ns/a/sa/default";
  assert.equal((await ask(text, { to, from: { principal } })).cause, "source-unknown");
  assert.equal((await ask(text, { to, from: { ip: "203.0.113.1" } })).cause, "network-isolated");
});

test("can: what hangs on the host's network is unknown, what does not is decided", async () => {
  const host = pod("b", "agent", "192.168.0.1", "hostNetwork: true, ");
  const closed = policy("b", "closed", "{podSelector: {}}");
  const to = { to: { workload: "b/agent", port: 8080 } };
  assert.equal((await ask(PODS + host + closed, to)).cause, "host-network-unknown");
  assert.equal(
    (await ask(PODS + host + policy("b", "open", "{podSelector: {}, ingress: [{}]}"), to)).allowed,
    true,
  );
});

test("can --all-to: a pair that a network policy refuses is denied", async () => {
  const mesh = await meshOf(PODS + policy("b", "one-alone", ONE_ALONE));
  const pairs = await canAll(mesh, { to: "b/api" });
  const verdicts = Object.fromEntries(pairs.map(({ from, verdict }) => [from, verdict]));
  assert.equal(verdicts["a/one"], "allowed");
  assert.equal(verdicts["a/two"], "denied");
});
