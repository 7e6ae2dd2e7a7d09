/** TLS that a gateway ends under certificates of its own, for clients outside of the mesh. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { decodePem } from "../../src/identity/pem.ts";
import { readIssuerCertificate } from "../../src/identity/sign.ts";
import { CertificateForge, type Names } from "../../tools/corpus/live-certificates.ts";
import { TestAuthority } from "../identity/test-authority.ts";
import { type Answer, readAnswer } from "./client.ts";
import { type RunningMesh, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const edgeCa = CertificateForge.alone();
const clientCa = CertificateForge.alone();
const PORT = 8443;

const WORKLOADS = `
apiVersion: v1
kind: Pod
metadata: {name: gw, namespace: edge, labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}
spec: {serviceAccountName: gw, containers: [{name: proxy, image: auto}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: a, labels: {app: server}}
spec: {serviceAccountName: server, containers: [{name: app, image: app, ports: [{containerPort: 8080}, {containerPort: 9001}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: a}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9001, targetPort: 9001}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: ["*"]
  gateways: [edge/gw]
  http: [{route: [{destination: {host: server, port: {number: 80}}}]}]
  tcp: [{match: [{port: 9443}], route: [{destination: {host: server, port: {number: 9001}}}]}]
`;

function gateway(servers: string): string {
  return `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  selector: {istio: gw}
  servers:
${servers}`;
}

function https(host: string, tls: string): string {
  return `    - {port: {number: ${PORT}, name: ${host.replaceAll(".", "-")}, protocol: HTTPS}, hosts: [${host}], tls: {${tls}}}\n`;
}

/** A Secret of type kubernetes.io/tls, or any other fields. */
function secret(name: string, fields: Readonly<Record<string, string>>, namespace = "edge"): string {
  const data = Object.entries(fields)
    .map(([key, text]) => `  ${key}: ${Buffer.from(text).toString("base64")}`)
    .join("\n");
  return `\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: ${namespace}}\ndata:\n${data}\n`;
}

function tlsSecret(name: string, names: Names, more: Readonly<Record<string, string>> = {}): string {
  const { certificateChain, privateKey } = edgeCa.pem(names);
  return secret(name, { "tls.crt": certificateChain, "tls.key": privateKey, ...more });
}

interface Shaken {
  readonly socket: TLSSocket;
  readonly error: string | undefined;
}

/** A handshake with the gateway. TLS 1.3 clients hear of a refused certificate with their first read only. */
function shake(mesh: RunningMesh, servername: string, options: ConnectionOptions = {}): Promise<Shaken> {
  const { address } = mesh.pod("edge/gw").pod;
  return new Promise((resolve) => {
    const socket = connect({
      host: address,
      port: PORT,
      servername,
      ca: edgeCa.rootPem,
      ...options,
    });
    socket.once("secureConnect", () => resolve({ socket, error: undefined }));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve({ socket, error: error.code }));
    socket.once("close", () => resolve({ socket, error: "closed" }));
  });
}

async function get(mesh: RunningMesh, name: string, options: ConnectionOptions = {}): Promise<Answer> {
  const { socket, error } = await shake(mesh, name, options);
  if (error !== undefined) return { status: 0, head: error, body: "" };
  socket.on("error", () => {});
  socket.write(
    `GET /x HTTP/1.1\r\nhost: ${name}\r\nx-forwarded-client-cert: forged\r\nconnection: close\r\n\r\n`,
  );
  const answer = await readAnswer(socket).catch(() => ({ status: 0, head: "", body: "" }));
  socket.destroy();
  return answer;
}

function clientOf(names: Names, forge = clientCa): ConnectionOptions {
  const { certificateChain, privateKey } = forge.pem(names);
  return { cert: certificateChain, key: privateKey };
}

function refused(mesh: RunningMesh, reason: string): Promise<void> {
  return until(
    () => mesh.pod("edge/gw").flows.some((flow) => flow.reason === reason && flow.verdict === "deny"),
    `the record of ${reason}; there are ${mesh
      .pod("edge/gw")
      .flows.map((flow) => flow.reason)
      .join(", ")}`,
  );
}

