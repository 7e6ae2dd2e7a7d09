/** The client's proxy on the way: what it routes, refuses or answers, and the TLS that it speaks on. */
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  barePodText,
  destinationText,
  type JourneyCase,
  meshConfigText,
  peerText,
  podText,
  routeText,
  serviceText,
  testJourneys,
} from "./journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const SERVER = `${podText("a", "s", { ip: "10.0.0.2", ports: [8080, 8081, 9000, 8443] })}${serviceText("a", "s")}`;
const BARE = `${barePodText("a", "s", { ip: "10.0.0.2" })}${serviceText("a", "s")}`;
const PLAIN = meshOf(CLIENT + SERVER);
const REGISTRY_ONLY = meshOf(
  CLIENT + SERVER + meshConfigText({ outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }),
);
const STRICT = peerText("a", "p", { mtls: { mode: "STRICT" } });

const from = { workload: "a/c" } as const;
const HTTP = { from, to: { service: "s", port: 80 } } as const;
const TCP = { from, to: { service: "s", port: 9000 }, protocol: "tcp" } as const;
const TLS = { from, to: { service: "s", port: 443 }, protocol: "tls", sni: "s.a" } as const;

function tls(settings: object): string {
  return destinationText("a", "s", { host: "s", trafficPolicy: { tls: settings } });
}

function routed(http: object, more = ""): ReturnType<typeof meshOf> {
  return meshOf(`${CLIENT}${SERVER}${more}${routeText("a", "s", { hosts: ["s"], http: [http] })}`);
}

const toServer = { route: [{ destination: { host: "s" } }] };

