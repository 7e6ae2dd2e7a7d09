/** Claims on the cluster below the mesh: shown where the files are all of what they speak of, and not where they are a part of it. */
import { COMPONENTS, components } from "../../audit/facts/component-flags.ts";
import { type ClaimEvidence, type ClaimInput, findingLines, type Judge, notShown } from "../claim.ts";

const RBAC = "rbac.authorization.k8s.io";

/**
 * Every API server makes this binding when it starts: files that have it were read from a cluster. Without it they are what somebody
 * adds to one, beside bindings that nobody sees.
 */
const BOOTSTRAP = "cluster-admin";

/** @param judge of bindings or roles, whatever it says of those that there are */
export function ofTheCluster(judge: Judge): Judge {
  return (input) => {
    const said = judge(input);
    if (said.status !== "shown") return said;
    const isWhole = input.audit.of(RBAC, "ClusterRoleBinding").some(({ name }) => name === BOOTSTRAP);
    return isWhole
      ? said
      : notShown(
          `the files have not the cluster's own bindings (ClusterRoleBinding \`${BOOTSTRAP}\`), so that there are others which they do not have`,
          ...said.evidence,
        );
  };
}

export function componentsHardened({ audit, findings }: ClaimInput): ClaimEvidence {
  if (findings.length > 0) return { status: "refuted", evidence: findingLines(findings) };
  const there = new Set<string>(audit.fact(components).map(({ name }) => name));
  if (audit.every("kubelet.config.k8s.io", "KubeletConfiguration").length > 0) there.add("kubelet");
  const missing = COMPONENTS.filter((name) => !there.has(name));
  return missing.length > 0
    ? notShown(`the files do not have ${missing.join(", ")}: how they run is not seen`)
    : { status: "shown", evidence: [`nothing found of ${COMPONENTS.join(", ")}`] };
}