function start(context: TestContext, net: number, yaml: string): Promise<RunningMesh> {
  return startMesh(context, WORKLOADS + yaml, { net });
}

test("SIMPLE: the SNI chooses the server and its certificate; the request reaches the application", async (context) => {
  const mesh = await start(
    context,
    60,
    gateway(
      https("one.test", "mode: SIMPLE, credentialName: one") +
        https("two.test", "mode: SIMPLE, credentialName: two"),
    ) +
      tlsSecret("one", ["one.test"]) +
      secret("two", {
        cert: edgeCa.pem(["two.test"]).certificateChain,
        key: edgeCa.pem(["two.test"]).privateKey,
      }),
  );
  for (const name of ["one.test", "two.test"]) {
    const answer = await get(mesh, name);
    assert.equal(answer.status, 200, `${name}: ${answer.head}`);
    const seen = JSON.parse(answer.body) as { headers: Record<string, string> };
    assert.equal(seen.headers["x-forwarded-proto"], "https");
    assert.doesNotMatch(seen.headers["x-forwarded-client-cert"] ?? "", /forged/);
  }
  assert.equal((await get(mesh, "three.test")).status, 0);
  await refused(mesh, "no-server");
  const { socket } = await shake(mesh, "one.test");
  socket.write("GET / HTTP/1.1\r\nhost: two.test\r\n\r\n");
  assert.equal((await readAnswer(socket)).status, 404, "a Host of another server than the SNI chose");
  socket.destroy();
});

test("MUTUAL: a certificate of the roots is wanted, and told to the application; OPTIONAL_MUTUAL lets who shows none pass, never who shows a wrong one", async (context) => {
  const mesh = await start(
    context,
    62,
    gateway(
      https("must.test", "mode: MUTUAL, credentialName: must") +
        https("may.test", "mode: OPTIONAL_MUTUAL, credentialName: may") +
        https("apart.test", "mode: MUTUAL, credentialName: apart"),
    ) +
      tlsSecret("must", ["must.test"], { "ca.crt": clientCa.rootPem }) +
      tlsSecret("may", ["may.test"], { cacert: clientCa.rootPem }) +
      tlsSecret("apart", ["apart.test"]) +
      secret("apart-cacert", { cacert: clientCa.rootPem }),
  );
  const known = clientOf(["partner.example"]);
  const stranger = clientOf(["partner.example"], CertificateForge.alone());
  for (const [name, options, status] of [
    ["must.test", known, 200],
    ["must.test", {}, 0],
    ["must.test", stranger, 0],
    ["may.test", known, 200],
    ["may.test", {}, 200],
    ["may.test", stranger, 0],
    ["apart.test", known, 200],
    ["apart.test", {}, 0],
  ] as const)
    assert.equal((await get(mesh, name, options)).status, status, `${name} ${Object.keys(options).join()}`);
  const { body } = await get(mesh, "must.test", known);
  const seen = JSON.parse(body) as { headers: Record<string, string> };
  assert.match(
    seen.headers["x-forwarded-client-cert"] ?? "",
    /^Hash=[0-9a-f]{64};Subject="";DNS=partner.example(,|$)/,
  );
});

