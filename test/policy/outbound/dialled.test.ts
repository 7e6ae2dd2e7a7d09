/** What a client dials, as the cluster's DNS resolves names for a pod (Kubernetes: DNS for Services and Pods). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sidecarOf } from "../../../src/policy/outbound/compile-outbound.ts";
import { type Destination, findDestination } from "../../../src/policy/outbound/dialled.ts";
import type { ProxyView } from "../../../src/policy/outbound/proxy-view.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const service = (namespace: string, name: string, spec: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {ports: [{name: http, port: 80}], ${spec}}
---
`;
const entry = (namespace: string, host: string, addresses = ""): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${host.replaceAll(/[*.]/g, "x")}, namespace: ${namespace}}
spec: {hosts: ["${host}"], addresses: [${addresses}], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 203.0.113.1}]}
---
`;
/** alias-1 leads to web, each other one to that before it. */
const CHAIN = Array.from({ length: 18 }, (_, index) =>
  service(
    "foo",
    `alias-${index + 1}`,
    `type: ExternalName, externalName: ${index === 0 ? "web.foo.svc.cluster.local" : `alias-${index}.foo.svc.cluster.local`}`,
  ),
).join("");

const DATED = service("foo", "dated", "clusterIP: 10.96.0.9").replace(
  "namespace: foo",
  'namespace: foo, creationTimestamp: "2026-01-01T00:00:00Z"',
);

const MESH = meshOf(
  entry("zoo", "dated.foo.svc.cluster.local", "203.0.113.70") +
    DATED +
    app("bar", "client") +
    service("foo", "web", "clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1']") +
    service("foo", "pods", "clusterIP: None") +
    service("foo", "unassigned", "selector: {}") +
    service("bar", "own", "clusterIP: 10.96.0.2") +
    service("foo", "loop", "type: ExternalName, externalName: loop.foo.svc.cluster.local") +
    service("foo", "out", "type: ExternalName, externalName: absent.example") +
    CHAIN +
    entry("foo", "one.example", "203.0.113.7/32") +
    entry("foo", "block.example", "198.51.100.0/24") +
    entry("foo", "both.example", "203.0.113.8, 203.0.113.9") +
    entry("foo", "bare.example") +
    entry("foo", "web.foo.svc.cluster.local", "203.0.113.66") +
    entry("bar", "pods.foo.svc.cluster.local", "203.0.113.67") +
    entry("baz", "shared.example", "203.0.113.68") +
    entry("foo", "shared.example", "203.0.113.69") +
    entry("zoo", "again.example", "10.96.0.2"),
);
const VIEW = sidecarOf(MESH, workloadOf(MESH, "bar/client")).view;

function told({ key, address, service: found }: Destination): unknown[] {
  return [
    key,
    address,
    found === undefined ? undefined : `${found.origin} ${found.namespace}/${found.hostname}`,
  ];
}

const find = (dialled: { ip?: string; host?: string }, view: ProxyView = VIEW): unknown[] =>
  told(findDestination(view, { port: 80, ...dialled }));

const WEB = ["10.96.0.1", "10.96.0.1", "kubernetes foo/web.foo.svc.cluster.local"];
const OWN = ["10.96.0.2", "10.96.0.2", "kubernetes bar/own.bar.svc.cluster.local"];
const UNKNOWN = [undefined, undefined, undefined];

describe("addresses", () => {
  const CASES: readonly [ip: string, found: unknown[]][] = [
    ["10.96.0.1", WEB],
    // Its listener stands by the first of its addresses.
    ["fd00::1", ["10.96.0.1", "fd00::1", WEB[2]]],
    ["10.96.0.2", OWN],
    ["203.0.113.9", ["203.0.113.9", "203.0.113.9", "service-entry foo/both.example"]],
    ["203.0.113.7", ["203.0.113.7", "203.0.113.7", "service-entry foo/one.example"]],
    ["10.0.0.99", ["10.0.0.99", "10.0.0.99", undefined]],
    ["0.0.0.0", ["0.0.0.0", "0.0.0.0", undefined]],
  ];
  // In one test: what a mesh's addresses are is found out once.
  test("are those of the first service that has them, or nobody's; the address counts, not a name beside it", () => {
    assert.deepEqual(
      CASES.map(([ip]) => [ip, find({ ip })]),
      CASES,
    );
    for (const [ip, found] of CASES) {
      assert.deepEqual(find({ ip, host: "web.foo" }), found);
      assert.deepEqual(find({ host: ip }), found, "as a name");
    }
  });

  test("an IPv6 address as a name may have brackets, any other name not", () => {
    assert.deepEqual(find({ host: "[FD00::1]" }), ["10.96.0.1", "fd00::1", WEB[2]]);
    assert.deepEqual(find({ host: "[web.foo]" }), UNKNOWN);
    assert.deepEqual(find({ host: "fd00::1]" }), UNKNOWN);
    assert.deepEqual(find({ host: "[fd00::1" }), UNKNOWN);
  });

  test("nothing at all is unknown", () => {
    assert.deepEqual(find({}), UNKNOWN);
  });
});

