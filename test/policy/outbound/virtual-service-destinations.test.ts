/** What a VirtualService brings into a Sidecar's scope besides what that imports. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HttpRoute, TcpRoute, TlsRoute } from "../../../src/policy/outbound/resource-shapes.ts";
import { destinationPorts } from "../../../src/policy/outbound/virtual-service-destinations.ts";

interface Sections {
  readonly http?: readonly HttpRoute[];
  readonly tls?: readonly TlsRoute[];
  readonly tcp?: readonly TcpRoute[];
}

function ports({ http = [], tls = [], tcp = [] }: Sections, namespace = "foo"): Record<string, number[]> {
  const by = { resource: "VirtualService foo/vs", section: "http", route: 0 } as const;
  const service = {
    ref: "VirtualService foo/vs",
    namespace: "foo",
    name: "vs",
    hosts: ["vs"],
    gateways: ["mesh"],
    exportTo: ["*"],
    http: http.map((route) => ({ route, by })),
    tls,
    tcp,
    dropped: [],
  };
  return Object.fromEntries([...destinationPorts(service, namespace)].map(([host, own]) => [host, [...own]]));
}

const to = (host: string, number?: number): { destination: { host: string; port?: { number: number } } } => ({
  destination: number === undefined ? { host } : { host, port: { number } },
});

describe("destinationPorts()", () => {
  test("has routes and mirrors of HTTP, and routes of TLS and TCP; without a port stands 0", () => {
    const http: HttpRoute[] = [
      {
        route: [to("A.example", 80), to("b.example"), {}],
        mirror: { host: "c.example", port: { number: 81 } },
        mirrors: [to("d.example", 82), {}, to("e.example")],
      },
      { route: [to("a.example", 83)] },
      { redirect: { uri: "/" } },
      { route: [{ destination: { host: "f.example", port: {} } }] },
    ];
    const tls = [{ route: [to("a.example", 443), to("g.example", 443)] }, {}];
    const tcp = [{ route: [to("h.example", 9000), to("a.example", 80)] }, {}];
    assert.deepEqual(ports({ http, tls, tcp }), {
      "a.example": [80, 83, 443],
      "b.example": [0],
      "c.example": [81],
      "d.example": [82],
      "e.example": [0],
      "f.example": [0],
      "g.example": [443],
      "h.example": [9000],
    });
    assert.deepEqual(ports({}), {});
  });

  test("leaves out HTTP routes whose conditions all name other namespaces", () => {
    const admits = (...namespaces: (string | undefined)[]): boolean => {
      const match = namespaces.map((sourceNamespace) =>
        sourceNamespace === undefined ? {} : { sourceNamespace },
      );
      return Object.keys(ports({ http: [{ match, route: [to("a.example")] }] })).length === 1;
    };
    assert.equal(admits(), true);
    assert.equal(admits(undefined), true);
    assert.equal(admits(""), true);
    assert.equal(admits("foo"), true);
    assert.equal(admits("bar"), false);
    assert.equal(admits("bar", "foo"), true);
    assert.equal(admits("foo", "bar"), true);
    assert.equal(admits("bar", undefined), false, "as Istio reads it");
    assert.equal(admits(undefined, "bar"), false, "as Istio reads it");
    assert.equal(admits("bar", "baz"), false);
  });
});
