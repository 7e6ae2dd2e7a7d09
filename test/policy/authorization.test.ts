import assert from "node:assert/strict";
import { test } from "node:test";
import { findWorkload } from "../../src/model/build-mesh.ts";
import {
  type Authorization,
  appliedPolicies,
  decideAuthorization,
  decideCustom,
  demandOf,
  isDryRun,
  observeAuthorization,
} from "../../src/policy/authorization.ts";
import { assumedClaims } from "../../src/policy/jwt/verify-jwt.ts";
import type { RuleSet } from "../../src/policy/rule-set.ts";
import type { Verdict } from "../../src/policy/verdict.ts";
import { authorization, connect, get, meshConfig, meshOf, policyOf } from "./inbound-fixture.ts";

const DRY_RUN = { annotations: { "istio.io/dry-run": "true" } };
const ROOT = { namespace: "istio-system" };
const PATH_X = [{ to: [{ operation: { paths: ["/x"] } }] }];
const PORT_80 = [{ to: [{ operation: { ports: ["80"] } }] }];
const PROVIDERS = meshConfig(`
extensionProviders:
- name: grpc
  envoyExtAuthzGrpc: {service: httpbin.foo.svc.cluster.local, port: 80, statusOnError: "503"}
- name: http
  envoyExtAuthzHttp: {service: httpbin.foo.svc.cluster.local, port: 80}
- name: broken
  envoyExtAuthzGrpc: {service: nowhere.example, port: 80}
`);
const custom = (name: string, provider: string | undefined, rules: unknown = PATH_X, rest = {}) =>
  authorization(
    name,
    { action: "CUSTOM", rules, ...(provider === undefined ? {} : { provider: { name: provider } }) },
    rest,
  );

/** `foo/p 0`: its policy and rule. */
const named = (policy: string | null, rule: number | null): string =>
  `${policy?.replace("AuthorizationPolicy ", "")} ${rule}`;
const shortly = ({ cause, code, allowed, policy, rule }: Verdict): string =>
  `${named(policy, rule)}: ${allowed ? "allowed" : "denied"} ${code} ${cause}`;
const rulesOf = (set: RuleSet | null | undefined): readonly string[] | null =>
  set?.rules.map(({ rule, verdict }) => {
    assert.equal(named(verdict.policy, verdict.rule), named(rule.policy, rule.index));
    return shortly(verdict);
  }) ?? null;

/** All of it, as text. */
function shape({ custom: asks, broken, deny, allow, dropped, enforced, observers }: Authorization): object {
  return {
    custom: rulesOf(asks?.set),
    broken: rulesOf(broken),
    deny: rulesOf(deny),
    allow: rulesOf(allow),
    dropped: dropped.map(({ policy, rule }) => named(policy, rule)),
    enforced: rulesOf(enforced),
    observers: observers.map(({ effect, set }) => [effect, rulesOf(set)]),
  };
}

const NOTHING = {
  custom: null,
  broken: null,
  deny: null,
  allow: null,
  dropped: [],
  enforced: [],
  observers: [],
};

test("compileAuthorization(): nothing applies where there is no policy", () => {
  const { http, tcp } = policyOf([]);
  assert.deepEqual(shape(http), NOTHING);
  assert.deepEqual(shape(tcp), NOTHING);
  const open = { allowed: true, reason: "ok", cause: "no-allow-policies", layer: "authorization" };
  assert.deepEqual(http.open, { ...open, code: 200, policy: null, rule: null });
  assert.deepEqual(tcp.open, { ...open, code: 0, policy: null, rule: null });
  const closed = { allowed: false, reason: "rbac", cause: "no-allow-matched", layer: "authorization" };
  assert.deepEqual(http.closed, { ...closed, code: 403, policy: null, rule: null });
  assert.deepEqual(tcp.closed, { ...closed, code: 0, policy: null, rule: null });
});

