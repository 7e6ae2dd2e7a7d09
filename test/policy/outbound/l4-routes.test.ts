/** Routes of VirtualServices for TLS and TCP: https://istio.io/latest/docs/reference/config/networking/virtual-service/#TLSRoute */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { entry, kubernetes, type Summary, summary } from "./listener-summary.ts";
import { written } from "./objects.ts";

const to = (host: string, number?: number, weight?: number): object => ({
  destination: { host, ...(number === undefined ? {} : { port: { number } }) },
  ...(weight === undefined ? {} : { weight }),
});

function virtual(
  id: string,
  section: "http" | "tcp" | "tls",
  routes: readonly object[],
  hosts = ["web"],
): object {
  return written("VirtualService", id, { hosts, [section]: routes });
}

describe("tls routes", () => {
  const WEB = kubernetes("foo/web", { tls: 443 });
  const sni = (sniHosts: readonly string[], more: object = {}): object => ({ sniHosts, ...more });
  const chains = (...objects: object[]): readonly string[] | undefined =>
    summary(WEB, ...objects)["10.0.0.1_443"]?.slice(1);

  test("have a chain for each condition that concerns the client, with what it leads to", () => {
    const routes = [
      {
        match: [
          sni(["a.example", "b.example"]),
          sni(["c.example"], { port: 443 }),
          sni(["d.example"], { port: 444 }),
        ],
        route: [to("web", 443)],
      },
      {
        match: [
          sni(["e.example"], { gateways: ["foo/gw"] }),
          sni(["f.example"], { sourceLabels: { app: "x" } }),
        ],
        route: [to("web")],
      },
      {
        match: [sni(["g.example"], { sourceLabels: { app: "client" } })],
        route: [to("web", 443, 1), to("x.example", 1, 2)],
      },
    ];
    assert.deepEqual(chains(virtual("foo/vs", "tls", routes)), [
      "sni a.example,b.example; foo/vs tls 0: 443||web.foo",
      "sni c.example; foo/vs tls 0: 443||web.foo",
      "sni g.example; foo/vs tls 2: 443||web.foo + 1||x.example",
    ]);
  });

  test("of one condition: the first stands, whichever VirtualService has it", () => {
    const first = [{ match: [sni(["a.example"]), sni(["a.example"])], route: [to("web", 1)] }];
    const second = [{ match: [sni(["a.example"]), sni(["b.example"])], route: [to("web", 2)] }];
    assert.deepEqual(chains(virtual("foo/one", "tls", first), virtual("foo/two", "tls", second)), [
      "sni a.example; foo/one tls 0: 1||web.foo",
      "sni b.example; foo/two tls 0: 2||web.foo",
    ]);
  });

  test("of names that only look alike when joined are two", () => {
    const match = [sni(["a", "b"]), sni(["ab"])];
    assert.deepEqual(chains(virtual("foo/vs", "tls", [{ match, route: [to("web", 1)] }])), [
      "sni a,b; foo/vs tls 0: 1||web.foo",
      "sni ab; foo/vs tls 0: 1||web.foo",
    ]);
  });

  test("on subnets have those, which stay in force for the conditions after", () => {
    const subnets = { destinationSubnets: ["192.0.2.0/24", "198.51.100.0/24"] };
    const other = { destinationSubnets: ["203.0.113.0/24"] };
    const match = [
      sni(["a.example"]),
      sni(["a.example"], subnets),
      sni(["b.example"]),
      sni(["a.example"], other),
      { gateways: ["mesh"] },
    ];
    assert.deepEqual(chains(virtual("foo/vs", "tls", [{ match, route: [to("web", 443)] }])), [
      "sni a.example; foo/vs tls 0: 443||web.foo",
      "sni a.example; to 192.0.2.0/24,198.51.100.0/24; foo/vs tls 0: 443||web.foo",
      "sni b.example; to 192.0.2.0/24,198.51.100.0/24; foo/vs tls 0: 443||web.foo",
      "sni a.example; to 203.0.113.0/24; foo/vs tls 0: 443||web.foo",
      "to 203.0.113.0/24; foo/vs tls 0: 443||web.foo",
    ]);
  });

  test("that concern no client, have no condition or lead nowhere leave the service as it is", () => {
    const plain = ["443||web.foo"];
    assert.deepEqual(
      chains(virtual("foo/vs", "tls", [{ match: [sni(["a"], { port: 1 })], route: [to("web")] }])),
      plain,
    );
    assert.deepEqual(chains(virtual("foo/vs", "tls", [{ route: [to("web", 1)] }])), plain);
    assert.deepEqual(
      chains(virtual("foo/vs", "tls", [{ match: [sni(["a"])], route: [] }, { match: [sni(["a"])] }])),
      plain,
    );
    assert.deepEqual(
      chains(virtual("foo/vs", "tls", [{ match: [sni(["a"])], route: [to("web", 1)] }], ["other"])),
      plain,
    );
    assert.deepEqual(chains(virtual("foo/vs", "tcp", [{ route: [to("web", 1)] }])), plain);
    assert.deepEqual(chains(virtual("foo/vs", "http", [{ route: [to("web", 1)] }])), plain);
  });

  test("hold for services that a wildcard among several hosts covers, and for wildcards", () => {
    const route = [{ match: [sni(["a"])], route: [to("web", 1)] }];
    assert.deepEqual(chains(virtual("foo/vs", "tls", route, ["x.example", "*.foo.svc.cluster.local"])), [
      "sni a; foo/vs tls 0: 1||web.foo",
    ]);
    const wild = entry("foo/any", "TLS", 443, { hosts: ["*.example"] });
    assert.deepEqual(summary(wild, virtual("foo/vs", "tls", route, ["x.example"])), {
      "0.0.0.0_443": ["tcp", "sni a; foo/vs tls 0: 1||web.foo"],
    });
  });

  test("are no matter of a service's own blocks or names once there is one", () => {
    const block = entry("foo/e.example", "TLS", 443, { addresses: ["192.0.2.0/24"] });
    const route = [{ match: [sni(["a"])], route: [to("e.example", 443)] }];
    assert.deepEqual(summary(block, virtual("foo/vs", "tls", route, ["e.example"])), {
      "0.0.0.0_443": ["tcp", "sni a; to 192.0.2.0/24; foo/vs tls 0: 443||e.example"],
    });
  });
});

