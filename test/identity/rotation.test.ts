import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { type TestContext, test } from "node:test";
import { inspect } from "node:util";
import type { CertificateAuthority } from "../../src/identity/ca.ts";
import {
  type RequestCertificate,
  SvidSource,
  type SvidSourceOptions,
  tlsCredentials,
} from "../../src/identity/rotation.ts";
import type { CertificateGrant } from "../../src/identity/verify-grant.ts";
import type { SpiffeId } from "../../src/model/spiffe-id.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { AUDITOR, PAYROLL, testCa } from "./mesh-fixture.ts";

const START = Date.UTC(2026, 7, 1, 12);

/** A clock whose hands the test turns; timers fire in order as it passes them. */
class FakeTime {
  nowMs = START;
  readonly #due = new Map<object, { at: number; callback: () => void }>();
  readonly timers = {
    setTimeout: (callback: () => void, delayMs: number): unknown => {
      const handle = {};
      // As Node does with what does not fit in 31 bits.
      this.#due.set(handle, { at: this.nowMs + (delayMs > 2 ** 31 - 1 ? 1 : delayMs), callback });
      return handle;
    },
    clearTimeout: (handle: unknown): void => {
      this.#due.delete(handle as object);
    },
  };
  readonly clock = (): number => this.nowMs;

  get pending(): number {
    return this.#due.size;
  }

