/** What gateways decide about HTTP, and where nothing takes a connection: https://istio.io/latest/docs/reference/config/networking/gateway/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FRONT, gateway, gatewayOf, get, refused, virtualService } from "./gateway-fixture.ts";

function notFound(listener: string): unknown {
  const by = { resource: null, section: "default", route: null };
  return { kind: "refuse", allowed: false, code: 404, reason: "no-route", by, listener };
}

const respond = (status: number, match = ""): string => `{${match}directResponse: {status: ${status}}}`;

describe("hosts of clear HTTP servers", () => {
  test("routes of several VirtualServices for one host are joined, oldest first, those that take everything last", () => {
    const bound = "gateways: [edge/front]";
    const policy = gatewayOf(
      gateway(
        "[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*.com']}, {port: {number: 80, name: b, protocol: HTTP}, hosts: [a.com]}]",
      ) +
        virtualService(
          "one",
          `{hosts: [a.com], ${bound}, http: [${respond(201, "match: [{uri: {prefix: /one}}], ")}, ${respond(202)}]}`,
        ) +
        virtualService(
          "two",
          `{hosts: ['*'], ${bound}, http: [${respond(203, "match: [{uri: {prefix: /two}}], ")}, ${respond(204)}]}`,
        ),
    );
    const codes = (authority: string): number[] =>
      ["/one", "/two", "/"].map((path) => get(policy, 8080, authority, path).code);
    assert.deepEqual(codes("a.com"), [201, 203, 202]);
    assert.deepEqual(codes("b.com"), [204, 203, 204]);
    assert.deepEqual(get(policy, 8080, "a.org"), notFound("0.0.0.0_8080"));
    assert.deepEqual(policy.listeners, [
      {
        port: 8080,
        protocol: "http",
        servers: [
          { gateway: FRONT, index: 0, port: 80, protocol: "http", hosts: ["*.com"] },
          { gateway: FRONT, index: 1, port: 80, protocol: "http", hosts: ["a.com"] },
        ],
      },
    ]);
  });

  test("a VirtualService whose routes do not concern the server has no host there", () => {
    const policy = gatewayOf(
      gateway("[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]") +
        virtualService(
          "mine",
          `{hosts: [a.com], gateways: [edge/front], http: [${respond(201, "match: [{port: 81}], ")}]}`,
        ) +
        virtualService(
          "all",
          `{hosts: ['*.com'], gateways: [edge/front], http: [${respond(202, "match: [{port: 80}], ")}]}`,
        ),
    );
    assert.equal(get(policy, 8080, "a.com").code, 202);
    const missed = gatewayOf(
      gateway("[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]") +
        virtualService(
          "part",
          `{hosts: [a.com], gateways: [edge/front], http: [${respond(201, "match: [{uri: {exact: /x}}], ")}]}`,
        ),
    );
    assert.deepEqual(get(missed, 8080, "a.com"), notFound("0.0.0.0_8080 a.com"));
  });

  test("a source's namespace and labels are the gateway's", () => {
    const source = (match: string, status: number): string => respond(status, `match: [{${match}}], `);
    const policy = gatewayOf(
      gateway("[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]") +
        virtualService(
          "s",
          `{hosts: ['*'], gateways: [edge/front], http: [${source("sourceNamespace: foo", 201)}, ${source("sourceLabels: {app: x}", 202)}, ${source("sourceNamespace: edge, sourceLabels: {app: gw}", 203)}]}`,
        ),
    );
    assert.equal(get(policy, 8080, "a.com").code, 203);
  });

  test("the scheme is https where the server ends TLS", () => {
    const schemes = `http: [${respond(201, "match: [{scheme: {exact: https}}], ")}, ${respond(202)}]`;
    const policy = gatewayOf(
      gateway(
        "[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}, {port: {number: 443, name: b, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}}]",
      ) + virtualService("s", `{hosts: ['*'], gateways: [edge/front], ${schemes}}`),
    );
    assert.equal(get(policy, 8080, "a.com").code, 202);
    assert.equal(get(policy, 8443, "a.com", "/", "a.com").code, 201);
  });

  test("httpsRedirect takes the place of all routes of its hosts, and answers for hosts that have none", () => {
    const policy = gatewayOf(
      gateway(
        "[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*.com'], tls: {httpsRedirect: true}}, {port: {number: 80, name: b, protocol: HTTP}, hosts: ['*.org']}]",
      ) + virtualService("s", `{hosts: [a.com, a.org], gateways: [edge/front], http: [${respond(201)}]}`),
    );
    const by = { resource: null, section: "default", route: null };
    const redirect = (host: string, listener: string): unknown => ({
      kind: "respond",
      allowed: false,
      code: 301,
      reason: "redirect",
      by,
      listener,
      location: `https://${host}/x?y=1`,
      responseHeaders: { remove: [], set: [], add: [] },
    });
    assert.deepEqual(get(policy, 8080, "a.com", "/x?y=1"), redirect("a.com", "0.0.0.0_8080 a.com"));
    assert.deepEqual(get(policy, 8080, "b.com", "/x?y=1"), redirect("b.com", "0.0.0.0_8080 *.com"));
    assert.equal(get(policy, 8080, "a.org").code, 201);
  });

  test("destinations are services as the VirtualService's namespace means them, if the gateway may see them", () => {
    const entry = (namespace: string, exportTo: string): string => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: own, namespace: ${namespace}}
spec:
  hosts: [own.example]
  resolution: STATIC
  ports: [{number: ${namespace === "foo" ? 7001 : 7002}, name: http, protocol: HTTP}]
  endpoints: [{address: 203.0.113.1}]
  exportTo: ["${exportTo}"]
---
`;
    const port = (exportTo: string): string | undefined => {
      const policy = gatewayOf(
        entry("edge", "*") +
          entry("foo", exportTo) +
          gateway("[{port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]") +
          virtualService(
            "s",
            "{hosts: ['*'], gateways: [edge/front], http: [{route: [{destination: {host: own.example}}]}]}",
          ),
      );
      const decision = get(policy, 8080, "a.com");
      return "targets" in decision ? decision.targets?.[0]?.name : undefined;
    };
    assert.equal(port("*"), "outbound|7001||own.example");
    assert.equal(port("."), "outbound|7002||own.example");
  });
});

describe("listeners", () => {
  const policy = gatewayOf(
    gateway(
      "[{port: {number: 9999, name: raw, protocol: TCP}, hosts: ['*']}, {port: {number: 443, name: b, protocol: HTTPS}, hosts: [b.com], tls: {mode: SIMPLE}}, {port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}]",
    ),
  );

  test("are in the order of their ports", () => {
    assert.deepEqual(
      policy.listeners.map(({ port, protocol }) => [port, protocol]),
      [
        [8080, "http"],
        [8443, "tls"],
        [9999, "tcp"],
      ],
    );
  });

  test("that are not there, or do not speak so, refuse, and say whose server it was", () => {
    assert.deepEqual(get(policy, 1, "a.com"), refused(null, "", "no-server"));
    assert.deepEqual(policy.routeTls({ port: 1, sni: "b.com" }), refused(null, "", "no-server"));
    assert.deepEqual(policy.routeTcp({ port: 1 }), refused(null, "", "no-server"));
    assert.deepEqual(get(policy, 9999, "a.com"), refused(FRONT, "0.0.0.0_9999", "no-server"));
    assert.deepEqual(policy.routeTcp({ port: 8080 }), refused(FRONT, "0.0.0.0_8080", "no-server"));
    assert.deepEqual(
      policy.routeTls({ port: 8443, sni: "b.com" }),
      refused(FRONT, "0.0.0.0_8443", "no-server"),
    );
    assert.deepEqual(
      policy.routeTls({ port: 8443, sni: "c.com" }),
      refused(null, "0.0.0.0_8443", "no-server"),
    );
    assert.deepEqual(
      policy.routeTcp({ port: 8443, sni: "c.com" }),
      refused(null, "0.0.0.0_8443", "no-server"),
    );
    assert.deepEqual(get(policy, 8443, "b.com", "/", "c.com"), refused(null, "0.0.0.0_8443", "no-server"));
    assert.deepEqual(policy.routeTcp({ port: 9999 }), refused(FRONT, "0.0.0.0_9999", "no-virtual-service"));
  });

  test("selectServer() finds by name without its case, and the server of clear text without TLS", () => {
    const index = (port: number, sni?: string): number | undefined => policy.selectServer(port, sni)?.index;
    assert.deepEqual([index(8443, "B.com"), index(8443, "c.com"), index(8443)], [1, undefined, undefined]);
    assert.deepEqual([index(8080), index(8080, "b.com"), index(9999), index(1)], [2, 2, 0, undefined]);
  });
});
