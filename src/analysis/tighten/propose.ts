/** From evidence to the policies that it needs, each proven to let through nothing that today's do not. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { AuthorizationSpec } from "../../policy/authorization-spec.ts";
import type { Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { asWaypoint } from "../../policy/waypoint/waypoints.ts";
import { resourceName } from "../../resources/resource.ts";
import { type AuthorizationChanges, authorizationChanges, type GroupPlan } from "./authorization-changes.ts";
import type { Evidence, PortEvidence } from "./evidence.ts";
import { type Carry, type Grant, grantsOf } from "./grants.ts";
import { meshWith, type ResourceChange } from "./manifest.ts";
import type { PathThresholds } from "./path-thresholds.ts";
import { PodsUnread } from "./pods-unread.ts";
import { proposeWaypoints } from "./propose-waypoints.ts";
import { GatewayProofs } from "./prove-gateway.ts";
import { NarrowerProofs, type Proof } from "./prove-narrower.ts";
import { type SelectorGroup, selectorGroups } from "./selector-groups.ts";
import { type ServerLoss, type ServerProof, summaryOf } from "./server-proof.ts";
import { unrecordedWaypoints } from "./unrecorded-hops.ts";

export interface ProposeOptions {
  readonly semantics: Semantics;
  readonly thresholds: PathThresholds;
  /** What becomes of workloads that nothing was seen to reach: left as they are, or closed. */
  readonly inactive: "keep" | "close";
}

/** What some workloads, which one selector selects, are left with. */
export interface TightenedServer {
  readonly workloads: readonly string[];
  /** `AuthorizationPolicy namespace/name` */
  readonly policy: string;
  readonly grants: readonly Grant[];
  readonly proof: ServerProof;
  readonly lost: readonly ServerLoss[];
  /** Whether all that is lost is told. */
  readonly isLostAll: boolean;
}

export interface AuthorizationProposal {
  readonly servers: readonly TightenedServer[];
  readonly untouched: readonly { readonly workloads: readonly string[]; readonly why: string }[];
  readonly changes: readonly ResourceChange[];
  /** As it would be. */
  readonly mesh: Mesh;
}

/** What is tried of a group: today's rules told in few words, then in whole; then it is left alone. */
interface Attempt {
  readonly group: SelectorGroup;
  readonly carry: Carry;
}

export async function proposeAuthorization(
  mesh: Mesh,
  evidence: Evidence,
  options: ProposeOptions,
): Promise<AuthorizationProposal> {
  const { groups, unselectable } = selectorGroups(mesh);
  const reasons = new Map<SelectorGroup, string>();
  const proposal = new Proposal(mesh, evidence, options, groups);
  for (const workload of unselectable)
    if (evidence.servers.has(workload.key)) proposal.leave([workload.key], NO_SELECTOR);
  // A waypoint's own pods are the subject of no policy: services behind it are.
  const unrecorded = unrecordedWaypoints(mesh, evidence);
  const served = groups.filter(({ workloads }) =>
    workloads.some((own) => asWaypoint(mesh, own) === undefined),
  );
  let attempts: readonly Attempt[] = served.flatMap((group): Attempt[] => {
    const why = whyNot(mesh, group, evidence, options) ?? whyUnrecorded(group, unrecorded);
    if (why !== undefined) reasons.set(group, why);
    return why === undefined ? [{ group, carry: "readable" }] : [];
  });
  for (const [{ workloads }, why] of reasons) proposal.leave(keysOf(workloads), why);
  for (;;) {
    const outcome = await proposal.attempt(attempts);
    if (outcome.kind === "done") return proposeWaypoints(outcome.proposal, evidence, options);
    attempts = outcome.next;
  }
}

const NO_SELECTOR = "no selector tells its labels from those of other workloads";

