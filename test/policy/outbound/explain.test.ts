/** What is told of a client's side, sentence by sentence. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  explainOutbound,
  nameRoute,
  type OutboundQuestion,
} from "../../../src/policy/outbound/explain-outbound.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const BASE = app("foo", "web", { version: "v1" }) + app("bar", "client");

const networking = (kind: string, name: string, namespace: string, spec: string): string => `
apiVersion: networking.istio.io/v1
kind: ${kind}
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
const routes = (http: string): string =>
  networking("VirtualService", "web", "foo", `{hosts: [web], http: [${http}]}`);
const rule = (name: string, spec: string): string => networking("DestinationRule", name, "foo", spec);
const entry = (spec: string, namespace = "foo"): string => networking("ServiceEntry", "e", namespace, spec);
const sidecar = (egress: string): string =>
  networking(
    "Sidecar",
    "narrow",
    "bar",
    `{egress: [${egress}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
  );
const REGISTRY_ONLY = sidecar("{hosts: ['*/*']}");

const http = (host: string, more: object = {}): OutboundQuestion => ({
  protocol: "http",
  host,
  port: 80,
  authority: host,
  method: "GET",
  path: "/",
  headers: [],
  ...more,
});
const tcp = (host: string, port = 9000): OutboundQuestion => ({ protocol: "tcp", host, port });
const tls = (host: string | undefined, sni: string | undefined, port = 443): OutboundQuestion => ({
  protocol: "tls",
  port,
  ...(host === undefined ? {} : { host }),
  ...(sni === undefined ? {} : { sni }),
});

type Case = readonly [name: string, yaml: string, question: OutboundQuestion, lines: readonly string[]];

function check(cases: readonly Case[]): void {
  for (const [name, yaml, question, lines] of cases)
    test(name, () => {
      const mesh = meshOf(BASE + yaml);
      assert.deepEqual(explainOutbound(mesh, workloadOf(mesh, "bar/client"), question), lines);
    });
}

const told = (all: string, narrow: boolean): string =>
  all + (narrow ? "what Sidecar bar/narrow imports" : "everything exported to its namespace");
const takes = (listener: string, where: string, narrow = false): string =>
  told(`listener ${listener} takes ${where}; the sidecar is told of `, narrow);
const nowhere = (where: string, narrow = false): string =>
  told(`no listener of the client's sidecar takes ${where}; it is told of `, narrow);

const ON_80 = takes("0.0.0.0_80 (auto)", "web.foo:80");
const HOST = "virtual host web.foo.svc.cluster.local:80 takes the authority `web.foo`";
const ROUTE = "VirtualService foo/web http route 0 takes it";
const DEFAULT = "the service's default route takes it";
const WEB = "Service foo/web (`web.foo.svc.cluster.local`)";
const ID = "spiffe://cluster.local/ns/foo/sa/web";
const TO_WEB = `to outbound|80||web.foo.svc.cluster.local, 1 endpoint, TLS mtls, expecting ${ID}`;
const PASSES =
  "outboundTrafficPolicy ALLOW_ANY (of the mesh) lets it pass, in clear as far as the sidecar goes";
const REFUSES = "outboundTrafficPolicy REGISTRY_ONLY (Sidecar bar/narrow) refuses what is not registered";
const BYTES = "the request is not read as HTTP there: it is forwarded as bytes, routes for HTTP do not count";
const NOBODY = "no route takes it, and nothing else is asked: one VirtualService has the host for itself";
const unknown = (host: string): string => `no Service or ServiceEntry has the host \`${host}\``;

