/** Where a destination's name or address leads: pods one by one, hosts outside, or nobody. */
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  barePodText,
  destinationText,
  entryText,
  type JourneyCase,
  podText,
  resourceText,
  routeText,
  serviceText,
  testJourneys,
} from "./journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const from = { workload: "a/c" } as const;

function replica(name: string, ip: string, account = "s"): string {
  return podText("a", name, { ip, account, labels: { app: "s" }, ports: [8080, 9000] });
}

const TWO = replica("s1", "10.0.0.2") + replica("s2", "10.0.0.3");
const DENY_S2 = authorizationText("a", "p", {
  selector: { matchLabels: { app: "s" } },
  action: "DENY",
  rules: [{ when: [{ key: "destination.ip", values: ["10.0.0.3"] }] }],
});

const PODS: readonly JourneyCase[] = [
  {
    law: "every pod of a service is a way of its own",
    mesh: meshOf(CLIENT + TWO + serviceText("a", "s") + DENY_S2),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||s.a.svc.cluster.local at a/s2:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s2 server refused 403 rbac/deny-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8080", "10.0.0.3:8080"],
    },
  },
  {
    law: "replicas of one template are one way",
    mesh: meshOf(
      `${CLIENT}${serviceText("a", "s")}${resourceText("apps/v1", "Deployment", "a", "s", { replicas: 3, template: { metadata: { labels: { app: "s" } }, spec: { serviceAccountName: "s", containers: [{ name: "app", image: "app" }] } } })}`,
    ),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["a/s:8080"],
    },
  },
  {
    law: "pods of which some have no proxy are spoken to each in its way",
    mesh: meshOf(
      `${CLIENT}${replica("s1", "10.0.0.2")}${barePodText("a", "s", { ip: "10.0.0.3" })}${serviceText("a", "s")}`,
    ),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mixed, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mixed, answers HTTP",
        "a/s server allowed 200 ok/no-proxy at transport, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mixed",
      tlsByEndpoint: { "10.0.0.2:8080": "mtls", "10.0.0.3:8080": "plaintext" },
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8080", "10.0.0.3:8080"],
    },
  },
  {
    law: "the identities of all its pods are expected of each",
    mesh: meshOf(
      CLIENT + replica("s1", "10.0.0.2") + replica("s2", "10.0.0.3", "other") + serviceText("a", "s"),
    ),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||s.a.svc.cluster.local at a/s2:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s2 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/other", "spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8080", "10.0.0.3:8080"],
    },
  },
];

const HEADLESS = serviceText("a", "s", { clusterIP: "None" });

const CHOSEN: readonly JourneyCase[] = [
  {
    law: "of a headless service bytes go to the pod whose address is dialled, at the port that is dialled",
    mesh: meshOf(CLIENT + TWO + HEADLESS + DENY_S2),
    ask: { from, to: { host: "10.0.0.3", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s2:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/s2 server refused 0 rbac/deny-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
    ],
    fields: {
      cluster: "outbound|9000||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.9000_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.3:9000"],
    },
  },
  {
    law: "of a headless service by its name bytes may go to every pod",
    mesh: meshOf(CLIENT + TWO + HEADLESS + DENY_S2),
    ask: { from, to: { service: "s", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s1:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/s1 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s2:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/s2 server refused 0 rbac/deny-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
    ],
    fields: {
      cluster: "outbound|9000||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.9000_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["s:9000"],
    },
  },
  {
    law: "of a headless service one pod without a proxy has all spoken to in clear",
    mesh: meshOf(
      `${CLIENT}${replica("s1", "10.0.0.2")}${barePodText("a", "s", { ip: "10.0.0.3" })}${HEADLESS}`,
    ),
    ask: { from, to: { service: "s", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s1:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local plaintext",
        "a/s1 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local plaintext",
        "a/s server allowed 0 ok/no-proxy at transport, by none",
      ],
    ],
    fields: { cluster: "outbound|9000||s.a.svc.cluster.local", tls: "plaintext", endpoints: ["s:9000"] },
  },
  {
    law: "HTTP to a headless service's pod goes where it was dialled",
    mesh: meshOf(CLIENT + TWO + HEADLESS),
    ask: { from, to: { host: "s.a.svc.cluster.local", ip: "10.0.0.2", port: 80 }, host: "s.a" },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:80"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:80"],
    },
  },
  {
    law: "a DestinationRule of PASSTHROUGH follows the client's choice",
    mesh: meshOf(
      `${CLIENT}${TWO}${serviceText("a", "s")}${destinationText("a", "s", { host: "s", trafficPolicy: { loadBalancer: { simple: "PASSTHROUGH" } } })}`,
    ),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||s.a.svc.cluster.local at a/s2:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s2 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["s:80"],
    },
  },
  {
    law: "an address that no pod has is dialled as it is, whatever pods the headless service has",
    mesh: meshOf(CLIENT + TWO + HEADLESS),
    ask: { from, to: { host: "10.0.0.99", port: 80 }, host: "s.a" },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.99:80"],
    },
  },
];

