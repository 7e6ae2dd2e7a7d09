import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffMesh, type WholeDiff } from "../../src/analysis/diff/diff-mesh.ts";
import { can } from "../../src/index.ts";
import { buildMesh } from "../../src/model/build-mesh.ts";
import type { Mesh } from "../../src/model/mesh.ts";
import type { AccessRequest } from "../../src/policy/path/access-request.ts";
import { loadTexts } from "../../src/resources/load.ts";
import { provideStockGateways } from "../../src/substrate/stock-gateways.ts";

const SEED = 20_261_123;
const RUNS = Number(process.env.BULWARK_RUNS ?? 40);
const MODES = {
  sidecar: "istio-injection: enabled",
  ambient: "istio.io/dataplane-mode: ambient",
  none: "istio-injection: disabled",
} as const;
type Mode = keyof typeof MODES;
interface Pod {
  /** To go on a flow mapping. */
  readonly labels?: string;
  readonly annotations?: string;
}
const NAMESPACES = ["front", "back"] as const;
const HOSTS = ["web.front.svc.cluster.local", "orders.back.svc.cluster.local", "partner.example"];

const application = (namespace: string, name: string, pod: Pod = {}): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}${pod.labels ?? ""}}, annotations: {${pod.annotations ?? ""}}}
    spec: {serviceAccountName: ${name}, containers: [{name: c, image: registry.example/c:1, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
`;
const PARTNER = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: front}
spec: {hosts: [partner.example], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
`;
const STRICT = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
`;
const REGISTRY_ONLY = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: front}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: ["./*"]}]}
`;
const CHECKED = `${REGISTRY_ONLY.replace("name: default", "name: checked").replace("spec: {", "spec: {workloadSelector: {labels: {egress: checked}}, ")}`;
const FAULT = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: back}
spec:
  hosts: [orders.back.svc.cluster.local]
  http:
  - match: [{sourceLabels: {egress: checked}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 403}}
    route: [{destination: {host: orders.back.svc.cluster.local}}]
  - route: [{destination: {host: orders.back.svc.cluster.local}}]
`;
const WAYPOINT = `apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: back}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: waypoint, namespace: back}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]
  rules: [{from: [{source: {principals: [cluster.local/ns/front/sa/cart]}}]}]
`;
const PODS: readonly Pod[] = [
  {},
  { labels: ", egress: checked" },
  { annotations: 'traffic.sidecar.istio.io/excludeOutboundPorts: "443"' },
];
const CLEAR = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: back}
spec: {host: orders.back.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
`;
const ONLY_WEB = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: orders, namespace: back}
spec:
  selector: {matchLabels: {app: orders}}
  rules: [{from: [{source: {principals: [cluster.local/ns/front/sa/web]}}]}]
