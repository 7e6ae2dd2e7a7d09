/** What Istio (1.31) can read as the values of its annotations, and what it makes of others. Sources in istio/istio: pkg/kube/inject/validate.go and where each is read. */
import { load } from "js-yaml";
import { captureProblems } from "../../../model/traffic-capture.ts";
import { parseDurationNs } from "../../../resources/validate/duration.ts";

export interface AnnotationValue {
  readonly isReadable: (value: string) => boolean;
  /** What it must be, for people. */
  readonly form: string;
  /** Whether the injector then makes no pod; otherwise the value is as if it were not written. */
  readonly isRefused: boolean;
}

type Check = (value: string) => boolean;

/** What Go's strconv.ParseBool takes. */
const isBoolean: Check = (value) => /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(value);
const isTrueOrFalse: Check = (value) => value === "true" || value === "false";
const isUint32: Check = (value) => /^\d{1,10}$/.test(value) && Number(value) < 2 ** 32;
const isPort: Check = (value) => /^\d+$/.test(value.trim()) && Number(value) <= 65_535;
const isPorts: Check = (value) => value.trim() === "" || value.trim().split(",").every(isPort);
/** Kubernetes' resource.Quantity. */
const isQuantity: Check = (value) =>
  /^[+-]?(\d+(\.\d*)?|\.\d+)(n|u|m|k|M|G|T|P|E|[KMGTPE]i|[eE][+-]?\d+)?$/.test(value);
/** Names of Linux' network interfaces. */
const isInterfaces: Check = (value) =>
  value === "" || value.split(",").every((name) => /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/.test(name.trim()));
const isPercentage: Check = (value) => /^[+-]?\d+$/.test(value) && Number(value) >= 0 && Number(value) <= 100;
/** Go's time.ParseDuration. */
const isDuration: Check = (value) => parseDurationNs(value) !== undefined;
const isOneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value);

function isCapture(name: string): Check {
  return (value) => captureProblems({ [name]: value }).length === 0;
}

