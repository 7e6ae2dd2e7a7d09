import type { AuditContext } from "../audit-context.ts";
import { isAtHome, writtenAnnotations } from "../facts/known-annotations.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const annotationInvalid: AuditRule = {
  id: "BW0125",
  title: "An annotation of Istio's with a value that it cannot read",
  severity: "medium",
  same: { istio: "IST0125" },
  attacks: ["M12"],
  what: "A value that the injector refuses: modes of interception, ports, ranges of addresses, numbers, booleans.",
  why: "The injector refuses the pod, or leaves the setting out: the traffic that it was to capture is not captured.",
  fix: "Write the value as the title says.",
  claims: ["captured", "configuration-in-force"],
  check: invalidOnes,
};

type Check = (value: string) => boolean;

const isNumber: Check = (value) => /^\d+$/.test(value);
const isPort: Check = (value) => isNumber(value) && Number(value) >= 1 && Number(value) <= 65_535;
const isList =
  (one: Check): Check =>
  (value) =>
    value === "" || value.split(",").every((part) => one(part.trim()));
const isPorts = isList(isPort);
const isCidr: Check = (value) => /^(\d{1,3}(\.\d{1,3}){3}\/\d{1,2}|[0-9a-fA-F:]+\/\d{1,3})$/.test(value);
const isQuantity: Check = (value) => /^\d+(\.\d+)?([eE]-?\d+|m|[kKMGTPE]i?)?$/.test(value);

const CHECKS: readonly (readonly [name: string, check: Check, form: string])[] = [
  [
    "sidecar.istio.io/interceptionMode",
    (value) => ["REDIRECT", "TPROXY", "NONE"].includes(value),
    "REDIRECT, TPROXY or NONE",
  ],
  ["status.sidecar.istio.io/port", (value) => value === "0" || isPort(value), "a port"],
  ["readiness.status.sidecar.istio.io/initialDelaySeconds", isNumber, "a whole number"],
  ["readiness.status.sidecar.istio.io/periodSeconds", isNumber, "a whole number"],
  ["readiness.status.sidecar.istio.io/failureThreshold", isNumber, "a whole number"],
  ["readiness.status.sidecar.istio.io/applicationPorts", isPorts, "ports with commas between"],
  [
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    (value) => value === "*" || isList(isCidr)(value),
    "`*`, or blocks like 10.0.0.0/8",
  ],
  ["traffic.sidecar.istio.io/excludeOutboundIPRanges", isList(isCidr), "blocks like 10.0.0.0/8"],
  [
    "traffic.sidecar.istio.io/includeInboundPorts",
    (value) => value === "*" || isPorts(value),
    "`*`, or ports",
  ],
  ["traffic.sidecar.istio.io/excludeInboundPorts", isPorts, "ports with commas between"],
  [
    "traffic.sidecar.istio.io/includeOutboundPorts",
    (value) => value === "*" || isPorts(value),
    "`*`, or ports",
  ],
  ["traffic.sidecar.istio.io/excludeOutboundPorts", isPorts, "ports with commas between"],
  ["prometheus.istio.io/merge-metrics", (value) => /^(1|t|true|0|f|false)$/i.test(value), "true or false"],
  ["sidecar.istio.io/proxyCPU", isQuantity, "a quantity, like 100m"],
  ["sidecar.istio.io/proxyMemory", isQuantity, "a quantity, like 128Mi"],
  ["sidecar.istio.io/proxyCPULimit", isQuantity, "a quantity, like 100m"],
  ["sidecar.istio.io/proxyMemoryLimit", isQuantity, "a quantity, like 128Mi"],
];
const BY_NAME = new Map(CHECKS.map(([name, ...rest]) => [name, rest]));

function* invalidOnes(audit: AuditContext): Iterable<Hit> {
  for (const annotation of audit.fact(writtenAnnotations)) {
    const { resource, path, name, value } = annotation;
    const [check, form] = BY_NAME.get(name) ?? [];
    if (check === undefined || check(value) || !isAtHome(annotation)) continue;
    yield { resource, path, title: `\`${name}\` is \`${value}\`; it must be ${form}` };
  }
}
