/** A mesh that is open in every way that attacks look for, in one process: an attack that does not succeed here proves nothing. */
import { generateKeyPairSync } from "node:crypto";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { Credentials, MeshUnderAttack } from "../../src/attack/mesh-under-attack.ts";
import { foreignSigner, specimen } from "../../src/attack/specimen-certificate.ts";
import { spkiOf } from "../../src/identity/key-algorithm.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import { authorityTemplate, serialFrom, validityFrom } from "../../src/identity/template.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { parseTrustDomain } from "../../src/model/spiffe-id.ts";
import type { Assignments, PodAssignment } from "../../src/substrate/assignment.ts";
import { meshOf } from "../dataplane/mesh-fixture.ts";

/** The strict mesh that is promised: two workloads, of which `client` may GET /open/* of `server`. */
export const PROMISED = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
${["client", "server"]
  .map(
    (name) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: shop}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: shop, labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
`,
  )
  .join("---")}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: open, namespace: shop}
spec:
  selector: {matchLabels: {app: server}}
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]
      to: [{operation: {methods: [GET], paths: ["/open/*"]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {selector: {matchLabels: {app: client}}}
`;

export function testSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const trustDomain = parseTrustDomain("cluster.local");
  if (trustDomain === undefined) throw new Error("bad trust domain");
  const template = authorityTemplate({
    trustDomain,
    spki: spkiOf(privateKey),
    validity: validityFrom(Date.now(), 3600),
    serial: serialFrom(Buffer.alloc(16, 1)),
  });
  return signerFrom(signCertificate(template, privateKey), privateKey);
}

export interface FakeMesh extends MeshUnderAttack {
  readonly pods: readonly PodAssignment[];
}

/** @param net second octet of the pods' addresses, so that test files do not share them. */
export function fakeMesh(
  net: number,
  records: readonly FlowRecord[] = [],
  mesh = meshOf(PROMISED),
): FakeMesh {
  const signer = testSigner();
  const pods = mesh.workloads.map(
    (workload, index): PodAssignment => ({
      name: `${workload.name}-0`,
      workload: workload.key,
      replica: 0,
      address: `127.${net}.0.${index + 1}`,
      namespace: workload.namespace,
      uid: `uid-${index}`,
      serviceAccount: workload.serviceAccount,
      spiffeId: workload.spiffeId,
      role: workload.role === "gateway" ? "gateway" : "application",
      proxied: true,
      outboundSecret: `secret-${index}`,
      applicationPorts: [{ port: 8080, host: "127.0.0.1", socketPort: 1, protocol: "http" }],
    }),
  );
  const assignments: Assignments = { pods, standIns: [], skipped: [], privilegedPortOffset: 61_000 };
  const nobody = () => Promise.reject(new Error("this mesh has no control plane"));
  return {
    mesh,
    assignments,
    pods,
    notCaptured: undefined,
    standInCaPem: undefined,
    impostorStage: undefined,
    wire: undefined,
    signal: new AbortController().signal,
    logWaitMs: 0,
    identityOf: async (pod) => specimen(signer, { uris: [pod.spiffeId] }),
    freshIdentityOf: async (pod) => specimen(signer, { uris: [pod.spiffeId] }),
    // Nobody is told.
    revokeCertificate: async () => {},
    tokenOf: () => "a.b.c",
    mintToken: nobody,
    caSigner: () => signer,
    dialControl: nobody,
    records: async () => records,
  };
}

/** TLS of any version, with anybody, and HTTP read by whoever finds a request line in it. */
export async function vulnerableSidecar(
  context: TestContext,
  mesh: FakeMesh,
  tls: TlsOptions = {},
): Promise<void> {
  for (const pod of mesh.pods) {
    const own: Credentials = specimen(foreignSigner(testSigner()), { uris: [pod.spiffeId] });
    const server = createTlsServer(
      {
        key: own.keyPem,
        cert: own.chainPem,
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: "TLSv1",
        ciphers: "ALL:eNULL:aNULL:TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_8_SHA256:@SECLEVEL=0",
        ...tls,
      },
      (socket) => serveCarelessly(socket, pod),
    );
    server.on("tlsClientError", () => {});
    await listen(context, server, 8080, pod.address);
  }
}

/** A gateway that takes everybody's TLS and answers whatever is inside as a host outside would: nobody looks at names. */
export async function blindGateway(context: TestContext, mesh: FakeMesh, port: number): Promise<void> {
  const pod = mesh.pods.find(({ role }) => role === "gateway");
  if (pod === undefined) throw new Error("the mesh has no gateway");
  const own = await mesh.identityOf(pod);
  const options = { key: own.keyPem, cert: own.chainPem, requestCert: true, rejectUnauthorized: false };
  const server = createTlsServer(options, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.write(Buffer.from([22, 3, 3, 0, 4, 2, 0, 0, 0])));
  });
  server.on("tlsClientError", () => {});
  await listen(context, server, port, pod.address);
}

/** Mutual TLS for who wants it, plaintext for everybody else: what PERMISSIVE is, where STRICT is promised. */
export async function permissiveSidecar(context: TestContext, mesh: FakeMesh): Promise<void> {
  for (const pod of mesh.pods) {
    const own = await mesh.identityOf(pod);
    const options = { key: own.keyPem, cert: own.chainPem, requestCert: true, rejectUnauthorized: false };
    const tls = createTlsServer(options, (socket) => serveCarelessly(socket, pod));
    tls.on("tlsClientError", () => {});
    const server = createTcpServer((socket) => {
      socket.once("readable", () => {
        const first = socket.read() as Buffer | null;
        if (first === null) return;
        socket.unshift(first);
        if (first[0] === 0x16) tls.emit("connection", socket);
        else serveCarelessly(socket, pod);
      });
    });
    await listen(context, server, 8080, pod.address);
  }
}

/** Answers every request line in the bytes, wherever it stands, with what it says; no head is too long, none is checked. */
export function serveCarelessly(socket: Socket, pod: PodAssignment): void {
  let text = "";
  let answered = 0;
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    // A head that has not ended has nothing to find; looking all the same would cost the square of its length.
    if (!/\n\r?\n/.test(text.slice(-chunk.length - 3))) return;
    const found = [...text.matchAll(/(?<=^|\n|[0-9a-f])(GET|POST) (\S+)[^\n]*\n((?:[^\r\n]+\r?\n)*)\r?\n/g)];
    for (const [, method, path, lines = ""] of found.slice(answered)) {
      const headers = Object.fromEntries(
        lines.split(/\r?\n/).flatMap((line) => {
          const at = line.indexOf(":");
          return at < 1 ? [] : [[line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()]];
        }),
      );
      const uri = /URI=([^;,"]+)/.exec(headers["x-forwarded-client-cert"] ?? "")?.[1];
      const peer = uri === undefined ? [] : [{ uri }];
      const body = JSON.stringify({
        workload: pod.workload,
        method,
        path,
        host: headers.host,
        headers,
        peer,
      });
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
      if (/close/.test(headers.connection ?? "")) socket.end();
    }
    answered = found.length;
  });
}

export async function listen(
  context: TestContext,
  server: Server,
  port: number,
  host: string,
): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  context.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
}
