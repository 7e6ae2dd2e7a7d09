/** Whom a server lets in: asked about one by one, and by the algebra over all requests, it is the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type CallersQuestion,
  callersByAlgebra,
  callersByAsking,
  KnownIdentities,
  type PortCallers,
  serverCallers,
} from "../../../src/analysis/blast/server-callers.ts";
import { serverFacts } from "../../../src/analysis/diff/server-facts.ts";
import { ambientServer } from "../../../src/analysis/space/ambient-server.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileInbound, type Semantics } from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

const SEED = 20_261_123;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 60);

const IDENTITIES = ["a/sa/one", "a/sa/two", "b/sa/one", "b/sa/three"].map((own) => `cluster.local/ns/${own}`);
const PORTS = [8080, 9090];

const SOURCE = fc.oneof(
  fc.record({ principals: fc.subarray([...IDENTITIES, "cluster.local/ns/c/sa/none"], { minLength: 1 }) }),
  fc.record({ namespaces: fc.subarray(["a", "b", "c"], { minLength: 1 }) }),
  fc.record({ serviceAccounts: fc.subarray(["a/one", "two", "b/three"], { minLength: 1 }) }),
  fc.record({ notPrincipals: fc.subarray(IDENTITIES, { minLength: 1 }) }),
  fc.record({ principals: fc.constant(["*/one"]) }),
);
const OPERATION = fc.record(
  {
    methods: fc.constantFrom(["GET"], ["POST", "PUT"]),
    paths: fc.constantFrom(["/x"], ["/y/*"], ["*"]),
    ports: fc.constantFrom(["8080"], ["9090"], ["7070"]),
    hosts: fc.constantFrom(["h.example"], ["*.example"]),
  },
  { requiredKeys: [] },
);
const RULE = fc.record(
  {
    from: fc.array(fc.record({ source: SOURCE }), { minLength: 1, maxLength: 2 }),
    to: fc.array(fc.record({ operation: OPERATION }), { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const DRAWN = fc.record({
  policies: fc.array(
    fc.record({
      action: fc.constantFrom("ALLOW", "ALLOW", "ALLOW", "DENY"),
      rules: fc.array(RULE, { maxLength: 3 }),
    }),
    { maxLength: 3 },
  ),
  mode: fc.constantFrom("STRICT", "PERMISSIVE"),
  protocol: fc.constantFrom("http", "tcp", "auto"),
  dataplane: fc.constantFrom("sidecar", "ambient"),
  semantics: fc.constantFrom<Semantics>("istio", "strict"),
});
type Drawn = typeof DRAWN extends fc.Arbitrary<infer T> ? T : never;

test("asked about one by one, and by the algebra, the same identities are let in at the same ports", () => {
  let asked = 0;
  fc.assert(
    fc.property(DRAWN, (drawn) => {
      const question = questionOf(drawn);
      const exact = callersByAlgebra(question);
      assert.deepEqual(lists(serverCallers(question)), lists(exact));
      const quick = callersByAsking(question);
      if (quick === undefined) return;
      asked++;
      assert.deepEqual(lists(quick), lists(exact));
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(asked >= RUNS / 6, `only ${asked} of ${RUNS} were asked about`);
});

/** Who of those that there are, and whether anybody without an identity. */
function lists(callers: readonly PortCallers[]): unknown {
  return callers.map(({ port, anonymous, everybody, named }) => [
    port,
    anonymous,
    IDENTITIES.filter((identity) => named.has(identity) !== everybody),
  ]);
}

function questionOf(drawn: Drawn): CallersQuestion {
  const mesh = meshOf(drawn);
  const workload = mesh.workloads[0] ?? assert.fail("no workload");
  assert.equal(workload.dataplane, drawn.dataplane);
  const server =
    drawn.dataplane === "ambient"
      ? ambientServer(mesh, workload, drawn.semantics)
      : compileInbound(mesh, workload, { semantics: drawn.semantics });
  const policies = serverFacts(mesh, workload).resources;
  return { mesh, workload, server, ports: PORTS, policies, known: new KnownIdentities(IDENTITIES) };
}

function meshOf({ policies, mode, protocol, dataplane }: Drawn): Mesh {
  const labels =
    dataplane === "ambient" ? { "istio.io/dataplane-mode": "ambient" } : { "istio-injection": "enabled" };
  const names = { http: "http-own", tcp: "tcp-own", auto: "own" };
  return buildMesh([
    object("v1", "Namespace", "", "a", { labels }),
    object("security.istio.io/v1", "PeerAuthentication", "a", "default", { spec: { mtls: { mode } } }),
    object("v1", "Pod", "a", "server", {
      labels: { app: "server" },
      spec: {
        containers: [{ name: "c", image: "i", ports: PORTS.map((containerPort) => ({ containerPort })) }],
      },
    }),
    object("v1", "Service", "a", "server", {
      spec: { selector: { app: "server" }, ports: [{ name: names[protocol], port: 80, targetPort: 8080 }] },
    }),
    ...policies.map(({ action, rules }, at) =>
      object("security.istio.io/v1", "AuthorizationPolicy", "a", `p${at}`, {
        spec: {
          selector: { matchLabels: { app: "server" } },
          action,
          ...(rules.length === 0 ? {} : { rules }),
        },
      }),
    ),
  ]);
}

function object(apiVersion: string, kind: string, namespace: string, name: string, rest: object): Resource {
  const { labels, ...body } = rest as { labels?: object };
  const metadata = {
    name,
    ...(namespace === "" ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
  };
  return resourceFromJson({ apiVersion, kind, metadata, ...body }, { file: "test", createdAt: 0 });
}
