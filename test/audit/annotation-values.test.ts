/** Values of Istio's annotations, as its own code reads them (pkg/kube/inject/validate.go, and where others are read): each with its neighbour. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANNOTATION_VALUES } from "../../src/analysis/audit/facts/annotation-values.ts";
import { KNOWN_ANNOTATIONS } from "../../src/analysis/audit/facts/known-annotations.ts";

const TRAFFIC = "traffic.sidecar.istio.io";

const VALUES: readonly (readonly [name: string, readable: readonly string[], other: readonly string[]])[] = [
  ["sidecar.istio.io/interceptionMode", ["TPROXY", "NONE"], ["tproxy", ""]],
  ["status.sidecar.istio.io/port", ["0", " 15020 ", "65535"], ["65536", "-1", "http"]],
  ["readiness.status.sidecar.istio.io/periodSeconds", ["0", "4294967295"], ["4294967296", "1.5", "5s"]],
  [
    `${TRAFFIC}/includeOutboundIPRanges`,
    ["*", "", "10.0.0.0/8,fd00::/8"],
    ["10.0.0.0/8, 10.1.0.0/16", "10.0.0.1"],
  ],
  [`${TRAFFIC}/excludeOutboundIPRanges`, ["10.0.0.0/8"], ["*", "10.0.0.0/33", "010.0.0.0/8", "300.0.0.0/8"]],
  [`${TRAFFIC}/excludeInboundPorts`, ["", "0", "80, 81"], ["80,", "80;81", "*"]],
  [`${TRAFFIC}/includeInboundPorts`, ["*", "80"], ["all"]],
  [`${TRAFFIC}/excludeInterfaces`, ["eth0, net1", ""], ["eth0,,net1", "0eth", "a-name-that-is-too-long"]],
  ["prometheus.istio.io/merge-metrics", ["T", "False"], ["tRUE", "yes", ""]],
  [
    "proxy.istio.io/config",
    ["", "concurrency: 2\ndrainDuration: 45s"],
    ["tracing", "a: [", "drainDuration: 45"],
  ],
  [
    "proxy.istio.io/config",
    ["holdApplicationUntilProxyStarts: true"],
    ["holdApplicationUntilProxyStarts: often"],
  ],
  ["sidecar.istio.io/proxyCPU", ["100m", ".5", "1e3", "+1"], ["100 m", "lots", ""]],
  ["sidecar.istio.io/proxyMemoryLimit", ["128Mi", "1G"], ["128MB", "128mi", "1K"]],
  ["sidecar.istio.io/inject", ["true"], ["True", "yes"]],
  ["sidecar.istio.io/rewriteAppHTTPProbers", ["0", "TRUE"], ["often", ""]],
  ["ambient.istio.io/bypass-inbound-capture", ["true"], ["on"]],
  ["istio.io/use-waypoint-canary-weight", ["0", "100"], ["101", "10%", "-1"]],
  ["networking.istio.io/traffic-distribution", ["preferClose", ""], ["close"]],
  ["traffic.istio.io/nodeSelector", ['{"zone": "a"}'], ["zone=a", '{"zone": 1}']],
  ["sidecar.istio.io/userVolume", ["{}"], ["{"]],
  ["sidecar.istio.io/statsHistogramBuckets", ['{"istio": [1, 5]}'], ['{"istio": 1}', "1"]],
  ["sidecar.istio.io/statsFlushInterval", ["1m30s"], ["10"]],
];

for (const [name, readable, others] of VALUES)
  test(`${name}: ${readable[0] || "nothing"} is read, ${others[0]} is not`, () => {
    const known = ANNOTATION_VALUES.get(name);
    const read = (values: readonly string[]): unknown => values.map((one) => [one, known?.isReadable(one)]);
    assert.deepEqual(
      read(readable),
      readable.map((one) => [one, true]),
    );
    assert.deepEqual(
      read(others),
      others.map((one) => [one, false]),
    );
  });

test("values are judged of annotations alone that Istio knows", () => {
  assert.deepEqual(
    [...ANNOTATION_VALUES.keys()].filter((name) => !KNOWN_ANNOTATIONS.has(name)),
    [],
  );
});
