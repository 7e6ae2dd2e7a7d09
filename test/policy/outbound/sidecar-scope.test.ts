/** What a Sidecar resource imports: https://istio.io/latest/docs/reference/config/networking/sidecar/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import {
  buildGatewayScope,
  type SidecarScope,
  selectSidecar,
} from "../../../src/policy/outbound/sidecar-scope.ts";
import { meshConfig, meshOfObjects, written } from "./objects.ts";
import { entry, imported, nameOf, scopeOf, service, sidecar, under } from "./scope-summary.ts";

describe("selectSidecar()", () => {
  const WEB = { workloadSelector: { labels: { app: "web" } } };
  const selected = (labels: Record<string, string>, ...sidecars: object[]): string | undefined =>
    selectSidecar(meshOfObjects(...sidecars), "foo", labels)?.name;

  test("the namespace's oldest that selects the workload, else its oldest that selects none", () => {
    const all = [
      sidecar("bar/other"),
      sidecar("foo/general"),
      sidecar("foo/younger"),
      sidecar("foo/web", WEB),
      sidecar("foo/web-too", WEB),
      sidecar("istio-system/root"),
    ];
    assert.equal(selected({ app: "web", tier: "a" }, ...all), "web");
    assert.equal(selected({ app: "other" }, ...all), "general");
    assert.equal(selected({}, ...all.reverse()), "younger");
  });

  test("else the root namespace's that selects none, else nothing", () => {
    const root = [sidecar("istio-system/selecting", WEB), sidecar("istio-system/root"), sidecar("bar/other")];
    assert.equal(selected({ app: "web" }, ...root), "root");
    assert.equal(selected({ app: "web" }, ...root.slice(0, 1), sidecar("bar/other")), undefined);
    assert.equal(selected({}, sidecar("foo/web", WEB), ...root), "root");
    assert.equal(selected({}), undefined);
  });

  test("a selector without labels selects all", () => {
    const all = [sidecar("foo/general"), sidecar("foo/empty", { workloadSelector: {} })];
    assert.equal(selected({}, ...all), "empty");
    assert.equal(selected({}, sidecar("istio-system/empty", { workloadSelector: {} })), undefined);
  });
});

describe("hosts of an egress listener", () => {
  const SERVICES = [
    service("foo/web"),
    service("bar/web"),
    service("baz/web"),
    entry("bar/e", ["a.example", "b.example", "*.c.example"]),
  ];
  const [FOO, BAR, BAZ] = ["foo/web.foo 80", "bar/web.bar 80", "baz/web.baz 80"];
  const [A, B, C] = ["bar/a.example 80", "bar/b.example 80", "bar/*.c.example 80"];
  const CASES: readonly [hosts: readonly string[] | undefined, services: readonly (string | undefined)[]][] =
    [
      [undefined, []],
      [[], []],
      [["*/*"], [BAR, BAZ, FOO, C, A, B]],
      [["./*"], [FOO]],
      [["foo/*"], [FOO]],
      [["bar/*"], [BAR, C, A, B]],
      [
        ["bar/*", "./*"],
        [BAR, FOO, C, A, B],
      ],
      [["qux/*"], []],
      [["bar/a.example"], [A]],
      [["bar/A.Example"], [A]],
      [["foo/a.example"], []],
      [["*/a.example"], [A]],
      [["*/*.example"], [C, A, B]],
      [["*/*.c.example"], [C]],
      [["*/x.c.example"], []],
      [["*/*.svc.cluster.local"], [BAR, BAZ, FOO]],
      [
        ["*/*.bar.svc.cluster.local", "./*"],
        [BAR, FOO],
      ],
      [["~/*"], []],
      [["*/*", "~/*"], []],
      [
        ["*/*", "~bar/*"],
        [BAZ, FOO],
      ],
      [
        ["*/*", "~bar/*.example"],
        [BAR, BAZ, FOO],
      ],
      [
        ["*/*", "~/A.example"],
        [BAR, BAZ, FOO, C, B],
      ],
      [
        ["*/*", "~./*"],
        [BAR, BAZ, C, A, B],
      ],
      [
        ["bar/*", "~foo/*"],
        [BAR, C, A, B],
      ],
      [
        ["*/*", "~bar/c.example"],
        [BAR, BAZ, FOO, C, A, B],
      ],
      [["a.example", "bar"], []],
      [["bar/a.example/80"], []],
      [["/a.example"], []],
    ];
  for (const [hosts, services] of CASES)
    test(`${JSON.stringify(hosts)} import ${services.join(", ") || "nothing"}`, () => {
      assert.deepEqual(imported(under(hosts === undefined ? {} : { hosts }, ...SERVICES)).services, services);
    });

  test("import what is exported only", () => {
    const all = [
      service("bar/public"),
      service("bar/private", [80], {}, "."),
      service("bar/ours", [80], {}, "foo"),
    ];
    assert.deepEqual(imported(under({ hosts: ["*/*"] }, ...all)).services, [
      "bar/ours.bar 80",
      "bar/public.bar 80",
    ]);
  });

  test("import an alias's name where they name it too", () => {
    const all = [
      service("bar/web"),
      service("bar/a", [80], { type: "ExternalName", externalName: "web.bar.svc.cluster.local" }),
      service("baz/b", [80], { type: "ExternalName", externalName: "web.bar.svc.cluster.local" }),
    ];
    const web = (...hosts: string[]): string | undefined =>
      imported(under({ hosts }, ...all)).services.find((own) => own.startsWith("bar/web"));
    assert.equal(web("*/*"), "bar/web.bar 80 ~a.bar ~b.baz");
    assert.equal(web("bar/web.bar.svc.cluster.local"), "bar/web.bar 80");
    assert.equal(web("bar/*.bar.svc.cluster.local"), "bar/web.bar 80 ~a.bar");
    assert.equal(
      web("bar/*.bar.svc.cluster.local", "*/*"),
      "bar/web.bar 80 ~a.bar",
      "of the namespace's own entry",
    );
  });
});