describe("what is sent on", () => {
  const off = rule("r", "{host: web, trafficPolicy: {tls: {mode: DISABLE}}}");
  const two =
    "{name: w, route: [{destination: {host: web}, weight: 1}, {destination: {host: absent}, weight: 3}]}";
  check([
    ["by the service's default route", "", http("web.foo"), [ON_80, HOST, DEFAULT, TO_WEB]],
    [
      "by a route of several choices",
      routes(two) + off,
      http("web.foo"),
      [
        ON_80,
        HOST,
        "VirtualService foo/web http route 0 (w) takes it",
        "to outbound|80||web.foo.svc.cluster.local (weight 1), 1 endpoint, TLS plaintext (DestinationRule foo/r)",
        "to outbound|80||absent.foo.svc.cluster.local (weight 3): no such cluster, such requests fail",
      ],
    ],
    [
      "to several identities, by several rules",
      app("foo", "other").replaceAll('{"app":"other"}', '{"app":"web"}') +
        rule("r", "{host: web}") +
        rule("s", "{host: web}"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        DEFAULT,
        `to outbound|80||web.foo.svc.cluster.local, 2 endpoints, TLS mtls (DestinationRule foo/r, DestinationRule foo/s), expecting spiffe://cluster.local/ns/foo/sa/other or ${ID}`,
      ],
    ],
    [
      "as bytes: the route is told, HTTP's are not",
      "",
      http("web.foo", { port: 9000 }),
      [
        takes("vip:web.foo.svc.cluster.local_9000 (tcp)", "web.foo:9000"),
        BYTES,
        DEFAULT,
        `to outbound|9000||web.foo.svc.cluster.local, 1 endpoint, TLS mtls, expecting ${ID}`,
      ],
    ],
    [
      "by the server name",
      entry("{hosts: [e.example], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"),
      tls("e.example", "e.example"),
      [
        takes("0.0.0.0_443 (tcp)", "e.example:443"),
        DEFAULT,
        "to outbound|443||e.example, 1 endpoint, TLS plaintext",
      ],
    ],
    [
      "as TCP by a VirtualService",
      networking(
        "VirtualService",
        "raw",
        "foo",
        "{hosts: [web], tcp: [{route: [{destination: {host: web, port: {number: 80}}}]}]}",
      ),
      tcp("web.foo"),
      [
        takes("vip:web.foo.svc.cluster.local_9000 (tcp)", "web.foo:9000"),
        "VirtualService foo/raw tcp route 0 takes it",
        TO_WEB,
      ],
    ],
  ]);
});

describe("what the sidecar answers itself, or refuses by its routes", () => {
  const delegate = (name: string, namespace: string, spec: string): string =>
    networking("VirtualService", name, namespace, spec);
  const delegating =
    routes(
      "{match: [{uri: {prefix: /d}}], delegate: {name: d}}, {match: [{uri: {prefix: /e}}], delegate: {name: e}}, {match: [{uri: {prefix: /f}}], delegate: {name: f, namespace: bar}}",
    ) +
    delegate(
      "d",
      "foo",
      "{http: [{name: dd, match: [{uri: {prefix: /d/x}}], route: [{destination: {host: web}}]}, {match: [{uri: {prefix: /q}}], route: [{destination: {host: web}}]}]}",
    ) +
    delegate("f", "bar", "{exportTo: [.], http: [{route: [{destination: {host: web}}]}]}") +
    delegate("unconcerned", "foo", "{hosts: [other.example], http: [{delegate: {name: absent}}]}");
  check([
    [
      "a redirect",
      routes("{redirect: {uri: /x}}"),
      http("web.foo"),
      [ON_80, HOST, ROUTE, "answered by the sidecar itself with 301 (redirect)"],
    ],
    [
      "a fault",
      routes(
        "{fault: {abort: {httpStatus: 418, percentage: {value: 100}}}, route: [{destination: {host: web}}]}",
      ),
      http("web.foo"),
      [ON_80, HOST, ROUTE, "answered by the sidecar itself with 418 (fault)"],
    ],
    [
      "no route: each says what it wanted",
      routes("{match: [{uri: {exact: /a}}, {method: {exact: POST}}], route: [{destination: {host: web}}]}"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        "VirtualService foo/web http route 0 does not: it wants path = `/a`",
        "VirtualService foo/web http route 0 does not: it wants method = `POST`",
        NOBODY,
        "refused: no route",
      ],
    ],
    [
      "a path that is none",
      "",
      http("web.foo", { path: "/%00" }),
      [ON_80, "the path `/%00` cannot be normalized", "refused: no route"],
    ],
    [
      "delegates that take no part, of the VirtualService concerned alone",
      delegating,
      http("web.foo"),
      [
        ON_80,
        HOST,
        "VirtualService foo/d http route 0 (dd), delegated by VirtualService foo/web does not: it wants path under `/d/x`",
        "VirtualService foo/web route 0 takes no part: route 1 of its delegate VirtualService foo/d has conditions outside of its own",
        "VirtualService foo/web route 1 takes no part: its delegate VirtualService foo/e does not exist",
        "VirtualService foo/web route 2 takes no part: its delegate VirtualService bar/f is not exported to namespace foo",
        NOBODY,
        "refused: no route",
      ],
    ],
    [
      "a delegate's route that takes it",
      delegating,
      http("web.foo", { path: "/d/x" }),
      [
        ON_80,
        HOST,
        "VirtualService foo/d http route 0 (dd), delegated by VirtualService foo/web takes it",
        TO_WEB,
      ],
    ],
  ]);
});

