import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientChanges } from "../../../src/analysis/diff/client/client-changes.ts";
import { networkChanges } from "../../../src/analysis/diff/network-changes.ts";
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import type { ClientFlow, ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { leftOut } from "../../../src/analysis/tighten/flow-reading.ts";
import { meshWith } from "../../../src/analysis/tighten/manifest.ts";
import { proposeNetworkPolicies } from "../../../src/analysis/tighten/network.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { proposeSidecars } from "../../../src/analysis/tighten/sidecars.ts";
import { can } from "../../../src/index.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { meshConfig, meshOf, resource } from "../../policy/inbound-fixture.ts";
import { flow, pod, tighten } from "./tighten-fixture.ts";

const SEED = 20261122;

function service(namespace: string, name: string): Resource {
  return resource(
    "Service",
    name,
    {
      clusterIP: `10.96.${namespace.length}.${name.length}`,
      selector: { app: name },
      ports: [{ name: "http", port: 80, targetPort: 8080 }],
    },
    { namespace },
  );
}

function external(namespace: string, host: string): Resource {
  const spec = {
    hosts: [host],
    ports: [{ number: 443, name: "tls", protocol: "TLS" }],
    resolution: "DNS",
    location: "MESH_EXTERNAL",
  };
  return {
    ...resource("ServiceEntry", host.replaceAll("*", "any"), spec, { namespace }),
    apiVersion: "networking.istio.io/v1",
  };
}

function asked(host: string, rest: Partial<ClientFlow> = {}): ClientFlow {
  return { kind: "client", workload: "foo/sleep", host, port: 80, protocol: "http", timeMs: 0, ...rest };
}

function evidenceOf(mesh: Mesh, flows: readonly (ClientFlow | ServerFlow)[]): Evidence {
  const evidence = new Evidence(mesh, {
    semantics: "istio",
    thresholds: DEFAULT_THRESHOLDS,
    unwantedStatuses: new Set(),
  });
  for (const one of flows) evidence.add(one);
  return evidence;
}

const OTHERS = [
  pod("foo", "sleep"),
  pod("bar", "admin"),
  service("bar", "admin"),
  external("ext", "*.ibm.com"),
];

test("a Sidecar leaves the hosts that were asked for, with their namespaces, and nothing that is not registered", async () => {
  const mesh = meshOf(...OTHERS);
  const flows = [asked("httpbin"), asked("www.ibm.com", { port: 443, protocol: "tls" })];
  const { changes, untouched } = await proposeSidecars(mesh, evidenceOf(mesh, flows));
  assert.deepEqual(untouched, []);
  assert.deepEqual(
    changes.map(({ manifest }) => manifest.spec),
    [
      {
        workloadSelector: { labels: { app: "sleep" } },
        egress: [{ hosts: ["./httpbin.foo.svc.cluster.local", "ext/*.ibm.com"] }],
        outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
      },
    ],
  );
  const after = await meshWith(mesh, changes);
  const answers = await can(after, [
    {
      from: { workload: "foo/sleep" },
      to: { service: "httpbin.foo.svc.cluster.local", port: 80 },
      method: "GET",
      path: "/",
    },
    {
      from: { workload: "foo/sleep" },
      to: { service: "admin.bar.svc.cluster.local", port: 80 },
      method: "GET",
      path: "/",
    },
  ]);
  assert.deepEqual(
    answers.map(({ allowed }) => allowed),
    [true, false],
  );
});

test("a host that no service names, records that tell none, and callers whom servers know more of get no Sidecar, and are named", async () => {
  const mesh = meshOf(...OTHERS);
  const why = async (evidence: Evidence): Promise<string> => {
    const { changes, untouched } = await proposeSidecars(mesh, evidence);
    assert.deepEqual(changes, []);
    return untouched.map((own) => own.why).join();
  };
  assert.match(
    await why(evidenceOf(mesh, [asked("www.example.org")])),
    /no service has the host www\.example\.org/,
  );
  const untold = evidenceOf(mesh, [asked("httpbin")]);
  untold.add(leftOut("untold", "foo/sleep"));
  assert.match(await why(untold), /not all records of foo\/sleep as a client tell a host/);
  assert.match(
    await why(evidenceOf(mesh, [asked("admin.bar"), flow("/a")])),
    /foo\/httpbin was called by it/,
  );
});

test("no Sidecar opens what another closes today", async () => {
  const none = {
    ...resource("Sidecar", "default", {
      egress: [{ hosts: ["./*"] }],
      outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
    }),
  };
  const mesh = meshOf(...OTHERS, none);
  const { changes, untouched } = await proposeSidecars(mesh, evidenceOf(mesh, [asked("admin.bar")]));
  assert.deepEqual(changes, []);
  assert.match(untouched[0]?.why ?? "", /no service has the host admin\.bar/);
});

test("on random meshes and traffic Sidecars open nothing (by diff), and lead what was seen where it went", async () => {
  let proposed = 0;
  const usual = fc.constantFrom(
    ["httpbin", 80, "http"] as const,
    ["httpbin.foo", 80, "http"] as const,
    ["admin.bar.svc.cluster.local", 80, "http"] as const,
    ["www.ibm.com", 443, "tls"] as const,
    ["a.ibm.com", 443, "tls"] as const,
  );
  const odd = fc.tuple(
    fc.constantFrom("httpbin", "www.ibm.com", "www.example.org"),
    fc.constantFrom(80, 443),
    fc.constantFrom("http" as const, "tls" as const),
  );
  const dialledHost = fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: odd });
  const SIDECARS = [
    [],
    [resource("Sidecar", "default", { egress: [{ hosts: ["./*", "ext/*"] }] })],
    [
      resource(
        "Sidecar",
        "default",
        { egress: [{ hosts: ["*/*"] }], outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } },
        { namespace: "istio-system" },
      ),
    ],
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...SIDECARS),
      fc.constantFrom("ALLOW_ANY", "REGISTRY_ONLY"),
      fc.array(dialledHost, { minLength: 1, maxLength: 4 }),
      async (sidecars, mode, dialled) => {
        const mesh = meshOf(...OTHERS, ...sidecars, meshConfig(`outboundTrafficPolicy: {mode: ${mode}}\n`));
        const flows = dialled.map(([host, port, protocol]) => asked(host, { port, protocol }));
        const { changes } = await proposeSidecars(mesh, evidenceOf(mesh, flows));
        proposed += changes.length;
        const diff = clientChanges(mesh, await meshWith(mesh, changes));
        assert.deepEqual(diff.notAnalysed, []);
        assert.deepEqual(
          diff.changes.filter(({ change }) => change === "widened"),
          [],
        );
      },
    ),
    { seed: SEED, numRuns: 40 },
  );
  assert.ok(proposed > 3, `${proposed} Sidecars`);
});

