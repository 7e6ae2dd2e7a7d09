import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { JwksKeeper, type JwksStatus } from "../../../src/control/jwks/jwks-keeper.ts";
import { type KeyDocument, readKeyDocument } from "../../../src/control/jwks/key-document.ts";
import { ProxyKeys } from "../../../src/control/jwks/proxy-keys.ts";
import type { KeySource } from "../../../src/policy/jwt/key-source.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { until } from "../until.ts";
import { issuerKey, jwksOf } from "./key-server.ts";

const folder = mkdtempSync(join(tmpdir(), "jwks-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const SOURCE: KeySource = { id: "a", kind: "jwks", url: "https://a/keys?code=secret", timeoutMs: 1000 };
const first = readKeyDocument(jwksOf(issuerKey("k1")));
const second = readKeyDocument(jwksOf(issuerKey("k2")));

interface Fixture {
  readonly keeper: JwksKeeper;
  readonly changed: string[];
  readonly health: JwksStatus[];
  readonly fetched: () => number;
  /** What the issuer answers from now on. */
  issuer: KeyDocument | Error;
}

let files = 0;
function fixture(refreshMs: number, file = join(folder, `keys-${files++}.json`)): Fixture {
  let count = 0;
  const made: Fixture = {
    changed: [],
    health: [],
    fetched: () => count,
    issuer: first,
    keeper: new JwksKeeper({
      file,
      refreshMs,
      fetch: async () => {
        count += 1;
        await Promise.resolve();
        if (made.issuer instanceof Error) throw made.issuer;
        return made.issuer;
      },
      onChanged: (id) => made.changed.push(id),
      onHealth: (status) => made.health.push(status),
    }),
  };
  return made;
}

const DOWN = new BulwarkError("BW_JWKS_FETCH_FAILED", "ECONNREFUSED");

test("keys are fetched at once, once, and again after the interval; only other keys are told of", async () => {
  const made = fixture(50);
  made.keeper.setSources([SOURCE, SOURCE]);
  await until(() => made.fetched() >= 3);
  assert.deepEqual(made.changed, ["a"]);
  made.issuer = second;
  await until(() => made.changed.length === 2);
  assert.equal(made.keeper.documentOf("a"), second.text);
  made.keeper.close();
});

test("the last good keys stay while their issuer fails, and the status says why and since when", async () => {
  const made = fixture(50);
  made.keeper.setSources([SOURCE]);
  await until(() => made.changed.length === 1);
  made.issuer = DOWN;
  await until(() => made.fetched() >= 4);
  assert.equal(made.keeper.documentOf("a"), first.text);
  const [status] = made.keeper.report();
  assert.equal(status?.error, "ECONNREFUSED");
  assert.deepEqual(status?.keyIds, ["k1"]);
  assert.equal(status?.url, "https://a/keys", "what may be a secret is not shown");
  assert.equal(made.health.filter(({ error }) => error !== null).length, 1, "an outage is told once");
  made.issuer = first;
  await until(() => made.keeper.report()[0]?.error === null);
  assert.equal(made.health.length, 3);
  made.keeper.close();
});

test("an issuer that fails from the start is asked again with growing pauses, at most as far apart as refreshing", async () => {
  const made = fixture(20 * 60_000);
  made.issuer = DOWN;
  made.keeper.setSources([SOURCE]);
  await until(() => made.fetched() === 2, 5000);
  assert.equal(made.keeper.documentOf("a"), null);
  assert.equal(made.keeper.report()[0]?.fetchedAt, null);
  made.issuer = first;
  await until(() => made.keeper.documentOf("a") !== null, 5000);
  assert.equal(made.fetched(), 3);
  made.keeper.close();
});

test("a thousand unknown key names cause one fetch, and it is the one that all wait for", async () => {
  const made = fixture(60_000);
  made.keeper.setSources([SOURCE]);
  await until(() => made.changed.length === 1);
  await Promise.all(Array.from({ length: 1000 }, () => made.keeper.refetch("a")));
  assert.equal(made.fetched(), 1, "it was fetched a moment ago");
  await made.keeper.refetch("unknown");
  made.keeper.close();

  const rotated = fixture(40);
  rotated.keeper.setSources([SOURCE]);
  await until(() => rotated.fetched() === 1);
  rotated.issuer = second;
  const before = rotated.fetched();
  await until(async () => {
    await Promise.all(Array.from({ length: 100 }, () => rotated.keeper.refetch("a")));
    return rotated.keeper.documentOf("a") === second.text;
  });
  assert.ok(rotated.fetched() <= before + 3);
  rotated.keeper.close();
});

test("last good keys outlive a restart, and a damaged file counts as none", async () => {
  const file = join(folder, "restart.json");
  const made = fixture(60_000, file);
  made.keeper.setSources([SOURCE]);
  await until(() => made.changed.length === 1);
  made.keeper.close();
  const again = fixture(60_000, file);
  again.issuer = DOWN;
  again.keeper.setSources([SOURCE]);
  assert.equal(again.keeper.documentOf("a"), first.text);
  again.keeper.close();
  for (const damage of ["", "[]", "null", '{"a":null}', '{"a":{"text":"{}"}}', '{"a":{"text":7}}']) {
    writeFileSync(file, damage);
    const damaged = fixture(60_000, file);
    damaged.issuer = DOWN;
    damaged.keeper.setSources([SOURCE]);
    assert.equal(damaged.keeper.documentOf("a"), null, damage);
    damaged.keeper.close();
  }
});

test("a source that is gone is forgotten, also while it is being fetched", async () => {
  const made = fixture(60_000);
  made.keeper.setSources([SOURCE]);
  made.keeper.setSources([]);
  await new Promise((settled) => setImmediate(settled));
  assert.deepEqual(made.keeper.report(), []);
  assert.deepEqual(made.changed, []);
  made.keeper.close();
});

test("a proxy asks control once for all requests that wait, takes what is pushed, and never loses what it has", async () => {
  let asked = 0;
  const answer = Promise.withResolvers<string | null>();
  const keys = new ProxyKeys(async (id) => {
    asked += 1;
    return { id, text: await answer.promise };
  });
  await assert.rejects(keys.fetchJwks(SOURCE), { code: "BW_JWKS_NOT_FETCHED" });
  assert.equal(asked, 0, "control did not say that this proxy needs it");
  keys.take([{ id: "a", text: null }]);
  const waiting = Array.from({ length: 50 }, () => keys.fetchJwks(SOURCE));
  answer.resolve(first.text);
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set([first.text]));
  assert.equal(asked, 1);
  await keys.refetchJwks(SOURCE);
  assert.equal(asked, 1, "it asked a moment ago");
  keys.take([{ id: "a", text: null }]);
  assert.equal(await keys.fetchJwks(SOURCE), first.text);
  keys.take([{ id: "a", text: second.text }]);
  assert.equal(await keys.fetchJwks(SOURCE), second.text);
  keys.keepOnly([]);
  await assert.rejects(keys.fetchJwks(SOURCE));
});

test("a proxy goes on with its keys while control is away", async () => {
  const keys = new ProxyKeys(() => Promise.reject(new Error("away")));
  keys.take([{ id: "a", text: first.text }]);
  assert.equal(await keys.refetchJwks(SOURCE), first.text);
  keys.take([{ id: "b", text: null }]);
  await assert.rejects(keys.fetchJwks({ ...SOURCE, id: "b" }), { code: "BW_JWKS_NOT_FETCHED" });
});