describe("clusters that are missing or empty", () => {
  const to = (destination: string): string => routes(`{route: [{destination: {${destination}}}]}`);
  const empty = (resolution: string): string =>
    entry(
      `{hosts: [e.example], resolution: ${resolution}, workloadSelector: {labels: {a: b}}, ports: [{number: 80, name: http, protocol: HTTP}]}`,
    );
  const leads = (cluster: string): string => `the route leads to ${cluster}`;
  const subset = "the route leads to subset `v9` of web.foo.svc.cluster.local, which";
  check([
    [
      "a host that nobody has",
      to("host: absent.example, port: {number: 81}"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        ROUTE,
        `${leads("outbound|81||absent.example")}, which the client does not know`,
        unknown("absent.example"),
      ],
    ],
    [
      "a port that the service has not",
      to("host: web, port: {number: 81}"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        ROUTE,
        `${leads("outbound|81||web.foo.svc.cluster.local")}, but Service foo/web has no port 81`,
      ],
    ],
    [
      "a subset without any rule",
      to("host: web, subset: v9"),
      http("web.foo"),
      [ON_80, HOST, ROUTE, `${subset} no DestinationRule that holds for namespace bar defines`],
    ],
    [
      "a subset that the rule does not define",
      rule("r", "{host: web}") + to("host: web, subset: v9"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        ROUTE,
        `${subset} DestinationRule foo/r, the only one that counts for namespace bar, does not define (or no endpoint has its labels)`,
      ],
    ],
    [
      "a subset that several rules do not define",
      rule("r", "{host: web}") + rule("s", "{host: web}") + to("host: web, subset: v9"),
      http("web.foo"),
      [
        ON_80,
        HOST,
        ROUTE,
        `${subset} DestinationRule foo/r and DestinationRule foo/s, the only ones that count for namespace bar, do not define (or no endpoint has its labels)`,
      ],
    ],
    [
      "nothing to resolve",
      empty("DNS") + to("host: e.example"),
      http("web.foo"),
      [ON_80, HOST, ROUTE, `${leads("outbound|80||e.example")}, for which there is nothing to resolve`],
    ],
    [
      "nothing to resolve, by a subset",
      empty("DNS") + to("host: e.example, subset: q"),
      http("web.foo"),
      [ON_80, HOST, ROUTE, `${leads("outbound|80|q|e.example")}, for which there is nothing to resolve`],
    ],
    [
      "no endpoint",
      empty("STATIC"),
      http("e.example"),
      [
        takes("0.0.0.0_80 (auto)", "e.example:80"),
        "virtual host e.example:80 takes the authority `e.example`",
        DEFAULT,
        "outbound|80||e.example has no endpoint",
      ],
    ],
    [
      "no endpoint of several",
      routes(
        "{route: [{destination: {host: web, subset: a}, weight: 1}, {destination: {host: web, subset: b}, weight: 1}]}",
      ) + rule("r", "{host: web, subsets: [{name: a, labels: {v: z}}, {name: b, labels: {v: y}}]}"),
      http("web.foo"),
      [ON_80, HOST, ROUTE, "the route has no endpoint"],
    ],
  ]);
});

