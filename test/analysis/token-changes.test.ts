import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AccessChange, diffAccess } from "../../src/analysis/diff/diff-access.ts";
import { diffMesh } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import { loadTexts } from "../../src/resources/load.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { arbitraryCall, arbitraryPolicies } from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, meshOf, resource } from "../policy/inbound-fixture.ts";

const SEED = 20261123;
const BAD_TOKEN_LET = "a token that does not verify is no longer refused";
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const ISSUER = "iss";

function verifying(rule: Readonly<Record<string, unknown>> = {}, app = "httpbin"): Resource {
  return resource("RequestAuthentication", "tokens", {
    selector: { matchLabels: { app } },
    jwtRules: [{ issuer: ISSUER, jwks: '{"keys":[]}', ...rule }],
  });
}

/** Let in with a principal of a token, or from a namespace. */
const WITH_PRINCIPAL = authorization("principal", {
  rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }],
});

async function answers(meshes: readonly Mesh[], request: AccessRequest): Promise<readonly boolean[]> {
  const all: boolean[] = [];
  for (const mesh of meshes) {
    const [decision] = await can(mesh, [request], { semantics: "istio" });
    all.push(decision?.allowed ?? assert.fail());
  }
  return all;
}

async function assertFlips(meshes: readonly Mesh[], changes: readonly AccessChange[]): Promise<void> {
  for (const { change, witness } of changes)
    assert.deepEqual(
      await answers(meshes, witness),
      change === "widened" ? [false, true] : [true, false],
      JSON.stringify(witness),
    );
}

test("tokens that somebody verifies on one side alone: every witness flips, and nothing flips that was not told", async () => {
  let witnesses = 0;
  let bad = 0;
  await fc.assert(
    fc.asyncProperty(
      arbitraryPolicies,
      fc.constantFrom({}, { audiences: ["app"] }, { fromHeaders: [{ name: "x-token", prefix: "T " }] }),
      fc.boolean(),
      fc.array(fc.tuple(arbitraryCall, fc.boolean()), { minLength: 20, maxLength: 20 }),
      async (policies, rule, isAdded, calls) => {
        const others = policies.map(({ name, namespace, spec }) =>
          authorization(name, { ...spec }, { namespace }),
        );
        const sides = [verifying(rule), verifying(rule, "nobody")];
        const meshes = (isAdded ? sides.toReversed() : sides).map((tokens) =>
          meshOf(CONFIG, tokens, ...others),
        );
        const [before, after] = meshes;
        assert.ok(before !== undefined && after !== undefined);
        const { changes, notAnalysed } = diffAccess(before, after, { semantics: "istio", regionLimit: 1000 });
        assert.deepEqual(notAnalysed, []);
        await assertFlips(meshes, changes);
        witnesses += changes.length;
        for (const { witness, weakens } of changes) {
          const isBad = JSON.stringify(witness).includes("not.a.token");
          if (isBad) bad++;
          if (isBad && !isAdded) assert.deepEqual(weakens, [BAD_TOKEN_LET]);
        }
        for (const [call, isBad] of calls) {
          const { principal, http, claims } = call;
          const token = "fromHeaders" in rule ? { headers: [["x-token", "T no"] as const] } : { jwt: "no" };
          const request: AccessRequest = {
            from: { principal, ip: call.sourceIp, ...(principal === null ? {} : { alpn: ["istio"] }) },
            to: { workload: "foo/httpbin", port: call.port },
            protocol: http ? "http" : "tcp",
            ...(http ? { method: call.method, path: call.path, host: call.host } : {}),
            ...(http && isBad ? token : {}),
            ...(http && !isBad && claims !== null ? { jwt: { claims } } : {}),
          };
          const [was, is] = await answers(meshes, request);
          if (was === is) continue;
          const told = changes.some(({ change }) => (change === "widened") === is);
          assert.ok(told, JSON.stringify(request));
        }
      },
    ),
    { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 4) },
  );
  assert.ok(witnesses > 5 && bad > 1, `${witnesses} witnesses, ${bad} with bad tokens`);
});

for (const [where, rule, expected] of [
  ["Authorization", {}, { jwt: "not.a.token" }],
  [
    "a header of its own",
    { fromHeaders: [{ name: "X-Token", prefix: "T " }] },
    { headers: [["x-token", "T not.a.token"]] },
  ],
  ["a parameter", { fromParams: ["t"] }, { path: "/?t=not.a.token" }],
  ["a cookie", { fromCookies: ["session"] }, { headers: [["cookie", "session=not.a.token"]] }],
] as const)
  test(`a token in ${where} that does not verify is let in where nobody verifies any more, and told so`, async () => {
    const meshes = [meshOf(CONFIG, verifying(rule)), meshOf(CONFIG, verifying(rule, "nobody"))] as const;
    const { changes } = diffAccess(...meshes, { semantics: "istio" });
    assert.deepEqual(
      changes.map(({ change, weakens }) => [change, weakens]),
      [["widened", [BAD_TOKEN_LET]]],
    );
    assert.match(JSON.stringify(changes[0]?.requests), /one that does not verify/);
    const { jwt, headers, path } = changes[0]?.witness ?? assert.fail();
    assert.deepEqual({ ...(jwt && { jwt }), ...(headers && { headers }), path }, { path: "/", ...expected });
    await assertFlips(meshes, changes);
    const back = diffAccess(meshes[1], meshes[0], { semantics: "istio" }).changes;
    assert.deepEqual(
      back.map(({ change, weakens }) => [change, weakens]),
      [["narrowed", []]],
    );
    await assertFlips(meshes.toReversed(), back);
  });

