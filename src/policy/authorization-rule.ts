/** One rule of an AuthorizationPolicy, compiled for HTTP or for TCP chains. */
import type { OperationSpec, RuleSpec, SourceSpec, WhenSpec } from "./authorization-spec.ts";
import { AUDIENCES, claimField, PRESENTER, REQUEST_PRINCIPALS } from "./claim-fields.ts";
import { type Condition, type ConditionContext, compileCondition, type Field } from "./condition.ts";
import type { Connection } from "./connection.ts";
import { filterMetadataField } from "./filter-metadata-field.ts";
import type { HttpRequest } from "./http-request.ts";
import { HOSTS, headerField, METHODS, PATHS, PORTS, SNI } from "./operation-fields.ts";
import {
  DESTINATION_IP,
  NAMESPACES,
  PRINCIPALS,
  REMOTE_IP,
  SERVICE_ACCOUNTS,
  SOURCE_IP,
  TRUST_DOMAINS,
} from "./source-fields.ts";

/** Conditions that must all hold; none: it always does. */
export type Clause = readonly Condition[];

/** A rule matches when one of `sources` does and one of `operations` does. */
export interface CompiledRule {
  /** `AuthorizationPolicy ns/name` */
  readonly policy: string;
  /** Index in the policy's rules. */
  readonly index: number;
  /** Envoy's name for it, by which it orders rules: `ns[foo]-policy[p1]-rule[0]`. */
  readonly key: string;
  /** `from`, each with the `when`s that are about the caller or the request's attributes. Never empty. */
  readonly sources: readonly Clause[];
  /** `to`, each with the `when`s that are about the destination. Never empty. */
  readonly operations: readonly Clause[];
}

/** Total; allocates nothing. */
export function ruleMatches(
  rule: CompiledRule,
  connection: Connection,
  request: HttpRequest | null,
): boolean {
  return (
    someClauseMatches(rule.sources, connection, request) &&
    someClauseMatches(rule.operations, connection, request)
  );
}

function someClauseMatches(
  clauses: readonly Clause[],
  connection: Connection,
  request: HttpRequest | null,
): boolean {
  for (const clause of clauses) if (clauseMatches(clause, connection, request)) return true;
  return false;
}

function clauseMatches(clause: Clause, connection: Connection, request: HttpRequest | null): boolean {
  for (const condition of clause) if (!condition.matches(connection, request)) return false;
  return true;
}

/** @returns null where the rule does not exist on this kind of chain (HTTP fields of an ALLOW on TCP). */
export function compileRule(
  spec: RuleSpec,
  policy: { readonly namespace: string; readonly name: string },
  index: number,
  context: ConditionContext,
): CompiledRule | null {
  const builder = new RuleBuilder(context);
  const whens = spec.when ?? [];
  const callerWhens = builder.whens(whens.filter((when) => !isDestinationKey(when.key)));
  const destinationWhens = builder.whens(whens.filter((when) => isDestinationKey(when.key)));
  const sources = (spec.from ?? []).map(({ source }) => [...builder.source(source ?? {}), ...callerWhens]);
  const operations = (spec.to ?? []).map(({ operation }) => [
    ...builder.operation(operation ?? {}),
    ...destinationWhens,
  ]);
  if (builder.dropped) return null;
  return {
    policy: `AuthorizationPolicy ${policy.namespace}/${policy.name}`,
    index,
    key: `ns[${policy.namespace}]-policy[${policy.name}]-rule[${index}]`,
    sources: sources.length === 0 ? [callerWhens] : sources,
    operations: operations.length === 0 ? [destinationWhens] : operations,
  };
}

const DESTINATION_KEYS: ReadonlySet<string> = new Set([
  "destination.ip",
  "destination.port",
  "connection.sni",
]);

function isDestinationKey(key: string): boolean {
  return DESTINATION_KEYS.has(key);
}

const WHEN_FIELDS: ReadonlyMap<string, Field> = new Map([
  ["source.ip", SOURCE_IP],
  ["remote.ip", REMOTE_IP],
  ["source.namespace", NAMESPACES],
  ["source.principal", PRINCIPALS],
  ["source.serviceAccount", SERVICE_ACCOUNTS],
  ["source.trustDomain", TRUST_DOMAINS],
  ["request.auth.principal", REQUEST_PRINCIPALS],
  ["request.auth.audiences", AUDIENCES],
  ["request.auth.presenter", PRESENTER],
  ["destination.ip", DESTINATION_IP],
  ["destination.port", PORTS],
  ["connection.sni", SNI],
]);

/** Undefined for a key that is not modelled. */
function whenField(key: string): Field | undefined {
  const known = WHEN_FIELDS.get(key);
  if (known !== undefined) return known;
  const header = /^request\.headers\[([^\]]+)\]$/.exec(key);
  if (header?.[1] !== undefined) return headerField(header[1]);
  const claims = /^request\.auth\.claims(\[.+\])$/.exec(key);
  return claims?.[1] === undefined ? filterMetadataField(key) : claimField(claimPath(claims[1]));
}

/** `[a][b]` is a path; brackets that do not nest properly are one name. */
function claimPath(brackets: string): string[] {
  if (!/^(\[[^[\]]*\])+$/.test(brackets)) return [brackets.slice(1, -1)];
  return [...brackets.matchAll(/\[([^[\]]*)\]/g)].map((match) => match[1] ?? "");
}

class RuleBuilder {
  /** Set when a condition makes the whole rule go. */
  dropped = false;
  readonly #context: ConditionContext;

  constructor(context: ConditionContext) {
    this.#context = context;
  }

  source(source: SourceSpec): Condition[] {
    return this.#all([
      ["principals", PRINCIPALS, source.principals, source.notPrincipals],
      ["requestPrincipals", REQUEST_PRINCIPALS, source.requestPrincipals, source.notRequestPrincipals],
      ["serviceAccounts", SERVICE_ACCOUNTS, source.serviceAccounts, source.notServiceAccounts],
      ["trustDomains", TRUST_DOMAINS, source.trustDomains, source.notTrustDomains],
      ["namespaces", NAMESPACES, source.namespaces, source.notNamespaces],
      ["remoteIpBlocks", REMOTE_IP, source.remoteIpBlocks, source.notRemoteIpBlocks],
      ["ipBlocks", SOURCE_IP, source.ipBlocks, source.notIpBlocks],
    ]);
  }

  operation(operation: OperationSpec): Condition[] {
    return this.#all([
      ["hosts", HOSTS, operation.hosts, operation.notHosts],
      ["methods", METHODS, operation.methods, operation.notMethods],
      ["paths", PATHS, operation.paths, operation.notPaths],
      ["ports", PORTS, operation.ports, operation.notPorts],
    ]);
  }

  whens(whens: readonly WhenSpec[]): Condition[] {
    return this.#all(whens.map(({ key, values, notValues }) => [key, whenField(key), values, notValues]));
  }

  #all(
    fields: readonly (readonly [
      name: string,
      field: Field | undefined,
      values: readonly string[] | undefined,
      notValues: readonly string[] | undefined,
    ])[],
  ): Condition[] {
    return fields.flatMap(([name, field, values = [], notValues = []]) => {
      if (values.length === 0 && notValues.length === 0) return [];
      const outcome = compileCondition(name, field, values, notValues, this.#context);
      if (outcome === "drop-rule") this.dropped = true;
      return typeof outcome === "string" ? [] : [outcome];
    });
  }
}
