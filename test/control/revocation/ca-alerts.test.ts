import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CaPicture,
  type CertificateInUse,
  caAlerts,
} from "../../../src/control/revocation/ca-alerts.ts";
import type { IssuedCertificateRecord } from "../../../src/identity/store/ca-store.ts";
import { parseSpiffeId } from "../../../src/model/spiffe-id.ts";

const NOW_MS = Date.parse("2026-11-22T12:00:00Z");
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ISSUER = "aa".repeat(20);
const TELLER = "spiffe://cluster.local/ns/bank/sa/teller";

function record(change: Partial<IssuedCertificateRecord> = {}): IssuedCertificateRecord {
  return {
    serial: "0a",
    issuerKeyId: ISSUER,
    spiffeId: parseSpiffeId(TELLER)?.id ?? assert.fail(),
    notBeforeMs: NOW_MS - HOUR_MS,
    notAfterMs: NOW_MS + DAY_MS,
    keyHash: "",
    issuedAtMs: NOW_MS - HOUR_MS,
    method: "token",
    ...change,
  };
}

function use(change: Partial<CertificateInUse["certificate"]> = {}): CertificateInUse {
  const at = (ms: number) => new Date(ms).toISOString();
  return {
    pod: "bank/teller-0",
    identity: TELLER,
    certificate: {
      serial: "0a",
      issuedAt: at(NOW_MS - HOUR_MS),
      notBefore: at(NOW_MS - HOUR_MS),
      notAfter: at(NOW_MS + DAY_MS),
      nextRotation: at(NOW_MS + DAY_MS / 2),
      ...change,
    },
  };
}

function pictureOf(change: Partial<CaPicture>): CaPicture {
  return {
    nowMs: NOW_MS,
    authorities: [{ role: "root", keyId: ISSUER, notAfter: new Date(NOW_MS + 365 * DAY_MS).toISOString() }],
    issuerKeyIds: new Set([ISSUER]),
    live: [record()],
    recent: [],
    cutoffs: new Map(),
    isRevoked: () => false,
    inUse: [use()],
    everUsed: new Set(["0a"]),
    watchingSinceMs: NOW_MS - 2 * HOUR_MS,
    ...change,
  };
}

function alertsOf(change: Partial<CaPicture>): string[] {
  return caAlerts(pictureOf(change)).map(({ kind, serial }) =>
    serial === null ? kind : `${kind} ${serial}`,
  );
}

test("a CA on which all is well has no alerts", () => {
  assert.deepEqual(alertsOf({}), []);
});

test("an authority is told of in its last 30 days, and not before", () => {
  const ending = (days: number) =>
    alertsOf({
      authorities: [
        { role: "intermediate", keyId: ISSUER, notAfter: new Date(NOW_MS + days * DAY_MS).toISOString() },
      ],
    });
  assert.deepEqual([ending(31), ending(29), ending(-1)], [[], ["authority-ending"], ["authority-ending"]]);
});

test("a certificate in use is told of when less than a quarter of its life is left", () => {
  const left = (ms: number) => alertsOf({ inUse: [use({ notAfter: new Date(NOW_MS + ms).toISOString() })] });
  assert.deepEqual(left(HOUR_MS / 2), []);
  assert.deepEqual(left(HOUR_MS / 4), ["certificate-ending 0a"]);
});

test("of a certificate that lives for seconds only its end is told, since a machine pauses for as long as a quarter of it", () => {
  const of = (ageMs: number, leftMs: number) => {
    const at = (ms: number) => new Date(NOW_MS + ms).toISOString();
    return alertsOf({ inUse: [use({ issuedAt: at(-ageMs), notAfter: at(leftMs) })], live: [] }).filter(
      (alert) => alert.startsWith("certificate-ending"),
    );
  };
  assert.deepEqual(of(2800, 200), []);
  assert.deepEqual(of(59_000, 2000), ["certificate-ending 0a"], "61 s are no longer short");
  assert.deepEqual(of(4000, -900), [], "its successor is on the way");
  assert.deepEqual(of(4000, -1100), ["certificate-ending 0a"]);
  assert.deepEqual(of(HOUR_MS, -1100), ["certificate-ending 0a"]);
});

test("a certificate in use that is not on record, or revoked, is told of", () => {
  assert.deepEqual(alertsOf({ live: [] }), ["not-on-record 0a"]);
  assert.deepEqual(alertsOf({ isRevoked: () => true }), ["revoked-in-use 0a"]);
});

