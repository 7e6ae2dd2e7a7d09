import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { clientChanges } from "../../../src/analysis/diff/client/client-changes.ts";
import { networkChanges } from "../../../src/analysis/diff/network-changes.ts";
import { proposeEgress } from "../../../src/analysis/tighten/egress.ts";
import { Evidence } from "../../../src/analysis/tighten/evidence.ts";
import type { ClientFlow } from "../../../src/analysis/tighten/flow-reading.ts";
import { meshWith } from "../../../src/analysis/tighten/manifest.ts";
import { DEFAULT_THRESHOLDS } from "../../../src/analysis/tighten/path-thresholds.ts";
import { isHeldBack } from "../../../src/analysis/tighten/replay.ts";
import { type ExtraProposal, proposeSidecars } from "../../../src/analysis/tighten/sidecars.ts";
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

function networking(kind: string, own: string, name: string, spec: Record<string, unknown>): Resource {
  return { ...resource(kind, name, spec, { namespace: own }), apiVersion: "networking.istio.io/v1" };
}

function entry(own: string, name: string, host: string, address: string): Resource {
  return networking("ServiceEntry", own, name, {
    hosts: [host],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    location: "MESH_EXTERNAL",
    resolution: "STATIC",
    endpoints: [{ address }],
  });
}

const CLOSED = meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n");
const LEDGER = entry("ext", "ledger", "ledger.example", "198.51.100.7");
const BASE: readonly Resource[] = [
  ...["shop", "pay", "ext"].map(namespace),
  ...[pod("shop", "web"), pod("pay", "bank"), pod("pay", "vault")],
  ...[service("shop", "web"), service("pay", "bank"), service("pay", "vault")],
];
const BANK = "bank.pay.svc.cluster.local";
const VAULT = "vault.pay.svc.cluster.local";

function routes(http: readonly object[]): Resource {
  return networking("VirtualService", "pay", "bank", { hosts: [BANK], http });
}

function to(host: string): object {
  return { destination: { host, port: { number: 80 } } };
}

function sent(workload: string, host: string): ClientFlow {
  return { kind: "client", workload, host, port: 80, protocol: "http", timeMs: 0 };
}

function propose(mesh: Mesh, flows: readonly ClientFlow[]): Promise<ExtraProposal> {
  const options = { semantics: "istio", thresholds: DEFAULT_THRESHOLDS } as const;
  const evidence = new Evidence(mesh, { ...options, unwantedStatuses: new Set() });
  for (const flow of flows) evidence.add(flow);
  return proposeEgress(mesh, evidence, [], { inactive: "close", network: true });
}

function exportsOf({ changes }: ExtraProposal): readonly unknown[] {
  return changes
    .filter(({ manifest }) => manifest.kind === "ServiceEntry")
    .map(({ manifest: { metadata, spec } }) => [
      metadata.name,
      (spec as { exportTo: readonly string[] }).exportTo,
    ]);
}

/** Which pods and addresses pods of the workload are let out to, beside DNS and the control plane. */
function letOut({ changes }: ExtraProposal, name: string): readonly string[] {
  const policy = changes.find(({ manifest }) => manifest.metadata.name === `${name}-egress-as-seen`);
  const { egress } = (policy?.manifest.spec ?? { egress: [] }) as {
    readonly egress: readonly { readonly to: readonly object[] }[];
  };
  const peers = egress.slice(0, -2).flatMap((rule) => rule.to);
  return peers.map(
    (peer) => /"app":"(\w+)"|"cidr":"([^"]+)"/.exec(JSON.stringify(peer))?.slice(1).join("") ?? "",
  );
}

test("what routes send elsewhere by path, and what they copy, is evidence of where it may have gone", async () => {
  const http = [
    { match: [{ uri: { prefix: "/ledger" } }], route: [to("ledger.example")] },
    { mirror: { host: VAULT, port: { number: 80 } }, route: [to(BANK)] },
  ];
  const mesh = buildMesh([...BASE, CLOSED, LEDGER, routes(http)]);
  const proposal = await propose(mesh, [sent("shop/web", "bank.pay"), sent("pay/bank", "web.shop")]);
  assert.deepEqual(exportsOf(proposal), [["ledger", [".", "shop"]]]);
  assert.deepEqual([...letOut(proposal, "web")].sort(), ["198.51.100.7/32", "bank", "vault"]);
  assert.deepEqual(letOut(proposal, "bank"), ["web"]);
});

