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
