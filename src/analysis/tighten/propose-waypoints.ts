/** The policies that services behind waypoints need, each proven to let through nothing that today's do not. */
import type { Mesh, Service } from "../../model/mesh.ts";
import type { AuthorizationSpec } from "../../policy/authorization-spec.ts";
import { compiledPolicies } from "../../policy/path/compiled-policies.ts";
import { waypointPolicies } from "../../policy/policy-attachment.ts";
import { resourceName } from "../../resources/resource.ts";
import { textOf } from "../diff/server-facts.ts";
import type { Evidence } from "./evidence.ts";
import { type Carry, type Grant, grantsOf } from "./grants.ts";
import { meshWith } from "./manifest.ts";
import type { AuthorizationProposal, ProposeOptions, TightenedServer } from "./propose.ts";
import { NarrowerProofs, type Proof } from "./prove-narrower.ts";
import { summaryOf } from "./server-proof.ts";
import { type WaypointPlan, waypointChanges } from "./waypoint-changes.ts";
import { type WaypointTarget, type WaypointTargets, waypointTargets } from "./waypoint-targets.ts";

/** What is tried of a service: today's rules told in few words, then in whole; then it is left alone. */
interface Attempt {
  readonly target: WaypointTarget;
  readonly carry: Carry;
}

/** @param proposal of workloads: its mesh is the one that policies of services are added to. */
export async function proposeWaypoints(
  proposal: AuthorizationProposal,
  evidence: Evidence,
  options: ProposeOptions,
): Promise<AuthorizationProposal> {
  const all = waypointTargets(proposal.mesh);
  if (all.targets.length + all.unclear.length === 0) return proposal;
  const own = new WaypointProposal(proposal.mesh, evidence, options, all);
  const { servers, changes, mesh } = await own.settle();
  return {
    servers: [...proposal.servers, ...servers],
    untouched: [...proposal.untouched, ...own.untouched],
    changes: [...proposal.changes, ...changes],
    mesh,
  };
}

class WaypointProposal {
  readonly untouched: { readonly workloads: readonly string[]; readonly why: string }[] = [];
  readonly #mesh: Mesh;
  readonly #evidence: Evidence;
  readonly #options: ProposeOptions;
  readonly #all: WaypointTargets;
  readonly #proofs: NarrowerProofs;
  readonly #specs: ReadonlyMap<string, AuthorizationSpec>;

