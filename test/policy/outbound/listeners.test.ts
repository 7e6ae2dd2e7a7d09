/**
 * The listeners of a sidecar's outbound side. Which ports share one, and what joins what:
 * https://istio.io/latest/docs/ops/configuration/traffic-management/traffic-routing/ and ServiceEntry's reference.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Listener, listenerName } from "../../../src/policy/outbound/listeners.ts";
import { entry, kubernetes, listenersOf, type Summary, summary, summaryFor } from "./listener-summary.ts";
import { client, written } from "./objects.ts";

describe("a Kubernetes service", () => {
  test("in HTTP listens on the wildcard, for all such services; in bytes on its address", () => {
    const web = kubernetes("foo/web", {
      http: 80,
      tcp: 90,
      tls: 443,
      https: 8443,
      redis: 6379,
      mongo: 27017,
      mysql: 3306,
    });
    const other = kubernetes("foo/other", { http2: 80, grpc: 81, tcp: 90 }, { clusterIP: "10.0.0.2" });
    const bytes = (service: string, address: string, ...ports: number[]): Summary =>
      Object.fromEntries(ports.map((port) => [`${address}_${port}`, ["tcp", `${port}||${service}.foo`]]));
    assert.deepEqual(summary(web, other), {
      "0.0.0.0_80": ["auto", "only-http; http"],
      "0.0.0.0_81": ["auto", "only-http; http"],
      ...bytes("web", "10.0.0.1", 90, 443, 8443, 6379, 27017, 3306),
      ...bytes("other", "10.0.0.2", 90),
    });
    assert.equal(listenerName("a", 1), "a_1");
  });

  test("to be detected listens on its address for both", () => {
    assert.deepEqual(summary(kubernetes("foo/web", { none: 7000 })), {
      "10.0.0.1_7000": ["auto", "7000||web.foo", "only-http; http"],
    });
  });

  test("has no listener for UDP, and none as an alias", () => {
    assert.deepEqual(summary(kubernetes("foo/web", { udp: 53 })), {});
    const alias = { type: "ExternalName", externalName: "a.example", clusterIP: "" };
    assert.deepEqual(summary(kubernetes("foo/alias", { http: 80, tcp: 90 }, alias)), {});
  });
});

describe("routes of an HTTP chain", () => {
  const routed = (listener: Listener | undefined, authority: string): string => {
    const chain = listener?.chains.find(({ target }) => target.kind === "http");
    if (chain?.target.kind !== "http") return "no HTTP";
    const decision = chain.target.table.route(
      { authority, method: "GET", headers: [], path: "/" },
      "l",
      "bar",
    );
    const cluster = "targets" in decision ? (decision.targets?.[0]?.name ?? "") : "";
    return `${decision.code} ${decision.reason} ${decision.listener} ${cluster}`.trim();
  };

  test("are those of all services on the port; what none of them is falls to the outbound traffic policy", () => {
    const [web, other] = [kubernetes("foo/web", { http: 80 }), kubernetes("foo/other", { http: 80 })];
    const listeners = listenersOf({}, web, other);
    const listener = listeners.get("0.0.0.0_80");
    const failing = (name: string): string =>
      `503 no-healthy-upstream l ${name}.svc.cluster.local:80 outbound|80||${name}.svc.cluster.local`;
    assert.equal(routed(listener, "web.foo"), failing("web.foo"));
    assert.equal(routed(listener, "other.foo"), failing("other.foo"));
    assert.equal(routed(listener, "unknown"), "200 passthrough l");
    const strict = written("Sidecar", "bar/own", { outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } });
    assert.equal(routed(listenersOf({}, web, strict).get("0.0.0.0_80"), "unknown"), "502 blackhole l");
  });

  test("are those of the one service alone, for any Host, where it was detected on its own address", () => {
    const [web, other] = [
      kubernetes("foo/web", { none: 80 }),
      kubernetes("foo/other", { none: 80 }, { clusterIP: "10.0.0.2" }),
    ];
    const listeners = listenersOf({}, web, other);
    const failing = (name: string): string =>
      `503 no-healthy-upstream l ${name}.svc.cluster.local:80 outbound|80||${name}.svc.cluster.local`;
    for (const authority of ["web.foo", "other.foo", "unknown"]) {
      assert.equal(routed(listeners.get("10.0.0.1_80"), authority), failing("web.foo"));
      assert.equal(routed(listeners.get("10.0.0.2_80"), authority), failing("other.foo"));
    }
    const port = { number: 80, protocol: "", name: "p" };
    const hidden = written("Sidecar", "bar/own", {
      egress: [
        { port, bind: "127.0.0.1", hosts: ["*/other.foo.svc.cluster.local"] },
        { port: { ...port, number: 81 }, bind: "127.0.0.2", hosts: ["*/web.foo.svc.cluster.local"] },
        { hosts: ["*/web.foo.svc.cluster.local"] },
      ],
    });
    const narrow = listenersOf({}, web, other, hidden);
    assert.equal(routed(narrow.get("127.0.0.1_80"), "x"), failing("other.foo"));
    // The port's own egress listener does not have the service: it has no routes there.
    assert.equal(routed(narrow.get("10.0.0.1_80"), "web.foo"), "404 no-route l");
  });

  test("are all services' wherever HTTP listens, and wherever none has an address", () => {
    const [web, other] = [kubernetes("foo/web", { http: 80 }), kubernetes("foo/other", { http: 80 })];
    const bound = written("Sidecar", "bar/own", {
      egress: [{ port: { number: 80, protocol: "HTTP", name: "p" }, bind: "127.0.0.1", hosts: ["*/*"] }],
    });
    const listening = listenersOf({}, web, other, bound).get("127.0.0.1_80");
    for (const name of ["web.foo", "other.foo"])
      assert.match(routed(listening, name), new RegExp(`outbound\\|80\\|\\|${name}\\.svc`));
    const detected = listenersOf({}, entry("foo/a.example", "", 80), entry("foo/b.example", "", 80)).get(
      "0.0.0.0_80",
    );
    for (const name of ["a.example", "b.example"])
      assert.match(routed(detected, name), new RegExp(`outbound.*${name}$`));
  });

  test("are one table for a port, on whichever listeners", () => {
    const tables = (...objects: object[]): number =>
      new Set(
        [...listenersOf({}, ...objects).values()].flatMap(({ chains }) =>
          chains.flatMap(({ target }) => (target.kind === "http" ? [target.table] : [])),
        ),
      ).size;
    const bound = written("Sidecar", "bar/own", {
      egress: ["127.0.0.1", "127.0.0.2"].map((bind) => ({
        port: { number: 80, protocol: "HTTP", name: "p" },
        bind,
        hosts: ["*/*"],
      })),
    });
    assert.equal(tables(kubernetes("foo/web", { http: 80 }), bound), 1);
    assert.equal(tables(kubernetes("foo/web", { http: 80, "http-2": 81 })), 2);
    assert.equal(
      tables(
        kubernetes("foo/web", { none: 80 }),
        kubernetes("foo/two", { none: 80 }, { clusterIP: "10.0.0.2" }),
      ),
      2,
    );
  });
});

