import assert from "node:assert/strict";
import { test } from "node:test";
import { ruleMatches } from "../../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../../src/policy/authorization-spec.ts";
import type { Connection } from "../../../src/policy/connection.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import {
  REFUSE,
  RuleProgramBuilder,
  STEP_MATCH,
  STEP_METHODS,
  STEP_PORT,
} from "../../../src/policy/rule-index/rule-program.ts";
import { runProgram } from "../../../src/policy/rule-index/run-program.ts";
import { textPrint } from "../../../src/policy/rule-index/text-print.ts";
import { connect } from "../inbound-fixture.ts";
import { compiled, from, ruleOf, to, watched } from "./compiled.ts";

function matches(spec: RuleSpec, connection: Connection, request: HttpRequest | null): boolean {
  const rule = compiled(spec);
  const builder = new RuleProgramBuilder();
  builder.add(compiled(to({ methods: ["OTHER"] })), 0);
  const start = builder.add(rule, 1);
  const print = request === null ? 0 : textPrint(request.pathOnly);
  const found = runProgram(builder.finish(), start + 1, connection, request, print);
  assert.equal(found, ruleMatches(rule, connection, request), "as the rule's own conditions say");
  return found;
}

function requestOf(text: string): HttpRequest {
  const [method = "", path = "", host = ""] = text.split(" ");
  const request = HttpRequest.read("NONE", method, path, host, [], 2);
  assert.ok(request !== null);
  return request;
}

/** Rule; requests that it matches; requests that it does not. */
const BY_REQUEST: readonly (readonly [RuleSpec, string[], string[]])[] = [
  [{}, ["GET / app"], []],
  [to({ methods: ["GET", "PUT"] }), ["GET / app", "PUT / app"], ["POST / app", "get / app", "G / app"]],
  [to({ notMethods: ["GET", "PUT"] }), ["POST / app"], ["GET / app", "PUT / app"]],
  [to({ methods: ["G*", "*T"] }), ["GO / a", "PUT / a", "G / a"], ["POSTS / a", "TRACE / a"]],
  [to({ methods: ["*"] }), ["GET / a", " / a"], []],
  [to({ methods: ["GET", "P*"], notMethods: ["PUT"] }), ["GET / a", "POST / a"], ["PUT / a", "HEAD / a"]],
  [to({ paths: ["/a", "/b"] }), ["GET /a h", "GET /b h"], ["GET /c h", "GET /A h", "GET / h"]],
  [
    to({ paths: ["/a", "/p*", "*.js"] }),
    ["GET /a h", "GET /p h", "GET /x.js h"],
    ["GET /ap h", "GET /.jsx h"],
  ],
  [to({ notPaths: ["/a", "/p*", "*.js"] }), ["GET /ap h"], ["GET /a h", "GET /pq h", "GET /.js h"]],
  [to({ paths: ["/a/{*}"] }), ["GET /a/b h"], ["GET /a/ h", "GET /a/b/c h"]],
  [to({ hosts: ["Own", "*.b"] }), ["GET / own", "GET / OWN", "GET / a.b"], ["GET / own.c", "GET / b"]],
  [to({ hosts: ["*"] }), ["GET / a", "GET / "], []],
  [to({ notHosts: ["*"] }), [], ["GET / a", "GET / "]],
  [to({ methods: ["GET"] }, { paths: ["/a"] }), ["GET /b h", "PUT /a h"], ["PUT /b h"]],
  [to({ methods: ["GET"], hosts: ["h"] }, { paths: ["/a"] }), ["GET /b h", "GET /a x"], ["GET /b x"]],
];

for (const [spec, yes, no] of BY_REQUEST)
  test(`${JSON.stringify(spec)} matches ${yes.length} of the requests, and not ${no.length}`, () => {
    for (const text of yes) assert.ok(matches(spec, connect(), requestOf(text)), text);
    for (const text of no) assert.ok(!matches(spec, connect(), requestOf(text)), text);
    const needsRequest = spec.to !== undefined && !JSON.stringify(spec).includes('"not');
    if (needsRequest) assert.ok(!matches(spec, connect(), null), "without a request nothing of one matches");
  });

