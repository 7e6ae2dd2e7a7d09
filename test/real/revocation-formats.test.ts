/** Lists and answers of a running mesh's CA, as the openssl command reads and judges them. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serialOf, stealIdentity } from "../../src/attack/stolen-identity.ts";
import { dialControl } from "../../src/control/control-link.ts";
import type { CaReport } from "../../src/control/revocation/messages.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { decodePem, encodePem } from "../../src/identity/pem.ts";
import { http } from "../../src/resources/node-http.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { LiveMesh } from "./live-mesh.ts";
import { program, run } from "./programs.ts";

const PLACE = "127.86.12.1:18086";
const POD = "finance/account-auditor-0";

let mesh: LiveMesh;
/** Files of certificates, PEM. */
let root: string;
let intermediate: string;
let revoked: string;
let sound: string;

before(async () => {
  mesh = await LiveMesh.up([
    ...["examples/payroll", "--revocation-http", PLACE],
    ...["--crl-url", "published", "--ocsp-url", "published"],
  ]);
  const manifest = JSON.parse(readFileSync(join(mesh.state.caFolder, "ca.json"), "utf8")) as {
    readonly roots: readonly string[];
    readonly intermediate: string;
  };
  root = join(mesh.state.caFolder, `root-${manifest.roots[0]}.crt.pem`);
  intermediate = join(mesh.state.caFolder, `intermediate-${manifest.intermediate}.crt.pem`);
  [revoked, sound] = [await certificate("revoked"), await certificate("sound")];
  const done = await bulwarkCa("revoke", serialIn(revoked), "--reason", "keyCompromise");
  assert.equal(done.code, 0, done.stderr);
});
after(() => mesh?.dispose());

/** A certificate of a pod's, asked for with its token. */
async function certificate(name: string): Promise<string> {
  const token = readFileSync(tokenFile(mesh.state, POD), "utf8").trim();
  const { chainPem } = await stealIdentity(() => dialControl(mesh.state.controlSocket), token, mesh.pod(POD));
  const file = join(mesh.folder, `${name}.pem`);
  const [leaf] = decodePem("CERTIFICATE", chainPem);
  assert.ok(leaf !== undefined);
  writeFileSync(file, encodePem("CERTIFICATE", leaf));
  return file;
}

function serialIn(file: string): string {
  return serialOf(readFileSync(file, "utf8"));
}

function bulwarkCa(...args: readonly string[]) {
  return bulwark(["ca", ...args, "--state", mesh.state.root]);
}

async function openssl(...args: readonly string[]) {
  const { code, stdout, stderr } = await run(program("openssl"), args);
  return { code, text: stdout + stderr };
}

interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