describe("services without an address of their own", () => {
  test("join one listener by server name", () => {
    assert.deepEqual(summary(entry("foo/a.example", "TLS", 443), entry("foo/b.example", "HTTPS", 443)), {
      "0.0.0.0_443": ["tcp", "sni a.example; 443||a.example", "sni b.example; 443||b.example"],
    });
  });

  test("in bytes without names: the first has the port", () => {
    assert.deepEqual(summary(entry("foo/a", "TCP", 90), entry("foo/b", "TCP", 90)), {
      "0.0.0.0_90": ["tcp", "90||a"],
    });
  });

  test("on blocks join by address", () => {
    const block = (id: string, ...addresses: string[]): object => entry(id, "TCP", 90, { addresses });
    assert.deepEqual(
      summary(block("foo/a", "192.0.2.0/24"), block("foo/b", "198.51.100.0/24", "203.0.113.1")),
      {
        "0.0.0.0_90": ["tcp", "to 192.0.2.0/24; 90||a", "to 198.51.100.0/24; 90||b"],
        "203.0.113.1_90": ["tcp", "90||b"],
      },
    );
    const mongo = (id: string, address: string): object => entry(id, "MONGO", 90, { addresses: [address] });
    assert.deepEqual(summary(mongo("foo/a", "192.0.2.0/24"), mongo("foo/b", "198.51.100.0/24")), {
      "0.0.0.0_90": ["tcp", "to 192.0.2.0/24; 90||a", "to 198.51.100.0/24; 90||b"],
    });
    assert.deepEqual(summary(entry("foo/a", "TLS", 443, { addresses: ["192.0.2.0/24"] })), {
      "0.0.0.0_443": ["tcp", "sni a; to 192.0.2.0/24; 443||a"],
    });
  });

  test("by names that are resolved as they come have those, on an address too", () => {
    const dynamic = { resolution: "DYNAMIC_DNS", addresses: ["192.0.2.1"], hosts: ["*.a.example"] };
    assert.deepEqual(summary(entry("foo/a", "TLS", 443, dynamic)), {
      "192.0.2.1_443": ["tcp", "sni *.a.example; 443||*.a.example"],
    });
    const named = { ...dynamic, hosts: ["a.example"] };
    assert.deepEqual(summary(entry("foo/a", "TLS", 443, named)), {
      "192.0.2.1_443": ["tcp", "443||a.example"],
    });
    const fixed = { ...dynamic, resolution: "STATIC" };
    assert.deepEqual(summary(entry("foo/a", "TLS", 443, fixed)), {
      "192.0.2.1_443": ["tcp", "443||*.a.example"],
    });
  });

  test("have the names of their aliases too, as the client's namespace shortens them", () => {
    const alias = written("Service", "bar/al", {
      type: "ExternalName",
      externalName: "a.example",
      ports: [{ port: 443 }],
    });
    const long = "al.bar.svc.cluster.local";
    assert.deepEqual(summary(entry("foo/a.example", "TLS", 443), alias), {
      "0.0.0.0_443": ["tcp", `sni a.example,${long},${long}.,al,al.bar.svc,al.bar; 443||a.example`],
    });
  });
});

