/** The server's side of a workload in ambient mode: what its node's ztunnel lets through. Layer 4 only. */
import type { Labels, Mesh, Workload } from "../../model/mesh.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import type { AuthorizationSpec } from "../authorization-spec.ts";
import type { Connection } from "../connection.ts";
import type { Semantics } from "../inbound.ts";
import { policiesFor } from "../policy-lookup.ts";
import type { Verdict } from "../verdict.ts";
import {
  closedVerdict,
  FOREIGN_TRUST_DOMAIN,
  NO_LISTENER,
  openVerdict,
  ruleVerdict,
  TCP_ANSWERS,
  UNTRUSTED_CERTIFICATE,
} from "../verdict-catalogue.ts";
import { compileL4Rule, type L4Rule, l4RuleMatches } from "./l4-rule.ts";
import { type PlaintextRefusal, plaintextRefusals } from "./peer-conversion.ts";

/** One AuthorizationPolicy, compiled. */
export interface L4Policy {
  /** `AuthorizationPolicy ns/name` */
  readonly policy: string;
  readonly rules: readonly L4Rule[];
  /** How many rules istiod drops, being about HTTP. */
  readonly droppedRules: number;
}

export interface AmbientPolicy {
  readonly workload: Workload;
  readonly semantics: Semantics;
  /** The only trust domain whose clients are taken: aliases do not count here. */
  readonly trustDomain: string;
  readonly plaintext: readonly PlaintextRefusal[];
  /** By name, so that of several that match always the same one is told. */
  readonly deny: readonly L4Policy[];
  readonly allow: readonly L4Policy[];
  /**
   * Strict semantics: what the resources say, where istiod loses a part of it. Asked after what Istio does, which has to allow
   * it as well: so that strict is never wider. Null under Istio's semantics.
   */
  readonly asWritten: AmbientPolicy | null;
}

/** ztunnel's own ports: nobody is meant to dial them. */
const OWN_PORTS: ReadonlySet<number> = new Set([15001, 15006, 15008]);

/** Compiles what holds for one workload. Pure. */
export function compileAmbient(
  mesh: Mesh,
  workload: Workload,
  { semantics }: { readonly semantics: Semantics },
): AmbientPolicy {
  const istio = compileAs(mesh, workload, "istio");
  return semantics === "istio"
    ? istio
    : { ...istio, semantics, asWritten: compileAs(mesh, workload, "strict") };
}

function compileAs(mesh: Mesh, workload: Workload, semantics: Semantics): AmbientPolicy {
  const { trustDomain, trustDomainAliases } = mesh.config;
  const trustDomains = [...new Set([trustDomain, ...trustDomainAliases])];
  const attached = policiesFor(mesh.authorizationPolicies, workload, mesh.config.rootNamespace)
    .filter((policy) => isSent(policy) && isAttached(policy, semantics))
    .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const of = (action: "ALLOW" | "DENY"): readonly L4Policy[] =>
    attached
      .filter((policy) => actionOf(policy) === action)
      .map((policy) => {
        const { rules = [] } = specOf(policy);
        const context = { semantics, policyNamespace: policy.namespace, trustDomains };
        const compiled = rules
          .map((rule, index) => compileL4Rule(rule, index, action, context))
          .filter((rule) => rule !== null);
        return {
          policy: resourceName(policy),
          rules: compiled,
          droppedRules: rules.length - compiled.length,
        };
      });
  return {
    workload,
    semantics,
    trustDomain,
    plaintext: plaintextRefusals(mesh, workload, semantics),
    deny: of("DENY"),
    allow: of("ALLOW"),
    asWritten: null,
  };
}

interface AmbientSpec extends AuthorizationSpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
}

function specOf(policy: Resource<unknown>): AmbientSpec {
  return (policy.spec ?? {}) as AmbientSpec;
}

function nameOf({ namespace, name }: Resource<unknown>): string {
  return `${namespace}/${name}`;
}

function actionOf(policy: Resource<unknown>): string {
  return specOf(policy).action ?? "ALLOW";
}

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/** Dry runs and what is bound to a waypoint never reach ztunnel; nor do CUSTOM and AUDIT. */
function isSent(policy: Resource<unknown>): boolean {
  const { targetRef, targetRefs = [] } = specOf(policy);
  return (
    targetRef === undefined &&
    targetRefs.length === 0 &&
    !TRUE.has(policy.annotations["istio.io/dry-run"] ?? "")
  );
}

/** An empty selector selects nothing there, although it says everything: strict semantics take its word. */
function isAttached(policy: Resource<unknown>, semantics: Semantics): boolean {
  const { selector } = specOf(policy);
  if (selector === undefined || semantics === "strict") return true;
  return Object.keys(selector.matchLabels ?? {}).length > 0;
}

const OPEN = openVerdict(TCP_ANSWERS);
const CLOSED = closedVerdict(TCP_ANSWERS);

/** What decides, under strict semantics the one of the two that refuses. */
export function deciding(policy: AmbientPolicy, connection: Connection): AmbientPolicy {
  return policy.asWritten !== null && decideOne(policy, connection).allowed ? policy.asWritten : policy;
}

export function decideAmbient(policy: AmbientPolicy, connection: Connection): Verdict {
  return decideOne(deciding(policy, connection), connection);
}

/** The handshake, where there is one; then plaintext against PeerAuthentication, DENY, ALLOW. */
function decideOne(policy: AmbientPolicy, connection: Connection): Verdict {
  const { tls, principal, trustDomain, namespace, destinationPort } = connection;
  if (OWN_PORTS.has(destinationPort)) return NO_LISTENER;
  if (tls === "rogue") return UNTRUSTED_CERTIFICATE;
  if (principal !== null && (trustDomain !== policy.trustDomain || namespace === ""))
    return FOREIGN_TRUST_DOMAIN;
  const plaintext =
    principal === null ? policy.plaintext.find(({ refuses }) => refuses(destinationPort)) : undefined;
  if (plaintext !== undefined) return plaintextVerdict(plaintext.policy);
  const denied = matchingRule(policy.deny, connection);
  if (denied !== undefined) return verdictOf("deny-matched", denied);
  if (policy.allow.length === 0) return OPEN;
  const allowed = matchingRule(policy.allow, connection);
  return allowed === undefined ? CLOSED : verdictOf("allow-matched", allowed);
}

function plaintextVerdict(policy: string): Verdict {
  return { ...CLOSED, cause: "plaintext-refused", layer: "transport", policy };
}

interface MatchedRule {
  readonly policy: string;
  readonly index: number;
}

function verdictOf(cause: "deny-matched" | "allow-matched", { policy, index }: MatchedRule): Verdict {
  return ruleVerdict(cause, TCP_ANSWERS, policy, index);
}

function matchingRule(policies: readonly L4Policy[], connection: Connection): MatchedRule | undefined {
  for (const { policy, rules } of policies) {
    const rule = rules.find((candidate) => l4RuleMatches(candidate, connection));
    if (rule !== undefined) return { policy, index: rule.index };
  }
  return undefined;
}

/** Names (`ns/name`) of all policies of a kind that match, for comparisons. */
export function matchingPolicies(policies: readonly L4Policy[], connection: Connection): readonly string[] {
  return policies
    .filter(({ rules }) => rules.some((rule) => l4RuleMatches(rule, connection)))
    .map(({ policy }) => policy.slice(policy.indexOf(" ") + 1));
}
