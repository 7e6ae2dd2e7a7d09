import type { Mesh, Workload } from "../../model/mesh.ts";
import { compileJwtPolicy, compileJwtRules } from "../../policy/jwt/compile-jwt.ts";
import type { JwtPolicy } from "../../policy/jwt/jwt-policy.ts";
import type { KeySource } from "../../policy/jwt/key-source.ts";

/** Sources of keys that a proxy needs, by workload (`namespace/name`). Workloads that need none are not in it. */
export type NeededSources = ReadonlyMap<string, readonly KeySource[]>;

/** @param workloads those that have a proxy: for the others nothing needs to be fetched. */
export function neededSources(mesh: Mesh, workloads: ReadonlySet<string>): NeededSources {
  if (mesh.requestAuthentications.length === 0) return new Map();
  const needed = mesh.workloads
    .filter(({ key }) => workloads.has(key))
    .map((workload) => {
      const rules = policyOf(mesh, workload)?.rules ?? [];
      const sources = rules.flatMap(({ keySource }) => keySource ?? []);
      return [workload.key, sources] as const;
    });
  return new Map(needed.filter(([, sources]) => sources.length > 0));
}

/** A waypoint holds what is meant for the services behind it. Which those are changes with their labels; keys are public, so it may have those of all of them. */
function policyOf(mesh: Mesh, workload: Workload): JwtPolicy | null {
  if (workload.role !== "waypoint") return compileJwtPolicy(mesh, workload);
  return compileJwtRules(
    mesh.requestAuthentications.filter(({ spec }) => {
      const { targetRef, targetRefs = [] } = spec as {
        readonly targetRef?: unknown;
        readonly targetRefs?: readonly unknown[];
      };
      return targetRef !== undefined || targetRefs.length > 0;
    }),
  );
}
