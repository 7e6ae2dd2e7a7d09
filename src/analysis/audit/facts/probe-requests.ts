/** Requests that a rule is about, made of its own values: quick to make, so that only what they do not settle is computed. */
import type { Clause, CompiledRule } from "../../../policy/authorization-rule.ts";
import type { Condition } from "../../../policy/condition.ts";
import { splitAccount } from "../../../policy/identity-pattern.ts";
import type { Claims } from "../../../policy/jwt/jwt-result.ts";
import type { SampleRequest } from "../../space/request-space.ts";

export interface ProbeSettings {
  readonly trustDomain: string;
  /** A port that the workload has. */
  readonly port: number;
  readonly policyNamespace: string;
  /** Whose tokens are taken there; some other one by default. */
  readonly issuer?: string | undefined;
}

/** So many pairs of a source and an operation are tried. */
const PROBES = 4;

/** They may miss the rule: who uses them asks it. */
export function* probesOf(rule: CompiledRule, settings: ProbeSettings): Iterable<SampleRequest> {
  let made = 0;
  for (const source of rule.sources)
    for (const operation of rule.operations) {
      if (made++ >= PROBES) return;
      yield probeOf([...source, ...operation], settings);
    }
}

function probeOf(conditions: Clause, settings: ProbeSettings): SampleRequest {
  const { trustDomain, port } = settings;
  const named = new Map(conditions.map((condition) => [condition.field, condition]));
  const given = (...fields: readonly string[]): string | undefined =>
    fields.map((field) => named.get(field)?.values.at(-1)).find((value) => value !== undefined);
  const text = (usual: string, ...fields: readonly string[]): string => {
    const value = given(...fields);
    return value === undefined ? usual : exampleOf(value, usual);
  };
  const address = (usual: string, ...fields: readonly string[]): string =>
    given(...fields)?.split("/")[0] ?? usual;
  const remote = given("remoteIpBlocks", "remote.ip");
  return {
    protocol: "http",
    port: Number(given("ports", "destination.port") ?? port),
    principal: principalOf(given, settings) ?? `${trustDomain}/ns/x/sa/x`,
    sourceIp: address("192.0.2.1", "ipBlocks", "source.ip"),
    remoteIp: remote?.split("/")[0] ?? null,
    destinationIp: address("192.0.2.2", "destination.ip"),
    sni: text("", "connection.sni"),
    method: text("GET", "methods", "request.headers[:method]"),
    host: text("x.example", "hosts").toLowerCase(),
    path: text("/x", "paths"),
    headers: conditions.flatMap(headerOf),
    claims: claimsOf(conditions, settings.issuer ?? "x"),
  };
}

type Given = (...fields: readonly string[]) => string | undefined;

function principalOf(given: Given, { trustDomain, policyNamespace }: ProbeSettings): string | undefined {
  const principal = given("principals", "source.principal");
  if (principal !== undefined) return principalLike(principal, trustDomain);
  const account = given("serviceAccounts", "source.serviceAccount");
  if (account !== undefined) {
    const { namespace, name } = splitAccount(account, policyNamespace);
    return `${trustDomain}/ns/${namespace}/sa/${name}`;
  }
  const namespace = given("namespaces", "source.namespace");
  const domain = given("trustDomains", "source.trustDomain");
  if (namespace === undefined && domain === undefined) return undefined;
  return `${domain === undefined ? trustDomain : exampleOf(domain, "x")}/ns/${exampleOf(namespace ?? "x", "x")}/sa/x`;
}

/** Puts the parts that a pattern leaves open. `cluster.local` stands for the mesh's own trust domain. */
function principalLike(pattern: string, trustDomain: string): string {
  if (pattern.startsWith("*")) {
    const suffix = pattern.slice(1);
    for (const head of ["", "/ns", "/ns/x", "/ns/x/sa", "/ns/x/sa/x"]) {
      const whole = `${trustDomain}${head}${suffix}`;
      if (isAccount(whole)) return whole;
    }
    return `${trustDomain}/ns/x/sa/x${suffix}`;
  }
  const own = pattern.replace(/^cluster\.local(?=\/)/, trustDomain);
  if (!own.endsWith("*")) return own;
  for (const tail of ["", "x", "/x", "sa/x", "/sa/x", "x/sa/x", "ns/x/sa/x", "/ns/x/sa/x"]) {
    const whole = own.slice(0, -1) + tail;
    if (isAccount(whole)) return whole;
  }
  return own.slice(0, -1);
}

function isAccount(text: string): boolean {
  return /^[^/]+\/ns\/[^/]+\/sa\/[^/]+$/.test(text);
}

/** A text that a pattern of AuthorizationPolicy, or a path template, matches. */
export function exampleOf(pattern: string, usual: string): string {
  if (pattern === "*") return usual === "" ? "x" : usual;
  if (pattern.includes("{*")) return pattern.replaceAll(/\{\*\*?\}/g, "x");
  if (pattern.startsWith("*")) return (usual.startsWith("/") ? "/x" : "x") + pattern.slice(1);
  return pattern.endsWith("*") ? `${pattern.slice(0, -1)}x` : pattern;
}

function headerOf({ field, values }: Condition): readonly string[] {
  const name = /^request\.headers\[([^\]]+)\]$/.exec(field)?.[1]?.toLowerCase();
  const value = values.at(-1);
  // Those are said in other places of a request.
  if (name?.startsWith(":") === true || name === "host") return [];
  return name === undefined || value === undefined ? [] : [name, exampleOf(value, "x")];
}

function claimsOf(conditions: Clause, issuer: string): Claims | null {
  let claims: Record<string, unknown> = {};
  for (const { field, values } of conditions) {
    const value = values.at(-1);
    if (value === undefined) continue;
    const text = exampleOf(value, "x");
    if (field === "requestPrincipals" || field === "request.auth.principal")
      claims = { ...claims, ...subjectLike(text, issuer) };
    else if (field === "request.auth.audiences") claims = { ...claims, aud: text };
    else if (field === "request.auth.presenter") claims = { ...claims, azp: text };
    else claims = withClaim(claims, field, text);
  }
  return Object.keys(claims).length === 0 ? null : { iss: issuer, sub: "x", ...claims };
}

function subjectLike(text: string, issuer: string): Record<string, string> {
  const slash = text.lastIndexOf("/");
  return slash < 0 ? { iss: issuer, sub: text } : { iss: text.slice(0, slash), sub: text.slice(slash + 1) };
}

/** Of one name; deeper ones are left to the computation. */
function withClaim(claims: Record<string, unknown>, field: string, text: string): Record<string, unknown> {
  const name = /^request\.auth\.claims\[([^[\]]+)\]$/.exec(field)?.[1];
  return name === undefined ? claims : { ...claims, [name]: text };
}