describe("hosts that the client does not know", () => {
  const E443 = "resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}]";
  const apart = `${WEB} is known on port 80, but not by this name, address and protocol together`;
  const otherwise = (narrow: boolean): string[] => [
    takes("0.0.0.0_80 (auto)", "web.foo:80", narrow),
    "no virtual host takes the authority `other.foo`",
    unknown("other.foo"),
    apart,
  ];
  const noPort = (port: number): string => `${WEB} has no port ${port} (it has 80, 9000)`;
  const hidden = `${WEB} is exported, but Sidecar bar/narrow does not import it`;
  check([
    [
      "pass, where the mesh lets them",
      "",
      tcp("x.example"),
      [nowhere("x.example:9000"), unknown("x.example"), PASSES],
    ],
    [
      "are refused, where a Sidecar does not",
      REGISTRY_ONLY,
      tcp("x.example"),
      [nowhere("x.example:9000", true), unknown("x.example"), REFUSES],
    ],
    [
      "are not read as HTTP where nothing listens",
      REGISTRY_ONLY,
      http("x.example", { port: 9999 }),
      [nowhere("x.example:9999", true), BYTES, unknown("x.example"), REFUSES],
    ],
    [
      "a Host that is not the dialled one",
      "",
      http("web.foo", { authority: "other.foo" }),
      [...otherwise(false), PASSES],
    ],
    [
      "a Host that is not the dialled one, refused",
      REGISTRY_ONLY,
      http("web.foo", { authority: "other.foo" }),
      [...otherwise(true), REFUSES],
    ],
    [
      "Host and dialled name are told without port and case, once where they are the same",
      REGISTRY_ONLY,
      http("nobody.example", { authority: "Nobody.example:80" }),
      [
        takes("0.0.0.0_80 (auto)", "nobody.example:80", true),
        "no virtual host takes the authority `Nobody.example:80`",
        unknown("nobody.example"),
        REFUSES,
      ],
    ],
    [
      "server name and dialled name",
      REGISTRY_ONLY,
      tls("a.example", "b.example"),
      [nowhere("a.example:443", true), unknown("b.example"), unknown("a.example"), REFUSES],
    ],
    [
      "an address",
      REGISTRY_ONLY,
      { protocol: "tcp", ip: "10.0.0.9", host: "x.example", port: 9000 },
      [nowhere("10.0.0.9:9000", true), unknown("x.example"), REFUSES],
    ],
    [
      "an address without a name",
      REGISTRY_ONLY,
      { protocol: "tcp", port: 9000 },
      [
        nowhere("an unknown address:9000", true),
        "nothing is registered at this address on port 9000 that the client may see",
        REFUSES,
      ],
    ],
    [
      "another port",
      REGISTRY_ONLY,
      tcp("web.foo", 9001),
      [nowhere("web.foo:9001", true), noPort(9001), REFUSES],
    ],
    [
      "a name as DNS would have it",
      REGISTRY_ONLY,
      tcp("WEB.foo.svc.", 9001),
      [nowhere("WEB.foo.svc.:9001", true), noPort(9001), REFUSES],
    ],
    [
      "a whole name with a dot at its end",
      REGISTRY_ONLY,
      tcp("web.foo.svc.cluster.local.", 9001),
      [nowhere("web.foo.svc.cluster.local.:9001", true), noPort(9001), REFUSES],
    ],
    [
      "a short name of one's own namespace",
      REGISTRY_ONLY,
      tcp("client", 9001),
      [
        nowhere("client:9001", true),
        "Service bar/client (`client.bar.svc.cluster.local`) has no port 9001 (it has 80, 9000)",
        REFUSES,
      ],
    ],
    [
      "a short name of another's",
      REGISTRY_ONLY,
      tcp("web", 9001),
      [nowhere("web:9001", true), unknown("web"), REFUSES],
    ],
    [
      "what a Sidecar does not import",
      sidecar("{hosts: ['./*']}"),
      tcp("web.foo"),
      [nowhere("web.foo:9000", true), hidden, REFUSES],
    ],
    [
      "another port of what one of a Sidecar's listeners imports",
      sidecar("{hosts: ['./*']}, {hosts: ['foo/*']}"),
      tcp("web.foo", 9001),
      [nowhere("web.foo:9001", true), noPort(9001), REFUSES],
    ],
    [
      "what a Sidecar does not import, though another of its namespace",
      app("foo", "other") + sidecar("{hosts: [foo/other.foo.svc.cluster.local]}"),
      tcp("web.foo"),
      [nowhere("web.foo:9000", true), hidden, REFUSES],
    ],
    [
      "what is known only because a VirtualService leads to it",
      networking(
        "VirtualService",
        "v",
        "bar",
        "{hosts: [client], http: [{route: [{destination: {host: web.foo.svc.cluster.local}}]}]}",
      ) + sidecar("{hosts: ['./*']}"),
      tcp("web.foo"),
      [nowhere("web.foo:9000", true), hidden, REFUSES],
    ],
    [
      "what is not exported",
      entry(`{hosts: [e.example], exportTo: [., baz], ${E443}}`) + REGISTRY_ONLY,
      tls("e.example", "e.example"),
      [
        nowhere("e.example:443", true),
        "ServiceEntry foo/e (`e.example`) is not exported to namespace bar (exportTo: ., baz)",
        REFUSES,
      ],
    ],
    [
      "what gives way to another of the same host",
      entry(
        "{hosts: [web.foo.svc.cluster.local], resolution: STATIC, ports: [{number: 7777, name: tls, protocol: TLS}]}",
        "baz",
      ) + REGISTRY_ONLY,
      tcp("web.foo", 7777),
      [
        nowhere("web.foo:7777", true),
        noPort(7777),
        "ServiceEntry baz/e (`web.foo.svc.cluster.local`) gives way to Service foo/web, which has the same host",
        REFUSES,
      ],
    ],
    [
      "what speaks another protocol",
      entry(`{hosts: [e.example], ${E443}}`) + REGISTRY_ONLY,
      http("e.example", { port: 443 }),
      [
        takes("0.0.0.0_443 (tcp)", "e.example:443", true),
        BYTES,
        "ServiceEntry foo/e (`e.example`) is known on port 443, but not by this name, address and protocol together",
        REFUSES,
      ],
    ],
    [
      "another port of a wildcard",
      entry(`{hosts: ['*.example'], ${E443}}`) + REGISTRY_ONLY,
      tls("a.example", "a.example", 445),
      [
        nowhere("a.example:445", true),
        "ServiceEntry foo/e (`*.example`) has no port 445 (it has 443)",
        REFUSES,
      ],
    ],
    [
      "another port of a wildcard, whose own name is below none",
      entry(`{hosts: ['*.example'], ${E443}}`) + REGISTRY_ONLY,
      tcp("example", 445),
      [nowhere("example:445", true), unknown("example"), REFUSES],
    ],
  ]);
});

