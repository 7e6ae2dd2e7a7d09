import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Invariant, invariantOf, requestRules } from "../../src/analysis/verify/invariant.ts";
import { type InvariantResult, verifyAccess } from "../../src/analysis/verify/verify-access.ts";
import { can } from "../../src/index.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import { ruleMatches } from "../../src/policy/authorization-rule.ts";
import type { RuleSpec } from "../../src/policy/authorization-spec.ts";
import { Connection } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import {
  type ArbitraryCall,
  arbitraryCall,
  arbitraryPolicies,
  arbitraryRule,
} from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, meshOf, resource } from "../policy/inbound-fixture.ts";

const SEED = 20261122;
/** A long run (docs/verify.md) asks more of every mesh. */
const IS_LONG = process.env.ANALYSIS_RUNS !== undefined;
const CALLS = IS_LONG ? 100 : 40;
const MUTATED = IS_LONG ? 200 : 20;
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const TOKENS = resource("RequestAuthentication", "tokens", {
  jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
});
const STRICT = resource("PeerAuthentication", "default", { mtls: { mode: "STRICT" } });

function invariant(spec: Record<string, unknown>, mesh: Mesh, namespace = "foo"): Invariant {
  const own = { ...resource("AccessInvariant", "one", spec, { namespace }), apiVersion: "bulwark.dev/v1" };
  return invariantOf(own, mesh);
}

async function verify(
  spec: Record<string, unknown>,
  ...resources: readonly Resource[]
): Promise<InvariantResult> {
  const mesh = meshOf(CONFIG, ...resources);
  const [result] = (await verifyAccess(mesh, [invariant(spec, mesh)], { semantics: "istio" })).results;
  return result ?? assert.fail();
}

function withLabels(pod: Resource, app: string): Resource {
  return { ...pod, labels: { app } };
}

function accessRequest(call: ArbitraryCall): AccessRequest {
  return {
    from: {
      principal: call.principal,
      ip: call.sourceIp,
      ...(call.principal === null
        ? call.http || call.sni === ""
          ? {}
          : { tls: "simple" as const }
        : { alpn: call.http ? ["istio-http/1.1", "istio"] : ["istio"] }),
    },
    to: { workload: "foo/httpbin", port: call.port },
    protocol: call.http ? "http" : "tcp",
    ...(call.principal === null && call.http ? {} : { sni: call.sni }),
    ...(call.http ? { method: call.method, path: call.path, host: call.host, headers: call.headers } : {}),
    ...(call.http && call.claims !== null ? { jwt: { claims: call.claims } } : {}),
  };
}

/**
 * Whether one of the rules matches, by the rules' own predicates and not by the analysis. Undefined for what HTTP refuses.
 * No ztunnel verifies tokens: at workloads in ambient mode nobody has a claim.
 */
function isMatched(own: Invariant, mesh: Mesh, { claims, ...call }: ArbitraryCall): boolean | undefined {
  const connection = new Connection({
    tls: call.principal !== null ? "mtls" : call.http || call.sni === "" ? "plaintext" : "simple",
    principal: call.principal,
    sourceIp: call.sourceIp,
    destinationIp: "10.20.0.5",
    destinationPort: call.port,
    sni: call.principal === null && call.http ? "" : call.sni,
  });
  const { http, tcp } = requestRules(own, mesh);
  if (!call.http) return tcp.some((rule) => ruleMatches(rule, connection, null));
  const request = HttpRequest.read("BASE", call.method, call.path, call.host, call.headers.flat());
  if (request === null) return undefined;
  const isAmbient = mesh.workloads.some(({ dataplane }) => dataplane === "ambient");
  request.jwt = { ...NO_TOKEN, claims: isAmbient ? null : claims };
  return http.some((rule) => ruleMatches(rule, connection, request));
}

/** Identities that a CA of the mesh gives; proofs are about no others. */
function isOfMesh({ principal }: ArbitraryCall): boolean {
  return principal === null || /^(cluster\.local|old\.domain)\/ns\/[^/]+\/sa\/[^/]+$/.test(principal);
}

