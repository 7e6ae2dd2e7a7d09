import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { flowLineWidths, formatFlowJson, formatFlowLine } from "../../src/telemetry/flow-format.ts";
import { recordsArbitrary, sampleRecord } from "./flow-arbitrary.ts";

const denied: FlowRecord = {
  ...sampleRecord(0),
  bytesSent: 12,
  bytesReceived: 19,
  durationMs: 1.234,
  layer: "rbac",
  reason: "no-allow-matched",
  policy: "AuthorizationPolicy finance/auditor-reads-accounts",
  rule: 0,
};

test("formatFlowLine() of a denial names who refused, by which policy and rule", () => {
  assert.equal(
    formatFlowLine(denied, flowLineWidths([denied])),
    "00:00:00.000  DENY   request     team-a/app-a → finance/payroll:8080  in GET /accounts/0 403 12↑ 19↓ 1.2 ms  " +
      "finance/payroll refused by AuthorizationPolicy finance/auditor-reads-accounts rule 0 (rbac: no-allow-matched)",
  );
});

test("formatFlowLine() shows the address that was dialled besides the host that was claimed", () => {
  const to = (destination: FlowRecord["destination"]) =>
    formatFlowLine({ ...sampleRecord(1), ...(destination === undefined ? {} : { destination }) });
  assert.match(to({ host: "www.ibm.com", ip: "127.0.0.1", port: 22 }), /→ www\.ibm\.com:22 at 127\.0\.0\.1 /);
  assert.match(to({ host: "www.ibm.com", port: 443 }), /→ www\.ibm\.com:443 +(?!at)/);
  assert.doesNotMatch(to({ host: "www.ibm.com", port: 443 }), / at /);
  assert.doesNotMatch(to({ workload: "a/b", host: "b.a", ip: "127.1.1.1", port: 80 }), / at /);
});

test("formatFlowLine() of what passed tells no refusal", () => {
  const line = formatFlowLine(sampleRecord(1));
  assert.match(line, /ALLOW {2}request/);
  assert.doesNotMatch(line, /refused|failed/);
});

test("formatFlowLine() lines up and colours only when asked", () => {
  const records = [sampleRecord(1), { ...denied, source: { ip: "::1", port: 9 } }];
  const widths = flowLineWidths(records);
  const arrows = records.map((record) => formatFlowLine(record, widths).indexOf("→"));
  assert.equal(new Set(arrows).size, 1);
  assert.ok(!formatFlowLine(denied).includes("\u001b"));
  assert.ok(formatFlowLine(denied, { colour: true }).includes("\u001b[31mDENY \u001b[0m"));
});

test("formatFlowLine() shows both names of an egress connection when they differ", () => {
  const spoof: FlowRecord = {
    id: "x:1",
    time: denied.time,
    kind: "connection",
    reporter: "e/g",
    verdict: "deny",
    protocol: "tls",
    sni: "a.example",
    innerSni: "b.example",
  };
  assert.match(formatFlowLine(spoof), /tls sni a\.example \(inner b\.example\)/);
  assert.doesNotMatch(formatFlowLine({ ...spoof, innerSni: "a.example" }), /inner/);
});

test("formatFlowLine() lets no record write on the terminal", () => {
  const hostile = "\u001b[2J\r\n\u202e\u0007\u009b\u200b\ud800";
  fc.assert(
    fc.property(recordsArbitrary, fc.string({ unit: "binary", maxLength: 20 }), (records, text) => {
      for (const record of records) {
        const evil = `${hostile}${text}`;
        const line = formatFlowLine({
          ...record,
          path: evil,
          method: evil,
          sni: evil,
          policy: evil,
          reporter: evil,
          source: { workload: evil },
          destination: { host: evil },
        });
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }
    }),
    { numRuns: 40 },
  );
});

test("formatFlowJson() is one line that reads back as the record", () => {
  const line = formatFlowJson(denied);
  assert.ok(!line.includes("\n"));
  assert.deepEqual(JSON.parse(line), denied);
});
