/** A framework's controls against one mesh: what speaks for each, what against, and what no file shows. */
import type { Mesh } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { Diagnostic } from "../../resources/diagnostic.ts";
import type { AuditContext } from "../audit/audit-context.ts";
import type { Finding } from "../audit/finding.ts";
import { leavesOpen } from "../audit/rules/files-not-whole.ts";
import { AUDIT_RULES } from "../audit/rules.ts";
import { BUILT_INS } from "../verify/built-in-invariants.ts";
import type { Invariant } from "../verify/invariant.ts";
import { type MeshVerification, verifyAccess } from "../verify/verify-access.ts";
import { type ClaimEvidence, type ClaimInput, type ClaimStatus, findingLines, shortened } from "./claim.ts";
import { CLAIM_STATEMENTS, type ClaimId } from "./claim-statements.ts";
import { CLAIMS } from "./claims.ts";
import type { Control, Framework } from "./framework.ts";

export interface JudgedClaim extends ClaimEvidence {
  readonly id: ClaimId;
  readonly statement: string;
}

export interface JudgedControl {
  readonly id: string;
  readonly title: string;
  /** `pass`: all that it rests on is shown, and that is all it asks. `fail`: something is refuted. */
  readonly status: "pass" | "fail" | "not shown";
  readonly claims: readonly JudgedClaim[];
  readonly beyond: string;
  /** False: what is `beyond` is a part of what it asks, so that no files make it pass. */
  readonly isWhole: boolean;
}

export interface ComplianceReport {
  readonly framework: string;
  readonly title: string;
  readonly scope: string;
  readonly controls: readonly JudgedControl[];
}

/** @param findings all that the audit found, suppressed or not */
export async function complianceReport(
  framework: Framework,
  audit: AuditContext,
  findings: readonly Finding[],
  semantics: Semantics,
): Promise<ComplianceReport> {
  const needed = new Set(framework.controls.flatMap(({ claims }) => claims));
  const proofs = await proofsFor(audit.mesh, needed, semantics);
  const open = audit.warnings.filter(leavesOpen);
  const claims = new Map(
    [...needed].map((id) => [id, heldOpen(judgedClaim(id, { audit, findings, proofs }), open)]),
  );
  const { name, title, scope, controls } = framework;
  return {
    framework: name,
    title,
    scope,
    controls: controls.map((control) => judgedControl(control, claims)),
  };
}

/** Rules name the claims that they speak against: what they found is evidence, whatever else decides. */
function judgedClaim(id: ClaimId, { audit, findings: all, proofs }: Omit<ClaimInput, "rules">): JudgedClaim {
  const rules = AUDIT_RULES.filter(({ claims }) => claims.includes(id)).map((rule) => rule.id);
  const findings = all.filter(({ rule }) => rules.some((own) => own === rule));
  const { status, evidence } = CLAIMS[id]({ audit, findings, rules, proofs });
  const others = findingLines(findings).filter((line) => !evidence.includes(line));
  return { id, statement: CLAIM_STATEMENTS[id], status, evidence: [...evidence, ...others] };
}

/** What the files show is shown of what they say: of resources that they do not have it is not. */
function heldOpen(claim: JudgedClaim, open: readonly Diagnostic[]): JudgedClaim {
  if (open.length === 0 || claim.status !== "shown") return claim;
  const lines = open.map(({ message, resource = "Kustomization", span }) => {
    const place = span === undefined ? "" : ` (${span.file}:${span.line})`;
    return `${resource}: ${message}${place}`;
  });
  return { ...claim, status: "not shown", evidence: [...shortened(lines), ...claim.evidence] };
}

function judgedControl(
  { id, title, claims: ids, beyond, isWhole }: Control,
  all: ReadonlyMap<ClaimId, JudgedClaim>,
): JudgedControl {
  const claims = ids.flatMap((claim) => all.get(claim) ?? []);
  const statuses = claims.map(({ status }) => status);
  return { id, title, status: statusOf(statuses, isWhole), claims, beyond, isWhole };
}

function statusOf(claims: readonly ClaimStatus[], isWhole: boolean): JudgedControl["status"] {
  if (claims.includes("refuted")) return "fail";
  return isWhole && claims.length > 0 && claims.every((status) => status === "shown") ? "pass" : "not shown";
}

/** Claims by proof, and the invariants of `verify` that they are. */
const PROOFS: readonly (readonly [ClaimId, string])[] = [
  ["mutual-tls", "no-plaintext"],
  ["no-anonymous", "no-anonymous"],
  ["own-trust-domain", "no-foreign-identities"],
  ["sensitive-isolated", "sensitive"],
];

async function proofsFor(
  mesh: Mesh,
  claims: ReadonlySet<ClaimId>,
  semantics: Semantics,
): Promise<ReadonlyMap<string, MeshVerification>> {
  const proofs = new Map<string, MeshVerification>();
  for (const [claim, builtIn] of PROOFS) {
    const invariants = BUILT_INS.find(({ name }) => name === builtIn)?.invariants(mesh) ?? [];
    if (claims.has(claim) && invariants.length > 0)
      proofs.set(builtIn, await verifyAccess(mesh, invariants, { semantics }));
  }
  if (claims.has("default-deny"))
    proofs.set("default-deny", await verifyAccess(mesh, [noStranger(mesh)], { semantics }));
  return proofs;
}

/** An account that no policy can mean: whoever lets it in lets in any. */
const STRANGER = { namespace: "bulwark-stranger-9f3c1a", account: "nobody-9f3c1a" };

function noStranger({ config }: Mesh): Invariant {
  const principals = [`${config.trustDomain}/ns/${STRANGER.namespace}/sa/${STRANGER.account}`];
  return {
    name: "an identity that no policy names",
    claim: "never",
    rules: [{ from: [{ source: { principals } }] }],
    namespace: config.rootNamespace,
    selects: ({ role }) => role === "application",
  };
}
