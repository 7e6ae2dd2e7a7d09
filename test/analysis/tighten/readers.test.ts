import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readBulwarkFlow } from "../../../src/analysis/tighten/read-bulwark-flow.ts";
import { type EnvoyLogOptions, readEnvoyLog } from "../../../src/analysis/tighten/read-envoy-log.ts";
import { readHubbleFlow } from "../../../src/analysis/tighten/read-hubble-flow.ts";
import { WorkloadNames } from "../../../src/analysis/tighten/workload-names.ts";
import type { FlowRecord } from "../../../src/model/flow-record.ts";
import { meshOf } from "../../policy/inbound-fixture.ts";
import { pod } from "./tighten-fixture.ts";

const SEED = 20261122;
const names = new WorkloadNames(meshOf(pod("foo", "sleep"), pod("bar", "admin")));
const PRINCIPAL = "cluster.local/ns/foo/sa/sleep";

const RECORD: FlowRecord = {
  id: "foo/httpbin@1:0",
  time: "2026-11-02T09:00:00Z",
  kind: "request",
  reporter: "foo/httpbin",
  direction: "inbound",
  verdict: "allow",
  protocol: "http",
  source: { principal: PRINCIPAL, ip: "10.30.3.5" },
  destination: { port: 8080, host: "httpbin" },
  method: "GET",
  path: "/a?b",
  status: 200,
  policy: "AuthorizationPolicy foo/a",
  rule: 1,
};

test("a request that Bulwark's proxy let in is a server's flow, with the rule that did it", () => {
  assert.deepEqual(readBulwarkFlow(RECORD, names), {
    kind: "server",
    workload: "foo/httpbin",
    port: 8080,
    caller: { principal: PRINCIPAL, by: "certificate", ip: "10.30.3.5" },
    http: { method: "GET", path: "/a?b", status: 200 },
    isOpaque: false,
    policy: "AuthorizationPolicy foo/a",
    rule: 1,
    timeMs: Date.UTC(2026, 10, 2, 9),
  });
});

test("what was refused, what failed, what was cut, and what is no traffic is no evidence", () => {
  const why = (record: Partial<FlowRecord>): string => {
    const reading = readBulwarkFlow({ ...RECORD, ...record }, names);
    return reading.kind === "left-out" ? reading.why : reading.kind;
  };
  assert.equal(why({ verdict: "deny" }), "denied");
  assert.equal(why({ verdict: "error" }), "failed");
  assert.equal(why({ kind: "handshake" }), "not-traffic");
  assert.equal(why({ kind: "handshake", verdict: "deny" }), "denied");
  assert.equal(why({ kind: "rotation" }), "not-traffic");
  assert.equal(why({ truncated: true }), "untold");
  assert.equal(why({ reporter: "foo/nobody" }), "unknown-workload");
  assert.equal(why({ path: undefined }), "untold");
  assert.equal(why({ destination: {} }), "untold");
  assert.equal(why({ kind: "connection", protocol: "http" }), "not-traffic");
  assert.equal(why({ kind: "connection", protocol: "tcp" }), "server");
  assert.equal(why({ direction: "outbound" }), "client");
});

const LOG = {
  start_time: "2026-11-02T09:00:00.000Z",
  method: "GET",
  path: "/a",
  authority: "httpbin.foo:80",
  protocol: "HTTP/1.1",
  response_code: 200,
  response_flags: "-",
  response_code_details: "via_upstream",
  upstream_cluster: "inbound|8080||",
  downstream_local_address: "10.20.0.5:8080",
  downstream_remote_address: "10.30.3.5:41000",
  requested_server_name: "outbound_.80_._.httpbin.foo.svc.cluster.local",
  x_forwarded_for: null,
};

function envoy(log: object, options: EnvoyLogOptions = {}) {
  return readEnvoyLog(log, names, options);
}

