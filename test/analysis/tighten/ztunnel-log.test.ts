import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readZtunnelLog } from "../../../src/analysis/tighten/read-ztunnel-log.ts";
import { WorkloadNames } from "../../../src/analysis/tighten/workload-names.ts";
import { meshOf, resource } from "../../policy/inbound-fixture.ts";
import { pod } from "./tighten-fixture.ts";

const SEED = 20261123;
const labels = { "istio.io/dataplane-mode": "ambient" };
const names = new WorkloadNames(
  meshOf(
    resource("Namespace", "foo", {}, { namespace: "", labels, body: { metadata: { labels } } }),
    pod("foo", "sleep"),
    pod("bar", "admin"),
  ),
);

/** As ztunnel 1.24 writes it. */
const LINE =
  '2026-11-02T09:00:00.094336Z\tinfo\taccess\tconnection complete\tsrc.addr=10.30.3.5:46992 src.workload="sleep-7b5db664c-v7b6x" ' +
  'src.namespace="foo" src.identity="spiffe://cluster.local/ns/foo/sa/sleep" dst.addr=10.20.0.5:15008 dst.hbone_addr=10.20.0.5:8080 ' +
  'dst.service="httpbin.foo.svc.cluster.local" dst.workload="httpbin-6cd6d9df6b-mddv2" dst.namespace="foo" ' +
  'dst.identity="spiffe://cluster.local/ns/foo/sa/httpbin" direction="inbound" bytes_sent=564 bytes_recv=156 duration="5013ms"';

const JSON_LINE = JSON.stringify({
  level: "info",
  time: "2026-11-02T09:00:00.094336Z",
  scope: "access",
  message: "connection complete",
  "src.addr": "10.30.3.5:46992",
  "src.identity": "spiffe://cluster.local/ns/foo/sa/sleep",
  "dst.addr": "10.20.0.5:15008",
  "dst.hbone_addr": "10.20.0.5:8080",
  "dst.workload": "httpbin-6cd6d9df6b-mddv2",
  "dst.namespace": "foo",
  direction: "inbound",
  bytes_sent: 564,
});

const CONNECTION = {
  kind: "server",
  workload: "foo/httpbin",
  port: 8080,
  caller: { principal: "cluster.local/ns/foo/sa/sleep", by: "certificate", ip: "10.30.3.5" },
  http: null,
  isOpaque: true,
  timeMs: Date.parse("2026-11-02T09:00:00.094Z"),
};

test("a connection that ztunnel let in tells its pod, the port in the tunnel and the certificate's identity, as text, as JSON, and as collectors wrap them", () => {
  for (const line of [
    LINE,
    JSON_LINE,
    `2026-11-02T09:00:01Z stdout F ${LINE}`,
    JSON.stringify({ log: `${LINE}\n`, kubernetes: { pod_name: "ztunnel-x2x4k" } }),
    JSON.stringify({ message: JSON.parse(JSON_LINE) }),
  ])
    assert.deepEqual(readZtunnelLog(line, names), CONNECTION, line);
});

test("what came in clear has no identity, and is for the port itself", () => {
  const clear = LINE.replace(/ src\.identity="[^"]*"/, "")
    .replace(/ dst\.hbone_addr=\S+/, "")
    .replace("10.20.0.5:15008", "10.20.0.5:9000");
  const reading = readZtunnelLog(clear, names);
  assert.ok(reading.kind === "server");
  assert.deepEqual([reading.port, reading.caller], [9000, { principal: null, by: "none", ip: "10.30.3.5" }]);
});

test("refusals, failures, connections that only began, other lines and other pods' are no evidence", () => {
  const why = (line: string): string => {
    const reading = readZtunnelLog(line, names);
    return reading.kind === "left-out" ? `${reading.why} ${reading.about ?? ""}`.trim() : reading.kind;
  };
  const failing = (error: string): string => `${LINE.replace("info", "error")} error="${error}"`;
  const refused = failing(
    "connection closed due to policy rejection: allow policies exist, but none allowed",
  );
  assert.equal(why(refused), "denied");
  assert.equal(why(failing("connection failed: deadline has elapsed")), "failed");
  assert.equal(why(LINE.replace("connection complete", "connection opened")), "not-traffic");
  assert.equal(
    why(LINE.replace("info\taccess\tconnection complete", "warn\taccess\tconnection failed")),
    "denied",
  );
  assert.equal(why("2026-11-02T09:00:00.09Z\tinfo\txds::client:xds\treceived response"), "not-traffic");
  assert.equal(why(LINE.replace('direction="inbound"', 'direction="outbound"')), "untold foo/sleep");
  assert.equal(why(LINE.replaceAll("httpbin-6cd6d9df6b-mddv2", "nobody-1")), "unknown-workload");
  const sidecar = LINE.replace("httpbin-6cd6d9df6b-mddv2", "admin").replace(
    'dst.namespace="foo"',
    'dst.namespace="bar"',
  );
  assert.equal(why(sidecar), "unknown-workload");
  assert.equal(why("nonsense"), "malformed");
  assert.equal(why("{"), "malformed");
});

test("a reader of ztunnel's logs never throws, and grants only to pods in ambient mode and ports that there are", () => {
  const pieces = fc.constantFrom(
    "=",
    '"',
    "\\",
    " ",
    "\t",
    "{",
    "}",
    "dst.addr=",
    "x:99999",
    "error",
    "__proto__=",
  );
  const broken = fc
    .tuple(fc.constantFrom(LINE, JSON_LINE), fc.nat(500), fc.nat(30), fc.array(pieces, { maxLength: 4 }))
    .map(([line, at, cut, put]) => line.slice(0, at) + put.join("") + line.slice(at + cut));
  fc.assert(
    fc.property(broken, (line) => {
      const reading = readZtunnelLog(line, names);
      if (reading.kind !== "server") return;
      assert.equal(names.byKey(reading.workload)?.dataplane, "ambient");
      assert.ok(Number.isInteger(reading.port) && reading.port > 0 && reading.port < 65_536);
      assert.ok(Number.isFinite(reading.timeMs));
    }),
    { seed: SEED, numRuns: 1000 },
  );
});
