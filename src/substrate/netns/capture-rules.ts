import {
  CAPTURED_DNS_PORT,
  CAPTURED_INBOUND_PORT,
  CAPTURED_OUTBOUND_PORT,
  HAND_OFF_ADDRESS,
  HAND_OFF_ADDRESS_6,
  PROXY_UID,
} from "../../dataplane/capture/captured-ports.ts";
import type { TrafficCapture } from "../../model/traffic-capture.ts";

/** The table of ours in a pod's namespace. */
export const CAPTURE_TABLE = "inet bulwark";

/**
 * The nftables rules inside of a pod: what istio-init does with iptables, for both families, and all DNS to the sidecar.
 * Loading them replaces those of before in one transaction. The pod's root can undo them: what they hold back by
 * themselves counts for nothing, the firewall outside is what does.
 * @see https://github.com/istio/istio/blob/master/tools/istio-iptables, the rules that these follow
 */
export function captureRules(interception: TrafficCapture | undefined): string {
  const body =
    interception === undefined
      ? []
      : [...inbound(interception), ...outbound(interception), ...otherProtocols()];
  return [
    `table ${CAPTURE_TABLE} {}`,
    `delete table ${CAPTURE_TABLE}`,
    `table ${CAPTURE_TABLE} {`,
    ...body,
    "}",
    "",
  ].join("\n");
}

/** A list of ports to include makes the one to exclude void. */
function inbound({ includeInboundPorts, excludeInboundPorts }: TrafficCapture): string[] {
  const rules =
    includeInboundPorts === "*"
      ? [...ports("tcp dport", excludeInboundPorts, "return"), redirect(CAPTURED_INBOUND_PORT)]
      : ports("tcp dport", includeInboundPorts, redirect(CAPTURED_INBOUND_PORT));
  return captureChain("inbound", "type nat hook prerouting priority dstnat; policy accept;", [
    'iifname "lo" return',
    ...rules,
  ]);
}

function outbound(wanted: TrafficCapture): string[] {
  return captureChain("outbound", "type nat hook output priority -100; policy accept;", [
    `ip saddr ${HAND_OFF_ADDRESS} oifname "lo" return`,
    `ip6 saddr ${HAND_OFF_ADDRESS_6} oifname "lo" return`,
    // The proxy, sent back to its own pod by a service's address, comes in as every client does.
    `oifname "lo" ip daddr != 127.0.0.0/8 meta skuid ${PROXY_UID} ${redirect(CAPTURED_INBOUND_PORT)}`,
    `oifname "lo" ip6 daddr != ::1 meta skuid ${PROXY_UID} ${redirect(CAPTURED_INBOUND_PORT)}`,
    `meta skuid ${PROXY_UID} return`,
    `meta skgid ${PROXY_UID} return`,
    "ip daddr 127.0.0.0/8 return",
    "ip6 daddr ::1 return",
    `udp dport 53 redirect to :${CAPTURED_DNS_PORT}`,
    `tcp dport 53 redirect to :${CAPTURED_DNS_PORT}`,
    'oifname "lo" return',
    ...ports("tcp dport", wanted.excludeOutboundPorts, "return"),
    ...blocks(wanted.excludeOutboundIpRanges, "return"),
    ...ports("tcp dport", wanted.includeOutboundPorts, redirect(CAPTURED_OUTBOUND_PORT)),
    ...(wanted.includeOutboundIpRanges === "*"
      ? [redirect(CAPTURED_OUTBOUND_PORT)]
      : blocks(wanted.includeOutboundIpRanges, redirect(CAPTURED_OUTBOUND_PORT))),
  ]);
}

/** What is neither TCP nor DNS is for the firewall outside to judge; here it is counted. */
export function otherProtocols(): string[] {
  return [
    "  counter other_protocols {}",
    ...captureChain("others", "type filter hook output priority 0; policy accept;", [
      "meta l4proto { tcp, ipv6-icmp } accept",
      "ip daddr 127.0.0.0/8 accept",
      "ip6 daddr ::1 accept",
      "counter name other_protocols accept",
    ]),
  ];
}

/** `redirect to` needs the protocol in the same rule. */
function redirect(port: number): string {
  return `meta l4proto tcp redirect to :${port}`;
}

function ports(match: string, numbers: readonly number[], verdict: string): string[] {
  return numbers.length === 0 ? [] : [`${match} ${set(numbers)} ${verdict}`];
}

function blocks(wanted: readonly string[], verdict: string): string[] {
  return wanted.map((block) => `${block.includes(":") ? "ip6" : "ip"} daddr ${block} ${verdict}`);
}

function set(numbers: readonly number[]): string {
  return `{ ${[...new Set(numbers)].join(", ")} }`;
}

/** A chain with its hook. */
export function captureChain(name: string, head: string, rules: readonly string[]): string[] {
  return [`  chain ${name} {`, `    ${head}`, ...rules.map((rule) => `    ${rule}`), "  }"];
}
