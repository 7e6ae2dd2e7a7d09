/** Whom gateways let in, by their own servers and policies: against the decision that the gateway itself makes of every request of a small world. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { gatewayCallers } from "../../../src/analysis/blast/gateway-callers.ts";
import { BlastModel } from "../../../src/analysis/blast/radius.ts";
import { blastReport, namesIn } from "../../../src/analysis/blast/report.ts";
import { KnownIdentities, type PortCallers } from "../../../src/analysis/blast/server-callers.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { Connection } from "../../../src/policy/connection.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import {
  chainOf,
  compileInbound,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  type Semantics,
} from "../../../src/policy/inbound.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { type Json, namespaceOf, object, pod } from "./rbac-mesh.ts";

const SEED = 20_261_123;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 60);

const IDENTITIES = ["a/sa/one", "a/sa/two", "b/sa/one"].map((own) => `cluster.local/ns/${own}`);
const NAMES = ["", "a.example", "b.example", "c.example"];
const PATHS = ["/x", "/y/1", "/z"];
const HOSTS = ["a.example", "b.example", "h.example"];

const SERVER = fc.constantFrom<Json>(
  { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] },
  { port: { number: 80, name: "tcp", protocol: "TCP" }, hosts: ["*"] },
  ...["SIMPLE", "ISTIO_MUTUAL"].flatMap((mode) =>
    ["HTTPS", "TLS"].map((protocol) => ({
      port: { number: 80, name: "own", protocol },
      tls: { mode, ...(mode === "SIMPLE" ? { credentialName: "own" } : {}) },
      hosts: ["a.example"],
    })),
  ),
  { port: { number: 80, name: "pass", protocol: "TLS" }, tls: { mode: "PASSTHROUGH" }, hosts: ["a.example"] },
  {
    port: { number: 80, name: "any", protocol: "HTTPS" },
    tls: { mode: "ISTIO_MUTUAL" },
    hosts: ["*"],
  },
);
const ROUTE = object("networking.istio.io/v1", "VirtualService", "gw", "own", {
  spec: {
    hosts: ["a.example"],
    gateways: ["own"],
    tls: [
      {
        match: [{ port: 80, sniHosts: ["a.example"] }],
        route: [{ destination: { host: "a.example", port: { number: 443 } } }],
      },
    ],
  },
});
const SOURCE = fc.oneof(
  fc.record({ principals: fc.subarray(IDENTITIES, { minLength: 1 }) }),
  fc.record({ namespaces: fc.subarray(["a", "b", "c"], { minLength: 1 }) }),
  fc.record({ notPrincipals: fc.subarray(IDENTITIES, { minLength: 1 }) }),
);
const OPERATION = fc.record(
  {
    paths: fc.constantFrom(["/x"], ["/y/*"]),
    hosts: fc.constantFrom(["a.example"], ["b.example"]),
    ports: fc.constantFrom(["80"], ["7070"]),
  },
  { requiredKeys: [] },
);
const WHEN = fc.record({
  key: fc.constant("connection.sni"),
  values: fc.constantFrom(["a.example"], ["b.example"]),
});
const RULE = fc.record(
  {
    from: fc.array(fc.record({ source: SOURCE }), { minLength: 1, maxLength: 2 }),
    to: fc.array(fc.record({ operation: OPERATION }), { minLength: 1, maxLength: 2 }),
    when: fc.array(WHEN, { minLength: 1, maxLength: 1 }),
  },
  { requiredKeys: [] },
);
const DRAWN = fc.record({
  server: SERVER,
  policies: fc.array(
    fc.record({
      action: fc.constantFrom("ALLOW", "ALLOW", "ALLOW", "DENY"),
      rules: fc.array(RULE, { maxLength: 2 }),
    }),
    { maxLength: 2 },
  ),
  semantics: fc.constantFrom<Semantics>("istio", "strict"),
  isRouted: fc.boolean(),
});
type Drawn = typeof DRAWN extends fc.Arbitrary<infer T> ? T : never;

test("a gateway lets in exactly those whom it takes some request of, its own decision asked about all there are", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(DRAWN, (drawn) => {
      const mesh = meshOf([drawn.server], drawn.policies, drawn.isRouted ? [ROUTE] : []);
      const gateway = mesh.workloads.find(({ role }) => role === "gateway") ?? assert.fail("no gateway");
      const known = new KnownIdentities(IDENTITIES);
      const [callers] = gatewayCallers({ mesh, gateway, semantics: drawn.semantics, known }, []);
      const taken = takenBy(compileInbound(mesh, gateway, { semantics: drawn.semantics }));
      // What it sees no server name of, and policies ask for one, counts as open: closed is never said wrongly.
      if (isUnclear(drawn)) return assert.equal(callers?.anonymous, true);
      assert.deepEqual(whom(callers), taken, JSON.stringify(drawn));
      seen.add(taken.join());
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(seen.size >= 4, [...seen].join(" | "));
});

function isUnclear({ server, policies }: Drawn): boolean {
  const { tls, port } = server as { tls?: { mode: string }; port: { protocol: string } };
  return (
    tls?.mode === "SIMPLE" &&
    port.protocol === "HTTPS" &&
    policies.some(({ rules }) => rules.some(({ when }) => when !== undefined))
  );
}

/** Anybody without an identity, and those with one that pass by it alone. */
function whom(callers: PortCallers | undefined): readonly string[] {
  if (callers === undefined) return [];
  const { anonymous, everybody, named } = callers;
  return [
    ...(anonymous ? ["anybody"] : []),
    ...IDENTITIES.filter((identity) => named.has(identity) !== everybody),
  ];
}

