import type { Labels } from "../../model/mesh.ts";
import { readTrafficCapture, type TrafficCapture } from "../../model/traffic-capture.ts";

const EVERYTHING: TrafficCapture = {
  includeInboundPorts: "*",
  excludeInboundPorts: [],
  includeOutboundPorts: [],
  excludeOutboundPorts: [],
  includeOutboundIpRanges: "*",
  excludeOutboundIpRanges: [],
};

/**
 * What of a pod's traffic comes to its sidecar, as its annotations say; undefined with
 * `sidecar.istio.io/interceptionMode: NONE`: nothing does. TPROXY captures as REDIRECT does.
 * @see https://istio.io/latest/docs/reference/config/annotations/
 */
export function interceptionOf(annotations: Labels): TrafficCapture | undefined {
  if (annotations["sidecar.istio.io/interceptionMode"] === "NONE") return undefined;
  return readTrafficCapture(annotations) ?? EVERYTHING;
}
