/**
 * What of an ambient pod's traffic is led to its node's ztunnel, whose sockets are inside of the pod's network: the rules that Istio's CNI agent makes
 * with iptables.
 * @see https://github.com/istio/istio/blob/master/cni/pkg/iptables/iptables.go, `CreateInpodRules`
 */
import {
  CAPTURED_DNS_PORT,
  CAPTURED_INBOUND_PORT,
  CAPTURED_OUTBOUND_PORT,
} from "../../dataplane/capture/captured-ports.ts";
import type { Labels } from "../../model/mesh.ts";
import type { AmbientCapture } from "../assignment.ts";
import { CAPTURE_TABLE, captureChain, otherProtocols } from "./capture-rules.ts";

/** Of ztunnel's own packets: the numbers are Istio's. */
export const MESH_MARK = 0x539;
/** Of connections that ztunnel opened to the pod's application, under the address of their client. */
const HANDED_OFF_MARK = 0x111;
const MARK_MASK = 0xfff;
const HBONE_PORT = 15008;
const ROUTE_TABLE = 100;
const RULE_PRIORITY = 32_764;

/**
 * As the pod's annotations say: `ambient.istio.io/bypass-inbound-capture` leaves what comes in clear to the application, `ambient.istio.io/dns-capture`
 * leaves names to the cluster's DNS.
 * @see https://istio.io/latest/docs/reference/config/annotations/
 */
export function ambientCaptureOf(annotations: Labels): AmbientCapture {
  return {
    inbound: annotations["ambient.istio.io/bypass-inbound-capture"] !== "true",
    dns: annotations["ambient.istio.io/dns-capture"] !== "false",
  };
}

/** The nftables rules inside of the pod; loading them replaces those of before in one transaction. */
export function ambientRules({ inbound, dns }: AmbientCapture): string {
  const body = [
    ...(inbound ? inboundChain() : []),
    ...outboundChain(dns),
    ...handedOffChains(),
    ...otherProtocols(),
  ];
  return [
    `table ${CAPTURE_TABLE} {}`,
    `delete table ${CAPTURE_TABLE}`,
    `table ${CAPTURE_TABLE} {`,
    ...body,
    "}",
    "",
  ].join("\n");
}

function inboundChain(): string[] {
  return captureChain("inbound", "type nat hook prerouting priority dstnat; policy accept;", [
    'iifname "lo" return',
    marked(MESH_MARK, "return"),
    `tcp dport ${HBONE_PORT} return`,
    `meta l4proto tcp redirect to :${CAPTURED_INBOUND_PORT}`,
  ]);
}

function outboundChain(dns: boolean): string[] {
  const names = ["udp", "tcp"].map((protocol) => `${protocol} dport 53 redirect to :${CAPTURED_DNS_PORT}`);
  return captureChain("outbound", "type nat hook output priority -100; policy accept;", [
    marked(MESH_MARK, "return"),
    marked(HANDED_OFF_MARK, "return"),
    "ip daddr 127.0.0.0/8 return",
    "ip6 daddr ::1 return",
    ...(dns ? names : []),
    'oifname "lo" return',
    `meta l4proto tcp redirect to :${CAPTURED_OUTBOUND_PORT}`,
  ]);
}

/** The application answers to its client's own address, which is not here: by their mark its answers are led back over `lo`. */
function handedOffChains(): string[] {
  return [
    ...captureChain("handed_off", "type filter hook prerouting priority mangle; policy accept;", [
      `iifname "lo" ${marked(MESH_MARK, `ct mark set ${HANDED_OFF_MARK}`)}`,
    ]),
    ...captureChain("answers", "type route hook output priority mangle; policy accept;", [
      `ct mark ${HANDED_OFF_MARK} meta mark set ${HANDED_OFF_MARK}`,
    ]),
  ];
}

function marked(mark: number, verdict: string): string {
  return `meta mark & ${MARK_MASK} == ${mark} ${verdict}`;
}

/** Commands of iproute2, inside of the pod; they may be run again. */
export const AMBIENT_ROUTES: readonly string[] = ["-4", "-6"].flatMap((family) => [
  `ip ${family} rule del pref ${RULE_PRIORITY} 2>/dev/null || true`,
  `ip ${family} rule add fwmark ${HANDED_OFF_MARK}/${MARK_MASK} lookup ${ROUTE_TABLE} pref ${RULE_PRIORITY}`,
  `ip ${family} route replace local default dev lo table ${ROUTE_TABLE}`,
]);