/** Requests that differ in one thing from those that are let through: where a wrong proof would show first. */
function mutated(
  passed: readonly ArbitraryCall[],
  calls: readonly ArbitraryCall[],
): readonly ArbitraryCall[] {
  return passed.flatMap((call, at) =>
    FIELDS.flatMap((field, shift) => {
      const other = calls[(at + shift + 1) % calls.length];
      return other === undefined ? [] : [{ ...call, [field]: other[field] }];
    }),
  );
}

const FIELDS = [
  "principal",
  "port",
  "method",
  "path",
  "host",
  "headers",
  "claims",
  "sourceIp",
  "http",
  "sni",
] as const;

const NARROW: fc.Arbitrary<RuleSpec> = arbitraryRule.filter(
  ({ from = [], to = [] }) => from.length + to.length > 0,
);

const AMBIENT = resource(
  "Namespace",
  "foo",
  {},
  { namespace: "", labels: { "istio.io/dataplane-mode": "ambient" } },
);

for (const [semantics, mode] of [
  ["istio", "sidecar"],
  ["strict", "sidecar"],
  ["istio", "ambient"],
  ["strict", "ambient"],
] as const) {
  test(`proofs survive a search for counterexamples, and witnesses are answered as said (${semantics}, ${mode})`, async (context) => {
    const dataplane = mode === "ambient" ? [AMBIENT] : [];
    const seen = { proven: 0, violated: 0, searched: 0 };
    await fc.assert(
      fc.asyncProperty(
        arbitraryPolicies,
        fc.constantFrom("STRICT", "PERMISSIVE", "DISABLE"),
        fc.array(
          fc.tuple(
            fc.constantFrom("never", "always", "only"),
            fc.array(NARROW, { minLength: 1, maxLength: 2 }),
          ),
          {
            minLength: 3,
            maxLength: 3,
          },
        ),
        fc.array(arbitraryCall, { minLength: CALLS, maxLength: CALLS }),
        async (policies, mode, claims, calls) => {
          const mesh = meshOf(
            CONFIG,
            TOKENS,
            ...dataplane,
            resource("PeerAuthentication", "default", { mtls: { mode } }),
            ...policies.map(({ name, namespace, spec }) => authorization(name, { ...spec }, { namespace })),
          );
          // What some policies say is what others are to be held to: so that proofs are not all trivial.
          const own = policies.flatMap(({ spec }) =>
            spec.rules === undefined ? [] : [{ [spec.action === "DENY" ? "never" : "only"]: spec.rules }],
          );
          const invariants = [...claims.map(([claim, rules]) => ({ [claim]: rules })), ...own].map((spec) =>
            invariant(spec, mesh),
          );
          const { results } = await verifyAccess(mesh, invariants, { semantics });
          const isAllowed = async (call: ArbitraryCall): Promise<boolean> => {
            const [decision] = await can(mesh, [accessRequest(call)], { semantics });
            return decision?.allowed ?? assert.fail();
          };
          const passed: ArbitraryCall[] = [];
          const asked: { readonly call: ArbitraryCall; readonly allowed: boolean }[] = [];
          for (const call of calls) {
            const allowed = await isAllowed(call);
            asked.push({ call, allowed });
            if (allowed) passed.push(call);
          }
          for (const call of mutated(passed, calls).slice(0, MUTATED))
            asked.push({ call, allowed: await isAllowed(call) });
          for (const result of results) {
            const { claim } = result.invariant;
            assert.notEqual(result.outcome, "unclear", JSON.stringify(result.findings));
            if (result.outcome === "proven") seen.proven++;
            for (const { witness } of result.findings) {
              seen.violated++;
              const [decision] = await can(mesh, [witness?.request ?? assert.fail()], { semantics });
              assert.equal(decision?.allowed, claim !== "always", JSON.stringify(witness));
            }
            if (result.outcome !== "proven") continue;
            for (const { call, allowed } of asked) {
              if (!isOfMesh(call)) continue;
              // docs/verify.md: nobody is promised anything whose certificates no server takes, and ztunnel takes no alias's.
              if (claim === "always" && dataplane.length > 0 && call.principal?.startsWith("old.domain/"))
                continue;
              const matched = isMatched(result.invariant, mesh, call);
              if (matched === undefined) continue;
              seen.searched++;
              const text = `${claim} ${JSON.stringify(result.invariant.rules)} ${JSON.stringify(accessRequest(call))}`;
              if (claim === "never") assert.ok(!(matched && allowed), text);
              if (claim === "always") assert.ok(!matched || allowed, text);
              if (claim === "only") assert.ok(matched || !allowed, text);
            }
          }
        },
      ),
      { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 4), endOnFailure: IS_LONG },
    );
    context.diagnostic(
      `${seen.proven} proofs, ${seen.searched} requests against them; ${seen.violated} witnesses`,
    );
    assert.ok(seen.proven >= 3 && seen.violated >= 3 && seen.searched >= 50, JSON.stringify(seen));
  });
}