const NAME = "cluster.local/ns/foo/sa/a";
const sni = (...values: string[]): RuleSpec => ({ when: [{ key: "connection.sni", values }] });
const of = (principal: string | null, port = 80, name = ""): Connection =>
  connect({ principal, destinationPort: port, sni: name });

/** Rule; connections that it matches; connections that it does not. */
const BY_CONNECTION: readonly (readonly [RuleSpec, Connection[], Connection[]])[] = [
  [from({ principals: [NAME] }), [of(NAME)], [of(`${NAME}b`), of(null)]],
  [from({ notPrincipals: [NAME] }), [of(`${NAME}b`), of(null)], [of(NAME)]],
  [from({ principals: ["cluster.local/*"] }), [of(NAME)], [of("cluster.locale/ns/a/sa/b"), of(null)]],
  [to({ ports: ["80", "81"] }), [of(NAME, 80), of(null, 81)], [of(NAME, 82), of(NAME, 0), of(NAME, 1)]],
  [to({ notPorts: ["80"] }), [of(NAME, 81)], [of(NAME, 80)]],
  [to({ ports: ["80"] }, { ports: ["81"] }, { ports: ["82"] }), [of(NAME, 80), of(NAME, 82)], [of(NAME, 83)]],
  [
    {
      ...from({ principals: [NAME] }, { ipBlocks: ["10.1.0.5"] }),
      ...to({ ports: ["80"] }, { ports: ["81"] }),
    },
    [of(NAME, 80), of(NAME, 81), of(null, 80), of(null, 81)],
    [of(NAME, 82)],
  ],
  [sni("s", "*.t"), [of(NAME, 80, "S"), of(NAME, 80, "a.t")], [of(NAME, 80, "t"), of(NAME, 80)]],
  [sni("*"), [of(NAME, 80, "s")], [of(NAME, 80), of(NAME, 80, "a\nb")]],
];

for (const [spec, yes, no] of BY_CONNECTION)
  test(`${JSON.stringify(spec)} matches ${yes.length} of the connections, and not ${no.length}`, () => {
    for (const connection of yes) assert.ok(matches(spec, connection, null));
    for (const connection of no) assert.ok(!matches(spec, connection, null));
  });

test("texts of one number are told apart by their characters", () => {
  assert.equal(textPrint("a"), textPrint("aa"));
  assert.ok(!matches(to({ methods: ["a"] }), connect(), requestOf("aa / h")));
  assert.ok(!matches(to({ hosts: ["a"] }), connect(), requestOf("GET / aa")));
  assert.ok(matches(to({ hosts: ["a", "aa"] }), connect(), requestOf("GET / aa")));
});

test("a step looks at as many operands as it counts", () => {
  const run = (code: readonly number[], texts: readonly string[], port: number) =>
    runProgram(
      { code: Int32Array.from(code), texts, predicates: [] },
      0,
      of(NAME, port),
      requestOf(" / h"),
      0,
    );
  // What follows would do, were it an operand: MATCH is the number of the empty text, and of port 0.
  assert.equal(textPrint(""), STEP_MATCH);
  assert.ok(!run([STEP_METHODS, REFUSE, 4, 0, STEP_MATCH, 0], [""], 80));
  assert.ok(!run([STEP_PORT, REFUSE, 4, 0, STEP_MATCH], [], STEP_MATCH));
  assert.ok(run([STEP_PORT, 4, REFUSE, 0, STEP_MATCH], [], STEP_MATCH), "a step without ports is a jump");
});

test("a predicate is asked once, with the connection and the request, and not where a cheaper step has failed", () => {
  const asked: string[] = [];
  const builder = new RuleProgramBuilder();
  const [port] = compiled(to({ ports: ["80"] })).operations[0] ?? [];
  assert.ok(port !== undefined);
  const start = builder.add(ruleOf([[watched("asked", asked, true), port]]), 0);
  const programs = builder.finish();
  assert.ok(!runProgram(programs, start + 1, of(NAME, 81), null, 0));
  assert.deepEqual(asked, []);
  assert.ok(runProgram(programs, start + 1, of(NAME, 80), null, 0));
  assert.deepEqual(asked, ["asked"]);
});
