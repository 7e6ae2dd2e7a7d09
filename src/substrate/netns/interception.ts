import type { Labels } from "../../model/mesh.ts";
import { parseCidrBlock } from "../../policy/ip-address.ts";

/** `*`, or these only. */
type Choice<T> = "*" | readonly T[];

/** What of a pod's traffic comes to its sidecar, as Istio's annotations say. */
export interface Interception {
  readonly includeInboundPorts: Choice<number>;
  readonly excludeInboundPorts: readonly number[];
  readonly includeOutboundBlocks: Choice<string>;
  readonly excludeOutboundBlocks: readonly string[];
  /** Captured whatever the blocks say. */
  readonly includeOutboundPorts: readonly number[];
  readonly excludeOutboundPorts: readonly number[];
}

const PREFIX = "traffic.sidecar.istio.io/";

/**
 * The annotations of a pod. What cannot be read excludes nothing: more is captured then, never less. Undefined with
 * `sidecar.istio.io/interceptionMode: NONE`: nothing is.
 * @see https://istio.io/latest/docs/reference/config/annotations/
 */
export function interceptionOf(annotations: Labels): Interception | undefined {
  if (annotations["sidecar.istio.io/interceptionMode"] === "NONE") return undefined;
  const text = (name: string): string | undefined => annotations[`${PREFIX}${name}`];
  return {
    includeInboundPorts: choice(text("includeInboundPorts"), ports),
    excludeInboundPorts: ports(text("excludeInboundPorts") ?? ""),
    includeOutboundBlocks: choice(text("includeOutboundIPRanges"), blocks),
    excludeOutboundBlocks: blocks(text("excludeOutboundIPRanges") ?? ""),
    includeOutboundPorts: ports(text("includeOutboundPorts") ?? ""),
    excludeOutboundPorts: ports(text("excludeOutboundPorts") ?? ""),
  };
}

function choice<T>(text: string | undefined, read: (text: string) => readonly T[]): Choice<T> {
  if (text === undefined || text.trim() === "*") return "*";
  const items = read(text);
  // A list in which nothing can be read is a slip, an empty one is meant.
  return items.length === 0 && text.trim() !== "" ? "*" : items;
}

function ports(text: string): readonly number[] {
  return items(text)
    .map(Number)
    .filter((port) => Number.isInteger(port) && port > 0 && port < 65_536);
}

function blocks(text: string): readonly string[] {
  // They become text of a rule: nothing but an address and a length may stand in them.
  return items(text).filter((block) => /^[\da-f.:/]+$/i.test(block) && parseCidrBlock(block) !== undefined);
}

function items(text: string): string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
