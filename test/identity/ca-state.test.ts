import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { openCa } from "../../src/identity/ca.ts";
import { CLUSTER_LOCAL, credentials, temporaryFolder, trustDomain } from "./mesh-fixture.ts";

async function madeCa(t: TestContext): Promise<{ stateDir: string; folder: string; roots: string }> {
  const stateDir = temporaryFolder(t);
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  await credentials(ca);
  await ca.close();
  return { stateDir, folder: join(stateDir, "ca"), roots: ca.trustBundlePem };
}

async function rootsOf(stateDir: string): Promise<string> {
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  await credentials(ca);
  await ca.close();
  return ca.trustBundlePem;
}

function fileNamed(folder: string, pattern: RegExp): string {
  return readdirSync(folder).find((name) => pattern.test(name)) ?? assert.fail(`no ${pattern}`);
}

test("openCa() keeps its files 0600 in a folder 0700", async (t) => {
  const { folder } = await madeCa(t);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const names = readdirSync(folder);
  assert.equal(names.length, 7);
  for (const name of names) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
});

test("openCa() reloads the roots and the record that it made before", async (t) => {
  const { stateDir, roots } = await madeCa(t);
  assert.equal(await rootsOf(stateDir), roots);
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  let records = 0;
  for await (const _ of ca.store.issued()) records += 1;
  assert.equal(records, 2);
});

test("openCa() refuses a stored CA of another trust domain, and names both", async (t) => {
  const { stateDir } = await madeCa(t);
  await assert.rejects(openCa(stateDir, { trustDomain: trustDomain("other.example") }), {
    code: "BW_CA_TRUST_DOMAIN_CHANGED",
    message: /cluster\.local.*other\.example/,
  });
});

test("openCa() refuses files and folders that others can read, and says how to mend them", async (t) => {
  const { stateDir, folder, roots } = await madeCa(t);
  for (const pattern of [/^root-.*key\.pem$/, /^intermediate-.*key\.pem$/, /^ca\.json$/]) {
    const path = join(folder, fileNamed(folder, pattern));
    for (const mode of [0o640, 0o604, 0o620]) {
      chmodSync(path, mode);
      const message = new RegExp(`mode 0${mode.toString(8)}.*chmod 600`);
      await assert.rejects(rootsOf(stateDir), { code: "BW_KEYSTORE_FILE_MODE", message });
    }
    chmodSync(path, 0o600);
  }
  chmodSync(folder, 0o755);
  await assert.rejects(rootsOf(stateDir), { code: "BW_KEYSTORE_FOLDER_MODE", message: /chmod 700/ });
  chmodSync(folder, 0o700);
  assert.equal(await rootsOf(stateDir), roots);
});

test("openCa() starts afresh from every state that a kill during the first run can leave", async (t) => {
  const { folder } = await madeCa(t);
  const order = [/^root-.*key/, /^root-.*crt/, /^intermediate-.*key/, /^intermediate-.*crt/].map((p) =>
    fileNamed(folder, p),
  );
  for (let whole = 0; whole <= order.length; whole++) {
    const stateDir = temporaryFolder(t);
    const half = join(stateDir, "ca");
    mkdirSync(half, { mode: 0o700 });
    for (const name of order.slice(0, whole)) copyFileSync(join(folder, name), join(half, name));
    const torn = join(half, `.${order[whole] ?? "ca.json"}.0123456789abcdef.tmp`);
    writeFileSync(torn, "-----BEGIN PRIV", { mode: 0o600 });
    utimesSync(torn, 0, 0);
    const roots = await rootsOf(stateDir);
    assert.equal(await rootsOf(stateDir), roots, "the same roots from then on");
    assert.equal(
      readdirSync(half).some((name) => name.endsWith(".tmp")),
      false,
      "left-over keys are removed",
    );
  }
});

