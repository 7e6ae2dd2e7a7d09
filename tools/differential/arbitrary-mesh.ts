/** Random meshes: every field of every policy that bears on what a sidecar takes, from small alphabets so that requests meet them. */
import fc from "fast-check";
import type { RuleSpec, WhenSpec } from "../../src/policy/authorization-spec.ts";
import {
  AUDIENCES,
  BLOCKS,
  CLAIM_VALUES,
  DESTINATIONS,
  FORWARDED_FOR,
  HEADER_VALUES,
  HOSTS,
  ISSUERS,
  METHODS,
  NAMESPACES,
  PATHS,
  PORTS,
  PRESENTERS,
  PRINCIPALS,
  REQUEST_PRINCIPALS,
  SERVER_NAMES,
  SERVICE_ACCOUNTS,
  TRUST_DOMAINS,
} from "./alphabets.ts";
import type {
  GatewaySpec,
  MeshSpec,
  PeerSpec,
  PolicySpec,
  TokenPolicySpec,
  TokenRuleSpec,
} from "./differential-case.ts";

const some = (values: readonly string[]): fc.Arbitrary<string[]> =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });

/** A field and its negation, either of which may be there. Seldom: of many conditions together hardly any request meets all. */
function field(name: string, not: string, values: readonly string[]): fc.Arbitrary<object> {
  return fc.oneof(
    { weight: 14, arbitrary: fc.constant({}) },
    { weight: 3, arbitrary: some(values).map((list) => ({ [name]: list })) },
    { weight: 1, arbitrary: some(values).map((list) => ({ [not]: list })) },
    { weight: 1, arbitrary: fc.tuple(some(values), some(values)).map(([a, b]) => ({ [name]: a, [not]: b })) },
  );
}

const merged = (fields: readonly object[]): object => Object.assign({}, ...fields) as object;
const isNotEmpty = (fields: object): boolean => Object.keys(fields).length > 0;

/** Istio takes no `serviceAccounts` beside principals or namespaces. */
const source = fc
  .tuple(
    fc.oneof(
      fc
        .tuple(
          field("principals", "notPrincipals", PRINCIPALS),
          field("namespaces", "notNamespaces", NAMESPACES),
        )
        .map(merged),
      field("serviceAccounts", "notServiceAccounts", SERVICE_ACCOUNTS),
    ),
    field("trustDomains", "notTrustDomains", TRUST_DOMAINS),
    field("ipBlocks", "notIpBlocks", BLOCKS),
    field("remoteIpBlocks", "notRemoteIpBlocks", BLOCKS),
    field("requestPrincipals", "notRequestPrincipals", REQUEST_PRINCIPALS),
  )
  .map(merged)
  .filter(isNotEmpty);

const operation = fc
  .tuple(
    field("hosts", "notHosts", HOSTS),
    field("methods", "notMethods", METHODS),
    field("paths", "notPaths", PATHS),
    field("ports", "notPorts", PORTS),
  )
  .map(merged)
  .filter(isNotEmpty);

const CONDITIONS: readonly (readonly [key: string, values: readonly string[]])[] = [
  ["request.headers[x-role]", HEADER_VALUES],
  ["request.headers[X-Env]", HEADER_VALUES],
  ["request.headers[user-agent]", HEADER_VALUES],
  ["request.headers[X-Forwarded-For]", FORWARDED_FOR],
  ["request.headers[x-forwarded-proto]", ["http", "https", "*"]],
  ["request.headers[x-forwarded-client-cert]", ["*", "URI=spiffe://forged*", "By=*"]],
  ["source.ip", BLOCKS],
  ["remote.ip", BLOCKS],
  ["source.namespace", NAMESPACES],
  ["source.principal", PRINCIPALS],
  ["source.serviceAccount", SERVICE_ACCOUNTS],
  ["source.trustDomain", TRUST_DOMAINS],
  ["request.auth.principal", REQUEST_PRINCIPALS],
  ["request.auth.audiences", AUDIENCES],
  ["request.auth.presenter", PRESENTERS],
  ["request.auth.claims[groups]", CLAIM_VALUES],
  ["request.auth.claims[scope]", CLAIM_VALUES],
  ["request.auth.claims[realm][roles]", CLAIM_VALUES],
  ["destination.ip", DESTINATIONS],
  ["destination.port", PORTS],
  ["connection.sni", SERVER_NAMES],
];

