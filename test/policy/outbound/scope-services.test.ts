/** Services that several egress listeners, or several resources, give one host name. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/model/mesh.ts";
import { buildRegistry, type RegistryService } from "../../../src/policy/outbound/registry.ts";
import { mergeScopeServices } from "../../../src/policy/outbound/scope-services.ts";
import { meshOf } from "./mesh-of.ts";

interface Entry {
  readonly ports: readonly number[];
  readonly host?: string;
  readonly namespace?: string;
  readonly resolution?: string;
  readonly exportTo?: readonly string[];
  readonly labels?: Record<string, string>;
  readonly workloadSelector?: object;
}

function entry(
  name: string,
  { ports, host = "a.example", namespace = "foo", labels = {}, ...spec }: Entry,
): string {
  return `---\n${JSON.stringify({
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name, namespace, labels },
    spec: {
      hosts: [host],
      resolution: "STATIC",
      ports: ports.map((number) => ({ number, name: `p${number}`, protocol: "HTTP" })),
      ...spec,
    },
  })}\n`;
}

const KUBERNETES = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: foo}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: tcp, port: 90}]}
`;

function servicesOf(...yaml: string[]): readonly RegistryService[] {
  const mesh: Mesh = meshOf(yaml.join("---\n"));
  return buildRegistry(mesh).services;
}

/** The ports of the only host name, after the resources' names they come from. */
function joined(first: Entry, second: Entry): string {
  const merged = mergeScopeServices(servicesOf(entry("one", first), entry("two", second)));
  return [...merged.values()]
    .map(({ model, ports }) => `${model.resource.name} ${ports.map(({ port }) => port).join(",")}`)
    .join("; ");
}

describe("mergeScopeServices()", () => {
  const ONE: Entry = { ports: [80] };

  test("two ServiceEntries of one host join where nothing but their ports differs", () => {
    assert.equal(joined(ONE, { ports: [81, 80, 82] }), "one 80,81,82");
    assert.equal(joined(ONE, { ports: [80] }), "one 80");
    const both = { exportTo: ["a", "b"], labels: { x: "1", y: "2" } };
    const turned = { exportTo: ["b", "a"], labels: { y: "2", x: "1" } };
    assert.equal(joined({ ports: [80], ...both }, { ports: [81], ...turned }), "one 80,81");
  });

  const DIFFERENT: readonly [string, Partial<Entry>, Partial<Entry>][] = [
    ["namespace", {}, { namespace: "bar" }],
    ["resolution", {}, { resolution: "DNS" }],
    ["exportTo", {}, { exportTo: ["."] }],
    ["exportTo, the second's within the first's", { exportTo: ["a", "b"] }, { exportTo: ["a"] }],
    ["exportTo, the first's within the second's", { exportTo: ["a"] }, { exportTo: ["a", "b"] }],
    ["labels", { labels: { x: "1" } }, { labels: { x: "2" } }],
    ["labels, of the second alone", {}, { labels: { x: "1" } }],
    ["labels, of the first alone", { labels: { x: "1" } }, {}],
    ["a selector, of the second alone", {}, { workloadSelector: { labels: { a: "b" } } }],
    ["a selector, of the first alone", { workloadSelector: { labels: { a: "b" } } }, {}],
    [
      "nothing, but both have selectors",
      { workloadSelector: { labels: { a: "b" } } },
      { workloadSelector: { labels: { a: "b" } } },
    ],
  ];
  for (const [name, first, second] of DIFFERENT)
    test(`the older stands alone where they differ in: ${name}`, () =>
      assert.equal(joined({ ...first, ports: [80] }, { ...second, ports: [81] }), "one 80"));

  test("parts of one service are joined again, whatever they are of", () => {
    const [service] = servicesOf(
      entry("one", { ports: [80, 81, 82], workloadSelector: { labels: { a: "b" } } }),
    );
    assert.ok(service !== undefined);
    const [first, second, third] = service.ports.map((port) => ({ ...service, ports: [port] }));
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const merged = mergeScopeServices([third, first, second, first]).get("a.example");
    assert.deepEqual(merged, { ...service, ports: [82, 80, 81].map((port) => service.ports[port - 80]) });
    assert.equal(mergeScopeServices([service, service]).get("a.example"), service);
    assert.equal(mergeScopeServices([service, first]).get("a.example"), service);
  });

  test("a Kubernetes service stands before ServiceEntries, older or younger, and has no port of theirs", () => {
    const [kubernetes, other] = servicesOf(
      KUBERNETES,
      entry("one", { host: "web.foo.svc.cluster.local", ports: [81] }),
    );
    assert.ok(kubernetes?.kubernetes === true && other?.kubernetes === false);
    for (const services of [
      [kubernetes, other],
      [other, kubernetes],
    ])
      assert.deepEqual([...mergeScopeServices(services)], [["web.foo.svc.cluster.local", kubernetes]]);
  });

  test("each host name has its own", () => {
    const services = servicesOf(
      KUBERNETES,
      entry("one", ONE),
      entry("two", { ports: [80], host: "b.example" }),
    );
    assert.deepEqual(
      [...mergeScopeServices(services)],
      services.map((service) => [service.hostname, service]),
    );
    assert.deepEqual([...mergeScopeServices([])], []);
  });
});
