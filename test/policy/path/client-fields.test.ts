import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  ClusterPlan,
  DialedDestination,
  EndpointPlan,
  ForwardDecision,
  OutboundDecision,
  OutboundTarget,
  RefuseDecision,
  RespondDecision,
} from "../../../src/policy/outbound/types.ts";
import { clientFields } from "../../../src/policy/path/client-fields.ts";
import { app, meshOf, workloadOf } from "../outbound/mesh-of.ts";

const MESH = meshOf(app("a", "web"));
const WEB = workloadOf(MESH, "a/web");
const [SERVICE] = MESH.services;
const NONE = { remove: [], set: [], add: [] };
const BASE = { by: { resource: null, section: "default", route: null }, listener: "l" } as const;
const DIALLED = { host: "web.a", port: 80 };

function endpoint(
  address: string | undefined,
  tls: EndpointPlan["tls"] = "mtls",
  known = true,
): EndpointPlan {
  return {
    endpoint: {
      ...(known ? { workload: WEB } : {}),
      labels: {},
      tlsMode: "istio",
      portOverrides: {},
    } as unknown as EndpointPlan["endpoint"],
    ...(address === undefined ? {} : { address }),
    port: 8080,
    tls,
    weight: 1,
  };
}

function cluster(more: Partial<ClusterPlan> = {}): ClusterPlan {
  return {
    name: "outbound|80||web",
    port: 80,
    subset: "",
    host: "web",
    service: SERVICE,
    servicePort: SERVICE?.ports[0],
    resolution: "static",
    endpoints: [endpoint("10.0.0.1")],
    tls: "mtls",
    upstreamProtocol: "http1",
    followsClientProtocol: false,
    destinationRules: [],
    ...more,
  } as ClusterPlan;
}

function target(plan: ClusterPlan | undefined, more: Partial<OutboundTarget> = {}): OutboundTarget {
  const own = plan === undefined ? {} : { cluster: plan };
  return {
    name: "outbound|80||web",
    ...own,
    weight: 1,
    requestHeaders: NONE,
    responseHeaders: NONE,
    ...more,
  };
}

function forward(targets: readonly OutboundTarget[], more: Partial<ForwardDecision> = {}): ForwardDecision {
  const weighted = targets.length > 1;
  return { ...BASE, kind: "forward", allowed: true, code: 200, reason: "ok", targets, weighted, ...more };
}

describe("what the client's side is told of a destination", () => {
  const NAMES = { sni: "n", sans: ["s"] };
  const cases: readonly (readonly [
    law: string,
    targets: readonly OutboundTarget[],
    fields: unknown,
    dialled?: DialedDestination,
  ])[] = [
    [
      "mutual TLS: the name and the identities, and every endpoint",
      [
        target(
          cluster({
            endpoints: [endpoint("10.0.0.1"), endpoint(undefined), endpoint(undefined, "mtls", false)],
          }),
          NAMES,
        ),
      ],
      {
        cluster: "outbound|80||web",
        tls: "mtls",
        sni: "n",
        sans: ["s"],
        endpoints: ["10.0.0.1:8080", "a/web:8080", ":8080"],
      },
    ],
    [
      "TLS of neither name nor identity",
      [target(cluster({ tls: "simple" }))],
      { cluster: "outbound|80||web", tls: "simple", endpoints: ["10.0.0.1:8080"] },
    ],
    [
      "in clear no name and no identities",
      [target(cluster({ tls: "plaintext" }), NAMES)],
      { cluster: "outbound|80||web", tls: "plaintext", endpoints: ["10.0.0.1:8080"] },
    ],
    [
      "mixed TLS: by endpoint",
      [
        target(
          cluster({ tls: "mixed", endpoints: [endpoint("10.0.0.1"), endpoint("10.0.0.2", "plaintext")] }),
        ),
      ],
      {
        cluster: "outbound|80||web",
        tls: "mixed",
        tlsByEndpoint: { "10.0.0.1:8080": "mtls", "10.0.0.2:8080": "plaintext" },
        endpoints: ["10.0.0.1:8080", "10.0.0.2:8080"],
      },
    ],
    ["no such cluster: its name alone", [target(undefined, NAMES)], { cluster: "outbound|80||web" }],
    [
      "no endpoint: its name alone",
      [target(cluster({ endpoints: [] }), NAMES)],
      { cluster: "outbound|80||web" },
    ],
    [
      "an address that the client chose",
      [target(cluster({ resolution: "original-destination" }))],
      { cluster: "outbound|80||web", tls: "mtls", endpoints: ["10.9.9.9:80"] },
      { ip: "10.9.9.9", host: "x", port: 80 },
    ],
    [
      "an address that the client chose, at the port that the cluster dials",
      [target(cluster({ resolution: "original-destination", dialPort: 9 }))],
      { cluster: "outbound|80||web", tls: "mtls", endpoints: ["web.a:9"] },
    ],
    [
      "a name that the client chose",
      [target(cluster({ resolution: "dynamic-dns", endpoints: [], tls: "simple" }))],
      { cluster: "outbound|80||web", tls: "simple", endpoints: ["web.a:80"] },
    ],
    [
      "nothing chosen",
      [],
      { cluster: "PassthroughCluster", tls: "plaintext", endpoints: [":80"] },
      { port: 80 },
    ],
    [
      "several with their weights",
      [target(cluster(), { weight: 90 }), target(undefined, { name: "other", weight: 10 })],
      {
        clusters: [
          { cluster: "outbound|80||web", tls: "mtls", endpoints: ["10.0.0.1:8080"], weight: 90 },
          { cluster: "other", weight: 10 },
        ],
      },
    ],
  ];
  for (const [law, targets, fields, dialled] of cases)
    test(law, () => assert.deepEqual(clientFields(forward(targets), dialled ?? DIALLED), fields));

  test("the path and the Host that are sent, where they are others", () => {
    const fields = { cluster: "PassthroughCluster", tls: "plaintext", endpoints: ["web.a:80"] };
    assert.deepEqual(clientFields(forward([], { path: "/b", authority: "b" }), DIALLED), {
      ...fields,
      upstreamPath: "/b",
      upstreamHost: "b",
    });
    const same = forward([], { authority: "b", originalAuthority: "b" });
    assert.deepEqual(clientFields(same, DIALLED), fields);
  });
});

describe("what is told where nothing is sent on", () => {
  const refuse: RefuseDecision = { ...BASE, kind: "refuse", allowed: false, code: 502, reason: "blackhole" };
  const respond: RespondDecision = {
    ...BASE,
    kind: "respond",
    allowed: false,
    code: 301,
    reason: "redirect",
    responseHeaders: NONE,
  };
  const cases: readonly (readonly [law: string, decision: OutboundDecision, fields: unknown])[] = [
    ["a refusal by nobody's cluster", refuse, {}],
    ["the cluster that refuses", { ...refuse, cluster: "BlackHoleCluster" }, { cluster: "BlackHoleCluster" }],
    ["a cluster that there is not is not told", { ...refuse, reason: "no-cluster", cluster: "c" }, {}],
    ["an answer alone", respond, {}],
    [
      "an answer's cluster, location and body",
      { ...respond, cluster: "c", location: "/x", body: "" },
      { cluster: "c", location: "/x", body: "" },
    ],
  ];
  for (const [law, decision, fields] of cases)
    test(law, () => assert.deepEqual(clientFields(decision, DIALLED), fields));
});
