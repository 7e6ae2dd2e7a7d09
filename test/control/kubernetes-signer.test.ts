import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ServingCertificate } from "../../src/control/ca-grpc/serving-certificate.ts";
import { enrollCa } from "../../src/control/est/enroll-ca.ts";
import { KubernetesSigner } from "../../src/control/kubernetes-csr/kubernetes-signer.ts";
import { openCa } from "../../src/identity/ca.ts";
import { verifyCsr } from "../../src/identity/csr.ts";
import { KEY_ALGORITHMS, spkiOf } from "../../src/identity/key-algorithm.ts";
import { decodePem, encodePem } from "../../src/identity/pem.ts";
import { readMaterialFolder } from "../../src/identity/plug-in/ca-material.ts";
import { type Signer, signCertificate, signerFrom } from "../../src/identity/sign.ts";
import { authorityTemplate, serialFrom, validityFrom } from "../../src/identity/template.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder, testCa } from "../identity/mesh-fixture.ts";

const REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const TOKEN = "a secret token";

/** What the cluster's signer, or whoever approves, does with the request at the nth look: the object's status. */
type Deed = (csrPem: string, looks: number) => Readonly<Record<string, unknown>> | string;

interface Cluster {
  readonly url: string;
  readonly serverRootsPem: string;
  readonly rootsPem: string;
  readonly created: Record<string, unknown>[];
  readonly looks: () => number;
}

async function outsideRoot(): Promise<Signer> {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const validity = validityFrom(Date.now(), 86_400);
  const serial = serialFrom(randomBytes(16));
  const template = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: spkiOf(privateKey),
    validity,
    serial,
  });
  return signerFrom(signCertificate(template, privateKey), privateKey);
}

/** The status that a signer which signs CAs leaves: base64 of PEM. */
function signedBy(root: Signer, csrPem: string): Readonly<Record<string, unknown>> {
  const [csr] = decodePem("CERTIFICATE REQUEST", csrPem);
  const template = authorityTemplate({
    trustDomain: CLUSTER_LOCAL,
    spki: verifyCsr(csr ?? assert.fail()).spki,
    validity: validityFrom(Date.now(), 3600, root),
    serial: serialFrom(randomBytes(16)),
    issuer: root,
  });
  const pem = encodePem("CERTIFICATE", signCertificate(template, root.privateKey));
  return {
    conditions: [{ type: "Approved", status: "True" }],
    certificate: Buffer.from(pem).toString("base64"),
  };
}