describe("what meets on one listener", () => {
  const [HTTP, TCP, TLS] = [entry("foo/h", "HTTP", 80), entry("foo/t", "TCP", 80), entry("foo/s", "TLS", 80)];
  const AUTO = entry("foo/d", "", 80);
  const CASES: readonly [name: string, objects: readonly object[], chains: readonly string[]][] = [
    ["HTTP alone", [HTTP], ["auto", "only-http; http"]],
    ["bytes after HTTP", [HTTP, TCP], ["auto", "only-http; http", "80||t"]],
    ["HTTP after bytes", [TCP, HTTP], ["auto", "80||t", "only-http; http"]],
    ["HTTP after HTTP", [HTTP, entry("foo/h2", "HTTP2", 80)], ["auto", "only-http; http"]],
    ["TLS after HTTP", [HTTP, TLS], ["auto", "only-http; http", "sni s; 80||s"]],
    ["TLS after bytes", [TCP, TLS], ["tcp", "80||t", "sni s; 80||s"]],
    ["what is to be detected alone", [AUTO], ["auto", "80||d", "only-http; http"]],
    ["what is to be detected, after HTTP", [HTTP, AUTO], ["auto", "only-http; http", "80||d"]],
    ["HTTP after what is to be detected", [AUTO, HTTP], ["auto", "80||d", "only-http; http"]],
    ["what is to be detected, after bytes", [TCP, AUTO], ["auto", "80||t", "only-http; http"]],
    ["two to be detected", [AUTO, entry("foo/d2", "", 80)], ["auto", "80||d", "only-http; http"]],
    ["mongo after mongo", [entry("foo/m", "MONGO", 80), entry("foo/n", "MONGO", 80)], ["tcp", "80||m"]],
    ["TLS after mongo, which stands alone", [entry("foo/m", "MONGO", 80), TLS], ["tcp", "80||m"]],
    ["HTTP after mysql, which stands alone", [entry("foo/m", "MYSQL", 80), HTTP], ["tcp", "80||m"]],
    ["mongo after TLS is left out", [TLS, entry("foo/m", "MONGO", 80)], ["tcp", "sni s; 80||s"]],
    ["mysql after TLS is left out", [TLS, entry("foo/m", "MYSQL", 80)], ["tcp", "sni s; 80||s"]],
    ["redis after TLS is not", [TLS, entry("foo/r", "REDIS", 80)], ["tcp", "sni s; 80||s", "80||r"]],
  ];
  for (const [name, objects, chains] of CASES)
    test(name, () => assert.deepEqual(summary(...objects), { "0.0.0.0_80": chains }));

  test("detection takes the place of HTTP on an address that a Sidecar binds", () => {
    const bound = written("Sidecar", "bar/own", { egress: [{ bind: "127.0.0.1", hosts: ["*/*"] }] });
    assert.deepEqual(summary(HTTP, bound), { "127.0.0.1_80": ["http", "http"] });
    assert.deepEqual(summary(HTTP, TCP, bound), { "127.0.0.1_80": ["auto", "http"] }, "HTTP takes all there");
    assert.deepEqual(summary(HTTP, TCP, AUTO, bound), { "127.0.0.1_80": ["auto", "http"] });
    assert.deepEqual(summary(HTTP, AUTO, bound), { "127.0.0.1_80": ["auto", "80||d", "only-http; http"] });
  });
});

