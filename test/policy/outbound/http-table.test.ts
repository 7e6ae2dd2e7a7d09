/** The route configuration of a port: which virtual host, and which of its routes, a request falls to. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CompiledRoute } from "../../../src/policy/outbound/http-route.ts";
import { createHttpTable, type HttpTable } from "../../../src/policy/outbound/http-table.ts";
import type { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { OutboundDecision, RouteRef } from "../../../src/policy/outbound/types.ts";
import type { VirtualHost } from "../../../src/policy/outbound/virtual-hosts.ts";

const NOBODY: RouteRef = { resource: null, section: "default", route: null };

/** A route that answers with the code to a path under the prefix. */
function answer(code: number, prefix: string): CompiledRoute {
  return {
    by: NOBODY,
    takes: (request) => request.path.startsWith(prefix),
    clauses: [],
    catchesAll: false,
    decide: (request, listener) => respond(code, request, listener),
  };
}

function respond(code: number, request: RequestView, listener: string): OutboundDecision {
  return {
    kind: "respond",
    allowed: false,
    code,
    reason: "direct-response",
    by: NOBODY,
    listener,
    body: `${request.sent} ${request.path}`,
    responseHeaders: { remove: [], set: [], add: [] },
  };
}

function host(name: string, domains: readonly string[], code: number): VirtualHost {
  return { name, domains, routes: [answer(code, "/a"), answer(code + 1, "/a/b"), answer(code + 2, "/b")] };
}

const WEB = host("web:80", ["web", "web.foo"], 210);
const REST = host("rest:80", ["*.foo", "web"], 220);
const OWN = host("own:80", [], 230);

function tableOf(): {
  readonly table: HttpTable;
  readonly builds: () => number;
  readonly asked: () => string[];
} {
  let builds = 0;
  const asked: string[] = [];
  const table = createHttpTable(
    "BASE",
    () => {
      builds++;
      return {
        hosts: [WEB, REST],
        namesIn: (namespace) => {
          asked.push(namespace);
          return namespace === "bar" ? [["web", OWN] as const, ["own", OWN] as const] : [];
        },
      };
    },
    (request, listener) => respond(299, request, listener),
  );
  return { table, builds: () => builds, asked: () => asked };
}

describe("createHttpTable()", () => {
  const { table: shared } = tableOf();
  const route = (authority: string, path: string, namespace = "foo"): OutboundDecision =>
    shared.route({ authority, method: "GET", headers: [], path }, "0.0.0.0_80", namespace);

  test("builds when first asked, once for all namespaces, whose own names are asked for once", () => {
    const { table, builds, asked } = tableOf();
    assert.equal(builds(), 0);
    for (const namespace of ["foo", "bar", "foo", "bar", "baz"]) table.virtualHost("web", namespace);
    assert.equal(builds(), 1);
    assert.deepEqual(asked(), ["foo", "bar", "baz"]);
  });

  test("finds the host by name without port, in any case; the first of two for one domain stands", () => {
    const found = (authority: string, namespace = "foo"): string | undefined =>
      shared.virtualHost(authority, namespace)?.name;
    assert.equal(found("WEB:8080"), "web:80");
    assert.equal(found("web.foo"), "web:80");
    assert.equal(found("x.foo"), "rest:80");
    assert.equal(found("own"), undefined);
    assert.equal(found("own", "bar"), "own:80", "a namespace's own names");
    assert.equal(found("web", "bar"), "own:80", "stand before those of all");
    assert.equal(found("web.foo", "bar"), "web:80", "which hold besides");
  });

  test("the first route that takes the normalized request decides, and says in which host", () => {
    const answered = (code: number, body: string, listener = "0.0.0.0_80 web:80"): object => ({
      kind: "respond",
      allowed: false,
      code,
      reason: "direct-response",
      by: NOBODY,
      listener,
      body,
      responseHeaders: { remove: [], set: [], add: [] },
    });
    assert.deepEqual(route("web", "/a/b"), answered(210, "/a/b /a/b"));
    assert.deepEqual(route("web", "/a/../b"), answered(212, "/a/../b /b"));
    assert.deepEqual(route("x.foo", "/a"), answered(220, "/a /a", "0.0.0.0_80 rest:80"));
    assert.deepEqual(route("unknown", "/a/./b"), answered(299, "/a/./b /a/b", "0.0.0.0_80"));
    assert.deepEqual(route("own", "/a", "bar"), answered(230, "/a /a", "0.0.0.0_80 own:80"));
  });

  test("what no route takes is not found; a path that cannot be normalized is a bad request, whoever is asked", () => {
    const refused = (code: number, listener: string): object => ({
      kind: "refuse",
      allowed: false,
      code,
      reason: "no-route",
      by: NOBODY,
      listener,
    });
    assert.deepEqual(route("web", "/c"), refused(404, "0.0.0.0_80 web:80"));
    for (const authority of ["web", "unknown"])
      assert.deepEqual(route(authority, "no-slash"), refused(400, "0.0.0.0_80"));
  });
});
