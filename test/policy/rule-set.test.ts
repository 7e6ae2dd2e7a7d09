import assert from "node:assert/strict";
import { test } from "node:test";
import type { CompiledRule } from "../../src/policy/authorization-rule.ts";
import { buildRuleSet, firstMatch, firstVerdict, indexRuleSets } from "../../src/policy/rule-set.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import { connect } from "./inbound-fixture.ts";
import { ruleOf, watched } from "./rule-index/compiled.ts";

function rule(key: string, matches: boolean): CompiledRule {
  return { ...ruleOf([[watched(key, [], matches)]]), key };
}

const verdictOf = ({ key }: CompiledRule): Verdict => ({ policy: key }) as Verdict;

test("rules of one action stand in the order of their names, byte by byte, as in Envoy's map", () => {
  const keys = ["b", "a[2]", "a[10]", "a", "B", "a"];
  const given = keys.map((key) => rule(key, true));
  const { rules } = buildRuleSet(given, verdictOf);
  assert.deepEqual(
    rules.flatMap(({ rule }) => (rule.key === "a" ? [given.indexOf(rule)] : [])),
    [3, 5],
    "of one name, as they were",
  );
  assert.deepEqual(
    rules.map(({ rule, verdict }) => [rule.key, verdict.policy]),
    ["B", "a", "a", "a[10]", "a[2]", "b"].map((key) => [key, key]),
  );
});

test("sets are searched one after the other; the first rule that matches gives its verdict", () => {
  const deny = buildRuleSet([rule("z", true), rule("y", false)], verdictOf);
  const allow = buildRuleSet([rule("a", true)], verdictOf);
  const both = indexRuleSets(null, deny, null, allow);
  assert.deepEqual(
    both.rules.map(({ rule }) => rule.key),
    ["y", "z", "a"],
  );
  assert.deepEqual(
    both.verdicts.map(({ policy }) => policy),
    ["y", "z", "a"],
  );
  assert.equal(firstMatch(both, connect(), null), both.rules[1]);
  assert.equal(firstVerdict(both, connect(), null), both.verdicts[1]);
  const reversed = indexRuleSets(allow, deny);
  assert.equal(firstMatch(reversed, connect(), null)?.rule.key, "a");
});

test("where no rule matches there is no verdict", () => {
  for (const set of [
    indexRuleSets(),
    indexRuleSets(null),
    indexRuleSets(buildRuleSet([rule("a", false)], verdictOf)),
  ])
    assert.deepEqual([firstMatch(set, connect(), null), firstVerdict(set, connect(), null)], [null, null]);
});
