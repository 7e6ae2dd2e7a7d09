/** What findings show is so: each witness is asked of `can`, which has to answer as the rule claims. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { AUDIT_RULES } from "../../src/analysis/audit/rules.ts";
import { loadMesh } from "../../src/index.ts";
import { decide } from "../../src/policy/decide.ts";
import { auditFolder } from "./audit-folder.ts";

/** By rule: whether the request gets through under Istio's semantics; and under strict ones, where those differ. */
const CLAIMS: Readonly<Record<string, { readonly istio: boolean; readonly strict?: boolean }>> = {
  BW0406: { istio: true },
  BW0601: { istio: true },
  BW0603: { istio: false },
  BW0609: { istio: true },
  BW0612: { istio: true },
  BW0616: { istio: true },
  BW0617: { istio: true },
  BW0618: { istio: true },
  BW0619: { istio: true },
  BW0630: { istio: true },
  BW0635: { istio: true },
  BW0650: { istio: false },
  BW0651: { istio: true },
  BW0951: { istio: true, strict: false },
  BW0952: { istio: true, strict: false },
  BW0953: { istio: true, strict: false },
  BW0954: { istio: true },
  BW0955: { istio: true, strict: false },
  BW0960: { istio: true },
  BW0961: { istio: true },
};

for (const [id, { istio, strict = istio }] of Object.entries(CLAIMS))
  test(`${id}: the request that it shows is ${istio ? "let through" : "refused"}`, async () => {
    const rule = AUDIT_RULES.find((one) => one.id === id);
    assert.ok(rule);
    const folder = join(import.meta.dirname, "rules", id, "bad");
    const { mesh } = await loadMesh([folder]);
    const { found } = await auditFolder(folder, [rule]);
    const shown = found.flatMap(({ finding }) => finding.witness ?? []);
    assert.ok(shown.length > 0);
    for (const request of shown)
      for (const [semantics, allowed] of [
        ["istio", istio],
        ["strict", strict],
      ] as const) {
        const decision = await decide(mesh, request, { semantics });
        assert.equal(decision.allowed, allowed, JSON.stringify({ request, decision }, undefined, 1));
      }
  });