describe("headless services", () => {
  const HEADLESS = { clusterIP: "None", selector: { app: "web" } };
  const pod = (name: string, ip?: string): object => client(`foo/${name}`, { app: "web" }, ip);
  const PODS = [pod("a", "10.1.0.1"), pod("b", "10.1.0.2"), pod("c")];

  test("in bytes listen on each endpoint's address but one's own, and on a stand-in", () => {
    const web = kubernetes("foo/web", { tcp: 90 }, HEADLESS);
    const chain = ["tcp", "90||web.foo"];
    const all = { "10.1.0.1_90": chain, "10.1.0.2_90": chain, "vip:web.foo.svc.cluster.local_90": chain };
    assert.deepEqual(summary(web, ...PODS), all);
    const { "10.1.0.1_90": _own, ...others } = all;
    assert.deepEqual(summaryFor({ ownAddress: "10.1.0.1" }, web, ...PODS), others);
    assert.deepEqual(summary(web), { "vip:web.foo.svc.cluster.local_90": chain });
  });

  test("to be detected do so too; in HTTP they are on the wildcard, in UDP nowhere", () => {
    assert.deepEqual(summary(kubernetes("foo/web", { none: 90 }, HEADLESS), ...PODS.slice(1)), {
      "10.1.0.2_90": ["auto", "90||web.foo", "only-http; http"],
      "vip:web.foo.svc.cluster.local_90": ["auto", "90||web.foo", "only-http; http"],
    });
    assert.deepEqual(summary(kubernetes("foo/web", { http: 80, udp: 53 }, HEADLESS), ...PODS), {
      "0.0.0.0_80": ["auto", "only-http; http"],
    });
  });

  test("that a Sidecar binds are on that address", () => {
    const bound = written("Sidecar", "bar/own", { egress: [{ bind: "127.0.0.1", hosts: ["*/*"] }] });
    assert.deepEqual(summary(kubernetes("foo/web", { tcp: 90 }, HEADLESS), ...PODS, bound), {
      "127.0.0.1_90": ["tcp", "90||web.foo"],
    });
  });

  describe("of ServiceEntries that resolve nothing", () => {
    const none = (spec: object): object => entry("foo/e.example", "TCP", 90, { resolution: "NONE", ...spec });
    const chain = ["tcp", "90||e.example"];

    test("listen on the wildcard without endpoints, on their address with one", () => {
      assert.deepEqual(summary(none({})), { "0.0.0.0_90": chain });
      assert.deepEqual(summary(none({ addresses: ["192.0.2.1"], endpoints: [{ address: "192.0.2.9" }] })), {
        "192.0.2.1_90": chain,
      });
    });

    test("listen on each endpoint that is an address, and on a stand-in", () => {
      const endpoints = [{ address: "192.0.2.1" }, { address: "name.example" }];
      assert.deepEqual(summary(none({ endpoints })), { "192.0.2.1_90": chain, "vip:e.example_90": chain });
    });

    test("with a selector listen on a stand-in where nothing is selected", () => {
      assert.deepEqual(summary(none({ workloadSelector: { labels: { app: "x" } } })), {
        "vip:e.example_90": chain,
      });
    });
  });

  test("are no services that are resolved otherwise", () => {
    const endpoints = [{ address: "192.0.2.1" }];
    assert.deepEqual(summary(entry("foo/e.example", "TCP", 90, { endpoints })), {
      "0.0.0.0_90": ["tcp", "90||e.example"],
    });
  });
});

