/** Peers of other trust domains: each is held against the roots of its own domain, on both sides, and policy sees whose it is. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { FederatedDomain } from "../../src/dataplane/federated-trust.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { withFederation } from "../../src/model/mesh-config.ts";
import { trustDomain } from "../identity/mesh-fixture.ts";
import { TestAuthority, type TestLeaf } from "../identity/test-authority.ts";
import { callThroughSidecar, requestOverTls } from "./client.ts";
import { type RunningMesh, startMesh } from "./mesh-fixture.ts";

const B_NAME = "b.example";
const CALLER = "spiffe://b.example/ns/shop/sa/till";
const OWN = "spiffe://a.example/ns/shop/sa/till";
const authorityB = TestAuthority.root(B_NAME);
const authorityC = TestAuthority.root("c.example");

function meshYaml(name: string, aliases: string, more: string): string {
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{trustDomain: ${name}, trustDomainAliases: [${aliases}]}"}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: books, namespace: shop}
spec: {selector: {app: books}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: books, namespace: shop, labels: {app: books}}
spec: {serviceAccountName: books, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: till, namespace: shop, labels: {app: till}}
spec: {serviceAccountName: till, containers: [{name: app, image: app, ports: [{containerPort: 8081}]}]}
${more}`;
}

function policy(name: string, action: string, rule: string): string {
  return `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: shop}
spec: {selector: {matchLabels: {app: books}}, action: ${action}, rules: [${rule}]}
`;
}

const BY_PRINCIPAL = policy(
  "principal",
  "ALLOW",
  "{from: [{source: {principals: [b.example/ns/shop/sa/till]}}]}",
);

async function federate(mesh: RunningMesh, domains: readonly FederatedDomain[]): Promise<void> {
  const names = domains.map(({ trustDomain: name }) => name);
  const federated = { ...mesh.mesh, config: withFederation(mesh.mesh.config, names) };
  mesh.mesh = federated;
  for (const { proxy } of mesh.pods.values()) {
    proxy.federate(domains);
    await proxy.apply(federated, mesh.placement);
  }
}

async function startA(context: TestContext, net: number, more: string, aliases = ""): Promise<RunningMesh> {
  const mesh = await startMesh(context, meshYaml("a.example", aliases, more), { net });
  await federate(mesh, [{ trustDomain: trustDomain(B_NAME), rootsPem: authorityB.rootPem }]);
  return mesh;
}

/** A request straight at a pod's port under a certificate of one's own. @returns its status; 0 where the handshake failed. */
function call(
  mesh: RunningMesh,
  leaf: TestLeaf,
  session?: Buffer,
): Promise<{ status: number; socket: TLSSocket }> {
  const { pod } = mesh.pod("shop/books");
  const socket = connect({
    host: pod.address,
    port: 8080,
    ca: mesh.ca.trustBundlePem,
    key: leaf.key,
    cert: leaf.cert,
    checkServerIdentity: () => undefined,
    ...(session === undefined ? {} : { session }),
  });
  return requestOverTls(socket, "GET /books HTTP/1.1\r\nhost: books.shop\r\nconnection: close\r\n\r\n").then(
    ({ status }) => ({ status, socket }),
    () => ({ status: 0, socket }),
  );
}

function lastReason(mesh: RunningMesh): string {
  return mesh.pod("shop/books").flows.findLast(({ verdict }) => verdict === "deny")?.reason ?? "";
}

test("a workload of a federated domain is let in under its own principal, by its own domain's roots", async (context) => {
  const mesh = await startA(context, 201, BY_PRINCIPAL);
  const below = authorityB.below(B_NAME);
  assert.equal((await call(mesh, authorityB.leaf(CALLER))).status, 200);
  assert.equal((await call(mesh, below.leaf(CALLER))).status, 200, "with an intermediate");
  assert.equal((await call(mesh, authorityB.leaf("spiffe://b.example/ns/shop/sa/other"))).status, 403);
  const records = mesh.pod("shop/books").flows.filter(({ kind }) => kind === "request");
  assert.deepEqual(records.map(({ source }) => source?.principal).slice(0, 2), [
    CALLER.slice(9),
    CALLER.slice(9),
  ]);
});

