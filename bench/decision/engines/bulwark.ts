import { buildMesh, findWorkload } from "../../../src/model/build-mesh.ts";
import { compileInbound, decideRequest, type InboundPolicy } from "../../../src/policy/inbound.ts";
import type { Verdict } from "../../../src/policy/verdict.ts";
import { fromWire } from "../../../src/resources/wire.ts";
import type { Engine } from "../engine.ts";
import { type ParsedRequest, parsed } from "../parsed-request.ts";
import { resourcesOf } from "../resources.ts";
import type { BenchRequest, BenchRule, BenchWorkload, Rank } from "../workload.ts";

/** What the proxy itself calls for each request. */
class Bulwark implements Engine {
  readonly #policy: InboundPolicy;
  readonly #ranks: ReadonlyMap<string, Rank>;
  #prepared: readonly ParsedRequest[] = [];

  constructor(policy: InboundPolicy, rules: readonly BenchRule[]) {
    this.#policy = policy;
    this.#ranks = new Map(rules.map(({ policy: name, index }, rank) => [`${name}#${index}`, rank]));
  }

  prepare(requests: readonly BenchRequest[]): void {
    this.#prepared = requests.map(parsed);
  }

  run(): number {
    const policy = this.#policy;
    let allowed = 0;
    for (const { connection, request } of this.#prepared) {
      if (decideRequest(policy, connection, request).allowed) allowed++;
    }
    return allowed;
  }

  answer(asked: BenchRequest): Rank {
    const { connection, request } = parsed(asked);
    const { policy, rule, allowed }: Verdict = decideRequest(this.#policy, connection, request);
    if (policy === null && !allowed) return -1;
    return this.#ranks.get(`${policy?.replace("AuthorizationPolicy shop/", "")}#${rule}`) ?? Number.NaN;
  }
}

export function makeBulwark({ rules }: BenchWorkload): Engine {
  const mesh = buildMesh(fromWire(resourcesOf(rules)));
  const workload = findWorkload(mesh, "shop/orders");
  if (workload === undefined) throw new Error("the workload is missing");
  return new Bulwark(compileInbound(mesh, workload, { semantics: "strict" }), rules);
}