function takenBy(policy: InboundPolicy): readonly string[] {
  const isMutual = (principal: string | null): boolean =>
    NAMES.some((sni) =>
      (["mtls", "simple", "plaintext"] as const)
        .filter((tls) => (tls === "mtls") === (principal !== null) && (tls !== "plaintext" || sni === ""))
        .some((tls) => takes(policy, tls, principal, sni)),
    );
  return [...(isMutual(null) ? ["anybody"] : []), ...IDENTITIES.filter((own) => isMutual(own))];
}

function takes(
  policy: InboundPolicy,
  tls: "mtls" | "simple" | "plaintext",
  principal: string | null,
  sni: string,
): boolean {
  const connection = new Connection({
    tls,
    principal,
    sourceIp: "192.0.2.1",
    destinationIp: "192.0.2.2",
    destinationPort: 80,
    sni,
    alpn: tls === "mtls" ? ["istio"] : [],
  });
  if (!decideConnection(policy, connection).allowed) return false;
  const { protocol, tls: seen } = chainOf(policy, connection);
  // Nobody sees who is inside of TLS that goes through.
  if (seen !== "terminate" && principal !== null) return false;
  if (protocol !== "http") return true;
  return PATHS.some((path) =>
    HOSTS.some((host) => {
      const request = HttpRequest.read(policy.pathNormalization, "GET", path, host, [], 2);
      return request !== null && decideRequest(policy, connection, request).allowed;
    }),
  );
}

function meshOf(servers: readonly Json[], policies: readonly Json[], more: readonly Resource[] = []): Mesh {
  return buildMesh([
    namespaceOf("gw"),
    namespaceOf("a"),
    namespaceOf("b"),
    object("v1", "Pod", "gw", "gate", {
      labels: { istio: "gate" },
      spec: {
        serviceAccountName: "gate",
        containers: [
          { name: "istio-proxy", image: "i", args: ["proxy", "router"], ports: [{ containerPort: 9 }] },
        ],
      },
    }),
    pod("a", "one"),
    pod("a", "two"),
    pod("b", "one"),
    ...(servers.length === 0
      ? []
      : [
          object("networking.istio.io/v1", "Gateway", "gw", "own", {
            spec: { selector: { istio: "gate" }, servers },
          }),
        ]),
    ...policies.map((spec, at) =>
      object("security.istio.io/v1", "AuthorizationPolicy", "gw", `p${at}`, { spec }),
    ),
    ...more,
  ]);
}

const MUTUAL: Json = {
  port: { number: 80, name: "own", protocol: "TLS" },
  tls: { mode: "ISTIO_MUTUAL" },
  hosts: ["partner.example"],
};
const ONLY = (principal: string): Json => ({ rules: [{ from: [{ source: { principals: [principal] } }] }] });

test("a gateway that takes the mesh's TLS, with a policy for one account, is reached by that account and by no other", async () => {
  const [one = "", two = ""] = IDENTITIES;
  const model = new BlastModel(meshOf([MUTUAL], [ONLY(one)]), "istio");
  const reached = (from: string): readonly string[] => namesIn(model, model.radiusOf(from).reached);
  assert.ok(reached("workload/a/one").includes("gw/gate"));
  assert.ok(!reached("workload/a/two").includes("gw/gate"));
  assert.ok(!reached(`key/${two}`).includes("gw/gate"));
  const { reaches } = await blastReport(model, "workload/a/one", { semantics: "istio", witnesses: 5 });
  const step = reaches.find(({ to }) => to === "gw/gate");
  assert.deepEqual([step?.as, step?.port], [one, 80]);
});

