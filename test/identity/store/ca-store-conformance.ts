/** What every store of a CA's records must do, whichever keeps them. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import type {
  AuditRecord,
  CaStore,
  IssuedCertificateRecord,
  RevokeHow,
} from "../../../src/identity/store/ca-store.ts";
import { RETENTION } from "../../../src/identity/store/retention.ts";
import { trustDomainSpiffeId, workloadSpiffeId } from "../../../src/model/spiffe-id.ts";
import { AUDITOR, CLUSTER_LOCAL, PAYROLL, SEED } from "../mesh-fixture.ts";

/** Where one store's records are: each `open` is another replica of it. */
export interface StorePlace {
  open(): Promise<CaStore>;
}

export const NOW = Date.UTC(2026, 7, 1, 12);
export const HOUR_MS = 3_600_000;
const HOW: RevokeHow = { reason: "keyCompromise", by: "test", atMs: NOW };
const ISSUER = "ab".repeat(20);

let drawn = 0;

export function issuedRecord(change: Partial<IssuedCertificateRecord> = {}): IssuedCertificateRecord {
  drawn += 1;
  return {
    serial: `4${drawn.toString(16).padStart(31, "0")}`,
    issuerKeyId: ISSUER,
    spiffeId: AUDITOR,
    notBeforeMs: NOW - 60_000,
    notAfterMs: NOW + HOUR_MS,
    keyHash: drawn.toString(16).padStart(64, "0"),
    issuedAtMs: NOW,
    method: "token",
    ...change,
  };
}

export function auditRecord(change: Partial<AuditRecord> = {}): AuditRecord {
  return {
    timeMs: NOW,
    kind: "issued",
    caller: AUDITOR,
    method: "token",
    spiffeId: AUDITOR,
    serial: "4a",
    code: null,
    message: "a certificate",
    ...change,
  };
}

export async function allIssued(
  store: CaStore,
  filter?: Parameters<CaStore["issued"]>[0],
): Promise<IssuedCertificateRecord[]> {
  const found: IssuedCertificateRecord[] = [];
  for await (const record of store.issued(filter)) found.push(record);
  return found;
}

