import assert from "node:assert/strict";
import { test } from "node:test";
import { suspiciousUses } from "../../src/attack/drill/suspicious-uses.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";

const PRINCIPAL = "cluster.local/ns/bank/sa/teller";
const RIGHTFUL = {
  principal: PRINCIPAL,
  addresses: new Set(["127.20.0.1", "127.20.0.2"]),
  serials: new Set(["AA01", "AA02"]),
};

function handshake(more: {
  ip?: string;
  serial?: string;
  principal?: string;
  kind?: FlowRecord["kind"];
  direction?: FlowRecord["direction"];
}): FlowRecord {
  const { ip = "127.20.0.1", serial = "AA01", principal = PRINCIPAL } = more;
  return {
    time: "2026-11-22T12:00:00.000000000Z",
    reporter: "bank/ledger",
    kind: more.kind ?? "handshake",
    direction: more.direction ?? "inbound",
    verdict: "allow",
    source: { principal, ip },
    tls: { peerSerial: serial },
  } as FlowRecord;
}

test("a pod's own certificate from a pod's own address is no suspicious use, whichever replica it is", () => {
  assert.deepEqual(
    suspiciousUses([handshake({}), handshake({ ip: "127.20.0.2", serial: "AA02" })], RIGHTFUL),
    [],
  );
});

test("a copied key shows by its address, a second key by its serial, and both are told", () => {
  const suspicions = (record: FlowRecord) => suspiciousUses([record], RIGHTFUL).map((use) => use.suspicions);
  assert.deepEqual(suspicions(handshake({ ip: "127.0.0.66" })), [["unexpected-address"]]);
  assert.deepEqual(suspicions(handshake({ serial: "BB01" })), [["unclaimed-key"]]);
  assert.deepEqual(suspicions(handshake({ ip: "127.0.0.66", serial: "BB01" })), [
    ["unexpected-address", "unclaimed-key"],
  ]);
});

test("records of other identities, other kinds and the other direction say nothing", () => {
  const thief = { ip: "127.0.0.66", serial: "BB01" };
  const others = [
    handshake({ ...thief, principal: "cluster.local/ns/bank/sa/ledger" }),
    handshake({ ...thief, kind: "request" }),
    handshake({ ...thief, direction: "outbound" }),
  ];
  assert.deepEqual(suspiciousUses(others, RIGHTFUL), []);
});
