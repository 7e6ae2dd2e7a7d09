import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { enrollCa } from "../../src/control/est/enroll-ca.ts";
import { EstClient } from "../../src/control/est/est-client.ts";
import { openCa } from "../../src/identity/ca.ts";
import { readMaterialFolder } from "../../src/identity/plug-in/ca-material.ts";
import { certificatesOfPkcs7 } from "../../src/identity/plug-in/certs-only.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder } from "../identity/mesh-fixture.ts";

const opensslMissing =
  spawnSync("openssl", ["version"]).status === 0 ? false : "openssl is not on this machine";
const CREDENTIALS = "mesh:a secret";

interface OutsideCa {
  readonly url: string;
  readonly rootPem: string;
  readonly requests: string[];
}

/** An EST server whose CA is openssl: it reads our request, signs, and writes the PKCS#7. */
async function outsideCa(t: TestContext, extensions: string): Promise<OutsideCa> {
  const folder = temporaryFolder(t);
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: folder, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl(
    "req",
    "-x509",
    ...key,
    "-keyout",
    at("root.key"),
    "-out",
    at("root.pem"),
    "-days",
    "30",
    "-subj",
    "/CN=Outside Root",
    "-addext",
    "keyUsage=critical,keyCertSign",
  );
  openssl("req", ...key, "-keyout", at("tls.key"), "-out", at("tls.csr"), "-subj", "/CN=est");
  writeFileSync(at("tls.ext"), "subjectAltName=DNS:localhost\n");
  const sign = ["-CA", at("root.pem"), "-CAkey", at("root.key"), "-CAcreateserial", "-days", "10"];
  openssl("x509", "-req", "-in", at("tls.csr"), "-out", at("tls.pem"), "-extfile", at("tls.ext"), ...sign);
  writeFileSync(at("ca.ext"), extensions);
  const pkcs7 = (file: string) => openssl("crl2pkcs7", "-nocrl", "-certfile", at(file), "-outform", "DER");
  const requests: string[] = [];
  const server = createServer(
    { key: readFileSync(at("tls.key")), cert: readFileSync(at("tls.pem")) },
    async (request, response) => {
      let body = "";
      for await (const part of request) body += String(part);
      requests.push(`${request.method} ${request.url}`);
      if (request.url === "/.well-known/est/cacerts")
        return void response.end(pkcs7("root.pem").toString("base64"));
      const authorization = `Basic ${Buffer.from(CREDENTIALS).toString("base64")}`;
      if (request.url !== "/.well-known/est/simpleenroll" || request.headers.authorization !== authorization)
        return void response.writeHead(401).end("no");
      writeFileSync(at("csr.der"), Buffer.from(body, "base64"));
      openssl("req", "-inform", "DER", "-in", at("csr.der"), "-verify", "-out", at("csr.pem"));
      openssl(
        "x509",
        "-req",
        "-in",
        at("csr.pem"),
        "-out",
        at("issued.pem"),
        "-extfile",
        at("ca.ext"),
        ...sign,
      );
      requests.push(openssl("req", "-in", at("csr.pem"), "-noout", "-text").toString());
      response.setHeader("content-type", "application/pkcs7-mime; smime-type=certs-only");
      response.end(pkcs7("issued.pem").toString("base64"));
    },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `https://localhost:${port}`, rootPem: readFileSync(at("root.pem"), "utf8"), requests };
}

const FIT =
  "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

test("enrollCa() has an outside CA sign an intermediate over EST, and a mesh's CA issues under it", {
  skip: opensslMissing,
}, async (t) => {
  const outside = await outsideCa(t, FIT);
  const folder = join(temporaryFolder(t), "cacerts");
  const client = new EstClient({
    url: outside.url,
    serverRootsPem: outside.rootPem,
    credentials: CREDENTIALS,
  });
  await enrollCa({ client, trustDomain: CLUSTER_LOCAL, folder });
  assert.deepEqual(outside.requests.slice(0, 2), [
    "GET /.well-known/est/cacerts",
    "POST /.well-known/est/simpleenroll",
  ]);
  const asked = outside.requests[2] ?? "";
  for (const pattern of [
    /CA:TRUE, pathlen:0/,
    /Certificate Sign, CRL Sign/,
    /URI:spiffe:\/\/cluster\.local/,
    /O = Bulwark/,
  ])
    assert.match(asked, pattern);
  assert.equal(statSync(join(folder, "ca-key.pem")).mode & 0o777, 0o600);
  const ca = await openCa(temporaryFolder(t), {
    trustDomain: CLUSTER_LOCAL,
    pluggedIn: { material: readMaterialFolder(folder) },
  });
  t.after(() => ca.close());
  const { issued } = await credentials(ca);
  assert.equal(issued.trustBundlePem, outside.rootPem);
});

test("enrollCa() writes nothing when the outside CA gives a leaf, refuses the credentials, or is another server", {
  skip: opensslMissing,
}, async (t) => {
  const folder = join(temporaryFolder(t), "cacerts");
  const leafGiver = await outsideCa(t, "basicConstraints=critical,CA:FALSE\n");
  const enroll = (server: ConstructorParameters<typeof EstClient>[0]) =>
    enrollCa({ client: new EstClient(server), trustDomain: CLUSTER_LOCAL, folder });
  const known = { url: leafGiver.url, serverRootsPem: leafGiver.rootPem };
  await assert.rejects(enroll({ ...known, credentials: CREDENTIALS }), { code: "BW_CA_PLUG_IN_REFUSED" });
  await assert.rejects(enroll({ ...known, credentials: "mesh:wrong" }), {
    code: "BW_EST_SERVER",
    message: /401/,
  });
  await assert.rejects(enroll({ url: leafGiver.url, credentials: CREDENTIALS }), { code: "BW_EST_SERVER" });
  await assert.rejects(enroll({ ...known, url: `${leafGiver.url}/.well-known/est/none` }), {
    code: "BW_EST_SERVER",
  });
  assert.equal(statSync(folder, { throwIfNoEntry: false }), undefined);
  for (const url of ["http://localhost", "localhost", "https://user:password@localhost"])
    assert.throws(() => new EstClient({ url }), { code: "BW_EST_URL" });
});

test("certificatesOfPkcs7() refuses what is no list of certificates", () => {
  for (const hex of ["", "00", "3003020100", "300b06092a864886f70d010702", "ff".repeat(64)])
    assert.throws(() => certificatesOfPkcs7(Buffer.from(hex, "hex")), { code: "BW_EST_ANSWER" });
});
