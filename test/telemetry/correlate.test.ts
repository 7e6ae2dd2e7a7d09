import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { correlate, correlateAll, describeRefusal } from "../../src/telemetry/correlate.ts";
import { microsRfc3339 } from "../../src/telemetry/flow-time.ts";
import { BASE_MICROS } from "./flow-arbitrary.ts";

const at = (ms: number): string => microsRfc3339(BASE_MICROS + ms * 1000);

/** A → egress gateway → external host: A's sidecar, then the gateway, joined by A's sidecar's port. */
function egress(port: number, startMs = 0): readonly [FlowRecord, FlowRecord, FlowRecord] {
  const client: FlowRecord = {
    id: `a@1:${port}${startMs}`,
    time: at(startMs),
    kind: "connection",
    reporter: "team-a/app-a",
    direction: "outbound",
    verdict: "error",
    sni: "mongo1.composedb.com",
    durationMs: 20,
    upstream: { ip: "127.1.0.9", port: 8443, localIp: "127.1.0.1", localPort: port },
  };
  const end = { source: { ip: "127.1.0.1", port }, destination: { ip: "127.1.0.9", port: 8443 } } as const;
  const gateway = {
    reporter: "istio-system/egress",
    direction: "inbound",
    connectionId: `g${port}${startMs}`,
    ...end,
  } as const;
  return [
    client,
    { ...gateway, id: `g@1:${port}${startMs}h`, time: at(startMs + 2), kind: "handshake", verdict: "allow" },
    {
      ...gateway,
      id: `g@1:${port}${startMs}c`,
      time: at(startMs + 1),
      kind: "connection",
      verdict: "deny",
      layer: "rbac",
      reason: "no-allow-matched",
      policy: "AuthorizationPolicy istio-system/egress",
      rule: 0,
    },
  ];
}

test("correlate() joins a client's record with the gateway's by address and port, and names who refused", () => {
  const mine = egress(40_000);
  const records = [...egress(40_001), ...mine, ...egress(40_002)];
  for (const start of mine) {
    const chain = correlate(records, start);
    assert.deepEqual(chain.records, mine);
    assert.equal(chain.refusal, mine[2]);
  }
});

test("correlate() does not join another connection that had the same port at another time, or another address", () => {
  const mine = egress(40_000);
  const later = egress(40_000, 60_000);
  assert.deepEqual(correlate([...later, ...mine], mine[0]).records, mine);
  const elsewhere = mine.map((record) => ({ ...record, destination: { ip: "127.1.0.8", port: 8443 } }));
  assert.deepEqual(correlate([...elsewhere.slice(1), mine[0]], mine[0]).records, [mine[0]]);
  const otherClient = mine.map((record) => ({ ...record, source: { ip: "127.1.0.77", port: 40_000 } }));
  assert.deepEqual(correlate([...otherClient.slice(1), mine[0]], mine[0]).records, [mine[0]]);
});

function http(
  trace: string,
  reporter: string,
  direction: "inbound" | "outbound",
  verdict: "allow" | "deny",
): FlowRecord {
  return {
    id: `${reporter}@1:${trace}`,
    time: at(direction === "outbound" ? 0 : 1),
    kind: "request",
    reporter,
    direction,
    verdict,
    traceId: trace.repeat(32),
    method: "GET",
    path: "/",
    ...(direction === "outbound"
      ? { upstream: { ip: "127.1.0.9", port: 8080, localPort: 40_000 } }
      : { source: { ip: "127.1.0.1", port: 40_000 }, destination: { ip: "127.1.0.9", port: 8080 } }),
  };
}

test("correlate() keeps requests of a pooled connection apart by their traces", () => {
  const one = [
    http("1", "team-a/app-a", "outbound", "allow"),
    http("1", "finance/payroll", "inbound", "deny"),
  ];
  const two = [
    http("2", "team-a/app-a", "outbound", "allow"),
    http("2", "finance/payroll", "inbound", "allow"),
  ];
  const records = [...two, ...one].reverse();
  const [client, server] = one;
  assert.ok(client && server);
  assert.deepEqual(correlate(records, client).records, one);
  assert.equal(correlate(records, client).refusal, server);
  const [passed] = two;
  assert.ok(passed);
  assert.equal(correlate(records, passed).refusal, undefined);
});

test("correlate() joins by trace alone where a hop tells no ports", () => {
  const { upstream: _, ...client } = http("1", "team-a/app-a", "outbound", "allow");
  const server = http("1", "finance/payroll", "inbound", "deny");
  assert.deepEqual(correlate([server, client], client).records, [client, server]);
  assert.deepEqual(correlate([server, client], server).records, [client, server]);
});

test("correlate() prefers the farthest denial to an error", () => {
  const [client, , gateway] = egress(40_000);
  assert.equal(correlate([client, gateway], client).refusal, gateway);
  assert.equal(correlate([client], client).refusal, client);
});

test("correlateAll() puts each record into exactly one chain, whatever the order", () => {
  const connections = Array.from({ length: 8 }, (_, i) => egress(40_000 + i));
  fc.assert(
    fc.property(fc.shuffledSubarray(connections.flat(), { minLength: 24, maxLength: 24 }), (records) => {
      const chains = correlateAll(records);
      assert.equal(chains.length, connections.length);
      for (const chain of chains)
        assert.ok(connections.some((mine) => mine.every((record, i) => chain.records[i] === record)));
    }),
    { numRuns: 30 },
  );
});

test("describeRefusal() tells a refusal from a failure, and leaves out what is not known", () => {
  const [client, , gateway] = egress(40_000);
  assert.equal(
    describeRefusal(gateway),
    "istio-system/egress refused by AuthorizationPolicy istio-system/egress rule 0 (rbac: no-allow-matched)",
  );
  assert.equal(describeRefusal(client), "team-a/app-a failed");
});
