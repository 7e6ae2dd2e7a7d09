import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffAccess } from "../../../src/analysis/diff/diff-access.ts";
import type { ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { can } from "../../../src/index.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Semantics } from "../../../src/policy/inbound.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import {
  type ArbitraryCall,
  type ArbitraryPolicy,
  arbitraryCall,
  arbitraryPolicies,
} from "../../policy/arbitrary-authorization.ts";
import { meshConfig, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { pod, tighten } from "./tighten-fixture.ts";
import { validPolicies } from "./valid-policies.ts";

const SEED = 20261122;
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const TOKENS = resource("RequestAuthentication", "tokens", {
  jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
});

async function meshWith(policies: readonly ArbitraryPolicy[], selectors: readonly object[]): Promise<Mesh> {
  return meshOf(
    CONFIG,
    TOKENS,
    pod("foo", "sleep"),
    pod("bar", "admin"),
    pod("foo-prod", "sleep-v2"),
    ...(await validPolicies(policies, selectors)),
  );
}

const SERVERS = ["foo/httpbin", "bar/admin", "foo/sleep"] as const;
/** Where the call goes: the same for each, whoever asks. */
function serverOf({ headers, path }: ArbitraryCall): string {
  return SERVERS[(headers.length + path.length) % SERVERS.length] ?? "";
}

function requestFor(call: ArbitraryCall): AccessRequest {
  return {
    from: {
      principal: call.principal,
      ip: call.sourceIp,
      alpn: call.http ? ["istio-http/1.1", "istio"] : ["istio"],
    },
    to: { workload: serverOf(call), port: call.port },
    protocol: call.http ? "http" : "tcp",
    ...(call.principal === null ? {} : { sni: call.sni }),
    ...(call.http ? { method: call.method, path: call.path, host: call.host, headers: call.headers } : {}),
    ...(call.http && call.claims !== null ? { jwt: { claims: call.claims } } : {}),
  };
}

/** What a proxy writes of it: neither headers nor tokens. */
function flowFor(call: ArbitraryCall, hasServerName: boolean): ServerFlow {
  return {
    kind: "server",
    workload: serverOf(call),
    port: call.port,
    caller: { principal: call.principal, by: "certificate", ip: call.sourceIp },
    http: call.http ? { method: call.method, path: call.path } : null,
    isOpaque: !call.http,
    ...(hasServerName ? { sni: call.sni } : {}),
    timeMs: 0,
  };
}

async function isAllowed(mesh: Mesh, call: ArbitraryCall, semantics: Semantics): Promise<boolean> {
  const [decision] = await can(mesh, [requestFor(call)], { semantics });
  return decision?.allowed ?? assert.fail();
}

/** Identities that the files know; others are never granted. */
const KNOWN: ReadonlySet<string | null> = new Set([
  "cluster.local/ns/foo/sa/sleep",
  "cluster.local/ns/bar/sa/admin",
  "cluster.local/ns/foo-prod/sa/sleep-v2",
  "cluster.local/ns/foo/sa/httpbin",
]);

for (const semantics of ["istio", "strict"] as const)
  test(`on random policies and traffic nothing is let through that was not (by diff), and no request that was is refused (${semantics})`, async () => {
    let proposed = 0;
    let granted = 0;
    let policiesRead = 0;
    await fc.assert(
      fc.asyncProperty(
        arbitraryPolicies,
        fc.array(fc.constantFrom({}, {}, { selector: { matchLabels: { app: "httpbin" } } }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.array(arbitraryCall, { minLength: 10, maxLength: 40 }),
        fc.boolean(),
        async (policies, selectors, calls, hasServerName) => {
          const before = await meshWith(policies, selectors);
          policiesRead += before.authorizationPolicies.length;
          const allowed: ArbitraryCall[] = [];
          for (const call of calls)
            if (KNOWN.has(call.principal) && (await isAllowed(before, call, semantics))) allowed.push(call);
          const flows = allowed.map((call) => flowFor(call, hasServerName));
          const { proposal, replay, evidence } = await tighten(before, flows, { semantics });
          assert.equal(evidence.contradictions.size, 0);
          assert.deepEqual(replay.refused, []);
          const { changes, notAnalysed } = diffAccess(before, proposal.mesh, {
            semantics,
            regionLimit: 2000,
          });
          assert.deepEqual(notAnalysed, []);
          assert.deepEqual(
            changes.filter(({ change }) => change === "widened").map(({ witness }) => witness),
            [],
          );
          // Those that are left alone have the same answers, whatever becomes of the policies that they share.
          const tightened = new Set(proposal.servers.flatMap(({ workloads }) => workloads));
          assert.deepEqual(
            changes.flatMap(({ workloads }) => workloads).filter((key) => !tightened.has(key)),
            [],
          );
          for (const call of allowed)
            assert.ok(await isAllowed(proposal.mesh, call, semantics), JSON.stringify(requestFor(call)));
          if (proposal.servers.length > 0) proposed++;
          granted += evidence.granted;
        },
      ),
      { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 10) },
    );
    assert.ok(
      proposed > 5 && granted > 20 && policiesRead > 5,
      `${proposed} proposals, ${granted} grants, ${policiesRead} policies`,
    );
  });