test("routes that are not followed take nothing away from who may use them", async () => {
  const http = [
    { match: [{ uri: { regex: "/l.*r" } }], route: [to("ledger.example")] },
    { route: [to(BANK)] },
  ];
  const mesh = buildMesh([...BASE, CLOSED, LEDGER, routes(http)]);
  const proposal = await propose(mesh, [sent("shop/web", "bank.pay"), sent("pay/bank", "web.shop")]);
  assert.deepEqual(exportsOf(proposal), []);
  assert.deepEqual(letOut(proposal, "web"), []);
  const whys = proposal.untouched.map(({ why }) => why).join("\n");
  assert.match(whys, /exported as it is: it is not proven to be no wider than today/);
  assert.match(
    whys,
    /no egress NetworkPolicy: where requests for bank\.pay\.svc\.cluster\.local go is not followed/,
  );
});

test("an entry stays exported to who would reach its hosts past it, without the TLS that its rules ask for", async () => {
  const open = networking("Sidecar", "shop", "default", {
    egress: [{ hosts: ["*/*"] }],
    outboundTrafficPolicy: { mode: "ALLOW_ANY" },
  });
  const tls = networking("DestinationRule", "ext", "ledger", {
    host: "ledger.example",
    trafficPolicy: { tls: { mode: "SIMPLE" } },
  });
  const mesh = buildMesh([...BASE, namespace("desk"), pod("desk", "clerk"), CLOSED, LEDGER, open, tls]);
  // www.example.org keeps shop open; pay and desk are closed.
  const flows = [sent("shop/web", "www.example.org"), sent("desk/clerk", "ledger.example")];
  const proposal = await propose(mesh, flows);
  assert.deepEqual(exportsOf(proposal), [["ledger", [".", "desk", "shop"]]]);
  const [change] = proposal.changes.filter(({ manifest }) => manifest.kind === "ServiceEntry");
  assert.match(change?.why ?? "", /desk \(1 requests\); shop would reach its hosts past it/);
});

test("an entry whose host another resource has, too, is left: that one would lead who loses it elsewhere", async () => {
  const second = entry("pay", "other-ledger", "*.example", "203.0.113.9");
  const mesh = buildMesh([...BASE, CLOSED, LEDGER, second]);
  const proposal = await propose(mesh, [sent("pay/bank", "ledger.example"), sent("shop/web", "bank.pay")]);
  assert.deepEqual(exportsOf(proposal), []);
  assert.match(
    proposal.untouched.map(({ why }) => why).join("\n"),
    /ServiceEntry pay\/other-ledger has hosts of it as well, and may lead elsewhere/,
  );
});

test("a service whose pods are in none of the files leaves its callers as they are", async () => {
  const api = resource(
    "Service",
    "kubernetes",
    { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] },
    {
      namespace: "default",
    },
  );
  const mesh = buildMesh([...BASE, CLOSED, api]);
  const proposal = await propose(mesh, [
    sent("shop/web", "kubernetes.default"),
    sent("shop/web", "bank.pay"),
  ]);
  assert.deepEqual(letOut(proposal, "web"), []);
  assert.match(
    proposal.untouched.map(({ why }) => why).join(),
    /kubernetes\.default\.svc\.cluster\.local \(port 80\) has no address in the files/,
  );
});