test("a second key for a pod's identity is told of when no proxy ever had it", () => {
  const second = record({ serial: "0b", issuedAtMs: NOW_MS - 6000 });
  const live = [record(), second];
  assert.deepEqual(alertsOf({ live }), ["two-keys 0b"]);
  assert.deepEqual(alertsOf({ live, everUsed: new Set(["0a", "0b"]) }), [], "a proxy's own of before");
  assert.deepEqual(alertsOf({ live, isRevoked: ({ serial }) => serial === "0b" }), []);
  assert.deepEqual(
    alertsOf({ live, watchingSinceMs: NOW_MS }),
    [],
    "proxies told it to the control plane before",
  );
  const fresh = [record(), record({ serial: "0b", issuedAtMs: NOW_MS - 1000 })];
  assert.deepEqual(alertsOf({ live: fresh }), [], "its proxy has not said so yet");
  assert.deepEqual(alertsOf({ live, inUse: [] }), [], "no proxy has that identity: nobody would tell");
});

test("a second key is told of although its certificate lived shorter than the grace", () => {
  const short = record({ serial: "0b", issuedAtMs: NOW_MS - 6000, notAfterMs: NOW_MS - 1000 });
  assert.deepEqual(alertsOf({ recent: [short] }), ["two-keys 0b"]);
  assert.deepEqual(alertsOf({ recent: [short], everUsed: new Set(["0a", "0b"]) }), []);
  assert.deepEqual(alertsOf({ live: [record(), short], recent: [short] }), ["two-keys 0b"], "told of once");
  assert.deepEqual(alertsOf({ recent: [short], cutoffs: new Map([[TELLER, NOW_MS - 100]]) }), [], "answered");
  assert.deepEqual(
    alertsOf({ recent: [short], cutoffs: new Map([[TELLER, NOW_MS - 7000]]) }),
    ["two-keys 0b"],
    "after the cutoff",
  );
});

test("many second keys of one identity are one alert, which counts and names them, the newest first; those of another are another", () => {
  const auditor = parseSpiffeId("spiffe://cluster.local/ns/bank/sa/auditor")?.id ?? assert.fail();
  const second = (serial: string, agoMs: number, change: Partial<IssuedCertificateRecord> = {}) =>
    record({ serial, keyHash: serial, issuedAtMs: NOW_MS - agoMs, ...change });
  const alerts = caAlerts(
    pictureOf({
      live: [record(), second("0b", 9000), second("0c", 7000), second("0d", 8000, { spiffeId: auditor })],
      inUse: [use(), { ...use(), pod: "bank/auditor-0", identity: auditor }],
    }),
  );
  assert.deepEqual(
    alerts.map(({ kind, identity, serials }) => [kind, identity, serials]),
    [
      ["two-keys", TELLER, ["0c", "0b"]],
      ["two-keys", auditor, ["0d"]],
    ],
  );
  assert.match(alerts[0]?.message ?? "", /^2 keys \(2 certificates\) that no proxy of bank\/teller-0 has/);
  assert.match(alerts[0]?.message ?? "", /revoke spiffe:\/\/cluster.local\/ns\/bank\/sa\/teller /);
});

test("what the Workload API handed to a pod's application is no second key", () => {
  const own = record({ serial: "0b", issuedAtMs: NOW_MS - 6000, method: "workload-api" });
  assert.deepEqual(alertsOf({ live: [record(), own], recent: [own] }), []);
});

test("the advice is to revoke the identity where the thief has its token or certificate, else the serial", () => {
  const advice = (method: string) => {
    const second = record({ serial: "0b", issuedAtMs: NOW_MS - 6000, method });
    const [alert] = caAlerts(pictureOf({ live: [record(), second] }));
    return alert?.message.replace(/^.*: bulwark/s, "bulwark");
  };
  const identity = `bulwark ca revoke ${TELLER} --reason keyCompromise`;
  assert.deepEqual([advice("token"), advice("certificate")], [identity, identity]);
  assert.equal(advice("node-agent"), "bulwark ca revoke 0b --reason keyCompromise");
});

test("a certificate under a key that is none of the CA's is told of", () => {
  assert.deepEqual(alertsOf({ live: [record({ issuerKeyId: "bb".repeat(20) })] }), ["unexpected-issuer 0a"]);
  const issued = (agoMs: number) => {
    const strange = record({
      issuerKeyId: "bb".repeat(20),
      issuedAtMs: NOW_MS - agoMs,
      notAfterMs: NOW_MS - 1,
    });
    return alertsOf({ live: [], recent: [strange], inUse: [], everUsed: new Set(["0a"]) });
  };
  assert.deepEqual(issued(9000), [], "another replica tells of its new intermediate within some seconds");
  assert.deepEqual(issued(11_000), ["unexpected-issuer 0a"], "also when it has ended");
});

test("clocks that are apart are told of: a proxy's, and another replica's", () => {
  const late = use({ issuedAt: new Date(NOW_MS - HOUR_MS + 6000).toISOString() });
  assert.deepEqual(alertsOf({ inUse: [late] }), ["clock-skew 0a"]);
  const future = record({ issuedAtMs: NOW_MS + 6000, serial: "0c" });
  assert.deepEqual(alertsOf({ live: [record(), future] }), ["clock-skew 0c"]);
});