test("compileAuthorization(): without an action a policy is ALLOW; DENY's rules come before ALLOW's, each by Envoy's names", () => {
  const { http, tcp } = policyOf([
    authorization("b", { rules: [...PORT_80, ...PATH_X] }),
    authorization("a", { action: "ALLOW", rules: [{}] }),
    authorization("z", { action: "DENY", rules: PATH_X }),
    authorization("y", { action: "DENY", rules: PORT_80 }, ROOT),
  ]);
  const deny = ["foo/z 0: denied 403 deny-matched", "istio-system/y 0: denied 403 deny-matched"];
  const allow = [
    "foo/a 0: allowed 200 allow-matched",
    "foo/b 0: allowed 200 allow-matched",
    "foo/b 1: allowed 200 allow-matched",
  ];
  assert.deepEqual(shape(http), { ...NOTHING, deny, allow, enforced: [...deny, ...allow] });
  const denyTcp = ["foo/z 0: denied 0 deny-matched", "istio-system/y 0: denied 0 deny-matched"];
  const allowTcp = ["foo/a 0: allowed 0 allow-matched", "foo/b 0: allowed 0 allow-matched"];
  assert.deepEqual(shape(tcp), {
    ...NOTHING,
    deny: denyTcp,
    allow: allowTcp,
    dropped: ["foo/b 1"],
    enforced: [...denyTcp, ...allowTcp],
  });
});

test("compileAuthorization(): an ALLOW policy without rules applies and allows nothing", () => {
  for (const spec of [{}, { rules: [] }, undefined]) {
    const { http } = policyOf([authorization("a", spec as never)]);
    assert.deepEqual(shape(http), { ...NOTHING, allow: [] });
    assert.equal(decideAuthorization(http, connect(), get("/")), http.closed);
  }
});

test("compileAuthorization(): dropped are the rules of enforced ALLOW policies that do not exist on the chain, and no others", () => {
  const bad = [{ from: [{ source: { ipBlocks: ["10.0.0.0/99"] } }] }];
  const { http, tcp } = policyOf([
    authorization("a", { rules: [...bad, ...PATH_X] }),
    authorization("b", { rules: PATH_X }),
    authorization("d", { action: "DENY", rules: bad }),
    authorization("dry", { rules: bad }, DRY_RUN),
    authorization("audit", { action: "AUDIT", rules: bad }),
  ]);
  assert.deepEqual(
    http.dropped.map(({ policy, rule }) => named(policy, rule)),
    ["foo/a 0"],
  );
  assert.deepEqual(
    tcp.dropped.map(({ policy, rule }) => named(policy, rule)),
    ["foo/a 0", "foo/a 1", "foo/b 0"],
  );
});

test("compileAuthorization(): AUDIT and dry-run policies are observed: AUDIT, then DENY, then ALLOW; dry-run AUDIT is nothing", () => {
  const { http } = policyOf([
    authorization("allow", { rules: [{}] }, DRY_RUN),
    authorization("deny", { action: "DENY", rules: [{}] }, DRY_RUN),
    authorization("audit", { action: "AUDIT", rules: PATH_X }),
    authorization("audit-dry", { action: "AUDIT", rules: [{}] }, DRY_RUN),
  ]);
  assert.deepEqual(shape(http), {
    ...NOTHING,
    observers: [
      ["audit", ["foo/audit 0: allowed 200 allow-matched"]],
      ["would-deny", ["foo/deny 0: denied 403 deny-matched"]],
      ["would-allow", ["foo/allow 0: allowed 200 allow-matched"]],
    ],
  });
  const observed = (path: string) => observeAuthorization(http, connect(), get(path));
  const dry = [
    { effect: "would-deny", policy: "AuthorizationPolicy foo/deny", rule: 0 },
    { effect: "would-allow", policy: "AuthorizationPolicy foo/allow", rule: 0 },
  ];
  assert.deepEqual(observed("/x"), [
    { effect: "audit", policy: "AuthorizationPolicy foo/audit", rule: 0 },
    ...dry,
  ]);
  assert.deepEqual(observed("/y"), dry);
});

test("observeAuthorization(): dry-run DENY that does not match says nothing; dry-run ALLOW that does not would deny", () => {
  const deny = policyOf([authorization("d", { action: "DENY", rules: PATH_X }, DRY_RUN)]).http;
  assert.deepEqual(observeAuthorization(deny, connect(), get("/y")), []);
  const allow = policyOf([authorization("a", { rules: PATH_X }, DRY_RUN)]).http;
  assert.deepEqual(observeAuthorization(allow, connect(), get("/y")), [
    { effect: "would-deny", policy: null, rule: null },
  ]);
  const nothing = observeAuthorization(policyOf([]).http, connect(), get("/"));
  assert.deepEqual(nothing, []);
  assert.ok(Object.isFrozen(nothing));
});

test("an AUDIT policy without rules is observed by nobody", () => {
  assert.deepEqual(shape(policyOf([authorization("a", { action: "AUDIT", rules: [] })]).http), NOTHING);
});

