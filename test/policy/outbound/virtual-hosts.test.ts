/** Which Host headers lead to which routes on an HTTP port of a sidecar. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { COMMON_NAMESPACE } from "../../../src/policy/outbound/common-view.ts";
import { meshIndex } from "../../../src/policy/outbound/mesh-index.ts";
import { createProxyView } from "../../../src/policy/outbound/proxy-view.ts";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import { buildSidecarScope, selectSidecar } from "../../../src/policy/outbound/sidecar-scope.ts";
import {
  buildVirtualHosts,
  shortNames,
  type VirtualHost,
  type VirtualHosts,
} from "../../../src/policy/outbound/virtual-hosts.ts";
import { meshConfig, meshOfObjects, written } from "./objects.ts";

const REQUEST = new RequestView({ authority: "web", method: "GET", headers: [] }, "/", "/");

function service(id: string, port = 80, spec: object = {}, name = "http"): object {
  return written("Service", id, { ports: [{ port, name }], ...spec });
}

function entry(id: string, hosts: readonly string[], spec: object = {}): object {
  return written("ServiceEntry", id, {
    hosts,
    resolution: "STATIC",
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    ...spec,
  });
}

/** A VirtualService that answers with the code. */
function answering(id: string, status: number, ...hosts: string[]): object {
  return written("VirtualService", id, { hosts, http: [{ directResponse: { status } }] });
}

function build(namespace: string, port: number, ...objects: object[]): VirtualHosts {
  const mesh = meshOfObjects(...objects);
  const index = meshIndex(mesh);
  const scope = buildSidecarScope(index, namespace, selectSidecar(mesh, namespace, {}));
  const [listener] = scope.listeners;
  assert.ok(listener !== undefined);
  return buildVirtualHosts(createProxyView(index, scope, namespace, {}, false), listener, port);
}

/** What the first route answers: the code, or the cluster that it wanted. */
function answerOf({ routes: [route] }: VirtualHost): number | string {
  const decision = route?.decide(REQUEST, "l");
  return decision?.kind === "respond" ? decision.code : (decision?.targets?.[0]?.name ?? "nothing");
}

/** Each host's name without the port, its answer, and the domains. */
function hostsFor(
  namespace: string,
  port: number,
  ...objects: object[]
): readonly (readonly [string, number | string, string])[] {
  return build(namespace, port, ...objects).hosts.map((host) => {
    assert.ok(host.name.endsWith(`:${port}`));
    return [host.name.slice(0, -1 - String(port).length), answerOf(host), host.domains.join(" ")] as const;
  });
}

/** The same, of hosts that VirtualServices answer for, without domains. */
function answers(port: number, ...objects: object[]): readonly string[] {
  return hostsFor("foo", port, ...objects).map(([name, answer]) => `${name} ${answer}`);
}

test("shortNames(): the final dot, and what the search path of a namespace completes", () => {
  const CASES: readonly [hostname: string, namespace: string, names: readonly string[]][] = [
    ["web.foo.svc.cluster.local", "foo", ["web.foo.svc.cluster.local.", "web", "web.foo.svc", "web.foo"]],
    ["web.foo.svc.cluster.local", "bar", ["web.foo.svc.cluster.local.", "web.foo.svc", "web.foo"]],
    ["web.foo.svc.cluster.local", "oo", ["web.foo.svc.cluster.local.", "web.foo.svc", "web.foo"]],
    ["web.example", "foo", ["web.example."]],
    ["web.of.a.very.long.name.example", "foo", ["web.of.a.very.long.name.example."]],
    ["web.svc.cluster.local", "foo", ["web.svc.cluster.local."]],
    [".svc.cluster.local", "foo", [".svc.cluster.local."]],
    [".foo.svc.cluster.local", "foo", [".foo.svc.cluster.local.", "", ".foo.svc", ".foo"]],
  ];
  for (const [hostname, namespace, names] of CASES) assert.deepEqual(shortNames(hostname, namespace), names);
});

