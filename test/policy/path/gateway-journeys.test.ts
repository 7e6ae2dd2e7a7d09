/** Requests that come in by a gateway: who may use it, what it makes of them, and where they go. */
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  destinationText,
  gatewayPodText,
  gatewayText,
  type JourneyCase,
  peerText,
  podText,
  resourceText,
  routeText,
  serviceText,
  testJourneys,
  tokenText,
} from "./journey-text.ts";

const SERVER = `${podText("a", "s", { ip: "10.0.0.2", ports: [8080, 9000, 8443] })}${serviceText("a", "s")}`;
const OTHER = `${podText("a", "o", { ip: "10.0.0.3" })}${serviceText("a", "o")}`;
const FRONT = resourceText("v1", "Service", "gw", "in", {
  selector: { app: "in" },
  ports: [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "https", port: 443, targetPort: 8443 },
    { name: "tcp", port: 9000 },
  ],
});
const POD = gatewayPodText("gw", "in", "10.5.0.1");

function gateway(servers: readonly object[]): string {
  return gatewayText("gw", "g", { selector: { istio: "in" }, servers });
}

const HTTP_SERVER = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*.example"] };
const tlsServer = (mode: string, protocol = "HTTPS", hosts: readonly string[] = ["s.example"]): object => ({
  port: { number: 443, name: "tls", protocol },
  hosts,
  tls: { mode, ...(mode.endsWith("PASSTHROUGH") || mode === "ISTIO_MUTUAL" ? {} : { credentialName: "c" }) },
});

function route(http: readonly object[], name = "v"): string {
  return routeText("gw", name, { hosts: ["s.example"], gateways: ["g"], http });
}

const toServer = { route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 80 } } }] };
const IN = { from: { ip: "203.0.113.7" }, via: "gw/in" } as const;
const GET = { ...IN, to: { host: "s.example", port: 80 } } as const;
const HTTPS = {
  ...IN,
  from: { ip: "203.0.113.7", tls: "simple" },
  to: { host: "s.example", port: 443 },
  sni: "s.example",
} as const;

function open(http: readonly object[], ...more: readonly string[]): ReturnType<typeof meshOf> {
  return meshOf([POD, FRONT, SERVER, OTHER, gateway([HTTP_SERVER]), route(http), ...more].join(""));
}

const PLAIN = open([toServer]);

