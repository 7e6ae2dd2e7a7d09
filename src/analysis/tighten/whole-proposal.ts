/** All kinds of changes together: each was proven alone, and what is applied is the whole. */
import type { Mesh } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { clientChanges } from "../diff/client/client-changes.ts";
import { diffProxies } from "../diff/diff-mesh.ts";
import { networkChanges } from "../diff/network-changes.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { meshWith } from "./manifest.ts";
import type { AuthorizationProposal } from "./propose.ts";
import { NarrowerProofs } from "./prove-narrower.ts";
import type { ExtraProposal } from "./sidecars.ts";

export interface WholeProposal extends AuthorizationProposal {
  /** What the changes together would let through that is closed today: none, or nothing may be applied. */
  readonly wider: readonly string[];
  /** What of them together could not be compared with today. */
  readonly notCompared: readonly string[];
}

/** @param extras what is proposed beside AuthorizationPolicies. */
export async function wholeProposal(
  before: Mesh,
  proposal: AuthorizationProposal,
  extras: readonly ExtraProposal[],
  semantics: Semantics,
): Promise<WholeProposal> {
  const added = extras.flatMap(({ changes }) => changes);
  const untouched = [...proposal.untouched, ...extras.flatMap((extra) => extra.untouched)];
  if (added.length === 0) return { ...proposal, untouched, wider: [], notCompared: [] };
  const changes = [...proposal.changes, ...added];
  const mesh = await meshWith(before, changes);
  const found = await new WholeComparison(before, proposal.mesh, mesh, semantics).compute();
  return { ...proposal, untouched, changes, mesh, ...found };
}

class WholeComparison {
  readonly #before: Mesh;
  /** With the AuthorizationPolicies alone, of which servers' side is proven. */
  readonly #authorized: Mesh;
  readonly #after: Mesh;
  readonly #semantics: Semantics;
  readonly #wider: string[] = [];
  readonly #notCompared: string[] = [];

  constructor(before: Mesh, authorized: Mesh, after: Mesh, semantics: Semantics) {
    this.#before = before;
    this.#authorized = authorized;
    this.#after = after;
    this.#semantics = semantics;
  }

  async compute(): Promise<Pick<WholeProposal, "wider" | "notCompared">> {
    this.#servers();
    this.#compare("clients", () => {
      const { changes, notAnalysed } = clientChanges(this.#before, this.#after, { widenedOnly: true });
      for (const { workloads, why } of notAnalysed) this.#notCompared.push(`${workloads.join(", ")}: ${why}`);
      return changes;
    });
    this.#compare("network", () =>
      networkChanges(this.#before, this.#after, { widenedOnly: true }).map(({ change, connection }) => ({
        change,
        witness: connection,
      })),
    );
    await this.#proxies();
    return { wider: this.#wider, notCompared: this.#notCompared };
  }

  /** What decides at most servers is the same with the other kinds as without: their proofs hold. */
  #servers(): void {
    const proofs = new NarrowerProofs(this.#before, this.#semantics);
    const [proven, now] = [this.#authorized, this.#after].map(
      (mesh) => new Map(mesh.workloads.map((own) => [own.key, serverFacts(mesh, own).text])),
    );
    for (const workload of this.#before.workloads) {
      if (proven?.get(workload.key) === now?.get(workload.key)) continue;
      const proof = proofs.of(workload, this.#after);
      if (proof?.kind === "wider") this.#wider.push(`${workload.key}: ${JSON.stringify(proof.witness)}`);
      if (proof?.kind === "unproven") this.#notCompared.push(`${workload.key}: ${proof.why}`);
    }
  }

  #compare(
    what: string,
    compute: () => readonly { readonly change: "widened" | "narrowed"; readonly witness: object }[],
  ): void {
    try {
      for (const { change, witness } of compute())
        if (change === "widened") this.#wider.push(`${what}: ${JSON.stringify(witness)}`);
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      this.#notCompared.push(`${what}: ${error.message}`);
    }
  }

  /** Gateways and waypoints, as far as other kinds than AuthorizationPolicies change them. */
  async #proxies(): Promise<void> {
    const { changes, notAnalysed } = await diffProxies(this.#authorized, this.#after, this.#semantics);
    this.#compare("gateways and waypoints", () => changes);
    for (const { workloads, why } of notAnalysed) this.#notCompared.push(`${workloads.join(", ")}: ${why}`);
  }
}
