import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type AccessChange, diffAccess } from "../../src/analysis/diff/diff-access.ts";
import { can } from "../../src/index.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import type { Resource } from "../../src/resources/resource.ts";
import {
  type ArbitraryCall,
  type ArbitraryPolicy,
  arbitraryCall,
  arbitraryPolicies,
} from "../policy/arbitrary-authorization.ts";
import { authorization, meshConfig, meshOf, resource } from "../policy/inbound-fixture.ts";

const SEED = 20261122;
const CONFIG = meshConfig("trustDomain: cluster.local\ntrustDomainAliases: [old.domain]\n");
const TOKENS = resource("RequestAuthentication", "tokens", {
  jwtRules: ["iss", "https://a/b"].map((issuer) => ({ issuer, jwks: '{"keys":[]}' })),
});

function strict(mode: "STRICT" | "PERMISSIVE"): Resource {
  return resource("PeerAuthentication", "default", { mtls: { mode } });
}

function meshWith(policies: readonly ArbitraryPolicy[], ...others: readonly Resource[]): Mesh {
  const resources = policies.map(({ name, namespace, spec }) =>
    authorization(name, { ...spec }, { namespace }),
  );
  return meshOf(CONFIG, TOKENS, ...others, ...resources);
}

function requestFor(call: ArbitraryCall): AccessRequest {
  return {
    from: {
      principal: call.principal,
      ip: call.sourceIp,
      ...(call.principal === null ? {} : { alpn: call.http ? ["istio-http/1.1", "istio"] : ["istio"] }),
    },
    to: { workload: "foo/httpbin", port: call.port },
    protocol: call.http ? "http" : "tcp",
    ...(call.principal === null ? {} : { sni: call.sni }),
    ...(call.http ? { method: call.method, path: call.path, host: call.host } : {}),
    ...(call.http ? { headers: call.headers } : {}),
    ...(call.http && call.claims !== null ? { jwt: { claims: call.claims } } : {}),
  };
}

async function isAllowed(mesh: Mesh, request: AccessRequest): Promise<boolean> {
  const [decision] = await can(mesh, [request], { semantics: "strict" });
  return decision?.allowed ?? assert.fail();
}

function only(changes: readonly AccessChange[], kind: AccessChange["change"]): readonly AccessChange[] {
  return changes.filter(({ change }) => change === kind);
}

test("every witness is answered otherwise before and after, and random requests flip only where a change was told", async () => {
  let witnesses = 0;
  await fc.assert(
    fc.asyncProperty(
      arbitraryPolicies,
      arbitraryPolicies,
      fc.constantFrom("STRICT" as const, "PERMISSIVE" as const),
      fc.array(arbitraryCall, { minLength: 20, maxLength: 20 }),
      async (old, now, mode, calls) => {
        const before = meshWith(old, strict(mode));
        const after = meshWith(now);
        const { changes, notAnalysed } = diffAccess(before, after, {
          semantics: "strict",
          regionLimit: 1000,
        });
        assert.deepEqual(notAnalysed, []);
        for (const { change, witness } of changes) {
          witnesses++;
          const answers = [await isAllowed(before, witness), await isAllowed(after, witness)];
          assert.deepEqual(
            answers,
            change === "widened" ? [false, true] : [true, false],
            JSON.stringify(witness),
          );
        }
        for (const call of calls) {
          const request = requestFor(call);
          const was = await isAllowed(before, request);
          const is = await isAllowed(after, request);
          if (was === is) continue;
          assert.ok(only(changes, is ? "widened" : "narrowed").length > 0, JSON.stringify(request));
        }
      },
    ),
    { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 6) },
  );
  assert.ok(witnesses > 10, `${witnesses} witnesses`);
});

test("in ambient mode, too, witnesses flip, and nothing flips that was not told", async () => {
  const AMBIENT = resource(
    "Namespace",
    "foo",
    {},
    { namespace: "", labels: { "istio.io/dataplane-mode": "ambient" } },
  );
  let witnesses = 0;
  for (const semantics of ["istio", "strict"] as const)
    await fc.assert(
      fc.asyncProperty(
        arbitraryPolicies,
        arbitraryPolicies,
        fc.constantFrom("STRICT" as const, "PERMISSIVE" as const),
        fc.array(arbitraryCall, { minLength: 20, maxLength: 20 }),
        async (old, now, mode, calls) => {
          const before = meshWith(old, AMBIENT, strict(mode));
          const after = meshWith(now, AMBIENT);
          assert.equal(before.workloads.find(({ key }) => key === "foo/httpbin")?.dataplane, "ambient");
          const { changes, notAnalysed } = diffAccess(before, after, { semantics, regionLimit: 1000 });
          assert.deepEqual(notAnalysed, []);
          const ask = async (mesh: Mesh, request: AccessRequest): Promise<boolean> => {
            const [decision] = await can(mesh, [request], { semantics });
            return decision?.allowed ?? assert.fail();
          };
          for (const { change, witness } of changes) {
            witnesses++;
            const answers = [await ask(before, witness), await ask(after, witness)];
            assert.deepEqual(
              answers,
              change === "widened" ? [false, true] : [true, false],
              JSON.stringify(witness),
            );
          }
          for (const call of calls) {
            const request = requestFor(call);
            const [was, is] = [await ask(before, request), await ask(after, request)];
            if (was === is) continue;
            assert.ok(only(changes, is ? "widened" : "narrowed").length > 0, JSON.stringify(request));
          }
        },
      ),
      { seed: SEED, numRuns: Number(process.env.ANALYSIS_RUNS ?? 15) },
    );
  assert.ok(witnesses > 10, `${witnesses} witnesses`);
});

