/** Connections that a pod's annotations lead past its own sidecar: on the way in, and on the way out. */
import type { Mesh, Service, Workload } from "../../model/mesh.ts";
import { CAPTURE_ANNOTATIONS, inboundBypass, type TrafficCapture } from "../../model/traffic-capture.ts";
import type { Semantics } from "../inbound.ts";
import { cidrContains, type IpAddress, parseCidrBlock, parseIpAddress } from "../ip-address.ts";
import type { DialedDestination } from "../outbound/types.ts";

/** The annotation that makes it so; `unknown` where that hangs on an address which is not known. */
export type Bypass = { readonly annotation: string } | "unknown" | undefined;

const UNCOVERED = new WeakMap<Workload, Map<string, Workload>>();

/**
 * The workload as connections to the port find it: without a proxy where annotations keep its sidecar out of their way.
 * Our own proxies (`strict`) serve every port, whatever the annotations say.
 */
export function workloadAt(workload: Workload, port: number, semantics: Semantics): Workload {
  const annotation = semantics === "istio" ? inboundBypass(workload.capture, port) : undefined;
  if (annotation === undefined) return workload;
  const known = UNCOVERED.get(workload) ?? new Map<string, Workload>();
  UNCOVERED.set(workload, known);
  const unproxied = `connections to port ${port} pass the sidecar by, as the annotation \`${annotation}\` has it: no policy of the mesh is enforced there`;
  const made = known.get(unproxied) ?? { ...workload, dataplane: "none", unproxied };
  known.set(unproxied, made);
  return made;
}

const INTERCEPTION = "sidecar.istio.io/interceptionMode";

/** Nothing leads connections to such a sidecar: which of them come to it is the business of its Sidecar resource and of the application. */
export function isUncaptured(mesh: Mesh, { dataplane, role, annotations }: Workload): boolean {
  if (dataplane !== "sidecar" || role !== "application") return false;
  const { defaultConfig } = mesh.config.raw as {
    readonly defaultConfig?: { interceptionMode?: unknown } | null;
  };
  return (annotations[INTERCEPTION] ?? defaultConfig?.interceptionMode) === "NONE";
}

/** @param service what the client's DNS knows the dialled name as. */
export function outboundBypass(
  { capture }: Workload,
  dialled: DialedDestination,
  service: Service | undefined,
  semantics: Semantics,
): Bypass {
  if (capture === undefined || semantics !== "istio") return undefined;
  const addresses = dialledAddresses(dialled, service);
  const [first, ...others] = (addresses.length === 0 ? [undefined] : addresses).map((address) =>
    bypassOf(capture, dialled.port, address),
  );
  return others.every((other) => nameOf(other) === nameOf(first)) ? first : "unknown";
}

function nameOf(bypass: Bypass): string | undefined {
  return typeof bypass === "object" ? bypass.annotation : bypass;
}

/** In the order of istio-iptables' rules: excluded ports, excluded blocks, included ports, included blocks. */
function bypassOf(capture: TrafficCapture, port: number, address: IpAddress | undefined): Bypass {
  const { excludeOutboundPorts, excludeOutboundIpRanges, includeOutboundPorts, includeOutboundIpRanges } =
    capture;
  if (excludeOutboundPorts.includes(port)) return { annotation: CAPTURE_ANNOTATIONS.excludeOutboundPorts };
  const isExcluded = liesIn(address, excludeOutboundIpRanges);
  if (isExcluded === true) return { annotation: CAPTURE_ANNOTATIONS.excludeOutboundIpRanges };
  const isIncluded =
    includeOutboundPorts.includes(port) ||
    includeOutboundIpRanges === "*" ||
    liesIn(address, includeOutboundIpRanges);
  if (isIncluded === false) return { annotation: CAPTURE_ANNOTATIONS.includeOutboundIpRanges };
  return isExcluded === undefined || isIncluded === undefined ? "unknown" : undefined;
}

function liesIn(address: IpAddress | undefined, blocks: readonly string[]): boolean | undefined {
  if (blocks.length === 0) return false;
  if (address === undefined) return undefined;
  return blocks.some((text) => {
    const block = parseCidrBlock(text);
    return block !== undefined && cidrContains(block, address);
  });
}

/** What the client's DNS answers, as far as the files tell. Several: it may be any of them. */
function dialledAddresses({ ip }: DialedDestination, service: Service | undefined): readonly IpAddress[] {
  const pods = (service?.endpoints ?? []).flatMap(({ address, workload }) =>
    address === undefined ? (workload?.addresses ?? []) : [address],
  );
  const texts = ip === undefined ? (service?.headless === true ? pods : (service?.addresses ?? [])) : [ip];
  return texts.map(parseIpAddress).filter((address) => address !== undefined);
}
