import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type CertificateAuthority, openCa } from "../../src/identity/ca.ts";
import { peerFromCertificateDer } from "../../src/identity/peer-certificate.ts";
import { decodePem } from "../../src/identity/pem.ts";
import {
  type CaMaterial,
  materialOfSecret,
  readMaterialFolder,
  secretOfMaterial,
} from "../../src/identity/plug-in/ca-material.ts";
import { MaterialFollower } from "../../src/identity/plug-in/follow-material.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { AUDITOR, CLUSTER_LOCAL, credentials, temporaryFolder, testCa, trustDomain } from "./mesh-fixture.ts";

const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not on this machine";

/** The CA of another mesh, in Istio's four files. */
async function materialOf(t: TestContext, options: Parameters<typeof testCa>[1] = {}): Promise<CaMaterial> {
  const stateDir = temporaryFolder(t);
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL, ...options });
  await ca.close();
  const folder = join(stateDir, "ca");
  const file = (pattern: RegExp) =>
    readFileSync(
      join(folder, readdirSync(folder).find((name) => pattern.test(name)) ?? assert.fail()),
      "utf8",
    );
  const certificate = file(/^intermediate-.*crt/);
  return {
    place: "test",
    certificate,
    key: file(/^intermediate-.*key/),
    chain: certificate + ca.trustBundlePem,
    roots: ca.trustBundlePem,
  };
}

function plugged(t: TestContext, material: CaMaterial): Promise<CertificateAuthority> {
  return testCa(t, { pluggedIn: { material } });
}

function write(folder: string, { certificate, key, chain, roots }: CaMaterial): void {
  const parts = {
    "ca-cert.pem": certificate,
    "ca-key.pem": key,
    "cert-chain.pem": chain,
    "root-cert.pem": roots,
  };
  for (const [name, text] of Object.entries(parts)) {
    if (text === undefined) rmSync(join(folder, name), { force: true });
    else writeFileSync(join(folder, `${name}.new`), text, { mode: 0o600 });
    if (text !== undefined) renameSync(join(folder, `${name}.new`), join(folder, name));
  }
}

test("a plugged-in CA issues under its own chain: leaf, ca-cert.pem, and no root", async (t) => {
  const material = await materialOf(t);
  const ca = await plugged(t, material);
  const { issued } = await credentials(ca);
  assert.deepEqual(decodePem("CERTIFICATE", issued.chainPem), [
    issued.certificate,
    ...decodePem("CERTIFICATE", material.certificate ?? ""),
  ]);
  assert.equal(issued.trustBundlePem, material.roots);
  const peer = peerFromCertificateDer(issued.certificate);
  assert.equal("spiffeId" in peer && peer.spiffeId, AUDITOR);
});

test("openssl accepts what a CA made as Istio's Makefile makes it issues, RSA and all", {
  skip: opensslMissing,
}, async (t) => {
  const folder = temporaryFolder(t);
  const at = (name: string) => join(folder, name);
  const run = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const subject = ["-subj", "/O=Istio/CN=Root CA"];
  const ca = [
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment,keyCertSign",
  ];
  run(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    at("root.key"),
    "-out",
    at("root-cert.pem"),
    "-days",
    "3650",
    ...subject,
    ...ca,
  );
  run(
    "req",
    "-new",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    at("ca-key.pem"),
    "-out",
    at("ca.csr"),
    "-subj",
    "/O=Istio/CN=Intermediate CA/L=cluster1",
  );
  writeFileSync(
    at("ext"),
    "subjectKeyIdentifier=hash\nbasicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,digitalSignature,nonRepudiation,keyEncipherment,keyCertSign\nsubjectAltName=DNS:istiod.istio-system.svc\n",
  );
  run(
    "x509",
    "-req",
    "-in",
    at("ca.csr"),
    "-CA",
    at("root-cert.pem"),
    "-CAkey",
    at("root.key"),
    "-CAcreateserial",
    "-out",
    at("ca-cert.pem"),
    "-days",
    "730",
    "-extfile",
    at("ext"),
  );
  writeFileSync(
    at("cert-chain.pem"),
    readFileSync(at("ca-cert.pem"), "utf8") + readFileSync(at("root-cert.pem"), "utf8"),
  );
  for (const name of ["ca-cert.pem", "cert-chain.pem", "root-cert.pem"]) chmodSync(at(name), 0o600);
  const { issued } = await credentials(await plugged(t, readMaterialFolder(folder)));
  writeFileSync(at("issued.pem"), issued.chainPem);
  const verify = ["verify", "-CAfile", at("root-cert.pem"), "-untrusted", at("issued.pem"), at("issued.pem")];
  assert.match(execFileSync("openssl", verify, { encoding: "utf8" }), /OK/);
});

