import fc from "fast-check";
import type { FlowDraft, FlowRecord } from "../../src/model/flow-record.ts";
import { FLOW_DIRECTIONS, FLOW_KINDS, FLOW_VERDICTS } from "../../src/model/flow-record.ts";
import { microsRfc3339 } from "../../src/telemetry/flow-time.ts";

/** 2026-01-01T00:00:00Z. */
export const BASE_MICROS = 1_767_225_600_000_000;

const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 3 });
const workload = fc.constantFrom("team-a/app-a", "team-a/app-b", "team-b/app-a", "finance/payroll");
const host = fc.constantFrom(
  "www.ibm.com",
  "mongo1.composedb.com",
  "payroll.finance",
  "payroll.finance.svc.cluster.local",
);
const ip = fc.constantFrom("127.1.0.1", "127.1.0.2", "::1");
const port = fc.constantFrom(80, 443, 8080, 40_000, 40_001);
/** Texts with what patterns, SQL and terminals treat specially. */
const odd = fc.string({
  unit: fc.constantFrom("a", "b", "/", "*", "?", "[", "]", "'", '"', ",", "é", "%", "_"),
  minLength: 1,
  maxLength: 6,
});

export const draftArbitrary: fc.Arbitrary<FlowDraft> = fc.record({
  time: fc.integer({ min: 0, max: 5_000_000 }).map((offset) => microsRfc3339(BASE_MICROS + offset)),
  kind: fc.constantFrom(...FLOW_KINDS),
  verdict: fc.constantFrom(...FLOW_VERDICTS),
  reporter: workload,
  direction: some(fc.constantFrom(...FLOW_DIRECTIONS)),
  source: some(fc.record({ workload: some(workload), ip: some(ip), port: some(port) })),
  destination: some(
    fc.record({ workload: some(workload), service: some(host), host: some(host), port: some(port) }),
  ),
  method: some(fc.constantFrom("GET", "POST")),
  path: some(odd),
  sni: some(host),
  innerSni: some(host),
  status: some(fc.constantFrom(200, 403, 503)),
  policy: some(fc.constantFrom("AuthorizationPolicy finance/auditor", "PeerAuthentication finance/strict")),
  traceId: some(fc.constantFrom("0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c")),
});

/** Records with ids `r@0:0`, `r@0:1` …, as they come back from JSON (no undefined fields). */
export const recordsArbitrary: fc.Arbitrary<FlowRecord[]> = fc
  .array(draftArbitrary, { maxLength: 40 })
  .map((drafts) =>
    drafts.map((draft, n) => JSON.parse(JSON.stringify({ id: `r@0:${n}`, ...draft })) as FlowRecord),
  );

export function sampleDraft(n: number): FlowDraft {
  return {
    time: microsRfc3339(BASE_MICROS + n),
    kind: "request",
    reporter: "finance/payroll",
    direction: "inbound",
    protocol: "http",
    verdict: n % 10 === 0 ? "deny" : "allow",
    source: {
      workload: "team-a/app-a",
      principal: "cluster.local/ns/team-a/sa/app-a",
      ip: "127.1.0.1",
      port: 40_000 + (n % 100),
    },
    destination: { workload: "finance/payroll", host: "payroll.finance", ip: "127.1.0.9", port: 8080 },
    method: "GET",
    path: `/accounts/${n}`,
    status: n % 10 === 0 ? 403 : 200,
    traceId: n.toString(16).padStart(32, "0"),
  };
}

export function sampleRecord(n: number): FlowRecord {
  return { id: `finance/payroll@test:${n}`, ...sampleDraft(n) };
}
