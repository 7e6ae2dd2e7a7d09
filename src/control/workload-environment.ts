import { join } from "node:path";
import { OUTBOUND_PROXY_PORT } from "../model/placement.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import { STAND_IN_CA_FILE } from "../substrate/stand-in-authority.ts";
import type { StateFolder } from "./state-folder.ts";
import { workloadSocket } from "./workload-api/workload-sockets.ts";

/** The name in the outbound proxy's credentials; only the password is checked. */
const PROXY_USER = "bulwark";

/**
 * What an application of this pod finds in its environment: where to listen, who it is, and its sidecar as the way out. It is
 * the explicit form of what iptables does in a cluster, and it holds the sidecar's secret: give it to that application only.
 */
export function workloadEnvironment(
  state: StateFolder,
  pod: PodAssignment,
  simulateExternal: boolean,
  hasWorkloadApi: boolean,
): Readonly<Record<string, string>> {
  const [first] = pod.applicationPorts;
  const ports = pod.applicationPorts.map(({ port, socketPort }) => [`PORT_${port}`, String(socketPort)]);
  return {
    ...(first === undefined ? {} : { PORT: String(first.socketPort), HOST: first.host }),
    ...Object.fromEntries(ports),
    POD_NAME: pod.name,
    POD_NAMESPACE: pod.namespace,
    POD_IP: pod.address,
    SERVICE_ACCOUNT: pod.serviceAccount,
    ...(hasWorkloadApi ? { SPIFFE_ENDPOINT_SOCKET: `unix://${workloadSocket(state, pod)}` } : {}),
    ...(pod.proxied ? proxyVariables(pod) : {}),
    ...(simulateExternal ? trustVariables(join(state.standInFolder, STAND_IN_CA_FILE)) : {}),
  };
}

/** Programs read one spelling or the other; curl reads `http_proxy` only in lower case. */
function proxyVariables(pod: PodAssignment): Record<string, string> {
  const url = `http://${PROXY_USER}:${pod.outboundSecret}@${pod.address}:${OUTBOUND_PROXY_PORT}`;
  const none = "localhost,127.0.0.1,::1";
  return {
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    ALL_PROXY: url,
    NO_PROXY: none,
    http_proxy: url,
    https_proxy: url,
    all_proxy: url,
    no_proxy: none,
    NODE_USE_ENV_PROXY: "1",
  };
}

/** So that the application believes the stand-ins, as it would the real hosts. Every external host is one then. */
function trustVariables(file: string): Record<string, string> {
  return { NODE_EXTRA_CA_CERTS: file, SSL_CERT_FILE: file, CURL_CA_BUNDLE: file, REQUESTS_CA_BUNDLE: file };
}
