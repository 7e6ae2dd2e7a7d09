import type { FlowRecord } from "../model/flow-record.ts";

export type FlowTextFieldName =
  | "from"
  | "to"
  | "verdict"
  | "kind"
  | "reporter"
  | "direction"
  | "host"
  | "sni"
  | "policy"
  | "principal"
  | "layer"
  | "reason"
  | "shadow"
  | "protocol"
  | "method"
  | "path"
  | "trace"
  | "connection";

/** One text field to filter by: what the command line, the SQL and the matcher in memory need to know of it, in one place. */
export interface FlowTextField {
  readonly name: FlowTextFieldName;
  readonly value: string;
  readonly help: string;
  /** Columns of the store, any of which may match. */
  readonly columns: readonly string[];
  /** The same of a record, in the order of the columns. */
  readonly read: (record: FlowRecord) => readonly (string | null | undefined)[];
  /** Pattern that the value stands for besides itself. */
  readonly alsoMatches?: (pattern: string) => string | undefined;
  /** Whether a value can stand in the column at all; a column less is an index more that SQLite can use. Default: yes. */
  readonly fits?: (column: string, pattern: string) => boolean;
  /** Whether a comma separates values; not where a value may hold one. */
  readonly splitsAtComma: boolean;
}

/** `--to payroll.finance` also finds the full host; `--policy finance/x` also finds `AuthorizationPolicy finance/x`. */
const anyClusterDomain = (pattern: string): string | undefined =>
  pattern.includes("/") ? undefined : `${pattern}.svc.*`;
const anyPolicyKind = (pattern: string): string => `* ${pattern}`;

const anywhere = (pattern: string): string => `*${pattern}*`;

/** Workloads have a slash, services have none. */
const workloadOrService = (column: string, pattern: string): boolean =>
  column === "destination" ? /[/*]/.test(pattern) : !pattern.includes("/");

/** The patterns to compare a column's value with, any of which may match. */
export function patternsFor(
  field: FlowTextField,
  column: string,
  given: readonly string[],
): readonly string[] {
  const patterns = given.flatMap((pattern) => [pattern, field.alsoMatches?.(pattern) ?? pattern]);
  return [...new Set(patterns)].filter((pattern) => field.fits?.(column, pattern) ?? true);
}

export const FLOW_TEXT_FIELDS: readonly FlowTextField[] = [
  {
    name: "from",
    value: "NS/NAME",
    help: "workload that opened the connection",
    columns: ["source"],
    read: (record) => [record.source?.workload],
    splitsAtComma: true,
  },
  {
    name: "to",
    value: "NS/NAME|SERVICE",
    help: "workload it went to (team-a/app-a), or the service (payroll.finance)",
    columns: ["destination", "service"],
    read: (record) => [record.destination?.workload, record.destination?.service],
    alsoMatches: anyClusterDomain,
    fits: workloadOrService,
    splitsAtComma: true,
  },
  {
    name: "verdict",
    value: "VERDICT",
    help: "allow, deny or error",
    columns: ["verdict"],
    read: (record) => [record.verdict],
    splitsAtComma: true,
  },
  {
    name: "kind",
    value: "KIND",
    help: "request, connection, handshake, decision, rotation or revocation",
    columns: ["kind"],
    read: (record) => [record.kind],
    splitsAtComma: true,
  },
  {
    name: "reporter",
    value: "NS/NAME",
    help: "whose proxy wrote the record",
    columns: ["reporter"],
    read: (record) => [record.reporter],
    splitsAtComma: true,
  },
  {
    name: "direction",
    value: "DIRECTION",
    help: "inbound or outbound, seen from the reporter",
    columns: ["direction"],
    read: (record) => [record.direction],
    splitsAtComma: true,
  },
  {
    name: "host",
    value: "HOST",
    help: "host that was asked for",
    columns: ["host"],
    read: (record) => [record.destination?.host],
    splitsAtComma: true,
  },
  {
    name: "sni",
    value: "NAME",
    help: "server name of the TLS, outer or inner",
    columns: ["sni", "inner_sni"],
    read: (record) => [record.sni, record.innerSni],
    splitsAtComma: true,
  },
  {
    name: "policy",
    value: "NS/NAME",
    help: "policy that decided, with or without its kind",
    columns: ["policy"],
    read: (record) => [record.policy],
    alsoMatches: anyPolicyKind,
    splitsAtComma: true,
  },
  {
    name: "principal",
    value: "PRINCIPAL",
    help: "identity of the source, cluster.local/ns/team-a/sa/app-a",
    columns: ["principal"],
    read: (record) => [record.source?.principal],
    splitsAtComma: true,
  },
  {
    name: "layer",
    value: "LAYER",
    help: "layer that decided: network, tls, jwt, rbac, route, egress …",
    columns: ["layer"],
    read: (record) => [record.layer],
    splitsAtComma: true,
  },
  {
    name: "reason",
    value: "REASON",
    help: "reason of the decision",
    columns: ["reason"],
    read: (record) => [record.reason],
    splitsAtComma: true,
  },
  {
    name: "shadow",
    value: "EFFECT",
    help: "what AUDIT and dry-run policies say: audit, would-deny, would-allow, or part of a policy's name",
    columns: ["shadow"],
    read: (record) => [record.shadow],
    alsoMatches: anywhere,
    splitsAtComma: true,
  },
  {
    name: "protocol",
    value: "PROTOCOL",
    help: "http, http2, grpc, websocket, tls or tcp",
    columns: ["protocol"],
    read: (record) => [record.protocol],
    splitsAtComma: true,
  },
  {
    name: "method",
    value: "METHOD",
    help: "HTTP method",
    columns: ["method"],
    read: (record) => [record.method],
    splitsAtComma: true,
  },
  {
    name: "path",
    value: "PATH",
    help: "path and query, as received",
    columns: ["path"],
    read: (record) => [record.path],
    splitsAtComma: false,
  },
  {
    name: "trace",
    value: "ID",
    help: "trace id: every hop of one request",
    columns: ["trace_id"],
    read: (record) => [record.traceId],
    splitsAtComma: true,
  },
  {
    name: "connection",
    value: "ID",
    help: "the reporter's connection id",
    columns: ["connection_id"],
    read: (record) => [record.connectionId],
    splitsAtComma: true,
  },
];