`;

async function meshOf(
  modes: Readonly<Record<string, Mode>>,
  others: readonly string[],
  pod: Pod = {},
): Promise<Mesh> {
  const bound = others.includes(WAYPOINT) ? ", istio.io/use-waypoint: waypoint" : "";
  const texts = [
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n",
    ...NAMESPACES.map(
      (name) =>
        `apiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {${MODES[modes[name] ?? "none"]}${name === "back" ? bound : ""}}}\n`,
    ),
    application("front", "web", pod),
    application("front", "cart"),
    application("back", "orders"),
    PARTNER,
    ...others,
  ];
  const { resources, rejected } = await loadTexts([{ file: "mesh.yaml", text: texts.join("---\n") }]);
  assert.deepEqual(rejected, []);
  return buildMesh(provideStockGateways(resources).resources);
}

const CALLS = ["front/web", "front/cart", "back/orders"].flatMap((workload) =>
  [...HOSTS, "nobody.example"].flatMap((host): AccessRequest[] => [
    { from: { workload }, to: { host, port: 80 }, protocol: "http", method: "GET", path: "/", host },
    { from: { workload }, to: { host, port: 9000 }, protocol: "tcp" },
    { from: { workload }, to: { host, port: 443 }, protocol: "tls", sni: host },
  ]),
);

async function answers(mesh: Mesh, requests: readonly AccessRequest[]) {
  const decisions = await can(mesh, requests, { semantics: "istio" });
  return decisions.map((decision) => {
    const { allowed, code, tls, reason, explanation } = decision as unknown as Record<string, unknown>;
    return { allowed, code, tls, reason, explanation };
  });
}

/** Whether it is told of the one who calls, what is called, or of what the servers let through. */
function isTold(diff: WholeDiff, { from, to }: AccessRequest, isWider: boolean): boolean {
  const host = "host" in to ? to.host : "";
  const [name = "", namespace = ""] = host.split(".");
  const isKind = ({ change }: { readonly change: string }): boolean => !isWider || change === "widened";
  return (
    diff.notAnalysed.length > 0 ||
    diff.changes.some((own) => isKind(own) && own.workloads.includes(`${namespace}/${name}`)) ||
    diff.clients.some((own) => isKind(own) && own.clients.includes(from?.workload ?? ""))
  );
}

const mode = fc.constantFrom<Mode>("sidecar", "ambient", "none");
const side = fc.record({
  modes: fc.record({ front: mode, back: mode }),
  others: fc.subarray([STRICT, REGISTRY_ONLY, CHECKED, CLEAR, ONLY_WEB, FAULT, WAYPOINT]),
  pod: fc.constantFrom(...PODS),
});

test("a call that is let through where it was not, or the other way round, is told, whatever proxies come and go", async () => {
  const counts = { opened: 0, closed: 0, witnesses: 0, clear: 0 };
  await fc.assert(
    fc.asyncProperty(side, side, async (old, now) => {
      const meshes = [
        await meshOf(old.modes, old.others, old.pod),
        await meshOf(now.modes, now.others, now.pod),
      ] as const;
      const diff = await diffMesh(...meshes, { semantics: "istio" });
      if (diff.notAnalysed.length === 0) counts.clear++;
      const [before, after] = [await answers(meshes[0], CALLS), await answers(meshes[1], CALLS)];
      for (const [at, call] of CALLS.entries()) {
        const [was, is] = [before[at]?.allowed, after[at]?.allowed];
        if (was === is) continue;
        counts[is ? "opened" : "closed"]++;
        assert.ok(isTold(diff, call, is === true), JSON.stringify([call, was, is, diff.clients]));
      }
      for (const { witness, causes } of diff.clients) {
        counts.witnesses++;
        const [[was], [is]] = [await answers(meshes[0], [witness]), await answers(meshes[1], [witness])];
        assert.notDeepEqual(was, is, JSON.stringify(witness));
        assert.ok(causes.length > 0, JSON.stringify(witness));
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
  assert.ok(
    Object.values(counts).every((count) => count > RUNS / 3),
    JSON.stringify(counts),
  );
});

test("a namespace that gets sidecars calls with an identity from then on: what strict servers refused is wider", async () => {
  const before = await meshOf({ front: "none", back: "sidecar" }, [STRICT]);
  const after = await meshOf({ front: "sidecar", back: "sidecar" }, [STRICT]);
  const { clients } = await diffMesh(before, after, { semantics: "istio" });
  const own = clients.find(
    ({ dialled, protocols }) =>
      dialled.includes("orders.back.svc.cluster.local:80") && protocols.includes("http"),
  );
  assert.deepEqual(
    [own?.change, own?.clients, own?.gained, own?.lost],
    [
      "widened",
      ["front/web", "front/cart"],
      ["the host dialled, by mutual TLS of the mesh"],
      ["the host dialled, in clear"],
    ],
  );
  assert.deepEqual(
    own?.causes.map(({ resource, change }) => `${resource} ${change}`),
    ["Namespace front changed"],
  );
  const [[was], [is]] = (await Promise.all(
    [before, after].map((mesh) => answers(mesh, own === undefined ? [] : [own.witness])),
  )) as [Awaited<ReturnType<typeof answers>>, Awaited<ReturnType<typeof answers>>];
  assert.deepEqual([was?.allowed, is?.allowed], [false, true]);
});

test("a namespace that loses its sidecars is held by no REGISTRY_ONLY any more, and says nothing of who calls", async () => {
  const before = await meshOf({ front: "sidecar", back: "sidecar" }, [REGISTRY_ONLY]);
  const after = await meshOf({ front: "none", back: "sidecar" }, [REGISTRY_ONLY]);
  const { clients } = await diffMesh(before, after, { semantics: "istio" });
  const unknown = clients.find(({ dialled }) => dialled.some((name) => name.startsWith("hosts that no")));
  assert.deepEqual([unknown?.change, unknown?.leaves], ["widened", true]);
  const front = clients.find(({ dialled }) => dialled.includes("web.front.svc.cluster.local:80"));
  assert.deepEqual(front?.weakens, ["mutual TLS of the mesh is no longer used"]);
});

test("who spoke in clear by a DestinationRule alone, and no longer does, is told as wider", async () => {
  const modes = { front: "sidecar", back: "sidecar" } as const;
  const [before, after] = [await meshOf(modes, [STRICT, CLEAR]), await meshOf(modes, [STRICT])];
  const { clients } = await diffMesh(before, after, { semantics: "istio" });
  assert.deepEqual(
    clients.map(({ change, dialled, protocols, gained }) => ({ change, dialled, protocols, gained })),
    [
      {
        change: "widened",
        dialled: ["orders.back.svc.cluster.local:80"],
        protocols: ["http"],
        gained: ["the host dialled, by mutual TLS of the mesh"],
      },
      {
        change: "widened",
        dialled: ["orders.back.svc.cluster.local:9000"],
        protocols: ["tls", "tcp", "http"],
        gained: ["the host dialled, by mutual TLS of the mesh"],
      },
    ],
  );
});

test("a pod's own labels and annotations take it from under its Sidecar, its routes and its proxy", async () => {
  const modes = { front: "sidecar", back: "sidecar" } as const;
  const compared = async (others: readonly string[], was: Pod | undefined, is: Pod | undefined) => {
    const { clients } = await diffMesh(await meshOf(modes, others, was), await meshOf(modes, others, is), {
      semantics: "istio",
    });
    for (const { clients: keys, causes } of clients) {
      assert.deepEqual(keys, ["front/web"]);
      assert.deepEqual(
        causes.map(({ resource }) => resource),
        ["Deployment front/web"],
      );
    }
    return clients.map(({ change, dialled, leaves }) => ({ change, dialled, leaves }));
  };
  const [plain, checked, past] = PODS;
  assert.deepEqual((await compared([CHECKED], checked, plain))[0], {
    change: "widened",
    dialled: [
      "hosts that no service has:80",
      "hosts that no service has:9000",
      "hosts that no service has, any port that it does not declare",
    ],
    leaves: true,
  });
  assert.deepEqual((await compared([REGISTRY_ONLY], plain, past))[0], {
    change: "widened",
    dialled: ["partner.example:443", "hosts that no service has:443"],
    leaves: true,
  });
  assert.deepEqual(await compared([FAULT], checked, plain), [
    { change: "widened", dialled: ["orders.back.svc.cluster.local:80"], leaves: false },
  ]);
  assert.deepEqual(await compared([FAULT], plain, plain), []);
});