describe("ports that a Sidecar declares", () => {
  const declared = (...egress: object[]): object => written("Sidecar", "bar/own", { egress });
  const port = (number: number, protocol: string): object => ({ number, protocol, name: "p" });

  test("listen for the services listed, by the Sidecar's protocol", () => {
    const web = kubernetes("foo/web", { http: 80, tcp: 90 });
    assert.deepEqual(summary(web, declared({ port: port(80, "TCP"), hosts: ["*/*"] })), {
      "10.0.0.1_80": ["tcp", "80||web.foo"],
    });
    assert.deepEqual(summary(web, declared({ port: port(80, "HTTP"), bind: "127.0.0.1", hosts: ["*/*"] })), {
      "127.0.0.1_80": ["http", "http"],
    });
    assert.deepEqual(summary(web, declared({ port: port(81, "TCP"), hosts: ["*/*"] })), {});
  });

  test("on a socket, which has no port, lead to a service's only one", () => {
    const one = kubernetes("foo/one", { tcp: 90 });
    assert.deepEqual(summary(one, declared({ port: port(0, "TCP"), bind: "unix:///s", hosts: ["*/*"] })), {
      "unix:///s_0": ["tcp", "90||one.foo"],
    });
  });

  test("in TLS tell by server name where neither they nor the service have an address", () => {
    const on = (bind: string, service: object): Summary =>
      summary(service, declared({ port: port(443, "TLS"), bind, hosts: ["*/*"] }));
    const external = entry("foo/a.example", "TLS", 443);
    assert.deepEqual(on("0.0.0.0", external), { "0.0.0.0_443": ["tcp", "sni a.example; 443||a.example"] });
    assert.deepEqual(on("127.0.0.1", external), { "127.0.0.1_443": ["tcp", "443||a.example"] });
    assert.deepEqual(on("0.0.0.0", kubernetes("foo/web", { tls: 443 })), {
      "0.0.0.0_443": ["tcp", "443||web.foo"],
    });
  });

  test("as a proxy for HTTP lead services of one port there", () => {
    const two = kubernetes("foo/two", { http: 80, tcp: 90 });
    const one = kubernetes("foo/one", { tcp: 90 }, { clusterIP: "10.0.0.2" });
    assert.deepEqual(
      summary(two, one, declared({ port: port(3128, "HTTP_PROXY"), bind: "127.0.0.1", hosts: ["*/*"] })),
      {
        "127.0.0.1_3128": ["http", "http"],
      },
    );
  });

  test("are joined by none of the listener for the rest, which comes after", () => {
    const [a, b] = [entry("foo/a.example", "TLS", 443), entry("foo/b.example", "TLS", 443)];
    const only = { port: port(443, "TLS"), hosts: ["*/a.example"] };
    assert.deepEqual(summary(a, b, declared(only, { hosts: ["*/*"] })), {
      "0.0.0.0_443": ["tcp", "sni a.example; 443||a.example"],
    });
    assert.deepEqual(summary(a, b, declared({ ...only, hosts: ["*/*"] }, { hosts: ["*/*"] })), {
      "0.0.0.0_443": ["tcp", "sni a.example; 443||a.example", "sni b.example; 443||b.example"],
    });
  });
});
