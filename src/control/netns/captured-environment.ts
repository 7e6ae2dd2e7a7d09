import type { PodAssignment } from "../../substrate/assignment.ts";

const SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt";

/**
 * What an application in a pod of its own finds in its environment: what Kubernetes' downward API would tell it, and nothing of
 * the mesh. With stand-ins the pod's system roots hold theirs; some programs bring their own and have to be told.
 */
export function capturedEnvironment(
  pod: PodAssignment,
  simulateExternal: boolean,
): Readonly<Record<string, string>> {
  const [first] = pod.applicationPorts;
  return {
    HOME: "/tmp",
    ...(first === undefined ? {} : { PORT: String(first.port), HOST: "0.0.0.0" }),
    ...Object.fromEntries(pod.applicationPorts.map(({ port }) => [`PORT_${port}`, String(port)])),
    POD_NAME: pod.name,
    POD_NAMESPACE: pod.namespace,
    POD_IP: pod.address,
    NODE_NAME: pod.network?.node ?? "",
    SERVICE_ACCOUNT: pod.serviceAccount,
    ...(simulateExternal ? { NODE_EXTRA_CA_CERTS: SYSTEM_ROOTS, REQUESTS_CA_BUNDLE: SYSTEM_ROOTS } : {}),
  };
}