test("istio.io/dry-run is on by what Go takes for true, and by nothing else", () => {
  const dry = (value: string) =>
    isDryRun(authorization("a", {}, { annotations: { "istio.io/dry-run": value } }));
  for (const value of ["1", "t", "T", "true", "TRUE", "True"]) assert.ok(dry(value), value);
  for (const value of ["", "0", "f", "false", "tRUE", "yes", "true "]) assert.ok(!dry(value), value);
  assert.ok(!isDryRun(authorization("a", {})));
});

const CUSTOM_CASES: readonly (readonly [
  law: string,
  policies: readonly ReturnType<typeof authorization>[],
  http: object,
  tcp: object,
])[] = [
  [
    "a gRPC provider is asked on HTTP and TCP, on TCP without the HTTP attributes",
    [custom("c", "grpc", [...PATH_X, ...PORT_80])],
    { custom: ["foo/c 0: denied 403 ext-authz-unanswered", "foo/c 1: denied 403 ext-authz-unanswered"] },
    { custom: ["foo/c 0: denied 0 ext-authz-unanswered", "foo/c 1: denied 0 ext-authz-unanswered"] },
  ],
  [
    "an HTTP provider is asked on HTTP alone",
    [custom("c", "http")],
    { custom: ["foo/c 0: denied 403 ext-authz-unanswered"] },
    {},
  ],
  [
    "several policies with one provider are asked as one",
    [custom("d", "grpc"), custom("c", "grpc", PORT_80)],
    { custom: ["foo/c 0: denied 403 ext-authz-unanswered", "foo/d 0: denied 403 ext-authz-unanswered"] },
    { custom: ["foo/c 0: denied 0 ext-authz-unanswered", "foo/d 0: denied 0 ext-authz-unanswered"] },
  ],
  [
    "an unknown provider denies what is matched",
    [custom("c", "nobody")],
    { broken: ["foo/c 0: denied 403 ext-authz-misconfigured"] },
    { broken: ["foo/c 0: denied 0 ext-authz-misconfigured"] },
  ],
  [
    "a provider without a service denies what is matched",
    [custom("c", "broken")],
    { broken: ["foo/c 0: denied 403 ext-authz-misconfigured"] },
    { broken: ["foo/c 0: denied 0 ext-authz-misconfigured"] },
  ],
  [
    "a policy without a provider denies what it matches",
    [custom("c", undefined)],
    { broken: ["foo/c 0: denied 403 ext-authz-misconfigured"] },
    { broken: ["foo/c 0: denied 0 ext-authz-misconfigured"] },
  ],
  [
    "several providers on one workload deny what is matched, one provider after the other by name",
    [custom("a", "http"), custom("b", "grpc"), custom("c", "http", PORT_80)],
    {
      broken: [
        "foo/b 0: denied 403 ext-authz-misconfigured",
        "foo/a 0: denied 403 ext-authz-misconfigured",
        "foo/c 0: denied 403 ext-authz-misconfigured",
      ],
    },
    {
      broken: [
        "foo/b 0: denied 0 ext-authz-misconfigured",
        "foo/a 0: denied 0 ext-authz-misconfigured",
        "foo/c 0: denied 0 ext-authz-misconfigured",
      ],
    },
  ],
  [
    "a dry-run policy denies what it matches, beside an enforced one of the same provider",
    [custom("c", "grpc", PORT_80), custom("d", "grpc", PATH_X, DRY_RUN)],
    {
      custom: ["foo/c 0: denied 403 ext-authz-unanswered"],
      broken: ["foo/d 0: denied 403 ext-authz-dry-run"],
    },
    {
      custom: ["foo/c 0: denied 0 ext-authz-unanswered"],
      broken: ["foo/d 0: denied 0 ext-authz-dry-run"],
    },
  ],
  [
    "a dry-run policy of an unusable provider denies nothing",
    [custom("d", "nobody", PATH_X, DRY_RUN)],
    {},
    {},
  ],
  ["policies without rules ask nobody", [custom("c", "grpc", []), custom("d", "grpc", [], DRY_RUN)], {}, {}],
];

for (const [law, policies, http, tcp] of CUSTOM_CASES) {
  test(`CUSTOM: ${law}`, () => {
    const policy = policyOf([PROVIDERS, ...policies]);
    assert.deepEqual(shape(policy.http), { ...NOTHING, ...http });
    assert.deepEqual(shape(policy.tcp), { ...NOTHING, ...tcp });
  });
}

