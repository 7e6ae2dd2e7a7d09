/** `bulwark ca enroll` before a real kube-apiserver: asked, approved, signed by openssl as a cluster's signer, and a mesh that runs on it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { BULWARK } from "../cli/run-bulwark.ts";
import { KubeApi, REVIEWER } from "./ca-grpc/kube-api.ts";
import { LiveMesh, temporaryFolder, until } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

const KUBE_PORTS = { api: 21_643, etcd: 21_679, etcdPeers: 21_680 };
const REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const SIGNER = "issuers.example/mesh";
const files = temporaryFolder();
const at = (name: string) => join(files, name);
let kube: KubeApi;

before(async () => {
  mkdirSync(at("kube"));
  kube = await KubeApi.start(at("kube"), KUBE_PORTS);
  // Who asks may ask and look, and neither approve nor sign.
  await kube.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "ca-requester" },
    rules: [
      {
        apiGroups: ["certificates.k8s.io"],
        resources: ["certificatesigningrequests"],
        verbs: ["create", "get"],
      },
    ],
  });
  await kube.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "ca-requester" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "ca-requester" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: REVIEWER_USER }],
  });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const subject = ["-subj", "/CN=Cluster Root", "-addext", "keyUsage=critical,keyCertSign"];
  await openssl("req", "-x509", ...key, "-keyout", at("root.key"), "-out", at("root.pem"), ...subject);
});
after(async () => {
  await kube?.stop();
  rmSync(files, { recursive: true, force: true });
});

/** The name behind REVIEWER's token. */
const REVIEWER_USER = "reviewer";

async function openssl(...args: readonly string[]): Promise<void> {
  const { code, stderr } = await run(program("openssl"), args);
  assert.equal(code, 0, stderr);
}

interface SigningRequest {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly request: string; readonly signerName: string; readonly username: string };
  status: Record<string, unknown>;
}

/** Starts the command; settles with the request that it put before the cluster, and with its own end. */
async function enroll(folder: string, ...more: readonly string[]) {
  const child = spawn(
    BULWARK,
    [
      ...["ca", "enroll", kube.url, "--kubernetes-signer", SIGNER, "--roots", at("root.pem")],
      ...["--server-ca", kube.caFile, "--credentials", `file:${kube.reviewerTokenFile}`, "--out", folder],
      ...more,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => {
      said += String(chunk);
    });
  const ended = new Promise<number | null>((settle) => child.once("close", settle));
  await until(() => /approve \S+\n/.test(said) || child.exitCode !== null, "the request was made", 60_000);
  const [, name = ""] = /approve (\S+)\n/.exec(said) ?? assert.fail(said);
  const asked = (await kube.call("GET", `${REQUESTS}/${name}`)) as unknown as SigningRequest;
  return { asked, ended, said: () => said };
}

async function decide(asked: SigningRequest, type: "Approved" | "Denied"): Promise<SigningRequest> {
  const condition = { type, status: "True", reason: "Test", message: "by the test" };
  const decided = { ...asked, status: { conditions: [condition] } };
  return (await kube.call(
    "PUT",
    `${REQUESTS}/${asked.metadata.name}/approval`,
    decided,
  )) as unknown as SigningRequest;
}

/** What the cluster's signer does with an approved request. */
async function sign(asked: SigningRequest): Promise<void> {
  writeFileSync(at("csr.pem"), Buffer.from(asked.spec.request, "base64"));
  writeFileSync(
    at("ca.ext"),
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n",
  );
  const signer = ["-CA", at("root.pem"), "-CAkey", at("root.key"), "-CAcreateserial", "-days", "10"];
  await openssl("req", "-in", at("csr.pem"), "-verify", "-noout");
  await openssl(
    ...["x509", "-req", "-in", at("csr.pem"), "-out", at("issued.pem"), "-extfile", at("ca.ext")],
    ...signer,
  );
  const certificate = readFileSync(at("issued.pem")).toString("base64");
  await kube.call("PUT", `${REQUESTS}/${asked.metadata.name}/status`, {
    ...asked,
    status: { ...asked.status, certificate },
  });
}

test("a kube-apiserver's signer signs an intermediate, and a mesh runs on it", async () => {
  const folder = at("cacerts");
  const { asked, ended, said } = await enroll(folder);
  assert.deepEqual([asked.spec.signerName, asked.spec.username], [SIGNER, REVIEWER_USER]);
  await sign(await decide(asked, "Approved"));
  assert.equal(await ended, 0, said());
  const mesh = await LiveMesh.up([
    resolve(import.meta.dirname, "../../examples/payroll"),
    "--ca-certs",
    folder,
  ]);
  try {
    const [issuer] = (await mesh.status()).pods.map(({ identity }) => identity);
    assert.match(String(issuer), /^spiffe:\/\/cluster\.local\/ns\//);
    assert.equal(readFileSync(join(folder, "root-cert.pem"), "utf8"), readFileSync(at("root.pem"), "utf8"));
  } finally {
    await mesh.dispose();
  }
});

test("what a kube-apiserver's approver denies ends the command with 1, and nothing is written", async () => {
  const folder = at("denied");
  const { asked, ended, said } = await enroll(folder);
  await decide(asked, "Denied");
  assert.equal(await ended, 1, said());
  assert.match(said(), /the request was denied/);
  assert.throws(() => readFileSync(join(folder, "ca-key.pem")), { code: "ENOENT" });
  assert.ok(!said().includes(REVIEWER));
});