test("MUTUAL: names, keys and hashes that the server lists are asked for", async (context) => {
  const known = clientOf(["partner.example"]);
  const [der = assert.fail()] = decodePem("CERTIFICATE", String(known.cert));
  const hash = createHash("sha256").update(der).digest("hex");
  const mesh = await start(
    context,
    63,
    gateway(
      https("san.test", "mode: MUTUAL, credentialName: c, subjectAltNames: [partner.example]") +
        https("other.test", "mode: MUTUAL, credentialName: c, subjectAltNames: [other.example]") +
        https("hash.test", `mode: MUTUAL, credentialName: c, verifyCertificateHash: ["${hash}"]`) +
        https("spki.test", "mode: MUTUAL, credentialName: c, verifyCertificateSpki: [bm90LXRoaXMta2V5]"),
    ) + tlsSecret("c", ["san.test", "other.test", "hash.test", "spki.test"], { "ca.crt": clientCa.rootPem }),
  );
  assert.equal((await get(mesh, "san.test", known)).status, 200);
  assert.equal((await get(mesh, "other.test", known)).status, 0);
  assert.equal((await get(mesh, "hash.test", known)).status, 200);
  assert.equal((await get(mesh, "spki.test", known)).status, 0);
  await refused(mesh, "BW_PEER_UNEXPECTED");
});

test("a client certificate of the server's own roots is no identity of the mesh, whatever it says", async (context) => {
  const mesh = await start(
    context,
    64,
    gateway(https("must.test", "mode: MUTUAL, credentialName: must")) +
      tlsSecret("must", ["must.test"], { "ca.crt": clientCa.rootPem }),
  );
  const forged = clientOf(["spiffe://cluster.local/ns/a/sa/admin"]);
  assert.equal((await get(mesh, "must.test", forged)).status, 0);
  await refused(mesh, "BW_PEER_FOREIGN_AUTHORITY");
  assert.equal((await get(mesh, "must.test", clientOf(["spiffe://partner.example/service"]))).status, 200);
});

test("nor is one whose authority borrows the name and key identifier of the mesh's, and shows the mesh's own beside its own", async (context) => {
  const partner = TestAuthority.root("partner.example");
  const mesh = await start(
    context,
    67,
    gateway(https("must.test", "mode: MUTUAL, credentialName: must")) +
      tlsSecret("must", ["must.test"], { "ca.crt": partner.rootPem }),
  );
  const real = mesh.ca.issuerCertificate;
  const root = mesh.ca.trustBundle[0] ?? assert.fail();
  const { subject, subjectKeyId } = readIssuerCertificate(real);
  const lookAlike = partner.below("cluster.local", { subject, subjectKeyId });
  const own = lookAlike.chain;
  const names = { issuer: subject, authorityKeyId: subjectKeyId };
  for (const chain of [
    own,
    [...own, real, root],
    [...own, root, real],
    [real, ...own, root],
    [real, root, ...own],
    [root, ...own, real],
  ]) {
    const { key, cert } = lookAlike.leaf("spiffe://cluster.local/ns/a/sa/admin", names, chain);
    assert.equal((await get(mesh, "must.test", { key, cert })).status, 0);
  }
  const { key, cert } = partner.leaf("spiffe://partner.example/service");
  assert.equal((await get(mesh, "must.test", { key, cert })).status, 200);
});

test("a server whose Secret is missing, damaged or of another namespace refuses; the others go on", async (context) => {
  const { privateKey } = CertificateForge.alone().pem(["x"]);
  const { certificateChain } = edgeCa.pem(["damaged.test"]);
  const mesh = await start(
    context,
    65,
    gateway(
      https("good.test", "mode: SIMPLE, credentialName: good") +
        https("missing.test", "mode: SIMPLE, credentialName: missing") +
        https("damaged.test", "mode: SIMPLE, credentialName: damaged") +
        https("rootless.test", "mode: MUTUAL, credentialName: good") +
        https("foreign.test", "mode: SIMPLE, credentialName: 'kubernetes://a/foreign'"),
    ) +
      tlsSecret("good", ["good.test"]) +
      secret("damaged", { "tls.crt": certificateChain, "tls.key": privateKey }) +
      secret("foreign", { "tls.crt": certificateChain, "tls.key": edgeCa.pem(["x"]).privateKey }, "a"),
  );
  assert.equal((await get(mesh, "good.test")).status, 200);
  for (const name of ["missing.test", "damaged.test", "rootless.test", "foreign.test"])
    assert.equal((await get(mesh, name)).status, 0, name);
  await refused(mesh, "BW_GATEWAY_NO_CREDENTIAL");
});

