/** A rule of an AuthorizationPolicy as istiod translates it for ztunnel, which takes no HTTP attribute. */
import type { OperationSpec, RuleSpec, SourceSpec, WhenSpec } from "../authorization-spec.ts";
import type { Connection } from "../connection.ts";
import type { Semantics } from "../inbound.ts";
import type { TrustDomains } from "../trust-domain-alias.ts";
import {
  L4_DESTINATION_IP,
  L4_NAMESPACES,
  L4_PORTS,
  L4_PRINCIPALS,
  L4_SERVICE_ACCOUNTS,
  L4_SOURCE_IP,
  L4_TRUST_DOMAINS,
  type L4Condition,
  type L4Field,
  l4Condition,
} from "./l4-condition.ts";

/** Conditions of one `source`, `operation` or `when`: all must hold. Without any it never matches. */
export type L4Entry = readonly L4Condition[];

export interface L4Rule {
  readonly index: number;
  /** `from`, `to` and each `when`: of every clause one entry must match. None: it always does. */
  readonly clauses: readonly (readonly L4Entry[])[];
  /** HTTP attributes that were left out. */
  readonly dropped: readonly string[];
}

export interface L4Context {
  readonly semantics: Semantics;
  readonly policyNamespace: string;
  readonly trustDomains: TrustDomains;
}

export function l4RuleMatches({ clauses }: L4Rule, connection: Connection): boolean {
  return clauses.every((entries) => entries.some((entry) => l4EntryMatches(entry, connection)));
}

function l4EntryMatches(entry: L4Entry, connection: Connection): boolean {
  return entry.length > 0 && entry.every((condition) => condition.matches(connection));
}

/**
 * @returns null for a rule of an ALLOW with any HTTP attribute: istiod drops it with all that it says besides. Of a DENY only
 * the attribute goes, and what is left of its entry matches alone; an entry of which nothing is left never does.
 */
export function compileL4Rule(
  { from = [], to = [], when = [] }: RuleSpec,
  index: number,
  action: "ALLOW" | "DENY",
  context: L4Context,
): L4Rule | null {
  const dropped = httpAttributes({ from, to, when });
  if (action === "ALLOW" && dropped.length > 0) return null;
  const clauses = [
    ...(to.length === 0 ? [] : [to.map(({ operation = {} }) => operationEntry(operation, context))]),
    ...(from.length === 0 ? [] : [from.map(({ source = {} }) => sourceEntry(source, action, context))]),
    ...when.map((condition) => [whenEntry(condition, context)]),
  ];
  return { index, clauses, dropped };
}

/** What of a rule ztunnel cannot judge. */
export function httpAttributes({ from = [], to = [], when = [] }: RuleSpec): readonly string[] {
  return [
    ...from.flatMap(({ source = {} }) => namesOf(HTTP_SOURCES, source)),
    ...to.flatMap(({ operation = {} }) => namesOf(HTTP_OPERATIONS, operation)),
    ...when.flatMap(({ key }) => (WHEN_FIELDS.has(key) ? [] : [key])),
  ];
}

const HTTP_SOURCES = [
  "remoteIpBlocks",
  "notRemoteIpBlocks",
  "requestPrincipals",
  "notRequestPrincipals",
] as const;
const HTTP_OPERATIONS = ["hosts", "notHosts", "methods", "notMethods", "paths", "notPaths"] as const;

function namesOf<K extends string>(
  names: readonly K[],
  spec: { readonly [name in K]?: readonly string[] },
): K[] {
  return names.filter((name) => (spec[name]?.length ?? 0) > 0);
}

function sourceEntry(source: SourceSpec, action: "ALLOW" | "DENY", context: L4Context): L4Entry {
  // istiod forgets trust domains: of an ALLOW that widens what is written, and strict semantics put them back.
  const { trustDomains, notTrustDomains } =
    context.semantics === "strict" && action === "ALLOW" ? source : {};
  return entryOf(context, [
    ["principals", L4_PRINCIPALS, source.principals, source.notPrincipals],
    ["namespaces", L4_NAMESPACES, source.namespaces, source.notNamespaces],
    ["serviceAccounts", L4_SERVICE_ACCOUNTS, source.serviceAccounts, source.notServiceAccounts],
    ["trustDomains", L4_TRUST_DOMAINS, trustDomains, notTrustDomains],
    ["ipBlocks", L4_SOURCE_IP, source.ipBlocks, source.notIpBlocks],
  ]);
}

function operationEntry({ ports, notPorts }: OperationSpec, context: L4Context): L4Entry {
  return entryOf(context, [["ports", L4_PORTS, ports, notPorts]]);
}

const WHEN_FIELDS: ReadonlyMap<string, L4Field> = new Map([
  ["source.ip", L4_SOURCE_IP],
  ["source.namespace", L4_NAMESPACES],
  ["source.principal", L4_PRINCIPALS],
  ["destination.ip", L4_DESTINATION_IP],
  ["destination.port", L4_PORTS],
]);

function whenEntry({ key, values, notValues }: WhenSpec, context: L4Context): L4Entry {
  const field = WHEN_FIELDS.get(key);
  return field === undefined ? [] : entryOf(context, [[key, field, values, notValues]]);
}

type FieldLists = readonly [
  name: string,
  field: L4Field,
  values: readonly string[] | undefined,
  notValues: readonly string[] | undefined,
];

function entryOf(context: L4Context, fields: readonly FieldLists[]): L4Entry {
  return fields
    .map(([name, field, values, notValues]) => l4Condition(name, field, values, notValues, context))
    .filter((condition) => condition !== null);
}
