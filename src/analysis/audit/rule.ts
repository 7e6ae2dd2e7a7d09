/** A rule of the audit: one file in rules/, one folder of meshes in test/audit/rules, one page in docs/rules made from both. */
import type { ClaimId } from "../compliance/claim-statements.ts";
import type { AuditContext } from "./audit-context.ts";
import type { FindingSeverity, Hit, SameCheck } from "./finding.ts";

/**
 * Ids are append-only. BW01xx: what `istioctl analyze` finds, under its own number; BW03xx: what Kiali finds besides; BW04xx: Snowcat;
 * BW05xx: pods, Pod Security Standards and Kubernetes' benchmarks; BW06xx: what follows from the sets of requests (shadowed, dead, too
 * broad …); BW07xx: images, signatures, versions; BW08xx: exposure and isolation; BW095x on: where Istio fails open (BW0901–BW0949 are diagnostics of the loader).
 */
export type RuleId = `BW0${number}`;

export interface AuditRule {
  readonly id: RuleId;
  /** One line, without what is particular to a place. */
  readonly title: string;
  readonly severity: FindingSeverity;
  readonly same?: SameCheck;
  /** Ids of docs/attacks.md. */
  readonly attacks: readonly string[];
  /** What the rule looks for, exactly: what it takes for wrong and what not. */
  readonly what: string;
  /** What somebody can do because of it. */
  readonly why: string;
  readonly fix: string;
  /** What a finding speaks against: by it, the controls of frameworks that rest on it. Empty where nothing of a defence is at stake. */
  readonly claims: readonly ClaimId[];
  check(audit: AuditContext): Iterable<Hit>;
}
