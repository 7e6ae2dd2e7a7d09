/** Random policies, connections and requests from small alphabets, so that they meet. */
import fc from "fast-check";
import type { AuthorizationSpec, RuleSpec, WhenSpec } from "../../src/policy/authorization-spec.ts";

const some = (values: readonly string[]): fc.Arbitrary<string[]> =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });

/** A field and its negation, either of which may be there. */
function field(name: string, not: string, values: readonly string[]): fc.Arbitrary<Record<string, string[]>> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant({}) },
    { weight: 2, arbitrary: some(values).map((list) => ({ [name]: list })) },
    { weight: 1, arbitrary: some(values).map((list) => ({ [not]: list })) },
    { weight: 1, arbitrary: fc.tuple(some(values), some(values)).map(([a, b]) => ({ [name]: a, [not]: b })) },
  );
}

const PRINCIPALS = [
  "*",
  "cluster.local/ns/foo/sa/sleep",
  "cluster.local/ns/bar/sa/admin",
  "old.domain/ns/foo/sa/sleep",
  "*/ns/foo/sa/sleep",
  "*/sa/admin",
  "cluster.local/ns/foo/*",
  "cluster.local/*",
  "spiffe://cluster.local/ns/foo/sa/sleep",
  "*sleep",
  "foo",
];
const NAMESPACES = ["foo", "bar", "foo*", "*prod", "f*o", "*", "nope", "ns"];
const ACCOUNTS = ["sleep", "foo/sleep", "bar/admin", "bar/sleep", "foo-prod/sleep-v2", "foo/sle"];
const TRUST_DOMAINS = ["cluster.local", "old.domain", "*", "*.local", "old*", "other"];
const BLOCKS = ["10.1.0.5", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0", "192.168.7.7/32", "10.1.1.0/25"];
const REQUEST_PRINCIPALS = ["*", "iss/alice", "iss/*", "*/alice", "*alice", "iss*", "https://a/b/bob", "bob"];
const HOSTS = ["app", "APP", "*.example.com", "www.*", "www.example.com:80", "*", "www.example.com"];
const METHODS = ["GET", "POST", "P*", "*T", "*", "get"];
const PATHS = [
  "/",
  "*",
  "/admin",
  "/admin*",
  "/admin/*",
  "*.json",
  "/api/{*}",
  "/api/{**}",
  "/api/{*}/users",
  "/{**}/users",
  "/api/{**}/users",
];
const PORTS = ["8080", "9000", "7000", "80"];

const source = fc
  .tuple(
    field("principals", "notPrincipals", PRINCIPALS),
    field("namespaces", "notNamespaces", NAMESPACES),
    field("serviceAccounts", "notServiceAccounts", ACCOUNTS),
    field("trustDomains", "notTrustDomains", TRUST_DOMAINS),
    field("ipBlocks", "notIpBlocks", BLOCKS),
    field("remoteIpBlocks", "notRemoteIpBlocks", BLOCKS),
    field("requestPrincipals", "notRequestPrincipals", REQUEST_PRINCIPALS),
  )
  .map((fields) => Object.assign({}, ...fields) as object);

const operation = fc
  .tuple(
    field("hosts", "notHosts", HOSTS),
    field("methods", "notMethods", METHODS),
    field("paths", "notPaths", PATHS),
    field("ports", "notPorts", PORTS),
  )
  .map((fields) => Object.assign({}, ...fields) as object);

const WHEN_VALUES: readonly (readonly [string, readonly string[]])[] = [
  ["request.headers[x-role]", ["admin", "adm*", "*min", "*", "dev"]],
  ["request.headers[X-Env]", ["prod", "*"]],
  ["source.ip", BLOCKS],
  ["remote.ip", BLOCKS],
  ["source.namespace", NAMESPACES],
  ["source.principal", PRINCIPALS],
  ["source.serviceAccount", ACCOUNTS],
  ["source.trustDomain", TRUST_DOMAINS],
  ["request.auth.principal", REQUEST_PRINCIPALS],
  ["request.auth.audiences", ["app", "a*", "*"]],
  ["request.auth.presenter", ["cli", "*"]],
  ["request.auth.claims[groups]", ["dev", "ad*", "*"]],
  ["request.auth.claims[realm][roles]", ["r1", "*"]],
  ["destination.port", PORTS],
  ["connection.sni", ["*", "www.example.com", "*.example.com", "outbound_*"]],
];

const when: fc.Arbitrary<WhenSpec> = fc
  .constantFrom(...WHEN_VALUES)
  .chain(([key, values]) => field("values", "notValues", values).map((lists) => ({ key, ...lists })));

export const arbitraryRule: fc.Arbitrary<RuleSpec> = fc
  .record({
    from: fc.array(
      source.map((fields) => ({ source: fields })),
      { maxLength: 2 },
    ),
    to: fc.array(
      operation.map((fields) => ({ operation: fields })),
      { maxLength: 2 },
    ),
    when: fc.array(when, { maxLength: 2 }),
  })
  .map((rule) => rule as RuleSpec);

export interface ArbitraryPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly spec: AuthorizationSpec;
}

