import { CAPTURE_ANNOTATIONS } from "../../../model/traffic-capture.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, podsOf } from "../facts/pods.ts";
import { podsInMesh } from "../facts/pods-in-mesh.ts";
import type { FindingSeverity, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const captureExcluded: AuditRule = {
  id: "BW0810",
  title: "Traffic that a pod's annotations keep away from its proxy",
  severity: "medium",
  attacks: ["M12", "E1"],
  what: "Annotations `traffic.sidecar.istio.io/exclude…` and `include…` of pods in the mesh that leave something out: ports of the application for what comes in (`high`), ports or ranges of addresses for what goes out (`medium`); `excludeInterfaces`, and `sidecar.istio.io/interceptionMode: NONE`, which captures nothing at all (`high`). `*`, an empty exclusion, and exclusions of the proxy's own ports (15020, 15021, 15090) are not told; nor are pods in ambient mode, where nobody reads them.",
  why: "At an excluded port nobody is asked: no mutual TLS, no policy, no record, whatever PeerAuthentication and AuthorizationPolicy say. Where what goes out is excluded, the application reaches these addresses past every rule, and unseen.",
  fix: "Take the annotation away. For a port that has to take plaintext, use `portLevelMtls` and an AuthorizationPolicy; for an external host, a ServiceEntry.",
  claims: ["captured"],
  check: excluded,
};

const OWN_PORTS = new Set(["15000", "15001", "15006", "15008", "15020", "15021", "15090"]);

const INTERCEPTION = "sidecar.istio.io/interceptionMode";
/** Interfaces at which nothing is captured, in or out. */
const INTERFACES = "traffic.sidecar.istio.io/excludeInterfaces";

function* excluded(audit: AuditContext): Iterable<Hit> {
  const inMesh = new Set([...audit.fact(podsInMesh).values()].flat());
  const ambient = new Set(
    audit.mesh.workloads.filter(({ dataplane }) => dataplane === "ambient").map(({ resource }) => resource),
  );
  for (const pod of audit.fact(podsOf)) {
    if (!inMesh.has(pod) || ambient.has(pod.resource)) continue;
    yield* withoutInterception(pod);
    for (const [field, name] of Object.entries({ ...CAPTURE_ANNOTATIONS, excludeInterfaces: INTERFACES })) {
      const value = pod.annotations[name];
      if (value === undefined || !leavesOut(field, value)) continue;
      const severity: FindingSeverity = field.includes("Inbound") || name === INTERFACES ? "high" : "medium";
      yield {
        resource: pod.resource,
        path: [...pod.at.slice(0, -1), "metadata", "annotations", name],
        severity,
        title: `\`${name}: "${value}"\` ${field.startsWith("include") ? "captures nothing else" : "is not captured"}`,
      };
    }
  }
}

function* withoutInterception(pod: AuditedPod): Iterable<Hit> {
  if (pod.annotations[INTERCEPTION]?.trim().toUpperCase() === "NONE")
    yield {
      resource: pod.resource,
      path: [...pod.at.slice(0, -1), "metadata", "annotations", INTERCEPTION],
      severity: "high",
      title: `\`${INTERCEPTION}: NONE\`: nothing is captured, in or out`,
    };
}

function leavesOut(field: string, value: string): boolean {
  const entries = value
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "");
  if (field === "includeOutboundPorts") return false;
  if (field.startsWith("include")) return !entries.includes("*");
  return entries.some((entry) => !OWN_PORTS.has(entry));
}