test("NetworkPolicies let those in who came, at the ports where they came, and only where no other holds", async () => {
  const mesh = meshOf(...OTHERS);
  const flows = [flow("/a"), flow("/b", { principal: "cluster.local/ns/bar/sa/admin" })];
  const { proposal } = await tighten(mesh, flows);
  const { changes, untouched } = await proposeNetworkPolicies(mesh, proposal.servers);
  assert.deepEqual(untouched, []);
  assert.deepEqual(
    changes.map(({ manifest }) => manifest.spec),
    [
      {
        podSelector: { matchLabels: { app: "httpbin" } },
        policyTypes: ["Ingress"],
        ingress: [
          {
            from: [
              {
                namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "bar" } },
                podSelector: { matchLabels: { app: "admin" } },
              },
              { podSelector: { matchLabels: { app: "sleep" } } },
            ],
            ports: [{ protocol: "TCP", port: 8080 }],
          },
        ],
      },
    ],
  );
  const diff = networkChanges(mesh, await meshWith(mesh, changes));
  assert.ok(diff.length > 0 && diff.every(({ change }) => change === "narrowed"));
  const closed = {
    ...resource("NetworkPolicy", "all", { podSelector: {}, policyTypes: ["Ingress"] }),
    apiVersion: "networking.k8s.io/v1",
  };
  const isolated = meshOf(...OTHERS, closed);
  const again = await proposeNetworkPolicies(isolated, proposal.servers);
  assert.deepEqual(again.changes, []);
  assert.match(again.untouched[0]?.why ?? "", /network policies select it already/);
});