const entry = (spec: object): string =>
  entryText("a", "e", {
    hosts: ["e.example"],
    ports: [
      { number: 80, name: "http", protocol: "HTTP", targetPort: 8080 },
      { number: 9000, name: "tcp", protocol: "TCP", targetPort: 9001 },
    ],
    ...spec,
  });
const toEntry = { from, to: { host: "e.example", port: 80 } } as const;
const toEntryTcp = { from, to: { host: "e.example", ip: "240.0.0.1", port: 9000 }, protocol: "tcp" } as const;

const OUTSIDE: readonly JourneyCase[] = [
  {
    law: "a host that DNS resolves is outside",
    mesh: meshOf(CLIENT + entry({ location: "MESH_EXTERNAL", resolution: "DNS" })),
    ask: toEntry,
    ways: [
      [
        ["outbound|80||e.example"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example plaintext, answers HTTP",
      ],
    ],
    fields: { cluster: "outbound|80||e.example", tls: "plaintext", endpoints: ["e.example:8080"] },
  },
  {
    law: "an address written in a ServiceEntry is outside where no pod has it",
    mesh: meshOf(
      CLIENT +
        entry({ location: "MESH_EXTERNAL", resolution: "STATIC", endpoints: [{ address: "203.0.113.1" }] }),
    ),
    ask: toEntry,
    ways: [
      [
        ["outbound|80||e.example"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example plaintext, answers HTTP",
      ],
    ],
    fields: { cluster: "outbound|80||e.example", tls: "plaintext", endpoints: ["203.0.113.1:8080"] },
  },
  {
    law: "an address written in a ServiceEntry that a pod has is that pod",
    mesh: meshOf(
      CLIENT +
        TWO +
        entry({ location: "MESH_INTERNAL", resolution: "STATIC", endpoints: [{ address: "10.0.0.2" }] }),
    ),
    ask: toEntry,
    ways: [
      [
        ["outbound|80||e.example at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example plaintext, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: { cluster: "outbound|80||e.example", tls: "plaintext", endpoints: ["10.0.0.2:8080"] },
  },
  {
    law: "a ServiceEntry of pods leads to them",
    mesh: meshOf(
      CLIENT +
        TWO +
        entry({
          location: "MESH_INTERNAL",
          resolution: "STATIC",
          workloadSelector: { labels: { app: "s" } },
        }),
    ),
    ask: toEntry,
    ways: [
      [
        ["outbound|80||e.example at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example mtls, answers HTTP",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||e.example at a/s2:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example mtls, answers HTTP",
        "a/s2 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a static ServiceEntry of nobody is no healthy upstream",
    mesh: meshOf(
      CLIENT +
        entry({
          location: "MESH_INTERNAL",
          resolution: "STATIC",
          workloadSelector: { labels: { app: "nobody" } },
        }),
    ),
    ask: toEntry,
    ways: [[[], "a/c client refused 503 no-healthy-upstream/no-healthy-upstream at client-route, by none"]],
  },
  {
    law: "without resolution the client's address counts, at the ServiceEntry's target port",
    mesh: meshOf(
      CLIENT + TWO + entry({ location: "MESH_EXTERNAL", resolution: "NONE", addresses: ["240.0.0.1"] }),
    ),
    ask: toEntryTcp,
    ways: [
      [
        ["outbound|9000||e.example"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||e.example plaintext",
      ],
    ],
    fields: { cluster: "outbound|9000||e.example", tls: "plaintext", endpoints: ["240.0.0.1:9001"] },
  },
  {
    law: "without resolution an address that a pod has is that pod's",
    mesh: meshOf(
      CLIENT + TWO + entry({ location: "MESH_EXTERNAL", resolution: "NONE", addresses: ["10.0.0.2"] }),
    ),
    ask: { from, to: { host: "e.example", ip: "10.0.0.2", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["outbound|9000||e.example at a/s1:9001"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||e.example plaintext",
        "a/s1 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: { cluster: "outbound|9000||e.example", tls: "plaintext", endpoints: ["10.0.0.2:9001"] },
  },
  {
    law: "a wildcard host is outside by the name of the request",
    mesh: meshOf(
      CLIENT +
        entryText("a", "w", {
          hosts: ["*.w.example"],
          ports: [{ number: 80, name: "http", protocol: "HTTP" }],
          location: "MESH_EXTERNAL",
          resolution: "DYNAMIC_DNS",
        }),
    ),
    ask: { from, to: { host: "x.w.example", port: 80 } },
    ways: [
      [
        ["outbound|80||*.w.example"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||*.w.example plaintext, answers HTTP",
      ],
    ],
    fields: { cluster: "outbound|80||*.w.example", tls: "plaintext", endpoints: ["x.w.example:80"] },
  },
  {
    law: "TLS that a rule originates to a host outside",
    mesh: meshOf(
      CLIENT +
        entry({ location: "MESH_EXTERNAL", resolution: "DNS" }) +
        destinationText("a", "e", { host: "e.example", trafficPolicy: { tls: { mode: "SIMPLE" } } }),
    ),
    ask: toEntry,
    ways: [
      [
        ["outbound|80||e.example"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example simple, answers HTTP",
      ],
    ],
    fields: {
      cluster: "outbound|80||e.example",
      tls: "simple",
      sni: "e.example",
      sans: ["e.example"],
      endpoints: ["e.example:8080"],
    },
  },
];

const HIDDEN = resourceText("networking.istio.io/v1", "Sidecar", "a", "narrow", {
  egress: [{ hosts: ["b/*"] }],
});

const HIDDEN_SERVICE: readonly JourneyCase[] = [
  {
    law: "a service that the client is not told of is let through to its pods in clear",
    mesh: meshOf(CLIENT + TWO + serviceText("a", "s") + HIDDEN),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        ["PassthroughCluster at a/s1:8080"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s1 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["PassthroughCluster at a/s2:8080"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s2 server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: { cluster: "PassthroughCluster", tls: "plaintext", endpoints: ["s:80"] },
  },
  {
    law: "a service's own address that the client is not told of leads to its pods as well",
    mesh: meshOf(CLIENT + TWO + serviceText("a", "s", { clusterIP: "10.96.0.9" }) + HIDDEN),
    ask: { from, to: { host: "10.96.0.9", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["PassthroughCluster at a/s1:9000"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s1 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["PassthroughCluster at a/s2:9000"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s2 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: { cluster: "PassthroughCluster", tls: "plaintext", endpoints: ["10.96.0.9:9000"] },
  },
  {
    law: "the application's TLS arrives by it as it is",
    mesh: meshOf(CLIENT + TWO + serviceText("a", "s") + HIDDEN),
    ask: { from, to: { service: "s", port: 443 }, protocol: "tls", sni: "s" },
    ways: [
      [
        ["PassthroughCluster at a/s1:8443"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s1 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["PassthroughCluster at a/s2:8443"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s2 server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "of such a service nobody may serve it",
    mesh: meshOf(CLIENT + serviceText("a", "s") + HIDDEN),
    ask: { from, to: { service: "s", port: 80 } },
    ways: [
      [
        [],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/c client refused 0 no-healthy-upstream/no-endpoint at client-route, by none",
      ],
    ],
    explained: [
      [
        "no listener of the client's sidecar takes s:80; it is told of what Sidecar a/narrow imports",
        "the request is not read as HTTP there: it is forwarded as bytes, routes for HTTP do not count",
        "Service a/s (`s.a.svc.cluster.local`) is exported, but Sidecar a/narrow does not import it",
        "outboundTrafficPolicy ALLOW_ANY (of the mesh) lets it pass, in clear as far as the sidecar goes",
      ],
      ["nothing serves the destination"],
    ],
  },
  {
    law: "a host that the client is not told of is outside where DNS finds it",
    mesh: meshOf(CLIENT + entry({ location: "MESH_INTERNAL", resolution: "DNS" }) + HIDDEN),
    ask: toEntry,
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
  },
  {
    law: "a host that the client is not told of is outside where its address counts",
    mesh: meshOf(CLIENT + entry({ location: "MESH_INTERNAL", resolution: "NONE" }) + HIDDEN),
    ask: toEntry,
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
  },
  {
    law: "a host that the client is not told of is nobody's where endpoints count and there are none",
    mesh: meshOf(CLIENT + entry({ location: "MESH_INTERNAL", resolution: "STATIC" }) + HIDDEN),
    ask: toEntry,
    ways: [
      [
        [],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/c client refused 0 no-healthy-upstream/no-endpoint at client-route, by none",
      ],
    ],
  },
  {
    law: "an external host of no endpoints is outside nevertheless",
    mesh: meshOf(CLIENT + entry({ location: "MESH_EXTERNAL", resolution: "STATIC" }) + HIDDEN),
    ask: toEntry,
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
  },
  {
    law: "an endpoint that the client is not told of and no pod has is outside",
    mesh: meshOf(
      CLIENT +
        entry({ location: "MESH_INTERNAL", resolution: "STATIC", endpoints: [{ address: "10.7.7.7" }] }) +
        HIDDEN,
    ),
    ask: toEntry,
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
  },
  {
    law: "a port that it does not have leads nowhere",
    mesh: meshOf(CLIENT + TWO + serviceText("a", "s") + HIDDEN),
    ask: { from, to: { service: "s", port: 77 }, protocol: "tcp" },
    ways: [
      [
        [],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/c client refused 0 no-healthy-upstream/no-endpoint at client-route, by none",
      ],
    ],
  },
];

const REWRITTEN: readonly JourneyCase[] = [
  {
    law: "the server judges path, Host and headers as the route sends them, and the destination's before the route's",
    mesh: meshOf(
      `${CLIENT}${TWO}${serviceText("a", "s")}${routeText("a", "s", {
        hosts: ["s"],
        http: [
          {
            rewrite: { uri: "/private", authority: "inner.example" },
            headers: { request: { set: { "x-route": "r" }, remove: ["x-gone"] } },
            route: [{ destination: { host: "s" }, headers: { request: { add: { "x-own": "o" } } } }],
          },
        ],
      })}${authorizationText("a", "p", {
        selector: { matchLabels: { app: "s" } },
        rules: [
          {
            to: [{ operation: { paths: ["/privatepublic"], hosts: ["inner.example"] } }],
            when: [
              { key: "request.headers[x-route]", values: ["r"] },
              { key: "request.headers[x-own]", values: ["o"] },
              { key: "request.headers[x-gone]", notValues: ["*"] },
              { key: "request.headers[x-envoy-original-path]", values: ["/public"] },
            ],
          },
        ],
      })}`,
    ),
    ask: { from, to: { service: "s", port: 80 }, path: "/public", headers: [["X-Gone", "1"]] },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s1:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s1 server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
      [
        ["outbound|80||s.a.svc.cluster.local at a/s2:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s2 server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8080", "10.0.0.3:8080"],
      upstreamPath: "/privatepublic",
      upstreamHost: "inner.example",
    },
  },
];

describe("pods behind a service", () => testJourneys(PODS));
describe("destinations whose address the client chooses", () => testJourneys(CHOSEN));
describe("hosts of ServiceEntries", () => testJourneys(OUTSIDE));
describe("services that the client's proxy is not told of", () => testJourneys(HIDDEN_SERVICE));
describe("requests that a route rewrites", () => testJourneys(REWRITTEN));
