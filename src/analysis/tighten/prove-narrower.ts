/** Whether a server lets through nothing that it did not before, over all requests; and what it does no more. */

import type { Mesh, Workload } from "../../model/mesh.ts";
import { AuthorizationCache } from "../../policy/authorization-cache.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import type { AccessRequest } from "../../policy/path/access-request.ts";
import { KnownCallers } from "../diff/known-callers.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { witnessRequest } from "../diff/witness-request.ts";
import { ambientServer } from "../space/ambient-server.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import { Complexity } from "../space/complexity.ts";
import { describeCells, describeRegion, type Saying } from "../space/describe.ts";
import { type Diagram, NO, type Operation, type Outcome, YES } from "../space/diagram.ts";
import { ABSENT, type TextDimension } from "../space/dimension.ts";
import { coverWithRegions, diagramOf } from "../space/regions.ts";
import { type AnalysedServer, ASKS, ServerSpace } from "../space/server-space.ts";
import { witnessOf } from "../space/witness.ts";

/** Requests that are let through today, and would not be, of callers that lose the same. */
export interface LostAccess {
  /** Identities of workloads of the mesh, without `spiffe://`. */
  readonly callers: readonly string[];
  /** Who else, in words; absent for nobody. */
  readonly others?: string;
  /** How they would have to ask, in words: what is not named is open. */
  readonly requests: readonly Saying[];
  readonly witness: AccessRequest;
}

export type Proof =
  | { readonly kind: "narrower"; readonly lost: readonly LostAccess[]; readonly isAll: boolean }
  | { readonly kind: "wider"; readonly witness: AccessRequest }
  | { readonly kind: "unproven"; readonly why: string };

/** Regions of what some callers lose that are told. */
const TOLD_REGIONS = 3;

export class NarrowerProofs {
  readonly #before: Mesh;
  readonly #semantics: Semantics;
  readonly #known = new Map<string, Proof>();
  readonly #callers: KnownCallers;
  readonly #principals: readonly string[];
  readonly #cache = new AuthorizationCache();
  readonly #complexity = new Complexity();
  #after: Mesh | undefined = undefined;
  #counterparts: ReadonlyMap<string, Workload> = new Map();