describe("a service's domains", () => {
  const HOST = "web.foo.svc.cluster.local";
  const LONG = `${HOST} ${HOST}. web.foo.svc web.foo`;
  const OWN = `${HOST} ${HOST}. web web.foo.svc web.foo`;
  const CLUSTER = `outbound|80||${HOST}`;

  test("are its names, as the client's namespace shortens them", () => {
    assert.deepEqual(hostsFor("bar", 80, service("foo/web")), [[HOST, CLUSTER, LONG]]);
    assert.deepEqual(hostsFor("foo", 80, service("foo/web")), [[HOST, CLUSTER, OWN]]);
  });

  test("are its addresses too, those of six in brackets", () => {
    const dual = service("foo/web", 80, { clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1", "fd00::1"] });
    assert.deepEqual(hostsFor("bar", 80, dual), [[HOST, CLUSTER, `${LONG} 10.0.0.1 [fd00::1]`]]);
    const blocks = entry("foo/e", ["a.example"], { addresses: ["192.0.2.1"] });
    assert.deepEqual(hostsFor("bar", 80, blocks)[0]?.[2], "a.example a.example. 192.0.2.1");
    const block = entry("foo/e", ["a.example"], { addresses: ["192.0.2.0/24"] });
    assert.deepEqual(hostsFor("bar", 80, block)[0]?.[2], "a.example a.example.");
  });

  test("of a headless one are whatever is before each of them", () => {
    const pods = ["", "*."].flatMap((before) => LONG.split(" ").map((name) => before + name)).join(" ");
    assert.deepEqual(hostsFor("bar", 80, service("foo/web", 80, { clusterIP: "None" })), [
      [HOST, CLUSTER, pods],
    ]);
    const passing = entry("foo/e", ["a.example"], { resolution: "NONE" });
    assert.deepEqual(hostsFor("bar", 80, passing)[0]?.[2], "a.example a.example.");
  });

  test("are those of its aliases too; an alias has none by itself", () => {
    const alias = service("foo/alias", 80, { type: "ExternalName", externalName: HOST });
    const long = [
      "alias.foo.svc.cluster.local",
      "alias.foo.svc.cluster.local.",
      "alias.foo.svc",
      "alias.foo",
    ];
    assert.deepEqual(hostsFor("bar", 80, alias, service("foo/web")), [
      [HOST, CLUSTER, `${LONG} ${long.join(" ")}`],
    ]);
  });

  test("are not those that another has for its own name, or had before", () => {
    assert.deepEqual(hostsFor("foo", 80, service("foo/web"), entry("foo/e", ["web.foo", "web"])), [
      ["web", "outbound|80||web", "web web."],
      ["web.foo", "outbound|80||web.foo", "web.foo web.foo."],
      [HOST, CLUSTER, `${HOST} ${HOST}. web.foo.svc`],
    ]);
    // Whichever of them comes first.
    assert.deepEqual(
      hostsFor("bar", 80, service("foo/web"), entry("foo/e", ["web.foo"]), answering("foo/vs", 201, "web")),
      [
        [HOST, 201, `${HOST} ${HOST}. web.foo.svc`],
        ["web.foo", "outbound|80||web.foo", "web.foo web.foo."],
      ],
    );
    const address = { addresses: ["192.0.2.1"] };
    assert.deepEqual(
      hostsFor("foo", 80, entry("foo/b", ["b.example"], address), entry("foo/a", ["a.example"], address)).map(
        ([, , domains]) => domains,
      ),
      ["a.example a.example. 192.0.2.1", "b.example b.example."],
    );
  });
});

describe("services that no VirtualService takes", () => {
  test("have a route each, by name, where the port speaks HTTP or is to be detected", () => {
    const ports = ["http", "http2", "grpc", "", "tcp", "https", "tls", "mongo", "redis"];
    const services = ports.map((name, index) => service(`foo/s${9 - index}`, 8080, {}, name));
    const udp = written("Service", "foo/udp", { ports: [{ port: 8080, protocol: "UDP" }] });
    assert.deepEqual(
      answers(8080, ...services, udp, service("foo/other", 8081)),
      [6, 7, 8, 9].map((n) => `s${n}.foo.svc.cluster.local outbound|8080||s${n}.foo.svc.cluster.local`),
    );
    assert.deepEqual(answers(8082, ...services), []);
  });

  test("are by name whatever their age", () => {
    const of = (...names: string[]): readonly string[] =>
      hostsFor("foo", 80, ...names.map((name) => entry(`foo/${name}`, [name]))).map(([name]) => name);
    assert.deepEqual(of("b.example", "c.example", "a.example"), ["a.example", "b.example", "c.example"]);
  });

  test("without the port are none there: a VirtualService's host is one that nobody knows", () => {
    const other = service("foo/other", 8080);
    assert.deepEqual(answers(80, other, answering("foo/a", 201, "other")), [
      "other.foo.svc.cluster.local 201",
    ]);
  });

  test("go by the mesh's retries", () => {
    const { hosts } = build(
      "foo",
      80,
      meshConfig({ defaultHttpRetryPolicy: { attempts: 5 } }),
      entry("foo/e", ["a.example"], { resolution: "DNS" }),
    );
    const decision = hosts[0]?.routes[0]?.decide(REQUEST, "l");
    assert.equal(decision?.kind === "forward" ? decision.http?.retries.attempts : undefined, 5);
  });
});

describe("VirtualServices", () => {
  const WEB = "web.foo.svc.cluster.local";
  const OTHER = "other.foo.svc.cluster.local";

  test("take their services, the first of several for one; others are as ever", () => {
    assert.deepEqual(
      hostsFor(
        "bar",
        8080,
        service("foo/web", 8080),
        service("foo/other", 8080),
        answering("foo/a", 201, "web"),
        answering("foo/b", 202, "web"),
      ),
      [
        [WEB, 201, `${WEB} ${WEB}. web.foo.svc web.foo`],
        [OTHER, `outbound|8080||${OTHER}`, `${OTHER} ${OTHER}. other.foo.svc other.foo`],
      ],
    );
  });

  test("for hosts that nobody knows are on port 80 alone", () => {
    const all = [
      service("foo/web"),
      service("foo/other", 8080),
      answering("foo/a", 201, "a.example", "*.example"),
    ];
    assert.deepEqual(hostsFor("bar", 80, ...all).slice(0, 2), [
      ["a.example", 201, "a.example"],
      ["*.example", 201, "*.example"],
    ]);
    assert.deepEqual(answers(8080, ...all), [`${OTHER} outbound|8080||${OTHER}`]);
    const mixed = answering("foo/a", 201, "a.example", "other");
    assert.deepEqual(answers(8080, ...all.slice(0, 2), mixed), ["a.example 201", `${OTHER} 201`]);
  });

  test("without a route for the client are absent", () => {
    const elsewhere = written("VirtualService", "foo/a", {
      hosts: ["web"],
      http: [{ match: [{ sourceNamespace: "bar" }], directResponse: { status: 201 } }],
    });
    assert.deepEqual(answers(80, service("foo/web"), elsewhere), [`${WEB} outbound|80||${WEB}`]);
    assert.deepEqual(answers(80, service("foo/web"), elsewhere, answering("foo/b", 202, "web")), [
      `${WEB} 202`,
    ]);
  });

  test("of another port's condition are absent there", () => {
    const on81 = written("VirtualService", "foo/a", {
      hosts: ["web"],
      http: [{ match: [{ port: 81 }], directResponse: { status: 201 } }],
    });
    assert.deepEqual(answers(80, service("foo/web"), on81), [`${WEB} outbound|80||${WEB}`]);
    assert.deepEqual(answers(81, service("foo/web", 81), on81), [`${WEB} 201`]);
  });

  test("take no services of other protocols", () => {
    const raw = [service("foo/web", 8080, {}, "tcp"), answering("foo/a", 201, "web", "a.example")];
    assert.deepEqual(answers(8080, ...raw), []);
    const on80 = [service("foo/web", 80, {}, "tcp"), answering("foo/a", 201, "web", "a.example")];
    assert.deepEqual(answers(80, ...on80), ["a.example 201"]);
  });

  test("lead to the port of a destination's service that is the only one there, under the mesh's retries", () => {
    const to = written("VirtualService", "foo/a", {
      hosts: ["web"],
      http: [{ route: [{ destination: { host: "two" } }] }],
    });
    const two = written("Service", "foo/two", {
      ports: [
        { port: 81, name: "http" },
        { port: 80, name: "tcp" },
      ],
    });
    assert.equal(
      answers(80, service("foo/web"), two, to)[0],
      `${WEB} outbound|80||two.foo.svc.cluster.local`,
    );
  });

  test("lead to what an alias on the port stands for", () => {
    const to = written("VirtualService", "foo/a", {
      hosts: ["web"],
      http: [{ route: [{ destination: { host: "al" } }] }],
    });
    const alias = service("foo/al", 80, { type: "ExternalName", externalName: "two.example" });
    assert.equal(answers(80, service("foo/web"), alias, to)[0], `${WEB} outbound|80||two.example`);
  });

  test("for a wildcard take what it covers, each service by the most specific; what covers none is a host itself", () => {
    const services = [service("foo/web", 80), service("foo/other", 80)];
    assert.deepEqual(
      answers(80, ...services, answering("foo/a", 201, "*.foo.svc.cluster.local")),
      [`${WEB} 201`, `${OTHER} 201`].sort(),
    );
    const both = [
      answering("foo/a", 201, "*.svc.cluster.local"),
      answering("foo/b", 202, "web", "*.foo.svc.cluster.local"),
    ];
    assert.deepEqual(answers(80, ...services, ...both), [`${WEB} 202`, `${OTHER} 202`]);
    const one = [answering("foo/a", 201, "*.svc.cluster.local"), answering("foo/b", 202, "web")];
    assert.deepEqual(answers(80, ...services, ...one), [`${OTHER} 201`, `${WEB} 202`]);
    assert.deepEqual(answers(80, answering("foo/a", 201, "*.nobody.example")), ["*.nobody.example 201"]);
  });

  test("on other ports concern services by name, by wildcard, and wildcards by name", () => {
    const on = (host: string, ...hosts: string[]): readonly string[] =>
      answers(
        8080,
        entry("foo/e", [host], {
          resolution: "NONE",
          ports: [{ number: 8080, name: "http", protocol: "HTTP" }],
        }),
        answering("foo/a", 201, ...hosts),
      );
    assert.deepEqual(on("a.example", "a.example"), ["a.example 201"]);
    assert.deepEqual(on("a.example", "*.example"), ["a.example 201"]);
    assert.deepEqual(on("a.example", "*.org"), ["a.example outbound|8080||a.example"]);
    assert.deepEqual(on("a.example", "b.example"), ["a.example outbound|8080||a.example"]);
    assert.deepEqual(on("*.example", "*.example"), ["*.example 201"]);
    // The host is within the entry's names, but no service's: nothing is taken.
    assert.deepEqual(on("*.example", "a.example"), ["*.example outbound|8080||*.example"]);
    assert.deepEqual(on("*.example", "*.a.example"), ["*.example outbound|8080||*.example"]);
  });
});

describe("namesIn()", () => {
  const HEADLESS = service("foo/web", 80, { clusterIP: "None" });
  const named = (namespace: string, ...objects: object[]): readonly string[] =>
    build(COMMON_NAMESPACE, 80, ...objects)
      .namesIn(namespace)
      .map(([domain, host]) => `${domain} ${answerOf(host)}`);
  const CLUSTER = "outbound|80||web.foo.svc.cluster.local";

  test("has what the namespace leaves out of its own services' names, in the shared view alone", () => {
    assert.deepEqual(named("foo", service("foo/web"), service("bar/other")), [`web ${CLUSTER}`]);
    assert.deepEqual(named("foo", HEADLESS), [`web ${CLUSTER}`, `*.web ${CLUSTER}`]);
    assert.deepEqual(named("baz", service("foo/web")), []);
    assert.deepEqual(build("foo", 80, service("foo/web")).namesIn("foo"), []);
    assert.deepEqual(build("bar", 80, service("foo/web")).namesIn("foo"), []);
  });

  test("has no name that a service has for its own", () => {
    assert.deepEqual(named("foo", service("foo/web"), entry("bar/e", ["web"])), []);
  });

  test("has no domain that an earlier host has, and one that a later host has", () => {
    const own = answering("foo/own", 201, "web");
    const pods = answering("foo/pods", 202, "*.web");
    assert.deepEqual(named("foo", HEADLESS, own, pods), ["web 201", "*.web 201"]);
    assert.deepEqual(named("foo", HEADLESS, pods, own), ["web 201"]);
    const second = answering("foo/second", 203, "web");
    assert.deepEqual(named("foo", HEADLESS, own, second), ["web 201", "*.web 201"]);
  });
});