const ROUTES: readonly JourneyCase[] = [
  {
    law: "what a VirtualService of it takes goes on by the mesh's mutual TLS",
    mesh: PLAIN,
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 sends it to outbound|80||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
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
    law: "gRPC as well",
    mesh: PLAIN,
    ask: { ...GET, protocol: "grpc" },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a host that no VirtualService has is not found",
    mesh: PLAIN,
    ask: { ...GET, to: { host: "x.example", port: 80 } },
    ways: [[["gw/in:8080"], "gw/in gateway refused 404 no-route/no-route at route, by none"]],
    explained: [
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload", "refused: no-route"],
    ],
  },
  {
    law: "a path that no route takes is not found",
    mesh: open([{ match: [{ uri: { prefix: "/x" } }], ...toServer }]),
    ask: GET,
    ways: [[["gw/in:8080"], "gw/in gateway refused 404 no-route/no-route at route, by none"]],
    explained: [
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload", "refused: no-route"],
    ],
  },
  {
    law: "without any VirtualService nothing is found",
    mesh: meshOf(POD + FRONT + SERVER + gateway([HTTP_SERVER])),
    ask: GET,
    ways: [[["gw/in:8080"], "gw/in gateway refused 404 no-route/no-route at route, by none"]],
    explained: [
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload", "refused: no-route"],
    ],
  },
  {
    law: "a port that no server has is closed",
    mesh: PLAIN,
    ask: { ...GET, to: { host: "s.example", port: 9000 } },
    ways: [[["gw/in:9000"], "gw/in gateway refused 0 closed/no-listener at transport, by none"]],
    explained: [["refused: nothing listens on the port"]],
  },
  {
    law: "a port that its Service does not have is asked as it is",
    mesh: PLAIN,
    ask: { ...GET, to: { host: "s.example", port: 8080 } },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a gateway that no Service is before is asked at the very port",
    mesh: meshOf(POD + SERVER + gateway([HTTP_SERVER]) + route([toServer])),
    ask: GET,
    ways: [
      [
        ["gw/in:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a redirect is its answer",
    mesh: open([{ name: "moved", redirect: { uri: "/x" } }]),
    ask: GET,
    ways: [
      [
        ["gw/in:8080"],
        "gw/in gateway refused 301 redirect/redirect at route, by VirtualService gw/v #0, answers HTTP",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 (moved) answers it with 301 (redirect)",
      ],
    ],
  },
  {
    law: "a direct response is its answer",
    mesh: open([{ directResponse: { status: 418 } }]),
    ask: GET,
    ways: [
      [
        ["gw/in:8080"],
        "gw/in gateway refused 418 direct-response/direct-response at route, by VirtualService gw/v #0, answers HTTP",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 answers it with 418 (direct-response)",
      ],
    ],
  },
  {
    law: "HTTPS redirect of the server is its answer",
    mesh: meshOf(
      [
        POD,
        FRONT,
        SERVER,
        gateway([{ ...HTTP_SERVER, tls: { httpsRedirect: true } }]),
        route([toServer]),
      ].join(""),
    ),
    ask: GET,
    ways: [[["gw/in:8080"], "gw/in gateway refused 301 redirect/redirect at route, by none, answers HTTP"]],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route answers it with 301 (redirect)",
      ],
    ],
  },
  {
    law: "weighted destinations are ways, told together",
    mesh: open([
      {
        route: [
          { destination: { host: "s.a.svc.cluster.local", port: { number: 80 } }, weight: 70 },
          { destination: { host: "o.a.svc.cluster.local", port: { number: 80 } }, weight: 30 },
        ],
      },
    ]),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, outbound|80||o.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        ["gw/in:8080", "outbound|80||o.a.svc.cluster.local at a/o:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, outbound|80||o.a.svc.cluster.local, answers HTTP",
        "a/o server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 sends it to outbound|80||s.a.svc.cluster.local, outbound|80||o.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "a destination that there is not is no cluster",
    mesh: open([{ route: [{ destination: { host: "z.a.svc.cluster.local", port: { number: 80 } } }] }]),
    ask: GET,
    ways: [
      [["gw/in:8080"], "gw/in gateway refused 503 no-cluster/no-cluster at route, by VirtualService gw/v #0"],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by VirtualService gw/v http route 0: no-cluster",
      ],
    ],
  },
  {
    law: "what is no request is a bad one",
    mesh: PLAIN,
    ask: { ...GET, path: "a" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 400 bad-request/bad-request at protocol, by none"]],
    explained: [["refused with 400: not an acceptable HTTP request"]],
  },
  {
    law: "a path that cannot be normalized is a bad request",
    mesh: PLAIN,
    ask: { ...GET, path: "/%00" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 400 bad-request/bad-request at protocol, by none"]],
  },
  {
    law: "OPTIONS * has no route",
    mesh: PLAIN,
    ask: { ...GET, method: "OPTIONS", path: "*" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 404 route/no-relative-path at route, by none"]],
    explained: [["refused with 404: the request target has no path"]],
  },
  {
    law: "bytes at an HTTP server are a bad request",
    mesh: PLAIN,
    ask: { ...GET, protocol: "tcp" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 400 bad-request/bad-request at protocol, by none"]],
  },
];

const denyAt = (spec: object): string =>
  authorizationText("gw", "p", { selector: { matchLabels: { app: "in" } }, ...spec });
const onServer = (spec: object): string =>
  authorizationText("a", "q", { selector: { matchLabels: { app: "s" } }, ...spec });

const POLICIES: readonly JourneyCase[] = [
  {
    law: "a DENY rule of the gateway refuses there",
    mesh: open(
      [toServer],
      denyAt({ action: "DENY", rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }] }),
    ),
    ask: { ...GET, path: "/admin/x" },
    ways: [
      [
        ["gw/in:8080"],
        "gw/in gateway refused 403 rbac/deny-matched at authorization, by AuthorizationPolicy gw/p #0",
      ],
    ],
    explained: [["denied by a rule: AuthorizationPolicy gw/p rule 0", "paths in [/admin*]: came `/admin/x`"]],
  },
  {
    law: "an ALLOW rule of the gateway is named before the server's say",
    mesh: open([toServer], denyAt({ rules: [{ from: [{ source: { ipBlocks: ["203.0.113.0/24"] } }] }] })),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy gw/p #0, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed by a rule: AuthorizationPolicy gw/p rule 0",
        "ipBlocks in [203.0.113.0/24]: came 203.0.113.7",
        "VirtualService gw/v http route 0 sends it to outbound|80||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "an address that nobody knows leaves it open at the gateway",
    mesh: open([toServer], denyAt({ rules: [{ from: [{ source: { ipBlocks: ["203.0.113.0/24"] } }] }] })),
    ask: { ...GET, from: {} },
    ways: [[["gw/in:8080"], "gw/in gateway refused 403 unknown/address-unknown at authorization, by none"]],
    explained: [
      ["unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)"],
    ],
  },
  {
    law: "the server sees the gateway's identity and address",
    mesh: open(
      [toServer],
      onServer({
        rules: [
          { from: [{ source: { principals: ["cluster.local/ns/gw/sa/in"], ipBlocks: ["10.5.0.1"] } }] },
        ],
      }),
    ),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a gateway without a known address leaves open what asks for it",
    mesh: meshOf(
      [
        gatewayPodText("gw", "in"),
        FRONT,
        SERVER,
        gateway([HTTP_SERVER]),
        route([toServer]),
        onServer({ rules: [{ from: [{ source: { ipBlocks: ["10.5.0.1"] } }] }] }),
      ].join(""),
    ),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 unknown/address-unknown at authorization, by none",
      ],
    ],
  },
  {
    law: "the client's address is told behind those that it claims itself",
    mesh: open(
      [toServer],
      onServer({
        rules: [
          { when: [{ key: "request.headers[x-forwarded-for]", values: ["1.1.1.1,2.2.2.2,203.0.113.7"] }] },
        ],
      }),
    ),
    ask: {
      ...GET,
      headers: [
        ["X-Forwarded-For", "1.1.1.1"],
        ["x-forwarded-for", "2.2.2.2"],
        ["x-a", "x-forwarded-for"],
      ],
    },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "the client's address is told where it claims none",
    mesh: open(
      [toServer],
      onServer({
        rules: [
          {
            when: [
              { key: "request.headers[x-forwarded-for]", values: ["203.0.113.7"] },
              { key: "request.headers[x-a]", values: ["x-forwarded-for"] },
            ],
          },
        ],
      }),
    ),
    ask: {
      ...GET,
      headers: [
        ["x-a", "x-forwarded-for"],
        ["x-b", "1"],
      ],
    },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "an address that is not known is not told",
    mesh: open(
      [toServer],
      onServer({ rules: [{ when: [{ key: "request.headers[x-forwarded-for]", values: ["1.1.1.1"] }] }] }),
    ),
    ask: { ...GET, from: {}, headers: [["x-forwarded-for", "1.1.1.1"]] },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "the server sees the path that the gateway normalized and rewrote",
    mesh: open(
      [{ match: [{ uri: { prefix: "/x/" } }], rewrite: { uri: "/y/" }, ...toServer }],
      onServer({ rules: [{ to: [{ operation: { paths: ["/y/b"] } }] }] }),
    ),
    ask: { ...GET, path: "/x/a/../b" },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a server that wants mutual TLS gets it",
    mesh: open([toServer], peerText("a", "p", { mtls: { mode: "STRICT" } })),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
];

function secure(
  servers: readonly object[],
  vs: object = { http: [toServer] },
  ...more: readonly string[]
): ReturnType<typeof meshOf> {
  return meshOf(
    [
      POD,
      FRONT,
      SERVER,
      gateway(servers),
      routeText("gw", "v", { hosts: ["s.example"], gateways: ["g"], ...vs }),
      ...more,
    ].join(""),
  );
}

const SIMPLE = secure([tlsServer("SIMPLE")]);
const MUTUAL = secure([tlsServer("MUTUAL")]);
const toTls = (host: string): object => ({ route: [{ destination: { host, port: { number: 443 } } }] });
const PASSTHROUGH = secure([tlsServer("PASSTHROUGH", "TLS")], {
  tls: [{ match: [{ sniHosts: ["s.example"] }], ...toTls("s.a.svc.cluster.local") }],
});
const BYTES = secure([{ port: { number: 9000, name: "tcp", protocol: "TCP" }, hosts: ["*"] }], {
  hosts: ["*"],
  tcp: [
    {
      match: [{ port: 9000 }],
      route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 9000 } } }],
    },
  ],
});
const outside = { ip: "203.0.113.7" } as const;
const known = { ip: "203.0.113.7", principal: "cluster.local/ns/x/sa/y" } as const;
const OPAQUE = {
  via: "gw/in",
  to: { host: "s.example", port: 443 },
  protocol: "tls",
  sni: "s.example",
} as const;

