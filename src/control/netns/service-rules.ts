import { isIP, isIPv6 } from "node:net";
import { resolveTargetPort } from "../../model/build-services.ts";
import type { Mesh, Service } from "../../model/mesh.ts";
import { addressesOf, type PodPlacement } from "../../model/placement.ts";
import { withVirtualAddresses } from "../../model/virtual-addresses.ts";
import { type Assignments, toPlacement } from "../../substrate/assignment.ts";
import { CLUSTER_DNS } from "../../substrate/netns/addresses.ts";

const TABLE = "inet bulwark_services";

/**
 * What kube-proxy does, in the namespace that forwards: a connection to a Service's address goes to one of its pods, at random. For pods
 * without a sidecar: others never send to such an address themselves.
 */
export function serviceRules(mesh: Mesh, assignments: Assignments): string {
  const placement = toPlacement(assignments);
  const rules = withVirtualAddresses(mesh, placement)
    .services.filter(({ origin, headless }) => origin === "kubernetes" && !headless)
    .flatMap((service) => rulesOf(service, placement.pods));
  return [
    `table ${TABLE} {}`,
    `delete table ${TABLE}`,
    `table ${TABLE} {`,
    "  chain services {",
    "    type nat hook prerouting priority dstnat; policy accept;",
    ...rules.map((rule) => `    ${rule}`),
    "  }",
    "  chain to_itself {",
    "    type nat hook postrouting priority srcnat; policy accept;",
    ...toItself(placement.pods).map((rule) => `    ${rule}`),
    "  }",
    "}",
    "",
  ].join("\n");
}

/** A pod that is sent to itself would take packets from its own address for forged: as kube-proxy does, they come from somewhere else. */
function toItself(pods: readonly PodPlacement[]): string[] {
  const own = pods.flatMap(addressesOf);
  return [
    { ip: "ip", from: CLUSTER_DNS.address, of: own.filter((address) => !isIPv6(address)) },
    { ip: "ip6", from: CLUSTER_DNS.address6, of: own.filter((address) => isIPv6(address)) },
  ].flatMap(({ ip, from, of }) => {
    const pairs = of.map((address) => `${address} . ${address}`).join(", ");
    return of.length === 0 ? [] : [`${ip} saddr . ${ip} daddr { ${pairs} } snat ${ip} to ${from}`];
  });
}

function rulesOf(service: Service, pods: readonly PodPlacement[]): string[] {
  // An address becomes text of a rule: nothing else may stand in it.
  return service.addresses
    .filter((address) => isIP(address) !== 0)
    .flatMap((address) => {
      const isIpv6 = isIPv6(address);
      const ip = isIpv6 ? "ip6" : "ip";
      return service.ports.flatMap((port) => {
        if (port.protocol === "udp") return [];
        const targets = service.endpoints.flatMap(({ workload }) => {
          const target = resolveTargetPort(port, workload);
          if (workload === undefined || target === undefined) return [];
          const own = pods.filter((pod) => pod.workload === workload.key).flatMap(addressesOf);
          return own.filter((each) => each.includes(":") === isIpv6).map((each) => `${each} . ${target}`);
        });
        if (targets.length === 0) return [];
        const choices = targets.map((target, i) => `${i} : ${target}`).join(", ");
        const choice = `dnat ${ip} to numgen random mod ${targets.length} map { ${choices} }`;
        return [`${ip} daddr ${address} tcp dport ${port.port} ${choice}`];
      });
    });
}