  constructor(before: Mesh, semantics: Semantics) {
    this.#before = before;
    this.#semantics = semantics;
    this.#callers = new KnownCallers([before]);
    this.#principals = [
      ...new Set(before.workloads.map(({ spiffeId }) => spiffeId.slice("spiffe://".length))),
    ];
  }

  /** Undefined: nothing has changed for the workload. Workloads with equal policies before and after are compared once. */
  of(workload: Workload, after: Mesh): Proof | undefined {
    const changed = this.#counterpart(workload, after);
    const [old, now] = [serverFacts(this.#before, workload).text, serverFacts(after, changed).text];
    if (old === now) return undefined;
    const key = `${old}\n\n${now}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const proof = this.#prove(workload, changed, after);
    this.#known.set(key, proof);
    return proof;
  }

  /** INVARIANT: what is asked of a mesh is asked of its own workload; what is known of one is kept by it. */
  #counterpart(workload: Workload, after: Mesh): Workload {
    if (this.#after !== after) {
      this.#after = after;
      this.#counterparts = new Map(after.workloads.map((own) => [nameOf(own), own]));
    }
    const own = this.#counterparts.get(nameOf(workload));
    if (own === undefined) throw new Error(`BUG: ${workload.key} is gone from the mesh that is proposed`);
    return own;
  }

  #prove(workload: Workload, changed: Workload, after: Mesh): Proof {
    if (workload.role !== "application")
      return { kind: "unproven", why: `a ${workload.role}'s own listeners are not analysed` };
    const old = this.#compile(this.#before, workload, this.#cache);
    return this.compare(old, this.#compile(after, changed), workload.key);
  }

  /** @param name of the server, for examples. */
  compare(before: AnalysedServer, after: AnalysedServer, name: string): Proof {
    try {
      return this.#complexity.of([before, after], () => this.#compare(before, after, name));
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      return { kind: "unproven", why: error.message };
    }
  }

  #compile(mesh: Mesh, workload: Workload, cache?: AuthorizationCache): AnalysedServer {
    if (workload.dataplane === "ambient") return ambientServer(mesh, workload, this.#semantics);
    return compileInbound(mesh, workload, {
      semantics: this.#semantics,
      ...(cache === undefined ? {} : { cache }),
    });
  }

  #compare(before: AnalysedServer, after: AnalysedServer, key: string): Proof {
    const space = new ServerSpace([before, after]);
    const { diagrams } = space;
    const [old, now] = [space.outcomes(before), space.outcomes(after)];
    const wider = diagrams.apply(EXCEEDS, now, old);
    if (wider !== NO) return { kind: "wider", witness: this.#witness(space, wider, key) };
    return { kind: "narrower", ...this.#lost(space, diagrams.apply(EXCEEDS, old, now), key) };
  }

  /** Callers that lose the same stand together: people read by who is concerned. */
  #lost(
    space: ServerSpace,
    set: Diagram,
    key: string,
  ): { readonly lost: readonly LostAccess[]; readonly isAll: boolean } {
    const { diagrams, dimensions } = space;
    const place = dimensions.findIndex(({ kind }) => kind === "identity");
    const dimension = dimensions[place];
    if (set === NO || dimension?.kind !== "identity") return { lost: [], isAll: set === NO };
    const byLoss = new Map<Diagram, number[]>();
    for (let cell = 0; cell < dimension.size; cell++) {
      const loss = diagrams.given(set, place, cell);
      if (loss !== NO) byLoss.set(loss, [...(byLoss.get(loss) ?? []), cell]);
    }
    const callers = this.#callersOf(dimension);
    const lost: LostAccess[] = [];
    let isAll = true;
    for (const [loss, cells] of byLoss) {
      const { regions, rest } = coverWithRegions(diagrams, loss, space.requests, TOLD_REGIONS);
      if (rest !== NO) isAll = false;
      const known = cells.flatMap((cell) => callers.get(cell) ?? []);
      const unnamed = new Set(cells.filter((cell) => !isOneName(dimension, cell)));
      const others = unnamed.size === 0 ? {} : { others: describeCells(dimension, unnamed) };
      for (const region of regions) {
        const own = diagrams.and(set, diagramOf(diagrams, new Map([...region, [place, new Set(cells)]])));
        // A region may be of requests that only other callers can make.
        if (own === NO) continue;
        const requests = describeRegion(dimensions, region);
        lost.push({
          callers: known.toSorted(),
          ...others,
          requests,
          witness: this.#witness(space, own, key),
        });
      }
    }
    return { lost, isAll };
  }

  /** Of each cell, the identities of workloads that are in it. */
  #callersOf({ texts }: TextDimension): ReadonlyMap<number, readonly string[]> {
    const callers = new Map<number, string[]>();
    for (const principal of this.#principals) {
      const cell = texts.cellOf(`spiffe://${principal}`);
      if (cell === undefined) continue;
      const known = callers.get(cell + 1);
      if (known === undefined) callers.set(cell + 1, [principal]);
      else known.push(principal);
    }
    return callers;
  }

  #witness({ diagrams, dimensions }: ServerSpace, set: Diagram, key: string): AccessRequest {
    const point = witnessOf(diagrams, dimensions, set);
    if (point === undefined) throw new Error("BUG: a set without any request");
    return witnessRequest(dimensions, this.#callers.settle(dimensions, point), key);
  }
}

function nameOf({ key, kind }: Workload): string {
  return `${key}[${kind}]`;
}

function isOneName({ texts }: TextDimension, cell: number): boolean {
  return cell !== ABSENT && texts.cells[cell - 1]?.only !== undefined;
}

/** Whether the first lets through more than the second: an answer that hangs on an authorizer is between yes and no. */
const EXCEEDS: Operation = { name: "exceeds", of: (more, less) => (rank(more) > rank(less) ? YES : NO) };

function rank(outcome: Outcome): number {
  return outcome === YES ? 2 : outcome === ASKS ? 1 : 0;
}