describe("names", () => {
  const CASES: readonly [host: string, found: unknown[]][] = [
    ["web.foo.svc.cluster.local", WEB],
    ["web.foo.svc.cluster.local.", WEB],
    ["web.foo.svc", WEB],
    ["web.foo", WEB],
    ["WEB.Foo", WEB],
    ["web", UNKNOWN],
    ["own", OWN],
    ["own.", OWN],
    ["own.bar", OWN],
    ["absent.foo", UNKNOWN],
    [
      "unassigned.foo",
      [
        "vip:unassigned.foo.svc.cluster.local",
        "vip:unassigned.foo.svc.cluster.local",
        "kubernetes foo/unassigned.foo.svc.cluster.local",
      ],
    ],
    ["one.example", ["203.0.113.7", "203.0.113.7", "service-entry foo/one.example"]],
    ["block.example", ["198.51.100.0", "198.51.100.0", "service-entry foo/block.example"]],
    ["bare.example", ["vip:bare.example", undefined, "service-entry foo/bare.example"]],
    ["example", UNKNOWN],
    // A Kubernetes service before any other of its name, but one's own namespace's before all.
    ["pods.foo", ["203.0.113.67", "203.0.113.67", "service-entry bar/pods.foo.svc.cluster.local"]],
    ["dated.foo", ["10.96.0.9", "10.96.0.9", "kubernetes foo/dated.foo.svc.cluster.local"]],
    ["shared.example", ["203.0.113.68", "203.0.113.68", "service-entry baz/shared.example"]],
    // Aliases are followed, up to a length; loops and those that lead out are nobody's.
    ["alias-1.foo", WEB],
    ["alias-17.foo", WEB],
    ["alias-18.foo", UNKNOWN],
    ["loop.foo", UNKNOWN],
    ["out.foo", UNKNOWN],
    // A name below a headless service is one of its pods; below another it is nobody's.
    ["pod-0.web.foo", UNKNOWN],
    ["pod-0.bare.example", UNKNOWN],
    ["", UNKNOWN],
    [".", UNKNOWN],
  ];
  test("are whose DNS says they are, also when asked again", () => {
    for (let times = 0; times < 2; times++)
      assert.deepEqual(
        CASES.map(([host]) => [host, find({ host })]),
        CASES,
      );
  });

  test("one pod of a headless service is the service; what a client makes up is not kept", () => {
    const mesh = meshOf(
      app("bar", "client") +
        service("foo", "pods", "clusterIP: None") +
        service("bar", "mine", "clusterIP: None"),
    );
    const { view } = sidecarOf(mesh, workloadOf(mesh, "bar/client"));
    const pods = ["vip:pods.foo.svc.cluster.local", undefined, "kubernetes foo/pods.foo.svc.cluster.local"];
    const mine = ["vip:mine.bar.svc.cluster.local", undefined, "kubernetes bar/mine.bar.svc.cluster.local"];
    assert.deepEqual(find({ host: "pods.foo" }, view), pods);
    assert.deepEqual(find({ host: "pod-0.pods.foo" }, view), pods);
    assert.deepEqual(find({ host: "pod-0.mine" }, view), mine);
    assert.deepEqual(find({ host: "a.pod-0.mine" }, view), UNKNOWN);
    const ask = (host: string): Destination => findDestination(view, { host, port: 80 });
    assert.equal(ask("pods.foo"), ask("pods.foo"), "a name that a service has is kept");
    assert.notEqual(ask("pod-0.pods.foo"), ask("pod-0.pods.foo"), "a made-up one is not");
  });
});
