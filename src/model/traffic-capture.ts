/**
 * Traffic that a pod's annotations keep away from its sidecar, as istio-iptables sets the rules up.
 * Source: istio/istio, tools/istio-iptables/pkg/capture/run.go; pkg/kube/inject/validate.go.
 */
import type { Labels } from "./mesh.ts";

/** As written, defaults filled in. */
export interface TrafficCapture {
  readonly includeInboundPorts: "*" | readonly number[];
  readonly excludeInboundPorts: readonly number[];
  /** Captured whatever their address. */
  readonly includeOutboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
  /** CIDR blocks. */
  readonly includeOutboundIpRanges: "*" | readonly string[];
  readonly excludeOutboundIpRanges: readonly string[];
}

const PREFIX = "traffic.sidecar.istio.io/";

export const CAPTURE_ANNOTATIONS = {
  includeInboundPorts: `${PREFIX}includeInboundPorts`,
  excludeInboundPorts: `${PREFIX}excludeInboundPorts`,
  includeOutboundPorts: `${PREFIX}includeOutboundPorts`,
  excludeOutboundPorts: `${PREFIX}excludeOutboundPorts`,
  includeOutboundIpRanges: `${PREFIX}includeOutboundIPRanges`,
  excludeOutboundIpRanges: `${PREFIX}excludeOutboundIPRanges`,
} as const;

type Field = keyof typeof CAPTURE_ANNOTATIONS;

const PORTS = [
  "includeInboundPorts",
  "excludeInboundPorts",
  "includeOutboundPorts",
  "excludeOutboundPorts",
] as const;
const RANGES = ["includeOutboundIpRanges", "excludeOutboundIpRanges"] as const;
const MAY_BE_ALL: ReadonlySet<string> = new Set(["includeInboundPorts", "includeOutboundIpRanges"]);

/** One annotation that the injector refuses: no pod with it is ever made. */
export interface CaptureProblem {
  readonly annotation: string;
  readonly message: string;
}

/** Annotations that the injector, or istio-iptables after it, fails on. */
export function captureProblems(annotations: Labels): readonly CaptureProblem[] {
  const problems: CaptureProblem[] = [];
  const check = (field: Field, wrong: string | undefined, what: string): void => {
    const annotation = CAPTURE_ANNOTATIONS[field];
    if (wrong !== undefined && !(annotations[annotation] === "*" && MAY_BE_ALL.has(field)))
      problems.push({ annotation, message: `\`${wrong}\` in \`${annotation}\` is no ${what}` });
  };
  const written = (field: Field): string => annotations[CAPTURE_ANNOTATIONS[field]] ?? "";
  for (const field of PORTS)
    check(
      field,
      portsOf(written(field)).find((entry) => !isPort(entry)),
      "port",
    );
  for (const field of RANGES)
    check(
      field,
      blocksOf(written(field)).find((entry) => !isCidr(entry)),
      "block of addresses (like 10.0.0.0/8)",
    );
  return problems;
}

/** @returns undefined where no annotation says anything. What is malformed was refused before (`captureProblems`). */
export function readTrafficCapture(annotations: Labels): TrafficCapture | undefined {
  if (!Object.values(CAPTURE_ANNOTATIONS).some((name) => annotations[name] !== undefined)) return undefined;
  const text = (field: Field): string | undefined => annotations[CAPTURE_ANNOTATIONS[field]];
  const ports = (field: Field): readonly number[] => portsOf(text(field) ?? "").map(Number);
  const inbound = text("includeInboundPorts") ?? "*";
  const ranges = text("includeOutboundIpRanges") ?? "*";
  return {
    includeInboundPorts: inbound === "*" ? "*" : ports("includeInboundPorts"),
    excludeInboundPorts: ports("excludeInboundPorts"),
    includeOutboundPorts: ports("includeOutboundPorts"),
    excludeOutboundPorts: ports("excludeOutboundPorts"),
    includeOutboundIpRanges: ranges === "*" ? "*" : blocksOf(ranges),
    excludeOutboundIpRanges: blocksOf(text("excludeOutboundIpRanges") ?? ""),
  };
}

/** The annotation by which connections to the port pass the sidecar by; undefined where it takes them. A list of ports makes the exclusions void. */
export function inboundBypass(capture: TrafficCapture | undefined, port: number): string | undefined {
  if (capture === undefined) return undefined;
  const { includeInboundPorts, excludeInboundPorts } = capture;
  if (includeInboundPorts !== "*")
    return includeInboundPorts.includes(port) ? undefined : CAPTURE_ANNOTATIONS.includeInboundPorts;
  return excludeInboundPorts.includes(port) ? CAPTURE_ANNOTATIONS.excludeInboundPorts : undefined;
}

/** An empty value has no entries; white space is let be around ports, not around blocks. */
function portsOf(value: string): readonly string[] {
  const text = value.trim();
  return text === "" ? [] : text.split(",").map((entry) => entry.trim());
}

function blocksOf(value: string): readonly string[] {
  return value === "" ? [] : value.split(",");
}

function isPort(entry: string): boolean {
  return /^\d+$/.test(entry) && Number(entry) <= 65_535;
}

/** Go's netip.ParsePrefix: an address and a length, no leading zeros. */
function isCidr(entry: string): boolean {
  const [address = "", length = "", ...rest] = entry.split("/");
  if (rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return false;
  if (address.includes(":"))
    return Number(length) <= 128 && /^[0-9a-fA-F:.]+$/.test(address) && isIpv6(address);
  return Number(length) <= 32 && isIpv4(address);
}

function isIpv4(address: string): boolean {
  const parts = address.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function isIpv6(address: string): boolean {
  const halves = address.split("::");
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1) ?? "";
  const isMapped = last.includes(".");
  if (isMapped && !isIpv4(last)) return false;
  const count = groups.length + (isMapped ? 1 : 0);
  const hex = isMapped ? groups.slice(0, -1) : groups;
  if (!hex.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  return halves.length === 2 ? count < 8 : count === 8;
}