test("an access log of Envoy tells identity by the certificate, and by an address only where that is asked for", () => {
  const caller = (log: object, options: EnvoyLogOptions = {}) => {
    const reading = envoy({ ...LOG, ...log }, options);
    assert.equal(reading.kind, "server");
    return reading.kind === "server" ? reading.caller : undefined;
  };
  const san = { downstream_peer_uri_san: `spiffe://${PRINCIPAL}` };
  assert.deepEqual(caller(san), { principal: PRINCIPAL, by: "certificate", ip: "10.30.3.5" });
  assert.deepEqual(caller({}), { principal: null, by: "none", ip: "10.30.3.5" });
  assert.deepEqual(caller({}, { trustAddresses: true }), {
    principal: PRINCIPAL,
    by: "address",
    ip: "10.30.3.5",
  });
  // Anybody may send the header that Envoy takes the remote address from.
  assert.deepEqual(caller({ x_forwarded_for: "10.30.3.5" }, { trustAddresses: true }), {
    principal: null,
    by: "none",
  });
  assert.deepEqual(
    caller({ downstream_peer_uri_san: `spiffe://${PRINCIPAL},spiffe://x/y` })?.principal,
    null,
  );
});

test("what Envoy refused, or may have refused, is no evidence", () => {
  const why = (log: object): string => {
    const reading = envoy({ ...LOG, ...log });
    return reading.kind === "left-out" ? reading.why : reading.kind;
  };
  assert.equal(
    why({ response_code: 403, response_code_details: "rbac_access_denied_matched_policy[none]" }),
    "denied",
  );
  assert.equal(why({ response_code: 403, response_code_details: "via_upstream" }), "server");
  assert.equal(why({ response_code: 403, response_code_details: undefined }), "denied");
  assert.equal(
    why({ response_code: 401, response_code_details: "jwt_authn_access_denied{Jwt_is_missing}" }),
    "denied",
  );
  assert.equal(why({ response_flags: "UAEX", response_code: 403 }), "denied");
  assert.equal(why({ response_code: 0 }), "failed");
  assert.equal(why({ upstream_cluster: "BlackHoleCluster" }), "untold");
});

test("whose proxy wrote the log is told by whoever asks, by the collector, or by its own address, and not guessed", () => {
  const workload = (log: object, options: EnvoyLogOptions = {}): string | undefined => {
    const reading = envoy(log, options);
    return reading.kind === "server" ? reading.workload : undefined;
  };
  const elsewhere = { ...LOG, downstream_local_address: "10.99.0.1:8080" };
  assert.equal(workload(LOG), "foo/httpbin");
  assert.equal(workload(elsewhere), undefined);
  assert.equal(workload(elsewhere, { reporter: "bar/admin" }), "bar/admin");
  const collected = (pod_name: string) => ({
    log: JSON.stringify(elsewhere),
    kubernetes: { namespace_name: "foo", pod_name },
  });
  assert.equal(workload(collected("httpbin-7d9c4b8f6d-x2lpq")), "foo/httpbin");
  assert.equal(workload(collected("httpbin-0")), "foo/httpbin");
  assert.equal(workload(collected("httpbin-canary")), undefined);
});

test("a client's own log tells the host that was asked for", () => {
  const outbound = {
    ...LOG,
    upstream_cluster: "outbound|443||www.ibm.com",
    authority: "WWW.ibm.com:443",
    downstream_local_address: "192.0.2.7:443",
    downstream_remote_address: "10.30.3.5:3",
  };
  assert.deepEqual(envoy(outbound), {
    kind: "client",
    workload: "foo/sleep",
    host: "www.ibm.com",
    port: 443,
    protocol: "http",
    timeMs: Date.UTC(2026, 10, 2, 9),
  });
  // Whatever name it gave: the proxy knew no service by the address.
  const passedOn = envoy({ ...outbound, upstream_cluster: "PassthroughCluster" });
  assert.ok(passedOn.kind === "client" && passedOn.isPassedOn === true);
});