function ask(
  path: string,
  options: {
    readonly method?: string;
    readonly headers?: Record<string, string>;
    readonly body?: Buffer;
  } = {},
): Promise<Got> {
  const { method = "GET", headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const asked = http.request(`http://${PLACE}${path}`, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

/** Each list into a file; with those of the intermediate, the chain verifies against both. */
async function listFile(name: string, ...args: readonly string[]): Promise<string> {
  const file = join(mesh.folder, name);
  const { code, stderr } = await bulwarkCa("crl", "--out", file, ...args);
  assert.equal(code, 0, stderr);
  return file;
}

test("openssl crl reads the list, and finds the issuer's signature on it sound", async () => {
  const { code, text } = await openssl(
    "crl",
    "-in",
    await listFile("full.crl"),
    "-noout",
    "-text",
    "-CAfile",
    intermediate,
  );
  assert.equal(code, 0, text);
  assert.match(text, /verify OK/);
  assert.match(text, /Version 2 \(0x1\)/);
  assert.match(text, /X509v3 CRL Number: \n\s+\d+/);
  assert.match(text, /X509v3 Authority Key Identifier/);
  assert.match(text, new RegExp(`Serial Number: ${serialIn(revoked)}[\\s\\S]*?Key Compromise`));
  assert.ok(!text.includes(serialIn(sound)), "a sound certificate is on no list");
});

test("openssl verify -crl_check refuses the revoked certificate and no other", async () => {
  const list = await listFile("verify.crl");
  const verify = (file: string) =>
    openssl("verify", "-CAfile", root, "-untrusted", intermediate, "-crl_check", "-CRLfile", list, file);
  const good = await verify(sound);
  assert.equal(good.code, 0, good.text);
  const bad = await verify(revoked);
  assert.notEqual(bad.code, 0);
  assert.match(bad.text, /certificate revoked/);
});

test("openssl follows the pointers in certificates to the list and the responder, and believes what it finds", async () => {
  const chain = ["-CAfile", root, "-untrusted", intermediate];
  const verify = (file: string) => openssl("verify", ...chain, "-crl_check", "-crl_download", file);
  const good = await verify(sound);
  assert.equal(good.code, 0, good.text);
  const bad = await verify(revoked);
  assert.notEqual(bad.code, 0);
  assert.match(bad.text, /certificate revoked/);
  const { text: url } = await openssl("x509", "-noout", "-ocsp_uri", "-in", revoked);
  assert.equal(url.trim(), `http://${PLACE}/ocsp`);
  const asked = ["-issuer", intermediate, "-CAfile", root, "-verify_other", intermediate, "-url", url.trim()];
  assert.match((await openssl("ocsp", ...asked, "-cert", revoked)).text, /: revoked/);
  assert.match((await openssl("ocsp", ...asked, "-cert", sound)).text, /: good/);
});

test("openssl takes a delta with its base: what was revoked since is refused", async () => {
  const late = await certificate("late");
  const base = await listFile("base.crl");
  assert.equal((await bulwarkCa("revoke", serialIn(late))).code, 0);
  const delta = await listFile("delta.crl", "--delta");
  const { text } = await openssl("crl", "-in", delta, "-noout", "-text");
  assert.match(text, /X509v3 Delta CRL Indicator: critical/);
  assert.ok(text.includes(serialIn(late)));
  const verify = (...lists: readonly string[]) =>
    openssl(
      ...[
        "verify",
        "-CAfile",
        root,
        "-untrusted",
        intermediate,
        "-extended_crl",
        "-use_deltas",
        "-crl_check",
      ],
      ...lists.flatMap((list) => ["-CRLfile", list]),
      late,
    );
  assert.equal((await verify(base)).code, 0, "the base does not know of it");
  assert.match((await verify(base, delta)).text, /certificate revoked/);
});

test("openssl ocsp gets good, revoked with its reason, and unknown; the delegate and the nonce hold", async () => {
  const query = (...args: readonly string[]) =>
    openssl(
      "ocsp",
      "-issuer",
      intermediate,
      ...args,
      "-url",
      `http://${PLACE}/ocsp`,
      "-CAfile",
      root,
      "-verify_other",
      intermediate,
    );
  const good = await query("-cert", sound);
  assert.match(good.text, /Response verify OK/);
  assert.match(good.text, /: good/);
  assert.doesNotMatch(good.text, /WARNING: no nonce/);
  const bad = await query("-cert", revoked);
  assert.match(bad.text, /: revoked[\s\S]*Reason: keyCompromise[\s\S]*Revocation Time:/);
  assert.match((await query("-serial", "0x1234567890")).text, /: unknown/);
  const both = await query("-sha256", "-cert", sound, "-sha256", "-cert", revoked);
  assert.match(both.text, /: good[\s\S]*: revoked/);
  assert.match((await query("-cert", sound, "-no_nonce")).text, /Response verify OK/);
});

test("the delegate's certificate may sign answers, and nobody need ask whether it is revoked itself", async () => {
  const file = join(mesh.folder, "answer.der");
  const asked = ["-issuer", intermediate, "-cert", sound, "-url", `http://${PLACE}/ocsp`, "-CAfile", root];
  await openssl("ocsp", ...asked, "-respout", file);
  const { text } = await openssl("ocsp", "-respin", file, "-noverify", "-text");
  assert.match(text, /OCSP Signing/);
  assert.match(text, /OCSP No Check/);
  assert.match(text, /Next Update:/);
});

test("a GET as lightweight clients make it is answered with what caches may keep, until its end", async () => {
  const request = join(mesh.folder, "request.der");
  await openssl("ocsp", "-issuer", intermediate, "-cert", sound, "-no_nonce", "-reqout", request);
  const path = `/ocsp/${encodeURIComponent(readFileSync(request).toString("base64"))}`;
  const { status, headers, body } = await ask(path);
  assert.equal(status, 200);
  assert.equal(headers["content-type"], "application/ocsp-response");
  assert.match(String(headers["cache-control"]), /^max-age=\d+, public, no-transform, must-revalidate$/);
  assert.ok(Date.parse(String(headers.expires)) > Date.now());
  const file = join(mesh.folder, "got.der");
  writeFileSync(file, body);
  const judged = await openssl(
    ...["ocsp", "-respin", file, "-issuer", intermediate, "-cert", sound, "-CAfile", root, "-no_nonce"],
  );
  assert.match(judged.text, /: good[\s\S]*Response verify OK/);
  const raw = await ask(path.replaceAll("%2B", "+").replaceAll("%2F", "/").replaceAll("%3D", "="));
  assert.equal(raw.status, 200, "not percent-encoded");
});

test("CRLs are published, and a client that has the newest is told so", async () => {
  const first = await ask("/crl");
  assert.equal(first.status, 200);
  assert.equal(first.headers["content-type"], "application/pkix-crl");
  const again = await ask("/crl", { headers: { "if-none-match": String(first.headers.etag) } });
  assert.deepEqual([again.status, again.body.length], [304, 0]);
  const file = join(mesh.folder, "http.crl");
  writeFileSync(file, first.body);
  assert.match(
    (await openssl("crl", "-inform", "DER", "-in", file, "-noout", "-CAfile", intermediate)).text,
    /verify OK/,
  );
  assert.equal((await ask("/crl/delta")).status, 200);
});

test("what is no request is refused, and the responder stays", async () => {
  const post = { method: "POST", headers: { "content-type": "application/ocsp-request" } };
  const malformed = await ask("/ocsp", { ...post, body: Buffer.from("hello") });
  assert.deepEqual([malformed.status, malformed.body.toString("hex")], [200, "30030a0101"]);
  assert.equal((await ask("/ocsp", { method: "POST", body: Buffer.from("hello") })).status, 415);
  assert.equal((await ask("/ocsp", { ...post, body: Buffer.alloc(20_000) })).status, 413);
  assert.equal((await ask("/ocsp/%%%")).status, 400);
  assert.equal((await ask("/ocsp/not_base64!")).status, 400);
  assert.equal((await ask("/crl/../../etc/passwd")).status, 404);
  assert.equal((await ask("/crl", { method: "DELETE" })).status, 405);
  assert.equal((await ask("/crl")).status, 200);
});

test("status shows the revoked certificate as such, and who has none to show tells of keys that no proxy has", async () => {
  const { stdout } = await bulwarkCa("status", "--format", "json");
  const report = JSON.parse(stdout) as CaReport;
  const of = (file: string) =>
    report.certificates.find(({ serial }) => serial === serialIn(file).toLowerCase());
  assert.deepEqual([of(revoked)?.status, of(revoked)?.revoked?.reason], ["revoked", "keyCompromise"]);
  assert.equal(of(sound)?.status, "valid");
});
