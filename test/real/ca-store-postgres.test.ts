/** The CA's records in a real PostgreSQL: the suite of every store, and what only a server can do to it. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { PostgresCaStore } from "../../src/identity/store/postgres-ca-store.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { bulwark } from "../cli/run-bulwark.ts";
import { AUDITOR, PAYROLL } from "../identity/mesh-fixture.ts";
import { allIssued, issuedRecord, NOW, testCaStore } from "../identity/store/ca-store-conformance.ts";
import { killRounds } from "../identity/store/kill-rounds.ts";
import { LiveMesh, until } from "./live-mesh.ts";
import { PASSWORD, PostgresServer } from "./postgres-server.ts";
import { program, run } from "./programs.ts";

const HOW = { reason: "keyCompromise", by: "test", atMs: NOW } as const;

let server: PostgresServer;
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server.dispose());

function freshSchema(): string {
  return `schema=s${++schemas}`;
}

async function openStore(t: TestContext, address: string): Promise<PostgresCaStore> {
  const store = await PostgresCaStore.open(address);
  t.after(() => store.close());
  return store;
}

testCaStore("PostgreSQL", async () => {
  const address = server.address(freshSchema());
  return { open: () => PostgresCaStore.open(address) };
});

test("over the server's Unix socket it is the same store; meshes share a database by schemas of their own", async (t) => {
  const [schema, other] = [freshSchema(), freshSchema()];
  const tcp = await openStore(t, server.address(schema));
  const unix = await openStore(
    t,
    server.address(`${schema}&host=${encodeURIComponent(server.socketFolder)}`),
  );
  const stranger = await openStore(t, server.address(other));
  await unix.recordIssued(issuedRecord());
  assert.equal((await allIssued(tcp)).length, 1);
  assert.equal((await allIssued(stranger)).length, 0);
});

for (const schema of ["full", "user", "select"])
  test(`a schema may have a reserved word of SQL for its name: ${schema}`, async (t) => {
    const address = server.address(`schema=${schema}`);
    const store = await openStore(t, address);
    await store.recordIssued(issuedRecord());
    await store.revoke({ spiffeId: PAYROLL }, HOW);
    const again = await openStore(t, address);
    assert.equal((await again.cutoffs()).length, 1);
    assert.equal((await allIssued(again)).length, 1);
  });

test("tables of an earlier version are taken on with all that they hold, once, by several replicas at once", async (t) => {
  const address = server.address(freshSchema());
  const store = await openStore(t, address);
  const record = issuedRecord();
  await store.recordIssued(record);
  await store.revoke({ spiffeId: PAYROLL }, HOW);
  await server.sql(`SET search_path TO s${schemas}; DROP TABLE revoked_keys; DROP INDEX issued_by_key, revocations_of_authorities;
    ALTER TABLE revocations DROP COLUMN subject_key_id; ALTER TABLE cutoffs DROP COLUMN blocked_at_ms, DROP COLUMN blocked_by;
    UPDATE schema_version SET version = 1`);
  const [one, other] = await Promise.all([openStore(t, address), openStore(t, address)]);
  assert.deepEqual(await allIssued(one), [record]);
  assert.deepEqual(await one.cutoffs(), [{ spiffeId: PAYROLL, beforeMs: NOW }]);
  await one.revoke({ spiffeId: AUDITOR }, { ...HOW, block: true });
  assert.ok((await other.cutoffOf(AUDITOR))?.block);
  await server.sql(`UPDATE s${schemas}.schema_version SET version = 99`);
  await assert.rejects(PostgresCaStore.open(address), { code: "BW_CA_STORE_DAMAGED", message: /version 99/ });
});

test("several replicas that begin at once on an empty database make one set of tables", async (t) => {
  const address = server.address(freshSchema());
  const replicas = await Promise.all(Array.from({ length: 5 }, () => openStore(t, address)));
  await Promise.all(replicas.map((store) => store.recordIssued(issuedRecord())));
  assert.equal((await allIssued(replicas[0] ?? assert.fail())).length, 5);
});

test("kill -9 of a replica loses nothing that was acknowledged", async () => {
  const address = server.address(freshSchema());
  await killRounds({ address, open: () => PostgresCaStore.open(address) });
});

test("kill -9 of the whole server loses nothing that was acknowledged; the same store goes on when it is back, and its watchers learn what they missed", async (t) => {
  const address = server.address(freshSchema());
  const [store, other] = [await openStore(t, address), await openStore(t, address)];
  const stop = new AbortController();
  t.after(() => stop.abort());
  let news = Promise.withResolvers<void>();
  other.watchRevocations(() => news.resolve(), stop.signal);
  await news.promise;
  const acknowledged = new Set<string>();
  const failures: unknown[] = [];
  const issue = async (): Promise<void> => {
    const record = issuedRecord();
    await store.recordIssued(record).then(
      () => acknowledged.add(record.serial),
      (error: unknown) => failures.push(error),
    );
  };
  for (let i = 0; i < 20; i++) await issue();
  const burst = Promise.all(Array.from({ length: 200 }, issue));
  await server.kill();
  await burst;
  await issue();
  assert.ok(failures.length > 0);
  for (const error of failures) assert.equal(codeOf(error), "BW_CA_STORE_UNAVAILABLE");
  await server.up();
  const recorded = new Set((await untilAnswered(() => allIssued(store))).map(({ serial }) => serial));
  assert.deepEqual(
    [...acknowledged].filter((serial) => !recorded.has(serial)),
    [],
  );
  news = Promise.withResolvers();
  await store.revoke({ spiffeId: AUDITOR }, HOW);
  await news.promise;
  assert.ok((await other.revocationsSince(0)).length >= acknowledged.size);
});

/** Connections that the server took with it may each fail once. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (error) {
      if (codeOf(error) !== "BW_CA_STORE_UNAVAILABLE" || attempt > 10) throw error;
    }
  }
}

test("a watcher whose listening connection is cut learns of revocations by polling, and listens anew", async (t) => {
  const address = server.address(freshSchema());
  const [store, other] = [await openStore(t, address), await openStore(t, address)];
  const stop = new AbortController();
  t.after(() => stop.abort());
  let news = Promise.withResolvers<void>();
  store.watchRevocations(() => news.resolve(), stop.signal);
  await news.promise;
  const listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
  await untilTrue(async () => Number(await server.sql(listening)) > 0);
  await server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'");
  news = Promise.withResolvers();
  await other.revoke({ spiffeId: PAYROLL }, HOW);
  await news.promise;
  await untilTrue(async () => Number(await server.sql(listening)) > 0);
});

const WAIT_MS = 60_000;

async function untilTrue(ask: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + WAIT_MS;
  while (!(await ask())) {
    assert.ok(performance.now() < untilMs, `not true after ${WAIT_MS} ms: ${ask}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("no call waits for ever: a lock that is held, and a server that does not answer, are told", async (t) => {
  const schema = freshSchema();
  const store = await openStore(t, server.address(schema));
  const name = schema.slice("schema=".length);
  const held = server.sql(`BEGIN; LOCK TABLE ${name}.cutoffs; SELECT pg_sleep(6)`);
  await untilTrue(
    async () =>
      (await server.sql(
        `SELECT count(*) FROM pg_locks WHERE relation = '${name}.cutoffs'::regclass AND mode = 'AccessExclusiveLock'`,
      )) === "1",
  );
  await assert.rejects(store.recordIssued(issuedRecord()), {
    code: "BW_CA_STORE_BUSY",
    message: /try again/,
  });
  await held;
  await store.recordIssued(issuedRecord());
  const silent = createServer(() => {}).listen(0, "127.0.0.1");
  t.after(() => silent.close());
  await new Promise((resolve) => silent.once("listening", resolve));
  const address = silent.address();
  const port = typeof address === "object" ? address?.port : undefined;
  await assert.rejects(
    PostgresCaStore.open(`postgres://u:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/d`),
    {
      code: "BW_CA_STORE_UNAVAILABLE",
    },
  );
});

test("what cannot be opened is refused by its cause, and no message or name holds the password", async () => {
  const wrong = "wr0ng-passw0rd";
  const cases: readonly (readonly [string, string])[] = [
    [server.address("", { password: wrong }), "BW_CA_STORE_REFUSED"],
    [server.address("", { database: "absent" }), "BW_CA_STORE_REFUSED"],
    [server.address("").replace(`:${server.port}/`, ":1/"), "BW_CA_STORE_UNAVAILABLE"],
    [server.address("sslmode=verify-full"), "BW_CA_STORE_UNAVAILABLE"],
    [server.address("", { host: "name.invalid" }), "BW_CA_STORE_UNAVAILABLE"],
  ];
  for (const [address, code] of cases) {
    await assert.rejects(PostgresCaStore.open(address), (error: unknown) => {
      assert.equal(codeOf(error), code, String(error));
      const told = JSON.stringify([String(error), error, error instanceof BulwarkError ? error.detail : ""]);
      for (const secret of [wrong, PASSWORD, encodeURIComponent(PASSWORD)])
        assert.ok(!told.includes(secret), told);
      return true;
    });
  }
});

test("a database that takes no changes, and a server that may lose what it acknowledged, are refused", async (t) => {
  const address = server.address(freshSchema());
  await (await PostgresCaStore.open(address)).close();
  await server.sql(`ALTER ROLE bulwark_test SET default_transaction_read_only = on`);
  t.after(() => server.sql("BEGIN READ WRITE; ALTER ROLE bulwark_test RESET ALL; COMMIT"));
  const store = await openStore(t, address);
  await assert.rejects(store.recordIssued(issuedRecord()), {
    code: "BW_CA_STORE_READ_ONLY",
    message: /primary/,
  });
  await assert.rejects(PostgresCaStore.open(server.address(freshSchema())), {
    code: "BW_CA_STORE_READ_ONLY",
  });
  await server.sql("BEGIN READ WRITE; ALTER ROLE bulwark_test RESET ALL; COMMIT");
  await server.sql("ALTER ROLE bulwark_test SET synchronous_commit = off");
  await assert.rejects(PostgresCaStore.open(address), {
    code: "BW_CA_STORE_REFUSED",
    message: /synchronous_commit off/,
  });
});

test("TLS: the server is believed only with a certificate of the named authority and, in full, of its own name", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "pg-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const mine = await PostgresServer.start();
  t.after(() => mine.dispose());
  const [key, cert] = [join(mine.folder, "server.key"), join(mine.folder, "server.crt")];
  const made = await run(program("openssl"), [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost",
    "-keyout",
    key,
    "-out",
    cert,
  ]);
  assert.equal(made.code, 0, made.stderr);
  mine.own(key);
  mine.own(cert);
  await mine.kill();
  mine.configure(`ssl = on\nssl_key_file = '${key}'\nssl_cert_file = '${cert}'`);
  await mine.up();
  const root = encodeURIComponent(cert);
  const full = await openStore(
    t,
    mine.address(`sslmode=verify-full&sslrootcert=${root}`, { host: "localhost" }),
  );
  await full.recordIssued(issuedRecord());
  assert.equal(
    await mine.sql(
      "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'bulwark-ca'",
    ),
    "t",
  );
  await openStore(t, mine.address(`sslmode=verify-ca&sslrootcert=${root}`));
  await assert.rejects(PostgresCaStore.open(mine.address(`sslmode=verify-full&sslrootcert=${root}`)), {
    code: "BW_CA_STORE_UNAVAILABLE",
    message: /127\.0\.0\.1/,
  });
  await assert.rejects(PostgresCaStore.open(mine.address("sslmode=verify-full", { host: "localhost" })), {
    code: "BW_CA_STORE_UNAVAILABLE",
    message: /self-signed/,
  });
  const junk = join(folder, "junk.pem");
  writeFileSync(junk, "no certificate");
  await assert.rejects(
    PostgresCaStore.open(
      mine.address(`sslmode=verify-full&sslrootcert=${encodeURIComponent(junk)}`, { host: "localhost" }),
    ),
  );
});

test("a mesh whose CA keeps its records there: issued, and revoked by another replica; its password is in no argument, file or log", async (t) => {
  const address = server.address(freshSchema());
  const mesh = await LiveMesh.up(["../shared/scenarios/payroll", "--store", address]);
  t.after(() => mesh.dispose());
  assert.equal(existsSync(join(mesh.state.caFolder, "records.sqlite")), false);
  const other = await openStore(t, address);
  const records = await allIssued(other);
  const proxied = mesh.assignments.pods.filter((pod) => pod.proxied);
  assert.deepEqual(
    new Set(records.map(({ spiffeId }) => spiffeId)),
    new Set(proxied.map(({ spiffeId }) => spiffeId)),
  );
  const called = await mesh.call("finance/account-auditor", "http://payroll.finance/accounts/7");
  assert.equal(called.answer.status, 200);
  const spiffeId =
    records.find(({ spiffeId: id }) => id.endsWith("/sa/account-auditor"))?.spiffeId ?? assert.fail();
  await other.revoke({ spiffeId }, { ...HOW, atMs: Date.now() });
  await until(async () => {
    const { answer } = await mesh.call("finance/account-auditor", "http://payroll.finance/accounts/7");
    return answer.status !== 200;
  }, "the revoked identity is refused");
  const secrets = [PASSWORD, encodeURIComponent(PASSWORD)];
  for (const { pid } of mesh.children) {
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    assert.ok(!secrets.some((secret) => line.includes(secret)), line);
  }
  const found = await run(program("grep"), [
    "-rlaF",
    ...secrets.flatMap((secret) => ["-e", secret]),
    mesh.state.root,
  ]);
  assert.equal(found.stdout, "", "the password lies in a file");
  assert.equal(await mesh.interrupt(), 0);
});

test("`up` with a store that it cannot use ends with its cause, and without the password", async () => {
  const wrong = "wr0ng-passw0rd";
  const result = await bulwark([
    "up",
    "../shared/scenarios/payroll",
    "--store",
    server.address("", { password: wrong }),
  ]);
  assert.equal(result.code, 1);
  assert.match(result.stderr, /refuses the user/);
  assert.ok(!`${result.stdout}${result.stderr}`.includes(wrong));
});

function codeOf(error: unknown): string {
  return error instanceof BulwarkError ? error.code : `no BulwarkError: ${error}`;
}