const PROTOCOLS: readonly JourneyCase[] = [
  {
    law: "HTTP is routed by its Host and goes by mutual TLS",
    mesh: PLAIN,
    ask: HTTP,
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
      endpoints: ["10.0.0.2:8080"],
    },
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "gRPC is HTTP",
    mesh: PLAIN,
    ask: { from, to: { service: "s", port: 81 }, protocol: "grpc" },
    ways: [
      [
        ["outbound|81||s.a.svc.cluster.local at a/s:8081"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|81||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|81||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.81_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8081"],
    },
  },
  {
    law: "bytes are routed by the address behind the name",
    mesh: PLAIN,
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|9000||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.9000_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:9000"],
    },
    explained: [
      [
        "listener vip:s.a.svc.cluster.local_9000 (tcp) takes s:9000; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|9000||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "HTTP on a TCP port goes as bytes: its answer is the application's",
    mesh: PLAIN,
    ask: { ...HTTP, to: TCP.to },
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "TLS of the application goes inside the mesh's",
    mesh: PLAIN,
    ask: TLS,
    ways: [
      [
        ["outbound|443||s.a.svc.cluster.local at a/s:8443"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||s.a.svc.cluster.local mtls",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener vip:s.a.svc.cluster.local_443 (tcp) takes s:443; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|443||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "the client's side alone has one hop",
    mesh: PLAIN,
    ask: HTTP,
    options: { clientOnly: true },
    ways: [
      [
        [],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "mtls",
      sni: "outbound_.80_._.s.a.svc.cluster.local",
      sans: ["spiffe://cluster.local/ns/a/sa/s"],
      endpoints: ["10.0.0.2:8080"],
    },
  },
  {
    law: "a path that cannot be normalized is a bad request at the client's proxy",
    mesh: PLAIN,
    ask: { ...HTTP, path: "/%00" },
    ways: [[[], "a/c client refused 400 no-route/bad-request at client-route, by none"]],
    fields: {},
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "the path `/%00` cannot be normalized",
        "refused: no route",
      ],
    ],
  },
];

const UNKNOWN: readonly JourneyCase[] = [
  {
    law: "what nobody registered is let out in clear",
    mesh: PLAIN,
    ask: { from, to: { host: "no.example", port: 80 } },
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext, answers HTTP",
      ],
    ],
    fields: { cluster: "PassthroughCluster", tls: "plaintext", endpoints: ["no.example:80"] },
  },
  {
    law: "TLS to what nobody registered is let out as it is",
    mesh: PLAIN,
    ask: { from, to: { host: "no.example", port: 443 }, protocol: "tls", sni: "no.example" },
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
    explained: [
      [
        "no listener of the client's sidecar takes no.example:443; it is told of everything exported to its namespace",
        "no Service or ServiceEntry has the host `no.example`",
        "outboundTrafficPolicy ALLOW_ANY (of the mesh) lets it pass, in clear as far as the sidecar goes",
      ],
    ],
  },
  {
    law: "TLS without a name is told as such",
    mesh: PLAIN,
    ask: { from, to: { host: "10.0.0.2", port: 8443 }, protocol: "tls" },
    ways: [
      [
        ["PassthroughCluster at a/s:8443"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "no listener of the client's sidecar takes 10.0.0.2:8443; it is told of everything exported to its namespace",
        "nothing is registered at this address on port 8443 that the client may see",
        "outboundTrafficPolicy ALLOW_ANY (of the mesh) lets it pass, in clear as far as the sidecar goes",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "a pod's own address is let through, and its proxy takes what comes in clear",
    mesh: PLAIN,
    ask: { from, to: { host: "10.0.0.2", port: 8080 } },
    ways: [
      [
        ["PassthroughCluster at a/s:8080"],
        "a/c client allowed 200 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: { cluster: "PassthroughCluster", tls: "plaintext", endpoints: ["10.0.0.2:8080"] },
  },
  {
    law: "with REGISTRY_ONLY it is refused with 502",
    mesh: REGISTRY_ONLY,
    ask: { from, to: { host: "no.example", port: 80 } },
    ways: [[[], "a/c client refused 502 blackhole/blackhole at client-route, by none"]],
    fields: { cluster: "BlackHoleCluster" },
  },
  {
    law: "with REGISTRY_ONLY bytes are refused by closing",
    mesh: REGISTRY_ONLY,
    ask: { from, to: { host: "no.example", port: 99 }, protocol: "tcp" },
    ways: [[[], "a/c client refused 0 blackhole/blackhole at client-route, by none"]],
    fields: { cluster: "BlackHoleCluster" },
  },
];

const TRANSPORT: readonly JourneyCase[] = [
  {
    law: "clear by DestinationRule to a STRICT server is refused there",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "DISABLE" }) + STRICT),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local plaintext, answers HTTP",
        "a/s server refused 0 no-chain/no-chain at transport, by PeerAuthentication a/p",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS plaintext (DestinationRule a/s)",
      ],
      [
        "refused: no filter chain takes the connection (plaintext to a STRICT port, or TLS without the mesh's ALPN)",
        "port 8080 is STRICT by PeerAuthentication a/p; what came is plaintext",
      ],
    ],
  },
  {
    law: "the application's TLS alone to a STRICT server is refused: it shows no certificate",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "DISABLE" }) + STRICT),
    ask: TLS,
    ways: [
      [
        ["outbound|443||s.a.svc.cluster.local at a/s:8443"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||s.a.svc.cluster.local plaintext",
        "a/s server refused 0 tls/no-client-certificate at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "the application's TLS alone passes a PERMISSIVE server",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "DISABLE" })),
    ask: TLS,
    ways: [
      [
        ["outbound|443||s.a.svc.cluster.local at a/s:8443"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||s.a.svc.cluster.local plaintext",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener vip:s.a.svc.cluster.local_443 (tcp) takes s:443; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|443||s.a.svc.cluster.local, 1 endpoint, TLS plaintext (DestinationRule a/s)",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "TLS without a certificate finds no chain at a PERMISSIVE server",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "SIMPLE", sni: "n.example" })),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local simple, answers HTTP",
        "a/s server refused 0 no-chain/no-chain at transport, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||s.a.svc.cluster.local",
      tls: "simple",
      sni: "n.example",
      endpoints: ["10.0.0.2:8080"],
    },
  },
  {
    law: "TLS without a certificate is refused in the handshake of a STRICT server",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "SIMPLE" }) + STRICT),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local simple, answers HTTP",
        "a/s server refused 0 tls/no-client-certificate at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "TLS with a certificate from a file: whose it is is not known",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "MUTUAL", clientCertificate: "/c", privateKey: "/k" })),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mutual, answers HTTP",
        "a/c client refused 503 unknown/client-certificate-unknown at client-tls, by none, to outbound|80||s.a.svc.cluster.local at a/s:8080, answers HTTP",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mutual (DestinationRule a/s)",
      ],
      [
        "outbound|80||s.a.svc.cluster.local at a/s:8080: a DestinationRule names the client certificate by file: whose it is is not known",
      ],
    ],
  },
  {
    law: "bytes with a certificate from a file: the same, without an answer",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "MUTUAL", clientCertificate: "/c", privateKey: "/k" })),
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mutual",
        "a/c client refused 0 unknown/client-certificate-unknown at client-tls, by none, to outbound|9000||s.a.svc.cluster.local at a/s:9000",
      ],
    ],
  },
  {
    law: "another identity than the DestinationRule's is refused by the client's proxy",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "ISTIO_MUTUAL", subjectAltNames: ["x", "y"] })),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/c client refused 503 tls/server-identity-refused at client-tls, by none, to outbound|80||s.a.svc.cluster.local at a/s:8080, answers HTTP",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule a/s), expecting x or y",
      ],
      [
        "outbound|80||s.a.svc.cluster.local at a/s:8080: the server shows spiffe://cluster.local/ns/a/sa/s, expected is x or y",
      ],
    ],
  },
  {
    law: "another identity is refused without an answer to bytes",
    mesh: meshOf(CLIENT + SERVER + tls({ mode: "ISTIO_MUTUAL", subjectAltNames: ["x"] })),
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local mtls",
        "a/c client refused 0 tls/server-identity-refused at client-tls, by none, to outbound|9000||s.a.svc.cluster.local at a/s:9000",
      ],
    ],
    explained: [
      [
        "listener vip:s.a.svc.cluster.local_9000 (tcp) takes s:9000; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|9000||s.a.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule a/s), expecting x",
      ],
      [
        "outbound|9000||s.a.svc.cluster.local at a/s:9000: the server shows spiffe://cluster.local/ns/a/sa/s, expected is x",
      ],
    ],
  },
  {
    law: "any one of the identities will do",
    mesh: meshOf(
      CLIENT +
        SERVER +
        tls({ mode: "ISTIO_MUTUAL", subjectAltNames: ["x", "spiffe://cluster.local/ns/a/sa/s"] }),
    ),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "mutual TLS to a workload without a proxy fails",
    mesh: meshOf(CLIENT + BARE + tls({ mode: "ISTIO_MUTUAL" })),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/c client refused 503 tls/no-proxy-for-tls at client-tls, by none, to outbound|80||s.a.svc.cluster.local at a/s:8080, answers HTTP",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule a/s), expecting spiffe://cluster.local/ns/a/sa/s",
      ],
      [
        "outbound|80||s.a.svc.cluster.local at a/s:8080: it is spoken to in TLS (mtls), and no proxy stands before it to end that",
      ],
    ],
  },
  {
    law: "simple TLS to a workload without a proxy fails, without an answer to bytes",
    mesh: meshOf(CLIENT + BARE + tls({ mode: "SIMPLE" })),
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local simple",
        "a/c client refused 0 tls/no-proxy-for-tls at client-tls, by none, to outbound|9000||s.a.svc.cluster.local at a/s:9000",
      ],
    ],
    explained: [
      [
        "listener vip:s.a.svc.cluster.local_9000 (tcp) takes s:9000; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|9000||s.a.svc.cluster.local, 1 endpoint, TLS simple (DestinationRule a/s)",
      ],
      [
        "outbound|9000||s.a.svc.cluster.local at a/s:9000: it is spoken to in TLS (simple), and no proxy stands before it to end that",
      ],
    ],
  },
  {
    law: "a workload without a proxy is spoken to in clear",
    mesh: meshOf(CLIENT + BARE),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local plaintext, answers HTTP",
        "a/s server allowed 200 ok/no-proxy at transport, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "the service's default route takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS plaintext",
      ],
      [
        "allowed: no proxy stands before the workload, so nothing is checked",
        'its annotation says `sidecar.istio.io/inject: "false"`',
      ],
    ],
  },
  {
    law: "a workload without a proxy takes bytes in clear",
    mesh: meshOf(CLIENT + BARE),
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|9000||s.a.svc.cluster.local plaintext",
        "a/s server allowed 0 ok/no-proxy at transport, by none",
      ],
    ],
  },
];