test("decideCustom(): unanswered is unknown, allow is nothing against it, deny and error refuse; error with the provider's status", () => {
  const { http, tcp } = policyOf([PROVIDERS, custom("c", "grpc")]);
  const answers = (of: Authorization, request: ReturnType<typeof get> | null) =>
    ([undefined, "allow", "deny", "error"] as const).map((answer) => {
      const verdict = decideCustom(of, connect(), request, answer);
      return verdict === null ? null : `${shortly(verdict)} ${verdict.reason}`;
    });
  assert.deepEqual(answers(http, get("/x")), [
    "foo/c 0: denied 403 ext-authz-unanswered unknown",
    null,
    "foo/c 0: denied 403 ext-authz-denied rbac",
    "foo/c 0: denied 503 ext-authz-failed rbac",
  ]);
  assert.deepEqual(answers(tcp, null), [
    "foo/c 0: denied 0 ext-authz-unanswered unknown",
    null,
    "foo/c 0: denied 0 ext-authz-denied rbac",
    "foo/c 0: denied 0 ext-authz-failed rbac",
  ]);
  assert.deepEqual(answers(http, get("/y")), [null, null, null, null]);
  assert.deepEqual(answers(policyOf([]).http, get("/x")), [null, null, null, null]);
});

test("decideCustom(), demandOf(): what a policy that cannot be carried out matches is denied without asking, whatever was answered", () => {
  const { http } = policyOf([PROVIDERS, custom("c", "grpc", [{}]), custom("d", "grpc", PATH_X, DRY_RUN)]);
  for (const answer of [undefined, "allow", "deny", "error"] as const) {
    const verdict = decideCustom(http, connect(), get("/x"), answer);
    assert.equal(verdict && shortly(verdict), "foo/d 0: denied 403 ext-authz-dry-run");
  }
  assert.equal(demandOf(http, connect(), get("/x")), null);
  const demand = demandOf(http, connect(), get("/y"));
  assert.deepEqual(demand, {
    provider: demand?.provider,
    policy: "AuthorizationPolicy foo/c",
    rule: 0,
  });
  assert.equal(demand?.provider.name, "grpc");
  assert.ok(Object.isFrozen(demand));
});

test("CUSTOM: a policy that cannot be carried out knows no claims either, even where the token is verified already", () => {
  const rules = [{ from: [{ source: { requestPrincipals: ["*"] } }] }];
  const request = get("/");
  request.jwt = assumedClaims({ iss: "a", sub: "b" });
  for (const policy of [custom("c", "nobody", rules), custom("c", "grpc", rules, DRY_RUN)]) {
    const { http } = policyOf([PROVIDERS, policy]);
    assert.equal(http.broken?.rules.length, 1);
    assert.equal(decideCustom(http, connect(), request, undefined), null);
  }
});

test("demandOf(): each rule has its own demand; what no rule matches asks nobody", () => {
  const { http } = policyOf([PROVIDERS, custom("c", "grpc", [...PORT_80, ...PATH_X]), custom("e", "grpc")]);
  const demand = (path: string, destinationPort: number) => {
    const found = demandOf(http, connect({ destinationPort }), get(path));
    return found === null ? null : named(found.policy, found.rule);
  };
  assert.equal(demand("/x", 80), "foo/c 0");
  assert.equal(demand("/x", 8080), "foo/c 1");
  assert.equal(demand("/y", 80), "foo/c 0");
  assert.equal(demand("/y", 8080), null);
  assert.equal(demandOf(policyOf([]).http, connect(), get("/x")), null);
});

test("appliedPolicies(): of the workload's namespace and the root namespace, those whose selector is its", () => {
  const mesh = meshOf(
    authorization("own", {}),
    authorization("selected", { selector: { matchLabels: { app: "httpbin" } } }),
    authorization("other", { selector: { matchLabels: { app: "other" } } }),
    authorization("root", {}, ROOT),
    authorization("elsewhere", {}, { namespace: "bar" }),
  );
  const workload = findWorkload(mesh, "foo/httpbin");
  assert.ok(workload !== undefined);
  assert.deepEqual(appliedPolicies(mesh, workload).sort(), [
    "AuthorizationPolicy foo/own",
    "AuthorizationPolicy foo/selected",
    "AuthorizationPolicy istio-system/root",
  ]);
});
