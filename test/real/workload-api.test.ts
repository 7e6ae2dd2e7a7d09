/** The Workload API and secret discovery of a running mesh, used by others' programs: py-spiffe, grpcio, and a real Envoy. */
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { cpSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { status } from "@grpc/grpc-js";
import { workloadSocket } from "../../src/control/workload-api/workload-sockets.ts";
import { ApiClient, bytesAt } from "../control/workload-api/api-client.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { program, run } from "./programs.ts";
import { startSdsEnvoy } from "./workload-api/envoy-sds.ts";

const HERE = import.meta.dirname;
const OUTSIDER = `
apiVersion: v1
kind: Pod
metadata: {name: outsider, namespace: finance, labels: {app: outsider}, annotations: {sidecar.istio.io/inject: "false"}}
spec:
  containers: [{name: app, image: registry.example/outsider:1, ports: [{containerPort: 8080}]}]
`;
const GUEST = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: finance}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: guest, namespace: finance}
spec:
  selector: {matchLabels: {app: guest}}
  template:
    metadata: {labels: {app: guest}}
    spec:
      serviceAccountName: guest
      containers: [{name: app, image: registry.example/guest:1, ports: [{containerPort: 8080}]}]
`;

const files = temporaryFolder();
let mesh: LiveMesh;

before(async () => {
  cpSync(resolve(HERE, "../../examples/payroll"), files, { recursive: true });
  writeFileSync(join(files, "outsider.yaml"), OUTSIDER);
  writeFileSync(join(files, "guest.yaml"), GUEST);
  mesh = await LiveMesh.up([files, "--workload-api", "--cert-ttl", "5s"]);
});
after(() => mesh.dispose());

function socketOf(workload: string): string {
  const found = mesh.assignments.pods.find((pod) => pod.workload === workload);
  return workloadSocket(mesh.state, found ?? assert.fail(`no pod of ${workload}`));
}

async function client(...args: readonly string[]) {
  const { code, stdout, stderr } = await run(
    program("python"),
    [join(HERE, "workload-api/client.py"), ...args],
    {
      timeoutMs: 120_000,
    },
  );
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

test("py-spiffe fetches, watches and renews X.509-SVIDs, and fetches and validates JWT-SVIDs", async () => {
  const id = "spiffe://cluster.local/ns/finance/sa/payroll";
  const { watched, jwt, ...found } = await client(socketOf("finance/payroll"), "3");
  assert.deepEqual(found, {
    noMetadata: "INVALID_ARGUMENT",
    wrongMetadata: "INVALID_ARGUMENT",
    metadata: "OK",
    id,
    chain: 2,
    keysDiffer: true,
    x509Bundles: [["cluster.local", 1]],
    jwtBundles: [["cluster.local", 1]],
    source: id,
  });
  assert.deepEqual(watched.failures, []);
  const [serials, keys, ids] = [0, 1, 2].map((at) => new Set(watched.seen.map((row: string[]) => row[at])));
  assert.ok((serials?.size ?? 0) > 3, "three renewals");
  assert.equal(keys?.size, serials?.size, "each has a key of its own");
  assert.deepEqual([...(ids ?? [])], [id]);
  assert.deepEqual([jwt.id, jwt.audience, jwt.valid], [id, ["elsewhere", "there"], id]);
  for (const refusal of [jwt.otherAudience, jwt.altered]) assert.match(refusal, /INVALID_ARGUMENT/);
  assert.notEqual(jwt.noAudience, "OK");
});

test("a pod that no proxy of the mesh stands before is denied, whoever asks there", async () => {
  const found = await client(socketOf("finance/outsider"));
  assert.deepEqual([found.noMetadata, found.metadata], ["INVALID_ARGUMENT", "PERMISSION_DENIED"]);
  assert.match(found.refused, /PERMISSION_DENIED/);
  assert.match(found.refusedJwt, /PERMISSION_DENIED/);
});

test("a workload that is taken out of the mesh loses its stream, and its socket goes", async (context) => {
  const socket = socketOf("finance/guest");
  const api = new ApiClient(socket);
  context.after(() => api.close());
  const stream = api.follow("/SpiffeWorkloadAPI/FetchX509SVID");
  await until(() => stream.messages.length > 0, "the guest has its identity");
  writeFileSync(join(files, "guest.yaml"), "# gone\n");
  assert.equal(await stream.ended, status.PERMISSION_DENIED);
  await until(
    async () => (await api.unary("/SpiffeWorkloadAPI/FetchJWTSVID", Buffer.alloc(0))) === status.UNAVAILABLE,
    "nobody answers there",
  );
});

/** One request to Envoy under the newest certificate of a stream. @returns the server's certificate, and what it said. */
function callEnvoy(
  port: number,
  svid: Buffer | undefined,
  ca: string,
): Promise<{ serial: string; said: string }> {
  const pem = (der: Buffer) => new X509Certificate(der).toString();
  const options =
    svid === undefined
      ? {}
      : {
          cert: chainOf(bytesAt(svid, 1, 2))
            .map(pem)
            .join(""),
          key: createPrivateKey({ key: bytesAt(svid, 1, 3), format: "der", type: "pkcs8" })
            .export({ type: "pkcs8", format: "pem" })
            .toString(),
        };
  return new Promise((settle, reject) => {
    const socket: TLSSocket = connect({
      host: "127.0.0.1",
      port,
      ca,
      ...options,
      // The chain is verified; what it names is a SPIFFE ID, compared below.
      checkServerIdentity: () => undefined,
    });
    let said = "";
    let serial = "";
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerX509Certificate();
      serial = certificate?.serialNumber ?? "";
      if (certificate?.subjectAltName !== "URI:spiffe://cluster.local/ns/finance/sa/payroll")
        reject(new Error(`the server is ${certificate?.subjectAltName}`));
      socket.write("GET / HTTP/1.1\r\nHost: there\r\nConnection: close\r\n\r\n");
    });
    socket.on("data", (chunk) => {
      said += String(chunk);
    });
    socket.once("error", reject).once("close", () => settle({ serial, said }));
  });
}

function chainOf(der: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let rest = der; rest.length > 0; rest = rest.subarray(all.at(-1)?.length))
    all.push(new X509Certificate(rest).raw);
  return all;
}

for (const roots of ["ROOTCA", "ALL"])
  test(`a real Envoy gets its certificate and ${roots} by SDS, and takes renewed ones without a restart`, async (context) => {
    const api = new ApiClient(socketOf("finance/account-auditor"));
    context.after(() => api.close());
    const stream = api.follow("/SpiffeWorkloadAPI/FetchX509SVID");
    await until(() => stream.messages.length > 0, "the caller has its identity");
    const ca = new X509Certificate(bytesAt(stream.messages[0] ?? assert.fail(), 1, 4)).toString();
    const port = await startSdsEnvoy(context, socketOf("finance/payroll"), roots);
    const serials = new Set<string>();
    await until(
      async () => {
        const { serial, said } = await callEnvoy(port, stream.messages.at(-1), ca);
        assert.match(said, /^HTTP\/1.1 200/);
        serials.add(serial);
        return serials.size >= 4;
      },
      "three renewals are seen on the wire",
      60_000,
    );
    const nobody = await callEnvoy(port, undefined, ca).catch(() => ({ said: "" }));
    assert.equal(nobody.said, "", "without a certificate nothing is answered");
    stream.cancel();
  });