const ZERO = `${podText("a", "z")}${serviceText("a", "z")}`;
const EMPTY = serviceText("a", "z");
const to = (host: string, weight: number, more: object = {}): object => ({
  destination: { host, ...more },
  weight,
});

const ROUTES: readonly JourneyCase[] = [
  {
    law: "a direct response of 400 is no bad request",
    mesh: routed({ directResponse: { status: 400 } }),
    ask: HTTP,
    ways: [
      [
        [],
        "a/c client refused 400 direct-response/direct-response at client-route, by VirtualService a/s #0, answers HTTP",
      ],
    ],
  },
  {
    law: "a subset that nobody defines is no cluster",
    mesh: routed({ route: [{ destination: { host: "s", subset: "v9" } }] }),
    ask: HTTP,
    ways: [[[], "a/c client refused 503 no-cluster/no-cluster at client-route, by VirtualService a/s #0"]],
    fields: {},
  },
  {
    law: "of several destinations each is a way; one of weight 0 is none, and one without a cluster fails",
    mesh: routed({ route: [to("s", 60), to("s", 40, { subset: "v9" }), to("z", 0)] }, ZERO),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local (60), outbound|80|v9|s.a.svc.cluster.local (40), answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80|v9|s.a.svc.cluster.local"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local (60), outbound|80|v9|s.a.svc.cluster.local (40), answers HTTP",
        "a/c client refused 503 no-cluster/no-cluster at client-route, by none, to outbound|80|v9|s.a.svc.cluster.local, answers HTTP",
      ],
    ],
    fields: {
      clusters: [
        {
          cluster: "outbound|80||s.a.svc.cluster.local",
          tls: "mtls",
          sni: "outbound_.80_._.s.a.svc.cluster.local",
          sans: ["spiffe://cluster.local/ns/a/sa/s"],
          endpoints: ["10.0.0.2:8080"],
          weight: 60,
        },
        { cluster: "outbound|80|v9|s.a.svc.cluster.local", weight: 40 },
      ],
    },
  },
  {
    law: "a service without endpoints is no healthy upstream",
    mesh: meshOf(CLIENT + EMPTY),
    ask: { from, to: { service: "z", port: 80 } },
    ways: [[[], "a/c client refused 503 no-healthy-upstream/no-healthy-upstream at client-route, by none"]],
    fields: { cluster: "outbound|80||z.a.svc.cluster.local" },
  },
  {
    law: "one of several destinations without endpoints fails alone",
    mesh: routed({ route: [to("s", 60), to("z", 40)] }, EMPTY),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local (60), outbound|80||z.a.svc.cluster.local (40), answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|80||z.a.svc.cluster.local"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local (60), outbound|80||z.a.svc.cluster.local (40), answers HTTP",
        "a/c client refused 503 no-healthy-upstream/no-healthy-upstream at client-route, by none, to outbound|80||z.a.svc.cluster.local, answers HTTP",
      ],
    ],
  },
  {
    law: "one of several destinations of bytes without endpoints fails without an answer",
    mesh: meshOf(
      `${CLIENT}${SERVER}${EMPTY}${routeText("a", "s", { hosts: ["s"], tcp: [{ route: [to("s", 60, { port: { number: 9000 } }), to("z", 40, { port: { number: 9000 } })] }] })}`,
    ),
    ask: TCP,
    ways: [
      [
        ["outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService a/s #0, to outbound|9000||s.a.svc.cluster.local (60), outbound|9000||z.a.svc.cluster.local (40)",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["outbound|9000||z.a.svc.cluster.local"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService a/s #0, to outbound|9000||s.a.svc.cluster.local (60), outbound|9000||z.a.svc.cluster.local (40)",
        "a/c client refused 0 no-healthy-upstream/no-healthy-upstream at client-route, by none, to outbound|9000||z.a.svc.cluster.local",
      ],
    ],
  },
  {
    law: "a redirect is answered by the client's proxy",
    mesh: routed({ redirect: { uri: "/x" } }),
    ask: HTTP,
    ways: [
      [
        [],
        "a/c client refused 301 redirect/redirect at client-route, by VirtualService a/s #0, answers HTTP",
      ],
    ],
    fields: { location: "http://s/x" },
  },
  {
    law: "a direct response is answered by the client's proxy",
    mesh: routed({ directResponse: { status: 418, body: { string: "tea" } } }),
    ask: HTTP,
    ways: [
      [
        [],
        "a/c client refused 418 direct-response/direct-response at client-route, by VirtualService a/s #0, answers HTTP",
      ],
    ],
    fields: { body: "tea" },
  },
  {
    law: "no route of the VirtualService: 404",
    mesh: routed({ match: [{ uri: { prefix: "/x" } }], ...toServer }),
    ask: HTTP,
    ways: [[[], "a/c client refused 404 no-route/no-route at client-route, by none"]],
    fields: {},
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 does not: it wants path under `/x`",
        "no route takes it, and nothing else is asked: one VirtualService has the host for itself",
        "refused: no route",
      ],
    ],
  },
];