function whyNot(
  mesh: Mesh,
  { workloads }: SelectorGroup,
  evidence: Evidence,
  { inactive }: ProposeOptions,
): string | undefined {
  const isSeen = workloads.some(({ key }) => evidence.servers.has(key));
  const odd = workloads.flatMap((workload) => oddity(mesh, workload) ?? [])[0];
  if (odd !== undefined) return odd;
  if (new Set(workloads.map(({ dataplane }) => dataplane)).size > 1)
    return "its labels are those of workloads behind sidecars and in ambient mode alike, and ztunnel takes no rules about requests";
  const varied = workloads.find(({ key }) => evidence.tooVaried.has(key));
  if (varied !== undefined) return "its callers ask in too many ways to be told apart";
  if (!isSeen && inactive === "keep") return "nothing was seen to reach it: it stays as it is";
  return undefined;
}

function whyUnrecorded(
  { workloads }: SelectorGroup,
  unrecorded: ReadonlyMap<string, string>,
): string | undefined {
  const [found] = workloads.flatMap(({ key }) => unrecorded.get(key) ?? []);
  return found === undefined
    ? undefined
    : `${found} let pass what is for it, as its own records do not tell: they are not whole`;
}

function oddity(mesh: Mesh, workload: Workload): string | undefined {
  const { role, dataplane } = workload;
  if (dataplane === "none" && role !== "gateway")
    return "no proxy stands before it: AuthorizationPolicies hold for nobody there";
  if (asWaypoint(mesh, workload) !== undefined) return "its labels are those of a waypoint, too";
  return undefined;
}

function keysOf(workloads: readonly Workload[]): readonly string[] {
  return workloads.map(({ key }) => key);
}

type Outcome =
  | { readonly kind: "done"; readonly proposal: AuthorizationProposal }
  | { readonly kind: "again"; readonly next: readonly Attempt[] };

class Proposal {
  readonly #mesh: Mesh;
  readonly #evidence: Evidence;
  readonly #options: ProposeOptions;
  readonly #groups: readonly SelectorGroup[];
  readonly #proofs: NarrowerProofs;
  readonly #gateways: GatewayProofs;
  readonly #unread: PodsUnread;
  /** Of the mesh that is tried. */
  #ofGateways: ReadonlyMap<Workload, Proof> = new Map();
  readonly #specs: ReadonlyMap<string, AuthorizationSpec>;
  readonly #grants = new Map<string, readonly Grant[]>();
  readonly #untouched: { readonly workloads: readonly string[]; readonly why: string }[] = [];