const WEB = "cluster.local/ns/foo/sa/web";
const FROM_WEB = { from: [{ source: { principals: [WEB] } }] };
const GET = { to: [{ operation: { methods: ["GET"] } }] };
const ALLOW_WEB_GET = authorization("web", { rules: [{ ...FROM_WEB, ...GET }] });

test("never: proven where nothing matching is let through, violated with a request that is, and by which rule", async () => {
  const never = { never: [{ to: [{ operation: { methods: ["POST"] } }] }] };
  const proven = await verify(never, STRICT, ALLOW_WEB_GET);
  assert.equal(proven.outcome, "proven");
  assert.deepEqual(proven.proven, ["foo/httpbin"]);
  const all = authorization("all", { rules: [FROM_WEB] });
  const { outcome, findings } = await verify(never, STRICT, all);
  assert.equal(outcome, "violated");
  const witness = findings[0]?.witness;
  assert.deepEqual(
    [witness?.policy, witness?.rule, witness?.request.from?.principal],
    ["AuthorizationPolicy foo/all", 0, "old.domain/ns/foo/sa/web"],
  );
});

test("never: where network policies tell senders apart, the example comes from one that they let in", async () => {
  const never = { never: [{ to: [{ operation: { methods: ["POST"] } }] }] };
  const all = authorization("all", { rules: [{}] });
  const client = resource(
    "Pod",
    "client",
    {},
    { body: { metadata: { labels: { app: "client" } }, spec: { serviceAccountName: "client" } } },
  );
  const lets = (app: string): Resource => ({
    ...resource("NetworkPolicy", "lets", {
      podSelector: { matchLabels: { app: "httpbin" } },
      policyTypes: ["Ingress"],
      ingress: [{ from: [{ podSelector: { matchLabels: { app } } }] }],
    }),
    apiVersion: "networking.k8s.io/v1",
  });
  const found = async (app: string) => {
    const { findings } = await verify(never, STRICT, all, withLabels(client, "client"), lets(app));
    return findings.find(({ workloads }) => workloads.includes("foo/httpbin"));
  };
  const violated = await found("client");
  assert.equal(violated?.outcome, "violated");
  assert.equal(violated?.witness?.request.from?.workload, "foo/client");
  assert.equal((await found("nobody"))?.outcome, "unclear");
});

test("never: what is in a connection that nobody looks into may be what is forbidden", async () => {
  const never = { never: [{ to: [{ operation: { methods: ["POST"], ports: ["9000"] } }] }] };
  const noPost = authorization("no-post", {
    rules: [{ to: [{ operation: { ports: ["9000"] } }] }],
  });
  const { findings } = await verify(never, STRICT, noPost);
  assert.equal(findings[0]?.outcome, "violated");
});

