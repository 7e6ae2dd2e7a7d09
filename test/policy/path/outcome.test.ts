/** Who decided on a way, and with which status the caller sees it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { outcomeOf, verdictOf } from "../../../src/policy/path/follow.ts";
import type { Step } from "../../../src/policy/path/journey.ts";
import { survey } from "../../../src/policy/path/survey.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import { contextOf, journey, podText } from "./journey-text.ts";

function step(more: Partial<Step>): Step {
  return {
    hop: "a/s",
    side: "server",
    allowed: true,
    code: 200,
    reason: "ok",
    cause: "c",
    layer: "authorization",
    policy: null,
    rule: null,
    answersHttp: false,
    explain: () => ["because"],
    ...more,
  };
}

const CLOSED = { allowed: false, code: 0 } as const;
const READS_HTTP = { side: "client", answersHttp: true } as const;

describe("the outcome of a way", () => {
  const cases: readonly (readonly [law: string, steps: readonly Partial<Step>[], code: number])[] = [
    ["an allowed request has the last hop's status", [READS_HTTP, { code: 200 }], 200],
    ["an allowed connection has none", [READS_HTTP, { code: 0 }], 0],
    ["a refusal with a status keeps it", [READS_HTTP, { allowed: false, code: 403 }], 403],
    ["a refusal without one is a 503 of a proxy before it that reads HTTP", [READS_HTTP, CLOSED], 503],
    ["of whichever proxy before it", [READS_HTTP, { side: "gateway" }, CLOSED], 503],
    ["and stays without where nobody before it reads HTTP", [{ side: "client" }, CLOSED], 0],
    ["and where nobody is before it", [CLOSED], 0],
  ];
  for (const [law, steps, code] of cases)
    test(law, () => {
      const way = { by: [], steps: steps.map((own, index) => step({ hop: `a/${index}`, ...own })) };
      const { explain: _explain, answersHttp: _answersHttp, ...last } = way.steps.at(-1) ?? step({});
      assert.deepEqual(outcomeOf(way), { ...last, code });
    });

  test("is told without what only this side of it needs", () => {
    assert.deepEqual(Object.keys(verdictOf(step({ to: "x", tls: "mtls" }))), [
      "hop",
      "side",
      "allowed",
      "code",
      "reason",
      "cause",
      "layer",
      "policy",
      "rule",
      "to",
      "tls",
    ]);
  });

  test("a way without hops is a bug", () => {
    assert.throws(() => outcomeOf({ by: [], steps: [] }), /BUG: a way without hops/);
  });
});

describe("a question about what the mesh does not have", () => {
  const mesh = meshOf(podText("a", "s"));
  for (const [what, request] of [
    ["the client", { from: { workload: "a/x" }, to: { workload: "a/s", port: 1 } }],
    ["the server", { to: { workload: "a/x", port: 1 } }],
    ["the gateway", { via: "a/x", to: { host: "h", port: 1 } }],
  ] as const)
    test(`${what} is refused`, async () => {
      await assert.rejects(journey(mesh, request), {
        code: "BW_REQUEST_INVALID",
        message: "the mesh has no workload `a/x`",
      });
    });

  test("a survey of it is a bug", async () => {
    await assert.rejects(
      survey(contextOf(mesh), { to: "a/x" }),
      /BUG: a survey of a workload that there is not/,
    );
    await assert.rejects(survey(contextOf(mesh), {}), /BUG: a survey of a workload that there is not/);
  });
});
