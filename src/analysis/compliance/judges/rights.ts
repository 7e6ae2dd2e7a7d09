/** What RBAC gives in the whole cluster, and to whom. */
import { boundRights, type RbacSubject } from "../../audit/facts/bound-rights.ts";
import type { RightKind } from "../../blast/rbac-rights.ts";
import { type Judge, judged, shortened } from "../claim.ts";
import { ofTheCluster } from "./cluster.ts";

/**
 * Bindings in the files, whoever runs as their subjects; Kubernetes' own and Istio's control plane apart.
 * @param kinds undefined: any right that leads to others
 */
export function withoutRights(
  kinds: readonly RightKind[] | undefined,
  isAbout: (subject: RbacSubject) => boolean = () => true,
): Judge {
  return ofTheCluster(({ audit }) => {
    const bindings = audit.fact(boundRights);
    const wrong = bindings.flatMap(({ binding, others, rights }) => {
      const right = rights.find(
        ({ kind, scope }) =>
          scope.names.length === 0 &&
          (kinds?.includes(kind) ?? true) &&
          (kinds === undefined || scope.namespace === null),
      );
      const subject = others.find(isAbout);
      if (right === undefined || subject === undefined) return [];
      const { file, line } = binding.locate(["metadata", "name"]);
      return [
        `${binding.kind} ${binding.name}: ${subject.kind} ${subject.name} may ${right.text} (${file}:${line})`,
      ];
    });
    return judged(
      bindings.length,
      shortened(wrong),
      `none of ${bindings.length} bindings of RBAC does`,
      "the files have no binding of RBAC",
    );
  });
}