test("always: proven where all that matches is let through, violated with a request that is refused, and by whom", async () => {
  const always = {
    always: [{ from: FROM_WEB.from, to: [{ operation: { methods: ["GET"], ports: ["8080"] } }] }],
  };
  assert.equal((await verify(always, STRICT, ALLOW_WEB_GET)).outcome, "proven");
  const deny = authorization("deny", {
    action: "DENY",
    rules: [{ to: [{ operation: { paths: ["/x/y"] } }] }],
  });
  const { outcome, findings } = await verify(always, STRICT, ALLOW_WEB_GET, deny);
  assert.equal(outcome, "violated");
  const witness = findings[0]?.witness;
  assert.deepEqual(
    [witness?.policy, witness?.allowed, witness?.request.path],
    ["AuthorizationPolicy foo/deny", false, "/x/y"],
  );
});

test("only: proven where nothing else is let through, violated with a request that is not named", async () => {
  assert.equal((await verify({ only: [FROM_WEB] }, STRICT, ALLOW_WEB_GET)).outcome, "proven");
  const { outcome, findings } = await verify(
    { only: [GET] },
    STRICT,
    authorization("all", { rules: [FROM_WEB] }),
  );
  assert.equal(outcome, "violated");
  assert.equal(findings[0]?.why, "a request that it does not name is let through");
  assert.equal((await verify({ only: [FROM_WEB] })).outcome, "violated");
});

test("what an external authorizer decides is not proven either way, with the answer that would go against it", async () => {
  const opa = meshConfig(
    "extensionProviders:\n- name: opa\n  envoyExtAuthzHttp: {service: httpbin.foo.svc.cluster.local, port: 80}\n",
  );
  const mesh = meshOf(
    opa,
    STRICT,
    ALLOW_WEB_GET,
    authorization("asks", { action: "CUSTOM", provider: { name: "opa" }, rules: [{}] }),
  );
  for (const [claim, answer] of [
    ["never", "allow"],
    ["always", "deny"],
  ] as const) {
    const about = {
      [claim]: [{ from: FROM_WEB.from, to: [{ operation: { methods: ["GET"], ports: ["8080"] } }] }],
    };
    const { results } = await verifyAccess(mesh, [invariant(about, mesh)], { semantics: "istio" });
    assert.equal(results[0]?.outcome, "unclear");
    assert.equal(results[0]?.findings[0]?.witness?.request.extAuthz, answer);
  }
});

test("what selects nothing, and what is not analysed, is not proven; what no request can match is told", async () => {
  const never = [{ to: [{ operation: { methods: ["POST"] } }] }];
  const slip = await verify({ selector: { matchLabels: { app: "httpbim" } }, never });
  assert.deepEqual([slip.outcome, slip.findings[0]?.workloads], ["unclear", []]);
  const path = await verify({ never: [{ when: [{ key: "request.headers[:path]", values: ["/a"] }] }] });
  assert.deepEqual(
    [path.outcome, path.findings[0]?.why],
    ["unclear", "not analysed: conditions on request.headers[:path] are not analysed"],
  );
  const unknownToken = {
    from: [{ source: { requestPrincipals: ["nobody/x"] } }],
    to: [{ operation: { methods: ["GET"] } }],
  };
  const always = await verify({ always: [unknownToken] }, TOKENS, STRICT);
  assert.deepEqual([always.outcome, always.vacuous], ["proven", ["foo/httpbin"]]);
});

test("one invariant that is not analysed does not keep another from being proven", async () => {
  const mesh = meshOf(CONFIG, STRICT, ALLOW_WEB_GET);
  const own = [
    invariant({ never: [{ when: [{ key: "request.headers[:path]", values: ["/a"] }] }] }, mesh),
    invariant({ only: [FROM_WEB] }, mesh, "istio-system"),
  ];
  const { results } = await verifyAccess(mesh, own, { semantics: "istio" });
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["unclear", "proven"],
  );
});