function isJson(holds: (value: unknown) => boolean): Check {
  return (value) => {
    try {
      return holds(JSON.parse(value));
    } catch {
      return false;
    }
  };
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Settings that the injector does not know are left out; those of a wrong type are refused. */
function isProxyConfig(value: string): boolean {
  if (value.trim() === "") return true;
  try {
    const config = load(value) ?? {};
    if (!isMapping(config)) return false;
    const { concurrency = 0, holdApplicationUntilProxyStarts = false, drainDuration } = config;
    return (
      Number.isInteger(Number(concurrency)) &&
      typeof holdApplicationUntilProxyStarts === "boolean" &&
      (drainDuration === undefined || /^-?\d+(\.\d{1,9})?s$/.test(String(drainDuration)))
    );
  } catch {
    return false;
  }
}

const TRAFFIC = "traffic.sidecar.istio.io";
const BOOLEAN = "true or false";
const BLOCKS = "blocks like 10.0.0.0/8, with commas and nothing else between";
const QUANTITY = "a quantity, like 100m or 128Mi";
const INTERFACES = "names of network interfaces with commas between";
const JSON_MAPPING = "a mapping, as JSON";
const NEARNESS = ["preferclose", "prefersamezone", "prefersamenode"];

/** No pod is made with such a value. */
const REFUSED: readonly (readonly [name: string, isReadable: Check, form: string])[] = [
  ["sidecar.istio.io/interceptionMode", isOneOf("REDIRECT", "TPROXY", "NONE"), "REDIRECT, TPROXY or NONE"],
  ["status.sidecar.istio.io/port", isPort, "a port"],
  ["readiness.status.sidecar.istio.io/initialDelaySeconds", isUint32, "a whole number"],
  ["readiness.status.sidecar.istio.io/periodSeconds", isUint32, "a whole number"],
  ["readiness.status.sidecar.istio.io/failureThreshold", isUint32, "a whole number"],
  [
    `${TRAFFIC}/includeOutboundIPRanges`,
    isCapture(`${TRAFFIC}/includeOutboundIPRanges`),
    `\`*\`, or ${BLOCKS}`,
  ],
  [`${TRAFFIC}/excludeOutboundIPRanges`, isCapture(`${TRAFFIC}/excludeOutboundIPRanges`), BLOCKS],
  [`${TRAFFIC}/includeInboundPorts`, isCapture(`${TRAFFIC}/includeInboundPorts`), "`*`, or ports"],
  [
    `${TRAFFIC}/excludeInboundPorts`,
    isCapture(`${TRAFFIC}/excludeInboundPorts`),
    "ports with commas between",
  ],
  [
    `${TRAFFIC}/includeOutboundPorts`,
    isCapture(`${TRAFFIC}/includeOutboundPorts`),
    "ports with commas between",
  ],
  [
    `${TRAFFIC}/excludeOutboundPorts`,
    isCapture(`${TRAFFIC}/excludeOutboundPorts`),
    "ports with commas between",
  ],
  [`${TRAFFIC}/excludeInterfaces`, isInterfaces, INTERFACES],
  [`${TRAFFIC}/kubevirtInterfaces`, isInterfaces, INTERFACES],
  ["istio.io/reroute-virtual-interfaces", isInterfaces, INTERFACES],
  ["prometheus.istio.io/merge-metrics", isBoolean, BOOLEAN],
  ["proxy.istio.io/config", isProxyConfig, "settings of a proxy, as YAML"],
  ["sidecar.istio.io/proxyCPU", isQuantity, QUANTITY],
  ["sidecar.istio.io/proxyMemory", isQuantity, QUANTITY],
  ["sidecar.istio.io/proxyCPULimit", isQuantity, QUANTITY],
  ["sidecar.istio.io/proxyMemoryLimit", isQuantity, QUANTITY],
];

/** Nobody refuses them, and `istioctl` says nothing: it is as if they were not written. */
const IGNORED: readonly (readonly [name: string, isReadable: Check, form: string])[] = [
  ["sidecar.istio.io/inject", isTrueOrFalse, BOOLEAN],
  ["sidecar.istio.io/rewriteAppHTTPProbers", isBoolean, BOOLEAN],
  ["sidecar.istio.io/nativeSidecar", isTrueOrFalse, BOOLEAN],
  ["ambient.istio.io/dns-capture", isBoolean, BOOLEAN],
  ["ambient.istio.io/bypass-inbound-capture", isBoolean, BOOLEAN],
  ["istio.io/use-waypoint-canary-weight", isPercentage, "a whole number from 0 to 100"],
  [
    "networking.istio.io/traffic-distribution",
    (value) => value === "" || NEARNESS.includes(value.toLowerCase()),
    "PreferClose, PreferSameZone or PreferSameNode",
  ],
  [
    "traffic.istio.io/nodeSelector",
    (value) =>
      value === "" ||
      isJson((read) => isMapping(read) && Object.values(read).every((one) => typeof one === "string"))(value),
    `${JSON_MAPPING} of labels`,
  ],
  ["sidecar.istio.io/userVolume", isJson(() => true), "volumes, as JSON"],
  ["sidecar.istio.io/userVolumeMount", isJson(() => true), "mounts of volumes, as JSON"],
  [
    "sidecar.istio.io/statsHistogramBuckets",
    isJson(
      (read) =>
        isMapping(read) &&
        Object.values(read).every(
          (one) => Array.isArray(one) && one.every((edge) => typeof edge === "number"),
        ),
    ),
    `${JSON_MAPPING} of lists of numbers`,
  ],
  ["sidecar.istio.io/statsFlushInterval", isDuration, "a duration, like 10s"],
  ["sidecar.istio.io/statsEvictionInterval", isDuration, "a duration, like 10s"],
  ["readiness.status.sidecar.istio.io/applicationPorts", isPorts, "ports with commas between"],
];

export const ANNOTATION_VALUES: ReadonlyMap<string, AnnotationValue> = new Map(
  [REFUSED, IGNORED].flatMap((table) =>
    table.map(
      ([name, isReadable, form]) => [name, { isReadable, form, isRefused: table === REFUSED }] as const,
    ),
  ),
);
