/** Istio's certificate service of a running mesh, called by grpcio; its tokens reviewed by a real kube-apiserver. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { tokenFile } from "../../src/control/token-file.ts";
import { offlineTokenCheck } from "../../src/identity/authentication/kubernetes-token.ts";
import { TokenReviewer } from "../../src/identity/authentication/token-review.ts";
import { wishfulCsr } from "../control/ca-grpc/wishful-csr.ts";
import { type GrpcioAnswer, type GrpcioAsk, grpcio } from "./ca-grpc/grpcio-client.ts";
import { KubeApi, REVIEWER } from "./ca-grpc/kube-api.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

const PORT = 21_512;
const KUBE_PORTS = { api: 21_543, etcd: 21_579, etcdPeers: 21_580 };
const AUDITOR = "spiffe://cluster.local/ns/finance/sa/account-auditor";
const files = temporaryFolder();
let kube: KubeApi;
let mesh: LiveMesh;

before(async () => {
  const kubeFolder = join(files, "kube");
  mkdirSync(kubeFolder);
  kube = await KubeApi.start(kubeFolder, KUBE_PORTS);
  await populate();
  const access = join(files, "access.yaml");
  writeFileSync(access, JSON.stringify(accessConfiguration()));
  mesh = await LiveMesh.up([resolve(import.meta.dirname, "../../examples/payroll"), "--ca-access", access]);
});
after(async () => {
  await mesh?.dispose();
  await kube?.stop();
  rmSync(files, { recursive: true, force: true });
});

function accessConfiguration() {
  return {
    listen: `127.0.0.1:${PORT}`,
    clusters: [
      {
        issuer: kube.issuer,
        tokenReview: {
          server: kube.url,
          caFile: kube.caFile,
          tokenFile: kube.reviewerTokenFile,
          timeoutSeconds: 30,
          cacheSeconds: 0,
        },
      },
    ],
  };
}

/** A namespace with two accounts and a pod, and the right to ask for reviews. */
async function populate(): Promise<void> {
  const core = "/api/v1/namespaces";
  await kube.call("POST", core, { apiVersion: "v1", kind: "Namespace", metadata: { name: "finance" } });
  for (const name of ["account-auditor", "payroll"])
    await kube.call("POST", `${core}/finance/serviceaccounts`, {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name },
    });
  await kube.call("POST", `${core}/finance/pods`, podOf("auditor-0"));
  await kube.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "reviewer" },
    subjects: [{ kind: "User", name: "reviewer", apiGroup: "rbac.authorization.k8s.io" }],
    roleRef: { kind: "ClusterRole", name: "system:auth-delegator", apiGroup: "rbac.authorization.k8s.io" },
  });
}

function podOf(name: string) {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: {
      serviceAccountName: "account-auditor",
      automountServiceAccountToken: false,
      containers: [{ name: "app", image: "registry.example/app:1" }],
    },
  };
}

const boundTo = (pod: string) => ({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name: pod } });

async function ask(change: Partial<GrpcioAsk>): Promise<GrpcioAnswer> {
  const [answer] = await grpcio({
    target: `127.0.0.1:${PORT}`,
    ca: roots(),
    csr: await wishfulCsr({}),
    ...change,
  });
  return answer ?? assert.fail("grpcio said nothing");
}

function roots(): string {
  const manifest = JSON.parse(readFileSync(join(mesh.state.root, "ca", "ca.json"), "utf8")) as {
    roots: string[];
  };
  return manifest.roots
    .map((keyId) => readFileSync(join(mesh.state.root, "ca", `root-${keyId}.crt.pem`), "utf8"))
    .join("");
}

/** The identity that an answer certifies, once openssl has verified the chain from the root that came with it. */
async function certified({ code, details, chain }: GrpcioAnswer): Promise<string> {
  assert.equal(code, "OK", details);
  const [leaf = "", ...above] = chain;
  const root = above.pop() ?? "";
  assert.ok(roots().includes(root.trim()));
  const path = (name: string, text: string) => {
    writeFileSync(join(files, name), text);
    return join(files, name);
  };
  const args = ["-CAfile", path("root.pem", root), "-untrusted", path("above.pem", above.join(""))];
  const verified = await run(program("openssl"), [
    "verify",
    "-x509_strict",
    "-purpose",
    "sslclient",
    ...args,
    path("leaf.pem", leaf),
  ]);
  assert.equal(verified.code, 0, verified.stderr);
  return new X509Certificate(leaf).subjectAltName?.replace(/^URI:/, "") ?? "";
}

/** A refusal of the CA reaches the flow log. */
async function refusalOnRecord(reason: string): Promise<void> {
  const isThere = async () =>
    (await mesh.run("flows", "--reason", reason, "--format", "json")).stdout.includes(reason);
  await until(isThere, `a flow record of ${reason}`, 30_000);
}

test("grpcio gets a certificate for a token of the mesh's own issuer, and renews it over mutual TLS", async () => {
  const token = readFileSync(tokenFile(mesh.state, "finance/account-auditor-0"), "utf8").trim();
  const first = await ask({ token, ttl: 3600 });
  assert.equal(await certified(first), AUDITOR);
  const { privateKeyPem, csr } = await keyed();
  const own = await ask({ token, csr });
  assert.equal(await certified(own), AUDITOR);
  const renewed = await ask({ cert: own.chain.slice(0, -1).join(""), key: privateKeyPem });
  assert.equal(await certified(renewed), AUDITOR);
});

