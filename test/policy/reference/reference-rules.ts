/**
 * A slow interpreter of AuthorizationPolicy rules, written from the documents: regular expressions as Istio publishes them,
 * no compiling, no sharing with the product but for types.
 */
import type {
  OperationSpec,
  RuleSpec,
  SourceSpec,
  WhenSpec,
} from "../../../src/policy/authorization-spec.ts";

export interface Facts {
  readonly http: boolean;
  readonly subject: string | null;
  readonly sourceIp: string;
  readonly remoteIp: string;
  /** Absent where nothing asks for it. */
  readonly destinationIp?: string;
  readonly port: number;
  readonly sni: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly claims: Readonly<Record<string, unknown>> | null;
  readonly trustDomains: readonly string[];
  readonly policyNamespace: string;
  readonly strict: boolean;
}

export type Action = "ALLOW" | "DENY" | "AUDIT" | "CUSTOM";

/** Undefined: HTTP attributes of an ALLOW on TCP, so the rule is not there. */
export function referenceMatches(rule: RuleSpec, action: Action, facts: Facts): boolean | undefined {
  const whens = (rule.when ?? []).map((when) => matchWhen(when, action, facts));
  const sources = (rule.from ?? [{}]).map(({ source = {} }) => matchSource(source, action, facts));
  const operations = (rule.to ?? [{}]).map(({ operation = {} }) => matchOperation(operation, action, facts));
  const fromAny = anyOf(sources.length === 0 ? [true] : sources);
  const toAny = anyOf(operations.length === 0 ? [true] : operations);
  return allOf([fromAny, toAny, ...whens]);
}

type Three = boolean | undefined;

function allOf(values: readonly Three[]): Three {
  return values.includes(undefined) ? undefined : values.every((value) => value === true);
}

function anyOf(values: readonly Three[]): Three {
  return values.includes(undefined) ? undefined : values.includes(true);
}

type Match = (value: string) => boolean;