describe("connections without a server name", () => {
  const listed = (hosts: string, protocol = "TLS", name = "tls"): string =>
    entry(
      `{hosts: [${hosts}], resolution: NONE, ports: [{number: 80, name: h, protocol: HTTP}, {number: 443, name: ${name}, protocol: ${protocol}}]}`,
    );
  const LISTENER = "0.0.0.0_443 (tcp)";
  const carried = (whose: string, hosts: string): string =>
    `${whose} carried no server name (SNI), by which alone the hosts of port 443 are told apart: ${hosts}`;
  const named = (...hosts: string[]): string =>
    hosts.map((host) => `\`${host}\` (ServiceEntry foo/e)`).join(", ");
  const open = (name: string): string =>
    `open TLS with the server name ${name}, as clients do that are given a name and not an address`;
  const NOT_TLS = "the connection was not TLS, so it";
  const addressed: OutboundQuestion = { protocol: "tcp", ip: "10.0.0.1", port: 443 };
  check([
    [
      "are told the hosts that were meant",
      listed("'*.example', b.example, c.org") + REGISTRY_ONLY,
      tls("B.example", undefined),
      [
        takes(LISTENER, "B.example:443", true),
        carried("the TLS", named("*.example", "b.example")),
        open("`B.example`"),
        REFUSES,
      ],
    ],
    [
      "are told all hosts where none was named, but each once",
      listed("a.example, b.example", "HTTPS", "https") + sidecar("{hosts: ['foo/*']}, {hosts: ['*/*']}"),
      tls(undefined, undefined),
      [
        takes(LISTENER, "an unknown address:443", true),
        carried("the TLS", named("a.example", "b.example")),
        open("of the host"),
        REFUSES,
      ],
    ],
    [
      "are told five hosts and how many more",
      listed("a.ex, b.ex, c.ex, d.ex, e.ex, f.ex, g.ex") + REGISTRY_ONLY,
      addressed,
      [
        takes(LISTENER, "10.0.0.1:443", true),
        `${carried(NOT_TLS, named("a.ex", "b.ex", "c.ex", "d.ex", "e.ex"))} and 2 more`,
        open("of the host"),
        REFUSES,
      ],
    ],
    [
      "are told five hosts",
      listed("a.ex, b.ex, c.ex, d.ex, e.ex") + REGISTRY_ONLY,
      addressed,
      [
        takes(LISTENER, "10.0.0.1:443", true),
        carried(NOT_TLS, named("a.ex", "b.ex", "c.ex", "d.ex", "e.ex")),
        open("of the host"),
        REFUSES,
      ],
    ],
    [
      "to a host that is not among them are told that it is unknown",
      listed("a.ex") + REGISTRY_ONLY,
      tcp("other.ex", 443),
      [takes(LISTENER, "other.ex:443", true), unknown("other.ex"), REFUSES],
    ],
    [
      "are told nothing of it where hosts are not told apart by it",
      entry(
        "{hosts: [a.ex], addresses: [10.0.0.7], resolution: STATIC, ports: [{number: 443, name: t, protocol: TCP}]}",
      ) + REGISTRY_ONLY,
      tls(undefined, undefined),
      [
        nowhere("an unknown address:443", true),
        "nothing is registered at this address on port 443 that the client may see",
        REFUSES,
      ],
    ],
    [
      "are told nothing of hosts that are told apart on another port",
      entry(
        "{hosts: [a.ex], resolution: NONE, ports: [{number: 444, name: tls, protocol: TLS}, {number: 443, name: h, protocol: HTTP}]}",
      ) + REGISTRY_ONLY,
      tls(undefined, undefined),
      [
        takes("0.0.0.0_443 (auto)", "an unknown address:443", true),
        "nothing is registered at this address on port 443 that the client may see",
        REFUSES,
      ],
    ],
    [
      "are told nothing of it where they had one",
      listed("a.ex") + REGISTRY_ONLY,
      tls("a.ex", "b.ex"),
      [
        takes(LISTENER, "a.ex:443", true),
        unknown("b.ex"),
        "ServiceEntry foo/e (`a.ex`) is known on port 443, but not by this name, address and protocol together",
        REFUSES,
      ],
    ],
  ]);
});

