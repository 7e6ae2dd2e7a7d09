/** Files of requests: what is one, and where it is wrong. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readRequests } from "../../../src/policy/path/read-requests.ts";
import { repeatsKey } from "../../../src/policy/path/repeats-key.ts";
import { formatDiagnostic } from "../../../src/resources/diagnostic.ts";
import { app, meshOf } from "../outbound/mesh-of.ts";

const MESH = meshOf(app("a", "s"));
const ONE = { id: "r1", to: { host: "s.a", port: 80 } };

function read(text: string): unknown {
  const parsed = readRequests(text, "r.json", MESH);
  return parsed.ok ? { value: parsed.value, warnings: parsed.warnings } : parsed.errors.map(formatDiagnostic);
}

describe("a file of requests", () => {
  const list = JSON.stringify([ONE]);
  for (const [what, text] of [
    ["an array", list],
    ["a list named `requests`", `{"requests": ${list}}`],
    ["one behind a byte order mark", `\uFEFF${list}`],
    ["YAML", "requests:\n- {id: r1, to: {host: s.a, port: 80}}\n"],
    ["YAML behind a byte order mark", "\uFEFF- {id: r1, to: {host: s.a, port: 80}}\n"],
    ["JSON with comments of YAML", `# all\n${list}\n`],
    ["JSON with a comma too many, which YAML allows", `[${JSON.stringify(ONE)},]`],
    ["a list with more beside it", `{"requests": ${list}, "comment": 1}`],
  ] as const)
    test(`${what} is one`, () => assert.deepEqual(read(text), { value: [ONE], warnings: [] }));

  test("an empty list is one", () => assert.deepEqual(read("[]"), { value: [], warnings: [] }));

  const help = '\n    write an array of requests, or {"requests": [...]}';
  for (const [what, text, at] of [
    ["an object of something else", '{"request": []}', "r.json:1:1: "],
    ["a list that is none", '{"requests": {}}', "r.json:1:1: "],
    ["null", "null", "r.json:1:1: "],
    ["a number", "1", "r.json:1:1: "],
    ["text", '"requests"', "r.json:1:2: "],
  ] as const)
    test(`${what} is none`, () =>
      assert.deepEqual(read(text), [`${at}error BW1500_NO_REQUESTS: this is no list of requests${help}`]));

  test("nothing is none", () => {
    assert.deepEqual(read(""), [`error BW1500_NO_REQUESTS: this is no list of requests${help}`]);
  });

  test("several documents are none", () => {
    assert.deepEqual(read(`- {to: {host: s.a, port: 80}}\n---\n- {to: {host: s.a, port: 80}}\n`), [
      `r.json:1:1: error BW1500_NO_REQUESTS: this is no list of requests${help}`,
    ]);
  });
});

describe("what is wrong is told with its place", () => {
  test("an id that stands twice, at the second; requests without any are told apart by their order", () => {
    const text = JSON.stringify([ONE, { ...ONE, id: "r2" }, ONE], undefined, 1).replaceAll("\n", "");
    const lines = text.replaceAll("},{", "},\n{").replaceAll("}, {", "},\n{").replaceAll("},  {", "},\n{");
    assert.match(
      String(read(lines)),
      /^r\.json:3:\d+: error BW1501_REQUEST_FIELD: the id `r1` is that of request 1 already/,
    );
    const { id: _id, ...without } = ONE;
    assert.deepEqual(read(JSON.stringify([without, without])), { value: [without, without], warnings: [] });
  });

  test("a value at the value, a key at the key, what is missing at what should have it", () => {
    const text = `[
  {"to": {"host": "s.a", "port": 0}},
  {"to": {"host": "s.a", "prt": 80}},
  {"from": {"workload": "a/t"}, "to": {"host": "s.a", "port": 80}},
  {"id": "x"},
  7
]`;
    assert.deepEqual(read(text), [
      "r.json:2:34: error BW1501_REQUEST_FIELD: `to.port` has to be a port (1 to 65535)",
      "r.json:3:27: error BW1501_REQUEST_FIELD: there is no field `to.prt`\n    did you mean `port`?",
      "r.json:3:5: error BW1501_REQUEST_FIELD: `to.port` is missing",
      "r.json:4:26: error BW1502_REQUEST_NAME: the mesh has no workload `a/t`\n    did you mean `a/s`?",
      'r.json:5:3: error BW1501_REQUEST_FIELD: the request does not say whom it is for: `to` is missing\n    as in {"from": {"workload": "team-a/app-a"}, "to": {"host": "payroll.finance", "port": 80}}',
      'r.json:6:3: error BW1501_REQUEST_FIELD: a request has to be an object\n    as in {"from": {"workload": "team-a/app-a"}, "to": {"host": "payroll.finance", "port": 80}}',
    ]);
  });

  test("inside a list named `requests` as well", () => {
    assert.deepEqual(read('{"requests": [\n  {"to": {"host": "s.a", "port": "80"}}\n]}'), [
      "r.json:2:35: error BW1501_REQUEST_FIELD: `to.port` has to be a port (1 to 65535)",
    ]);
  });

  test("what cannot be read is told as that, and nothing else", () => {
    const parsed = readRequests("[1, 2", "r.json", MESH);
    assert.ok(!parsed.ok);
    assert.equal(parsed.errors.length, 1);
    const [{ code, severity, span }] = parsed.errors;
    assert.deepEqual([code, severity, span?.file], ["BW1005_SYNTAX", "error", "r.json"]);
  });

  test("after fifty problems no further request is looked at", () => {
    const bad = (count: number): number => {
      const parsed = readRequests(JSON.stringify(Array.from({ length: count }, () => 1)), "r.json", MESH);
      return parsed.ok ? 0 : parsed.errors.length;
    };
    assert.deepEqual([bad(49), bad(50), bad(51)], [49, 50, 50]);
    const two = JSON.stringify([...Array.from({ length: 49 }, () => 1), { to: {} }, 1]);
    const parsed = readRequests(two, "r.json", MESH);
    assert.ok(!parsed.ok);
    assert.equal(parsed.errors.length, 51, "all of the request that came last");
  });
});

describe("a key that stands twice in one object", () => {
  const again = (key: string, first: string): RegExp =>
    new RegExp(
      `error BW1006_DUPLICATE_KEY: the key \`${key}\` stands twice in one map: first at ${first}, again here`,
    );
  test("is told with its line, in JSON as in YAML, however it is written", () => {
    assert.match(
      String(read('[{"id": "1",\n "to": {"host": "s.a", "port": 80},\n "id": "2"}]')),
      again("id", "1:4"),
    );
    assert.match(
      String(read('[{"id": "1", "\\u0069d": "2", "to": {"host": "s.a", "port": 80}}]')),
      again("id", "1:4"),
    );
    assert.match(String(read('[{"to": {"host": "s.a", "port": 1, "port": 80}}]')), again("port", "1:26"));
    assert.match(String(read("- {id: a, id: b, to: {host: s.a, port: 80}}")), again("id", "1:4"));
  });
  test("is none in two objects, in values, and in text that looks like keys", () => {
    const value = [
      { ...ONE, jwt: { claims: { id: "id", to: { id: ["id", "id", { id: '","id":"' }] } } } },
      { ...ONE, id: "r2" },
    ];
    assert.deepEqual(read(JSON.stringify(value)), { value, warnings: [] });
    assert.equal(repeatsKey('{"a\\"": {"b": 1}, "b": {"a": "}{"}, "c": [{"b": 1}, {"b": 1}]}'), false);
    assert.equal(repeatsKey('{"a": {"b": 1}, "c": [{}], "a": 2}'), true);
  });
});