test("the root of one domain signs for no identity of another: not ours, not a third's, not an unknown's", async (context) => {
  const mesh = await startA(context, 202, "");
  const roots = [
    { trustDomain: trustDomain(B_NAME), rootsPem: authorityB.rootPem },
    { trustDomain: trustDomain("c.example"), rootsPem: authorityC.rootPem },
  ];
  await federate(mesh, roots);
  assert.equal((await call(mesh, authorityB.leaf(CALLER))).status, 200);
  assert.equal((await call(mesh, authorityC.leaf("spiffe://c.example/ns/shop/sa/till"))).status, 200);
  const attacks = {
    "B signs for A": authorityB.leaf(OWN),
    "B signs for A below an intermediate": authorityB.below("a.example").leaf(OWN),
    "B signs for C": authorityB.leaf("spiffe://c.example/ns/shop/sa/till"),
    "C signs for B": authorityC.leaf(CALLER),
  };
  for (const [what, leaf] of Object.entries(attacks)) {
    assert.equal((await call(mesh, leaf)).status, 0, what);
    assert.equal(lastReason(mesh), "BW_PEER_FOREIGN_AUTHORITY", what);
  }
  assert.equal((await call(mesh, authorityB.leaf("spiffe://d.example/ns/shop/sa/till"))).status, 0);
  assert.equal(lastReason(mesh), "foreign-trust-domain");
});

test("an intermediate of B that borrows the name and key of A's own intermediate signs for nobody of A", async (context) => {
  const mesh = await startA(context, 203, "");
  const real = mesh.ca.issuerCertificate;
  const { subject, subjectKeyId } = await issuerNames(real);
  const lookAlike = authorityB.below("a.example", { subject, subjectKeyId });
  const change = { issuer: subject, authorityKeyId: subjectKeyId };
  const root = mesh.ca.trustBundle[0] ?? assert.fail();
  const bait: readonly (readonly Buffer[])[] = [
    lookAlike.chain,
    [...lookAlike.chain, real],
    [...lookAlike.chain, real, root],
    [real, ...lookAlike.chain],
    [real, root, ...lookAlike.chain],
  ];
  for (const chain of bait) assert.equal((await call(mesh, lookAlike.leaf(OWN, change, chain))).status, 0);
  assert.equal((await call(mesh, authorityB.leaf(CALLER))).status, 200);
});

async function issuerNames(certificate: Buffer) {
  const { readIssuerCertificate } = await import("../../src/identity/sign.ts");
  return readIssuerCertificate(certificate);
}

test("a session of before is not resumed past the check of its chain", async (context) => {
  const mesh = await startA(context, 204, "");
  const first = await call(mesh, authorityB.leaf(CALLER));
  assert.equal(first.status, 200);
  const session = first.socket.getSession();
  const again = await call(mesh, authorityB.leaf(CALLER), session);
  assert.equal(again.status, 200);
  assert.equal(again.socket.isSessionReused(), false);
});

test("a federated domain without a bundle, and one that is federated no more, is refused", async (context) => {
  const mesh = await startA(context, 205, "");
  const caller = authorityB.leaf(CALLER);
  assert.equal((await call(mesh, caller)).status, 200);
  await federate(mesh, [{ trustDomain: trustDomain(B_NAME), rootsPem: "" }]);
  assert.equal((await call(mesh, caller)).status, 0);
  await federate(mesh, [{ trustDomain: trustDomain(B_NAME), rootsPem: authorityC.rootPem }]);
  assert.equal((await call(mesh, caller)).status, 0, "its roots were replaced");
  await federate(mesh, []);
  assert.equal((await call(mesh, caller)).status, 0);
  assert.equal((await callThroughSidecar(mesh.pod("shop/till"), "GET", "http://books.shop/")).status, 200);
});

test("names of namespaces and accounts are this mesh's own: they let nobody of another domain in, and excuse nobody", async (context) => {
  const cases: readonly (readonly [string, string, number, number])[] = [
    // Action, rule, status for our own till, status for B's till: both are of namespace `shop`.
    ["ALLOW", "{from: [{source: {namespaces: [shop]}}]}", 200, 403],
    ["ALLOW", "{from: [{source: {serviceAccounts: [shop/till]}}]}", 200, 403],
    ["ALLOW", "{from: [{source: {notNamespaces: [other]}}]}", 200, 403],
    ["ALLOW", "{from: [{source: {trustDomains: [b.example]}}]}", 403, 200],
    ["ALLOW", '{from: [{source: {principals: ["*/ns/shop/sa/till"]}}]}', 200, 200],
    ["ALLOW", "{from: [{source: {principals: [a.example/ns/shop/sa/till]}}]}", 200, 403],
    ["ALLOW", "{from: [{source: {principals: [cluster.local/ns/shop/sa/till]}}]}", 200, 403],
    ["DENY", "{from: [{source: {namespaces: [shop]}}]}", 403, 403],
    ["DENY", "{from: [{source: {namespaces: [other]}}]}", 200, 200],
    ["DENY", "{from: [{source: {notNamespaces: [shop]}}]}", 200, 403],
    ["DENY", "{from: [{source: {notTrustDomains: [a.example]}}]}", 200, 403],
  ];
  const mesh = await startA(context, 206, "");
  for (const [action, rule, ours, theirs] of cases) {
    await mesh.apply(meshYaml("a.example", "", policy("one", action, rule)));
    await federate(mesh, [{ trustDomain: trustDomain(B_NAME), rootsPem: authorityB.rootPem }]);
    const own = await callThroughSidecar(mesh.pod("shop/till"), "GET", "http://books.shop/");
    const foreign = await call(mesh, authorityB.leaf(CALLER));
    assert.deepEqual([own.status, foreign.status], [ours, theirs], `${action} ${rule}`);
  }
});

