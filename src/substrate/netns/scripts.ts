/** The shell scripts that make and unmake namespaces: all commands of many pods in one process. */

import { HAND_OFF_ADDRESS_6 } from "../../dataplane/capture/captured-ports.ts";
import type { PodAssignment, PodNetwork, StandInAssignment } from "../assignment.ts";
import {
  CLUSTER_DNS,
  OUTSIDE_BLOCK,
  OUTSIDE_BLOCK_6,
  POD_BLOCK,
  POD_BLOCK_6,
  POD_GATEWAY,
  POD_GATEWAY_6,
  UIDS_OF_A_POD,
} from "./addresses.ts";
import { AMBIENT_ROUTES, ambientRules } from "./ambient-capture.ts";
import { captureRules } from "./capture-rules.ts";
import { fabricRules, OUTSIDE_LINK } from "./fabric-rules.ts";
import { fabricOf, NETNS_FOLDER, outsideOf, USERNS_FOLDER } from "./names.ts";
import { outsideRules } from "./outside-rules.ts";

export type NetworkedPod = PodAssignment & { readonly network: PodNetwork };

/** The pod's user namespace, as a file: the network namespace belongs to it. */
export function userNamespaceFile({ namespace }: Pick<PodNetwork, "namespace">): string {
  return `${USERNS_FOLDER}/${namespace}`;
}

/** Static addresses only: what neighbours advertise changes nothing, and no address waits to be found unique. */
const SYSCTLS = [
  ["ipv6/conf/all/accept_ra", 0],
  ["ipv6/conf/default/accept_ra", 0],
  ["ipv6/conf/all/accept_dad", 0],
  ["ipv6/conf/default/accept_dad", 0],
] as const;

/** Where packets between pods, and to the outside, are forwarded and judged; and the outside. */
export function fabricScript(tag: string): string {
  const fabric = fabricOf(tag);
  const outside = outsideOf(tag);
  return `
mkdir -p ${USERNS_FOLDER}
chmod 700 ${USERNS_FOLDER}
ip netns add ${fabric}
ip netns add ${outside}
${inside(fabric, [...sysctls([["ipv4/ip_forward", 1], ["ipv6/conf/all/forwarding", 1], ...SYSCTLS])])}
${inside(outside, sysctls([["ipv6/ip_nonlocal_bind", 1], ...SYSCTLS]))}
ip -n ${fabric} -batch - <<'END'
link set lo up
addr add ${CLUSTER_DNS.address}/32 dev lo
addr add ${CLUSTER_DNS.address6}/128 dev lo
addr add ${POD_GATEWAY}/32 dev lo
link add ${OUTSIDE_LINK} type veth peer name eth0 netns ${outside}
link set ${OUTSIDE_LINK} up
addr add ${POD_GATEWAY_6}/64 dev ${OUTSIDE_LINK} nodad
route add default dev ${OUTSIDE_LINK} via 169.254.2.2 onlink
route add default via fe80::2 dev ${OUTSIDE_LINK}
END
ip -n ${outside} -batch - <<'END'
link set lo up
link set eth0 up
addr add 169.254.2.2/32 dev eth0
addr add fe80::2/64 dev eth0 nodad
route add ${POD_BLOCK} dev eth0 via ${POD_GATEWAY} onlink
route add ${POD_BLOCK_6} dev eth0 via ${POD_GATEWAY_6}
END
${load(fabric, fabricRules())}
${load(outside, outsideRules())}
`;
}

/** Stand-ins' addresses are all in their block: one route makes each of them a local one. */
export function standInsScript(tag: string, standIns: readonly StandInAssignment[]): string {
  if (standIns.length === 0) return "";
  return `
ip -n ${outsideOf(tag)} route replace local ${OUTSIDE_BLOCK} dev lo
ip -n ${outsideOf(tag)} route replace local ${OUTSIDE_BLOCK_6} dev lo
`;
}

/**
 * A pod: a user namespace, whose root is nobody on the machine, and a network namespace that belongs to it. Root inside may
 * do as it likes with that network, and nothing with any other.
 */