test("material that is incomplete or does not fit together is refused with every problem of it", async (t) => {
  const good = await materialOf(t);
  const other = await materialOf(t);
  const foreign = await materialOf(t, { trustDomain: trustDomain("other.example") });
  const old = await materialOf(t, { clock: () => Date.UTC(2000, 0, 1) });
  const leaf = (await credentials(await plugged(t, good))).issued;
  const refusals: ReadonlyArray<readonly [string, Partial<CaMaterial>, readonly RegExp[]]> = [
    ["no key", { key: undefined }, [/^ca-key\.pem: it is missing/]],
    ["no root", { roots: undefined }, [/^root-cert\.pem: it is missing/]],
    [
      "nothing",
      { certificate: undefined, key: undefined, chain: undefined, roots: undefined },
      [/^ca-cert\.pem/, /^root-cert\.pem/, /^ca-key\.pem/],
    ],
    ["another's key", { key: other.key }, [/^ca-key\.pem: the key does not belong/]],
    ["another's root", { roots: other.roots }, [/does not end in the roots/]],
    ["a leaf as the CA", { certificate: leaf.chainPem }, [/^ca-cert\.pem: this certificate cannot sign/]],
    [
      "junk and a missing key",
      { certificate: "junk", key: "junk" },
      [/^ca-cert\.pem: it holds no/, /^ca-key\.pem holds no private key/],
    ],
    ["an intermediate for another trust domain", { ...foreign }, [/may not sign for its name/]],
    [
      "what has ended, of both",
      { ...old },
      [/^ca-cert\.pem: it is not valid now/, /^root-cert\.pem: it is not valid now/],
    ],
  ];
  for (const [what, change, expected] of refusals) {
    await assert.rejects(plugged(t, { ...good, ...change }), (error) => {
      assert.ok(error instanceof BulwarkError, what);
      assert.equal(error.code, "BW_CA_PLUG_IN_REFUSED", what);
      const problems = error.detail.problems as readonly string[];
      assert.equal(problems.length, expected.length, `${what}: ${problems.join("; ")}`);
      for (const [i, pattern] of expected.entries()) assert.match(problems[i] ?? "", pattern, what);
      assert.doesNotMatch(JSON.stringify(error.detail), /PRIVATE KEY/);
      return true;
    });
  }
});

test("new files take effect while running; refused ones leave the last good in force and are told once", async (t) => {
  const folder = join(temporaryFolder(t), "cacerts");
  mkdirSync(folder, { mode: 0o700 });
  const first = await materialOf(t);
  const second = await materialOf(t);
  write(folder, first);
  const ca = await plugged(t, readMaterialFolder(folder));
  const refused: string[] = [];
  let adopted = 0;
  const follower = new MaterialFollower({
    ca,
    read: () => readMaterialFolder(folder),
    trustDomain: CLUSTER_LOCAL,
    inForce: readMaterialFolder(folder),
    everyMs: 3_600_000,
    onAdopted: () => adopted++,
    onRefused: (error) => refused.push(error.message),
  });
  t.after(() => follower.close());
  const issuerOf = async () => {
    await follower.look();
    await credentials(ca);
    return ca.issuerCertificate.toString("hex");
  };
  const inForce = await issuerOf();
  assert.deepEqual([adopted, refused.length], [0, 0]);
  write(folder, { ...first, key: second.key });
  assert.equal(await issuerOf(), inForce, "mismatched");
  assert.equal(await issuerOf(), inForce, "still");
  assert.equal(refused.length, 1, "told once");
  const roots = `${first.roots}${second.roots}`;
  for (const [what, material] of [
    ["another CA", second],
    ["a root that signs before everybody trusts it", { ...second, roots }],
  ] as const) {
    write(folder, material);
    assert.equal(await issuerOf(), inForce, what);
  }
  assert.match(refused[1] ?? "", /its root is not in force yet/);
  assert.equal(refused.length, 3);
  write(folder, { ...first, roots });
  assert.equal(await issuerOf(), inForce);
  assert.equal(ca.trustBundlePem, roots, "both are trusted");
  write(folder, { ...second, roots });
  const after = await issuerOf();
  assert.notEqual(after, inForce, "the new signs");
  write(folder, second);
  assert.equal(await issuerOf(), after);
  assert.equal(ca.trustBundlePem, second.roots, "the old is gone");
  assert.equal(adopted, 3);
  chmodSync(join(folder, "ca-key.pem"), 0o644);
  assert.equal(await issuerOf(), after);
  assert.equal(await issuerOf(), after);
  assert.equal(refused.length, 4, refused.join("\n"));
});

test("a Secret carries the same CA there and back; istio-ca-secret's root may sign by itself", async (t) => {
  const material = await materialOf(t);
  const secret = secretOfMaterial(material, "cacerts", "istio-system");
  assert.deepEqual({ ...materialOfSecret(secret, "test") }, material);
  const stateDir = temporaryFolder(t);
  const own = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  await own.close();
  const folder = join(stateDir, "ca");
  const key = readdirSync(folder).find((name) => /^root-.*key/.test(name)) ?? assert.fail();
  const selfSigned = materialOfSecret(
    {
      kind: "Secret",
      stringData: {
        "ca-cert.pem": own.trustBundlePem,
        "ca-key.pem": readFileSync(join(folder, key), "utf8"),
      },
    },
    "istio-ca-secret",
  );
  const ca = await plugged(t, selfSigned);
  const { issued } = await credentials(ca);
  assert.deepEqual(decodePem("CERTIFICATE", issued.chainPem), [issued.certificate]);
  assert.equal(issued.trustBundlePem, own.trustBundlePem);
  for (const object of [undefined, "x", { kind: "ConfigMap" }])
    assert.throws(() => materialOfSecret(object, "test"), { code: "BW_CA_SECRET" });
});
