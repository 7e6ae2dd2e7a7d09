/** The AuthorizationPolicies of one workload for one kind of chain, compiled; and how they decide. */
import type { Mesh, Workload } from "../model/mesh.ts";
import { type Resource, resourceName } from "../resources/resource.ts";
import type { AuthorizationCache } from "./authorization-cache.ts";
import { type CompiledRule, compileRule } from "./authorization-rule.ts";
import type { AuthorizationAction, AuthorizationSpec } from "./authorization-spec.ts";
import type { ConditionContext } from "./condition.ts";
import type { AuthorizerAnswer, Connection } from "./connection.ts";
import { compileProviders, type ExtAuthzProvider } from "./ext-authz-provider.ts";
import type { HttpRequest } from "./http-request.ts";
import type { InboundCause } from "./inbound-cause.ts";
import { attachedPolicies } from "./policy-attachment.ts";
import {
  buildRuleSet,
  firstMatch,
  firstVerdict,
  type IndexedRuleSet,
  indexRuleSets,
  type RuleSet,
} from "./rule-set.ts";
import type { Verdict } from "./verdict.ts";
import { type AnswerCodes, closedVerdict, openVerdict, ruleVerdict } from "./verdict-catalogue.ts";

/** Who must be asked before deciding, and for whom. */
export interface AuthorizerDemand {
  /** The extension provider in MeshConfig. */
  readonly provider: ExtAuthzProvider;
  /** `AuthorizationPolicy ns/name` */
  readonly policy: string;
  readonly rule: number;
}

/** A policy that does not block, and what it says of a connection or request: AUDIT, or annotated `istio.io/dry-run`. */
export interface Observation {
  readonly effect: "audit" | "would-allow" | "would-deny";
  /** Null for dry-run ALLOW policies of which none matched. */
  readonly policy: string | null;
  readonly rule: number | null;
}

interface CustomRules {
  readonly set: IndexedRuleSet;
  readonly demands: ReadonlyMap<Verdict, AuthorizerDemand>;
  readonly denials: ReadonlyMap<Verdict, Verdict>;
  readonly failures: ReadonlyMap<Verdict, Verdict>;
}

interface Observer {
  readonly set: IndexedRuleSet;
  readonly effect: "audit" | "would-allow" | "would-deny";
}

export interface Authorization {
  readonly custom: CustomRules | null;
  /** CUSTOM policies that cannot be carried out: they deny what they match. */
  readonly broken: IndexedRuleSet | null;
  readonly deny: RuleSet | null;
  /** Null: no ALLOW policy applies, so what is not denied is allowed. */
  readonly allow: RuleSet | null;
  /** ALLOW rules that can never match on such a chain: they ask for HTTP on TCP, or for a value that nothing has. For explanations. */
  readonly dropped: readonly { readonly policy: string; readonly rule: number }[];
  /** The rules of `deny`, then those of `allow`: one search finds which decides. */
  readonly enforced: IndexedRuleSet;
  readonly open: Verdict;
  readonly closed: Verdict;
  readonly observers: readonly Observer[];
}

/** CUSTOM, before any token is known. @returns null where it has nothing against it. */
export function decideCustom(
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
  answer: AuthorizerAnswer | undefined,
): Verdict | null {
  const { broken, custom } = authorization;
  const bad = broken === null ? null : firstMatch(broken, connection, request);
  if (bad !== null) return bad.verdict;
  if (custom === null || answer === "allow") return null;
  const match = firstMatch(custom.set, connection, request);
  if (match === null) return null;
  if (answer === undefined) return match.verdict;
  return (answer === "deny" ? custom.denials : custom.failures).get(match.verdict) ?? match.verdict;
}

export function demandOf(
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
): AuthorizerDemand | null {
  const { broken, custom } = authorization;
  if (custom === null || (broken !== null && firstMatch(broken, connection, request) !== null)) return null;
  const match = firstMatch(custom.set, connection, request);
  return match === null ? null : (custom.demands.get(match.verdict) ?? null);
}

/** DENY, then ALLOW. */
export function decideAuthorization(
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
): Verdict {
  const { enforced, allow, open, closed } = authorization;
  return firstVerdict(enforced, connection, request) ?? (allow === null ? open : closed);
}

const NOTHING_OBSERVED: readonly Observation[] = Object.freeze([]);