test("an alias with a bundle of its own is the mesh's own name under other roots: what a migration needs", async (context) => {
  const own = policy("own", "ALLOW", "{from: [{source: {principals: [a.example/ns/shop/sa/till]}}]}");
  const mesh = await startA(context, 207, own, B_NAME);
  assert.equal(
    (await call(mesh, authorityB.leaf(CALLER))).status,
    200,
    "the old name passes rules of the new",
  );
  assert.equal((await call(mesh, authorityB.leaf(OWN))).status, 0, "the old mesh does not sign for the new");
  assert.equal((await callThroughSidecar(mesh.pod("shop/till"), "GET", "http://books.shop/")).status, 200);
});

/** A ServiceEntry of mesh A for the books of mesh B. */
function foreignBooks(address: string, names: string): string {
  return `---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: books-of-b, namespace: shop}
spec:
  hosts: [books.b.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: ${address}}]
  subjectAltNames: [${names}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: books-of-b, namespace: shop}
spec: {host: books.b.example, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`;
}

test("two meshes with different roots call each other; each side holds the other against its own domain's roots", async (context) => {
  const b = await startMesh(
    context,
    meshYaml(
      B_NAME,
      "",
      policy("a", "ALLOW", "{from: [{source: {principals: [a.example/ns/shop/sa/till]}}]}"),
    ),
    { net: 208 },
  );
  const { address } = b.pod("shop/books").pod;
  const right = foreignBooks(address, "spiffe://b.example/ns/shop/sa/books");
  const a = await startMesh(context, meshYaml("a.example", "", right), { net: 209 });
  const till = a.pod("shop/till");
  const ask = async () => (await callThroughSidecar(till, "GET", "http://books.b.example:8080/books")).status;
  const rootsOf = ({ ca }: RunningMesh) =>
    ca.trustBundle.map((der) => encodePem("CERTIFICATE", der)).join("");
  assert.equal(await ask(), 503, "no federation yet");
  await federate(a, [{ trustDomain: trustDomain(B_NAME), rootsPem: rootsOf(b) }]);
  assert.equal(await ask(), 503, "B does not know A yet");
  await federate(b, [{ trustDomain: trustDomain("a.example"), rootsPem: rootsOf(a) }]);
  assert.equal(await ask(), 200);
  const seen = b.pod("shop/books").flows.findLast(({ kind }) => kind === "request");
  assert.equal(seen?.source?.principal, "a.example/ns/shop/sa/till");
  // The server is B's books. What is asked for is another, or A's own, whose name B's roots cannot give.
  for (const name of [
    "spiffe://b.example/ns/shop/sa/other",
    "spiffe://a.example/ns/shop/sa/books",
    "spiffe://c.example/ns/shop/sa/books",
  ]) {
    await a.apply(meshYaml("a.example", "", foreignBooks(address, name)));
    await federate(a, [{ trustDomain: trustDomain(B_NAME), rootsPem: rootsOf(b) }]);
    assert.equal(await ask(), 503, name);
  }
});

test("a client refuses a server that another domain's root made one of ours", async (context) => {
  const { createServer } = await import("node:tls");
  const { once } = await import("node:events");
  const names: string[] = [];
  const impostor = authorityB.leaf("spiffe://a.example/ns/shop/sa/books");
  const server = createServer({
    key: impostor.key,
    cert: impostor.cert,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["istio-http/1.1"],
  });
  server.on("secureConnection", (socket) =>
    socket.on("error", () => {}).on("data", (chunk) => names.push(String(chunk))),
  );
  server.on("tlsClientError", () => {});
  server.listen(8080, "127.212.9.1");
  await once(server, "listening");
  context.after(() => server.close());
  for (const wanted of [
    "spiffe://a.example/ns/shop/sa/books",
    "spiffe://a.example/ns/shop/sa/books, spiffe://b.example/ns/shop/sa/books",
  ]) {
    const mesh = await startMesh(context, meshYaml("a.example", "", foreignBooks("127.212.9.1", wanted)), {
      net: wanted.length < 40 ? 210 : 211,
    });
    await federate(mesh, [{ trustDomain: trustDomain(B_NAME), rootsPem: authorityB.rootPem }]);
    const { status } = await callThroughSidecar(
      mesh.pod("shop/till"),
      "GET",
      "http://books.b.example:8080/books",
    );
    assert.equal(status, 503, wanted);
  }
  assert.deepEqual(names, [], "not a byte reached it");
});