export function podsScript(tag: string, pods: readonly NetworkedPod[]): string {
  const links = pods.flatMap(({ address, address6, network: { link, namespace } }) => [
    `link add ${link} type veth peer name eth0 netns ${namespace}`,
    `link set ${link} up`,
    `addr add ${POD_GATEWAY_6}/64 dev ${link} nodad`,
    `route add ${address}/32 dev ${link}`,
    `route add ${address6}/128 dev ${link}`,
  ]);
  return `
${pods.map(makeNamespaces).join("")}
ip -n ${fabricOf(tag)} -batch - <<'END'
${links.join("\n")}
END
${pods.map(configurePod).join("")}
`;
}

/** The namespaces live on by their files once their first process has ended. */
function makeNamespaces({ network }: NetworkedPod): string {
  const { namespace, firstUid } = network;
  const user = userNamespaceFile(network);
  const net = `${NETNS_FOLDER}/${namespace}`;
  return `
: > ${net}
: > ${user}
unshare --user --net sleep 60 &
pid=$!
while [ /proc/$pid/ns/user -ef /proc/$$/ns/user ] || [ /proc/$pid/ns/net -ef /proc/$$/ns/net ]; do kill -0 $pid; done
echo "0 ${firstUid} ${UIDS_OF_A_POD}" > /proc/$pid/uid_map
echo "0 ${firstUid} ${UIDS_OF_A_POD}" > /proc/$pid/gid_map
mount --bind /proc/$pid/ns/user ${user}
mount --bind /proc/$pid/ns/net ${net}
kill $pid
`;
}

function configurePod({ address, address6, network }: NetworkedPod): string {
  return `
nsenter --net=${NETNS_FOLDER}/${network.namespace} sh -eu -s <<'POD'
${sysctls([["ipv4/ip_unprivileged_port_start", 0], ...SYSCTLS]).join("\n")}
ip -batch - <<'END'
link set lo up
link set eth0 up
addr add ${address}/32 dev eth0
addr add ${address6}/128 dev eth0 nodad
addr add ${HAND_OFF_ADDRESS_6}/128 dev lo nodad
route add default dev eth0 via ${POD_GATEWAY} onlink
route add default via ${POD_GATEWAY_6} dev eth0
END
${capture(network)}
POD
`;
}

/** Other rules for a pod that stays. */
export function captureScript({ network }: NetworkedPod): string {
  return `\n${inside(network.namespace, [capture(network)])}\n`;
}

/** Inside of the pod: what leads its traffic to its sidecar, or to its node's ztunnel. */
function capture({ interception, ambient }: PodNetwork): string {
  const rules = ambient === undefined ? captureRules(interception) : ambientRules(ambient);
  return [...(ambient === undefined ? [] : AMBIENT_ROUTES), "nft -f - <<'END'", rules, "END"].join("\n");
}

/** The link goes with the namespace; nothing else of the pod is left. */
export function removePodsScript(pods: readonly NetworkedPod[]): string {
  return pods.map(({ network }) => removeNamespace(network.namespace)).join("");
}

/** What is in a namespace is ended with it: shells, and what they left running. Only what is there is removed. */
export function removeNamespace(namespace: string): string {
  const user = userNamespaceFile({ namespace });
  return `
if [ -e ${NETNS_FOLDER}/${namespace} ]; then
  for pid in $(ip netns pids ${namespace} 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  ip netns del ${namespace} 2>/dev/null || rm -f ${NETNS_FOLDER}/${namespace}
fi
if [ -e ${user} ]; then
  umount ${user} 2>/dev/null || true
  rm -f ${user}
fi
`;
}

/** Loads rules into a namespace, in one transaction. */
export function load(namespace: string, rules: string): string {
  return `
nsenter --net=${NETNS_FOLDER}/${namespace} nft -f - <<'END'
${rules}
END
`;
}

function inside(namespace: string, lines: readonly string[]): string {
  return `nsenter --net=${NETNS_FOLDER}/${namespace} sh -eu -s <<'INSIDE'\n${lines.join("\n")}\nINSIDE`;
}

function sysctls(settings: readonly (readonly [path: string, value: number])[]): string[] {
  return settings.map(([path, value]) => `echo ${value} > /proc/sys/net/${path}`);
}
