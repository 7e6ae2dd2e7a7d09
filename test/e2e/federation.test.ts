/** Two meshes with different roots, each brought up by the real program, that call each other; and what one of them must not be able to do. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { bundleEndpointId } from "../../src/control/trust-bundle/bundle-endpoint.ts";
import { openCa } from "../../src/identity/ca.ts";
import { encodePem } from "../../src/identity/pem.ts";
import { printSpiffeBundle } from "../../src/identity/spiffe-bundle.ts";
import type { Assignments } from "../../src/substrate/assignment.ts";
import { LiveAuthority } from "../../tools/corpus/live-certificates.ts";
import { until } from "../control/until.ts";
import { trustDomain } from "../identity/mesh-fixture.ts";
import { startMesh, type TestMesh } from "./running-mesh.ts";

const folder = mkdtempSync(join(tmpdir(), "e2e-fed-"));
const NAMES = { a: trustDomain("a.example"), b: trustDomain("b.example") };
type Side = keyof typeof NAMES;
const meshes: Partial<Record<Side, TestMesh>> = {};

/** Each has a shop: a till that calls, books that only the other's till may read. */
function yaml(own: string, other: string): string {
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: ${own}"}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
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
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: the-others-till, namespace: shop}
spec:
  selector: {matchLabels: {app: books}}
  rules: [{from: [{source: {principals: [${other}/ns/shop/sa/till]}}]}]
`;
}

/** Where the other's books are, and who runs them. */
function foreignBooks(other: string, address: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: their-books, namespace: shop}
spec:
  hosts: [books.${other}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: ${address}}]
  subjectAltNames: [spiffe://${other}/ns/shop/sa/books]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: their-books, namespace: shop}
spec: {host: books.${other}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

const statePath = (side: Side) => join(folder, `state-${side}`);
const filesPath = (side: Side) => join(folder, `files-${side}`);

function booksAddress(side: Side): string {
  const { pods } = JSON.parse(readFileSync(join(statePath(side), "assignments.json"), "utf8")) as Assignments;
  return pods.find(({ workload }) => workload === "shop/books")?.address ?? assert.fail();
}

/** The CA is there before its mesh is: the operators have exchanged the first bundles. */
async function firstBundle(side: Side): Promise<void> {
  mkdirSync(statePath(side), { mode: 0o700 });
  const ca = await openCa(statePath(side), { trustDomain: NAMES[side] });
  const bundle = { trustDomain: NAMES[side], x509Authorities: ca.trustBundle, jwtAuthorities: [] };
  const text = printSpiffeBundle({ ...bundle, sequence: undefined, refreshHintSeconds: undefined });
  writeFileSync(join(folder, `${side}.json`), text);
  await ca.close();
}

before(async () => {
  await Promise.all([firstBundle("a"), firstBundle("b")]);
  const ports = { a: await freePort(), b: await freePort() };
  const up = async (side: Side, other: Side) => {
    mkdirSync(filesPath(side));
    writeFileSync(join(filesPath(side), "mesh.yaml"), yaml(NAMES[side], NAMES[other]));
    const federate = `${NAMES[other]}=https://127.0.0.1:${ports[other]}/,profile=https_spiffe,id=${bundleEndpointId(NAMES[other])},bundle=${join(folder, `${other}.json`)}`;
    const endpoint = `127.0.0.1:${ports[side]},profile=https_spiffe`;
    const args = [filesPath(side), "--bundle-endpoint", endpoint, "--federate", federate];
    meshes[side] = await startMesh(args, statePath(side));
  };
  await up("a", "b");
  await up("b", "a");
  for (const [side, other] of [
    ["a", "b"],
    ["b", "a"],
  ] as const)
    writeFileSync(join(filesPath(side), "other.yaml"), foreignBooks(NAMES[other], booksAddress(other)));
});
after(async () => {
  await Promise.all(Object.values(meshes).map((mesh) => mesh.stop()));
  rmSync(folder, { recursive: true, force: true });
});

function meshOf(side: Side): TestMesh {
  return meshes[side] ?? assert.fail(`mesh ${side} is not up`);
}

test("two meshes with different roots call each other, both ways, each by the policy that names the other's workload", async () => {
  for (const [side, other] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    const url = `http://books.${NAMES[other]}:8080/ledger`;
    await until(async () => (await meshOf(side).call("shop/till", url)).answer?.status === 200, 30_000);
    const refused = await meshOf(side).call("shop/books", url);
    assert.equal(refused.answer?.status, 403, "the other's policy names the till only");
    const own = await meshOf(side).call("shop/till", "http://books.shop/ledger");
    assert.equal(own.answer?.status, 403, "and its own till is another than the other's");
  }
});

test("bundles are fetched from the other's endpoint, and kept", async () => {
  for (const [side, other] of [
    ["a", "b"],
    ["b", "a"],
  ] as const) {
    const stored = () => readFileSync(join(statePath(side), "federation", `${NAMES[other]}.json`), "utf8");
    // The first bundle was without a number: this one came from the endpoint.
    await until(() => stored().includes('"spiffe_sequence":1'), 30_000);
    const published = readFileSync(join(statePath(other), "trust-bundle.json"), "utf8").trim();
    assert.deepEqual(JSON.parse(stored()).bundle, JSON.parse(published));
  }
});

test("mesh B's CA signs an identity of mesh A: its books do not let it in, although B's roots are known there", async (context) => {
  // The owner of B's root key, which signs whatever its owner likes.
  const copy = join(folder, "stolen");
  cpSync(statePath("b"), copy, { recursive: true, filter: (path) => !path.endsWith(".sock") });
  const forge = await LiveAuthority.of(copy, NAMES.b);
  context.after(() => rmSync(copy, { recursive: true, force: true }));
  const ask = (uri: string) => {
    const { privateKey, certificateChain } = forge.pem([uri]);
    const roots = JSON.parse(readFileSync(join(folder, "a.json"), "utf8")) as { keys: { x5c: string[] }[] };
    const ca = roots.keys.map(({ x5c }) => encodePem("CERTIFICATE", Buffer.from(x5c[0] ?? "", "base64")));
    return new Promise<string>((settle) => {
      const socket = connect({
        host: booksAddress("a"),
        port: 8080,
        key: privateKey,
        cert: certificateChain,
        ca,
        checkServerIdentity: () => undefined,
      });
      let said = "";
      socket.on("data", (chunk) => {
        said += String(chunk);
      });
      socket.on("error", () => {}).on("close", () => settle(said.split("\r\n", 1)[0] ?? ""));
      socket.write("GET /ledger HTTP/1.1\r\nhost: books.shop\r\nconnection: close\r\n\r\n");
    });
  };
  assert.equal(
    await ask("spiffe://b.example/ns/shop/sa/till"),
    "HTTP/1.1 200 OK",
    "the same key for a workload of B",
  );
  assert.equal(await ask("spiffe://b.example/ns/shop/sa/other"), "HTTP/1.1 403 Forbidden");
  for (const name of ["till", "books"])
    assert.equal(await ask(`spiffe://a.example/ns/shop/sa/${name}`), "", name);
});
