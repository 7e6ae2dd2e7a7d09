import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  FLOW_FILTER_FLAGS,
  type FlowFilter,
  parseFlowFilter,
  parseFlowFilterOptions,
  printFlowFilter,
} from "../../src/telemetry/flow-filter.ts";
import { BASE_MICROS } from "./flow-arbitrary.ts";

const NOW_MS = BASE_MICROS / 1000;

function parsed(...args: string[]): FlowFilter {
  const result = parseFlowFilter(args, NOW_MS);
  assert.ok(result.ok, result.ok ? "" : result.errors.join("; "));
  return result.filter;
}
function errors(...args: string[]): readonly string[] {
  const result = parseFlowFilter(args, NOW_MS);
  return result.ok ? assert.fail("was accepted") : result.errors;
}

test("parseFlowFilter() reads flags with a space, with =, repeated and with commas", () => {
  assert.deepEqual(
    parsed("--from", "team-a/app-a,team-b/*", "--verdict=deny", "--kind", "request", "--kind", "handshake"),
    {
      from: ["team-a/app-a", "team-b/*"],
      verdict: ["deny"],
      kind: ["request", "handshake"],
    },
  );
  assert.deepEqual(parsed("--path", "/a,b=c"), { path: ["/a,b=c"] });
  assert.deepEqual(parsed(), {});
});

test("parseFlowFilter() counts --since back from now and takes times as they are", () => {
  assert.deepEqual(parsed("--since", "5m"), { sinceMicros: BASE_MICROS - 300e6 });
  assert.deepEqual(parsed("--until", "2026-01-01T00:00:00.000001Z"), { untilMicros: BASE_MICROS + 1 });
  assert.match(errors("--since", "1m", "--until", "2m")[0] ?? "", /not before/);
});

test("parseFlowFilter() reads peers of both families", () => {
  assert.deepEqual(parsed("--peer", "127.1.0.7:40312").peer, { ip: "127.1.0.7", port: 40_312 });
  assert.deepEqual(parsed("--peer", "[::1]:443").peer, { ip: "::1", port: 443 });
  assert.deepEqual(parsed("--peer", "::1").peer, { ip: "::1" });
  for (const bad of ["host:80", "127.0.0.1:99999", "", ":80"])
    assert.equal(errors("--peer", bad).length, 1, bad);
});

test("parseFlowFilter() tells all errors and the word that was meant", () => {
  assert.deepEqual(
    errors("--form", "a/b", "--verdict", "denied", "--kind", "requst", "--status", "20", "x", "--to"),
    [
      "unexpected argument `x`: filters are flags, as in `--from team-a/app-a`",
      "`--to` needs a value",
      "unknown filter `--form`; did you mean `--from`?",
      "`--verdict denied`: not one of allow, deny, error; did you mean `deny`?",
      "`--kind requst`: not one of request, connection, handshake, decision, rotation, revocation; did you mean `request`?",
      "`--status 20`: not an HTTP status (100 to 999)",
    ],
  );
  assert.deepEqual(errors("--zzzzzz", "1"), ["unknown filter `--zzzzzz`"]);
});

test("parseFlowFilter() refuses patterns that would be slow or empty", () => {
  for (const bad of ["", "a".repeat(2000), "*a*a*a*a*a*a*a", "a\0b"])
    assert.equal(errors("--path", bad).length, 1);
});

test("parseFlowFilterOptions() reads what commander gives", () => {
  const result = parseFlowFilterOptions({ from: "a/b", verdict: ["deny", "error"], to: undefined }, NOW_MS);
  assert.deepEqual(result, { ok: true, filter: { from: ["a/b"], verdict: ["deny", "error"] } });
});

test("FLOW_FILTER_FLAGS names every flag once, each accepted", () => {
  const names = FLOW_FILTER_FLAGS.map((flag) => flag.name);
  assert.equal(new Set(names).size, names.length);
  const values: Record<string, string> = {
    verdict: "deny",
    kind: "request",
    direction: "inbound",
    status: "200",
    peer: "::1",
    since: "5m",
    until: "5m",
  };
  for (const name of names) parsed(`--${name}`, values[name] ?? "x");
});

const word = fc.string({
  unit: fc.constantFrom("a", "b", "/", "-", ".", "*", " ", "=", "é"),
  minLength: 1,
  maxLength: 6,
});
const words = fc.uniqueArray(word, { minLength: 1, maxLength: 3 });
const micros = fc.integer({ min: 0, max: 2e15 });
const filterArbitrary: fc.Arbitrary<FlowFilter> = fc.record(
  {
    from: words,
    to: words,
    host: words,
    policy: words,
    path: fc.uniqueArray(
      word.map((text) => `/${text},`),
      { minLength: 1, maxLength: 3 },
    ),
    verdict: fc.uniqueArray(fc.constantFrom("allow", "deny"), { minLength: 1 }),
    status: fc.uniqueArray(fc.integer({ min: 100, max: 999 }), { minLength: 1, maxLength: 3 }),
    peer: fc.constantFrom({ ip: "127.0.0.1" }, { ip: "::1", port: 9 }, { ip: "::1" }),
    sinceMicros: micros,
    untilMicros: micros.map((value) => value + 2e15 + 1),
  },
  { requiredKeys: [], noNullPrototype: true },
);

test("parseFlowFilter(printFlowFilter(f)) is f", () => {
  fc.assert(
    fc.property(filterArbitrary, (filter) => {
      assert.deepEqual(parsed(...printFlowFilter(filter)), filter);
    }),
    { numRuns: 300 },
  );
});

test("parseFlowFilter() is total: it never throws", () => {
  const token = fc.oneof(
    fc.string(),
    fc.constantFrom(...FLOW_FILTER_FLAGS.map((flag) => `--${flag.name}`), "--__proto__", "--constructor"),
  );
  fc.assert(
    fc.property(fc.array(token), (args) => typeof parseFlowFilter(args, NOW_MS).ok === "boolean"),
    { numRuns: 300 },
  );
});
