/** Judges records by the policies of a mesh, and says who called. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { compileAmbient } from "../../policy/ambient/ambient-policy.ts";
import { compileInbound, type Semantics } from "../../policy/inbound.ts";
import { authorizationCache } from "../../policy/path/compiled-policies.ts";
import type { ServerFlow } from "./flow-reading.ts";
import { AmbientRecordJudge } from "./judge-ambient-record.ts";
import { type FlowJudge, type JudgedRecord, RecordJudge } from "./judge-record.ts";

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
  readonly #subjects = new Map<string, FlowJudge>();

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
    const subject = this.#subjectOf(flow.workload);
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

  #subjectOf(key: string): FlowJudge | undefined {
    const known = this.#subjects.get(key);
    if (known !== undefined) return known;
    const workload = this.#workloads.get(key);
    if (workload === undefined) return undefined;
    const made = this.#judgeOf(workload);
    this.#subjects.set(key, made);
    return made;
  }

  #judgeOf(workload: Workload): FlowJudge {
    const semantics = this.#semantics;
    if (workload.role === "application" && workload.dataplane === "ambient")
      return new AmbientRecordJudge(this.#mesh, compileAmbient(this.#mesh, workload, { semantics }));
    const cache = authorizationCache(this.#mesh);
    return new RecordJudge(compileInbound(this.#mesh, workload, { semantics, cache }));
  }
}