test("what good tokens lose where nobody verifies them is narrowed, with audiences or without", async () => {
  for (const rule of [{}, { audiences: ["orders"] }]) {
    const meshes = [
      meshOf(CONFIG, verifying(rule), WITH_PRINCIPAL),
      meshOf(CONFIG, verifying(rule, "nobody"), WITH_PRINCIPAL),
    ] as const;
    const { changes, notAnalysed } = diffAccess(...meshes, { semantics: "istio" });
    assert.deepEqual(notAnalysed, []);
    assert.ok(changes.length > 0);
    for (const { change } of changes) assert.equal(change, "narrowed");
    await assertFlips(meshes, changes);
    const back = diffAccess(meshes[1], meshes[0], { semantics: "istio" }).changes;
    for (const { change } of back) assert.equal(change, "widened");
    await assertFlips(meshes.toReversed(), back);
  }
});

test("a DENY on those without a principal stays closed to tokens that nobody verifies", async () => {
  const deny = authorization("deny", {
    action: "DENY",
    rules: [{ from: [{ source: { notRequestPrincipals: ["*"] } }] }],
  });
  const meshes = [meshOf(CONFIG, verifying(), deny), meshOf(CONFIG, verifying({}, "nobody"), deny)] as const;
  const { changes } = diffAccess(...meshes, { semantics: "istio" });
  assert.deepEqual([...new Set(changes.map(({ change }) => change))], ["narrowed"]);
  await assertFlips(meshes, changes);
});

test("where both sides verify, a token that does not is no matter", () => {
  const meshes = [
    meshOf(CONFIG, verifying()),
    meshOf(CONFIG, verifying(), authorization("none", {})),
  ] as const;
  const { changes } = diffAccess(...meshes, { semantics: "istio" });
  assert.doesNotMatch(JSON.stringify(changes), /does not verify|not\.a\.token/);
});

const SHOP = (app: string, mode = "istio-injection: enabled") => `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {${mode}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders, namespace: shop}
spec:
  selector: {matchLabels: {app: ${app}}}
  template:
    metadata: {labels: {app: ${app}}}
    spec: {serviceAccountName: orders, containers: [{name: orders, image: registry.example/orders:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {selector: {matchLabels: {app: orders}}, jwtRules: [{issuer: iss, jwks: '{"keys":[]}'}]}
`;

async function loaded(text: string): Promise<Mesh> {
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text }]);
  assert.deepEqual(rejected, []);
  return buildMesh(resources);
}

test("a pod that loses the label, or its sidecar, loses who refuses bad tokens, and that is told", async () => {
  const before = await loaded(SHOP("orders"));
  for (const text of [
    SHOP("other"),
    SHOP("orders", "istio.io/dataplane-mode: ambient"),
    SHOP("orders", "istio-injection: disabled"),
  ]) {
    const after = await loaded(text);
    const { changes } = await diffMesh(before, after, { semantics: "istio" });
    const told = changes.filter(({ weakens }) => weakens.includes(BAD_TOKEN_LET));
    assert.ok(told.length > 0, text);
    await assertFlips([before, after], told);
  }
});

const GATEWAY = (app: string) => `apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: shop}
spec:
  selector: {matchLabels: {istio: edge}}
  template:
    metadata: {labels: {istio: edge}, annotations: {inject.istio.io/templates: gateway}}
    spec: {containers: [{name: istio-proxy, image: auto, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec: {selector: {istio: edge}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {selector: {app: orders}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {istio: edge}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: shop}
spec: {hosts: [shop.example.com], gateways: [edge], http: [{route: [{destination: {host: orders}}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: edge, namespace: shop}
spec: {selector: {matchLabels: {istio: ${app}}}, jwtRules: [{issuer: iss, jwks: '{"keys":[]}'}]}
`;

test("at gateways, too: bad tokens that nobody refuses any more", async () => {
  const meshes = [
    await loaded(
      [SHOP("orders").replace("{app: orders}}, jwt", "{app: none}}, jwt"), GATEWAY("edge")].join("---\n"),
    ),
    await loaded(
      [SHOP("orders").replace("{app: orders}}, jwt", "{app: none}}, jwt"), GATEWAY("nobody")].join("---\n"),
    ),
  ] as const;
  const { proxies } = await diffMesh(...meshes, { semantics: "istio" });
  const told = proxies.filter(({ weakens }) => weakens.includes(BAD_TOKEN_LET));
  assert.deepEqual(
    told.map(({ change, heldBack }) => [change, heldBack]),
    [["widened", undefined]],
  );
  for (const { witness } of told) assert.deepEqual(await answers(meshes, witness), [false, true]);
  const back = (await diffMesh(meshes[1], meshes[0], { semantics: "istio" })).proxies;
  assert.deepEqual([...new Set(back.map(({ change }) => change))], ["narrowed"]);
});
