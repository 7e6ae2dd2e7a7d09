/** Whether a gateway lets in nothing that it did not before: its listeners, routes and policies are asked of all that they tell apart. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { Semantics } from "../../policy/inbound.ts";
import { gatewaySide } from "../diff/proxies/gateway-side.ts";
import { journeyContext } from "../diff/proxies/passage.ts";
import { compareProxies } from "../diff/proxies/proxy-changes.ts";
import { serverFacts } from "../diff/server-facts.ts";
import { AnalysisLimit } from "../space/analysis-limit.ts";
import type { Proof } from "./prove-narrower.ts";

export class GatewayProofs {
  readonly #before: Mesh;
  readonly #semantics: Semantics;
  readonly #known = new Map<string, Proof>();
  /** Too much to tell apart with few words is no less with many. */
  readonly #limits = new Map<string, Proof>();

  constructor(before: Mesh, semantics: Semantics) {
    this.#before = before;
    this.#semantics = semantics;
  }

  /** Undefined: nothing has changed for the gateway. What it loses is not told. */
  async of(gateway: Workload, after: Mesh): Promise<Proof | undefined> {
    const changed = after.workloads.find(({ key, kind }) => key === gateway.key && kind === gateway.kind);
    if (changed === undefined) throw new Error(`BUG: ${gateway.key} is gone from the mesh that is proposed`);
    const [old, now] = [serverFacts(this.#before, gateway).text, serverFacts(after, changed).text];
    if (old === now) return undefined;
    const limit = this.#limits.get(gateway.key);
    if (limit !== undefined) return limit;
    const key = `${gateway.key}\n\n${now}`;
    const proof = this.#known.get(key) ?? (await this.#prove(gateway, changed, after));
    this.#known.set(key, proof);
    return proof;
  }

  async #prove(gateway: Workload, changed: Workload, after: Mesh): Promise<Proof> {
    const meshes = [this.#before, after] as const;
    const sides = [
      gatewaySide(journeyContext(this.#before, this.#semantics), gateway),
      gatewaySide(journeyContext(after, this.#semantics), changed),
    ] as const;
    const [unclear] = sides.flatMap((side) => side.unclear);
    if (unclear !== undefined) return { kind: "unproven", why: unclear };
    const { key: name } = gateway;
    const compared = {
      role: "gateway",
      name,
      meshes,
      sides,
      causes: [],
      semantics: this.#semantics,
    } as const;
    try {
      const [wider] = await compareProxies({ ...compared, only: "widened" });
      return wider === undefined
        ? { kind: "narrower", lost: [], isAll: false }
        : { kind: "wider", witness: wider.witness };
    } catch (error) {
      if (!(error instanceof AnalysisLimit)) throw error;
      const proof: Proof = { kind: "unproven", why: error.message };
      this.#limits.set(name, proof);
      return proof;
    }
  }
}
