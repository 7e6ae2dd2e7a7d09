/** Every rule over one mesh: findings in the order of their weight, and those that were accepted beside them. */
import { type Resource, resourceName } from "../../resources/resource.ts";
import { controlsRestingOn } from "../compliance/frameworks.ts";
import type { AuditContext } from "./audit-context.ts";
import { type Edit, FINDING_SEVERITIES, type Finding, type Hit } from "./finding.ts";
import type { AuditRule } from "./rule.ts";
import { isSuppressedForIstio, suppressionsOf } from "./suppression.ts";

/** A finding with what mends it, which the one who writes files makes a patch of. */
export interface FoundHere {
  readonly finding: Finding;
  readonly edits: readonly Edit[];
}

export interface SuppressedFinding {
  readonly finding: Finding;
  readonly reason: string;
  /** `2027-01-31`; absent where Istio's own annotation suppresses, which knows no end. */
  readonly until?: string;
}

export interface Audit {
  readonly found: readonly FoundHere[];
  readonly suppressed: readonly SuppressedFinding[];
  /** How many rules were asked. */
  readonly rules: number;
}

/** @param progress is told of each rule before it is asked */
export function runRules(
  audit: AuditContext,
  rules: readonly AuditRule[],
  progress: (rule: AuditRule) => void = () => {},
): Audit {
  const found: FoundHere[] = [];
  const suppressed: SuppressedFinding[] = [];
  for (const rule of rules) {
    progress(rule);
    const controls = controlsRestingOn(rule.claims);
    for (const hit of rule.check(audit)) {
      const finding = findingOf(rule, controls, hit);
      const accepted = acceptance(finding, hit.resource, audit.settings.now);
      if (accepted === undefined) found.push({ finding, edits: hit.edits ?? [] });
      else suppressed.push({ finding, ...accepted });
    }
  }
  found.sort((a, b) => byWeight(a.finding, b.finding));
  suppressed.sort((a, b) => byWeight(a.finding, b.finding));
  return { found, suppressed, rules: rules.length };
}

function findingOf(rule: AuditRule, controls: readonly string[], hit: Hit): Finding {
  const { resource, path = ["metadata", "name"], place } = hit;
  const span = resource?.locate(path) ?? place?.span;
  const same = { ...rule.same, ...pick(hit) };
  return {
    rule: rule.id,
    ...same,
    severity: hit.severity ?? rule.severity,
    title: hit.title,
    resource: resource === undefined ? (place?.name ?? "mesh") : resourceName(resource),
    ...(span === undefined ? {} : { file: span.file, line: span.line, column: span.column }),
    why: hit.why ?? rule.why,
    fix: hit.fix ?? rule.fix,
    attacks: rule.attacks,
    witness: hit.witness ?? null,
    controls,
  };
}

function pick({ istio, kiali, snowcat }: Hit): Partial<Finding> {
  return {
    ...(istio === undefined ? {} : { istio }),
    ...(kiali === undefined ? {} : { kiali }),
    ...(snowcat === undefined ? {} : { snowcat }),
  };
}

function acceptance(
  finding: Finding,
  resource: Resource | undefined,
  now: number,
): Omit<SuppressedFinding, "finding"> | undefined {
  if (resource === undefined) return undefined;
  const own = suppressionsOf(resource, now).held.find(({ rule }) => rule === finding.rule);
  if (own !== undefined) return { reason: own.reason, until: own.until };
  if (finding.istio !== undefined && isSuppressedForIstio(resource, finding.istio))
    return { reason: "Istio's own annotation says so" };
  return undefined;
}

function byWeight(a: Finding, b: Finding): number {
  return (
    FINDING_SEVERITIES.indexOf(a.severity) - FINDING_SEVERITIES.indexOf(b.severity) ||
    compare(a.rule, b.rule) ||
    compare(a.file ?? "", b.file ?? "") ||
    (a.line ?? 0) - (b.line ?? 0) ||
    compare(a.resource, b.resource)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
