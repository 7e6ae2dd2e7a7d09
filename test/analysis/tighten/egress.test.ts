import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientChanges } from "../../../src/analysis/diff/client/client-changes.ts";
import { networkChanges } from "../../../src/analysis/diff/network-changes.ts";
import { proposeEgress } from "../../../src/analysis/tighten/egress.ts";
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import { type ClientFlow, leftOut, type ServerFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { meshWith, type ResourceChange } from "../../../src/analysis/tighten/manifest.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { dialledRequest, isHeldBack } from "../../../src/analysis/tighten/replay.ts";
import type { ExtraProposal } from "../../../src/analysis/tighten/sidecars.ts";
import { can } from "../../../src/index.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { decide } from "../../../src/policy/decide.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { meshConfig, resource } from "../../policy/inbound-fixture.ts";
import { pod } from "./tighten-fixture.ts";

const SEED = 20261123;
const RUNS = Number(process.env.ANALYSIS_RUNS ?? 40);

function namespace(name: string): Resource {
  return resource("Namespace", name, {}, { namespace: "", labels: { "istio-injection": "enabled" } });
}

function service(own: string, name: string): Resource {
  const spec = {
    clusterIP: `10.96.${own.length}.${name.length}`,
    selector: { app: name },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  };
  return resource("Service", name, spec, { namespace: own });
}

function entry(own: string, name: string, spec: Record<string, unknown>): Resource {
  const common = { ports: [{ number: 443, name: "tls", protocol: "TLS" }], location: "MESH_EXTERNAL" };
  return {
    ...resource("ServiceEntry", name, { ...common, ...spec }, { namespace: own }),
    apiVersion: "networking.istio.io/v1",
  };
}

const MESH: readonly Resource[] = [
  ...["shop", "pay", "ext"].map(namespace),
  pod("shop", "web"),
  pod("pay", "bank"),
  service("shop", "web"),
  service("pay", "bank"),
  entry("ext", "ibm", { hosts: ["www.ibm.com"], resolution: "DNS" }),
  entry("ext", "ledger", {
    hosts: ["ledger.example"],
    resolution: "STATIC",
    endpoints: [{ address: "198.51.100.7" }],
  }),
];

function sent(workload: string, host: string, rest: Partial<ClientFlow> = {}): ClientFlow {
  const isService = !host.includes(".") || host.endsWith(".pay") || host.endsWith(".shop");
  const way = isService ? { port: 80, protocol: "http" as const } : { port: 443, protocol: "tls" as const };
  return { kind: "client", workload, host, timeMs: 0, ...way, ...rest };
}

function evidenceOf(mesh: Mesh, flows: readonly (ClientFlow | ServerFlow)[]): Evidence {
  const options = { semantics: "istio", thresholds: DEFAULT_THRESHOLDS } as const;
  const evidence = new Evidence(mesh, { ...options, unwantedStatuses: new Set() });
  for (const one of flows) evidence.add(one);
  return evidence;
}

function propose(
  mesh: Mesh,
  evidence: Evidence,
  options: { readonly inactive?: "keep" | "close"; readonly network?: boolean } = {},
): Promise<ExtraProposal> {
  return proposeEgress(mesh, evidence, [], { inactive: "keep", network: false, ...options });
}

function named({ changes }: ExtraProposal, kind: string): readonly ResourceChange["manifest"][] {
  return changes.map(({ manifest }) => manifest).filter((manifest) => manifest.kind === kind);
}

const USED = [
  sent("shop/web", "bank.pay"),
  sent("shop/web", "www.ibm.com"),
  sent("pay/bank", "ledger.example"),
];

test("namespaces that asked for registered hosts alone are closed to others, and each ServiceEntry is for who uses it", async () => {
  const mesh = buildMesh(MESH);
  const proposal = await propose(mesh, evidenceOf(mesh, USED));
  assert.deepEqual(proposal.untouched, []);
  const sidecars = named(proposal, "Sidecar");
  assert.deepEqual(sidecars.map(({ metadata }) => metadata.namespace).sort(), ["pay", "shop"]);
  for (const { spec } of sidecars)
    assert.deepEqual(spec, {
      egress: [{ hosts: ["*/*"] }],
      outboundTrafficPolicy: { mode: "REGISTRY_ONLY" },
    });
  const exports = named(proposal, "ServiceEntry").map(({ metadata, spec }) => [
    metadata.name,
    (spec as { exportTo: readonly string[] }).exportTo,
  ]);
  assert.deepEqual(exports, [
    ["ibm", [".", "shop"]],
    ["ledger", [".", "pay"]],
  ]);
  const after = await meshWith(mesh, proposal.changes);
  const ask = (workload: string, host: string) => ({
    from: { workload },
    to: { host, port: 443 },
    protocol: "tls" as const,
    sni: host,
  });
  const asked = [
    ask("shop/web", "www.ibm.com"),
    ask("pay/bank", "www.ibm.com"),
    ask("shop/web", "ledger.example"),
    ask("pay/bank", "ledger.example"),
    ask("pay/bank", "www.example.org"),
  ];
  const allowed = async (own: Mesh) => (await can(own, asked)).map((answer) => answer.allowed);
  assert.deepEqual(await allowed(mesh), [true, true, true, true, true]);
  assert.deepEqual(await allowed(after), [true, false, false, true, false]);
});

test("a host that nobody registered keeps its namespace open, and hosts that could be reached past their entry stay exported", async () => {
  const mesh = buildMesh(MESH);
  const proposal = await propose(mesh, evidenceOf(mesh, [...USED, sent("pay/bank", "www.example.org")]));
  assert.deepEqual(
    named(proposal, "Sidecar").map(({ metadata }) => metadata.namespace),
    ["shop"],
  );
  const whys = proposal.untouched.map(({ why }) => why).join("\n");
  assert.match(whys, /no service has the host www\.example\.org \(port 443\), which pay\/bank asks for/);
  // bank would reach www.ibm.com without the entry, in the way of any unregistered host.
  assert.match(whys, /exported as it is: its hosts would be reached past it/);
  assert.deepEqual(
    named(proposal, "ServiceEntry").map(({ metadata }) => metadata.name),
    ["ledger"],
  );
});

test("where nothing, or not all, is known of who asks, nothing is taken away, unless that is asked for", async () => {
  const mesh = buildMesh(MESH);
  const silent = await propose(mesh, evidenceOf(mesh, [sent("shop/web", "www.ibm.com")]));
  // Nothing is known of pay/bank: ibm stays exported to it; ledger is used by nobody, and leaves shop.
  assert.deepEqual(
    named(silent, "ServiceEntry").map(({ metadata, spec }) => [
      metadata.name,
      (spec as { exportTo: readonly string[] }).exportTo,
    ]),
    [["ledger", [".", "pay"]]],
  );
  const closed = await propose(mesh, evidenceOf(mesh, [sent("shop/web", "www.ibm.com")]), {
    inactive: "close",
  });
  assert.match(closed.untouched.map(({ why }) => why).join(), /exported as it is/);
  const untold = evidenceOf(mesh, USED);
  untold.add(leftOut("untold", "shop/web"));
  const { changes, untouched } = await propose(mesh, untold);
  assert.deepEqual(
    changes.filter(({ manifest }) => manifest.metadata.namespace === "shop"),
    [],
  );
  assert.match(
    untouched.map(({ why }) => why).join(),
    /not all records of shop\/web as a client tell a host/,
  );
});

test("pods are let out to where they went, DNS and the control plane; a host without an address leaves them as they are", async () => {
  const mesh = buildMesh(MESH);
  const proposal = await propose(mesh, evidenceOf(mesh, USED), { network: true });
  const policies = named(proposal, "NetworkPolicy");
  assert.deepEqual(
    policies.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
    ["pay/bank-egress-as-seen"],
  );
  assert.deepEqual((policies[0]?.spec as { egress?: readonly unknown[] } | undefined)?.egress, [
    { to: [{ ipBlock: { cidr: "198.51.100.7/32" } }], ports: [{ protocol: "TCP", port: 443 }] },
    {
      to: [
        {
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } },
          podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
        },
      ],
      ports: [
        { protocol: "UDP", port: 53 },
        { protocol: "TCP", port: 53 },
      ],
    },
    {
      to: [
        {
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "istio-system" } },
          podSelector: { matchLabels: { app: "istiod" } },
        },
      ],
      ports: [{ protocol: "TCP", port: 15_012 }],
    },
  ]);
  assert.match(
    proposal.untouched.map(({ why }) => why).join(),
    /www\.ibm\.com \(port 443\) has no address in the files that a NetworkPolicy could name/,
  );
});

