import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO, YES } from "../../src/analysis/space/diagram.ts";
import { locate } from "../../src/analysis/space/locate.ts";
import {
  connectionOf,
  requestOf,
  type SampleRequest,
  sampleOf,
} from "../../src/analysis/space/request-space.ts";
import { ServerSpace } from "../../src/analysis/space/server-space.ts";
import {
  chainOf,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  type Semantics,
} from "../../src/policy/inbound.ts";
import type { Resource } from "../../src/resources/resource.ts";
import {
  type ArbitraryCall,
  type ArbitraryPolicy,
  arbitraryCall,
  arbitraryPolicies,
} from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, policyOf, resource } from "../policy/inbound-fixture.ts";

const SEED = 20261122;
/** A long run (docs/verify.md) asks more of every space, since making it is what is dear. */
const IS_LONG = process.env.ANALYSIS_RUNS !== undefined;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 6);
const CALLS = IS_LONG ? 4_000 : 12;
const POINTS = IS_LONG ? 4_000 : 10;
const MESH: readonly Resource[] = [
  meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n"),
  resource("PeerAuthentication", "default", {
    mtls: { mode: "PERMISSIVE" },
    selector: { matchLabels: { app: "httpbin" } },
    portLevelMtls: { 7000: { mode: "STRICT" } },
  }),
  resource("RequestAuthentication", "tokens", {
    jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
  }),
];

function compiled(policies: readonly ArbitraryPolicy[], semantics: Semantics): InboundPolicy {
  const resources = policies.map(({ name, namespace, spec }) =>
    authorization(name, { ...spec }, { namespace }),
  );
  return policyOf([...MESH, ...resources], semantics);
}

/** What the decision says of a request of the space. */
function isAllowed(policy: InboundPolicy, sample: SampleRequest): boolean {
  const connection = connectionOf(sample);
  const chain = chainOf(policy, connection);
  const taken = decideConnection(policy, connection);
  if (!taken.allowed) return false;
  if (chain.protocol === "tcp") return true;
  const request = requestOf(sample, policy.pathNormalization);
  return request !== null && decideRequest(policy, connection, request).allowed;
}

function sampleFor(call: ArbitraryCall): SampleRequest {
  return {
    protocol: call.http ? "http" : "tcp",
    port: call.port,
    principal: call.principal,
    sourceIp: call.sourceIp,
    remoteIp: null,
    destinationIp: "10.20.0.5",
    sni: call.principal === null ? "" : call.sni,
    method: call.method,
    host: call.host.toLowerCase(),
    path: call.path.split("?")[0] ?? "",
    headers: call.headers.flat(),
    claims: call.claims,
  };
}

for (const semantics of ["istio", "strict"] as const) {
  test(`a request has the outcome of its point (${semantics})`, (context) => {
    let seen = 0;
    fc.assert(
      fc.property(
        arbitraryPolicies,
        fc.array(arbitraryCall, { minLength: CALLS, maxLength: CALLS }),
        (policies, calls) => {
          const policy = compiled(policies, semantics);
          const space = new ServerSpace([policy]);
          const outcomes = space.outcomes(policy);
          for (const call of calls) {
            const sample = sampleFor(call);
            const point = locate(space.dimensions, sample);
            if (point === undefined) continue;
            seen++;
            const outcome = space.diagrams.outcomeOf(outcomes, point);
            assert.equal(outcome !== NO, isAllowed(policy, sample), JSON.stringify(sample));
          }
        },
      ),
      // A long run's requests by the thousand take hours to be made smaller.
      { seed: SEED, numRuns: RUNS, endOnFailure: IS_LONG },
    );
    assert.ok(seen > RUNS * 4, `${seen} requests`);
    context.diagnostic(`${seen} requests of ${RUNS} sets of policies`);
  });

  test(`every point is a request that is decided as its outcome says (${semantics})`, (context) => {
    let seen = 0;
    fc.assert(
      fc.property(
        arbitraryPolicies,
        fc.array(fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), {
          minLength: POINTS,
          maxLength: POINTS,
        }),
        (policies, throws) => {
          const policy = compiled(policies, semantics);
          const space = new ServerSpace([policy]);
          const outcomes = space.outcomes(policy);
          for (const dice of throws) {
            const point = space.dimensions.map(({ size }, place) => (dice[place % dice.length] ?? 0) % size);
            if (space.diagrams.outcomeOf(space.requests, point) !== YES) continue;
            seen++;
            const sample = sampleOf(space.dimensions, point);
            const located = locate(space.dimensions, sample);
            assert.deepEqual(located, point, JSON.stringify(sample));
            const outcome = space.diagrams.outcomeOf(outcomes, point);
            assert.equal(outcome !== NO, isAllowed(policy, sample), JSON.stringify(sample));
          }
        },
      ),
      // A long run's requests by the thousand take hours to be made smaller.
      { seed: SEED, numRuns: RUNS, endOnFailure: IS_LONG },
    );
    context.diagnostic(`${seen} requests of ${RUNS} sets of policies`);
  });
}