describe("tcp routes", () => {
  const WEB = kubernetes("foo/web", { tcp: 90 });
  const chains = (...objects: object[]): readonly string[] | undefined =>
    summary(WEB, ...objects)["10.0.0.1_90"]?.slice(1);
  const plain = "90||web.foo";

  test("without condition, or with one without subnets, take all; nothing after them is reached", () => {
    const after = { route: [to("web", 2)] };
    for (const match of [
      undefined,
      [],
      [{}],
      [{ port: 90 }],
      [{ port: 91 }, { sourceLabels: { app: "client" } }],
    ]) {
      const first = { ...(match === undefined ? {} : { match }), route: [to("web", 1)] };
      assert.deepEqual(chains(virtual("foo/vs", "tcp", [first, after]), virtual("foo/two", "tcp", [after])), [
        "foo/vs tcp 0: 1||web.foo",
      ]);
    }
  });

  test("that concern no client, or lead nowhere, are passed over", () => {
    const routes = [
      { match: [{ port: 91 }], route: [to("web", 1)] },
      { match: [{ port: 91, destinationSubnets: ["192.0.2.0/24"] }], route: [to("web", 1)] },
      { match: [{}], route: [] },
      { match: [{}] },
    ];
    assert.deepEqual(chains(virtual("foo/vs", "tcp", routes)), [plain]);
    assert.deepEqual(chains(virtual("foo/vs", "tcp", [...routes, { route: [to("web", 2)] }])), [
      "foo/vs tcp 4: 2||web.foo",
    ]);
    assert.deepEqual(chains(virtual("foo/vs", "tls", [{ route: [to("web", 2)] }])), [plain]);
  });

  test("on subnets stand before the service itself, those of all its conditions together", () => {
    const one = {
      match: [
        { destinationSubnets: ["192.0.2.0/24"] },
        { port: 91, destinationSubnets: ["10.0.0.0/8"] },
        { destinationSubnets: ["198.51.100.0/24"] },
      ],
      route: [to("web", 1)],
    };
    const two = { match: [{ destinationSubnets: ["203.0.113.0/24"] }], route: [to("web", 2)] };
    const subnets = [
      "to 192.0.2.0/24,198.51.100.0/24; foo/vs tcp 0: 1||web.foo",
      "to 203.0.113.0/24; foo/vs tcp 1: 2||web.foo",
    ];
    assert.deepEqual(chains(virtual("foo/vs", "tcp", [one, two])), [...subnets, plain]);
    assert.deepEqual(chains(virtual("foo/vs", "tcp", [one, two, { route: [to("web", 3)] }])), [
      ...subnets,
      "foo/vs tcp 2: 3||web.foo",
    ]);
  });

  test("on the very blocks of the service stand in its place", () => {
    const block = entry("foo/e.example", "TCP", 90, { addresses: ["192.0.2.0/24"] });
    const on = (...destinationSubnets: string[]): Summary =>
      summary(
        block,
        virtual(
          "foo/vs",
          "tcp",
          [{ match: [{ destinationSubnets }], route: [to("e.example", 1)] }],
          ["e.example"],
        ),
      );
    assert.deepEqual(on("192.0.2.0/24"), {
      "0.0.0.0_90": ["tcp", "to 192.0.2.0/24; foo/vs tcp 0: 1||e.example"],
    });
    assert.deepEqual(on("10.0.0.0/8"), {
      "0.0.0.0_90": ["tcp", "to 10.0.0.0/8; foo/vs tcp 0: 1||e.example", "to 192.0.2.0/24; 90||e.example"],
    });
    const all = virtual("foo/vs", "tcp", [{ route: [to("e.example", 1)] }], ["e.example"]);
    assert.deepEqual(summary(block, all), {
      "0.0.0.0_90": ["tcp", "to 192.0.2.0/24; foo/vs tcp 0: 1||e.example"],
    });
  });

  test("without a port in the destination lead to the one listened on, or the only one", () => {
    const two = kubernetes("foo/two", { tcp: 90, "tcp-2": 91 }, { clusterIP: "10.0.0.2" });
    const route = virtual("foo/vs", "tcp", [{ route: [to("two")] }]);
    assert.deepEqual(chains(two, route), ["foo/vs tcp 0: 90||two.foo"]);
    const one = kubernetes("foo/two", { tcp: 91 }, { clusterIP: "10.0.0.2" });
    assert.deepEqual(chains(one, route), ["foo/vs tcp 0: 91||two.foo"]);
  });
});
