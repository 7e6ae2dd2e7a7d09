/** Endpoints and identities behind a host: https://istio.io/latest/docs/reference/config/networking/service-entry/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoint, Service, ServicePort, Workload } from "../../../src/model/mesh.ts";
import { buildEndpointGroup } from "../../../src/policy/outbound/endpoint-group.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const MESH = meshOf(app("foo", "web"));
const WORKLOAD: Workload = {
  ...workloadOf(MESH, "foo/web"),
  ports: [
    { name: "main", port: 8080, protocol: "TCP" },
    { name: "admin", port: 9090, protocol: "TCP" },
  ],
};

function service(more: Partial<Service> & { readonly spec?: object } = {}): Service {
  const [base] = MESH.services;
  if (base === undefined) throw new Error("the fixture has no service");
  const { spec = {}, ...rest } = more;
  return { ...base, ...rest, resource: { ...base.resource, spec } };
}

const written = (more: Partial<Endpoint> = {}): Endpoint => ({
  labels: {},
  portOverrides: {},
  tlsMode: "disabled",
  ...more,
});

const port = (more: Partial<ServicePort> = {}): ServicePort => ({
  name: "http",
  port: 80,
  targetPort: 8080,
  protocol: "http",
  ...more,
});

describe("identities", () => {
  const id = (domain: string, account: string): string => `spiffe://${domain}/ns/foo/sa/${account}`;

  test("are those of all endpoints and the declared names, sorted, each once, in every alias of the trust domain", () => {
    const services = [
      service({
        subjectAltNames: ["b.example", id("other", "c")],
        endpoints: [written({ spiffeId: id("cluster.local", "b") }), written()],
      }),
      service({
        subjectAltNames: ["a.example", "b.example"],
        endpoints: [
          written({ spiffeId: id("cluster.local", "a") }),
          written({ spiffeId: id("cluster.local", "b") }),
        ],
      }),
    ];
    assert.deepEqual(buildEndpointGroup(services, []).identities, [
      "a.example",
      "b.example",
      id("cluster.local", "a"),
      id("cluster.local", "b"),
      id("other", "c"),
    ]);
    assert.deepEqual(buildEndpointGroup(services, ["old", "older"]).identities, [
      "a.example",
      "b.example",
      ...["cluster.local", "old", "older"]
        .flatMap((domain) => [id(domain, "a"), id(domain, "b")])
        .slice(0, 2),
      id("old", "a"),
      id("old", "b"),
      id("old", "c"),
      id("older", "a"),
      id("older", "b"),
      id("older", "c"),
      id("other", "c"),
    ]);
    assert.deepEqual(buildEndpointGroup([], ["old"]).identities, []);
  });

  test("no alias is made of a name that only holds a SPIFFE ID", () => {
    const name = "x.example/spiffe://cluster.local/ns/foo/sa/a";
    assert.deepEqual(
      buildEndpointGroup([service({ subjectAltNames: [name], endpoints: [] })], ["old"]).identities,
      [name],
    );
  });
});

describe("endpoints", () => {
  const placed = (ports: readonly ServicePort[], endpoints: readonly Endpoint[], number = 80): unknown =>
    buildEndpointGroup([service({ ports, endpoints })], []).onPort(number);

  test("are where they say, in the service's namespace; those of a workload in its own", () => {
    const literal = written({ address: "203.0.113.1" });
    const nameless = written();
    const ours = written({ workload: { ...WORKLOAD, namespace: "bar", addresses: ["10.0.0.1", "fd00::1"] } });
    const unplaced = written({ workload: WORKLOAD });
    const told = written({ workload: WORKLOAD, address: "10.0.0.9" });
    assert.deepEqual(placed([port()], [literal, nameless, ours, unplaced, told]), [
      { endpoint: literal, namespace: "foo", address: "203.0.113.1", port: 8080 },
      { endpoint: nameless, namespace: "foo", port: 8080 },
      { endpoint: ours, namespace: "bar", address: "10.0.0.1", port: 8080 },
      { endpoint: unplaced, namespace: "foo", port: 8080 },
      { endpoint: told, namespace: "foo", address: "10.0.0.9", port: 8080 },
    ]);
  });

  test("are none on a port that the service has not, or that is UDP", () => {
    assert.deepEqual(placed([port()], [written()], 81), []);
    assert.deepEqual(placed([port({ protocol: "udp" })], [written()]), []);
    assert.deepEqual(placed([], [written()]), []);
  });

  test("of all services of the host, port by port, and the same list when asked again", () => {
    const [a, b] = [written({ address: "10.0.0.1" }), written({ address: "10.0.0.2" })];
    const group = buildEndpointGroup(
      [
        service({ ports: [port(), port({ port: 81, targetPort: 8081 })], endpoints: [a] }),
        service({ ports: [port({ targetPort: 8082 })], namespace: "bar", endpoints: [b] }),
      ],
      [],
    );
    const on81 = [{ endpoint: a, namespace: "foo", address: "10.0.0.1", port: 8081 }];
    assert.deepEqual(group.onPort(81), on81);
    assert.deepEqual(group.onPort(80), [
      { endpoint: a, namespace: "foo", address: "10.0.0.1", port: 8080 },
      { endpoint: b, namespace: "bar", address: "10.0.0.2", port: 8082 },
    ]);
    assert.equal(group.onPort(81), group.onPort(81));
  });

  const PORTS: readonly [name: string, port: ServicePort, endpoint: Endpoint, number: number | undefined][] =
    [
      ["the service's target", port(), written(), 8080],
      ["the endpoint's own for the service's port", port(), written({ portOverrides: { http: 7070 } }), 7070],
      ["no override of 0", port(), written({ portOverrides: { http: 0 } }), 8080],
      ["no override of another port", port(), written({ portOverrides: { admin: 7070 } }), 8080],
      [
        "an override for a named target",
        port({ targetPort: "admin" }),
        written({ portOverrides: { admin: 7070 } }),
        7070,
      ],
      [
        "the port's own override first",
        port({ targetPort: "admin" }),
        written({ portOverrides: { admin: 7070, http: 7071 } }),
        7071,
      ],
      [
        "the container's port for a named target",
        port({ targetPort: "admin" }),
        written({ workload: WORKLOAD }),
        9090,
      ],
      [
        "the container's port where the override is 0",
        port({ targetPort: "admin" }),
        written({ workload: WORKLOAD, portOverrides: { admin: 0 } }),
        9090,
      ],
      [
        "a number that is written as text",
        port({ targetPort: "7072" }),
        written({ workload: WORKLOAD }),
        7072,
      ],
      [
        "nothing for a name that no container has",
        port({ targetPort: "absent" }),
        written({ workload: WORKLOAD }),
        undefined,
      ],
      [
        "nothing for a name where there is no container",
        port({ targetPort: "absent" }),
        written(),
        undefined,
      ],
    ];
  for (const [name, of, endpoint, number] of PORTS)
    test(`listen on ${name}`, () => {
      const namespace = "foo";
      assert.deepEqual(
        placed([of], [endpoint]),
        number === undefined ? [] : [{ endpoint, namespace, port: number }],
      );
    });

  test("an override under no name is for a port without one", () => {
    const { name: _none, ...nameless } = port();
    const endpoint = written({ portOverrides: { "": 7070 } });
    assert.deepEqual(placed([nameless], [endpoint]), [{ endpoint, namespace: "foo", port: 7070 }]);
  });
});

describe("a ServiceEntry by DNS without endpoints", () => {
  const entry = (more: Partial<Service> & { readonly spec?: object } = {}): unknown =>
    buildEndpointGroup(
      [
        service({
          origin: "service-entry",
          resolution: "dns",
          hostname: "a.example",
          ports: [port({ targetPort: 8443 }), port({ port: 81, targetPort: "named" })],
          endpoints: [],
          ...more,
        }),
      ],
      [],
    ).onPort(80);
  const ITSELF = [
    {
      endpoint: { address: "a.example", labels: {}, portOverrides: {}, tlsMode: "disabled" },
      namespace: "foo",
      address: "a.example",
      port: 8443,
    },
  ];

  test("is its own endpoint", () => {
    assert.deepEqual(entry(), ITSELF);
    assert.deepEqual(entry({ resolution: "dns-round-robin" }), ITSELF);
    assert.deepEqual(entry({ spec: { endpoints: [] } }), ITSELF);
  });

  test("on its own port where the target has only a name", () => {
    assert.deepEqual(entry({ ports: [port({ targetPort: "named" })] }), [{ ...ITSELF[0], port: 80 }]);
  });

  test("is not where it is resolved otherwise, has endpoints, selects some, or is of Kubernetes", () => {
    for (const more of [
      { resolution: "static" },
      { resolution: "none" },
      { spec: { endpoints: [{}] } },
      { spec: { workloadSelector: { labels: {} } } },
      { origin: "kubernetes" },
    ] as const)
      assert.deepEqual(entry(more), [], JSON.stringify(more));
  });
});
