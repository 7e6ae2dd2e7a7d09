import ipaddr from "ipaddr.js";
import type { Field } from "./field.ts";
import { quoted } from "./field.ts";

const LABEL = "[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?";
const DNS_LABEL = new RegExp(`^${LABEL}$`);
const WILDCARD_LABEL = new RegExp(`^(\\*|(\\*|\\*-)?${LABEL})$`);

/** A label of RFC 1123, in either case. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && DNS_LABEL.test(text);
}

/** Why the text is no fully qualified or short name, or nothing. A final dot is allowed. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name.length > 255) return "is longer than 255 characters";
  return labelsProblem(name);
}

function labelsProblem(name: string): string | undefined {
  const labels = name.split(".");
  const last = labels.at(-1) ?? "";
  if (/^[-+]?\d+$/.test(last)) return "ends in a number, so it is no name";
  for (const [index, label] of labels.entries()) {
    if (index === labels.length - 1 && label === "") return undefined;
    if (!isDnsLabel(label))
      return label === "" ? "has an empty part" : `has the part ${quoted(label)}, which no name may have`;
  }
  return undefined;
}

/** As `nameProblem`, for a name that may start with a wildcard: `*`, `*.example.com`, `*-a.example.com`. */
export function wildcardNameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name.length > 255) return "is longer than 255 characters";
  const dot = name.indexOf(".");
  const first = dot < 0 ? name : name.slice(0, dot);
  if (first.length > 63 || !WILDCARD_LABEL.test(first)) {
    return first.includes("*")
      ? "has a `*` that is not the whole beginning of its first part"
      : `has the part ${quoted(first)}, which no name may have`;
  }
  return dot < 0 ? undefined : labelsProblem(name.slice(dot + 1));
}

/** Whether the text is an IPv4 address of four parts or an IPv6 address, without a zone's brackets. */
export function isIpAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (text.includes(":") && ipaddr.IPv6.isValid(text));
}

/** Whether the text is an address, a slash and a prefix length that fits. */
export function isCidr(text: string): boolean {
  const slash = text.indexOf("/");
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  if (slash < 0 || address.includes("%") || !isIpAddress(address) || !/^(0|[1-9]\d{0,2})$/.test(length))
    return false;
  return Number(length) <= (address.includes(":") ? 128 : 32);
}

/** An address or a CIDR block. */
export function checkIpBlock(field: Field): void {
  const { text } = field;
  if (text.includes("/") ? isCidr(text) : isIpAddress(text)) return;
  field.error(
    "BW1203_BAD_CIDR",
    `\`${field.name}\` is ${quoted(text)}, which is neither an IP address nor a CIDR block`,
    text.includes("/")
      ? "the prefix length is 0 to 32 for IPv4 and 0 to 128 for IPv6"
      : "write it like `10.0.0.7` or `10.0.0.0/8`",
  );
}

export function checkPort(field: Field, port: number = field.number): void {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return;
  field.error("BW1204_BAD_PORT", `\`${field.name}\` is ${quoted(field.value)}; a port is 1 to 65535`);
}

/** A host that may start with a wildcard. */
export function checkWildcardHost(field: Field): void {
  const problem = wildcardNameProblem(field.text);
  if (problem !== undefined) badHost(field, problem);
}

export function checkHost(field: Field): void {
  const problem = nameProblem(field.text);
  if (problem !== undefined) badHost(field, problem);
}

export function badHost(field: Field, problem: string): void {
  field.error(
    "BW1219_BAD_HOST",
    `\`${field.name}\` is ${quoted(field.text)}, which ${problem}`,
    "a host is labels of letters, digits and `-` with dots between; a wildcard is its first part: `*.example.com`",
  );
}

/** Whether two hosts, each perhaps with a wildcard in front, have a name in common. */
export function hostsOverlap(a: string, b: string): boolean {
  if (a.startsWith("*") && b.startsWith("*")) {
    return a.length < b.length ? b.slice(1).endsWith(a.slice(1)) : a.slice(1).endsWith(b.slice(1));
  }
  if (a.startsWith("*")) return b.endsWith(a.slice(1));
  if (b.startsWith("*")) return a.endsWith(b.slice(1));
  return a === b;
}

/** Whether every name of `inner` is one of `outer`. */
export function hostWithin(inner: string, outer: string): boolean {
  if (!outer.startsWith("*")) return inner === outer;
  const suffix = outer.slice(1);
  if (!inner.startsWith("*")) return inner.endsWith(suffix);
  return inner.length >= outer.length && inner.slice(1).endsWith(suffix);
}
