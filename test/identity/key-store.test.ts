import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  ensurePrivateFolder,
  readPrivateFile,
  readPrivateKey,
  removeStaleTemporaries,
  writePrivateFile,
  writePrivateKey,
} from "../../src/identity/key-store.ts";
import { temporaryFolder } from "./mesh-fixture.ts";

test("writePrivateFile() replaces the whole content, mode 0600, and leaves nothing else behind", (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, "a.pem");
  writePrivateFile(path, "a longer first content");
  writePrivateFile(path, "second");
  assert.equal(readFileSync(path, "utf8"), "second");
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder), ["a.pem"]);
});

test("writePrivateFile() is 0600 whatever the umask", (t) => {
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const path = join(temporaryFolder(t), "a.pem");
  writePrivateFile(path, "x");
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test("writePrivateFile() with `exclusive` keeps what is there", (t) => {
  const path = join(temporaryFolder(t), "a.pem");
  assert.equal(writePrivateFile(path, "first", { exclusive: true }), true);
  assert.equal(writePrivateFile(path, "second", { exclusive: true }), false);
  assert.equal(readFileSync(path, "utf8"), "first");
});

test("writePrivateFile() keeps the old content and cleans up when it cannot write the new", (t) => {
  const folder = temporaryFolder(t);
  mkdirSync(join(folder, "taken"));
  writeFileSync(join(folder, "taken", "child"), "");
  assert.throws(() => writePrivateFile(join(folder, "taken"), "x"), { code: "BW_KEYSTORE_IO" });
  assert.deepEqual(readdirSync(folder), ["taken"]);
  assert.throws(() => writePrivateFile(join(folder, "missing", "a"), "x"), {
    code: "BW_KEYSTORE_IO",
    message: /ENOENT/,
  });
});

test("writePrivateFile() puts its file in the place of a symbolic link, not through it", (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, "elsewhere"), "untouched");
  symlinkSync(join(folder, "elsewhere"), join(folder, "a.pem"));
  writePrivateFile(join(folder, "a.pem"), "secret");
  assert.equal(readFileSync(join(folder, "elsewhere"), "utf8"), "untouched");
});

test("readPrivateFile() tells an absent file from a refused one", (t) => {
  const path = join(temporaryFolder(t), "a.pem");
  assert.equal(readPrivateFile(path), undefined);
  writeFileSync(path, "x", { mode: 0o600 });
  assert.equal(readPrivateFile(path), "x");
  chmodSync(path, 0o644);
  assert.throws(() => readPrivateFile(path), { code: "BW_KEYSTORE_FILE_MODE", message: /chmod 600/ });
  chmodSync(path, 0o600);
  writeFileSync(path, Buffer.alloc((1 << 20) + 1));
  assert.throws(() => readPrivateFile(path), { code: "BW_KEYSTORE_IO" });
});

test("readPrivateKey() reads back what writePrivateKey() wrote, and quotes nothing of what is no key", (t) => {
  const path = join(temporaryFolder(t), "a.pem");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  writePrivateKey(path, privateKey);
  assert.equal(readPrivateKey(path)?.equals(privateKey), true);
  writePrivateFile(path, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
  assert.throws(
    () => readPrivateKey(path),
    (error: Error) => {
      assert.doesNotMatch(`${error.message}${String(error.cause)}`, /c2VjcmV0|secret/);
      return "code" in error && error.code === "BW_KEYSTORE_BAD_KEY";
    },
  );
});

test("ensurePrivateFolder() makes a folder 0700 and refuses an open one", (t) => {
  const folder = join(temporaryFolder(t), "deep", "er");
  ensurePrivateFolder(folder);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  ensurePrivateFolder(folder);
  for (const mode of [0o770, 0o705, 0o711]) {
    chmodSync(folder, mode);
    assert.throws(() => ensurePrivateFolder(folder), {
      code: "BW_KEYSTORE_FOLDER_MODE",
      message: /chmod 700/,
    });
  }
});

test("removeStaleTemporaries() leaves files alone that another process may be writing now", (t) => {
  const folder = temporaryFolder(t);
  const fresh = join(folder, ".a.pem.0011223344556677.tmp");
  writeFileSync(fresh, "");
  removeStaleTemporaries(folder);
  assert.equal(existsSync(fresh), true);
});
