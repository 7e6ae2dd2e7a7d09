/** What the policies of a server name, for the division of the space in which it decides. */
import type { CompiledRule } from "../../policy/authorization-rule.ts";
import { CAPTURE_PORT, type InboundPolicy } from "../../policy/inbound.ts";
import { AnalysisLimit } from "./analysis-limit.ts";
import { claim } from "./aspect.ts";
import { type AtomContext, Atoms } from "./atoms.ts";

/** What a browser asks with, before it sends anything of its own. */
export const PREFLIGHT_METHOD = "OPTIONS";

export function addAtoms(atoms: Atoms, policy: InboundPolicy): void {
  const { includeInboundPorts = "*", excludeInboundPorts = [] } = policy.workload.capture ?? {};
  const captured = includeInboundPorts === "*" ? [] : includeInboundPorts;
  for (const port of [
    ...policy.ports.keys(),
    ...(policy.transportPorts ?? []),
    ...captured,
    ...excludeInboundPorts,
    CAPTURE_PORT,
  ])
    atoms.ports.add(port);
  if (policy.jwt?.rules.some(({ required }) => required) === true)
    atoms.textsOf("method").exact.add(PREFLIGHT_METHOD);
  const trustDomains = [...policy.trustDomains, ...policy.federated];
  for (const trustDomain of trustDomains) atoms.addTrustDomain(trustDomain);
  for (const authorization of [policy.http, policy.tcp]) {
    const sets = [authorization.custom?.set, authorization.broken, authorization.deny, authorization.allow];
    for (const { rule } of sets.flatMap((set) => set?.rules ?? [])) addRule(atoms, rule, trustDomains);
  }
  for (const { issuer, audiences } of policy.jwt?.rules ?? []) {
    if (issuer === "") throw new AnalysisLimit("tokens of any issuer are not analysed");
    addAudiences(atoms, audiences);
  }
}

/** What a token makes of headers, or takes from them, hangs together with its claims. */
export function refuseTokenHeaders(atoms: Atoms, { jwt }: InboundPolicy): void {
  const names = [
    ...(jwt?.outputs ?? []),
    ...(jwt?.rules ?? []).flatMap(({ locations }) => locations.headers.map(({ name }) => name)),
  ];
  const asked = names.find((name) => atoms.aspects.has(`header ${name}`));
  if (asked !== undefined)
    throw new AnalysisLimit(
      `conditions on the header ${asked}, which tokens come in or make, are not analysed`,
    );
}

function addRule(atoms: Atoms, rule: CompiledRule, trustDomains: readonly string[]): void {
  const policyNamespace = rule.policy.slice(rule.policy.indexOf(" ") + 1).split("/")[0] ?? "";
  const context: AtomContext = { trustDomains, policyNamespace };
  for (const condition of [...rule.sources, ...rule.operations].flat())
    atoms.addCondition(condition, context);
}

interface NamedRules {
  readonly http: readonly CompiledRule[];
  readonly tcp: readonly CompiledRule[];
  readonly trustDomains: readonly string[];
}

/** Of lists that are asked about in many spaces, what they name is found once. */
const NAMED = new WeakMap<readonly NamedRules[], Atoms>();

export function addQuestions(atoms: Atoms, questions: readonly NamedRules[]): void {
  let named = NAMED.get(questions);
  if (named === undefined) {
    named = new Atoms();
    for (const { http, tcp, trustDomains } of questions)
      for (const rule of [...http, ...tcp]) addRule(named, rule, trustDomains);
    NAMED.set(questions, named);
  }
  atoms.addAll(named);
}

function addAudiences(atoms: Atoms, audiences: ReadonlySet<string>): void {
  if (audiences.size === 0) return;
  const aspect = claim("[aud]");
  atoms.aspects.set(aspect.id, aspect);
  for (const audience of audiences) {
    for (const scheme of ["", "http://", "https://"])
      for (const slash of ["", "/"]) atoms.textsOf(aspect.id).exact.add(scheme + audience + slash);
  }
}