const FLOW = {
  time: "2026-11-02T09:00:00.123Z",
  verdict: "FORWARDED",
  traffic_direction: "INGRESS",
  is_reply: false,
  IP: { source: "10.30.3.5", destination: "10.20.0.5" },
  l4: { TCP: { source_port: 41000, destination_port: 8080, flags: { SYN: true } } },
  source: {
    namespace: "foo",
    pod_name: "sleep-7d9c4b8f6d-x2lpq",
    workloads: [{ name: "sleep", kind: "Deployment" }],
  },
  destination: { namespace: "foo", pod_name: "httpbin-7d9c4b8f6d-x2lpq" },
};

test("a flow of Hubble names both pods; what was asked for it tells where it looked", () => {
  const expected = {
    kind: "server",
    workload: "foo/httpbin",
    port: 8080,
    caller: { principal: PRINCIPAL, by: "pod", ip: "10.30.3.5" },
    http: null,
    isOpaque: false,
    timeMs: Date.parse(FLOW.time),
  };
  assert.deepEqual(readHubbleFlow({ flow: FLOW, node_name: "n" }, names), expected);
  const l7 = { type: "REQUEST", http: { method: "GET", url: "http://httpbin.foo/a?b" } };
  assert.deepEqual(readHubbleFlow({ flow: { ...FLOW, l7 } }, names), {
    ...expected,
    http: { method: "GET", path: "/a?b" },
  });
});

test("replies, drops, flows without a direction and strangers are no evidence of Hubble's", () => {
  const why = (flow: object): string => {
    const reading = readHubbleFlow({ flow: { ...FLOW, ...flow } }, names);
    return reading.kind === "left-out" ? reading.why : reading.kind;
  };
  assert.equal(why({ verdict: "DROPPED" }), "denied");
  assert.equal(why({ is_reply: true }), "not-traffic");
  assert.equal(
    why({ is_reply: undefined, l4: { TCP: { destination_port: 8080, flags: { ACK: true } } } }),
    "untold",
  );
  assert.equal(why({ traffic_direction: "TRAFFIC_DIRECTION_UNKNOWN" }), "untold");
  assert.equal(why({ destination: { namespace: "foo", pod_name: "stranger" } }), "unknown-workload");
  assert.equal(why({ l4: { UDP: { destination_port: 53 } } }), "not-traffic");
  assert.deepEqual(readHubbleFlow({ lost_events: { num_events_lost: "7" } }, names), {
    kind: "lost",
    count: 7,
  });
});

/** What a hostile or broken log may hold where a record should be: any JSON, and records with any JSON in any field. */
function broken(record: object): fc.Arbitrary<unknown> {
  const keys = Object.keys(record);
  return fc.oneof(
    fc.jsonValue(),
    fc.tuple(fc.constantFrom(...keys), fc.jsonValue()).map(([key, value]) => ({ ...record, [key]: value })),
    fc
      .constantFrom(...keys)
      .map((key) => Object.fromEntries(Object.entries(record).filter(([own]) => own !== key))),
  );
}

const KINDS: ReadonlySet<string> = new Set(["server", "client", "left-out", "malformed", "lost"]);

for (const [format, record, read] of [
  ["Envoy", LOG, (value: unknown) => readEnvoyLog(value, names, { trustAddresses: true })],
  [
    "Envoy, collected",
    { log: LOG, kubernetes: { namespace_name: "foo", pod_name: "httpbin-0" } },
    (value: unknown) => readEnvoyLog(value, names, {}),
  ],
  ["Hubble", FLOW, (value: unknown) => readHubbleFlow({ flow: value }, names)],
  ["Hubble, any line", { flow: FLOW }, (value: unknown) => readHubbleFlow(value, names)],
] as const)
  test(`a reader of ${format} logs never throws, and grants only to workloads and ports that there are`, () => {
    fc.assert(
      fc.property(broken(record), (value) => {
        const reading = read(value);
        assert.ok(KINDS.has(reading.kind));
        if (reading.kind !== "server") return;
        assert.ok(names.byKey(reading.workload) !== undefined);
        assert.ok(Number.isInteger(reading.port) && reading.port > 0 && reading.port < 65_536);
        assert.ok(Number.isFinite(reading.timeMs));
        if (reading.http !== null) assert.equal(typeof reading.http.path, "string");
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