/** Registers the suite. @param makePlace an empty place of its own for each test. */
export function testCaStore(name: string, makePlace: (t: TestContext) => Promise<StorePlace>): void {
  const law = (
    what: string,
    body: (place: StorePlace, open: () => Promise<CaStore>, t: TestContext) => Promise<void>,
  ) =>
    test(`${name}: ${what}`, async (t) => {
      const place = await makePlace(t);
      const opened: CaStore[] = [];
      const open = async (): Promise<CaStore> => {
        const store = await place.open();
        opened.push(store);
        return store;
      };
      try {
        await body(place, open, t);
      } finally {
        await Promise.all(opened.map((store) => store.close()));
      }
    });

  law(
    "what was recorded is read back whole, newest first, by another replica and after a restart",
    async (_place, open) => {
      const store = await open();
      const records = [
        issuedRecord(),
        issuedRecord({ spiffeId: PAYROLL, method: "certificate" }),
        issuedRecord(),
      ];
      for (const record of records) await store.recordIssued(record);
      assert.deepEqual(await allIssued(await open()), records.toReversed());
      await store.close();
      assert.deepEqual(await allIssued(await open()), records.toReversed());
    },
  );

  law(
    "issued() gives what its filter names, over several pages, and no more than its limit",
    async (_place, open) => {
      const store = await open();
      const many = Array.from({ length: 1100 }, (_, i) =>
        issuedRecord({ spiffeId: i % 2 === 0 ? AUDITOR : PAYROLL, notAfterMs: NOW + i }),
      );
      await Promise.all(many.map((record) => store.recordIssued(record)));
      const serials = (records: readonly IssuedCertificateRecord[]) => records.map(({ serial }) => serial);
      assert.deepEqual(serials(await allIssued(store)), serials(many).reverse());
      const ofPayroll = many.filter(({ spiffeId }) => spiffeId === PAYROLL).reverse();
      assert.deepEqual(serials(await allIssued(store, { spiffeId: PAYROLL })), serials(ofPayroll));
      assert.equal((await allIssued(store, { endsAfterMs: NOW + 999 })).length, 100);
      assert.deepEqual(serials(await allIssued(store, { limit: 3 })), serials(many.slice(-3)).reverse());
      assert.equal((await allIssued(store, { limit: 500 })).length, 500);
      assert.equal((await allIssued(store, { limit: 0 })).length, 0);
      assert.deepEqual(await allIssued(store, { serial: many[7]?.serial ?? "" }), [many[7]]);
      assert.deepEqual(await allIssued(store, { serial: "4f" }), []);
    },
  );

  law("a serial is recorded once under its issuer, whichever replicas ask at once", async (_place, open) => {
    const replicas = await Promise.all([open(), open()]);
    const record = issuedRecord();
    const tries = await Promise.allSettled(
      [0, 1, 0, 1, 0, 1].map((which) => replicas[which]?.recordIssued({ ...record, keyHash: `0${which}` })),
    );
    const refused = tries.filter((attempt) => attempt.status === "rejected");
    assert.equal(refused.length, 5);
    for (const { reason } of refused) assert.equal(reason.code, "BW_CA_STORE_SERIAL_TAKEN");
    await replicas[0]?.recordIssued({ ...record, issuerKeyId: "ef".repeat(20) });
    assert.equal((await allIssued(replicas[1] ?? assert.fail())).length, 2);
  });

  law("a refused record takes none of those with it that arrived with it", async (_place, open) => {
    const store = await open();
    const taken = issuedRecord();
    await store.recordIssued(taken);
    const others = Array.from({ length: 5 }, () => issuedRecord());
    const outcomes = await Promise.allSettled([...others, taken].map((record) => store.recordIssued(record)));
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      [...others.map(() => "fulfilled"), "rejected"],
    );
    assert.equal((await allIssued(store)).length, 6);
  });

  law(
    "revoke() by serial revokes that certificate once, and says when there is none",
    async (_place, open) => {
      const store = await open();
      const [record, other] = [issuedRecord(), issuedRecord()];
      await store.recordIssued(record);
      await store.recordIssued(other);
      const expected = {
        sequence: 1,
        serial: record.serial,
        issuerKeyId: ISSUER,
        spiffeId: AUDITOR,
        notAfterMs: record.notAfterMs,
        reason: "keyCompromise",
        revokedAtMs: NOW,
        by: "test",
      };
      assert.deepEqual(await store.revoke({ serial: record.serial }, HOW), [expected]);
      assert.deepEqual(await store.revoke({ serial: record.serial }, { ...HOW, by: "again" }), []);
      assert.deepEqual(await store.revocationOf(ISSUER, record.serial), expected);
      assert.equal(await store.revocationOf(ISSUER, other.serial), undefined);
      assert.equal(await store.revocationOf("ef".repeat(20), record.serial), undefined);
      assert.equal(await store.cutoffOf(AUDITOR), undefined, "a serial draws no cutoff");
      for (const target of [{ serial: "4f" }, { serial: other.serial, issuerKeyId: "ef".repeat(20) }])
        await assert.rejects(store.revoke(target, HOW), { code: "BW_CA_STORE_UNKNOWN_SERIAL" });
      assert.deepEqual(
        await store.revoke({ serial: other.serial }, { ...HOW, atMs: other.notAfterMs }),
        [],
        "it has ended",
      );
      const named = await store.revoke({ serial: other.serial, issuerKeyId: ISSUER }, HOW);
      assert.deepEqual(
        named.map(({ sequence }) => sequence),
        [2],
      );
    },
  );

  law(
    "revoke() of an identity revokes all that live, draws its cutoff, and leaves others alone",
    async (_place, open) => {
      const store = await open();
      const live = [issuedRecord(), issuedRecord()];
      const ended = issuedRecord({ notAfterMs: NOW - 10_000 });
      const others = issuedRecord({ spiffeId: PAYROLL });
      for (const record of [...live, ended, others]) await store.recordIssued(record);
      const revoked = await store.revoke({ spiffeId: AUDITOR }, HOW);
      assert.deepEqual(
        revoked.map(({ serial, sequence }) => [serial, sequence]),
        live.map(({ serial }, i) => [serial, i + 1]),
      );
      assert.deepEqual(await store.cutoffOf(AUDITOR), { spiffeId: AUDITOR, beforeMs: NOW });
      assert.equal(await store.cutoffOf(PAYROLL), undefined);
      assert.equal(await store.revocationOf(ISSUER, others.serial), undefined);
      assert.deepEqual(await store.revoke({ spiffeId: AUDITOR }, { ...HOW, atMs: NOW - 5000 }), []);
      assert.equal((await store.cutoffOf(AUDITOR))?.beforeMs, NOW, "a cutoff does not go back");
      assert.deepEqual(await store.revoke({ spiffeId: PAYROLL }, { ...HOW, atMs: NOW + 9 * HOUR_MS }), []);
      assert.equal((await store.cutoffOf(PAYROLL))?.beforeMs, NOW + 9 * HOUR_MS, "also where nothing lives");
    },
  );

  law(
    "recordIssued() refuses a proof older than the identity's cutoff, and takes a newer one",
    async (_place, open) => {
      const store = await open();
      await store.revoke({ spiffeId: AUDITOR }, HOW);
      const cut = { code: "BW_CA_STORE_CUT_OFF" };
      await assert.rejects(store.recordIssued(issuedRecord({ issuedAtMs: NOW - 1 })), cut);
      await assert.rejects(
        store.recordIssued(issuedRecord({ issuedAtMs: NOW + 5 }), { issuedAtMs: NOW - 1 }),
        cut,
      );
      await store.recordIssued(issuedRecord({ issuedAtMs: NOW }));
      await store.recordIssued(issuedRecord({ issuedAtMs: NOW - 1 }), { issuedAtMs: NOW });
      await store.recordIssued(issuedRecord({ spiffeId: PAYROLL, issuedAtMs: 0 }));
      assert.equal((await allIssued(store)).length, 3);
    },
  );

  law(
    "revoke() by serial revokes every live certificate of its key, whoever has it, and the key is certified for nobody again",
    async (_place, open) => {
      const [store, other] = await Promise.all([open(), open()]);
      const keyHash = "ce".repeat(32);
      const named = issuedRecord({ keyHash });
      const renewed = issuedRecord({ keyHash, issuerKeyId: "ef".repeat(20) });
      const borrowed = issuedRecord({ keyHash, spiffeId: PAYROLL });
      const ended = issuedRecord({ keyHash, notAfterMs: NOW - 1 });
      const unrelated = issuedRecord();
      for (const record of [named, renewed, borrowed, ended, unrelated]) await store.recordIssued(record);
      const revoked = await store.revoke({ serial: named.serial }, HOW);
      assert.deepEqual(
        revoked.map(({ serial }) => serial),
        [named, renewed, borrowed].map(({ serial }) => serial),
      );
      assert.equal(await store.revocationOf(ISSUER, unrelated.serial), undefined);
      const refused = { code: "BW_CA_STORE_KEY_REVOKED" };
      for (const replica of [store, other])
        for (const spiffeId of [AUDITOR, PAYROLL])
          await assert.rejects(
            replica.recordIssued(issuedRecord({ keyHash, spiffeId }), { issuedAtMs: NOW + HOUR_MS }),
            refused,
          );
      await other.recordIssued(issuedRecord());
      assert.equal((await allIssued(store)).length, 6);
    },
  );

  law(
    "revoke() of a certificate that has ended revokes its key all the same, and of an identity the keys that live",
    async (_place, open) => {
      const store = await open();
      const ended = issuedRecord({ notAfterMs: NOW - 1, keyHash: "e1" });
      const old = issuedRecord({ notAfterMs: NOW - 1, spiffeId: PAYROLL, keyHash: "e2" });
      const live = issuedRecord({ spiffeId: PAYROLL, keyHash: "e3" });
      for (const record of [ended, old, live]) await store.recordIssued(record);
      assert.deepEqual(await store.revoke({ serial: ended.serial }, HOW), []);
      await store.revoke({ spiffeId: PAYROLL }, HOW);
      const keys = await store.revokedKeysSince(0, 100);
      assert.deepEqual(
        keys.map(({ keyHash }) => keyHash),
        ["e1", "e3"],
      );
      assert.deepEqual(await store.revokedKeysSince(keys[0]?.sequence ?? 0, 100), keys.slice(1));
      assert.deepEqual(await store.revokedKeysSince(0, 1), keys.slice(1), "the newest of them");
      const later = { issuedAtMs: NOW + 1 };
      await assert.rejects(store.recordIssued(issuedRecord({ keyHash: "e1" })), {
        code: "BW_CA_STORE_KEY_REVOKED",
      });
      await store.recordIssued(issuedRecord({ spiffeId: PAYROLL, keyHash: "e2" }), later);
    },
  );

  law(
    "an identity that is blocked gets nothing, whatever is shown, over a restart too, until it is unblocked",
    async (_place, open) => {
      const store = await open();
      assert.equal(await store.unblock(AUDITOR), false);
      await store.revoke({ spiffeId: AUDITOR }, { ...HOW, block: true });
      await store.revoke({ spiffeId: PAYROLL }, HOW);
      const again = { ...HOW, block: true, by: "again", atMs: NOW + 7 };
      await store.revoke({ spiffeId: AUDITOR }, again);
      await store.close();
      const next = await open();
      const later = issuedRecord({ issuedAtMs: NOW + HOUR_MS });
      await assert.rejects(next.recordIssued(later), { code: "BW_CA_STORE_BLOCKED" });
      const block = { sinceMs: NOW, by: "test" };
      assert.deepEqual(await next.cutoffOf(AUDITOR), { spiffeId: AUDITOR, beforeMs: NOW + 7, block });
      assert.deepEqual(
        new Set(await next.cutoffs()),
        new Set([
          { spiffeId: AUDITOR, beforeMs: NOW + 7, block },
          { spiffeId: PAYROLL, beforeMs: NOW },
        ]),
      );
      await next.recordIssued(issuedRecord({ spiffeId: PAYROLL, issuedAtMs: NOW }));
      await next.revoke({ spiffeId: AUDITOR }, { ...HOW, atMs: NOW + 8 });
      assert.ok((await next.cutoffOf(AUDITOR))?.block, "a revocation lifts no block");
      assert.equal(await next.unblock(AUDITOR), true);
      assert.equal(await next.unblock(AUDITOR), false);
      assert.deepEqual(await next.cutoffOf(AUDITOR), { spiffeId: AUDITOR, beforeMs: NOW + 8 });
      await assert.rejects(next.recordIssued(issuedRecord({ issuedAtMs: NOW + 7 })), {
        code: "BW_CA_STORE_CUT_OFF",
      });
      await next.recordIssued(later);
    },
  );

  law(
    "revoke() of an authority puts its own certificate on record once, and nothing more is recorded under it",
    async (_place, open) => {
      const [store, other] = await Promise.all([open(), open()]);
      const domain = trustDomainSpiffeId(CLUSTER_LOCAL);
      const common = { serial: "4f".repeat(16), issuerKeyId: "ef".repeat(20), spiffeId: domain };
      const authority = { ...common, notAfterMs: NOW + HOUR_MS, subjectKeyId: ISSUER };
      await store.recordIssued(issuedRecord());
      const expected = { ...authority, sequence: 1, reason: "keyCompromise", revokedAtMs: NOW, by: "test" };
      assert.deepEqual(await store.revoke({ authority }, HOW), [expected]);
      assert.deepEqual(await other.revoke({ authority }, HOW), []);
      assert.deepEqual(await other.revocationsSince(0), [expected]);
      assert.deepEqual(await other.revocationOf("ef".repeat(20), authority.serial), expected);
      for (const replica of [store, other])
        await assert.rejects(replica.recordIssued(issuedRecord()), { code: "BW_CA_STORE_ISSUER_REVOKED" });
      await other.recordIssued(issuedRecord({ issuerKeyId: "ac".repeat(20) }));
      const gone = { ...authority, serial: "4e", notAfterMs: NOW - 1 };
      assert.deepEqual(await store.revoke({ authority: gone }, HOW), [], "it has ended");
    },
  );

  law(
    "of certificates that are issued while their identity is revoked, none is on record and not revoked",
    async (_place, open) => {
      const [issuing, revoking] = await Promise.all([open(), open()]);
      for (let round = 0; round < 10; round++) {
        const spiffeId = workloadSpiffeId(CLUSTER_LOCAL, "race", `round-${round}`);
        const issue = async (): Promise<void> => {
          for (let i = 0; i < 6; i++)
            await issuing.recordIssued(issuedRecord({ spiffeId, issuedAtMs: NOW - 1 }));
        };
        const issued = issue().catch((error) => assert.equal(error.code, "BW_CA_STORE_CUT_OFF"));
        if (round % 2 === 1) await issuing.read("a turn later");
        await revoking.revoke({ spiffeId }, HOW);
        await issued;
        for (const { serial } of await allIssued(issuing, { spiffeId }))
          assert.ok(await issuing.revocationOf(ISSUER, serial), `round ${round}: ${serial} got through`);
      }
    },
  );

  law(
    "revocationsSince() gives every revocation once, in order, with no gap, whichever replica made it",
    async (_place, open) => {
      const replicas = await Promise.all([open(), open(), open()]);
      const first = replicas[0] ?? assert.fail();
      const records = Array.from({ length: 40 }, () => issuedRecord());
      await Promise.all(records.map((record) => first.recordIssued(record)));
      const seen: number[] = [];
      let done = false;
      const reader = (async () => {
        // A reader that counts on must never see a number before a smaller one.
        for (;;) {
          const last = done;
          for (const { sequence } of await first.revocationsSince(seen.at(-1) ?? 0)) seen.push(sequence);
          if (last) return;
        }
      })();
      await Promise.all(records.map(({ serial }, i) => replicas[i % 3]?.revoke({ serial }, HOW)));
      done = true;
      await reader;
      assert.deepEqual(
        seen,
        records.map((_, i) => i + 1),
      );
      assert.equal((await first.revocationsSince(38)).length, 2);
    },
  );

  law(
    "watchRevocations() calls within a second of another replica's revocation or cutoff, until it is told to stop",
    async (_place, open) => {
      const [here, there] = await Promise.all([open(), open()]);
      const record = issuedRecord();
      await here.recordIssued(record);
      const stop = new AbortController();
      let calls = 0;
      let called = Promise.withResolvers<number>();
      here.watchRevocations(() => {
        calls += 1;
        called.resolve(performance.now());
      }, stop.signal);
      await called.promise;
      for (const target of [{ serial: record.serial }, { spiffeId: PAYROLL }]) {
        called = Promise.withResolvers();
        await there.revoke(target, { ...HOW, block: true });
        await called.promise;
      }
      called = Promise.withResolvers();
      await there.unblock(PAYROLL);
      await called.promise;
      assert.ok(calls >= 4);
      stop.abort();
      const before = calls;
      await there.revoke({ spiffeId: AUDITOR }, HOW);
      assert.ok((await here.revocationsSince(0)).length > 0);
      assert.equal(calls, before);
    },
  );

  law("compareAndSet() changes a value for exactly one of those who read it", async (_place, open) => {
    const replicas = await Promise.all([open(), open()]);
    const [store] = replicas;
    assert.deepEqual(await store.read("crl"), { version: 0, text: "" });
    assert.equal(await store.compareAndSet("crl", 1, "too early"), false);
    for (let version = 0; version < 4; version++) {
      const wins = await Promise.all(
        Array.from({ length: 6 }, (_, i) => replicas[i % 2]?.compareAndSet("crl", version, `{"by":${i}}`)),
      );
      assert.equal(wins.filter((won) => won === true).length, 1);
      assert.deepEqual(await replicas[1].read("crl"), {
        version: version + 1,
        text: `{"by":${wins.indexOf(true)}}`,
      });
    }
    assert.equal(await store.compareAndSet("crl", 3, "too late"), false);
    assert.deepEqual(await store.read("other"), { version: 0, text: "" });
  });

  law(
    "audited() gives what was audited, newest first, and text that no database could keep in a form that it can",
    async (_place, open) => {
      const store = await open();
      const records = [
        auditRecord(),
        auditRecord({
          kind: "refused",
          caller: null,
          method: null,
          spiffeId: null,
          serial: null,
          code: "BW_TOKEN_EXPIRED",
        }),
        auditRecord({ kind: "rotation", message: "Größe 'x'; DROP TABLE audit; -- 日本" }),
      ];
      for (const record of records) await store.audit(record);
      assert.deepEqual(await store.audited(10), records.toReversed());
      assert.deepEqual(await store.audited(1), records.slice(-1));
      await store.audit(auditRecord({ message: `a\0b\ud800c${"x".repeat(5000)}` }));
      assert.match((await store.audited(1))[0]?.message ?? "", /^a\ufffdb\ufffdcx{1995}$/);
    },
  );

  law(
    "prune() removes what has ended and nothing that lives, and the sequence goes on",
    async (_place, open) => {
      const store = await open();
      const old = NOW - RETENTION.endedMs - 1;
      const gone = Array.from({ length: 5 }, () =>
        issuedRecord({ notAfterMs: old, issuedAtMs: old - HOUR_MS }),
      );
      const kept = [issuedRecord({ notAfterMs: NOW - RETENTION.endedMs }), issuedRecord()];
      for (const record of [...gone, ...kept]) await store.recordIssued(record);
      for (const { serial } of gone.slice(0, 2)) await store.revoke({ serial }, { ...HOW, atMs: old - 1 });
      await store.audit(auditRecord({ timeMs: NOW - RETENTION.auditMs - 1 }));
      await store.audit(auditRecord());
      assert.equal(await store.prune(NOW), 5 + 2 + 1);
      assert.equal(await store.prune(NOW), 0);
      assert.deepEqual(await allIssued(store), kept.toReversed());
      assert.equal((await store.audited(10)).length, 1);
      assert.deepEqual(await store.revocationsSince(0), []);
      const [revocation] = await store.revoke({ serial: kept[1]?.serial ?? "" }, HOW);
      assert.equal(revocation?.sequence, 3);
    },
  );

  law("close() waits for what is under way; later calls are refused", async (_place, open) => {
    const store = await open();
    const underWay = [
      store.recordIssued(issuedRecord()),
      store.audit(auditRecord()),
      store.compareAndSet("x", 0, "1"),
    ];
    await store.close();
    await Promise.all(underWay);
    const closed = { code: "BW_CA_STORE_CLOSED" };
    await assert.rejects(store.recordIssued(issuedRecord()), closed);
    await assert.rejects(store.revoke({ spiffeId: AUDITOR }, HOW), closed);
    await assert.rejects(store.audit(auditRecord()), closed);
    await assert.rejects(store.read("x"), closed);
    await assert.rejects(allIssued(store), closed);
    store.watchRevocations(() => assert.fail("called after the close"), new AbortController().signal);
    await store.close();
    const again = await open();
    assert.equal((await allIssued(again)).length, 1);
    assert.equal((await again.audited(5)).length, 1);
    assert.equal((await again.read("x")).text, "1");
  });

  law(
    "any order of issuing, revoking and setting, by two replicas in turn, ends as the plain model of it does",
    async (_place, open) => {
      const replicas = [await open(), await open()] as const;
      await fc.assert(
        fc.asyncProperty(fc.array(command(), { minLength: 1, maxLength: 25 }), async (commands) => {
          const run = new ModelRun(...replicas);
          for (const step of commands) await run.step(step);
          await run.compare();
        }),
        { seed: SEED, numRuns: 15 },
      );
    },
  );
}

