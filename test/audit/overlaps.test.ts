/** One fault is told once: the rule that shows it by a request speaks, the one that sees it in the text alone steps back. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { AuditContext } from "../../src/analysis/audit/audit-context.ts";
import { idleAnalysis } from "../../src/analysis/audit/facts/rule-effects.ts";
import { ruleCovered } from "../../src/analysis/audit/rules/rule-covered.ts";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { auditFolder } from "./audit-folder.ts";

/** `BW0616 rules.0.from` of each finding: the rule, and where in the resource. */
async function told(folder: string, ids: readonly string[]): Promise<readonly string[]> {
  const rules = AUDIT_RULES.filter(({ id }) => ids.includes(id));
  const { found } = await auditFolder(join(import.meta.dirname, folder), rules);
  return found.map(({ finding }) => `${finding.rule} ${finding.resource}:${finding.line}`).sort();
}

test("an exclusion of names that lets in who has none is told by its request alone", async () => {
  assert.deepEqual(await told("rules/BW0616/bad", ["BW0616", "BW0401"]), [
    "BW0616 AuthorizationPolicy shop/not-partners:7",
  ]);
});

test("names in a DENY that are passed without one are told by the request, its paths as a list all the same", async () => {
  assert.deepEqual(await told("rules/BW0617/bad", ["BW0617", "BW0402"]), [
    "BW0402 AuthorizationPolicy shop/no-partners:9",
    "BW0617 AuthorizationPolicy shop/no-partners:8",
  ]);
});

test("a namespace that is excepted from the mesh's STRICT is told at the exception, one that nobody made STRICT as a namespace", async () => {
  assert.deepEqual(await told("overlaps/excepted", ["BW0630", "BW0406"]), [
    "BW0630 PeerAuthentication shop/default:17",
  ]);
  assert.deepEqual(await told("overlaps/open", ["BW0630", "BW0406"]), ["BW0406 Namespace shop:3"]);
});

test("workloads whose rules could not be searched are told, once, and nothing is where all were", () => {
  const said = (analysis: ReturnType<typeof idleAnalysis>): readonly string[] => {
    const audit = { fact: (work: unknown) => (work === idleAnalysis ? analysis : analysis.rules) };
    return [...ruleCovered.check(audit as unknown as AuditContext)].map(({ title }) => title);
  };
  const [complex = "", tooMany = "", ...rest] = said({ rules: [], tooComplex: ["shop/orders"], leftOut: 2 });
  assert.match(complex, /`shop\/orders`.*too complex/);
  assert.match(tooMany, /2 kinds of workloads/);
  assert.deepEqual(rest, []);
  assert.deepEqual(said({ rules: [], tooComplex: [], leftOut: 0 }), []);
});
