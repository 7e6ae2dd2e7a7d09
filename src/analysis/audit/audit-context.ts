/** What rules look at: the mesh as it was compiled, and whatever more than one of them needs, worked out once. */
import type { Mesh } from "../../model/mesh.ts";
import type { RejectedResource } from "../../resources/load.ts";
import type { Resource } from "../../resources/resource.ts";
import { apiGroup } from "../../resources/scope.ts";

/** What a mesh does not say of itself. */
export interface AuditSettings {
  /** Milliseconds since the epoch: certificates, suppressions and advisories are judged by it. */
  readonly now: number;
}

export class AuditContext {
  readonly mesh: Mesh;
  /** Resources that take no part, which is why they are in none of the lists. */
  readonly rejected: readonly RejectedResource[];
  readonly settings: AuditSettings;
  readonly #facts = new Map<unknown, unknown>();

  constructor(mesh: Mesh, rejected: readonly RejectedResource[], settings: AuditSettings) {
    this.mesh = mesh;
    this.rejected = rejected;
    this.settings = settings;
  }

  /** Every resource of the kind. @param group `networking.istio.io`; empty for Kubernetes' core. */
  of<Spec = Readonly<Record<string, unknown>>>(group: string, kind: string): readonly Resource<Spec>[] {
    const all = this.fact(resourcesByKind).get(`${group}/${kind}`) ?? [];
    return all as readonly Resource<Spec>[];
  }

  /** What `work` makes of this audit, made once, whoever asks: `work` itself is the key, so it must be a named function of a module. */
  fact<T>(work: (audit: AuditContext) => T): T {
    if (!this.#facts.has(work)) this.#facts.set(work, work(this));
    return this.#facts.get(work) as T;
  }
}

function resourcesByKind({ mesh }: AuditContext): ReadonlyMap<string, readonly Resource[]> {
  return Map.groupBy(mesh.resources, ({ apiVersion, kind }) => `${apiGroup(apiVersion)}/${kind}`);
}