test("a principal in an invariant is whoever policies take for it: its aliases, too, where it is written whole", async () => {
  const own = "cluster.local/ns/foo/sa/web";
  const alias = "old.domain/ns/foo/sa/web";
  const of = (...principals: readonly string[]) => [{ from: [{ source: { principals } }] }];
  const got = (name: string) =>
    of(name).map((rule) => ({ ...rule, to: [{ operation: { ports: ["8080"], methods: ["GET"] } }] }));
  const aliased = authorization("aliased", { rules: of("old.domain/*") });
  const asWritten = authorization("own", { rules: of("cluster.local/*") });
  const both = authorization("both", { rules: of(alias) });
  for (const name of [own, alias]) {
    const { findings } = await verify({ never: of(name) }, STRICT, aliased);
    assert.equal(findings[0]?.witness?.request.from?.principal, alias, name);
    assert.equal((await verify({ only: of(name) }, STRICT, both)).outcome, "proven", name);
    assert.equal((await verify({ always: got(name) }, STRICT, both)).outcome, "proven", name);
    // Whoever has the alias's certificate is refused by a pattern that policies do not expand.
    const { findings: refused } = await verify({ always: got(name) }, STRICT, asWritten);
    assert.equal(refused[0]?.witness?.request.from?.principal, alias, name);
  }
  // A pattern that is no whole name means what it says, as in policies.
  assert.equal((await verify({ never: of("cluster.local/*") }, STRICT, aliased)).outcome, "proven");
  assert.equal((await verify({ never: of("old.domain/*") }, STRICT, aliased)).outcome, "violated");
});

test("a token without a subject is no principal of a request", async () => {
  const never = { never: [{ from: [{ source: { notRequestPrincipals: ["*"] } }], ...GET }] };
  const required = resource("RequestAuthentication", "tokens", {
    jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}', presence: "REQUIRED" }],
  });
  const { findings } = await verify(never, STRICT, required, authorization("http", { rules: [GET] }));
  assert.deepEqual(findings[0]?.witness?.request.jwt, { claims: { iss: "iss" } });
});

test("a CORS preflight passes a required token, so nothing is proven of requests without one", async () => {
  const required = resource("RequestAuthentication", "tokens", {
    jwtRules: [{ issuer: "iss", jwks: '{"keys":[]}', presence: "REQUIRED", audiences: ["app"] }],
  });
  const close = authorization("http", { rules: [{ to: [{ operation: { methods: ["*"] } }] }] });
  // Whoever has a token that is taken has an audience.
  const about = (method: string) => ({
    never: [
      {
        to: [{ operation: { methods: [method] } }],
        when: [{ key: "request.auth.audiences", notValues: ["*"] }],
      },
    ],
  });
  const get = await verify(about("GET"), STRICT, required, close);
  assert.deepEqual([get.outcome, get.findings], ["proven", []]);
  const { outcome, findings } = await verify(about("OPTIONS"), STRICT, required, close);
  assert.equal(outcome, "unclear");
  assert.match(findings[0]?.why ?? "", /preflight/);
});

test("TLS without an identity goes through undecrypted where plaintext does, and its server name counts", async () => {
  const never = { never: [{ from: [{ source: { notPrincipals: ["*"] } }] }] };
  const named = authorization("named", { rules: [{ when: [{ key: "connection.sni", values: ["*"] }] }] });
  const { outcome, findings } = await verify(never, named);
  assert.equal(outcome, "violated");
  assert.equal(findings[0]?.witness?.request.from?.tls, "simple");
  assert.equal((await verify(never, named, STRICT)).outcome, "proven");
});

test("ports that annotations lead past the sidecar are open, whatever policies say", async () => {
  const never = { never: [{ from: [{ source: { notPrincipals: ["*"] } }] }] };
  const mesh = meshOf(CONFIG, STRICT);
  const workloads = mesh.workloads.map((workload) => ({
    ...workload,
    capture: {
      includeInboundPorts: "*" as const,
      excludeInboundPorts: [9999],
      includeOutboundPorts: [],
      excludeOutboundPorts: [],
      includeOutboundIpRanges: "*" as const,
      excludeOutboundIpRanges: [],
    },
  }));
  const open = { ...mesh, workloads };
  const { results } = await verifyAccess(open, [invariant(never, open)], { semantics: "istio" });
  assert.equal(results[0]?.outcome, "violated");
  assert.equal(results[0]?.findings[0]?.witness?.request.to.port, 9999);
});
