import assert from "node:assert/strict";
import { test } from "node:test";
import type { RevocationUpdate } from "../../../src/control/revocation/messages.ts";
import { RevocationService } from "../../../src/control/revocation/revocation-service.ts";
import { parseSpiffeId, type SpiffeId } from "../../../src/model/spiffe-id.ts";
import { type MemoryCaStore, memoryCaStore } from "../../identity/memory-ca-store.ts";
import { until } from "../until.ts";

const WAIT_MS = 30_000;
const HOUR_MS = 3_600_000;
const ISSUER = "aa".repeat(20);

function identity(account: string): SpiffeId {
  return parseSpiffeId(`spiffe://cluster.local/ns/bank/sa/${account}`)?.id ?? assert.fail();
}

async function storeWith(...serials: readonly string[]): Promise<MemoryCaStore> {
  const store = memoryCaStore();
  for (const serial of serials)
    await store.recordIssued({
      serial,
      issuerKeyId: ISSUER,
      spiffeId: identity("teller"),
      notBeforeMs: Date.now(),
      notAfterMs: Date.now() + HOUR_MS,
      keyHash: serial,
      issuedAtMs: Date.now(),
      method: "token",
    });
  return store;
}

interface Running {
  readonly service: RevocationService;
  readonly pushed: RevocationUpdate[];
  readonly told: string[];
  readonly problems: unknown[];
}

async function serviceOn(store: MemoryCaStore, maxAgeMs = 0): Promise<Running> {
  const pushed: RevocationUpdate[] = [];
  const told: string[] = [];
  const problems: unknown[] = [];
  const service = new RevocationService({
    store,
    push: async (update) => {
      pushed.push(update);
      return { told: 2, confirmed: 2, cut: update.revoked.length };
    },
    onRevoked: (revocations) => told.push(...revocations.map(({ serial }) => serial)),
    onProblem: (error) => problems.push(error),
    maxAgeMs,
  });
  await service.start();
  return { service, pushed, told, problems };
}

const HOW = { reason: "keyCompromise", by: "test" } as const;

test("revoke() returns once the proxies were told, with what they cut, and puts it on record", async () => {
  const store = await storeWith("0a", "0b");
  const { service, pushed, told } = await serviceOn(store);
  const report = await service.revoke({ spiffeId: identity("teller") }, HOW);
  service.close();
  assert.deepEqual(
    report.revoked.map(({ serial }) => serial),
    ["0a", "0b"],
  );
  assert.deepEqual([report.proxies, report.connectionsCut], [{ told: 2, confirmed: 2 }, 2]);
  assert.equal(pushed.length, 1);
  assert.deepEqual(told, ["0a", "0b"]);
  const audited = await store.audited(10);
  assert.deepEqual(
    audited.map(({ kind, serial, caller }) => [kind, serial, caller]),
    [
      ["revoked", null, "test"],
      ["revoked", "0b", "test"],
      ["revoked", "0a", "test"],
    ],
  );
});

test("what was revoked before the start is known at once, and not told again", async () => {
  const store = await storeWith("0a");
  await store.revoke({ serial: "0a" }, { ...HOW, atMs: Date.now() });
  const { service, pushed, told } = await serviceOn(store);
  assert.deepEqual(
    service.everything.revoked.map(({ serial }) => serial),
    ["0a"],
  );
  await service.revoke({ serial: "0a" }, HOW);
  service.close();
  assert.deepEqual([pushed, told], [[], []]);
});

test("another replica's revocation is pushed when the store says there is news, each once", async () => {
  const store = await storeWith("0a", "0b");
  const { service, pushed } = await serviceOn(store);
  await store.revoke({ serial: "0a" }, { ...HOW, atMs: Date.now() });
  store.tellNews();
  store.tellNews();
  await until(() => pushed.length > 0, WAIT_MS);
  await service.revoke({ serial: "0b" }, HOW);
  service.close();
  assert.deepEqual(
    pushed.map(({ revoked }) => revoked.map(({ serial }) => serial)),
    [["0a"], ["0b"]],
  );
});

test("revoke() tells what the proxies did also where the store's own news came first", async () => {
  const store = await storeWith("0a");
  const { service } = await serviceOn(store);
  const { revoke } = store;
  store.revoke = async (target, how) => {
    const revoked = await revoke(target, how);
    store.tellNews();
    return revoked;
  };
  const { proxies } = await service.revoke({ serial: "0a" }, HOW);
  service.close();
  assert.deepEqual(proxies, { told: 2, confirmed: 2 });
});

test("an identity of which no certificate lives is told to the proxies all the same, with when; so is a key", async () => {
  const store = await storeWith("0a");
  const { service, pushed, told } = await serviceOn(store);
  const nobody = identity("nobody");
  const report = await service.revoke({ spiffeId: nobody }, HOW);
  assert.deepEqual([report.revoked, report.proxies], [[], { told: 2, confirmed: 2 }]);
  const { beforeMs = 0 } = (await store.cutoffOf(nobody)) ?? {};
  assert.deepEqual(pushed[0]?.identities, [{ spiffeId: nobody, beforeMs }]);
  assert.deepEqual(told, []);
  await service.revoke({ serial: "0a" }, HOW);
  assert.deepEqual(pushed[1]?.keys, ["0a"], "the fixture's name of its key");
  assert.deepEqual(pushed[1]?.identities, [], "each is told once");
  const { identities, keys, revoked } = service.everything;
  assert.deepEqual([identities, keys, revoked.length], [[{ spiffeId: nobody, beforeMs }], ["0a"], 1]);
  service.close();
  const again = await serviceOn(store);
  assert.deepEqual(again.service.everything.identities, identities, "after a restart");
  assert.deepEqual(again.service.everything.keys, keys);
  assert.deepEqual(again.pushed, []);
  again.service.close();
});

test("a store that fails revokes nothing, and one that cannot be read is asked again", async () => {
  const store = await storeWith("0a");
  const { service, pushed, problems } = await serviceOn(store);
  await assert.rejects(service.revoke({ serial: "ff" }, HOW), { code: "BW_CA_STORE_UNKNOWN_SERIAL" });
  const { revocationsSince } = store;
  store.revocationsSince = () => Promise.reject(new Error("the database is away"));
  await store.revoke({ serial: "0a" }, { ...HOW, atMs: Date.now() });
  store.tellNews();
  await until(() => problems.length > 0, WAIT_MS);
  store.revocationsSince = revocationsSince;
  await until(() => pushed.length > 0, WAIT_MS);
  service.close();
  assert.deepEqual(pushed[0]?.revoked[0]?.serial, "0a");
});

test("with a limit on silence proxies hear from control several times within it", async () => {
  const { service, pushed } = await serviceOn(await storeWith(), 60);
  await until(() => pushed.length >= 3, WAIT_MS);
  service.close();
  const { sentAtMs, ...word } = pushed[0] ?? assert.fail();
  assert.deepEqual(word, { revoked: [], identities: [], keys: [], maxAgeMs: 60 });
  assert.ok(Math.abs(sentAtMs - Date.now()) < HOUR_MS);
});
