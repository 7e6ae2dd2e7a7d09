import type { AuditContext } from "../audit-context.ts";
import { containersOf, isControlPlane, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import { podsInMesh } from "../facts/pods-in-mesh.ts";
import { type Fields, fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const sharedProcesses: AuditRule = {
  id: "BW0814",
  title: "An application that sees its proxy's processes",
  severity: "medium",
  attacks: ["C1", "C2", "M12"],
  what: "`shareProcessNamespace: true` of a pod with a sidecar (not in ambient mode, where the proxy is in no pod) and with a container that may be root, may be the proxy's user (1337), or adds SYS_PTRACE; `low` where every container is told another user, or `runAsNonRoot`, and adds no SYS_PTRACE.",
  why: "By `/proc/PID/root` root of the application, who may become the proxy's user, is in the proxy's file system: it reads the token that the CA takes, asks the proxy's socket for the key of the certificate, and stops the process that decides who may come in. Other users see its command line.",
  fix: "Leave `shareProcessNamespace` out; to look into a pod use `kubectl debug`, whose container shares processes for as long as it is needed.",
  claims: ["captured", "proxies-least-privilege"],
  check: sharing,
};

const PROXY_UID = 1337;
const ISTIOS_OWN = new Set([PROXY_CONTAINER, "istio-init", "istio-validation"]);

function* sharing(audit: AuditContext): Iterable<Hit> {
  const sharers = audit.fact(podsOf).filter(({ spec }) => spec.shareProcessNamespace === true);
  if (sharers.length === 0) return;
  const inMesh = new Set([...audit.fact(podsInMesh).values()].flat());
  const ambient = new Set(
    audit.mesh.workloads.filter(({ dataplane }) => dataplane === "ambient").map(({ resource }) => resource),
  );
  for (const pod of sharers) {
    if (!inMesh.has(pod) || ambient.has(pod.resource) || isControlPlane(pod)) continue;
    const own = containersOf(pod).filter(
      ({ name, role }) => role !== "initContainers" && !ISTIOS_OWN.has(name),
    );
    if (own.length === 0) continue;
    const within = own.find(({ container }) => getsIn(container, fieldsOf(pod.spec.securityContext)));
    yield {
      resource: pod.resource,
      path: [...pod.at, "shareProcessNamespace"],
      ...(within === undefined ? { severity: "low" as const } : {}),
      title:
        within === undefined
          ? "its containers see the sidecar's processes"
          : `container \`${within.name}\` gets at the sidecar's files and processes`,
    };
  }
}

/** What the kernel asks of who looks into another process (ptrace(2), "Ptrace access mode checking"): its user, or the capability. */
function getsIn({ securityContext }: Fields, ofPod: Fields): boolean {
  const context = fieldsOf(securityContext);
  const user = context.runAsUser ?? ofPod.runAsUser;
  const added = textsOf(fieldsOf(context.capabilities).add).map((one) =>
    one.replace(/^CAP_/i, "").toUpperCase(),
  );
  if (context.privileged === true || added.includes("SYS_PTRACE") || added.includes("ALL")) return true;
  if (typeof user === "number") return user === 0 || user === PROXY_UID;
  return (context.runAsNonRoot ?? ofPod.runAsNonRoot) !== true;
}