test("openCa() refuses damaged state, and never replaces roots that certificates hang on", async (t) => {
  const damages: ReadonlyArray<readonly [RegExp, (path: string, folder: string) => void, string]> = [
    [/^ca\.json$/, (path) => rmSync(path), "BW_CA_STATE_DAMAGED"],
    [/^ca\.json$/, (path) => writeFileSync(path, "{"), "BW_CA_STATE_DAMAGED"],
    [
      /^ca\.json$/,
      (path) => writeFileSync(path, readFileSync(path, "utf8").replace(/"roots": \[\s+"/, "$&../")),
      "BW_CA_STATE_DAMAGED",
    ],
    [/^intermediate-.*key/, (path) => rmSync(path), "BW_CA_STATE_DAMAGED"],
    [/^intermediate-.*key/, (path) => writeFileSync(path, "junk"), "BW_KEYSTORE_BAD_KEY"],
    [
      /^intermediate-.*key/,
      (path, folder) => copyFileSync(join(folder, fileNamed(folder, /^root-.*key/)), path),
      "BW_CA_STATE_DAMAGED",
    ],
    [/^intermediate-.*crt/, (path) => writeFileSync(path, ""), "BW_CA_STATE_DAMAGED"],
    [/^root-.*crt/, (path) => rmSync(path), "BW_CA_STATE_DAMAGED"],
    [
      /^root-.*crt/,
      (path, folder) => copyFileSync(join(folder, fileNamed(folder, /^intermediate-.*crt/)), path),
      "BW_CA_STATE_DAMAGED",
    ],
  ];
  for (const [pattern, damage, code] of damages) {
    const { stateDir, folder } = await madeCa(t);
    damage(join(folder, fileNamed(folder, pattern)), folder);
    await assert.rejects(rootsOf(stateDir), (error: Error & { code: string }) => {
      assert.equal(error.code, code, `${pattern}: ${error.message}`);
      assert.doesNotMatch(error.message, /PRIVATE KEY|junk/);
      return true;
    });
  }
});

test("openCa() works without the root's key while the intermediate is young, and renews it under the same root when due", async (t) => {
  let now = Date.UTC(2026, 7, 1);
  const clock = () => now;
  const stateDir = temporaryFolder(t);
  const first = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL, clock });
  await first.close();
  now += 270 * 86_400_000;
  const young = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL, clock });
  await young.close();
  assert.deepEqual(young.issuerCertificate, first.issuerCertificate);
  now += 10 * 86_400_000;
  const renewed = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL, clock });
  t.after(() => renewed.close());
  assert.notDeepEqual(renewed.issuerCertificate, first.issuerCertificate);
  assert.deepEqual(renewed.trustBundle, first.trustBundle);
  assert.ok(await credentials(renewed, { ttlSeconds: 90 * 86_400 }));
});

test("openCa() in several processes at once ends in one CA", async (t) => {
  const stateDir = temporaryFolder(t);
  const bundles = await Promise.all(Array.from({ length: 4 }, () => rootsOf(stateDir)));
  assert.equal(new Set(bundles).size, 1);
});

const CHILD = `
  import { openCa } from "./src/identity/ca.ts";
  import { encodeCsr } from "./src/identity/csr.ts";
  import { KEY_ALGORITHMS } from "./src/identity/key-algorithm.ts";
  const ca = await openCa(process.argv[1], { trustDomain: "cluster.local" });
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const csr = encodeCsr(privateKey);
  for (;;) {
    const { serial } = await ca.issue({ csr, verifiedIdentity: "spiffe://cluster.local/ns/a/sa/b", ttlSeconds: 0 });
    process.stdout.write(serial + "\\n");
  }
`;

test("kill -9 while making or using a CA loses no certificate that was handed out, and no root", async (t) => {
  const stateDir = temporaryFolder(t);
  const handedOut = new Set<string>();
  let roots: string | undefined;
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", CHILD, stateDir], {
      cwd: resolve(import.meta.dirname, "../.."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    for (const serial of await serialsUntilKilled(child, stateDir, round)) handedOut.add(serial);
    const found = await rootsOf(stateDir);
    roots ??= found;
    assert.equal(found, roots);
  }
  const ca = await openCa(stateDir, { trustDomain: CLUSTER_LOCAL });
  t.after(() => ca.close());
  const recorded = new Set<string>();
  for await (const { serial } of ca.store.issued()) recorded.add(serial);
  assert.ok(handedOut.size > 0);
  assert.deepEqual(
    [...handedOut].filter((serial) => !recorded.has(serial)),
    [],
  );
});

/** The first round kills at the first file that appears, later ones after more and more certificates. */
async function serialsUntilKilled(child: ChildProcess, stateDir: string, round: number): Promise<string[]> {
  let output = "";
  const exited = once(child, "exit");
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
    if (output.length > 33 * 7 * round) child.kill("SIGKILL");
  });
  if (round === 0) {
    const deadline = Date.now() + 10_000;
    while (!hasFiles(join(stateDir, "ca")) && Date.now() < deadline) await new Promise(setImmediate);
    child.kill("SIGKILL");
  }
  await exited;
  return output.split("\n").slice(0, -1);
}

function hasFiles(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch {
    return false;
  }
}