type Command =
  | { readonly kind: "issue"; readonly who: number; readonly atMs: number }
  | { readonly kind: "revoke-serial"; readonly which: number }
  | { readonly kind: "revoke-identity"; readonly who: number; readonly atMs: number }
  | { readonly kind: "set"; readonly expected: number };

function command(): fc.Arbitrary<Command> {
  const who = fc.integer({ min: 0, max: 2 });
  const atMs = fc.integer({ min: NOW - 20, max: NOW + 20 });
  return fc.oneof(
    fc.record({ kind: fc.constant("issue"), who, atMs }),
    fc.record({ kind: fc.constant("issue"), who, atMs }),
    fc.record({ kind: fc.constant("revoke-serial"), which: fc.nat(20) }),
    fc.record({ kind: fc.constant("revoke-identity"), who, atMs }),
    fc.record({ kind: fc.constant("set"), expected: fc.nat(3) }),
  ) as fc.Arbitrary<Command>;
}

let runs = 0;

/** The same in arrays, beside two replicas of a store that take turns. */
class ModelRun {
  readonly #replicas: readonly [CaStore, CaStore];
  readonly #prefix = `run-${++runs}`;
  readonly #issued: IssuedCertificateRecord[] = [];
  readonly #revoked = new Set<string>();
  readonly #cutoffs = new Map<string, number>();
  #version = 0;
  #turn = 0;