  /** The time until the next timer. */
  get nextInMs(): number {
    return Math.min(...[...this.#due.values()].map(({ at }) => at)) - this.nowMs;
  }

  advance(ms: number): void {
    const target = this.nowMs + ms;
    for (;;) {
      const next = [...this.#due].filter(([, { at }]) => at <= target).sort(([, a], [, b]) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#due.delete(next[0]);
      this.nowMs = Math.max(this.nowMs, next[1].at);
      next[1].callback();
    }
    this.nowMs = target;
  }
}

interface Setup {
  readonly time: FakeTime;
  readonly ca: CertificateAuthority;
  readonly source: SvidSource;
  readonly seen: string[];
  /** What answers requests; tests put failures here. */
  answer: RequestCertificate;
  requests: number;
  readonly grant: (csr: Buffer, identity?: SpiffeId) => Promise<CertificateGrant>;
}

async function setup(
  t: TestContext,
  ttlSeconds = 3600,
  options: Partial<SvidSourceOptions> = {},
): Promise<Setup> {
  const time = new FakeTime();
  const ca = await testCa(t, { clock: time.clock });
  const grant = (csr: Buffer, verifiedIdentity = AUDITOR) => ca.issue({ csr, verifiedIdentity, ttlSeconds });
  const state: { answer: RequestCertificate; requests: number } = {
    answer: (csr) => grant(csr),
    requests: 0,
  };
  const source = new SvidSource({
    identity: AUDITOR,
    requestCertificate: (csr, signal) => {
      state.requests += 1;
      return state.answer(csr, signal);
    },
    clock: time.clock,
    timers: time.timers,
    random: () => 0.5,
    ...options,
  });
  t.after(() => source.stop());
  const seen: string[] = [];
  source.on("rotated", () => seen.push("rotated"));
  source.on("failed", (error) => seen.push(error.code));
  source.on("expired", () => seen.push("expired"));
  return Object.assign(state, { time, ca, source, seen, grant });
}

/** Lets the attempt that a timer has just started come to its end. */
function settled(source: SvidSource): Promise<unknown> {
  const done = Promise.withResolvers<void>();
  const finish = () => {
    source.off("rotated", finish).off("failed", finish);
    setImmediate(done.resolve);
  };
  source.once("rotated", finish);
  source.once("failed", finish);
  return done.promise;
}

const unreachable: RequestCertificate = () => Promise.reject(new Error("connection refused"));

test("SvidSource gets a certificate for a key of its own, which TLS can use", async (t) => {
  const { source } = await setup(t);
  const before = source.current;
  assert.equal(before, undefined);
  assert.equal(await source.start(), true);
  const svid = source.current ?? assert.fail();
  assert.equal(new X509Certificate(svid.chainPem).checkPrivateKey(svid.privateKey), true);
  const { key, cert, ca } = tlsCredentials(svid);
  assert.match(key, /BEGIN PRIVATE KEY/);
  assert.equal(cert.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.equal(ca.match(/BEGIN CERTIFICATE/g)?.length, 1);
  assert.doesNotMatch(inspect(svid, { depth: 9, showHidden: true }) + JSON.stringify(svid), /PRIVATE KEY/);
});

for (const ttlSeconds of [5, 10, 3600, 90 * 86_400]) {
  test(`SvidSource renews a certificate of ${ttlSeconds} s at half of its lifetime, with another key`, async (t) => {
    const { source, time, seen } = await setup(t, ttlSeconds);
    await source.start();
    const first = source.current ?? assert.fail();
    time.advance(ttlSeconds * 500 - 1);
    assert.deepEqual(seen, ["rotated"]);
    const rotated = settled(source);
    time.advance(1);
    await rotated;
    assert.deepEqual(seen, ["rotated", "rotated"]);
    assert.notEqual(source.current?.serial, first.serial);
    assert.equal(source.current?.privateKey.equals(first.privateKey), false);
  });
}

test("SvidSource spreads renewals over 45 to 55 % of the lifetime", async (t) => {
  for (const [random, earliest] of [
    [0, 0.45],
    [0.999_999, 0.55],
  ] as const) {
    const { source, time } = await setup(t, 1000, { random: () => random });
    await source.start();
    assert.ok(Math.abs(time.nextInMs / 1_000_000 - earliest) < 0.001, `${time.nextInMs}`);
  }
});

test("SvidSource keeps the old certificate while the CA does not answer, and says when it has expired", async (t) => {
  const state = await setup(t, 3600);
  const { source, time, seen } = state;
  await source.start();
  const { serial } = source.current ?? assert.fail();
  state.answer = unreachable;
  while (!seen.includes("expired")) {
    const attempt = settled(source);
    assert.ok(time.nextInMs > 0);
    const last = seen.length;
    time.advance(time.nextInMs);
    if (!seen.includes("expired")) assert.equal(source.current?.serial, serial);
    if (seen.length === last) await attempt;
  }
  assert.equal(source.current, undefined);
  assert.equal(time.nowMs, START + 3_600_000);
  const failures = seen.filter((event) => event === "BW_SVID_REQUEST_FAILED").length;
  assert.ok(failures > 20 && failures < 300, `${failures} attempts in half an hour`);
  state.answer = (csr) => state.grant(csr);
  const rotated = settled(source);
  time.advance(10_000);
  await rotated;
  assert.equal(seen.at(-1), "rotated");
  assert.ok(source.current);
});

test("SvidSource leaves room for several attempts in what is left of a short certificate", async (t) => {
  const state = await setup(t, 5);
  await state.source.start();
  state.answer = unreachable;
  while (!state.seen.includes("expired")) {
    const attempt = settled(state.source);
    const last = state.seen.length;
    state.time.advance(state.time.nextInMs);
    if (state.seen.length === last) await attempt;
  }
  assert.ok(state.requests >= 5, `${state.requests} requests`);
});

test("SvidSource gives up on a request that hangs, and takes no late answer", async (t) => {
  const state = await setup(t, 3600, { requestTimeoutMs: 1000 });
  let late: (grant: CertificateGrant) => void = () => assert.fail();
  let csrSeen = Buffer.alloc(0);
  let aborted = false;
  const asked = Promise.withResolvers<void>();
  state.answer = (csr, signal) => {
    csrSeen = Buffer.from(csr);
    signal.addEventListener("abort", () => {
      aborted = true;
    });
    asked.resolve();
    return new Promise((resolve) => {
      late = resolve;
    });
  };
  const started = state.source.start();
  await asked.promise;
  state.time.advance(1000);
  assert.equal(await started, false);
  assert.equal(aborted, true);
  assert.deepEqual(state.seen, ["BW_SVID_REQUEST_TIMEOUT"]);
  late(await state.grant(csrSeen));
  await new Promise(setImmediate);
  assert.equal(state.source.current, undefined);
});

test("SvidSource refuses grants that it could not use, and keeps what it has", async (t) => {
  const state = await setup(t);
  await state.source.start();
  const { serial } = state.source.current ?? assert.fail();
  const stranger = await testCa(t, { clock: state.time.clock });
  const { encodeCsr } = await import("../../src/identity/csr.ts");
  const { KEY_ALGORITHMS } = await import("../../src/identity/key-algorithm.ts");
  const otherCsr = encodeCsr((await KEY_ALGORITHMS["ecdsa-p256"].generate()).privateKey);
  const grants: Record<string, RequestCertificate> = {
    "another identity": (csr) => state.grant(csr, PAYROLL),
    "another key": () => state.grant(otherCsr),
    "trust bundle": async (csr) => ({ ...(await state.grant(csr)), trustBundlePem: stranger.trustBundlePem }),
    "bundle of nothing": async (csr) => ({ ...(await state.grant(csr)), trustBundlePem: "" }),
    "no chain": async (csr) => ({ ...(await state.grant(csr)), chainPem: "" }),
    "leaf alone": async (csr) => {
      const grant = await state.grant(csr);
      return { ...grant, chainPem: grant.chainPem.slice(0, grant.chainPem.indexOf("-----BEGIN", 1)) };
    },
    garbage: async (csr) => ({
      ...(await state.grant(csr)),
      chainPem: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    }),
    "end passed": async (csr) => {
      const grant = await state.grant(csr);
      state.time.nowMs += 3_600_000;
      return grant;
    },
  };
  for (const [what, answer] of Object.entries(grants)) {
    const now = state.time.nowMs;
    state.answer = answer;
    assert.equal(await state.source.requestNow(), false, what);
    state.time.nowMs = now;
    assert.equal(state.seen.at(-1), "BW_SVID_GRANT_REFUSED", what);
    assert.equal(state.source.current?.serial, serial, what);
  }
});

test("requestNow() during a request asks once more after it, however often it is called", async (t) => {
  const state = await setup(t);
  const all = [
    state.source.start(),
    state.source.requestNow(),
    state.source.requestNow(),
    state.source.requestNow(),
  ];
  assert.deepEqual(await Promise.all(all), [true, true, true, true]);
  assert.equal(state.requests, 2);
  await state.source.requestNow();
  assert.equal(state.requests, 3);
});

test("SvidSource survives listeners and transports that throw", async (t) => {
  const state = await setup(t);
  state.source.on("rotated", () => {
    throw new Error("a listener's own bug");
  });
  assert.equal(await state.source.start(), true);
  assert.deepEqual(state.seen, ["rotated", "BW_SVID_LISTENER"]);
  state.answer = () => {
    throw new BulwarkError("BW_TOKEN_EXPIRED", "the token has expired");
  };
  state.source.on("failed", () => {
    throw new Error("another");
  });
  assert.equal(await state.source.requestNow(), false);
  assert.equal(state.seen.at(-1), "BW_TOKEN_EXPIRED", "the CA's own code is passed on");
  assert.ok(state.source.current);
});

test("stop() ends every timer and the request under way", async (t) => {
  const state = await setup(t);
  await state.source.start();
  state.answer = (_, signal) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  const pending = state.source.requestNow();
  state.source.stop();
  assert.equal(await pending, false);
  assert.equal(state.time.pending, 0);
  assert.deepEqual(state.seen, ["rotated"]);
  assert.equal(await state.source.requestNow(), false);
});

test("SvidSource on the system's own clock rotates short certificates by itself", async (t) => {
  const ca = await testCa(t);
  const source = new SvidSource({
    identity: AUDITOR,
    requestCertificate: (csr) => ca.issue({ csr, verifiedIdentity: AUDITOR, ttlSeconds: 2 }),
  });
  t.after(() => source.stop());
  const serials = new Set<string>();
  const enough = Promise.withResolvers<void>();
  source.on("rotated", (svid) => {
    serials.add(svid.serial);
    if (serials.size === 3) enough.resolve();
  });
  source.on("expired", () => enough.reject(new Error("expired")));
  await source.start();
  await enough.promise;
  assert.ok(source.current);
});
