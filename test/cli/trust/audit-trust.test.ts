/** `bulwark audit` as users call it, where it is told whom to trust. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import type { Finding } from "../../../src/analysis/audit/finding.ts";
import { bulwark, type Finished } from "../run-bulwark.ts";
import { DIGEST, downloaded, newKeys, OTHER_DIGEST, pemOf, simpleSigning } from "./sign-image.ts";

const SHIPPED = resolve(import.meta.dirname, "../../../data/advisories.json");

const scratch = mkdtempSync(join(tmpdir(), "bulwark-audit-trust-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const IMAGE = `registry.example.com/shop/cart:2.4.1@${DIGEST}`;
const MESH = `
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop}
spec: {containers: [{name: cart, image: "${IMAGE}"}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {nodeInfo: {kubeletVersion: v1.34.9}}
`;

let files = 0;

function file(text: string, name: string): string {
  const folder = join(scratch, String(++files));
  mkdirSync(folder);
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

const mesh = file(MESH, "mesh.yaml");
/** No advisories of whoever runs the tests. */
const DATA = { XDG_DATA_HOME: join(scratch, "data") };

function audit(args: readonly string[], data = DATA): Promise<Finished> {
  return bulwark(["audit", ...args], data);
}

async function rulesFound(...args: string[]): Promise<readonly string[]> {
  const { stdout, stderr } = await audit([mesh, "--format", "json", "--as-of", "2026-08-10", ...args]);
  assert.ok(stdout.startsWith("{"), stderr);
  const { findings } = JSON.parse(stdout) as { findings: readonly Finding[] };
  return findings.map(({ rule }) => rule).filter((rule) => rule.startsWith("BW070"));
}

test("--trusted-registry: images from elsewhere are found, and those from it not", async () => {
  assert.deepEqual(await rulesFound(), []);
  assert.deepEqual(await rulesFound("--trusted-registry", "registry.example.com/shop"), []);
  assert.deepEqual(await rulesFound("--trusted-registry", "registry.example.com/sh"), ["BW0704"]);
});

test("--signatures: one that holds is silent, a tampered one is found, and so is its lack", async () => {
  const signer = newKeys();
  const key = file(pemOf(signer), "cosign.pub");
  const payload = simpleSigning(DIGEST);
  const good = downloaded({ signer, payload });
  const tampered = { ...downloaded({ signer, payload: simpleSigning(OTHER_DIGEST) }), Payload: good.Payload };
  const by = (stored: object) => [
    "--signature-key",
    key,
    "--signatures",
    file(JSON.stringify(stored), "s.json"),
  ];
  assert.deepEqual(await rulesFound(...by(good)), []);
  assert.deepEqual(await rulesFound(...by(tampered)), ["BW0705"]);
  assert.deepEqual(await rulesFound(...by(downloaded({ signer, payload: simpleSigning(OTHER_DIGEST) }))), [
    "BW0706",
  ]);
});

test("a report shows that images are signed by signatures that hold, and by no others", async () => {
  const signer = newKeys();
  const key = file(pemOf(signer), "cosign.pub");
  const good = downloaded({ signer, payload: simpleSigning(DIGEST) });
  const tampered = downloaded({ signer: newKeys(), payload: simpleSigning(DIGEST) });
  const claim = async (...options: string[]): Promise<unknown> => {
    const { stdout, stderr } = await audit([mesh, "--framework", "cra", "--format", "json", ...options]);
    assert.ok(stdout.startsWith("{"), stderr);
    const { controls } = JSON.parse(stdout) as {
      controls: { claims: { id: string; status: string }[] }[];
    };
    return controls.flatMap(({ claims }) => claims).find(({ id }) => id === "images-signed")?.status;
  };
  const by = (stored: object) => [
    "--signature-key",
    key,
    "--signatures",
    file(JSON.stringify(stored), "s.json"),
  ];
  assert.equal(await claim(), "not shown");
  assert.equal(await claim(...by(good)), "shown");
  assert.equal(await claim(...by(tampered)), "refuted");
});

test("what is given to judge signatures by has to make sense", async () => {
  const key = file(pemOf(newKeys()), "cosign.pub");
  for (const [args, message] of [
    [["--signature-key", key], /say where the signatures are/],
    [["--signatures", scratch], /need somebody to believe/],
    [["--signatures", "/nowhere", "--signature-key", key], /signatures cannot be read/],
    [["--trusted-registry", "https://gcr.io"], /is no registry/],
  ] as const) {
    const { code, stderr } = await audit([mesh, ...args]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, message);
  }
});

test("a file among the signatures that holds none is named", async () => {
  const { stderr } = await audit([
    mesh,
    "--signatures",
    file("{", "broken.json"),
    "--signature-key",
    file(pemOf(newKeys()), "cosign.pub"),
  ]);
  assert.match(stderr, /broken\.json holds no signature/);
});

test("--update stores newer advisories, and each report says by which it was made and when they are stale", async () => {
  const data = { XDG_DATA_HOME: join(scratch, "updated") };
  const shipped = JSON.parse(readFileSync(SHIPPED, "utf8"));
  const sources = shipped.sources.map((source: object) => ({ ...source, asOf: "2026-09-01" }));
  const newer = file(JSON.stringify({ ...shipped, date: "2026-09-01", sources }), "newer.json");
  const before = await audit([mesh, "--as-of", "2026-09-02"], data);
  assert.match(before.stdout, new RegExp(`advisories of ${shipped.date} \\(\\d+ days old\\)`));
  const update = await audit(["--update", newer], data);
  assert.equal(update.code, 0, update.stderr);
  assert.match(
    update.stdout,
    /advisories of 2026-09-01 stored in .*SHA-256 [0-9a-f]{64}\. Nothing signs them/,
  );
  const json = JSON.parse((await audit([mesh, "--format", "json", "--as-of", "2026-09-02"], data)).stdout);
  assert.deepEqual(json.advisories, { date: "2026-09-01", ageDays: 1, isStale: false });
  const late = await audit([mesh, "--as-of", "2027-06-01"], data);
  assert.match(late.stdout, /BW0712/);
  assert.match(late.stdout, /273 days old: STALE/);
  assert.match(late.stderr, /^warning: versions are judged by advisories of 2026-09-01, 273 days old/m);
  assert.equal(before.stderr, "");
  const sarif = JSON.parse((await audit([mesh, "--format", "sarif", "--as-of", "2027-06-01"], data)).stdout);
  assert.equal(sarif.runs[0].properties.advisories.isStale, true);
  const markdown = await audit([mesh, "--format", "markdown", "--as-of", "2027-06-01"], data);
  assert.match(markdown.stdout, /STALE/);
  const again = await audit(["--update", SHIPPED], data);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /older than the present 2026-09-01/);
  assert.equal((await audit(["--update", SHIPPED, "--force"], data)).code, 0);
});

test("--update audits nothing, and an audit without a mesh is refused", async () => {
  const both = await audit([mesh, "--update", SHIPPED]);
  assert.equal(both.code, 3);
  assert.match(both.stderr, /audits nothing/);
  const neither = await audit([]);
  assert.equal(neither.code, 3);
  assert.match(neither.stderr, /name the folders or files/);
});