  constructor(one: CaStore, other: CaStore) {
    this.#replicas = [one, other];
  }

  get #store(): CaStore {
    this.#turn += 1;
    return this.#turn % 2 === 0 ? this.#replicas[0] : this.#replicas[1];
  }

  async step(step: Command): Promise<void> {
    switch (step.kind) {
      case "issue":
        return this.#issue(step.who, step.atMs);
      case "revoke-serial":
        return this.#revokeSerial(step.which);
      case "revoke-identity":
        return this.#revokeIdentity(step.who, step.atMs);
      case "set": {
        const won = await this.#store.compareAndSet(this.#prefix, step.expected, `${step.expected}`);
        assert.equal(won, step.expected === this.#version);
        if (won) this.#version += 1;
      }
    }
  }

  async compare(): Promise<void> {
    for (const who of [0, 1, 2]) {
      const spiffeId = this.#identity(who);
      const model = this.#issued.filter((record) => record.spiffeId === spiffeId);
      assert.deepEqual(await allIssued(this.#store, { spiffeId }), model.toReversed());
      assert.equal((await this.#store.cutoffOf(spiffeId))?.beforeMs, this.#cutoffs.get(spiffeId));
      for (const { serial } of model)
        assert.equal(
          (await this.#store.revocationOf(ISSUER, serial)) !== undefined,
          this.#revoked.has(serial),
        );
    }
    assert.equal((await this.#store.read(this.#prefix)).version, this.#version);
  }

  #identity(who: number) {
    return workloadSpiffeId(CLUSTER_LOCAL, this.#prefix, `w${who}`);
  }

  async #issue(who: number, atMs: number): Promise<void> {
    const record = issuedRecord({ spiffeId: this.#identity(who), issuedAtMs: atMs });
    const cut = atMs < (this.#cutoffs.get(record.spiffeId) ?? 0);
    const attempt = this.#store.recordIssued(record);
    if (cut) await assert.rejects(attempt, { code: "BW_CA_STORE_CUT_OFF" });
    else {
      await attempt;
      this.#issued.push(record);
    }
  }

  async #revokeSerial(which: number): Promise<void> {
    const record = this.#issued[which];
    if (record === undefined) return;
    const revoked = await this.#store.revoke({ serial: record.serial }, HOW);
    assert.equal(revoked.length, this.#revoked.has(record.serial) ? 0 : 1);
    this.#revoked.add(record.serial);
  }

  async #revokeIdentity(who: number, atMs: number): Promise<void> {
    const spiffeId = this.#identity(who);
    const live = this.#issued.filter(
      (record) => record.spiffeId === spiffeId && !this.#revoked.has(record.serial),
    );
    const revoked = await this.#store.revoke({ spiffeId }, { ...HOW, atMs });
    assert.deepEqual(
      revoked.map(({ serial }) => serial),
      live.map(({ serial }) => serial),
    );
    for (const { serial } of revoked) this.#revoked.add(serial);
    this.#cutoffs.set(spiffeId, Math.max(atMs, this.#cutoffs.get(spiffeId) ?? 0));
  }
}