/** Policies that all apply to foo's httpbin, with names of their own. */
export const arbitraryPolicies: fc.Arbitrary<readonly ArbitraryPolicy[]> = fc
  .array(
    fc.record({
      namespace: fc.constantFrom("foo", "istio-system"),
      dryRun: fc.constant(false),
      spec: fc.record({
        action: fc.constantFrom("ALLOW" as const, "ALLOW" as const, "DENY" as const),
        rules: fc.array(arbitraryRule, { minLength: 1, maxLength: 12 }),
      }),
    }),
    { maxLength: 4 },
  )
  .map((policies) => policies.map((policy, index) => ({ ...policy, name: `p${index}` })));

export interface ArbitraryCall {
  readonly principal: string | null;
  readonly sourceIp: string;
  readonly sni: string;
  readonly port: number;
  readonly http: boolean;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly claims: Readonly<Record<string, unknown>> | null;
}

export const arbitraryCall: fc.Arbitrary<ArbitraryCall> = fc.record({
  principal: fc.constantFrom(
    null,
    "cluster.local/ns/foo/sa/sleep",
    "cluster.local/ns/foo/sa/httpbin",
    "cluster.local/ns/bar/sa/admin",
    "cluster.local/ns/foo-prod/sa/sleep-v2",
    "old.domain/ns/foo/sa/sleep",
    "cluster.local/ns/bar/sa/ns/foo/sa/sleep",
    "cluster.local/ns/foo/sa/sleep/extra",
    "cluster.local/ns/foo/x/sa/sleep",
    "cluster.local/foo/bar",
    "cluster.local/ns//sa/sleep",
  ),
  sourceIp: fc.constantFrom("10.1.0.5", "10.1.1.9", "192.168.7.7", "203.0.113.9"),
  sni: fc.constantFrom("", "www.example.com", "outbound_.80_._.httpbin"),
  port: fc.constantFrom(8080, 9000, 7000, 9999),
  http: fc.boolean(),
  method: fc.constantFrom("GET", "POST", "PUT", "OPTIONS"),
  path: fc.constantFrom(
    "/",
    "/admin",
    "/admin/x",
    "/adminx?a=b",
    "/api/v1",
    "/api/v1/users",
    "/api//users",
    "/api/",
    "/a.json",
    "/api/a[b]",
  ),
  host: fc.constantFrom("app", "WWW.Example.com", "www.example.com:80", "x.example.com"),
  headers: fc.array(
    fc.tuple(fc.constantFrom("x-role", "x-env"), fc.constantFrom("admin", "dev", "prod", "")),
    { maxLength: 3 },
  ),
  claims: fc.constantFrom(
    null,
    { iss: "iss", sub: "alice", aud: "app", groups: ["dev", "admin"], azp: "cli" },
    { iss: "https://a/b", sub: "bob", aud: ["x", "app"], groups: "dev", realm: { roles: ["r1"] } },
    { iss: "iss", aud: [], groups: [1, true], realm: "r1" },
  ),
});