/** As much of an API server as this API is. */
async function cluster(t: TestContext, deed: Deed, root?: Signer): Promise<Cluster> {
  const ca = await testCa(t);
  const serving = await ServingCertificate.open({
    ca,
    dnsNames: ["localhost"],
    onRenewed: () => {},
    onProblem: assert.ifError,
  });
  t.after(() => serving.close());
  const { certificateChainPem: cert, keyPem: key } = serving.identity;
  const created: Record<string, unknown>[] = [];
  let looks = 0;
  const server = createServer({ cert, key }, async (request, response) => {
    let body = "";
    for await (const part of request) body += String(part);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return void response.writeHead(401).end("{}");
    if (request.method === "POST" && request.url === REQUESTS) {
      created.push(JSON.parse(body) as Record<string, unknown>);
      return void response.writeHead(201).end(JSON.stringify({ metadata: { name: "bulwark-ca-x7k2p" } }));
    }
    if (request.url !== `${REQUESTS}/bulwark-ca-x7k2p`) return void response.writeHead(404).end("{}");
    const spec = created[0]?.spec as { readonly request: string };
    const status = deed(Buffer.from(spec.request, "base64").toString(), looks++);
    response.end(typeof status === "string" ? status : JSON.stringify({ status }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const rootsPem = encodePem("CERTIFICATE", (root ?? (await outsideRoot())).certificate);
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  return { url, serverRootsPem: ca.trustBundlePem, rootsPem, created, looks: () => looks };
}

function signerAt(
  { url, serverRootsPem, rootsPem }: Cluster,
  change: Partial<ConstructorParameters<typeof KubernetesSigner>[0]> = {},
): KubernetesSigner {
  return new KubernetesSigner({
    url,
    serverRootsPem,
    rootsPem,
    bearerToken: TOKEN,
    signerName: "issuers.example/mesh",
    timeoutMs: 60_000,
    onWaiting: () => {},
    ...change,
  });
}

test("enrollCa() has a signer of Kubernetes' API sign an intermediate once somebody approved, and a mesh's CA issues under it", async (t) => {
  const root = await outsideRoot();
  const api = await cluster(t, (csrPem, looks) => (looks === 0 ? {} : signedBy(root, csrPem)), root);
  const waited: string[] = [];
  const folder = join(temporaryFolder(t), "cacerts");
  const client = signerAt(api, { onWaiting: (name) => waited.push(name) });
  await enrollCa({ client, trustDomain: CLUSTER_LOCAL, folder });
  assert.deepEqual([waited, api.looks()], [["bulwark-ca-x7k2p"], 2]);
  const { request, ...spec } = (api.created[0] as { spec: Record<string, unknown> }).spec;
  assert.deepEqual(spec, { signerName: "issuers.example/mesh", usages: ["cert sign", "crl sign"] });
  assert.equal(typeof request, "string");
  const ca = await openCa(temporaryFolder(t), {
    trustDomain: CLUSTER_LOCAL,
    pluggedIn: { material: readMaterialFolder(folder) },
  });
  t.after(() => ca.close());
  assert.equal((await credentials(ca)).issued.trustBundlePem, api.rootsPem);
});

test("enrollCa() writes nothing when the request is denied, fails, is never decided, or what comes back is of no use", async (t) => {
  const root = await outsideRoot();
  const stranger = await outsideRoot();
  const leaf = (await credentials(await testCa(t))).issued.certificate;
  const certificate = (text: string) => ({ certificate: Buffer.from(text).toString("base64") });
  const cases: readonly (readonly [what: string, deed: Deed, code: string])[] = [
    ["denied", () => ({ conditions: [{ type: "Denied" }] }), "BW_KUBERNETES_CSR_DENIED"],
    [
      "failed",
      () => ({ conditions: [{ type: "Approved" }, { type: "Failed" }] }),
      "BW_KUBERNETES_CSR_DENIED",
    ],
    ["undecided", () => ({}), "BW_KUBERNETES_CSR_TIMEOUT"],
    ["approved and not signed", () => ({ conditions: [{ type: "Approved" }] }), "BW_KUBERNETES_CSR_TIMEOUT"],
    ["no certificate", () => certificate("hello"), "BW_KUBERNETES_CSR_ANSWER"],
    ["no DER", () => certificate(encodePem("CERTIFICATE", randomBytes(90))), "BW_EST_ANSWER"],
    ["another's leaf", () => certificate(encodePem("CERTIFICATE", leaf)), "BW_CA_PLUG_IN_REFUSED"],
    ["by another root", (csrPem) => signedBy(stranger, csrPem), "BW_CA_PLUG_IN_REFUSED"],
    ["no JSON", () => "<html>", "BW_KUBERNETES_CSR_SERVER"],
    ["a list", () => "[]", "BW_KUBERNETES_CSR_TIMEOUT"],
    ["two megabytes", () => `"${"x".repeat(2 << 20)}"`, "BW_KUBERNETES_CSR_SERVER"],
  ];
  for (const [what, deed, code] of cases) {
    const api = await cluster(t, deed, root);
    const folder = join(temporaryFolder(t), "cacerts");
    const client = signerAt(api, { timeoutMs: code.endsWith("TIMEOUT") ? 1 : 60_000 });
    await assert.rejects(enrollCa({ client, trustDomain: CLUSTER_LOCAL, folder }), { code }, what);
    assert.ok(!existsSync(folder), what);
  }
});

test("a token is shown to the API server that is meant and to no other, and told to nobody", async (t) => {
  const api = await cluster(t, () => ({}));
  const wrong = signerAt(api, { bearerToken: "another" });
  await assert.rejects(wrong.enroll(Buffer.alloc(3)), {
    code: "BW_KUBERNETES_CSR_SERVER",
    message: "the API server did not answer as it should: status 401",
  });
  const { serverRootsPem: _, ...stranger } = api;
  const unknown = new KubernetesSigner({
    ...stranger,
    bearerToken: TOKEN,
    signerName: "issuers.example/mesh",
    timeoutMs: 1000,
    onWaiting: () => {},
  });
  await assert.rejects(unknown.enroll(Buffer.alloc(3)), (error: Error) => !error.message.includes(TOKEN));
  assert.equal(api.created.length, 0);
});

test("a signer is named as domain/path, and Kubernetes' own, which sign no CA, are refused, as is what is no API server", () => {
  const options = { rootsPem: "", timeoutMs: 1, onWaiting: () => {} };
  for (const [url, signerName] of [
    ["https://10.0.0.1:6443", "mesh"],
    ["https://10.0.0.1:6443", "kubernetes.io/kube-apiserver-client"],
    ["https://10.0.0.1:6443", ""],
    ["http://10.0.0.1:6443", "issuers.example/mesh"],
    ["https://me@10.0.0.1:6443", "issuers.example/mesh"],
    ["10.0.0.1", "issuers.example/mesh"],
  ] as const)
    assert.throws(() => new KubernetesSigner({ ...options, url, signerName }), { code: "BW_CLI_INPUT" });
});
