import type { Mesh } from "../../model/mesh.ts";
import { compileJwtPolicy } from "../../policy/jwt/compile-jwt.ts";
import type { KeySource } from "../../policy/jwt/key-source.ts";

/** Sources of keys that a proxy needs, by workload (`namespace/name`). Workloads that need none are not in it. */
export type NeededSources = ReadonlyMap<string, readonly KeySource[]>;

/** @param workloads those that have a proxy: for the others nothing needs to be fetched. */
export function neededSources(mesh: Mesh, workloads: ReadonlySet<string>): NeededSources {
  if (mesh.requestAuthentications.length === 0) return new Map();
  const needed = mesh.workloads
    .filter(({ key }) => workloads.has(key))
    .map((workload) => {
      const rules = compileJwtPolicy(mesh, workload)?.rules ?? [];
      const sources = rules.flatMap(({ keySource }) => keySource ?? []);
      return [workload.key, sources] as const;
    });
  return new Map(needed.filter(([, sources]) => sources.length > 0));
}