describe("a host name of several namespaces", () => {
  const HOST = "web.bar.svc.cluster.local";
  const ALL = { hosts: ["*/*"] };

  test("is the client's own namespace's", () => {
    const scope = under(ALL, service("bar/web"), entry("foo/e", [HOST]), entry("baz/e", [HOST]));
    assert.deepEqual(imported(scope).services, ["foo/web.bar 80"]);
  });

  test("is else the Kubernetes service's, else the oldest's", () => {
    assert.deepEqual(imported(under(ALL, entry("baz/e", [HOST]), service("bar/web"))).services, [
      "bar/web.bar 80",
    ]);
    const late = written(
      "Service",
      "bar/web",
      { ports: [{ port: 80 }] },
      { creationTimestamp: "2026-01-01T00:00:00Z" },
    );
    assert.deepEqual(imported(under(ALL, entry("baz/e", [HOST]), late)).services, ["bar/web.bar 80"]);
    assert.deepEqual(imported(under(ALL, entry("foo/e", [HOST]), late)).services, ["foo/web.bar 80"]);
    assert.deepEqual(imported(under(ALL, entry("baz/e", [HOST]), entry("bar/e", [HOST]))).services, [
      "baz/web.bar 80",
    ]);
  });

  test("keeps all entries of that namespace", () => {
    const scope = under(
      ALL,
      entry("bar/one", [HOST]),
      entry("bar/two", [HOST], [81]),
      entry("baz/e", [HOST]),
    );
    assert.deepEqual(imported(scope).services, ["bar/web.bar 80", "bar/web.bar 81"]);
    assert.deepEqual([...scope.services.values()].map(nameOf), ["bar/web.bar 80,81"]);
  });
});