test("nameRoute(): section and index, the name and who delegated; the mesh's own route has none of them", () => {
  const by = { resource: "VirtualService foo/web", section: "tls", route: 2 } as const;
  assert.equal(nameRoute(by), "VirtualService foo/web tls route 2");
  assert.equal(
    nameRoute({ ...by, routeName: "n", delegatedBy: "VirtualService foo/root" }),
    "VirtualService foo/web tls route 2 (n), delegated by VirtualService foo/root",
  );
  assert.equal(nameRoute({ ...by, resource: null }), "the service's default route");
  assert.equal(nameRoute({ ...by, section: "default" }), "the service's default route");
});

describe("a mistyped host is told the nearest that the client can see", () => {
  const passed = (host: string, meant?: string): Case => [
    `${host}: ${meant ?? "none"}`,
    entry("{hosts: [www.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}"),
    http(host),
    [
      takes("0.0.0.0_80 (auto)", `${host}:80`),
      `no virtual host takes the authority \`${host}\``,
      unknown(host),
      ...(meant === undefined ? [] : [`did you mean \`${meant}\`?`]),
      PASSES,
    ],
  ];
  check([
    passed("wbe.foo", "web.foo"),
    passed("webb.foo", "web.foo"),
    passed("web.foo.svc.cluster.locla", "web.foo.svc.cluster.local"),
    passed("clinet", "client"),
    passed("ww.example.com", "www.example.com"),
    passed("www.example.org"),
    passed("wxyz.foo"),
    passed("wbe"),
    passed("10.0.0.77"),
  ]);
});
