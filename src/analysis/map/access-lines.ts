/** A line of the access map in words: the requests of each group of ports. */
import { ALL_PORTS, formatPorts, type PortSet, subtractPorts } from "../../policy/network/port-set.ts";
import type { Saying } from "../space/describe.ts";
import type { AccessEntry } from "./access-map.ts";
import type { PortAccess, RequestSet } from "./server-access.ts";

export interface AccessLine {
  /** `TCP 8080` */
  readonly connections: string;
  /** `allowed`: the server takes them. `asked`: if its external authorizer does. `unjudged`: no proxy of the server's judges, or it is not analysed. */
  readonly outcome: "allowed" | "asked" | "unjudged";
  /** Of `allowed` and `asked`: what has to be so of a request; none: nothing. */
  readonly sayings: readonly Saying[];
  /** For a person: `HTTP, methods GET, paths /orders/*`. */
  readonly text: string;
}

/** At least one. */
export function accessLines(entry: AccessEntry): readonly AccessLine[] {
  const { access, why = "", connections, set, destination } = entry;
  if (access === null) return [unjudged(connections, why)];
  if (destination?.workloads[0]?.dataplane === "none")
    return [unjudged(connections, "anything: no proxy stands before it")];
  const lines = TCP_LINES.get(access) ?? tcpLines(access);
  TCP_LINES.set(access, lines);
  const past = (entry.past ?? []).flatMap((protocol) =>
    set.ports[protocol].length === 0
      ? []
      : [unjudged(`${protocol} ${formatPorts(set.ports[protocol])}`, "past every proxy")],
  );
  return [...lines, ...past];
}

/** Pairs whom policies do not tell apart share their access. */
const TCP_LINES = new WeakMap<readonly PortAccess[], readonly AccessLine[]>();

function tcpLines(access: readonly PortAccess[]): readonly AccessLine[] {
  return access.flatMap(({ ports, allowed, asked }) => {
    const own = `TCP ${portsText(ports)}`;
    return [...requestLines(own, "allowed", allowed), ...requestLines(own, "asked", asked)];
  });
}

/** Most ports are those that no policy names. */
function portsText(ports: PortSet): string {
  const missing = subtractPorts(ALL_PORTS, ports);
  if (missing.length === 0) return "any port";
  return missing.length < ports.length ? `any port but ${formatPorts(missing)}` : formatPorts(ports);
}

function unjudged(connections: string, text: string): AccessLine {
  return { connections, outcome: "unjudged", sayings: [], text };
}

function requestLines(
  connections: string,
  outcome: "allowed" | "asked",
  { sayings, isWhole }: RequestSet,
): readonly AccessLine[] {
  const lines = sayings.map((own) => ({ connections, outcome, sayings: own, text: textOf(own, outcome) }));
  if (isWhole) return lines;
  const more = { connections, outcome, sayings: [], text: "and more, which takes too many words to say" };
  return [...lines, more];
}

function textOf(sayings: readonly Saying[], outcome: "allowed" | "asked"): string {
  const parts = sayings.map(({ id, title, text }) => (id === "protocol" ? text : `${title} ${text}`));
  const [only] = sayings;
  const requests =
    parts.length === 0
      ? "anything"
      : parts.length === 1 && only?.id === "protocol"
        ? `any ${only.text}`
        : parts.join("; ");
  return outcome === "asked" ? `if the external authorizer allows it: ${requests}` : requests;
}