  constructor(mesh: Mesh, evidence: Evidence, options: ProposeOptions, groups: readonly SelectorGroup[]) {
    this.#mesh = mesh;
    this.#evidence = evidence;
    this.#options = options;
    this.#groups = groups;
    this.#proofs = new NarrowerProofs(mesh, options.semantics);
    this.#gateways = new GatewayProofs(mesh, options.semantics);
    this.#unread = new PodsUnread(mesh, evidence.unknown);
    this.#specs = new Map(
      mesh.authorizationPolicies.map((policy) => [
        resourceName(policy),
        policy.spec as unknown as AuthorizationSpec,
      ]),
    );
    for (const ports of evidence.servers.values()) for (const { paths } of ports.values()) paths.generalise();
  }

  leave(workloads: readonly string[], why: string): void {
    this.#untouched.push({ workloads, why });
  }

  async attempt(attempts: readonly Attempt[]): Promise<Outcome> {
    const plans = attempts.map(
      ({ group, carry }): GroupPlan => ({ group, grants: this.#grantsOf(group, carry) }),
    );
    const proposed = authorizationChanges(this.#mesh, plans, this.#groups, this.#unread);
    const attemptOf = new Map(plans.map((plan, at) => [plan, attempts[at]]));
    if (proposed.impossible.size > 0) {
      for (const [{ group }, why] of proposed.impossible) this.leave(keysOf(group.workloads), why);
      return {
        kind: "again",
        next: plans.flatMap((plan) => (proposed.impossible.has(plan) ? [] : (attemptOf.get(plan) ?? []))),
      };
    }
    const after = await meshWith(this.#mesh, proposed.changes);
    await this.#proveGateways(plans, after);
    const wider = this.#widerPlans(plans, after);
    const unproven = this.#unprovenPlans(plans, after);
    const others = this.#disturbed(plans, after);
    const next = plans.flatMap((plan): Attempt[] => {
      const attempt = attemptOf.get(plan);
      if (attempt === undefined) return [];
      const isReadable = attempt.carry === "readable";
      // What cannot be proven is not told in fewer words than today's rules are.
      if (isReadable && (wider.has(plan) || unproven.has(plan))) return [{ ...attempt, carry: "whole" }];
      const why = wider.get(plan) ?? others.get(plan);
      if (why === undefined) return [attempt];
      this.leave(keysOf(plan.group.workloads), why);
      return [];
    });
    const isSame = next.length === attempts.length && next.every((attempt, at) => attempt === attempts[at]);
    return isSame
      ? { kind: "done", proposal: this.#finish(plans, proposed, after) }
      : { kind: "again", next };
  }

  #grantsOf(group: SelectorGroup, carry: Carry): readonly Grant[] {
    const key = `${carry} ${group.workloads[0]?.key}`;
    const known = this.#grants.get(key);
    if (known !== undefined) return known;
    const ports = group.workloads.flatMap((workload): (readonly [number, PortEvidence])[] => [
      ...(this.#evidence.servers.get(workload.key) ?? []),
    ]);
    const { thresholds } = this.#options;
    const made = grantsOf(ports, { thresholds, carry, specOf: (policy) => this.#specs.get(policy) });
    this.#grants.set(key, made);
    return made;
  }

  async #proveGateways(plans: readonly GroupPlan[], after: Mesh): Promise<void> {
    const proofs = new Map<Workload, Proof>();
    for (const workload of plans.flatMap(({ group }) => group.workloads)) {
      const proof = workload.role === "gateway" ? await this.#gateways.of(workload, after) : undefined;
      if (proof !== undefined) proofs.set(workload, proof);
    }
    this.#ofGateways = proofs;
  }

  #proofOf(workload: Workload, after: Mesh): Proof | undefined {
    return this.#ofGateways.get(workload) ?? this.#proofs.of(workload, after);
  }

  #widerPlans(plans: readonly GroupPlan[], after: Mesh): ReadonlyMap<GroupPlan, string> {
    const found = new Map<GroupPlan, string>();
    for (const plan of plans)
      for (const workload of plan.group.workloads) {
        const proof = this.#proofOf(workload, after);
        if (proof?.kind === "wider") found.set(plan, whyWider(proof.witness));
      }
    return found;
  }

  #unprovenPlans(plans: readonly GroupPlan[], after: Mesh): ReadonlySet<GroupPlan> {
    const isUnproven = ({ group }: GroupPlan): boolean =>
      group.workloads.some((workload) => this.#proofOf(workload, after)?.kind === "unproven");
    return new Set(plans.filter(isUnproven));
  }

  /** Workloads that no plan is for have to be as before: where one is not, the plans that share its policies are to blame. */
  #disturbed(plans: readonly GroupPlan[], after: Mesh): ReadonlyMap<GroupPlan, string> {
    const planned = new Set(plans.flatMap(({ group }) => group.workloads));
    const found = new Map<GroupPlan, string>();
    for (const workload of this.#mesh.workloads) {
      if (planned.has(workload)) continue;
      const proof = this.#proofOf(workload, after);
      if (proof === undefined || (proof.kind === "narrower" && proof.lost.length === 0)) continue;
      // By construction its rules are the same.
      if (proof.kind === "unproven") continue;
      const near = plans.filter(({ group }) => group.namespace === workload.namespace);
      for (const plan of near.length > 0 ? near : plans)
        found.set(plan, `its policies hold for ${workload.key} too, for which nothing may change`);
    }
    return found;
  }

  #finish(
    plans: readonly GroupPlan[],
    { changes, policyOf }: AuthorizationChanges,
    mesh: Mesh,
  ): AuthorizationProposal {
    const servers = plans.map(
      (plan): TightenedServer => ({
        workloads: keysOf(plan.group.workloads),
        policy: policyOf.get(plan) ?? "",
        grants: plan.grants,
        ...summaryOf(plan.group.workloads.map((workload) => [workload.key, this.#proofOf(workload, mesh)])),
      }),
    );
    return { servers, untouched: this.#untouched, changes, mesh };
  }
}

function whyWider(witness: AccessRequest): string {
  return `what was seen cannot be written without letting through what is refused today: ${JSON.stringify(witness)}`;
}
