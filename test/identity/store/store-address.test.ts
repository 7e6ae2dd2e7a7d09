import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { openCaStore } from "../../../src/identity/store/open-ca-store.ts";
import { parsePostgresAddress } from "../../../src/identity/store/store-address.ts";
import { SEED, temporaryFolder } from "../mesh-fixture.ts";

test("parsePostgresAddress() takes an address apart, and its name has no password", () => {
  const address = parsePostgresAddress("postgres://ca:s%40cret@db.example:6432/mesh?schema=prod");
  const { tls, ...rest } = address;
  assert.deepEqual(rest, {
    name: "postgres://ca@db.example:6432/mesh?schema=prod",
    host: "db.example",
    port: 6432,
    database: "mesh",
    schema: "prod",
    user: "ca",
    password: "s@cret",
  });
  assert.equal(tls !== false && tls.rejectUnauthorized, true);
  assert.deepEqual(parsePostgresAddress("postgresql:///mesh?host=/run/postgresql"), {
    name: "postgres:///run/postgresql:5432/mesh?schema=bulwark",
    host: "/run/postgresql",
    port: 5432,
    database: "mesh",
    schema: "bulwark",
    tls: false,
  });
});

test("parsePostgresAddress() leaves TLS out only on this machine, or where it is told to", () => {
  for (const [host, plain] of [
    ["localhost", true],
    ["127.0.0.1", true],
    ["127.9.9.9", true],
    ["[::1]", true],
    ["10.0.0.1", false],
    ["localhost.example", false],
    ["127.0.0.1.example", false],
  ] as const) {
    assert.equal(parsePostgresAddress(`postgres://u@${host}/d`).tls === false, plain, host);
    assert.notEqual(parsePostgresAddress(`postgres://u@${host}/d?sslmode=verify-full`).tls, false, host);
    assert.equal(parsePostgresAddress(`postgres://u@${host}/d?sslmode=disable`).tls, false, host);
  }
});

test("parsePostgresAddress() checks the server's name unless it is told verify-ca, and reads the files that it is given", (t) => {
  const file = join(temporaryFolder(t), "ca.pem");
  writeFileSync(file, "PEM");
  const full = parsePostgresAddress(`postgres://u@db/d?sslrootcert=${file}`).tls;
  const authority = parsePostgresAddress(`postgres://u@db/d?sslmode=verify-ca&sslrootcert=${file}`).tls;
  assert.ok(full !== false && authority !== false);
  assert.equal(full.ca, "PEM");
  assert.equal(full.checkServerIdentity, undefined);
  assert.notEqual(authority.checkServerIdentity, undefined);
});

test("parsePostgresAddress() refuses what it cannot use, without quoting it", () => {
  const secret = "hunter2";
  for (const address of [
    `postgres://u:${secret}@db`,
    `postgres://u:${secret}@/d`,
    `postgres://u:${secret}@db/d?sslmode=require`,
    `postgres://u:${secret}@db/d?sslmode=prefer`,
    `postgres://u:${secret}@db/d?schema=a;b`,
    `postgres://u:${secret}@db/d?schema=Public`,
    `postgres://u:${secret}@db/d?password=${secret}`,
    `postgres://u:${secret}@db/d?sslrootcert=/absent/${secret}`,
    `postgres://u:${secret}%zz@db/d`,
    `postgres://u:${secret}@db:99999/d`,
    `mysql://u:${secret}@db/d`,
    `${secret}`,
  ])
    assert.throws(
      () => parsePostgresAddress(address),
      ({ code, message }: Error & { code: string }) => {
        assert.equal(code, "BW_CA_STORE_ADDRESS", address);
        assert.ok(!message.includes(secret), message);
        return true;
      },
      address,
    );
});

test("parsePostgresAddress() gives back every user, password and database that was encoded, and names all but the password", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(text, text, text, (user, password, database) => {
      const [u, p, d] = [user, password, database].map(encodeURIComponent);
      const address = parsePostgresAddress(`postgres://${u}:${p}@db/${d === "." || d === ".." ? "x" : d}`);
      assert.equal(address.user, user);
      assert.equal(address.password, password);
    }),
    { seed: SEED, numRuns: 100 },
  );
});

test("openCaStore() takes what has a scheme for an address, and refuses schemes that it does not know", async () => {
  await assert.rejects(openCaStore("mysql://u:hunter2@db/d"), (error: Error & { code: string }) => {
    assert.equal(error.code, "BW_CA_STORE_ADDRESS");
    assert.ok(!error.message.includes("hunter2"));
    return true;
  });
});
