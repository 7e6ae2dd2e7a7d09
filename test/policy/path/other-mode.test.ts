import assert from "node:assert/strict";
import { test } from "node:test";
import { type AccessRequest, can, type ModeDifference } from "../../../src/index.ts";
import { meshFrom, workloadText } from "./mesh-text.ts";

function resource(kind: string, spec: string, name = "p", namespace = "default"): string {
  return `---\napiVersion: security.istio.io/v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`;
}

const policy = (spec: string): string => resource("AuthorizationPolicy", spec);
const AMBIENT =
  "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: amb, labels: {istio.io/dataplane-mode: ambient}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: far, namespace: amb, labels: {app: far}}\nspec: {serviceAccountName: far, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}\n";
const MESH = [workloadText({ name: "s", ip: "10.0.0.1" }), workloadText({ name: "c", ip: "10.0.0.2" })];
const ALIAS =
  '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: "trustDomainAliases: [old.example]"}\n';
const PROVIDER =
  '---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: "extensionProviders: [{name: x, envoyExtAuthzGrpc: {service: c.default.svc.cluster.local, port: 9000}}]"}\n';
const GET: AccessRequest = {
  from: { workload: "default/c" },
  to: { host: "s.default", port: 80 },
  path: "/api",
};

async function compare(
  texts: readonly string[],
  request: AccessRequest = GET,
): Promise<{ own: boolean; other: ModeDifference | undefined; explanation: string }> {
  const { mesh, rejected } = await meshFrom(...MESH, ...texts);
  assert.deepEqual(rejected, []);
  const [decision] = await can(mesh, [request], { compareModes: true });
  assert.ok(decision !== undefined);
  return {
    own: decision.allowed,
    other: decision.otherMode,
    explanation: decision.explanation.join("\n"),
  };
}

const CASES: readonly (readonly [
  what: string,
  texts: readonly string[],
  own: boolean,
  why: RegExp,
  request?: AccessRequest,
])[] = [
  [
    "an ALLOW rule with HTTP attributes is dropped at ztunnel",
    [policy('{rules: [{to: [{operation: {paths: ["/api"]}}]}]}')],
    true,
    /drops rule 0 of AuthorizationPolicy default\/p whole: an ALLOW rule that asks for paths/,
  ],
  [
    "a DENY clause of which nothing is left never matches at ztunnel",
    [policy("{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}")],
    false,
    /leaves methods out; a clause of which nothing is left never matches/,
  ],
  [
    "a DENY rule that loses an attribute hits more at ztunnel",
    [policy('{action: DENY, rules: [{to: [{operation: {ports: ["8080"], methods: [POST]}}]}]}')],
    true,
    /of rule 0 of AuthorizationPolicy default\/p ztunnel leaves methods out: the rest of it decides alone/,
  ],
  [
    "ztunnel asks no external authorizer",
    [PROVIDER, policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}")],
    false,
    /asks no external authorizer: AuthorizationPolicy default\/p needs a waypoint/,
  ],
  [
    "ztunnel reads no tokens",
    [resource("RequestAuthentication", '{jwtRules: [{issuer: i, jwks: "{\\"keys\\":[]}"}]}')],
    false,
    /reads no tokens/,
    { ...GET, jwt: "e30.e30.e30" },
  ],
  [
    "ztunnel knows no aliases of the trust domain",
    [ALIAS],
    true,
    /aliases do not count/,
    { from: { principal: "old.example/ns/default/sa/c" }, to: { workload: "default/s", port: 8080 } },
  ],
  [
    "istiod loses a STRICT port of a PERMISSIVE workload",
    [
      resource("PeerAuthentication", "{mtls: {mode: STRICT}}", "all", "istio-system"),
      resource(
        "PeerAuthentication",
        "{selector: {matchLabels: {app: s}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}}}",
      ),
    ],
    false,
    /of PeerAuthentication istiod hands ztunnel only what it turns into policies/,
    { from: { principal: null }, to: { workload: "default/s", port: 8080 } },
  ],
  [
    "an empty selector selects nothing at ztunnel",
    [policy("{selector: {}, action: DENY, rules: [{}]}")],
    false,
    /an empty selector selects nothing/,
  ],
];
for (const [what, texts, expected, why, request] of CASES)
  test(`${what}: told of a server behind a sidecar`, async () => {
    const { own, other, explanation } = await compare(texts, request);
    assert.deepEqual([own, other?.mode, other?.allowed], [expected, "ambient", !expected]);
    assert.match(other?.why.join("\n") ?? "", why);
    assert.match(explanation, /in ambient mode ztunnel decides otherwise: (allowed|denied) \(.*\)\nbecause /);
  });