  constructor(mesh: Mesh, evidence: Evidence, options: ProposeOptions, all: WaypointTargets) {
    this.#mesh = mesh;
    this.#evidence = evidence;
    this.#options = options;
    this.#all = all;
    this.#proofs = new NarrowerProofs(mesh, options.semantics);
    this.#specs = new Map(
      mesh.authorizationPolicies.map((own) => [resourceName(own), own.spec as unknown as AuthorizationSpec]),
    );
  }

  async settle(): Promise<Pick<AuthorizationProposal, "servers" | "changes" | "mesh">> {
    for (const { host, why } of this.#all.unclear) this.#leave(host, why);
    let attempts = this.#all.targets.flatMap((target): Attempt[] => {
      const why = this.#whyNot(target.service);
      if (why !== undefined) this.#leave(target.service.hostname, why);
      return why === undefined ? [{ target, carry: "readable" }] : [];
    });
    for (;;) {
      const plans = attempts.map(({ target, carry }) => ({ target, grants: this.#grantsOf(target, carry) }));
      const { changes, policyOf, impossible } = waypointChanges(this.#mesh, plans, this.#all);
      const mesh = impossible.size > 0 ? this.#mesh : await meshWith(this.#mesh, changes);
      const proofs = impossible.size > 0 ? new Map<WaypointPlan, Proof>() : this.#prove(plans, mesh);
      const bad = impossible.size > 0 ? impossible : this.#disturbed(plans, mesh);
      const next = plans.flatMap((plan, at) => this.#retried(attempts[at], proofs.get(plan), bad.get(plan)));
      if (next.length === attempts.length && next.every((own, at) => own === attempts[at])) {
        const servers = plans.map((plan): TightenedServer => {
          const { hostname } = plan.target.service;
          const policy = policyOf.get(plan) ?? "";
          const { grants } = plan;
          return { workloads: [hostname], policy, grants, ...summaryOf([[hostname, proofs.get(plan)]]) };
        });
        return { servers, changes, mesh };
      }
      attempts = next;
    }
  }

  #leave(host: string, why: string): void {
    this.untouched.push({ workloads: [host], why });
  }

  #whyNot({ hostname, origin, resource }: Service): string | undefined {
    const { servers, tooVaried } = this.#evidence;
    if (tooVaried.has(hostname.toLowerCase())) return "its callers ask in too many ways to be told apart";
    if (!servers.has(hostname.toLowerCase()) && this.#options.inactive === "keep")
      return "nothing was seen to reach it by its waypoint: it stays as it is";
    const { hosts = [] } = (resource.spec ?? {}) as { readonly hosts?: readonly string[] };
    return origin === "service-entry" && hosts.length > 1
      ? "its ServiceEntry has several hosts, which no policy tells apart"
      : undefined;
  }

  #grantsOf({ service }: WaypointTarget, carry: Carry): readonly Grant[] {
    const ports = this.#evidence.servers.get(service.hostname.toLowerCase()) ?? [];
    const { thresholds } = this.#options;
    return grantsOf(ports, { thresholds, carry, specOf: (policy) => this.#specs.get(policy) });
  }

  #prove(plans: readonly WaypointPlan[], after: Mesh): ReadonlyMap<WaypointPlan, Proof> {
    return new Map(
      plans.flatMap((plan) => {
        const proof = this.#proofOf(plan.target, after);
        return proof === undefined ? [] : [[plan, proof] as const];
      }),
    );
  }

  /** Undefined: nothing has changed for the service. */
  #proofOf({ service, proxy }: WaypointTarget, after: Mesh): Proof | undefined {
    const { hostname } = service;
    const own = after.services.find(
      (one) => one.hostname === hostname && one.namespace === service.namespace,
    );
    const pods = after.workloads.find(({ key }) => key === proxy.key);
    if (own === undefined || pods === undefined) throw new Error(`BUG: ${hostname} or its waypoint is gone`);
    const text = (mesh: Mesh, at: Service): string =>
      waypointPolicies(mesh.authorizationPolicies, proxy, at, mesh.config.rootNamespace).map(textOf).join();
    if (text(this.#mesh, service) === text(after, own)) return undefined;
    const { semantics } = this.#options;
    const before = compiledPolicies(this.#mesh, semantics).waypoint(proxy).service(service).inbound;
    const now = compiledPolicies(after, semantics).waypoint(pods).service(own).inbound;
    return this.#proofs.compare(before, now, hostname);
  }

  /** Services that no plan is for have to be as before: where one is not, the plans at its waypoint are to blame. */
  #disturbed(plans: readonly WaypointPlan[], after: Mesh): ReadonlyMap<WaypointPlan, string> {
    const planned = new Set(plans.map(({ target }) => target));
    const found = new Map<WaypointPlan, string>();
    for (const target of this.#all.targets) {
      if (planned.has(target)) continue;
      const proof = this.#proofOf(target, after);
      // Where it is not analysed its rules are the same by construction.
      if (proof === undefined || proof.kind === "unproven") continue;
      if (proof.kind === "narrower" && proof.lost.length === 0) continue;
      const why = `its policies hold for ${target.service.hostname} too, for which nothing may change`;
      const near = plans.filter((plan) => plan.target.waypoint === target.waypoint);
      for (const plan of near.length > 0 ? near : plans) found.set(plan, why);
    }
    return found;
  }

  #retried(
    attempt: Attempt | undefined,
    proof: Proof | undefined,
    bad: string | undefined,
  ): readonly Attempt[] {
    if (attempt === undefined) return [];
    const isNarrower = proof === undefined || proof.kind === "narrower";
    if (bad === undefined && attempt.carry === "readable" && !isNarrower)
      return [{ ...attempt, carry: "whole" }];
    const wider = proof?.kind === "wider" ? whyWider(proof) : undefined;
    const why = bad ?? wider;
    if (why === undefined) return [attempt];
    this.#leave(attempt.target.service.hostname, why);
    return [];
  }
}

function whyWider({ witness }: Extract<Proof, { kind: "wider" }>): string {
  return `what was seen cannot be written without letting through what is refused today: ${JSON.stringify(witness)}`;
}
