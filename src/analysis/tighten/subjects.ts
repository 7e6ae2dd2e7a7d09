/** Judges records by the policies of a mesh, and says who called. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { compileAmbient } from "../../policy/ambient/ambient-policy.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import { authorizationCache, compiledPolicies, meshDirectory } from "../../policy/path/compiled-policies.ts";
import { type ServerFlow, subjectOf } from "./flow-reading.ts";
import { AmbientRecordJudge } from "./judge-ambient-record.ts";
import { type FlowJudge, type JudgedRecord, RecordJudge } from "./judge-record.ts";
import { waypointTarget } from "./waypoint-targets.ts";

/** A server's record beside the policies that decided. */
export interface Seen {
  readonly record: JudgedRecord;
  /** Whether the caller is somebody whom the files know. */
  readonly isKnown: boolean;
  /** `namespace/name` of the calling workload, where its identity is one workload's alone. */
  readonly caller: string | undefined;
  readonly isGateway: boolean;
}

export class Subjects {
  readonly #mesh: Mesh;
  readonly #semantics: Semantics;
  readonly #workloads: ReadonlyMap<string, Workload>;
  /** Null: of several workloads. */
  readonly #callers = new Map<string, string | null>();
  readonly #subjects = new Map<string, { readonly judge: FlowJudge; readonly of: string }>();

  constructor(mesh: Mesh, semantics: Semantics) {
    this.#mesh = mesh;
    this.#semantics = semantics;
    this.#workloads = new Map(mesh.workloads.map((workload) => [workload.key, workload]));
    for (const { spiffeId, key } of mesh.workloads) {
      const principal = spiffeId.slice("spiffe://".length);
      this.#callers.set(principal, this.#callers.has(principal) ? null : key);
    }
  }

  /** Undefined for what no proxy takes for a request, and for workloads that the mesh does not have. */
  see(flow: ServerFlow): Seen | undefined {
    const subject = this.#judgeFor(flow);
    const record = subject?.judge(flow);
    if (subject === undefined || record === undefined) return undefined;
    const { principal } = flow.caller;
    const caller = principal === null ? undefined : this.#callers.get(principal);
    return {
      record,
      isKnown: principal !== null && (caller !== undefined || subject.named.has(principal)),
      caller: caller ?? undefined,
      isGateway: subject.isGateway,
    };
  }

  #judgeFor(flow: ServerFlow): FlowJudge | undefined {
    const key = subjectOf(flow);
    const known = this.#subjects.get(key);
    if (known !== undefined) return known.of === flow.workload ? known.judge : undefined;
    const workload = this.#workloads.get(flow.workload);
    const judge =
      workload === undefined
        ? undefined
        : flow.service === undefined
          ? this.#judgeOf(workload)
          : this.#judgeOfService(flow.service, workload);
    if (judge !== undefined) this.#subjects.set(key, { judge, of: flow.workload });
    return judge;
  }

  /** Undefined where the waypoint does not stand before the service today. */
  #judgeOfService(host: string, { key }: Workload): FlowJudge | undefined {
    const service = meshDirectory(this.#mesh).services.get(host);
    const target = service === undefined ? undefined : waypointTarget(this.#mesh, service);
    if (target === undefined || typeof target === "string" || target.proxy.key !== key) return undefined;
    const waypoint = compiledPolicies(this.#mesh, this.#semantics).waypoint(target.proxy);
    return new RecordJudge(waypoint.service(target.service).inbound);
  }

  #judgeOf(workload: Workload): FlowJudge {
    const semantics = this.#semantics;
    if (workload.role === "application" && workload.dataplane === "ambient")
      return new AmbientRecordJudge(this.#mesh, compileAmbient(this.#mesh, workload, { semantics }));
    const cache = authorizationCache(this.#mesh);
    return new RecordJudge(compileInbound(this.#mesh, workload, { semantics, cache }));
  }
}
