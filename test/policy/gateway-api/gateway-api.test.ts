/** The Kubernetes Gateway API, compiled by the same compiler as Istio's own Gateways and VirtualServices. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gatewayApiOf } from "../../../src/policy/gateway-api/convert.ts";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { GatewayPolicy, OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { app, meshOf, workloadOf } from "../outbound/mesh-of.ts";

const MESH = `${app("foo", "web")}${app("foo", "other")}${app("bar", "far")}
apiVersion: v1
kind: Namespace
metadata: {name: bar, labels: {routes: "yes"}}
---
apiVersion: v1
kind: Pod
metadata: {name: gw-istio, namespace: edge, labels: {gateway.networking.k8s.io/gateway-name: gw}}
spec: {serviceAccountName: gw-istio, containers: [{name: istio-proxy, image: auto}]}
---
`;

const gatewayOf = (listeners: string, more = "") => `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: edge}
spec:
  gatewayClassName: istio
  ${more}
  listeners:
${listeners}
---
`;

const OPEN = gatewayOf(
  "    - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}",
);

const route = (
  rules: string,
  options: { name?: string; namespace?: string; hostnames?: string; parents?: string; kind?: string } = {},
) => `
apiVersion: gateway.networking.k8s.io/${options.kind === "TCPRoute" ? "v1alpha2" : "v1"}
kind: ${options.kind ?? "HTTPRoute"}
metadata: {name: ${options.name ?? "r"}, namespace: ${options.namespace ?? "foo"}}
spec:
  parentRefs: ${options.parents ?? "[{name: gw, namespace: edge}]"}
  ${options.hostnames === undefined ? "" : `hostnames: ${options.hostnames}`}
  rules:
${rules}
---
`;

function compile(yaml: string): GatewayPolicy {
  const mesh = meshOf(MESH + yaml);
  return compileGateway(mesh, workloadOf(mesh, "edge/gw-istio"));
}

function problemsOf(yaml: string): readonly string[] {
  return gatewayApiOf(meshOf(MESH + yaml)).problems.map(({ resource, why }) => `${resource.kind}: ${why}`);
}

const WEB = "outbound|80||web.foo.svc.cluster.local";
const OTHER = "outbound|80||other.foo.svc.cluster.local";
const TO_WEB = "backendRefs: [{name: web, port: 80}]";
const TO_OTHER = "backendRefs: [{name: other, port: 80}]";

interface Asked {
  readonly path?: string;
  readonly host?: string;
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly port?: number;
}

function ask(
  policy: GatewayPolicy,
  { path = "/", host = "a.test", method = "GET", headers = [], port = 80 }: Asked = {},
): OutboundDecision {
  return policy.routeHttp({ port, authority: host, method, path, headers });
}

/** The cluster, or what else becomes of it. */
function outcome(decision: OutboundDecision): string {
  if (decision.kind === "forward") return decision.targets.map(({ name }) => name).join("+");
  return decision.kind === "respond"
    ? `${decision.code} ${decision.location ?? ""}`.trim()
    : `${decision.code}`;
}

describe("matches", () => {
  const policy = compile(
    OPEN +
      route(`
    - matches: [{path: {type: PathPrefix, value: /a}}]
      ${TO_WEB}
    - matches: [{path: {type: Exact, value: /a/b}}]
      ${TO_OTHER}
    - matches: [{path: {type: PathPrefix, value: /a/longer}}]
      ${TO_OTHER}
    - matches: [{path: {type: RegularExpression, value: "/r[0-9]+"}}]
      ${TO_WEB}
    - matches: [{path: {value: /h}}, {path: {value: /h}, headers: [{name: X-Team, value: b}]}]
      ${TO_WEB}
    - matches: [{path: {value: /h}, headers: [{name: X-Team, value: a}], method: POST}]
      ${TO_OTHER}
    - matches: [{path: {value: /q}, queryParams: [{name: v, value: "2"}]}]
      ${TO_OTHER}`),
  );
  for (const [asked, expected] of [
    [{ path: "/a" }, WEB],
    [{ path: "/a/" }, WEB],
    [{ path: "/a/x" }, WEB],
    [{ path: "/ab" }, "404"],
    [{ path: "/a/b" }, OTHER],
    [{ path: "/a/b/" }, WEB],
    [{ path: "/a/longer/x" }, OTHER],
    [{ path: "/r12" }, WEB],
    [{ path: "/r12/x" }, "404"],
    [{ path: "/h" }, WEB],
    [{ path: "/h", method: "POST", headers: ["x-team", "a"] }, OTHER],
    [{ path: "/h", method: "GET", headers: ["x-team", "a"] }, WEB],
    [{ path: "/q?v=2" }, OTHER],
    [{ path: "/q?v=1" }, "404"],
    [{ path: "/" }, "404"],
  ] as const)
    test(`${JSON.stringify(asked)} → ${expected}`, () => assert.equal(outcome(ask(policy, asked)), expected));

  test("a decision names the route and its rule", () => {
    const { by } = ask(policy, { path: "/a/b" });
    assert.deepEqual([by.resource, by.route], ["HTTPRoute foo/r", 1]);
  });
});