export function observeAuthorization(
  authorization: Authorization,
  connection: Connection,
  request: HttpRequest | null,
): readonly Observation[] {
  if (authorization.observers.length === 0) return NOTHING_OBSERVED;
  const observations: Observation[] = [];
  for (const { set, effect } of authorization.observers) {
    const match = firstMatch(set, connection, request);
    if (match !== null) observations.push({ effect, policy: match.rule.policy, rule: match.rule.index });
    else if (effect === "would-allow") observations.push({ effect: "would-deny", policy: null, rule: null });
  }
  return observations;
}

type PolicyResource = Resource<unknown>;

/** Without the action and the policy's namespace, which are each policy's own. */
type CompileContext = Omit<ConditionContext, "action" | "policyNamespace">;

export function compileAuthorization(
  mesh: Mesh,
  workload: Workload,
  context: CompileContext,
  answers: AnswerCodes,
  cache?: AuthorizationCache,
): Authorization {
  const { rootNamespace } = mesh.config;
  const all = attachedPolicies<PolicyResource>(mesh.authorizationPolicies, workload, rootNamespace);
  return compileAttached(mesh, all, context, answers, cache);
}

/** @param all the policies that hold, of every action. */
export function compileAttached(
  mesh: Mesh,
  all: readonly PolicyResource[],
  context: CompileContext,
  answers: AnswerCodes,
  cache?: AuthorizationCache,
): Authorization {
  const compile = (): Authorization => compilePolicies(mesh, all, context, answers);
  return cache === undefined ? compile() : cache.of(all, settingsText(mesh, all, context, answers), compile);
}

/** All that {@link compilePolicies} looks at besides the policies. */
function settingsText(
  mesh: Mesh,
  policies: readonly PolicyResource[],
  context: CompileContext,
  answers: AnswerCodes,
): string {
  const asks = policies.some((policy) => actionOf(policy) === "CUSTOM");
  // Whether one can be used hangs on the mesh's services, too.
  const providers = asks ? [mesh.config.extensionProviders, [...compileProviders(mesh).keys()]] : [];
  return JSON.stringify([context, answers, providers]);
}

function compilePolicies(
  mesh: Mesh,
  all: readonly PolicyResource[],
  context: CompileContext,
  answers: AnswerCodes,
): Authorization {
  const compile = (policies: readonly PolicyResource[], action: AuthorizationAction) =>
    policies.flatMap((policy) =>
      compilePolicy(policy, { ...context, action, policyNamespace: policy.namespace }),
    );
  const of = (action: AuthorizationAction, dryRun: boolean) =>
    all.filter((policy) => actionOf(policy) === action && isDryRun(policy) === dryRun);
  const ruleSet = (action: "ALLOW" | "DENY", dryRun: boolean): RuleSet | null => {
    const policies = of(action, dryRun);
    if (policies.length === 0) return null;
    const cause = action === "ALLOW" ? "allow-matched" : "deny-matched";
    return buildRuleSet(compile(policies, action), (rule) =>
      ruleVerdict(cause, answers, rule.policy, rule.index),
    );
  };
  const auditRules = compile(of("AUDIT", false), "AUDIT");
  const audit = buildRuleSet(auditRules, (rule) =>
    ruleVerdict("allow-matched", answers, rule.policy, rule.index),
  );
  const deny = ruleSet("DENY", false);
  const allow = ruleSet("ALLOW", false);
  return {
    ...compileCustom(mesh, of("CUSTOM", false), of("CUSTOM", true), compile, answers, context.http),
    deny,
    allow,
    dropped: droppedRules(of("ALLOW", false), allow),
    enforced: indexRuleSets(deny, allow),
    open: openVerdict(answers),
    closed: closedVerdict(answers),
    observers: [
      ...(auditRules.length === 0 ? [] : observer(audit, "audit")),
      ...observer(ruleSet("DENY", true), "would-deny"),
      ...observer(ruleSet("ALLOW", true), "would-allow"),
    ],
  };
}

function droppedRules(policies: readonly PolicyResource[], kept: RuleSet | null): Authorization["dropped"] {
  const keys = new Set(kept?.rules.map(({ rule }) => `${rule.policy} ${rule.index}`));
  return policies.flatMap((policy) => {
    const name = resourceName(policy);
    return (specOf(policy).rules ?? []).flatMap((_, rule) =>
      keys.has(`${name} ${rule}`) ? [] : [{ policy: name, rule }],
    );
  });
}

