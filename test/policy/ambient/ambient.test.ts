import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type AccessRequest, can, type Decision, loadMesh, parseRequests } from "../../../src/index.ts";
import { ambientRunner } from "../../../tools/corpus/ambient.ts";
import { agrees } from "../../../tools/corpus/runner.ts";
import { meshFrom } from "../path/mesh-text.ts";

const corpus = "../shared/corpus-ambient";
const cases = readdirSync(corpus).filter((name) => /^\d+$/.test(name));

test("every recorded decision of istiod and ztunnel is ours, with every policy that allows", async () => {
  assert.ok(cases.length > 0);
  const wrong: unknown[] = [];
  for (const name of cases)
    wrong.push(...(await ambientRunner.runCase(join(corpus, name))).filter((decision) => !agrees(decision)));
  assert.deepEqual(wrong, []);
});

test("strict semantics are never wider than Istio's", async () => {
  let differing = 0;
  for (const name of cases) {
    const { mesh } = await loadMesh(join(corpus, name, "mesh.yaml"));
    const parsed = parseRequests(readFileSync(join(corpus, name, "requests.json"), "utf8"), name, mesh);
    assert.ok(parsed.ok);
    for (const { allowed, differs, id } of await can(mesh, parsed.value)) {
      if (differs === undefined) continue;
      differing++;
      assert.ok(allowed && !differs.allowed, id);
    }
  }
  assert.ok(differing > 0, "no case shows a difference");
});

const WORKLOADS = `
apiVersion: v1
kind: Namespace
metadata: {name: foo, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: foo}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: foo, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: foo, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
status: {podIP: 10.0.0.2}
---
`;

const policy = (spec: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: foo}
spec: ${spec}
---
`;
const mode = (namespace: string, name: string, spec: string): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ${name}, namespace: ${namespace}}
spec: ${spec}
---
`;
const CLIENT = "cluster.local/ns/foo/sa/client";

async function ask(
  resources: string,
  more: Partial<AccessRequest> = {},
  semantics: "istio" | "strict" = "istio",
): Promise<Decision> {
  const { mesh, rejected } = await meshFrom(WORKLOADS + resources);
  assert.deepEqual(rejected, []);
  const request: AccessRequest = {
    from: { principal: CLIENT, ip: "10.0.0.2" },
    to: { workload: "foo/web", port: 8080 },
    protocol: "tcp",
    ...more,
  };
  const [decision] = await can(mesh, [request], { semantics });
  assert.ok(decision !== undefined);
  return decision;
}

const plaintext = { from: { principal: null, ip: "10.0.0.2" } } as const;

test("an ALLOW rule with an HTTP attribute is dropped whole; of a DENY only the attribute is", async () => {
  const allow = await ask(
    policy('{action: ALLOW, rules: [{to: [{operation: {methods: [GET], ports: ["8080"]}}]}]}'),
  );
  assert.deepEqual([allow.allowed, allow.cause], [false, "no-allow-matched"]);
  assert.match(allow.explanation.join("\n"), /HTTP attributes is dropped/);
  const deny = await ask(
    policy('{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: ["8080"]}}]}]}'),
  );
  assert.deepEqual([deny.allowed, deny.cause, deny.rule], [false, "deny-matched", 0]);
  const empty = await ask(policy("{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"));
  assert.equal(empty.allowed, true, "an entry of which nothing is left never matches");
});

test("no certificate matches no positive name, and every negative one", async () => {
  const positive = policy("{action: ALLOW, rules: [{from: [{source: {principals: ['*']}}]}]}");
  const negative = policy(
    "{action: ALLOW, rules: [{from: [{source: {notPrincipals: ['cluster.local/ns/bar/sa/x']}}]}]}",
  );
  assert.equal((await ask(positive)).allowed, true);
  assert.equal((await ask(positive, plaintext)).allowed, false);
  assert.equal((await ask(negative, plaintext)).allowed, true);
  assert.equal(
    (await ask(policy(`{action: ALLOW, rules: [{from: [{source: {notPrincipals: ['${CLIENT}']}}]}]}`)))
      .allowed,
    false,
  );
});

test("a client of another trust domain is refused in the handshake", async () => {
  const foreign = await ask("", { from: { principal: "other.domain/ns/foo/sa/client", ip: "10.0.0.2" } });
  assert.deepEqual([foreign.allowed, foreign.reason, foreign.cause], [false, "tls", "foreign-trust-domain"]);
});

const FAILS_OPEN: readonly (readonly [what: string, resources: string, request: Partial<AccessRequest>])[] = [
  [
    "a STRICT port of a PERMISSIVE workload in a STRICT mesh takes plaintext",
    mode("istio-system", "root", "{mtls: {mode: STRICT}}") +
      mode(
        "foo",
        "own",
        "{selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: STRICT}}}",
      ),
    plaintext,
  ],
  [
    "a STRICT port takes plaintext where mesh is STRICT, namespace UNSET and the workload has a PERMISSIVE port",
    mode("istio-system", "root", "{mtls: {mode: STRICT}}") +
      mode("foo", "wide", "{mtls: {mode: UNSET}}") +
      mode("foo", "own", "{selector: {matchLabels: {app: web}}, portLevelMtls: {9000: {mode: PERMISSIVE}}}"),
    plaintext,
  ],
  [
    "trustDomains beside principals is forgotten",
    policy(
      `{action: ALLOW, rules: [{from: [{source: {principals: ['${CLIENT}'], trustDomains: [other.domain]}}]}]}`,
    ),
    {},
  ],
  [
    "an empty selector selects nothing, of a DENY for all too",
    policy("{selector: {}, action: DENY, rules: [{}]}"),
    {},
  ],
];
for (const [what, resources, request] of FAILS_OPEN) {
  test(`Istio: ${what}; strict does not, and can names the difference`, async () => {
    const istio = await ask(resources, request);
    assert.equal(istio.allowed, true);
    assert.deepEqual([istio.differs?.semantics, istio.differs?.allowed], ["strict", false]);
    const strict = await ask(resources, request, "strict");
    assert.deepEqual([strict.allowed, strict.differs?.semantics], [false, "istio"]);
    assert.match(strict.explanation.join("\n"), /Istio's proxies decide otherwise: allowed/);
  });
}

test("the whole path: the client's ztunnel, then the server's; an HTTP caller sees no HTTP refusal", async () => {
  const whole = {
    from: { workload: "foo/client" },
    to: { service: "web", port: 80 },
    protocol: "http",
  } as const;
  const allowed = await ask("", whole);
  assert.deepEqual(
    [allowed.allowed, allowed.code, allowed.hops.map(({ hop }) => hop)],
    [true, 200, ["foo/client", "foo/web"]],
  );
  const denied = await ask(policy("{action: DENY, rules: [{from: [{source: {namespaces: [foo]}}]}]}"), whole);
  assert.deepEqual([denied.allowed, denied.code, denied.hop], [false, 0, "foo/web"]);
});

test("a waypoint that is named and not there is passed by, and it is said", async () => {
  const { mesh } = await meshFrom(
    WORKLOADS.replace("dataplane-mode: ambient", "dataplane-mode: ambient, istio.io/use-waypoint: wp"),
  );
  const [decision] = await can(mesh, [
    { from: { workload: "foo/client" }, to: { service: "web", port: 80 } },
  ]);
  assert.deepEqual([decision?.allowed, decision?.cause], [true, "no-allow-policies"]);
  assert.match(decision?.explanation.join("\n") ?? "", /waypoint foo\/wp is not there/);
});