const TLS: readonly JourneyCase[] = [
  {
    law: "SIMPLE: ended at the gateway, then HTTP",
    mesh: SIMPLE,
    ask: HTTPS,
    ways: [
      [
        ["gw/in:8443", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 sends it to outbound|80||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "SIMPLE: another name is refused",
    mesh: SIMPLE,
    ask: { ...HTTPS, sni: "x.example" },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/no-chain at transport, by none"]],
    explained: [
      [
        "refused: no filter chain takes the connection (plaintext to a STRICT port, or TLS without the mesh's ALPN)",
      ],
    ],
  },
  {
    law: "SIMPLE: no name is refused",
    mesh: SIMPLE,
    ask: { ...IN, from: { ...outside, tls: "simple" }, to: HTTPS.to },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "SIMPLE: plaintext is refused",
    mesh: SIMPLE,
    ask: { ...HTTPS, from: outside },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/plaintext-to-tls-port at transport, by none"]],
    explained: [["refused: the port takes only TLS"]],
  },
  {
    law: "SIMPLE: a certificate is not asked for",
    mesh: SIMPLE,
    ask: { ...HTTPS, from: known },
    ways: [
      [
        ["gw/in:8443", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "MUTUAL: nobody without a certificate",
    mesh: MUTUAL,
    ask: HTTPS,
    ways: [
      [["gw/in:8443"], "gw/in gateway refused 0 tls/no-client-certificate at transport, by Gateway gw/g"],
    ],
    explained: [["Gateway gw/g server 0 takes only clients with a certificate (TLS mode MUTUAL)"]],
  },
  {
    law: "MUTUAL: whose CA signed a certificate is not known",
    mesh: MUTUAL,
    ask: { ...HTTPS, from: known },
    ways: [
      [["gw/in:8443"], "gw/in gateway refused 0 unknown/client-certificate-unknown at transport, by none"],
    ],
    explained: [
      [
        "Gateway gw/g server 0 takes only clients with a certificate (TLS mode MUTUAL); whether its CA signed this one is not known",
      ],
    ],
  },
  {
    law: "MUTUAL: nor of a certificate of another CA",
    mesh: MUTUAL,
    ask: { ...HTTPS, from: { ...outside, tls: "rogue" } },
    ways: [
      [["gw/in:8443"], "gw/in gateway refused 0 unknown/client-certificate-unknown at transport, by none"],
    ],
  },
  {
    law: "MUTUAL: plaintext is refused as such",
    mesh: MUTUAL,
    ask: { ...HTTPS, from: outside },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/plaintext-to-tls-port at transport, by none"]],
  },
  {
    law: "OPTIONAL_MUTUAL: without a certificate as well",
    mesh: secure([tlsServer("OPTIONAL_MUTUAL")]),
    ask: HTTPS,
    ways: [
      [
        ["gw/in:8443", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "PASSTHROUGH: by the name, TLS ends at the server",
    mesh: PASSTHROUGH,
    ask: { ...OPAQUE, from: outside },
    ways: [
      [
        ["gw/in:8443", "outbound|443||s.a.svc.cluster.local at a/s:8443"],
        "gw/in gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v tls route 0 sends it to outbound|443||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "PASSTHROUGH: another name has no route",
    mesh: secure([tlsServer("PASSTHROUGH", "TLS", ["*"])], {
      hosts: ["*"],
      tls: [{ match: [{ sniHosts: ["s.example"] }], ...toTls("s.a.svc.cluster.local") }],
    }),
    ask: { ...OPAQUE, from: outside, sni: "x.example" },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/no-chain at transport, by none"]],
    explained: [
      [
        "refused: no filter chain takes the connection (plaintext to a STRICT port, or TLS without the mesh's ALPN)",
      ],
    ],
  },
  {
    law: "PASSTHROUGH: no name is refused",
    mesh: PASSTHROUGH,
    ask: { via: "gw/in", to: OPAQUE.to, protocol: "tls", from: outside },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "AUTO_PASSTHROUGH: by the cluster that the name says",
    mesh: secure([tlsServer("AUTO_PASSTHROUGH", "TLS", ["*"])]),
    ask: { ...OPAQUE, from: outside, sni: "outbound_.443_._.s.a.svc.cluster.local" },
    ways: [
      [
        ["gw/in:8443", "outbound_.443_._.s.a.svc.cluster.local at a/s:8443"],
        "gw/in gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound_.443_._.s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "Gateway gw/g sends it to outbound_.443_._.s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "TLS ended at the gateway, bytes inside",
    mesh: secure([tlsServer("SIMPLE", "TLS")], {
      tcp: [{ route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 9000 } } }] }],
    }),
    ask: { ...OPAQUE, from: { ...outside, tls: "simple" }, protocol: "tcp" },
    ways: [
      [
        ["gw/in:8443", "outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "gw/in gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|9000||s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v tcp route 0 sends it to outbound|9000||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "bytes",
    mesh: BYTES,
    ask: { from: outside, via: "gw/in", to: { host: "s.example", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["gw/in:9000", "outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "gw/in gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|9000||s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v tcp route 0 sends it to outbound|9000||s.a.svc.cluster.local",
      ],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "HTTP at a TCP server goes on as bytes",
    mesh: BYTES,
    ask: { from: outside, via: "gw/in", to: { host: "s.example", port: 9000 } },
    ways: [
      [
        ["gw/in:9000", "outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|9000||s.a.svc.cluster.local",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a DENY rule on bytes refuses the connection",
    mesh: secure(
      [{ port: { number: 9000, name: "tcp", protocol: "TCP" }, hosts: ["*"] }],
      {
        hosts: ["*"],
        tcp: [{ route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 9000 } } }] }],
      },
      denyAt({ action: "DENY", rules: [{ from: [{ source: { ipBlocks: ["203.0.113.7"] } }] }] }),
    ),
    ask: { from: outside, via: "gw/in", to: { host: "s.example", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["gw/in:9000"],
        "gw/in gateway refused 0 rbac/deny-matched at authorization, by AuthorizationPolicy gw/p #0",
      ],
    ],
    explained: [
      ["denied by a rule: AuthorizationPolicy gw/p rule 0", "ipBlocks in [203.0.113.7]: came 203.0.113.7"],
    ],
  },
];

const ISSUER = "https://issuer.example";
const tokens = (rule: object): string =>
  tokenText("gw", "t", {
    selector: { matchLabels: { app: "in" } },
    jwtRules: [{ issuer: ISSUER, jwks: '{"keys":[]}', ...rule }],
  });
const SERVER_TOKENS = `${tokenText("a", "t", { selector: { matchLabels: { app: "s" } }, jwtRules: [{ issuer: ISSUER, jwks: '{"keys":[]}' }] })}${onServer({ rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }] })}`;
const CLAIMED = { ...GET, jwt: { claims: { iss: ISSUER, sub: "me", groups: ["dev"] } } } as const;
const byClaim = { match: [{ headers: { "@request.auth.claims.groups": { exact: "dev" } } }], ...toServer };

const TOKENS: readonly JourneyCase[] = [
  {
    law: "a token that is not forwarded ends at the gateway",
    mesh: open([toServer], tokens({}), SERVER_TOKENS),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "a token that is forwarded is the server's as well",
    mesh: open([toServer], tokens({ forwardOriginalToken: true }), SERVER_TOKENS),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a gateway that knows no tokens passes them on",
    mesh: open([toServer], SERVER_TOKENS),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "claims choose the route",
    mesh: open([byClaim], tokens({})),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "without claims the route for them is none",
    mesh: open([byClaim], tokens({})),
    ask: GET,
    ways: [[["gw/in:8080"], "gw/in gateway refused 404 no-route/no-route at route, by none"]],
  },
  {
    law: "claims become headers for the server",
    mesh: open(
      [toServer],
      tokens({ outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }] }),
      onServer({ rules: [{ when: [{ key: "request.headers[x-sub]", values: ["me"] }] }] }),
    ),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a header that claims make cannot be forged",
    mesh: open(
      [toServer],
      tokens({ outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }] }),
      onServer({ rules: [{ when: [{ key: "request.headers[x-sub]", values: ["root"] }] }] }),
    ),
    ask: { ...GET, headers: [["x-sub", "root"]] },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "a wrong token is refused at the gateway",
    mesh: open([toServer], tokens({})),
    ask: { ...GET, jwt: { claims: { iss: "https://other.example" } } },
    ways: [[["gw/in:8080"], "gw/in gateway refused 401 jwt/jwt-unknown-issuer at jwt, by none"]],
    explained: [["refused with 401: the token is of an issuer that no RequestAuthentication names"]],
  },
  {
    law: "a token that cannot be read is refused at the gateway",
    mesh: open([toServer], tokens({})),
    ask: { ...GET, jwt: "x.y.z" },
    ways: [
      [["gw/in:8080"], "gw/in gateway refused 401 jwt/jwt-invalid at jwt, by RequestAuthentication gw/t"],
    ],
  },
  {
    law: "a token in the query is refused with its key unknown",
    mesh: open(
      [toServer],
      tokens({ fromParams: ["token"], jwks: undefined, jwksUri: "https://issuer.example/keys" }),
    ),
    ask: { ...GET, path: "/?token=eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.AAAA" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 401 unknown/jwks-not-fetched at jwt, by none"]],
    explained: [
      [
        'unknown: the token\'s keys are fetched by HTTP, which is not done here (give {"claims": …} to take it as verified)',
      ],
    ],
  },
];

const LOOP = { route: [{ destination: { host: "in.gw.svc.cluster.local", port: { number: 80 } } }] };

const LOOPS: readonly JourneyCase[] = [
  {
    law: "a gateway that leads to itself is a loop, told after eight",
    mesh: open([LOOP], peerText("gw", "p", { mtls: { mode: "DISABLE" } })),
    ask: GET,
    ways: [
      [
        [
          "gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
          "outbound|80||in.gw.svc.cluster.local at gw/in:8080",
        ],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||in.gw.svc.cluster.local, answers HTTP",
        "gw/in gateway refused 403 unknown/too-many-hops at transport, by none",
      ],
    ],
  },
];

const TWO_ISSUERS = tokenText("gw", "t", {
  selector: { matchLabels: { app: "in" } },
  jwtRules: [
    { issuer: ISSUER, jwks: '{"keys":[]}' },
    { issuer: "https://other.example", jwks: '{"keys":[]}', forwardOriginalToken: true },
  ],
});
const SERVER_TAKES_ANY = `${tokenText("a", "t", { selector: { matchLabels: { app: "s" } }, jwtRules: [{ jwks: '{"keys":[]}' }] })}${onServer({ rules: [{ from: [{ source: { requestPrincipals: ["*"] } }] }] })}`;
const PASSTHROUGH_RULE = destinationText("gw", "d", {
  host: "s.a.svc.cluster.local",
  trafficPolicy: { loadBalancer: { simple: "PASSTHROUGH" } },
});
const STRICT_ALL = peerText("istio-system", "all", { mtls: { mode: "STRICT" } });

const MORE: readonly JourneyCase[] = [
  {
    law: "of several issuers the token of one that is not forwarded ends at the gateway",
    mesh: open([toServer], TWO_ISSUERS, SERVER_TAKES_ANY),
    ask: CLAIMED,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "of several issuers the token of one that is forwarded goes on",
    mesh: open([toServer], TWO_ISSUERS, SERVER_TAKES_ANY),
    ask: { ...GET, jwt: { claims: { iss: "https://other.example", sub: "me" } } },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "claims of no issuer are the first one's",
    mesh: open([toServer], TWO_ISSUERS, SERVER_TAKES_ANY),
    ask: { ...GET, jwt: { claims: { sub: "me" } } },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "a gateway whose client's choice nobody knows leads to the endpoints that are known",
    mesh: open([toServer], PASSTHROUGH_RULE),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a gateway whose client's choice nobody knows leads to nobody without endpoints",
    mesh: meshOf(
      [POD, FRONT, gateway([HTTP_SERVER]), route([toServer]), serviceText("a", "s"), PASSTHROUGH_RULE].join(
        "",
      ),
    ),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "gw/in client refused 503 no-healthy-upstream/no-healthy-upstream at client-route, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
      ],
    ],
  },
  {
    law: "PeerAuthentication has no say at a gateway's server",
    mesh: secure([tlsServer("SIMPLE")], { http: [toServer] }, STRICT_ALL),
    ask: { ...HTTPS, sni: "x.example" },
    ways: [[["gw/in:8443"], "gw/in gateway refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "TLS settings of a server in clear ask for no certificate",
    mesh: meshOf(
      [
        POD,
        FRONT,
        SERVER,
        gateway([{ ...HTTP_SERVER, tls: { mode: "MUTUAL", credentialName: "c" } }]),
        route([toServer]),
      ].join(""),
    ),
    ask: GET,
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "the application's TLS at a server of bytes goes on as it is",
    mesh: BYTES,
    ask: {
      from: { ...outside, tls: "simple" },
      via: "gw/in",
      to: { host: "s.example", port: 9000 },
      protocol: "tls",
      sni: "s.example",
    },
    ways: [
      [
        ["gw/in:9000", "outbound|9000||s.a.svc.cluster.local at a/s:9000"],
        "gw/in gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|9000||s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "gRPC knows other methods than HTTP/1.1's",
    mesh: PLAIN,
    ask: { ...GET, protocol: "grpc", method: "FOO" },
    ways: [
      [
        ["gw/in:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/in gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "HTTP/1.1 knows its methods alone",
    mesh: PLAIN,
    ask: { ...GET, method: "FOO" },
    ways: [[["gw/in:8080"], "gw/in gateway refused 400 bad-request/bad-request at protocol, by none"]],
  },
];

describe("routes of a gateway", () => testJourneys(ROUTES));
describe("policies of a gateway, and of what it leads to", () => testJourneys(POLICIES));
describe("TLS at a gateway", () => testJourneys(TLS));
describe("tokens at a gateway", () => testJourneys(TOKENS));
describe("gateways that lead to gateways", () => testJourneys(LOOPS));
describe("gateways: tokens, choices and protocols besides", () => testJourneys(MORE));