test("grpcio is refused as istiod refuses: who it is not, what it may not ask for, what is wrong with its request", async () => {
  const token = readFileSync(tokenFile(mesh.state, "finance/account-auditor-0"), "utf8").trim();
  const refused = async (change: Partial<GrpcioAsk>) => {
    const { code, details } = await ask(change);
    return [code, details.replace(/: .*/, "")];
  };
  const failure = ["UNAUTHENTICATED", "request authenticate failure"];
  assert.deepEqual(await refused({}), failure);
  assert.deepEqual(await refused({ token: `${token.slice(0, -8)}AAAAAAAA` }), failure);
  assert.deepEqual(await refused({ token, impersonate: AUDITOR.replace("account-auditor", "payroll") }), [
    "UNAUTHENTICATED",
    "request impersonation authentication failure",
  ]);
  assert.deepEqual(await refused({ token, csr: "nonsense" }), [
    "INVALID_ARGUMENT",
    "CSR signing error (BW_CA_CSR_MALFORMED",
  ]);
  const payroll = await wishfulCsr({ uris: [AUDITOR.replace("account-auditor", "payroll")] });
  assert.deepEqual(await refused({ token, csr: payroll }), [
    "INVALID_ARGUMENT",
    "CSR signing error (BW_CA_CSR_IDENTITY",
  ]);
  await refusalOnRecord("BW_CA_CSR_IDENTITY");
});

test("a kube-apiserver's token is taken by its review: the account's identity, while its pod lives", async () => {
  const token = await kube.token("account-auditor", { audiences: ["istio-ca"], ...boundTo("auditor-0") });
  assert.equal(await certified(await ask({ token })), AUDITOR);
  assert.equal(await certified(await ask({ token })), AUDITOR);
  await kube.call("DELETE", "/api/v1/namespaces/finance/pods/auditor-0?gracePeriodSeconds=0");
  // The API server itself remembers for ten seconds that a token was good.
  const isRefused = async () => (await ask({ token })).code === "UNAUTHENTICATED";
  await until(isRefused, "the token of the pod that is gone is refused", 120_000);
  await refusalOnRecord("BW_TOKEN_REVIEW_REFUSED");
});

test("a kube-apiserver's token is refused for another audience, without a pod, and when forged", async () => {
  await kube.call("POST", "/api/v1/namespaces/finance/pods", podOf("auditor-1"));
  const refused = async (token: string, reason: string) => {
    assert.equal((await ask({ token })).code, "UNAUTHENTICATED");
    await refusalOnRecord(reason);
  };
  await refused(await kube.token("account-auditor", boundTo("auditor-1")), "BW_TOKEN_AUDIENCE");
  await refused(await kube.token("account-auditor", { audiences: ["istio-ca"] }), "BW_TOKEN_CLAIMS");
  const good = await kube.token("account-auditor", { audiences: ["istio-ca"], ...boundTo("auditor-1") });
  const parts = good.split(".");
  const claims = JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString()) as Record<string, unknown>;
  parts[1] = Buffer.from(
    JSON.stringify({ ...claims, sub: "system:serviceaccount:finance:payroll" }),
  ).toString("base64url");
  await refused(parts.join("."), "BW_TOKEN_REVIEW_REFUSED");
});

test("a kube-apiserver's token says the same offline, by the published keys, as by review: pod, node, name, dates", async () => {
  await kube.call("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node-1" } });
  const pod = podOf("auditor-2");
  const made = await kube.call("POST", "/api/v1/namespaces/finance/pods", {
    ...pod,
    spec: { ...pod.spec, nodeName: "node-1" },
  });
  const jwt = await kube.token("account-auditor", { audiences: ["istio-ca"], ...boundTo("auditor-2") });
  const keys = createLocalJWKSet((await kube.call("GET", "/openid/v1/jwks")) as unknown as JSONWebKeySet);
  const trust = { keys, issuer: kube.issuer, clock: Date.now };
  const offline = await offlineTokenCheck(trust)(jwt);
  assert.equal(offline.pod.uid, (made.metadata as { uid: string }).uid);
  assert.equal(offline.node, "node-1");
  const reviewer = new TokenReviewer({
    server: new URL(kube.url),
    caPem: () => readFileSync(kube.caFile, "utf8"),
    ownToken: () => REVIEWER,
    issuer: kube.issuer,
    timeoutMs: 60_000,
  });
  try {
    assert.deepEqual(await reviewer.check(jwt), offline);
  } finally {
    reviewer.close();
  }
  await assert.rejects(offlineTokenCheck(trust, "another")(jwt), { code: "BW_TOKEN_AUDIENCE" });
});

test("a token is refused while the API server does not answer, and taken again when it does not have to be asked", async () => {
  const token = await kube.token("account-auditor", { audiences: ["istio-ca"], ...boundTo("auditor-1") });
  assert.equal(await certified(await ask({ token })), AUDITOR);
  await kube.stop();
  assert.equal((await ask({ token })).code, "UNAUTHENTICATED");
  await refusalOnRecord("BW_TOKEN_REVIEW_UNAVAILABLE");
  const own = readFileSync(tokenFile(mesh.state, "finance/account-auditor-0"), "utf8").trim();
  assert.equal(await certified(await ask({ token: own })), AUDITOR);
});

async function keyed(): Promise<{ privateKeyPem: string; csr: string }> {
  const key = join(files, "client.key");
  const args = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/"];
  const made = await run(program("openssl"), ["req", "-new", ...args, "-keyout", key]);
  assert.equal(made.code, 0, made.stderr);
  return { privateKeyPem: readFileSync(key, "utf8"), csr: made.stdout };
}
