/** VirtualServices with their names resolved, delegates merged, and in the order that proxies are told of them. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { indexVirtualServices, type VirtualService } from "../../../src/policy/outbound/virtual-services.ts";
import { meshConfig, meshOfObjects, written } from "./objects.ts";

function indexed(...objects: object[]): readonly VirtualService[] {
  return indexVirtualServices(meshOfObjects(...objects)).all;
}

const virtual = (id: string, spec: object): object => written("VirtualService", id, spec);
const ROUTE = { route: [{ destination: { host: "web" } }] };
const RESOLVED = { route: [{ destination: { host: "web.foo.svc.cluster.local" } }] };

const by = (route: number, more: object = {}): object => ({
  resource: "VirtualService foo/vs",
  section: "http",
  route,
  ...more,
});

describe("names", () => {
  test("without dots are of the VirtualService's namespace, everywhere; the rest stays as written", () => {
    const l4 = {
      match: [{ port: 1, gateways: ["gw", "mesh"] }, { sniHosts: ["x"] }],
      route: [{ weight: 1, destination: { host: "web", subset: "v1" } }, {}],
    };
    const resolvedL4 = {
      match: [{ port: 1, gateways: ["foo/gw", "mesh"] }, { sniHosts: ["x"] }],
      route: [{ weight: 1, destination: { host: "web.foo.svc.cluster.local", subset: "v1" } }, {}],
    };
    const spec = {
      hosts: ["Web", "A.Example", "*.b.example"],
      gateways: ["mesh", "gw", "./gw", "bar/gw"],
      exportTo: ["bar"],
      http: [
        {
          name: "first",
          timeout: "1s",
          match: [{ uri: { prefix: "/a" }, gateways: ["gw"] }, { port: 80 }],
          route: [{ weight: 2, destination: { host: "web", port: { number: 80 } } }, { weight: 3 }],
          mirror: { host: "m", subset: "v1" },
          mirrors: [{ destination: { host: "n" }, percentage: { value: 1 } }, {}],
        },
        { name: "", redirect: { uri: "/" } },
      ],
      tls: [l4, {}],
      tcp: [l4, {}],
    };
    assert.deepEqual(indexed(virtual("foo/vs", spec)), [
      {
        ref: "VirtualService foo/vs",
        namespace: "foo",
        name: "vs",
        hosts: ["web.foo.svc.cluster.local", "a.example", "*.b.example"],
        gateways: ["mesh", "foo/gw", "foo/gw", "bar/gw"],
        exportTo: ["bar"],
        http: [
          {
            route: {
              name: "first",
              timeout: "1s",
              match: [{ uri: { prefix: "/a" }, gateways: ["foo/gw"] }, { port: 80 }],
              route: [
                { weight: 2, destination: { host: "web.foo.svc.cluster.local", port: { number: 80 } } },
                { weight: 3 },
              ],
              mirror: { host: "m.foo.svc.cluster.local", subset: "v1" },
              mirrors: [{ destination: { host: "n.foo.svc.cluster.local" }, percentage: { value: 1 } }, {}],
            },
            by: by(0, { routeName: "first" }),
          },
          { route: { name: "", redirect: { uri: "/" } }, by: by(1) },
        ],
        tls: [resolvedL4, {}],
        tcp: [resolvedL4, {}],
        dropped: [],
      },
    ]);
  });

  test("of what is not written: the mesh's gateway, the mesh's exportTo, no routes", () => {
    const [bare] = indexed(
      meshConfig({ defaultVirtualServiceExportTo: ["."] }),
      virtual("foo/vs", { hosts: ["web"] }),
    );
    assert.deepEqual(bare, {
      ref: "VirtualService foo/vs",
      namespace: "foo",
      name: "vs",
      hosts: ["web.foo.svc.cluster.local"],
      gateways: ["mesh"],
      exportTo: ["."],
      http: [],
      tls: [],
      tcp: [],
      dropped: [],
    });
  });
});

describe("forGateway()", () => {
  const of = (id: string, exportTo: readonly string[], gateways: readonly string[] = []): object =>
    virtual(id, { hosts: ["web"], exportTo, gateways });
  const index = indexVirtualServices(
    meshOfObjects(
      of("foo/a", ["*"]),
      of("bar/b", ["foo"]),
      of("foo/c", ["."]),
      of("foo/d", ["~"]),
      of("bar/e", ["foo", "*"]),
      of("bar/f", ["."], ["mesh", "bar/gw"]),
      of("foo/g", ["*"], ["bar/gw"]),
    ),
  );
  const names = (namespace: string, gateway: string): string =>
    index
      .forGateway(namespace, gateway)
      .map(({ name }) => name)
      .join("");

  test("has a namespace's own private ones, those exported to it by name, then public ones, each oldest first", () => {
    assert.equal(names("foo", "mesh"), "cbae");
    assert.equal(names("bar", "mesh"), "fae");
    assert.equal(names("baz", "mesh"), "ae");
  });

  test("has those that are bound to the gateway alone", () => {
    assert.equal(names("bar", "bar/gw"), "fg");
    assert.equal(names("foo", "bar/gw"), "g");
    assert.equal(names("foo", "foo/gw"), "");
  });

  test("is made once for a namespace and gateway", () => {
    assert.equal(index.forGateway("foo", "mesh"), index.forGateway("foo", "mesh"));
    assert.notEqual(index.forGateway("foo", "mesh"), index.forGateway("foo", "bar/gw"));
    assert.notEqual(index.forGateway("foo", "mesh"), index.forGateway("bar", "mesh"));
  });
});

describe("delegates", () => {
  const A = { uri: { prefix: "/a" } };
  const root = (...http: object[]): object => virtual("foo/vs", { hosts: ["web"], http });
  const only = (...objects: object[]): Pick<VirtualService, "http" | "dropped"> => {
    const [service, ...rest] = indexed(...objects);
    assert.ok(service !== undefined && rest.length === 0, "delegates are within their roots");
    return { http: service.http, dropped: service.dropped };
  };
  const delegated = (route: number, ref: string, more: object = {}): object => ({
    resource: `VirtualService ${ref}`,
    section: "http",
    route,
    ...more,
    delegatedBy: "VirtualService foo/vs",
  });

  test("take the place of the route that names them, theirs by number and name, resolved in their own namespace", () => {
    const http = [
      { match: [A], ...ROUTE },
      { name: "to", match: [A], delegate: { name: "d", namespace: "bar" } },
      ROUTE,
    ];
    const delegate = virtual("bar/d", {
      http: [
        { name: "own", ...ROUTE },
        { match: [], redirect: { uri: "/n" } },
      ],
    });
    const unnamed = virtual("bar/e", { http: [ROUTE] });
    assert.deepEqual(only(root(...http), delegate, unnamed), {
      http: [
        { route: { match: [A], ...RESOLVED }, by: by(0) },
        {
          route: {
            name: "to-own",
            match: [A],
            route: [{ destination: { host: "web.bar.svc.cluster.local" } }],
          },
          by: delegated(0, "bar/d", { routeName: "to-own" }),
        },
        {
          route: { name: "to", match: [A], redirect: { uri: "/n" } },
          by: delegated(1, "bar/d", { routeName: "to" }),
        },
        { route: RESOLVED, by: by(2) },
      ],
      dropped: [],
    });
  });

  test("are looked for in the root's namespace where none is named", () => {
    const delegate = virtual("foo/d", { http: [ROUTE] });
    for (const name of [{ name: "d" }, { name: "d", namespace: "" }])
      assert.deepEqual(only(root({ delegate: name }), delegate).http, [
        { route: { ...RESOLVED, match: [] }, by: delegated(0, "foo/d") },
      ]);
  });

  test("that are not there, or not exported to the root, drop the route, saying so", () => {
    const http = [ROUTE, { delegate: { name: "d", namespace: "bar" } }];
    const kept = [{ route: RESOLVED, by: by(0) }];
    assert.deepEqual(only(root(...http)), {
      http: kept,
      dropped: [{ route: 1, why: "its delegate VirtualService bar/d does not exist" }],
    });
    assert.deepEqual(only(root(...http), virtual("bar/d", { exportTo: ["."], http: [ROUTE] })), {
      http: kept,
      dropped: [{ route: 1, why: "its delegate VirtualService bar/d is not exported to namespace foo" }],
    });
    assert.deepEqual(only(root({ delegate: {} })).dropped, [
      { route: 0, why: "its delegate VirtualService foo/ does not exist" },
    ]);
  });

  test("are no VirtualServices with hosts of their own", () => {
    const all = indexed(root({ delegate: { name: "d" } }), virtual("foo/d", { hosts: ["d"], http: [ROUTE] }));
    assert.deepEqual(
      all.map(({ name, http, dropped }) => [name, http.length, dropped.length]),
      [
        ["vs", 0, 1],
        ["d", 1, 0],
      ],
    );
  });

  test("drop their routes whose conditions are outside of the root's, saying which", () => {
    const delegate = virtual("foo/d", {
      hosts: [],
      http: [
        { match: [{ uri: { prefix: "/b" } }], ...ROUTE },
        { match: [{ uri: { exact: "/a" } }], ...ROUTE },
      ],
    });
    const { http, dropped } = only(root({ match: [A], delegate: { name: "d" } }), delegate);
    assert.deepEqual(
      http.map((route) => route.by),
      [delegated(1, "foo/d")],
    );
    assert.deepEqual(dropped, [
      { route: 0, why: "route 0 of its delegate VirtualService foo/d has conditions outside of its own" },
    ]);
  });
});