describe("filters", () => {
  const filtered = (path: string, filter: string) => `
    - matches: [{path: {value: ${path}}}]
      filters: [${filter}]
      ${TO_WEB}`;
  const redirect = (path: string, fields: string) => `
    - matches: [{path: {value: ${path}}}]
      filters: [{type: RequestRedirect, requestRedirect: {${fields}}}]`;
  const policy = compile(
    OPEN +
      route(
        filtered(
          "/p",
          "{type: URLRewrite, urlRewrite: {hostname: new.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /n}}}",
        ) +
          filtered(
            "/strip",
            "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}",
          ) +
          filtered(
            "/full",
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /f}}}",
          ) +
          filtered(
            "/head",
            "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: '1'}], add: [{name: x-b, value: '2'}], remove: [x-c]}}",
          ) +
          filtered(
            "/mirror",
            "{type: RequestMirror, requestMirror: {backendRef: {name: other, port: 80}, fraction: {numerator: 1, denominator: 4}}}",
          ) +
          filtered("/odd", "{type: ExtensionRef, extensionRef: {group: g, kind: k, name: n}}") +
          redirect("/to-https", "scheme: https") +
          redirect(
            "/moved",
            "hostname: new.test, port: 8443, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /there}",
          ),
      ),
  );
  const forwarded = (path: string) => {
    const decision = ask(policy, { path });
    assert.equal(decision.kind, "forward");
    return decision.kind === "forward" ? decision : assert.fail();
  };
  for (const [path, expected] of [
    ["/p", "/n"],
    ["/p/x?q", "/n/x?q"],
    ["/strip", "/"],
    ["/strip/", "/"],
    ["/strip/x", "/x"],
    ["/full/whatever?q", "/f?q"],
  ] as const)
    test(`${path} is rewritten to ${expected}`, () => assert.equal(forwarded(path).path, expected));

  test("hostname, headers and mirrors", () => {
    assert.equal(forwarded("/p").authority, "new.test");
    assert.deepEqual(forwarded("/head").http?.requestHeaders, {
      remove: ["x-c"],
      set: [["x-a", "1"]],
      add: [["x-b", "2"]],
    });
    assert.deepEqual(
      forwarded("/mirror").http?.mirrors.map(({ name, percent }) => [name, percent]),
      [[OTHER, 25]],
    );
  });

  test("redirects", () => {
    assert.equal(outcome(ask(policy, { path: "/to-https/x?q" })), "302 https://a.test/to-https/x?q");
    assert.equal(outcome(ask(policy, { path: "/moved/x" })), "301 http://new.test:8443/there/x");
  });

  test("a filter that is not known makes the rule answer 500, and is told", () => {
    assert.equal(outcome(ask(policy, { path: "/odd" })), "500");
  });
});

describe("backends", () => {
  const far = "backendRefs: [{name: far, namespace: bar, port: 80}]";
  const grant = (to: string, from = "foo") => `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: bar}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: ${from}}]
  to: [{group: "", kind: Service${to}}]
---
`;
  for (const [name, yaml, expected] of [
    ["another namespace without a grant", route(`    - ${far}`), "500"],
    ["with one", route(`    - ${far}`) + grant(""), "outbound|80||far.bar.svc.cluster.local"],
    [
      "with one for that name",
      route(`    - ${far}`) + grant(", name: far"),
      "outbound|80||far.bar.svc.cluster.local",
    ],
    ["with one for another name", route(`    - ${far}`) + grant(", name: near"), "500"],
    ["with one for another namespace's routes", route(`    - ${far}`) + grant("", "other"), "500"],
    ["a Service that there is not", route("    - backendRefs: [{name: gone, port: 80}]"), "500"],
    ["a port that it has not", route("    - backendRefs: [{name: web, port: 81}]"), "500"],
    ["none at all", route("    - matches: [{path: {value: /}}]"), "500"],
    ["weight 0 alone", route("    - backendRefs: [{name: web, port: 80, weight: 0}]"), "500"],
    [
      "weights",
      route("    - backendRefs: [{name: web, port: 80, weight: 3}, {name: other, port: 80}]"),
      `${WEB}+${OTHER}`,
    ],
  ] as const)
    test(`${name} → ${expected}`, () => assert.equal(outcome(ask(compile(OPEN + yaml))), expected));

  test("weights are in proportion", () => {
    const decision = ask(
      compile(OPEN + route("    - backendRefs: [{name: web, port: 80, weight: 3}, {name: other, port: 80}]")),
    );
    assert.deepEqual(decision.kind === "forward" && decision.targets.map(({ weight }) => weight), [3, 1]);
  });
});