function condition(
  values: readonly string[] = [],
  notValues: readonly string[] = [],
  match: Match,
  options: { http?: boolean; account?: boolean },
  action: Action,
  facts: Facts,
): Three {
  if (values.length === 0 && notValues.length === 0) return true;
  if (options.http === true && !facts.http) return action === "ALLOW" ? undefined : true;
  const odd = facts.subject !== null && !/^spiffe:\/\/[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(facts.subject);
  if (options.account === true && facts.strict && odd) return action !== "ALLOW";
  return (values.length === 0 || values.some(match)) && !notValues.some(match);
}

function matchSource(source: SourceSpec, action: Action, facts: Facts): Three {
  const c = (
    values: readonly string[] | undefined,
    not: readonly string[] | undefined,
    match: Match,
    options = {},
  ) => condition(values, not, match, options, action, facts);
  return allOf([
    c(source.principals, source.notPrincipals, principal(facts)),
    c(source.requestPrincipals, source.notRequestPrincipals, requestPrincipal(facts), { http: true }),
    c(source.namespaces, source.notNamespaces, namespace(facts), { account: true }),
    c(source.serviceAccounts, source.notServiceAccounts, serviceAccount(facts), { account: true }),
    c(source.trustDomains, source.notTrustDomains, trustDomain(facts)),
    c(source.ipBlocks, source.notIpBlocks, (block) => inBlock(facts.sourceIp, block)),
    c(source.remoteIpBlocks, source.notRemoteIpBlocks, (block) => inBlock(facts.remoteIp, block)),
  ]);
}

function matchOperation(operation: OperationSpec, action: Action, facts: Facts): Three {
  const c = (
    values: readonly string[] | undefined,
    not: readonly string[] | undefined,
    match: Match,
    http: boolean,
  ) => condition(values, not, match, { http }, action, facts);
  return allOf([
    c(operation.hosts, operation.notHosts, (v) => present(v.toLowerCase(), facts.host.toLowerCase()), true),
    c(operation.methods, operation.notMethods, (v) => present(v, facts.method), true),
    c(operation.paths, operation.notPaths, path(facts), true),
    c(operation.ports, operation.notPorts, (v) => Number(v) === facts.port, false),
  ]);
}

function matchWhen(when: WhenSpec, action: Action, facts: Facts): Three {
  const c = (match: Match, options = {}) =>
    condition(when.values, when.notValues, match, options, action, facts);
  const header = /^request\.headers\[(.*)\]$/.exec(when.key)?.[1]?.toLowerCase();
  if (header !== undefined) {
    const values = facts.headers.filter(([name]) => name === header).map(([, value]) => value);
    return c((v) => values.some((value) => present(v, value)), { http: true });
  }
  const claims = [...when.key.matchAll(/\[([^\]]*)\]/g)].map((match) => match[1] ?? "");
  switch (when.key.replace(/\[.*/, "")) {
    case "source.ip":
      return c((v) => inBlock(facts.sourceIp, v));
    case "remote.ip":
      return c((v) => inBlock(facts.remoteIp, v));
    case "source.namespace":
      return c(namespace(facts), { account: true });
    case "source.principal":
      return c(principal(facts));
    case "source.serviceAccount":
      return c(serviceAccount(facts), { account: true });
    case "source.trustDomain":
      return c(trustDomain(facts));
    case "destination.ip":
      return c((v) => inBlock(facts.destinationIp ?? "", v));
    case "destination.port":
      return c((v) => Number(v) === facts.port);
    case "connection.sni":
      return c((v) => text(v, facts.sni));
    case "request.auth.principal":
      return c(requestPrincipal(facts), { http: true });
    case "request.auth.audiences":
      return c(claim(facts, ["aud"]), { http: true });
    case "request.auth.presenter":
      return c(claim(facts, ["azp"]), { http: true });
    case "request.auth.claims":
      return c(claim(facts, claims), { http: true });
    default:
      throw new Error(`the reference knows no ${when.key}`);
  }
}

/** Exact, prefix, suffix, or `*` for present and not empty. */
function text(pattern: string, value: string): boolean {
  if (pattern === "*") return value !== "";
  if (pattern.startsWith("*")) return value.endsWith(pattern.slice(1));
  if (pattern.endsWith("*")) return value.startsWith(pattern.slice(0, -1));
  return value === pattern;
}

/** As text, but `*` also takes an empty value. */
function present(pattern: string, value: string): boolean {
  return pattern === "*" || text(pattern, value);
}

const quote = (literal: string): string => literal.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

function principal({ subject, trustDomains }: Facts): Match {
  return (value) => {
    if (subject === null) return false;
    return withAliases(value, trustDomains).some((pattern) => {
      if (pattern === "*") return subject !== "";
      if (pattern.startsWith("*")) return new RegExp(`^spiffe://.*${quote(pattern.slice(1))}$`).test(subject);
      if (pattern.endsWith("*")) return subject.startsWith(`spiffe://${pattern.slice(0, -1)}`);
      return subject === `spiffe://${pattern}`;
    });
  };
}

/**
 * `cluster.local`, and any of the mesh's own trust domains, stand for all of them. A star at the end counts where it fits one; so does
 * one at the beginning, but what it fits is left to it.
 */
function withAliases(value: string, trustDomains: readonly string[]): string[] {
  const [own = "", ...rest] = value.split("/");
  if (rest.length !== 4 || own === "*") return [value];
  if (own !== "cluster.local" && !trustDomains.some((one) => one === own || text(own, one))) return [value];
  return trustDomains.map((one) =>
    own.startsWith("*") && text(own, one) ? value : [one, ...rest].join("/"),
  );
}

function account({ subject }: Facts): { namespace: string; name: string } | undefined {
  const match = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(subject ?? "");
  return match === null ? undefined : { namespace: match[1] ?? "", name: match[2] ?? "" };
}

function namespace(facts: Facts): Match {
  return (value) => {
    if (facts.subject === null) return false;
    if (facts.strict) {
      const own = account(facts);
      const whole = new RegExp(`^${value.split("*").map(quote).join(".*")}$`);
      return own !== undefined && whole.test(own.namespace);
    }
    return new RegExp(`^.*/ns/${value.split("*").map(quote).join(".*")}/.*$`).test(facts.subject);
  };
}

function serviceAccount(facts: Facts): Match {
  return (value) => {
    if (facts.subject === null) return false;
    const [ns, name] = value.includes("/")
      ? [value.slice(0, value.indexOf("/")), value.slice(value.indexOf("/") + 1)]
      : [facts.policyNamespace, value];
    if (facts.strict) {
      const own = account(facts);
      return own !== undefined && own.namespace === ns && own.name === name;
    }
    const pattern = `^spiffe://.+/ns/${quote(ns)}/(.+/|)sa/${quote(name)}(/.+)?$`;
    return new RegExp(pattern).test(facts.subject);
  };
}

function trustDomain({ subject, trustDomains }: Facts): Match {
  return (value) => {
    if (subject === null) return false;
    if (value === "*") return subject.startsWith("spiffe://");
    const values = trustDomains.includes(value) ? trustDomains : [value];
    return values.some((one) =>
      new RegExp(`^spiffe://${one.split("*").map(quote).join("[^/]*")}/.*$`).test(subject),
    );
  };
}

function requestPrincipal({ claims }: Facts): Match {
  return (value) => {
    const { iss, sub } = claims ?? {};
    if (typeof iss !== "string" || typeof sub !== "string") return false;
    const slash = value.lastIndexOf("/");
    const [left, right] = slash < 0 ? [value, ""] : [value.slice(0, slash), value.slice(slash + 1)];
    if (value === "*") return iss !== "" && sub !== "";
    if (value.startsWith("*"))
      return slash < 0 ? iss !== "" && sub.endsWith(value.slice(1)) : text(left, iss) && sub === right;
    if (value.endsWith("*"))
      return slash < 0 ? iss.startsWith(value.slice(0, -1)) && sub !== "" : iss === left && text(right, sub);
    return iss === left && sub === right;
  };
}

function claim({ claims }: Facts, names: readonly string[]): Match {
  let value: unknown = claims;
  for (const name of names) {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    value = isObject ? (value as Record<string, unknown>)[name] : undefined;
  }
  const texts = (Array.isArray(value) ? value : [value]).filter((entry) => typeof entry === "string");
  return (pattern) => texts.some((entry) => text(pattern, entry));
}

const SEGMENT = "[a-zA-Z0-9\\-._~%!$&'()+,;:@=]";

function path({ path: whole }: Facts): Match {
  const only = whole.replace(/\?.*$/, "");
  return (value) => {
    if (!value.includes("{*}") && !value.includes("{**}")) return text(value, only);
    const pattern = value
      .split(/(\{\*\*?\})/)
      .map((part) =>
        part === "{*}" ? `${SEGMENT}+` : part === "{**}" ? `[/${SEGMENT.slice(1)}*` : quote(part),
      )
      .join("");
    return new RegExp(`^${pattern}$`).test(only);
  };
}

function inBlock(address: string, block: string): boolean {
  const [base = "", length] = block.split("/");
  const [a, b] = [bitsOf(address), bitsOf(base)];
  if (a.length !== b.length) return false;
  const kept = Number(length ?? b.length);
  return a.slice(0, kept) === b.slice(0, kept);
}

/** An address as text of 32 or 128 zeros and ones. */
function bitsOf(address: string): string {
  if (!address.includes(":"))
    return address
      .split(".")
      .map((octet) => Number(octet).toString(2).padStart(8, "0"))
      .join("");
  const [head = "", tail] = address.split("::");
  const groups = (text: string): string[] => text.split(":").filter((group) => group !== "");
  const missing = 8 - groups(head).length - groups(tail ?? "").length;
  const zeros = tail === undefined ? [] : Array.from({ length: missing }, () => "0");
  return [...groups(head), ...zeros, ...groups(tail ?? "")]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
}
