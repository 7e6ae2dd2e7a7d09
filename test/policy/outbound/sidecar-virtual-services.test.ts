/** VirtualServices in a Sidecar's scope, and the services that they lead to: https://istio.io/latest/docs/reference/config/networking/sidecar/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { meshOfObjects, written } from "./objects.ts";
import { entry, imported, nameOf, scopeOf, service, sidecar, under } from "./scope-summary.ts";

const virtual = (id: string, spec: object): object => written("VirtualService", id, spec);

describe("VirtualServices of an egress listener", () => {
  const to = (id: string, ...hosts: string[]): object =>
    virtual(id, { hosts, http: [{ redirect: { uri: "/" } }] });
  const ALL = [
    to("foo/own", "web"),
    to("bar/a", "a.example"),
    to("bar/any", "*.example"),
    to("baz/two", "x.org", "b.example"),
  ];
  const CASES: readonly [hosts: readonly string[], virtualServices: string][] = [
    [["*/*"], "foo/own bar/a bar/any baz/two"],
    [["./*"], "foo/own"],
    [["bar/a.example"], "bar/a bar/any"],
    [["bar/a.example", "bar/x.org"], "bar/a bar/any"],
    [["bar/*.example"], "bar/a bar/any"],
    [["bar/*.a.example"], "bar/any"],
    [["bar/b.org"], ""],
    [["baz/b.example"], "baz/two"],
    [["*/B.example"], "bar/any baz/two"],
    [["*/*", "~bar/*"], "foo/own baz/two"],
    [["*/*", "~bar/a.example"], "foo/own bar/any baz/two"],
    [["*/*", "~/*.example"], "foo/own baz/two"],
    [["*/*", "~/*.example", "~/x.org"], "foo/own"],
    [["~/*"], ""],
  ];
  for (const [hosts, virtualServices] of CASES)
    test(`${hosts.join(", ")} import ${virtualServices || "none"}`, () =>
      assert.equal(imported(under({ hosts }, ...ALL)).virtualServices, virtualServices));

  test("are those of the mesh's gateway", () => {
    const bound = virtual("bar/gw", { hosts: ["a.example"], gateways: ["bar/gw"] });
    assert.equal(imported(under({ hosts: ["*/*"] }, bound)).virtualServices, "");
  });

  test("win the services that they have the most specific host for; the oldest of one host", () => {
    const scope = under(
      { hosts: ["*/*"] },
      entry("bar/e", ["a.example", "b.example", "*.b.example", "c.org"]),
      to("bar/older", "a.example"),
      to("bar/a", "a.example"),
      to("bar/any", "*.example"),
      to("bar/two", "*.example", "*.b.example"),
    );
    assert.deepEqual(
      [...(scope.listeners[0]?.winner ?? [])].map(([host, { name }]) => `${host} ${name}`),
      ["*.b.example two", "a.example older", "b.example any"],
    );
  });
});

describe("destinations of VirtualServices", () => {
  const destination = (host: string, number?: number): object => ({
    destination: number === undefined ? { host } : { host, port: { number } },
  });
  const route = (...destinations: object[]): object =>
    virtual("foo/vs", { hosts: ["x.example"], http: [{ route: destinations }] });
  const LOCAL = { hosts: ["./*"] };
  const known = (egress: object, ...objects: object[]): readonly string[] =>
    [...under(egress, ...objects).services.values()].map(nameOf);
  const WEB = "web.bar.svc.cluster.local";

  test("are known besides what is imported, with the ports that are led to", () => {
    const all = [service("bar/web", [80, 81, 82]), service("foo/own")];
    assert.deepEqual(known(LOCAL, ...all), ["foo/own.foo 80"]);
    assert.deepEqual(known(LOCAL, ...all, route(destination(WEB, 81))), ["foo/own.foo 80", "bar/web.bar 81"]);
    assert.deepEqual(
      known(LOCAL, ...all, route(destination(WEB, 81), destination(WEB, 82))).at(-1),
      "bar/web.bar 81,82",
    );
    assert.deepEqual(known(LOCAL, ...all, route(destination(WEB))).at(-1), "bar/web.bar 80,81,82");
    assert.deepEqual(known(LOCAL, ...all, route(destination(WEB, 83))), ["foo/own.foo 80"]);
    assert.deepEqual(known(LOCAL, ...all, route(destination("absent.example"))), ["foo/own.foo 80"]);
    assert.deepEqual(known({ hosts: ["bar/*"] }, ...all, route(destination(WEB))), ["bar/web.bar 80,81,82"]);
  });

  test("that are led to by all ports are the registry's own, so that their clusters are shared", () => {
    const egress = [LOCAL];
    const routes = route(destination(WEB, 80), destination(WEB, 81));
    const mesh = meshOfObjects(service("bar/web", [80, 81]), routes, sidecar("foo/own", { egress }));
    assert.equal(scopeOf(mesh).services.get(WEB), meshIndex(mesh).registry.find(WEB, "bar"));
  });

  test("of a listener with a port have that one alone", () => {
    const all = [service("bar/web", [80, 81]), route(destination(WEB, 80))];
    const on = (port: object): readonly string[] => known({ ...LOCAL, port }, ...all);
    assert.deepEqual(on({ number: 81, protocol: "HTTP" }), ["bar/web.bar 81"]);
    assert.deepEqual(on({ number: 83, protocol: "HTTP" }), []);
    assert.deepEqual(on({ number: 81, protocol: "HTTP_PROXY" }), ["bar/web.bar 80"]);
  });

  test("are the client's own namespace's, else a visible Kubernetes service, else the oldest that is visible", () => {
    const late = written(
      "Service",
      "bar/web",
      { ports: [{ port: 80 }] },
      { creationTimestamp: "2026-01-01T00:00:00Z" },
    );
    const to = route(destination(WEB));
    const hidden = { exportTo: ["."] };
    const outside = { hosts: ["qux/*", "foo/x.example"] };
    const led = (...objects: object[]): readonly string[] => known(outside, ...objects, to);
    assert.deepEqual(led(entry("baz/e", [WEB]), late, entry("foo/e", [WEB])), ["foo/web.bar 80"]);
    assert.deepEqual(led(late, entry("foo/e", [WEB], [80], { exportTo: ["~"] })), ["foo/web.bar 80"]);
    assert.deepEqual(led(entry("baz/e", [WEB]), late), ["bar/web.bar 80"]);
    assert.deepEqual(led(entry("baz/e", [WEB]), service("bar/web", [80], {}, ".")), ["baz/web.bar 80"]);
    assert.deepEqual(led(entry("baz/e", [WEB]), entry("qux2/e", [WEB])), ["baz/web.bar 80"]);
    assert.deepEqual(led(entry("baz/e", [WEB], [80], hidden), entry("qux2/e", [WEB])), ["qux2/web.bar 80"]);
    assert.deepEqual(led(entry("baz/e", [WEB], [80], hidden)), []);
  });
});
