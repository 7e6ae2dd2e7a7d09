import type { AuditContext } from "../audit-context.ts";
import { baselineBreaches, type PodBreach } from "../facts/pod-security.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const podHostPaths: AuditRule = {
  id: "BW0503",
  title: "A pod that mounts a folder of its node",
  severity: "medium",
  attacks: ["C1", "C6"],
  what: "Volumes of the kind `hostPath`; `high` where what is mounted is the node itself: `/`, `/etc`, `/proc`, `/dev`, the container runtime's socket or files, the kubelet's, the logs that the kubelet follows. Kubernetes' own namespaces and Istio's components are left out. Control *HostPath Volumes* of the Pod Security Standards.",
  why: "What is written there is run, or read, by the node: a file in `/etc/kubernetes/manifests` is a pod with any rights, the runtime's socket starts any container, the kubelet's folder holds tokens of every pod, and links in `/var/log` are followed by it.",
  fix: "Use a volume of the cluster (`persistentVolumeClaim`, `emptyDir`, `projected`); what has to read a node's files is given the one folder with `readOnly: true`, in a namespace of its own.",
  claims: ["host-paths-unused"],
  check: mounted,
};

const NODE_ITSELF =
  /^\/($|(etc|proc|dev|root|run|boot|sys)(\/|$)|var\/?$|var\/(run|log)(\/|$)|var\/lib\/?$|var\/lib\/(kubelet|docker|containerd|etcd|cni)(\/|$))/;

function* mounted(audit: AuditContext): Iterable<Hit> {
  for (const breach of audit.fact(baselineBreaches)) {
    if (breach.control !== "hostPathVolumes") continue;
    const { name, path } = volumeOf(breach);
    yield {
      resource: breach.pod.resource,
      path: breach.path,
      title: `volume \`${name}\` is \`${path}\` of the node`,
      ...(NODE_ITSELF.test(path.replace(/\/+/g, "/")) ? { severity: "high" } : {}),
    };
  }
}

function volumeOf({ pod, path }: PodBreach): { readonly name: string; readonly path: string } {
  const index = path.at(-2);
  const [, volume] = [...itemsOf(pod.spec.volumes)].find(([at]) => at === index) ?? [];
  return { name: textOf(volume?.name), path: textOf(fieldsOf(volume?.hostPath).path) };
}