test("versions: 1.2 is the least; a server that wants 1.3 takes nothing below", async (context) => {
  const mesh = await start(
    context,
    66,
    gateway(
      https("usual.test", "mode: SIMPLE, credentialName: c") +
        https("new.test", "mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_3") +
        https("old.test", "mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_0") +
        https("capped.test", "mode: SIMPLE, credentialName: c, maxProtocolVersion: TLSV1_2"),
    ) + tlsSecret("c", ["usual.test", "new.test", "old.test", "capped.test"]),
  );
  const of = (version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3"): ConnectionOptions => ({
    minVersion: version,
    maxVersion: version,
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  for (const [name, version, status] of [
    ["usual.test", "TLSv1.1", 0],
    ["usual.test", "TLSv1.2", 200],
    ["usual.test", "TLSv1.3", 200],
    ["new.test", "TLSv1.2", 0],
    ["new.test", "TLSv1.3", 200],
    ["old.test", "TLSv1.1", 0],
    ["old.test", "TLSv1.2", 200],
    ["capped.test", "TLSv1.3", 0],
    ["capped.test", "TLSv1.2", 200],
  ] as const)
    assert.equal((await get(mesh, name, of(version))).status, status, `${name} ${version}`);
});

test("a new certificate is taken without dropping a connection; policy still holds on it", async (context) => {
  const before = gateway(https("one.test", "mode: SIMPLE, credentialName: one"));
  const mesh = await start(context, 67, before + tlsSecret("one", ["one.test"]));
  const { socket } = await shake(mesh, "one.test");
  const ask = async () => {
    socket.write("GET / HTTP/1.1\r\nhost: one.test\r\n\r\n");
    return (await readAnswer(socket)).status;
  };
  assert.equal(await ask(), 200);
  const serial = socket.getPeerX509Certificate()?.serialNumber;
  await mesh.apply(WORKLOADS + before + tlsSecret("one", ["one.test", "more.test"]));
  assert.equal(await ask(), 200);
  const { socket: second } = await shake(mesh, "one.test");
  assert.notEqual(second.getPeerX509Certificate()?.serialNumber, serial);
  second.destroy();
  await mesh.apply(WORKLOADS + before);
  assert.equal((await get(mesh, "one.test")).status, 0);
  socket.destroy();
});

test("TLS that is ended before a TCP route carries bytes", async (context) => {
  const mesh = await start(
    context,
    68,
    gateway(
      "    - {port: {number: 9443, name: tls, protocol: TLS}, hosts: [raw.test], tls: {mode: SIMPLE, credentialName: one}}\n",
    ) + tlsSecret("one", ["raw.test"]),
  );
  const socket = connect({
    host: mesh.pod("edge/gw").pod.address,
    port: 9443,
    servername: "raw.test",
    ca: edgeCa.rootPem,
  });
  socket.write("hello");
  const echoed = await new Promise((resolve) => socket.once("data", (chunk) => resolve(String(chunk))));
  assert.equal(echoed, "hello");
  socket.destroy();
});

test("httpsRedirect sends clear HTTP of its hosts to HTTPS, and no others", async (context) => {
  const mesh = await start(
    context,
    69,
    gateway(
      "    - {port: {number: 8080, name: one, protocol: HTTP}, hosts: [one.test], tls: {httpsRedirect: true}}\n" +
        "    - {port: {number: 8080, name: two, protocol: HTTP}, hosts: [two.test]}\n",
    ),
  );
  const ask = async (host: string) => {
    const socket = connectTcp(8080, mesh.pod("edge/gw").pod.address);
    socket.write(`GET /a?b HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    const answer = await readAnswer(socket);
    socket.destroy();
    return answer;
  };
  const answer = await ask("one.test");
  assert.equal(answer.status, 301);
  assert.match(answer.head, /location: https:\/\/one.test\/a\?b\r?$/m);
  assert.equal((await ask("two.test")).status, 200);
});