test("on random routes nothing opens, and every request that was sent on is sent on, whatever its path", async () => {
  const seen = { asked: 0, exports: 0, network: 0 };
  const host = fc.constantFrom("ledger.example", "mail.example", BANK, VAULT);
  const prefix = fc.constantFrom("/a", "/a/b", "/z");
  const route = fc.record({
    prefix,
    host,
    mirror: fc.option(host, { nil: undefined }),
    isRefused: fc.boolean(),
  });
  const call = fc.record({
    workload: fc.constantFrom("shop/web", "pay/bank", "pay/vault"),
    host: fc.constantFrom("bank.pay", "vault.pay", "web.shop", "ledger.example", "mail.example"),
    path: fc.constantFrom("/", "/a", "/a/b", "/z", "/q"),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(route, { maxLength: 3 }),
      fc.option(host, { nil: BANK }),
      fc.array(call, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (by, usual, calls, isClosed) => {
        const http = by.map(({ prefix, host, mirror, isRefused }) => ({
          match: [{ uri: { prefix } }],
          ...(isRefused ? { fault: { abort: { httpStatus: 503, percentage: { value: 50 } } } } : {}),
          ...(mirror === undefined ? {} : { mirror: { host: mirror, port: { number: 80 } } }),
          route: [to(host)],
        }));
        const mesh = buildMesh([
          ...[...BASE, LEDGER, entry("pay", "mail", "mail.example", "198.51.100.8")],
          ...[routes([...http, { route: [to(usual)] }]), ...(isClosed ? [CLOSED] : [])],
        ]);
        const proposal = await propose(
          mesh,
          calls.map(({ workload, host: asked }) => sent(workload, asked)),
        );
        const after = await meshWith(mesh, proposal.changes);
        const wider = [...clientChanges(mesh, after).changes, ...networkChanges(mesh, after)].filter(
          ({ change }) => change === "widened",
        );
        assert.deepEqual(wider, []);
        seen.exports += exportsOf(proposal).length;
        seen.network += proposal.changes.filter(({ manifest }) => manifest.kind === "NetworkPolicy").length;
        for (const { workload, host: asked, path } of calls) {
          const full = asked.endsWith(".example") ? asked : `${asked}.svc.cluster.local`;
          const request = {
            from: { workload },
            to: { host: full, port: 80 },
            protocol: "http",
            method: "GET",
            path,
            host: asked,
          } as const;
          const options = { semantics: "istio", compareModes: false } as const;
          if (isHeldBack(await decide(mesh, request, options))) continue;
          seen.asked++;
          const now = await decide(after, request, options);
          assert.ok(!isHeldBack(now), JSON.stringify({ request, changes: proposal.changes }));
        }
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(seen.asked > RUNS && seen.exports > RUNS / 4 && seen.network > RUNS / 2, JSON.stringify(seen));
});

test("of a wildcard it is told which hosts were asked for, of an entry that nobody used, and who loses one", async () => {
  const wide = { ...entry("pay", "wide", "*.example.org", "198.51.100.9") };
  const own = networking("ServiceEntry", "ext", "own", {
    hosts: ["idle.example"],
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    resolution: "DNS",
    exportTo: ["."],
  });
  const mesh = buildMesh([...BASE, CLOSED, wide, own]);
  const flows = ["a.example.org", "b.example.org", "a.example.org"].map((host) => sent("pay/bank", host));
  const proposal = await propose(mesh, [...flows, sent("shop/web", "bank.pay")]);
  const notes = proposal.untouched.map(({ workloads, why }) => `${workloads.join()}: ${why}`).join("\n");
  assert.match(
    notes,
    /ServiceEntry pay\/wide: all hosts of \*\.example\.org stay open: asked for were a\.example\.org \(2\), b\.example\.org \(1\)/,
  );
  assert.match(notes, /ServiceEntry ext\/own: nobody was seen to use it/);
  const [change] = proposal.changes.filter(({ manifest }) => manifest.kind === "ServiceEntry");
  assert.equal(change?.why, "the namespaces that use it: pay (3 requests); no more for shop");
});

test("namespaces that an entry names by hand, and of which the files have no workload, keep it", async () => {
  const named = networking("ServiceEntry", "ext", "ledger", {
    ...(LEDGER.spec as object),
    exportTo: ["pay", "shop", "batch"],
  });
  const mesh = buildMesh([...BASE, CLOSED, named]);
  const proposal = await propose(mesh, [sent("pay/bank", "ledger.example"), sent("shop/web", "bank.pay")]);
  // Nor does its own namespace see it from then on, which does not today.
  assert.deepEqual(exportsOf(proposal), [["ledger", ["pay", "batch"]]]);
});

test("what went to an address that is no service's keeps its namespace open, though a service has the name that it gave", async () => {
  const mesh = buildMesh([...BASE, LEDGER]);
  const named = sent("shop/web", "bank.pay");
  const closes = async (flows: readonly ClientFlow[]): Promise<boolean> =>
    (await propose(mesh, flows)).changes.some(
      ({ manifest: { kind, metadata } }) => kind === "Sidecar" && metadata.namespace === "shop",
    );
  assert.equal(await closes([named]), true);
  const passedOn = [named, { ...named, isPassedOn: true as const }];
  assert.equal(await closes(passedOn), false);
  const proposal = await propose(mesh, passedOn);
  assert.deepEqual(letOut(proposal, "web"), []);
  const whys = proposal.untouched.map(({ why }) => why).join("\n");
  assert.match(whys, /shop\/web reached bank\.pay \(port 80\) by an address that is no service's/);
  const options = { semantics: "istio", thresholds: DEFAULT_THRESHOLDS } as const;
  const evidence = new Evidence(mesh, { ...options, unwantedStatuses: new Set() });
  for (const flow of passedOn) evidence.add(flow);
  assert.deepEqual((await proposeSidecars(mesh, evidence)).changes, []);
});

test("DNS and the control plane are let out to by their Services' own labels and ports, where the files have them", async () => {
  const dns = resource(
    "Service",
    "kube-dns",
    {
      clusterIP: "10.96.0.10",
      selector: { app: "coredns" },
      ports: [
        { name: "dns", port: 53, targetPort: 1053, protocol: "UDP" },
        { name: "dns-tcp", port: 53, targetPort: 1053, protocol: "TCP" },
      ],
    },
    { namespace: "kube-system" },
  );
  const istiod = resource(
    "Service",
    "istiod-canary",
    {
      clusterIP: "10.96.0.11",
      selector: { app: "istiod", "istio.io/rev": "canary" },
      ports: [{ name: "https-dns", port: 15_012 }],
    },
    { namespace: "istio-system" },
  );
  const mesh = buildMesh([...BASE, CLOSED, dns, istiod]);
  const { changes } = await propose(mesh, [sent("shop/web", "bank.pay")]);
  const policy = changes.find(({ manifest }) => manifest.metadata.name === "web-egress-as-seen");
  const { egress } = (policy?.manifest.spec ?? { egress: [] }) as { readonly egress: readonly object[] };
  const to = (namespace: string, labels: object, ports: readonly object[]): object => ({
    to: [
      {
        namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
        podSelector: { matchLabels: labels },
      },
    ],
    ports,
  });
  assert.deepEqual(egress.slice(-2), [
    to("kube-system", { app: "coredns" }, [
      { protocol: "UDP", port: 1053 },
      { protocol: "TCP", port: 1053 },
    ]),
    to("istio-system", { app: "istiod", "istio.io/rev": "canary" }, [{ protocol: "TCP", port: 15_012 }]),
  ]);
});

test("an entry is narrowed, too, where Sidecars of the same run hide its hosts already: others may come to the namespace", async () => {
  const mesh = buildMesh([...BASE, LEDGER]);
  const options = { semantics: "istio", thresholds: DEFAULT_THRESHOLDS } as const;
  const evidence = new Evidence(mesh, { ...options, unwantedStatuses: new Set() });
  for (const flow of [sent("pay/bank", "ledger.example"), sent("shop/web", "bank.pay")]) evidence.add(flow);
  const sidecars = await proposeSidecars(mesh, evidence);
  const proposal = await proposeEgress(mesh, evidence, sidecars.changes, {
    inactive: "close",
    network: false,
  });
  assert.deepEqual(exportsOf(proposal), [["ledger", [".", "pay"]]]);
  assert.deepEqual(proposal.untouched, []);
});