test("of a server in ambient mode what a sidecar would do is told", async () => {
  const { other, own } = await compare(
    [
      AMBIENT,
      resource(
        "AuthorizationPolicy",
        "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}",
        "p",
        "amb",
      ),
    ],
    { from: { principal: "cluster.local/ns/default/sa/c" }, to: { workload: "amb/far", port: 8080 } },
  );
  assert.deepEqual([own, other?.mode, other?.allowed, other?.code], [true, "sidecar", false, 403]);
  assert.match(
    other?.why.join("\n") ?? "",
    /leaves methods out; a clause of which nothing is left never matches/,
  );
});

test("where both modes decide alike nothing is told, nor is asked of a mesh with one mode unless wanted", async () => {
  const alike = [policy("{rules: [{from: [{source: {namespaces: [default]}}]}]}")];
  assert.equal((await compare(alike)).other, undefined);
  assert.equal(
    (await compare(alike, { ...GET, from: { workload: "default/c", principal: null } })).other,
    undefined,
  );
  const dropped = policy('{rules: [{to: [{operation: {paths: ["/api"]}}]}]}');
  const one = await meshFrom(...MESH, dropped);
  assert.equal((await can(one.mesh, [GET]))[0]?.otherMode, undefined);
  const both = await meshFrom(...MESH, AMBIENT, dropped);
  assert.equal((await can(both.mesh, [GET]))[0]?.otherMode?.mode, "ambient");
  assert.equal((await can(both.mesh, [GET], { compareModes: false }))[0]?.otherMode, undefined);
});