test("what proxies themselves connect to is let out, too, or no policy is written", async () => {
  const provider = (host: string): Resource =>
    meshConfig(`extensionProviders: [{name: authz, envoyExtAuthzGrpc: {service: ${host}, port: 80}}]\n`);
  const only = [sent("pay/bank", "ledger.example")];
  const known = buildMesh([...MESH, provider("web.shop.svc.cluster.local")]);
  const proposal = await propose(known, evidenceOf(known, only), { network: true });
  const [policy] = named(proposal, "NetworkPolicy");
  assert.match(JSON.stringify(policy?.spec), /"app":"web".{1,80}"port":8080/);
  const unknown = buildMesh([...MESH, provider("authz.elsewhere.svc.cluster.local")]);
  const none = await propose(unknown, evidenceOf(unknown, only), { network: true });
  assert.deepEqual(named(none, "NetworkPolicy"), []);
  assert.match(none.untouched.map(({ why }) => why).join(), /extension provider authz.* not in the files/);
});

test("on random meshes and traffic nothing opens (by diff), and what was seen goes where it went", async () => {
  const seen = { changes: 0, entries: 0, network: 0 };
  const exportTo = fc.constantFrom(undefined, ["*"], ["."], ["shop", "pay"], [".", "pay"]);
  const anEntry = fc.record({
    own: fc.constantFrom("ext", "shop", "pay"),
    host: fc.constantFrom(
      "www.ibm.com",
      "ledger.example",
      "mail.vendor.example",
      "api.vendor.example",
      "*.example.org",
      "a.example.org",
    ),
    exportTo,
    isStatic: fc.boolean(),
  });
  const anywhere = fc.constantFrom("bank.pay", "web.shop", "www.ibm.com", "a.example.org", "b.example.org");
  const aFlow = (hosts: readonly string[]) =>
    fc.tuple(
      fc.constantFrom("shop/web", "pay/bank"),
      hosts.length === 0
        ? anywhere
        : fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...hosts) }, { weight: 1, arbitrary: anywhere }),
    );
  const entriesAndFlows = fc
    .uniqueArray(anEntry, { maxLength: 4, selector: ({ own, host }) => `${own} ${host}` })
    .chain((entries) => {
      const hosts = entries.map(({ host }) => host.replace("*", "a"));
      return fc.tuple(fc.constant(entries), fc.array(aFlow(hosts), { minLength: 1, maxLength: 6 }));
    });
  await fc.assert(
    fc.asyncProperty(
      entriesAndFlows,
      fc.constantFrom("ALLOW_ANY", "REGISTRY_ONLY"),
      fc.constantFrom("keep" as const, "close" as const),
      async ([entries, dialled], mode, inactive) => {
        const own = entries.map(({ own, host, exportTo, isStatic }) =>
          entry(own, host.replaceAll("*", "any"), {
            hosts: [host],
            ...(exportTo === undefined ? {} : { exportTo }),
            ...(isStatic && !host.startsWith("*")
              ? { resolution: "STATIC", endpoints: [{ address: "198.51.100.9" }] }
              : { resolution: host.startsWith("*") ? "NONE" : "DNS" }),
          }),
        );
        const base = MESH.filter(({ kind }) => kind !== "ServiceEntry");
        const mesh = buildMesh([...base, ...own, meshConfig(`outboundTrafficPolicy: {mode: ${mode}}\n`)]);
        const flows = dialled.map(([workload, host]) => sent(workload, host));
        const { changes } = await propose(mesh, evidenceOf(mesh, flows), { inactive, network: true });
        seen.changes += changes.length;
        seen.entries += changes.filter(({ manifest }) => manifest.kind === "ServiceEntry").length;
        seen.network += changes.filter(({ manifest }) => manifest.kind === "NetworkPolicy").length;
        const after = await meshWith(mesh, changes);
        const clients = clientChanges(mesh, after);
        assert.deepEqual(clients.notAnalysed, []);
        const wider = [...clients.changes, ...networkChanges(mesh, after)].filter(
          ({ change }) => change === "widened",
        );
        assert.deepEqual(wider, []);
        for (const flow of flows) {
          const request = dialledRequest(mesh, flow) ?? assert.fail();
          const options = { semantics: "istio", compareModes: false } as const;
          if (isHeldBack(await decide(mesh, request, options))) continue;
          assert.ok(!isHeldBack(await decide(after, request, options)), JSON.stringify({ request, changes }));
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(seen.changes > RUNS && seen.entries > RUNS / 10 && seen.network > RUNS / 4, JSON.stringify(seen));
});
