import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Connection } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import {
  asSeenBy,
  chainOf,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  type Semantics,
} from "../../src/policy/inbound.ts";
import { NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import type { Resource } from "../../src/resources/resource.ts";
import {
  type ArbitraryCall,
  type ArbitraryPolicy,
  arbitraryCall,
  arbitraryPolicies,
  arbitraryRule,
} from "./arbitrary-authorization.ts";
import { authorization, MESH_HTTP_ALPN, meshConfig, policyOf } from "./inbound-fixture.ts";
import { type ReferenceDecision, referenceAuthorization } from "./reference/reference-decision.ts";

const SEED = 20260822;
const RUNS = Number(process.env.BULWARK_RUNS ?? 300);
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const TRUST_DOMAINS = ["cluster.local", "old.domain"];

function resourcesOf(policies: readonly ArbitraryPolicy[]): Resource[] {
  return policies.map(({ name, namespace, spec, dryRun }) =>
    authorization(
      name,
      { ...spec },
      { namespace, annotations: dryRun ? { "istio.io/dry-run": "true" } : {} },
    ),
  );
}

function connectionOf(call: ArbitraryCall): Connection {
  return new Connection({
    tls: call.principal === null ? "plaintext" : "mtls",
    principal: call.principal,
    sourceIp: call.sourceIp,
    destinationIp: "10.20.0.5",
    destinationPort: call.port,
    sni: call.principal === null ? "" : call.sni,
    alpn: call.principal === null ? [] : call.http ? MESH_HTTP_ALPN : ["istio"],
    speaksHttp: call.http,
  });
}

/** What we decide, and what the reference does, about one call. */
function bothDecide(
  policy: InboundPolicy,
  policies: readonly ArbitraryPolicy[],
  call: ArbitraryCall,
  semantics: Semantics,
): { ours: ReferenceDecision; reference: ReferenceDecision } {
  const connection = connectionOf(call);
  const chain = chainOf(policy, connection);
  const http = chain.protocol === "http";
  const judged = asSeenBy(chain, connection);
  const reference = referenceAuthorization(policies, {
    http,
    subject: judged.subject,
    sourceIp: call.sourceIp,
    remoteIp: call.sourceIp,
    port: call.port,
    sni: judged.sni,
    method: call.method,
    path: call.path,
    host: call.host,
    headers: call.headers,
    claims: call.claims,
    trustDomains: TRUST_DOMAINS,
    strict: semantics === "strict",
  });
  const {
    allowed,
    reason,
    policy: by,
    rule,
  } = http ? decideRequest(policy, connection, requestOf(call)) : decideConnection(policy, connection);
  return { ours: { allowed, reason, policy: by, rule }, reference };
}

function requestOf(call: ArbitraryCall): HttpRequest {
  const request = HttpRequest.read("NONE", call.method, call.path, call.host, call.headers.flat());
  assert.ok(request !== null);
  request.jwt = { ...NO_TOKEN, claims: call.claims };
  return request;
}

for (const semantics of ["istio", "strict"] as const) {
  test(`compiled policies decide as the reference does, policy and rule included (${semantics})`, () => {
    fc.assert(
      fc.property(
        arbitraryPolicies,
        fc.array(arbitraryCall, { minLength: 8, maxLength: 8 }),
        (policies, calls) => {
          const policy = policyOf([CONFIG, ...resourcesOf(policies)], semantics);
          for (const call of calls) {
            const { ours, reference } = bothDecide(policy, policies, call, semantics);
            assert.deepEqual(ours, reference);
          }
        },
      ),
      { seed: SEED, numRuns: RUNS },
    );
  });
}

test("a DENY policy more never allows what was denied", () => {
  fc.assert(
    fc.property(arbitraryPolicies, arbitraryRule, arbitraryCall, (policies, rule, call) => {
      const more = [
        ...policies,
        { namespace: "foo", name: "p9", dryRun: false, spec: { action: "DENY" as const, rules: [rule] } },
      ];
      const before = bothDecide(policyOf([CONFIG, ...resourcesOf(policies)]), policies, call, "istio").ours;
      const after = bothDecide(policyOf([CONFIG, ...resourcesOf(more)]), more, call, "istio").ours;
      assert.ok(before.allowed || !after.allowed);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("the order of policies and of their rules never changes what is allowed", () => {
  fc.assert(
    fc.property(arbitraryPolicies, arbitraryCall, (policies, call) => {
      const reversed = policies.toReversed().map((policy) => ({
        ...policy,
        spec: { ...policy.spec, rules: (policy.spec.rules ?? []).toReversed() },
      }));
      const before = bothDecide(policyOf([CONFIG, ...resourcesOf(policies)]), policies, call, "istio").ours;
      const after = bothDecide(policyOf([CONFIG, ...resourcesOf(reversed)]), reversed, call, "istio").ours;
      assert.equal(before.allowed, after.allowed);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("a rule that never matches changes nothing", () => {
  const never = { to: [{ operation: { ports: ["8080"], notPorts: ["8080"] } }] };
  fc.assert(
    fc.property(arbitraryPolicies, arbitraryCall, (policies, call) => {
      const more = policies.map((policy) => ({
        ...policy,
        spec: { ...policy.spec, rules: [...(policy.spec.rules ?? []), never] },
      }));
      const before = bothDecide(policyOf([CONFIG, ...resourcesOf(policies)]), policies, call, "istio").ours;
      const after = bothDecide(policyOf([CONFIG, ...resourcesOf(more)]), more, call, "istio").ours;
      assert.deepEqual(after, before);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});

test("dry-run policies change nothing", () => {
  fc.assert(
    fc.property(arbitraryPolicies, arbitraryPolicies, arbitraryCall, (policies, others, call) => {
      const dry = others.map((policy, index) => ({ ...policy, name: `dry${index}`, dryRun: true }));
      const more = [...policies, ...dry];
      const before = bothDecide(policyOf([CONFIG, ...resourcesOf(policies)]), policies, call, "istio").ours;
      const after = bothDecide(policyOf([CONFIG, ...resourcesOf(more)]), more, call, "istio").ours;
      assert.deepEqual(after, before);
    }),
    { seed: SEED, numRuns: RUNS },
  );
});