describe("a port of an egress listener", () => {
  const SERVICES = [service("bar/web", [80, 90]), service("bar/only", [90]), service("bar/other", [81])];
  const EVERYTHING = ["bar/only.bar 90", "bar/other.bar 81", "bar/web.bar 80,90"];
  const on = (port: object | undefined, bind?: string): SidecarScope =>
    under(
      {
        hosts: ["*/*"],
        ...(port === undefined ? {} : { port }),
        ...(bind === undefined ? {} : { bind }),
      },
      ...SERVICES,
    );

  test("leaves the services that have it, with it alone", () => {
    const scope = on({ number: 90, protocol: "HTTP", name: "http" }, "127.0.0.1");
    assert.deepEqual(imported(scope).services, ["bar/only.bar 90", "bar/web.bar 90"]);
    const { port, bind } = scope.listeners[0] ?? assert.fail();
    assert.deepEqual({ port, bind }, { port: { number: 90, protocol: "http" }, bind: "127.0.0.1" });
  });

  test("that is a proxy for HTTP, or none at all, leaves all", () => {
    assert.deepEqual(imported(on({ number: 90, protocol: "HTTP_PROXY" })).services, EVERYTHING);
    assert.deepEqual(imported(on(undefined)).services, EVERYTHING);
    assert.deepEqual(imported(on({})).services, EVERYTHING);
    assert.deepEqual(on({}).listeners[0]?.port, { number: 0, protocol: "" });
  });

  test("that is none, and an empty address, are not there", () => {
    for (const bind of [undefined, ""]) {
      const [listener] = on(undefined, bind).listeners;
      assert.deepEqual(Object.keys(listener ?? {}).sort(), ["services", "virtualServices", "winner"]);
    }
  });

  test("leaves what needs no trimming the registry's own, so that its clusters are shared", () => {
    const egress = [{ hosts: ["*/*"], port: { number: 90, protocol: "HTTP" } }];
    const mesh = meshOfObjects(...SERVICES, sidecar("foo/own", { egress }));
    const host = "only.bar.svc.cluster.local";
    assert.equal(scopeOf(mesh).services.get(host), meshIndex(mesh).registry.find(host, "bar"));
  });
});

describe("a scope", () => {
  test("without Sidecar, or of one without listeners, imports all", () => {
    const all = [service("foo/web"), service("bar/web")];
    for (const spec of [undefined, {}, { egress: [] }]) {
      const mesh = meshOfObjects(...all, ...(spec === undefined ? [] : [sidecar("foo/own", spec)]));
      const scope = scopeOf(mesh);
      assert.equal(scope.sidecar, spec === undefined ? null : "Sidecar foo/own");
      assert.equal(scope.namespace, "foo");
      assert.deepEqual(imported(scope).services, ["bar/web.bar 80", "foo/web.foo 80"]);
      assert.deepEqual([...scope.services.values()].map(nameOf), ["bar/web.bar 80", "foo/web.foo 80"]);
    }
  });

  test("has the outbound traffic policy of the Sidecar, else of the mesh", () => {
    const policy = (spec: object, settings: object = {}): object =>
      scopeOf(meshOfObjects(meshConfig(settings), sidecar("foo/own", spec))).outboundTraffic;
    const own = (outboundTrafficPolicy: object): object => policy({ outboundTrafficPolicy });
    const by = "Sidecar foo/own";
    const egressProxy = { host: "p" };
    assert.deepEqual(policy({}), { mode: "ALLOW_ANY", by: null });
    assert.deepEqual(policy({}, { outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }), {
      mode: "REGISTRY_ONLY",
      by: null,
    });
    assert.deepEqual(own({ mode: "ALLOW_ANY" }), { mode: "ALLOW_ANY", by });
    assert.deepEqual(own({ mode: "ALLOW_ANY_DYNAMIC_DNS" }), { mode: "ALLOW_ANY_DYNAMIC_DNS", by });
    assert.deepEqual(own({ mode: "REGISTRY_ONLY" }), { mode: "REGISTRY_ONLY", by });
    assert.deepEqual(own({}), { mode: "REGISTRY_ONLY", by });
    assert.deepEqual(own({ mode: "ALLOW_ANY", egressProxy }), { mode: "ALLOW_ANY", by, egressProxy });
  });

  test("of a gateway has every service that is exported to it, and no listeners, whatever Sidecars say", () => {
    const mesh = meshOfObjects(
      service("foo/web"),
      service("bar/web"),
      service("bar/private", [80], {}, "."),
      sidecar("foo/own", { egress: [{ hosts: ["./*"] }] }),
    );
    const { services, ...scope } = buildGatewayScope(meshIndex(mesh), "foo");
    assert.deepEqual(scope, {
      namespace: "foo",
      sidecar: null,
      listeners: [],
      outboundTraffic: { mode: "REGISTRY_ONLY", by: null },
    });
    assert.deepEqual([...services.values()].map(nameOf), ["bar/web.bar 80", "foo/web.foo 80"]);
  });
});
