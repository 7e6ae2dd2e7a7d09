/** What pods' annotations keep away from their sidecars, and which annotations no pod is made with. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { admitPods } from "../../src/model/admit-pods.ts";
import { captureProblems, inboundBypass, readTrafficCapture } from "../../src/model/traffic-capture.ts";
import { loadText } from "../resources/load-fixture.ts";

const own = (name: string, value: string) => ({ [`traffic.sidecar.istio.io/${name}`]: value });
const bypassed = (annotations: Readonly<Record<string, string>>, port: number): string | undefined =>
  inboundBypass(readTrafficCapture(annotations), port)?.replace("traffic.sidecar.istio.io/", "");

test("every inbound port is captured, but those excluded", () => {
  assert.equal(bypassed({}, 8080), undefined);
  assert.equal(bypassed(own("excludeInboundPorts", "9090, 9091"), 9091), "excludeInboundPorts");
  assert.equal(bypassed(own("excludeInboundPorts", "9090,9091"), 8080), undefined);
});

test("with a list of included inbound ports the others are not captured, and exclusions do not count", () => {
  const included = own("includeInboundPorts", "8080");
  assert.equal(bypassed(included, 8080), undefined);
  assert.equal(bypassed(included, 9090), "includeInboundPorts");
  assert.equal(bypassed({ ...included, ...own("excludeInboundPorts", "8080") }, 8080), undefined);
  assert.equal(bypassed(own("includeInboundPorts", ""), 8080), "includeInboundPorts");
  const all = { ...own("includeInboundPorts", "*"), ...own("excludeInboundPorts", "9090") };
  assert.equal(bypassed(all, 9090), "excludeInboundPorts");
});

test("annotations that the injector takes, and those that it refuses", () => {
  const problems = (name: string, value: string): number => captureProblems(own(name, value)).length;
  for (const name of [
    "includeInboundPorts",
    "excludeInboundPorts",
    "includeOutboundPorts",
    "excludeOutboundPorts",
  ]) {
    for (const good of ["", "80", "80,443", " 80 , 443 ", "65535"])
      assert.equal(problems(name, good), 0, good);
    for (const bad of ["http", "80,", "80;443", "65536", "-1", "80-90"])
      assert.equal(problems(name, bad), 1, bad);
    assert.equal(problems(name, "*"), name === "includeInboundPorts" ? 0 : 1, name);
  }
  for (const name of ["includeOutboundIPRanges", "excludeOutboundIPRanges"]) {
    for (const good of ["", "10.0.0.0/8", "10.0.0.0/8,fd00::/8", "::/0"])
      assert.equal(problems(name, good), 0, good);
    for (const bad of [
      "10.0.0.1",
      "10.0.0.0/33",
      "10.0.0.0/8, 11.0.0.0/8",
      "10.0.0/8",
      "fd00::/129",
      "x/8",
      "1:2::3::/8",
    ])
      assert.equal(problems(name, bad), 1, bad);
    assert.equal(problems(name, "*"), name === "includeOutboundIPRanges" ? 0 : 1, name);
  }
});

const DEPLOYMENT = (labels: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: shop}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata:
      labels: {app: a${labels}}
      annotations:
        traffic.sidecar.istio.io/excludeInboundPorts: "9090,http"
    spec: {containers: [{name: app, image: app}]}
`;

test("a workload whose annotations the injector refuses takes no part, and the place is told", async () => {
  const { resources } = await loadText(DEPLOYMENT(""));
  const { rejected, resources: admitted } = admitPods(resources);
  assert.deepEqual(admitted, []);
  const [error] = rejected[0]?.errors ?? [];
  assert.equal(error?.code, "BW1511_CAPTURE_ANNOTATION");
  assert.equal(error?.span?.line, 11);
  assert.match(error?.message ?? "", /`http` in `traffic.sidecar.istio.io\/excludeInboundPorts` is no port/);
});

test("nobody reads the annotations of a pod that is not injected", async () => {
  const { resources } = await loadText(DEPLOYMENT(', sidecar.istio.io/inject: "false"'));
  const { rejected, resources: admitted } = admitPods(resources);
  assert.deepEqual(rejected, []);
  assert.equal(admitted.length, 1);
});

test("a namespace that no file declares is warned of where others say who is injected", async () => {
  const { resources } = await loadText(`
apiVersion: v1
kind: Namespace
metadata: {name: m, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec: {containers: [{name: app, image: app}]}
`);
  const codes = (own: typeof resources): readonly string[] => admitPods(own).warnings.map(({ code }) => code);
  assert.deepEqual(codes(resources), ["BW1512_NAMESPACE_NOT_DECLARED"]);
  assert.deepEqual(codes(resources.filter(({ kind }) => kind === "Pod")), []);
});
