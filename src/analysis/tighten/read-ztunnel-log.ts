/**
 * Access logs of ztunnel, as text or in JSON, alone or wrapped by a log collector: who opened a connection to which pod, by the certificate.
 * @see src/proxy/metrics.rs of istio/ztunnel
 */
import { type Caller, leftOut, malformed, type Reading } from "./flow-reading.ts";
import { isPort } from "./read-bulwark-flow.ts";
import type { WorkloadNames } from "./workload-names.ts";

type Fields = Readonly<Record<string, unknown>>;

/** @param line of the log; ztunnel's other lines are no traffic. */
export function readZtunnelLog(line: string, names: WorkloadNames): Reading {
  const entry = entryOf(line);
  if (entry === undefined) return malformed("it is no line of ztunnel's");
  const { timeMs, fields, message } = entry;
  if (fields.scope !== "access") return leftOut("not-traffic");
  if (Number.isNaN(timeMs)) return malformed("its time is none");
  // It ends before there is enough for more: the client has no identity that ztunnel takes.
  if (message === "connection failed") return leftOut("denied");
  // Told once more when it ends.
  if (message !== "connection complete") return leftOut("not-traffic");
  const error = text(fields.error);
  if (error !== undefined) return leftOut(/policy rejection/i.test(error) ? "denied" : "failed");
  if (fields.direction === "outbound") return outbound(fields, names);
  if (fields.direction !== "inbound") return leftOut("untold");
  return inbound(fields, names, timeMs);
}

function inbound(fields: Fields, names: WorkloadNames, timeMs: number): Reading {
  const tunnelled = text(fields["dst.hbone_addr"]);
  const address = tunnelled ?? text(fields["dst.addr"]);
  const port = Number(/:(\d{1,5})$/.exec(address ?? "")?.[1]);
  const workload = podOf(fields, "dst", names);
  if (workload === undefined || workload.dataplane !== "ambient") return leftOut("unknown-workload");
  if (!isPort(port)) return leftOut("untold", workload.key);
  return {
    kind: "server",
    workload: workload.key,
    port,
    caller: callerOf(fields),
    http: null,
    isOpaque: true,
    timeMs,
  };
}

/** Which port the client dialled it does not tell; what pods of the mesh let in their own ztunnels do. */
function outbound(fields: Fields, names: WorkloadNames): Reading {
  const workload = podOf(fields, "src", names);
  return workload === undefined ? leftOut("unknown-workload") : leftOut("untold", workload.key);
}

function podOf(fields: Fields, end: "src" | "dst", names: WorkloadNames) {
  const [namespace, pod] = [text(fields[`${end}.namespace`]), text(fields[`${end}.workload`])];
  return namespace === undefined || pod === undefined ? undefined : names.byPod(namespace, pod);
}

/** ztunnel writes the identity of the certificate, and none where there was none. */
function callerOf(fields: Fields): Caller {
  const ip = /^\[?([0-9a-fA-F.:]+?)\]?:\d{1,5}$/.exec(text(fields["src.addr"]) ?? "")?.[1];
  const address = ip === undefined ? {} : { ip };
  const identity = text(fields["src.identity"]);
  return identity?.startsWith("spiffe://") === true
    ? { principal: identity.slice("spiffe://".length), by: "certificate", ...address }
    : { principal: null, by: "none", ...address };
}

interface Entry {
  readonly timeMs: number;
  readonly message: string | undefined;
  readonly fields: Fields;
}

function entryOf(line: string): Entry | undefined {
  if (!line.startsWith("{")) return fromText(line);
  const outer = parsed(line);
  if (outer === undefined) return undefined;
  if (outer.scope !== undefined) return fromFields(outer);
  const inner = outer.log ?? outer.message;
  if (typeof inner === "string") return entryOf(inner.trim());
  return typeof inner === "object" && inner !== null ? fromFields(inner as Fields) : undefined;
}

function fromFields(fields: Fields): Entry {
  return { timeMs: Date.parse(text(fields.time) ?? ""), message: text(fields.message), fields };
}

/** `TIME level scope message key=value key="value"`; whatever ran the container may have written before it. */
const LINE = /(\d{4}-\d\d-\d\dT[\d:.]+Z)\s+(?:error|warn|info|debug|trace)\s+(\S+)\s+(.*)$/;
const PAIR = /(?:^|\s)([a-z_.]+)=("(?:[^"\\]|\\.)*"|\S+)/g;

function fromText(line: string): Entry | undefined {
  const [, time = "", scope, rest = ""] = LINE.exec(line) ?? [];
  if (scope === undefined) return undefined;
  const pairs = [...rest.matchAll(PAIR)].map(([, key = "", value = ""]) => [key, unquoted(value)] as const);
  const at = rest.search(/(?:^|\s)[a-z_.]+=/);
  const message = (at < 0 ? rest : rest.slice(0, at)).trim();
  return { timeMs: Date.parse(time), message, fields: { ...Object.fromEntries(pairs), scope } };
}

function unquoted(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}

function parsed(line: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Fields)
      : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" && value !== "unknown" ? value : undefined;
}