const when: fc.Arbitrary<WhenSpec> = fc.constantFrom(...CONDITIONS).chain(([key, values]) =>
  field("values", "notValues", values)
    .filter(isNotEmpty)
    .map((lists) => ({ key, ...lists })),
);

/** Absent where it is empty: Istio takes no empty `from` or `to`. */
function listOf<Entry>(name: string, entry: fc.Arbitrary<Entry>, maxLength: number): fc.Arbitrary<object> {
  const some = fc.array(entry, { minLength: 1, maxLength }).map((list) => ({ [name]: list }));
  return fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 2, arbitrary: some });
}

const writtenRule: fc.Arbitrary<RuleSpec> = fc
  .tuple(
    listOf(
      "from",
      source.map((fields) => ({ source: fields })),
      2,
    ),
    listOf(
      "to",
      operation.map((fields) => ({ operation: fields })),
      2,
    ),
    listOf("when", when, 2),
  )
  .map((parts) => merged(parts) as RuleSpec)
  .filter(isNotEmpty);

/** One that matches everything is worth trying, but hides all others. */
const rule: fc.Arbitrary<RuleSpec> = fc.oneof(
  { weight: 30, arbitrary: writtenRule },
  { weight: 1, arbitrary: fc.constant({}) },
);

const namespace = fc.constantFrom("foo", "foo", "foo", "foo", "istio-system", "istio-system", "bar");
const selects = fc.constantFrom(
  "all" as const,
  "all" as const,
  "own" as const,
  "own" as const,
  "own" as const,
  "others" as const,
);

const IDENTITY_FIELD = /^(not)?(principals|namespaces|serviceAccounts|trustDomains|requestPrincipals)$/i;
const IDENTITY_KEY = /^(source\.(namespace|principal|serviceAccount|trustDomain)$|request\.auth\.)/;

/** Istio takes nothing in a CUSTOM policy that asks for an identity: its filter stands before those that find it. */
function withoutIdentities({ from, to, when }: RuleSpec): RuleSpec {
  const sources = (from ?? [])
    .map(({ source: fields }) => ({
      source: Object.fromEntries(Object.entries(fields ?? {}).filter(([name]) => !IDENTITY_FIELD.test(name))),
    }))
    .filter(({ source: fields }) => isNotEmpty(fields));
  const conditions = (when ?? []).filter(({ key }) => !IDENTITY_KEY.test(key ?? ""));
  return {
    ...(sources.length > 0 ? { from: sources } : {}),
    ...(to === undefined ? {} : { to }),
    ...(conditions.length > 0 ? { when: conditions } : {}),
  };
}

const policy: fc.Arbitrary<PolicySpec> = fc
  .record({
    namespace,
    selects,
    dryRun: fc.boolean().chain((first) => (first ? fc.boolean() : fc.constant(false))),
    action: fc.constantFrom(
      "ALLOW" as const,
      "ALLOW" as const,
      "ALLOW" as const,
      "DENY" as const,
      "AUDIT" as const,
      "CUSTOM" as const,
    ),
    rules: fc.oneof(fc.array(rule, { maxLength: 4 }), fc.array(rule, { maxLength: 12 })),
  })
  .map((spec) => (spec.action === "CUSTOM" ? { ...spec, rules: spec.rules.map(withoutIdentities) } : spec))
  .map((spec) => ({
    ...spec,
    dryRun: spec.dryRun && (spec.action === "ALLOW" || spec.action === "DENY"),
    rules: spec.action === "ALLOW" || spec.rules.length > 0 ? spec.rules : [{}],
  }));

const mode = fc.constantFrom(
  "STRICT" as const,
  "PERMISSIVE" as const,
  "PERMISSIVE" as const,
  "PERMISSIVE" as const,
  "DISABLE" as const,
  "UNSET" as const,
);