test("PeerAuthentication has no say at a gateway's servers: one without TLS takes whoever connects", () => {
  const strict = object("security.istio.io/v1", "PeerAuthentication", "gw", "default", {
    spec: { mtls: { mode: "STRICT" } },
  });
  const http = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] };
  const model = new BlastModel(meshOf([http], [], [strict]), "istio");
  assert.ok(namesIn(model, model.radiusOf("workload/b/one").reached).includes("gw/gate"));
  const closed = new BlastModel(meshOf([http], [{}], [strict]), "istio");
  assert.ok(!namesIn(closed, closed.radiusOf("workload/b/one").reached).includes("gw/gate"));
});

test("nothing listens without a server; certificates of others' CAs, Ingresses and what is not analysed count as open", () => {
  const reached = (mesh: Mesh): boolean => {
    const model = new BlastModel(mesh, "istio");
    return namesIn(model, model.radiusOf("workload/b/one").reached).includes("gw/gate");
  };
  assert.equal(reached(meshOf([], [])), false);
  const mutual = {
    port: { number: 443, name: "https", protocol: "HTTPS" },
    tls: { mode: "MUTUAL", credentialName: "own" },
    hosts: ["*"],
  };
  assert.equal(reached(meshOf([mutual], [{}])), true, "MUTUAL");
  const ingress = object("networking.k8s.io/v1", "Ingress", "a", "own", {
    spec: { ingressClassName: "istio", rules: [] },
  });
  const config = object("v1", "ConfigMap", "istio-system", "istio", {
    data: { mesh: "ingressSelector: gate\n" },
  });
  assert.equal(reached(meshOf([], [{}], [ingress, config])), true, "Ingress");
  const tokens = object("security.istio.io/v1", "RequestAuthentication", "gw", "own", {
    spec: { jwtRules: [{ issuer: "https://issuer.example", fromHeaders: [{ name: "x-token" }] }] },
  });
  const asks = { rules: [{ when: [{ key: "request.headers[x-token]", values: ["v"] }] }] };
  const model = new BlastModel(
    meshOf([{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }], [asks], [tokens]),
    "istio",
  );
  assert.deepEqual(
    model.entries.notAnalysed.map(({ workload }) => workload),
    ["gw/gate"],
  );
  assert.ok(namesIn(model, model.radiusOf("workload/b/one").reached).includes("gw/gate"));
});

test("a server takes its own hosts' names alone: a policy for another name lets nobody in there", () => {
  const when = (name: string): Json => ({
    rules: [{ when: [{ key: "connection.sni", values: [name] }] }],
  });
  for (const [name, expected] of [
    ["partner.example", true],
    ["other.example", false],
  ] as const) {
    const model = new BlastModel(meshOf([MUTUAL], [when(name)]), "istio");
    const { reached } = model.radiusOf("workload/b/one");
    assert.equal(namesIn(model, reached).includes("gw/gate"), expected, name);
  }
});

test("a gateway holds the certificates of Gateways that select all, of servers with several, and what it calls with", () => {
  const server = { port: { number: 443, name: "https", protocol: "HTTPS" }, hosts: ["*"] };
  const tls = (settings: Json): Json => ({ ...server, tls: { mode: "SIMPLE", ...settings } });
  const gateway = (name: string, spec: Json): Resource =>
    object("networking.istio.io/v1", "Gateway", "gw", name, { spec });
  const rule = (namespace: string, name: string, more: Json = {}): Resource =>
    object("networking.istio.io/v1", "DestinationRule", namespace, name, {
      spec: {
        host: `${name}.example`,
        trafficPolicy: { tls: { mode: "MUTUAL", credentialName: `${name}-client` } },
        ...more,
      },
    });
  const mesh = meshOf(
    [tls({ credentialNames: ["rsa", "ecdsa"] })],
    [],
    [
      gateway("for-all", { servers: [tls({ credentialName: "for-all" })] }),
      gateway("other", { selector: { istio: "other" }, servers: [tls({ credentialName: "other" })] }),
      rule("a", "partner"),
      rule("a", "own", { exportTo: ["."] }),
    ],
  );
  const { holdings } = new BlastModel(mesh, "istio");
  const secrets = holdings
    .of("gateway/gw/gate")
    .yields.flatMap(({ id }) => (id.startsWith("secret/") ? [id] : []));
  assert.deepEqual(
    secrets.toSorted(),
    ["ecdsa", "for-all", "partner-client", "rsa"].map((name) => `secret/gw/${name}`),
  );
});
