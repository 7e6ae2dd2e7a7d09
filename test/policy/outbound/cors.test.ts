/** https://istio.io/latest/docs/reference/config/networking/virtual-service/#CorsPolicy */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileCors } from "../../../src/policy/outbound/cors.ts";
import type { CorsPolicy } from "../../../src/policy/outbound/resource-shapes.ts";
import type { CorsPlan } from "../../../src/policy/outbound/types.ts";

function planOf(policy: CorsPolicy): Omit<CorsPlan, "allowsOrigin"> {
  const { allowsOrigin: _predicate, ...rest } = compileCors(policy);
  return rest;
}

test("a policy that says nothing allows nobody, sends nothing, and lets other preflights through", () => {
  assert.deepEqual(planOf({}), {
    allowMethods: "",
    allowHeaders: "",
    exposeHeaders: "",
    maxAge: "",
    forwardNotMatchingPreflights: true,
  });
  assert.equal(compileCors({}).allowsOrigin("https://a.example"), false);
});

test("lists are joined by commas, and the age is in whole seconds, rounded down", () => {
  const policy: CorsPolicy = {
    allowMethods: ["GET", "POST"],
    allowHeaders: ["x-a", "x-b"],
    exposeHeaders: ["x-c", "x-d"],
    maxAge: "61.9s",
    allowCredentials: false,
    unmatchedPreflights: "IGNORE",
  };
  const plan = {
    allowMethods: "GET,POST",
    allowHeaders: "x-a,x-b",
    exposeHeaders: "x-c,x-d",
    maxAge: "61",
    allowCredentials: false,
    forwardNotMatchingPreflights: false,
  };
  assert.deepEqual(planOf(policy), plan);
  assert.deepEqual(
    planOf({ ...policy, maxAge: "0s", allowCredentials: true, unmatchedPreflights: "FORWARD" }),
    { ...plan, maxAge: "0", allowCredentials: true, forwardNotMatchingPreflights: true },
  );
});

test("one origin that matches is enough; the old list of exact origins counts only without the new one", () => {
  const both = compileCors({
    allowOrigins: [{ exact: "https://a.example" }, { regex: "https://b[0-9]" }],
    allowOrigin: ["https://old.example"],
  });
  const old = compileCors({ allowOrigin: ["https://old.example", "https://a.example"] });
  const answers = (plan: CorsPlan): boolean[] =>
    ["https://a.example", "https://b7", "https://old.example", "https://c.example"].map(plan.allowsOrigin);
  assert.deepEqual(answers(both), [true, true, false, false]);
  assert.deepEqual(answers(old), [true, false, true, false]);
});

test("a matcher that takes `*` takes every origin, as Envoy asks it about `*`, too", () => {
  for (const match of [{ exact: "*" }, { prefix: "" }, { regex: ".*" }, { prefix: "*" }])
    assert.equal(
      compileCors({ allowOrigins: [match] }).allowsOrigin("https://b.example"),
      true,
      JSON.stringify(match),
    );
  for (const match of [{ exact: "**" }, { prefix: "https://" }, { regex: "[*]." }])
    assert.equal(
      compileCors({ allowOrigins: [match] }).allowsOrigin("http://b.example"),
      false,
      JSON.stringify(match),
    );
  assert.equal(compileCors({ allowOrigin: ["*"] }).allowsOrigin("https://b.example"), true);
});