const abort = (value: number): object => ({ abort: { httpStatus: 503, percentage: { value } } });
const delay = (value: number): object => ({ delay: { fixedDelay: "2s", percentage: { value } } });

const FAULTS: readonly JourneyCase[] = [
  {
    law: "an abort of all is the answer",
    mesh: routed({ fault: abort(100), ...toServer }),
    ask: HTTP,
    ways: [
      [[], "a/c client refused 503 fault/fault at client-route, by VirtualService a/s #0, answers HTTP"],
    ],
    fields: { cluster: "outbound|80||s.a.svc.cluster.local" },
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 takes it",
        "answered by the sidecar itself with 503 (fault)",
      ],
    ],
  },
  {
    law: "an abort of some is told",
    mesh: routed({ fault: abort(30), ...toServer }),
    ask: HTTP,
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
        "of such requests 30 % are answered with an injected 503",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "a delay of some is told",
    mesh: routed({ fault: delay(20), ...toServer }),
    ask: HTTP,
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
        "of such requests 20 % wait 2000 ms first",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "both are told in one line",
    mesh: routed({ fault: { ...abort(30), ...delay(20) }, ...toServer }),
    ask: HTTP,
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
        "of such requests 30 % are answered with an injected 503, 20 % wait 2000 ms first",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "faults of 0 % are not told",
    mesh: routed({ fault: { ...abort(0), ...delay(0) }, ...toServer }),
    ask: HTTP,
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.a.svc.cluster.local:80 takes the authority `s`",
        "VirtualService a/s http route 0 takes it",
        "to outbound|80||s.a.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/a/sa/s",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by VirtualService a/s #0, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
];

describe("protocols at the client's proxy", () => testJourneys(PROTOCOLS));
describe("destinations that nobody registered", () => testJourneys(UNKNOWN));
describe("TLS from the client's proxy to the server's", () => testJourneys(TRANSPORT));
describe("routes of the client's proxy", () => testJourneys(ROUTES));
describe("faults that the client's proxy injects", () => testJourneys(FAULTS));