function observer(set: RuleSet | null, effect: Observer["effect"]): Observer[] {
  return set === null ? [] : [{ set: indexRuleSets(set), effect }];
}

type CompileRules = (
  policies: readonly PolicyResource[],
  action: AuthorizationAction,
) => readonly CompiledRule[];

/**
 * As Istio 1.30 and later build it. An HTTP provider has no say on TCP chains. Several providers on one workload (those of dry-run
 * policies count), or one that cannot be used, deny what their policies match. A dry-run policy denies what it matches.
 */
function compileCustom(
  mesh: Mesh,
  enforced: readonly PolicyResource[],
  dryRun: readonly PolicyResource[],
  compile: CompileRules,
  answers: AnswerCodes,
  http: boolean,
): Pick<Authorization, "custom" | "broken"> {
  const names = [...new Set([...enforced, ...dryRun].map(providerOf))].sort();
  const [name, ...others] = names;
  if (name === undefined) return { custom: null, broken: null };
  const denied = (policies: readonly PolicyResource[], cause: InboundCause): RuleSet =>
    buildRuleSet(compile(policies, "CUSTOM"), (rule) => ruleVerdict(cause, answers, rule.policy, rule.index));
  const provider = others.length > 0 ? undefined : compileProviders(mesh).get(name);
  if (provider === undefined) {
    // Envoy has one filter for each provider, by name.
    const sets = names.map((own) =>
      denied(
        enforced.filter((policy) => providerOf(policy) === own),
        "ext-authz-misconfigured",
      ),
    );
    return { custom: null, broken: indexedOrNone(sets) };
  }
  if (provider.kind === "http" && !http) return { custom: null, broken: null };
  const rules = compile(enforced, "CUSTOM");
  return {
    custom: rules.length === 0 ? null : customRules(rules, provider, answers),
    broken: indexedOrNone([denied(dryRun, "ext-authz-dry-run")]),
  };
}

function indexedOrNone(sets: readonly RuleSet[]): IndexedRuleSet | null {
  return sets.every(({ rules }) => rules.length === 0) ? null : indexRuleSets(...sets);
}

function customRules(
  rules: readonly CompiledRule[],
  provider: ExtAuthzProvider,
  answers: AnswerCodes,
): CustomRules {
  const demands = new Map<Verdict, AuthorizerDemand>();
  const denials = new Map<Verdict, Verdict>();
  const failures = new Map<Verdict, Verdict>();
  const onFailure = answers.denied === 0 ? answers : { ...answers, denied: provider.statusOnError };
  const set = buildRuleSet(rules, ({ policy, index }) => {
    const unanswered = ruleVerdict("ext-authz-unanswered", answers, policy, index);
    demands.set(unanswered, Object.freeze({ provider, policy, rule: index }));
    denials.set(unanswered, ruleVerdict("ext-authz-denied", answers, policy, index));
    failures.set(unanswered, ruleVerdict("ext-authz-failed", onFailure, policy, index));
    return unanswered;
  });
  return { set: indexRuleSets(set), demands, denials, failures };
}

function compilePolicy(policy: PolicyResource, context: ConditionContext): CompiledRule[] {
  return (specOf(policy).rules ?? []).flatMap((rule, index) => {
    const compiled = compileRule(rule, policy, index, context);
    return compiled === null ? [] : [compiled];
  });
}

function specOf(policy: PolicyResource): AuthorizationSpec {
  return (policy.spec ?? {}) as AuthorizationSpec;
}

function actionOf(policy: PolicyResource): AuthorizationAction {
  return specOf(policy).action ?? "ALLOW";
}

function providerOf(policy: PolicyResource): string {
  return specOf(policy).provider?.name ?? "";
}

const TRUE: ReadonlySet<string> = new Set(["1", "t", "T", "TRUE", "true", "True"]);

/** Annotated to be tried, not enforced. */
export function isDryRun(policy: Resource): boolean {
  return TRUE.has(policy.annotations["istio.io/dry-run"] ?? "");
}

/** `AuthorizationPolicy ns/name` of every policy that applies, for reports. */
export function appliedPolicies(mesh: Mesh, workload: Workload): string[] {
  return attachedPolicies(mesh.authorizationPolicies, workload, mesh.config.rootNamespace).map((policy) =>
    resourceName(policy),
  );
}