test("meshes of other text and the same meaning have no difference", () => {
  const rule = { from: [{ source: { principals: ["cluster.local/ns/foo/sa/sleep"] } }] };
  const get = { ...rule, to: [{ operation: { methods: ["GET"] } }] };
  const post = { ...rule, to: [{ operation: { methods: ["POST"] } }] };
  const both = { ...rule, to: [{ operation: { methods: ["POST", "GET"] } }] };
  const before = meshOf(CONFIG, authorization("a", { rules: [get] }), authorization("b", { rules: [post] }));
  const after = meshOf(CONFIG, authorization("c", { rules: [both, get] }));
  const { changes, notAnalysed } = diffAccess(before, after, { semantics: "strict" });
  assert.deepEqual([changes, notAnalysed], [[], []]);
});

const AUDIENCES: readonly (readonly string[] | undefined)[] = [
  undefined,
  ["app"],
  ["app", "x"],
  ["https://"],
];

test("where audiences of tokens change, alone or beside policies, every witness is answered otherwise before and after", async () => {
  const tokens = (all: readonly (readonly string[] | undefined)[]): Resource =>
    resource("RequestAuthentication", "tokens", {
      jwtRules: all.map((audiences) => ({
        issuer: "iss",
        jwks: '{"keys":[]}',
        ...(audiences === undefined ? {} : { audiences }),
      })),
    });
  const rules = [{ from: [{ source: { requestPrincipals: ["*"] } }] }];
  const meshes = [...AUDIENCES.map((one) => [one]), [["x"], ["app"]]].map((all) =>
    meshOf(CONFIG, tokens(all), authorization("a", { rules })),
  );
  let witnesses = 0;
  for (const before of meshes)
    for (const after of meshes) {
      const { changes, notAnalysed } = diffAccess(before, after, { semantics: "strict" });
      assert.deepEqual(notAnalysed, []);
      for (const { change, witness } of changes) {
        witnesses++;
        const answers = [await isAllowed(before, witness), await isAllowed(after, witness)];
        assert.deepEqual(
          answers,
          change === "widened" ? [false, true] : [true, false],
          JSON.stringify(witness),
        );
      }
    }
  // All five say something else, but for one rule with two audiences and two rules with one each.
  assert.ok(witnesses >= 18, `${witnesses} witnesses`);
});

test("what a port no longer takes is told once: regions share nothing", async () => {
  const port = (name: string): Resource =>
    resource("Service", "httpbin", {
      selector: { app: "httpbin" },
      ports: [{ name, port: 80, targetPort: 80 }],
    });
  const open = resource("PeerAuthentication", "default", { mtls: { mode: "DISABLE" } });
  const [before, after] = ["tcp", "http"].map((name) => meshOf(CONFIG, open, port(name)));
  if (before === undefined || after === undefined) assert.fail();
  const { changes } = diffAccess(before, after, { semantics: "strict" });
  assert.deepEqual(
    changes.map(({ change, requests }) => [change, ...requests.map(({ title, text }) => `${title} ${text}`)]),
    [
      ["narrowed", "ports 80", "identities any"],
      ["narrowed", "ports 80", "protocols TCP", "identities no identity (plaintext)"],
    ],
  );
  for (const { witness } of changes)
    assert.deepEqual([await isAllowed(before, witness), await isAllowed(after, witness)], [true, false]);
});

test("what is weakened is named, and comes first", () => {
  const rules = [{ to: [{ operation: { paths: ["/a"] } }] }];
  const before = meshOf(CONFIG, strict("STRICT"), authorization("a", { rules }));
  const after = meshOf(
    CONFIG,
    strict("PERMISSIVE"),
    authorization("a", { rules: [...rules, { to: [{ operation: { paths: ["/b"] } }] }] }),
  );
  const { changes } = diffAccess(before, after, { semantics: "strict" });
  assert.deepEqual(changes[0]?.weakens, ["mutual TLS is no longer required"]);
  assert.deepEqual(
    changes[0]?.causes.map(({ resource: name, change }) => [name, change]),
    [
      ["AuthorizationPolicy foo/a", "changed"],
      ["PeerAuthentication foo/default", "changed"],
    ],
  );
  assert.ok(changes.every(({ change }) => change === "widened"));
});

test("a token, and an external authorizer, that are no longer asked for are named", () => {
  const provider = { provider: { name: "opa" } };
  const providers = meshConfig(
    "extensionProviders:\n- name: opa\n  envoyExtAuthzHttp: {service: httpbin.foo.svc.cluster.local, port: 80}\n",
  );
  const withToken = { from: [{ source: { requestPrincipals: ["*"] } }] };
  const before = meshOf(providers, TOKENS, authorization("a", { rules: [withToken] }));
  const after = meshOf(providers, TOKENS, authorization("a", { rules: [{}] }));
  const [first] = diffAccess(before, after, { semantics: "strict" }).changes;
  assert.deepEqual(first?.weakens, ["a token is no longer required"]);
  const asked = meshOf(providers, authorization("b", { action: "CUSTOM", ...provider, rules: [{}] }));
  const [second] = diffAccess(asked, meshOf(providers), { semantics: "strict" }).changes;
  assert.deepEqual(second?.weakens, ["an external authorizer is no longer asked"]);
});

test("what cannot be analysed is told, with the reason, and is no silence", () => {
  const rules = [{ when: [{ key: "request.headers[:path]", values: ["/a"] }] }];
  const { changes, notAnalysed } = diffAccess(meshOf(CONFIG), meshOf(CONFIG, authorization("a", { rules })), {
    semantics: "strict",
  });
  assert.deepEqual(changes, []);
  assert.deepEqual(notAnalysed, [
    { workloads: ["foo/httpbin"], why: "conditions on request.headers[:path] are not analysed" },
  ]);
});