const peer: fc.Arbitrary<PeerSpec> = fc
  .record({
    namespace: fc.constantFrom("foo", "foo", "istio-system"),
    selects: fc.constantFrom("all" as const, "own" as const, "others" as const),
    mode: fc.option(mode, { nil: null }),
    ports: fc.dictionary(fc.constantFrom(...PORTS, "9999"), mode, { maxKeys: 2 }),
  })
  // Ports need a selector.
  .map((spec) => (spec.selects === "all" ? { ...spec, ports: {} } : spec));

const tokenRule: fc.Arbitrary<TokenRuleSpec> = fc
  .tuple(
    fc.record({ issuer: fc.constantFrom("iss", "iss", ...ISSUERS) }),
    fc.constantFrom({}, {}, {}, {}, { audiences: ["app"] }, { audiences: ["app", "https://other/"] }),
    fc.constantFrom(
      ...Array.from({ length: 6 }, () => ({})),
      { fromHeaders: [{ name: "x-jwt" }] },
      { fromHeaders: [{ name: "authorization", prefix: "Token " }] },
      { fromParams: ["token"] },
      { fromCookies: ["jwt"] },
      { fromHeaders: [{ name: "x-jwt", prefix: "J " }], fromParams: ["token"] },
    ),
    fc.constantFrom({}, { forwardOriginalToken: true }, { spaceDelimitedClaims: ["groups"] }),
  )
  .map((parts) => merged(parts) as TokenRuleSpec);

const tokenPolicy: fc.Arbitrary<TokenPolicySpec> = fc.record({
  namespace: fc.constantFrom("foo", "foo", "istio-system"),
  selects: fc.constantFrom("all" as const, "own" as const, "own" as const, "others" as const),
  rules: fc.array(tokenRule, { minLength: 1, maxLength: 2 }),
});

const providers: fc.Arbitrary<[string, string | null]> = fc.tuple(
  fc.constantFrom(
    "grpc",
    "grpc",
    "grpc-body",
    "grpc-body",
    "http",
    "http",
    "http-body",
    "http-body",
    "gone",
    "gone-open",
    "nobody",
  ),
  fc.option(fc.constantFrom("grpc", "http"), { freq: 6, nil: null }),
);

const gateway: fc.Arbitrary<GatewaySpec | null> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(null) },
  {
    weight: 1,
    arbitrary: fc.record({
      meshWide: fc.constantFrom(0, 0, 1, 2),
      own: fc.constantFrom(null, null, 0, 1, 3),
    }),
  },
);

export const arbitraryMesh: fc.Arbitrary<MeshSpec> = fc.record({
  gateway,
  trustDomain: fc.constantFrom("cluster.local", "cluster.local", "td.example"),
  trustDomainAliases: fc.constantFrom(
    [],
    ["old.domain", "td.example", "cluster.local"],
    ["old.domain", "cluster.local"],
    ["td.example", "cluster.local"],
    ["old.domain", "td.example"],
  ),
  pathNormalization: fc.constantFrom(
    "BASE" as const,
    "NONE" as const,
    "MERGE_SLASHES" as const,
    "DECODE_AND_MERGE_SLASHES" as const,
  ),
  peers: fc.array(peer, { maxLength: 3 }),
  tokens: fc.oneof(fc.constant([]), fc.array(tokenPolicy, { minLength: 1, maxLength: 2 })),
  policies: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.tuple(fc.array(policy, { minLength: 1, maxLength: 4 }), providers).map(withProviders),
    },
    { weight: 1, arbitrary: fc.constant([]) },
  ),
});

/** CUSTOM policies of one mesh name the same provider, but for the last: several deny. */
function withProviders([policies, [usual, last]]: [PolicySpec[], [string, string | null]]): PolicySpec[] {
  const customs = policies.filter(({ action }) => action === "CUSTOM");
  return policies.map((spec) =>
    spec.action === "CUSTOM"
      ? { ...spec, provider: spec === customs.at(-1) ? (last ?? usual) : usual }
      : spec,
  );
}