describe("attachment", () => {
  const rule = `    - ${TO_WEB}`;
  const listener = (fields: string) => gatewayOf(`    - {name: http, port: 80, protocol: HTTP, ${fields}}`);
  for (const [name, yaml, host, expected] of [
    [
      "routes of the Gateway's own namespace alone, by default",
      listener("hostname: a.test") + route(rule),
      "a.test",
      "404",
    ],
    [
      "a namespace that the selector takes",
      listener(
        "allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: foo}}}}",
      ) + route(rule),
      "a.test",
      WEB,
    ],
    [
      "a namespace that it does not",
      listener(
        "allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: [{key: routes, operator: Exists}]}}}",
      ) + route(rule),
      "a.test",
      "404",
    ],
    [
      "kinds",
      listener("allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}") + route(rule),
      "a.test",
      "404",
    ],
    [
      "the listener's hostname narrows a route",
      listener("hostname: '*.a.test', allowedRoutes: {namespaces: {from: All}}") + route(rule),
      "b.test",
      "404",
    ],
    [
      "and a route's the listener",
      listener("hostname: '*.a.test', allowedRoutes: {namespaces: {from: All}}") +
        route(rule, { hostnames: "[x.a.test]" }),
      "y.a.test",
      "404",
    ],
    [
      "what both are for is served",
      listener("hostname: '*.a.test', allowedRoutes: {namespaces: {from: All}}") +
        route(rule, { hostnames: "[x.a.test]" }),
      "x.a.test",
      WEB,
    ],
    [
      "sectionName",
      OPEN + route(rule, { parents: "[{name: gw, namespace: edge, sectionName: other}]" }),
      "a.test",
      "404",
    ],
    ["port", OPEN + route(rule, { parents: "[{name: gw, namespace: edge, port: 80}]" }), "a.test", WEB],
  ] as const)
    test(name, () => assert.equal(outcome(ask(compile(yaml), { host })), expected));

  test("the more specific hostname has its requests alone; routes of one hostname are one list", () => {
    const policy = compile(
      OPEN +
        route(`    - ${TO_WEB}`, { name: "any" }) +
        route(`    - matches: [{path: {value: /x}}]\n      ${TO_OTHER}`, {
          name: "one",
          hostnames: "[a.test]",
        }) +
        route(`    - matches: [{path: {type: Exact, value: /x/y}}]\n      ${TO_WEB}`, {
          name: "two",
          hostnames: "[a.test]",
        }),
    );
    assert.equal(outcome(ask(policy, { host: "b.test" })), WEB);
    assert.equal(outcome(ask(policy, { host: "a.test" })), "404");
    assert.equal(outcome(ask(policy, { host: "a.test", path: "/x" })), OTHER);
    assert.equal(outcome(ask(policy, { host: "a.test", path: "/x/y" })), WEB);
  });

  test("what takes no effect is told, with the reason", () => {
    assert.deepEqual(problemsOf(listener("hostname: a.test") + route(rule)), [
      "HTTPRoute: listener `http` takes no routes of namespace foo",
    ]);
    assert.deepEqual(problemsOf(OPEN + route("    - backendRefs: [{name: far, namespace: bar, port: 80}]")), [
      "HTTPRoute: no ReferenceGrant in namespace bar lets it use Service `bar/far`",
    ]);
    assert.deepEqual(problemsOf(OPEN + route(rule)), []);
  });

  test("a class that is not Istio's is none of ours, whatever it is called", () => {
    const yaml = OPEN.replace("gatewayClassName: istio", "gatewayClassName: nginx");
    assert.equal(compile(yaml).listeners.length, 0);
    const foreign = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio}
spec: {controllerName: example.com/other}
---
`;
    assert.equal(compile(OPEN + foreign).listeners.length, 0);
  });

  test("a Gateway serves its own pods, or those behind the Service that it names", () => {
    const mesh = meshOf(MESH + OPEN);
    assert.equal(compileGateway(mesh, workloadOf(mesh, "foo/web")).listeners.length, 0);
    const named = meshOf(
      MESH +
        gatewayOf(
          "    - {name: http, port: 80, protocol: HTTP}",
          "addresses: [{type: Hostname, value: web.foo.svc.cluster.local}]",
        ),
    );
    assert.equal(compileGateway(named, workloadOf(named, "foo/web")).listeners.length, 1);
    assert.equal(compileGateway(named, workloadOf(named, "edge/gw-istio")).listeners.length, 0);
  });
});

describe("TLS, TCP and gRPC", () => {
  const grant = `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: g, namespace: certs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: edge}]
  to: [{group: "", kind: Secret, name: cert}]
---
`;
  const https = (secret: string) =>
    gatewayOf(
      `    - {name: https, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [${secret}]}, allowedRoutes: {namespaces: {from: All}}}`,
    );

  test("HTTPS is ended with the Secrets that it may use; else there is no listener", () => {
    const own = compile(https("{name: cert}")).selectServer(443, "a.test");
    assert.deepEqual(
      [own?.gateway, own?.tls?.mode, own?.tls?.credentials],
      ["Gateway edge/gw", "SIMPLE", [{ namespace: "edge", name: "cert" }]],
    );
    assert.equal(compile(https("{name: cert, namespace: certs}")).listeners.length, 0);
    const granted = compile(https("{name: cert, namespace: certs}") + grant).selectServer(443, "a.test");
    assert.deepEqual(granted?.tls?.credentials, [{ namespace: "certs", name: "cert" }]);
    assert.equal(compile(https("{name: other, namespace: certs}") + grant).listeners.length, 0);
  });

  test("a TLSRoute goes by the names that it and the listener are for", () => {
    const policy = compile(
      gatewayOf(
        "    - {name: tls, port: 443, protocol: TLS, hostname: '*.a.test', tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}",
      ) + route(`    - ${TO_WEB}`, { kind: "TLSRoute", hostnames: "[x.a.test, y.b.test]" }),
    );
    assert.equal(outcome(policy.routeTls({ port: 443, sni: "x.a.test" })), WEB);
    assert.equal(policy.selectServer(443, "y.b.test"), undefined);
    assert.equal(policy.selectServer(443, "z.a.test"), undefined);
  });

  test("a TCPRoute takes what comes", () => {
    const policy = compile(
      gatewayOf("    - {name: tcp, port: 9000, protocol: TCP, allowedRoutes: {namespaces: {from: All}}}") +
        route(`    - ${TO_WEB}`, { kind: "TCPRoute" }),
    );
    assert.equal(outcome(policy.routeTcp({ port: 9000 })), WEB);
  });

  test("a GRPCRoute matches services and methods", () => {
    const policy = compile(
      OPEN +
        route(
          `    - matches: [{method: {service: a.S, method: M}}]\n      ${TO_WEB}\n    - matches: [{method: {service: a.S}}]\n      ${TO_OTHER}\n    - matches: [{method: {method: Only}}]\n      ${TO_OTHER}`,
          { kind: "GRPCRoute" },
        ),
    );
    assert.equal(outcome(ask(policy, { path: "/a.S/M", method: "POST" })), WEB);
    assert.equal(outcome(ask(policy, { path: "/a.S/N", method: "POST" })), OTHER);
    assert.equal(outcome(ask(policy, { path: "/b.T/Only", method: "POST" })), OTHER);
    assert.equal(outcome(ask(policy, { path: "/b.T/N", method: "POST" })), "404");
  });
});

describe("in the mesh", () => {
  const canary = (namespace: string, more = "") =>
    route(`    - backendRefs: [{name: other, namespace: foo, port: 80}]`, {
      namespace,
      parents: `[{group: "", kind: Service, name: web, namespace: foo${more}}]`,
    });
  const from = (yaml: string, client: string): string => {
    const mesh = meshOf(MESH + yaml);
    return outcome(
      compileOutbound(mesh, workloadOf(mesh, client)).routeHttp({
        host: "web.foo.svc.cluster.local",
        port: 80,
        authority: "web.foo",
        method: "GET",
        path: "/",
        headers: [],
      }),
    );
  };
  const grant = `
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: g, namespace: foo}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: bar}]
  to: [{group: "", kind: Service}]
---
`;
  test("a route of the service's own namespace is for all clients", () => {
    assert.equal(from(canary("foo"), "bar/far"), OTHER);
    assert.equal(from(canary("foo"), "foo/web"), OTHER);
  });
  test("one of another namespace is for that namespace's clients", () => {
    assert.equal(from(canary("bar") + grant, "bar/far"), OTHER);
    assert.equal(from(canary("bar") + grant, "foo/other"), WEB);
  });
  test("a port narrows it", () => {
    assert.equal(from(canary("foo", ", port: 80"), "bar/far"), OTHER);
    assert.equal(from(canary("foo", ", port: 81"), "bar/far"), WEB);
  });
});