const POD_ADDRESS = "status: {podIP: 10.3.0.1}\n";
const UNBOUND = `${AMBIENT}${POD_ADDRESS}`;
const BOUND = UNBOUND.replace("labels: {app: far}", "labels: {app: far, istio.io/use-waypoint: wp}");
const DENY_GET = "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}";
const far: AccessRequest = {
  from: { principal: "cluster.local/ns/default/sa/c", ip: "10.0.0.2" },
  to: { workload: "amb/far", port: 8080 },
};
const service = (name: string, namespace: string): string =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}\n`;
const BARE = workloadText({ name: "bare", annotations: '{sidecar.istio.io/inject: "false"}' }).replace(
  "security.istio.io/tlsMode: istio",
  "mesh: none",
);

const WHOLE: readonly (readonly [
  what: string,
  texts: readonly string[],
  request: AccessRequest,
  other: ModeDifference | undefined,
])[] = [
  [
    "a sidecar's denial is told whole, with its policy and rule",
    [UNBOUND, resource("AuthorizationPolicy", DENY_GET, "p", "amb")],
    far,
    {
      mode: "sidecar",
      allowed: false,
      code: 403,
      reason: "rbac",
      cause: "deny-matched",
      policy: "AuthorizationPolicy amb/p",
      rule: 0,
      why: [
        "of rule 0 of AuthorizationPolicy amb/p ztunnel leaves methods out; a clause of which nothing is left never matches there",
      ],
    },
  ],
  [
    "ztunnel's denial is told whole, by nobody",
    [policy('{rules: [{to: [{operation: {paths: ["/api"]}}]}]}')],
    GET,
    {
      mode: "ambient",
      allowed: false,
      code: 0,
      reason: "rbac",
      cause: "no-allow-matched",
      policy: null,
      rule: null,
      why: [
        "ztunnel drops rule 0 of AuthorizationPolicy default/p whole: an ALLOW rule that asks for paths cannot be judged without HTTP",
      ],
    },
  ],
  [
    "where no policy makes the difference the other's own words do",
    [],
    { from: { principal: null, ip: "10.0.0.2" }, to: { workload: "default/s", port: 8080 }, protocol: "tcp" },
    {
      mode: "ambient",
      allowed: true,
      code: 0,
      reason: "ok",
      cause: "no-allow-policies",
      policy: null,
      rule: null,
      why: ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    },
  ],
  [
    "both refuse, each in its way: nothing",
    [resource("PeerAuthentication", "{mtls: {mode: STRICT}}", "all", "istio-system")],
    { from: { principal: null, ip: "10.0.0.2" }, to: { workload: "default/s", port: 8080 } },
    undefined,
  ],
  [
    "a waypoint that is not decided: nothing",
    [
      BOUND,
      resource(
        "AuthorizationPolicy",
        "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}",
        "p",
        "amb",
      ),
      service("far", "amb"),
    ],
    { from: { workload: "default/c" }, to: { service: "far.amb", port: 80 } },
    undefined,
  ],
  [
    "a client behind ztunnel to a sidecar, not decided: nothing",
    [UNBOUND],
    { from: { workload: "amb/far" }, to: { service: "s.default", port: 80 } },
    undefined,
  ],
  [
    "an address that is not known at ztunnel alone: nothing",
    [
      resource(
        "AuthorizationPolicy",
        '{rules: [{from: [{source: {ipBlocks: ["10.0.0.0/8"]}}]}, {to: [{operation: {methods: [GET]}}]}]}',
      ),
    ],
    { from: { principal: "cluster.local/ns/default/sa/c" }, to: { workload: "default/s", port: 8080 } },
    undefined,
  ],
  [
    "keys that are not fetched: nothing",
    [resource("RequestAuthentication", '{jwtRules: [{issuer: i, jwksUri: "https://i/keys"}]}')],
    { ...GET, jwt: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJpIn0.AAAA" },
    undefined,
  ],
  [
    "an authorizer that is not asked: that the sidecar asks it",
    [PROVIDER, policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}")],
    GET,
    {
      mode: "ambient",
      allowed: true,
      code: 200,
      reason: "ok",
      cause: "no-allow-policies",
      policy: null,
      rule: null,
      why: ["ztunnel asks no external authorizer: AuthorizationPolicy default/p needs a waypoint"],
    },
  ],
  [
    "an authorizer that is not asked, where ztunnel denies without it",
    [
      PROVIDER,
      policy("{action: CUSTOM, provider: {name: x}, rules: [{}]}"),
      resource("AuthorizationPolicy", "{}", "nobody"),
    ],
    GET,
    {
      mode: "ambient",
      allowed: false,
      code: 0,
      reason: "rbac",
      cause: "no-allow-matched",
      policy: null,
      rule: null,
      why: ["ztunnel asks no external authorizer: AuthorizationPolicy default/p needs a waypoint"],
    },
  ],
  ["a refusal of the client's proxy: nothing", [], { ...GET, path: "/%00" }, undefined],
  ["a host outside: nothing", [], { ...GET, to: { host: "no.example", port: 80 } }, undefined],
  [
    "a server without a proxy: nothing",
    [BARE, policy(DENY_GET)],
    { from: { workload: "default/c" }, to: { workload: "default/bare", port: 8080 } },
    undefined,
  ],
];
for (const [what, texts, request, expected] of WHOLE)
  test(`in the other mode: ${what}`, async () => {
    assert.deepEqual((await compare(texts, request)).other, expected);
  });
