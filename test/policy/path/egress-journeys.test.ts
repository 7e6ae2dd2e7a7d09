/** Several proxies one after another: sidecar, egress gateway, the world; names outside and inside; who answers. */
import { generateKeyPairSync, sign } from "node:crypto";
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  destinationText,
  entryText,
  gatewayPodText,
  gatewayText,
  type JourneyCase,
  meshConfigText,
  peerText,
  podText,
  resourceText,
  routeText,
  serviceText,
  testJourneys,
  tokenText,
} from "./journey-text.ts";

const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const GATEWAY_POD = gatewayPodText("gw", "out", "10.5.0.1");
const FRONT = resourceText("v1", "Service", "gw", "out", {
  selector: { app: "out" },
  ports: [
    { name: "tls", port: 443, targetPort: 8443 },
    { name: "http", port: 80, targetPort: 8080 },
  ],
});
const OUT = "out.gw.svc.cluster.local";
const HOSTS = entryText("gw", "hosts", {
  hosts: ["one.example", "two.example"],
  ports: [{ number: 443, name: "tls", protocol: "TLS" }],
  location: "MESH_EXTERNAL",
  resolution: "DNS",
});
const WILD = entryText("gw", "wild", {
  hosts: ["*.wild.example"],
  ports: [{ number: 443, name: "tls", protocol: "TLS" }],
  location: "MESH_EXTERNAL",
  resolution: "DYNAMIC_DNS",
});
const MUTUAL_SERVER = gatewayText("gw", "g", {
  selector: { istio: "out" },
  servers: [
    {
      port: { number: 443, name: "tls", protocol: "TLS" },
      hosts: ["one.example", "two.example", "*.wild.example"],
      tls: { mode: "ISTIO_MUTUAL" },
    },
  ],
});

function through(host: string, name: string, sni = host): string {
  const rule = destinationText("gw", `to-${name}`, {
    host: OUT,
    subsets: [{ name, trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", sni } } }],
  });
  const service = routeText("gw", name, {
    hosts: [host],
    gateways: ["mesh", "g"],
    tls: [
      {
        match: [{ gateways: ["mesh"], port: 443, sniHosts: [host] }],
        route: [{ destination: { host: OUT, subset: name, port: { number: 443 } } }],
      },
    ],
    tcp: [
      { match: [{ gateways: ["g"], port: 443 }], route: [{ destination: { host, port: { number: 443 } } }] },
    ],
  });
  return rule + service;
}

const allow = (sni: string, account: string): string =>
  authorizationText("gw", `allow-${sni.replaceAll(/[*.]/g, "-")}`, {
    rules: [
      {
        from: [{ source: { principals: [`cluster.local/ns/a/sa/${account}`] } }],
        when: [{ key: "connection.sni", values: [sni] }],
      },
    ],
  });
const BASE = CLIENT + GATEWAY_POD + FRONT + HOSTS + WILD + MUTUAL_SERVER;
const ONE = meshOf(BASE + through("one.example", "one"));
const BOTH = meshOf(
  `${BASE}${through("one.example", "one")}${routeText("gw", "two", { hosts: ["two.example"], gateways: ["g"], tcp: [{ route: [{ destination: { host: "two.example", port: { number: 443 } } }] }] })}`,
);
const SPOOF = meshOf(
  `${BASE}${through("one.example", "one", "two.example")}${routeText("gw", "two", { hosts: ["two.example"], gateways: ["g"], tcp: [{ route: [{ destination: { host: "two.example", port: { number: 443 } } }] }] })}${allow("two.example", "c")}`,
);
const from = { workload: "a/c" } as const;
const TO_ONE = { from, to: { host: "one.example", port: 443 }, protocol: "tls", sni: "one.example" } as const;
const AT_GATEWAY = {
  from: { principal: "cluster.local/ns/a/sa/c", ip: "10.0.0.1" },
  to: { host: OUT, port: 443 },
  protocol: "tls",
} as const;
const WILDS = meshOf(BASE + through("*.wild.example", "wild", "x.wild.example"));

const NAMELESS = meshOf(
  `${BASE}${through("*.wild.example", "wild")}${destinationText("gw", "all", { host: OUT, trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", sni: "x.wild.example" } } })}`,
);

const CLOSED = meshOf(
  BASE + through("one.example", "one") + meshConfigText({ outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }),
);
const ENTRY = entryText("gw", "e", {
  hosts: ["e.example"],
  ports: [{ number: 80, name: "http", protocol: "HTTP" }],
  location: "MESH_INTERNAL",
  resolution: "STATIC",
  endpoints: [{ address: "10.0.0.1" }],
});
const BY_RULE = destinationText("gw", "e", {
  host: "e.example",
  trafficPolicy: { tls: { mode: "ISTIO_MUTUAL" } },
});

const EGRESS: readonly JourneyCase[] = [
  {
    law: "TLS without a name is refused where only what is registered goes out",
    mesh: CLOSED,
    ask: { from, to: TO_ONE.to, protocol: "tls" },
    ways: [[[], "a/c client refused 0 blackhole/blackhole at client-route, by none"]],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "the TLS carried no server name (SNI), by which alone the hosts of port 443 are told apart: `one.example` (ServiceEntry gw/hosts)",
        "open TLS with the server name `one.example`, as clients do that are given a name and not an address",
        "outboundTrafficPolicy REGISTRY_ONLY (of the mesh) refuses what is not registered",
      ],
    ],
  },
  {
    law: "bytes are refused where only what is registered goes out",
    mesh: CLOSED,
    ask: { from, to: TO_ONE.to, protocol: "tcp" },
    ways: [[[], "a/c client refused 0 blackhole/blackhole at client-route, by none"]],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "the connection was not TLS, so it carried no server name (SNI), by which alone the hosts of port 443 are told apart: `one.example` (ServiceEntry gw/hosts)",
        "open TLS with the server name `one.example`, as clients do that are given a name and not an address",
        "outboundTrafficPolicy REGISTRY_ONLY (of the mesh) refuses what is not registered",
      ],
    ],
  },
  {
    law: "a ServiceEntry of no identities has none expected",
    mesh: meshOf(podText("a", "d") + CLIENT + ENTRY + BY_RULE),
    ask: { from: { workload: "a/d" }, to: { host: "e.example", port: 80 } },
    ways: [
      [
        ["outbound|80||e.example at a/c:80"],
        "a/d client allowed 200 ok/routed at client-route, by none, to outbound|80||e.example mtls, answers HTTP",
        "a/c server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {
      cluster: "outbound|80||e.example",
      tls: "mtls",
      sni: "outbound_.80_._.e.example",
      endpoints: ["10.0.0.1:80"],
    },
  },
  {
    law: "the application's TLS goes by the gateway to the host outside",
    mesh: ONE,
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||one.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||one.example",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "VirtualService gw/one tls route 0 takes it",
        "to outbound|443|one|out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-one), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/one tcp route 0 sends it to outbound|443||one.example",
      ],
    ],
    fields: {
      cluster: "outbound|443|one|out.gw.svc.cluster.local",
      tls: "mtls",
      sni: "one.example",
      sans: ["spiffe://cluster.local/ns/gw/sa/out"],
      endpoints: ["10.5.0.1:8443"],
    },
  },
  {
    law: "a policy of the gateway knows the client's identity and the name outside",
    mesh: meshOf(BASE + through("one.example", "one") + allow("one.example", "c")),
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||one.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy gw/allow-one-example #0, to outbound|443||one.example",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "VirtualService gw/one tls route 0 takes it",
        "to outbound|443|one|out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-one), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      [
        "allowed by a rule: AuthorizationPolicy gw/allow-one-example rule 0",
        "principals in [cluster.local/ns/a/sa/c]: came cluster.local/ns/a/sa/c",
        "connection.sni in [one.example]: came `one.example`",
        "VirtualService gw/one tcp route 0 sends it to outbound|443||one.example",
      ],
    ],
  },
  {
    law: "a policy of the gateway refuses others",
    mesh: meshOf(BASE + through("one.example", "one") + allow("one.example", "x")),
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "TLS without a name is let out by the client's proxy, past the gateway",
    mesh: ONE,
    ask: { from, to: TO_ONE.to, protocol: "tls" },
    ways: [
      [
        ["PassthroughCluster"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
      ],
    ],
  },
  {
    law: "a wildcard's host is the name that the application's TLS says",
    mesh: WILDS,
    ask: { from, to: { host: "x.wild.example", port: 443 }, protocol: "tls", sni: "x.wild.example" },
    ways: [
      [
        ["outbound|443|wild|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||*.wild.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/wild #0, to outbound|443|wild|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||*.wild.example",
      ],
    ],
  },
  {
    law: "clients outside the mesh do not get in by ISTIO_MUTUAL",
    mesh: ONE,
    ask: { ...AT_GATEWAY, from: { ip: "203.0.113.1", tls: "simple" }, protocol: "tcp", sni: "one.example" },
    ways: [[["gw/out:8443"], "gw/out gateway refused 0 tls/no-client-certificate at transport, by none"]],
    explained: [["refused in the handshake: the client has no certificate"]],
  },
  {
    law: "nor in clear",
    mesh: ONE,
    ask: { ...AT_GATEWAY, from: { ip: "203.0.113.1" }, protocol: "tcp" },
    ways: [
      [["gw/out:8443"], "gw/out gateway refused 0 no-chain/plaintext-to-tls-port at transport, by none"],
    ],
  },
  {
    law: "a server without a VirtualService takes nothing on",
    mesh: meshOf(BASE),
    ask: { ...AT_GATEWAY, protocol: "tcp", sni: "one.example" },
    ways: [
      [["gw/out:8443"], "gw/out gateway refused 0 no-route/no-virtual-service at route, by Gateway gw/g"],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by Gateway gw/g: no VirtualService is bound to the server",
      ],
    ],
  },
  {
    law: "strict: the name outside has to be a VirtualService's",
    mesh: ONE,
    ask: { ...AT_GATEWAY, protocol: "tcp", sni: "two.example" },
    options: { semantics: "strict" },
    ways: [
      [["gw/out:8443"], "gw/out gateway refused 0 no-route/outer-name-not-allowed at route, by Gateway gw/g"],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by Gateway gw/g: the name outside is not among those that the server and a VirtualService are for",
      ],
    ],
  },
  {
    law: "istio: the first VirtualService takes it, whatever the name outside",
    mesh: ONE,
    ask: { ...AT_GATEWAY, protocol: "tcp", sni: "two.example" },
    ways: [
      [
        ["gw/out:8443", "outbound|443||one.example"],
        "gw/out gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||one.example",
      ],
    ],
  },
  {
    law: "strict: each name has its own VirtualService",
    mesh: BOTH,
    ask: { ...AT_GATEWAY, protocol: "tcp", sni: "two.example" },
    options: { semantics: "strict" },
    ways: [
      [
        ["gw/out:8443", "outbound|443||two.example"],
        "gw/out gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||two.example",
      ],
    ],
  },
];

const INNER: readonly JourneyCase[] = [
  {
    law: "istio: the name inside does not count for the gateway's policy",
    mesh: SPOOF,
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||one.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy gw/allow-two-example #0, to outbound|443||one.example",
      ],
    ],
  },
  {
    law: "strict: the name inside has to be allowed as well",
    mesh: SPOOF,
    ask: TO_ONE,
    options: { semantics: "strict" },
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 rbac/no-allow-matched at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "VirtualService gw/one tls route 0 takes it",
        "to outbound|443|one|out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-one), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      [
        "the server name inside the mesh's TLS is `one.example`, outside it is `two.example`: both must be allowed",
        "denied: ALLOW policies apply to the workload and none of their rules matches",
        "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy gw/allow-two-example",
        "it wants connection.sni in [two.example]; came `one.example`",
      ],
    ],
  },
  {
    law: "strict: where no policy minds, the VirtualService has to be for the name inside",
    mesh: meshOf(
      `${BASE}${through("one.example", "one", "two.example")}${routeText("gw", "two", { hosts: ["two.example"], gateways: ["g"], tcp: [{ route: [{ destination: { host: "two.example", port: { number: 443 } } }] }] })}`,
    ),
    ask: TO_ONE,
    options: { semantics: "strict" },
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 no-route/inner-name-not-allowed at route, by Gateway gw/g",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "VirtualService gw/one tls route 0 takes it",
        "to outbound|443|one|out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-one), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by Gateway gw/g: the name inside is not among those that the server and the VirtualService are for",
      ],
    ],
  },
  {
    law: "strict: the same name inside and outside is one",
    mesh: meshOf(BASE + through("one.example", "one") + allow("one.example", "c")),
    ask: TO_ONE,
    options: { semantics: "strict" },
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||one.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy gw/allow-one-example #0, to outbound|443||one.example",
      ],
    ],
  },
  {
    law: "strict: TLS without a name inside is refused by routing",
    mesh: NAMELESS,
    ask: { from, to: { host: OUT, port: 443 }, protocol: "tls" },
    options: { semantics: "strict" },
    ways: [
      [
        ["outbound|443||out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 no-route/inner-name-missing at route, by Gateway gw/g",
      ],
    ],
    explained: [
      [
        "listener vip:out.gw.svc.cluster.local_443 (tcp) takes out.gw.svc.cluster.local:443; the sidecar is told of everything exported to its namespace",
        "the service's default route takes it",
        "to outbound|443||out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-wild, DestinationRule gw/all), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by Gateway gw/g: the application's TLS inside names no server, so nobody can tell where it goes",
      ],
    ],
  },
  {
    law: "istio: TLS without a name inside goes by the name outside",
    mesh: NAMELESS,
    ask: { from, to: { host: OUT, port: 443 }, protocol: "tls" },
    ways: [
      [
        ["outbound|443||out.gw.svc.cluster.local at gw/out:8443", "outbound|443||*.wild.example"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/no-allow-policies at authorization, by none, to outbound|443||*.wild.example",
      ],
    ],
  },
  {
    law: "bytes inside have no name",
    mesh: NAMELESS,
    ask: { from, to: { host: OUT, port: 443 }, protocol: "tcp" },
    options: { semantics: "strict" },
    ways: [
      [
        ["outbound|443||out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by none, to outbound|443||out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 no-route/inner-name-missing at route, by Gateway gw/g",
      ],
    ],
  },
  {
    law: "an address that nobody knows leaves the gateway's answer open",
    mesh: meshOf(
      [
        podText("a", "c"),
        GATEWAY_POD,
        FRONT,
        HOSTS,
        MUTUAL_SERVER,
        through("one.example", "one"),
        authorizationText("gw", "p", { rules: [{ from: [{ source: { ipBlocks: ["10.0.0.8"] } }] }] }),
      ].join(""),
    ),
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway refused 0 unknown/address-unknown at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_443 (tcp) takes one.example:443; the sidecar is told of everything exported to its namespace",
        "VirtualService gw/one tls route 0 takes it",
        "to outbound|443|one|out.gw.svc.cluster.local, 1 endpoint, TLS mtls (DestinationRule gw/to-one), expecting spiffe://cluster.local/ns/gw/sa/out",
      ],
      ["unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)"],
    ],
  },
  {
    law: "an address that somebody knows decides",
    mesh: meshOf(
      [
        CLIENT,
        GATEWAY_POD,
        FRONT,
        HOSTS,
        MUTUAL_SERVER,
        through("one.example", "one"),
        authorizationText("gw", "p", { rules: [{ from: [{ source: { ipBlocks: ["10.0.0.1"] } }] }] }),
      ].join(""),
    ),
    ask: TO_ONE,
    ways: [
      [
        ["outbound|443|one|out.gw.svc.cluster.local at gw/out:8443", "outbound|443||one.example"],
        "a/c client allowed 0 ok/routed at client-route, by VirtualService gw/one #0, to outbound|443|one|out.gw.svc.cluster.local mtls",
        "gw/out gateway allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy gw/p #0, to outbound|443||one.example",
      ],
    ],
  },
];

const APP = `${podText("a", "s", { ip: "10.0.0.2" })}${serviceText("a", "s")}`;
const toApp = { route: [{ destination: { host: "s.a.svc.cluster.local", port: { number: 80 } } }] };
const CLEAR_SERVER = gatewayText("gw", "g", {
  selector: { istio: "out" },
  servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
});
const VIA = { from: { ip: "203.0.113.7" }, via: "gw/out", to: { host: "s.example", port: 80 } } as const;
const appBy = (...more: readonly string[]): ReturnType<typeof meshOf> =>
  meshOf(
    [
      GATEWAY_POD,
      CLEAR_SERVER,
      APP,
      routeText("gw", "v", { hosts: ["s.example"], gateways: ["g"], http: [toApp] }),
      ...more,
    ].join(""),
  );
const frontOf = (name: string, ports: readonly object[], selector: object = { app: "out" }): string =>
  resourceText("v1", "Service", "gw", name, { selector, ports });

const AT = authorizationText("gw", "at", {
  rules: [{ when: [{ key: "destination.ip", values: ["10.5.0.1"] }] }],
});
const POOL =
  gatewayPodText("gw", "other", "10.5.0.9").replace('"istio":"other"', '"istio":"other","pool":"p"') +
  GATEWAY_POD.replace('"istio":"out"', '"istio":"out","pool":"p"');
const HTTP_PORT = [{ name: "http", port: 80, targetPort: 8080 }];

const FRONTS: readonly JourneyCase[] = [
  {
    law: "of several Services before a gateway the first that has the port counts",
    mesh: appBy(
      frontOf("a-first", [{ name: "x", port: 81, targetPort: 1 }]),
      frontOf("b-second", HTTP_PORT),
      frontOf("c-third", [{ name: "http", port: 80, targetPort: 80 }]),
      AT,
    ),
    ask: VIA,
    ways: [
      [
        ["gw/out:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy gw/at #0, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "of several gateways behind one Service the one that is named",
    mesh: meshOf(
      [
        POOL,
        CLEAR_SERVER,
        APP,
        routeText("gw", "v", { hosts: ["s.example"], gateways: ["g"], http: [toApp] }),
        frontOf("front", HTTP_PORT, { pool: "p" }),
        AT,
      ].join(""),
    ),
    ask: VIA,
    ways: [
      [
        ["gw/out:8080", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy gw/at #0, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a Service of other gateways is none",
    mesh: appBy(gatewayPodText("gw", "other", "10.5.0.9"), frontOf("front", HTTP_PORT, { app: "other" }), AT),
    ask: VIA,
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy gw/at #0, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a Service whose port leads nowhere on the gateway is none",
    mesh: appBy(frontOf("a-first", [{ name: "http", port: 80, targetPort: "unnamed" }]), AT),
    ask: VIA,
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy gw/at #0, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
];

const RELAYED: readonly JourneyCase[] = [
  {
    law: "a server that refuses the gateway's clear text, without an answer",
    mesh: appBy(
      peerText("a", "p", { mtls: { mode: "STRICT" } }),
      destinationText("gw", "d", {
        host: "s.a.svc.cluster.local",
        trafficPolicy: { tls: { mode: "DISABLE" } },
      }),
    ),
    ask: VIA,
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 0 no-chain/no-chain at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "a gateway that expects another identity refuses by itself",
    mesh: appBy(
      destinationText("gw", "d", {
        host: "s.a.svc.cluster.local",
        trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", subjectAltNames: ["x"] } },
      }),
    ),
    ask: VIA,
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "gw/out client refused 503 tls/server-identity-refused at client-tls, by none, to outbound|80||s.a.svc.cluster.local at a/s:8080, answers HTTP",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService gw/v http route 0 sends it to outbound|80||s.a.svc.cluster.local",
      ],
      [
        "outbound|80||s.a.svc.cluster.local at a/s:8080: the server shows spiffe://cluster.local/ns/a/sa/s, expected is x",
      ],
    ],
  },
  {
    law: "a service that nobody serves is no healthy upstream of the gateway",
    mesh: meshOf(
      [
        GATEWAY_POD,
        CLEAR_SERVER,
        serviceText("a", "s"),
        routeText("gw", "v", { hosts: ["s.example"], gateways: ["g"], http: [toApp] }),
      ].join(""),
    ),
    ask: VIA,
    ways: [
      [
        ["gw/out:80"],
        "gw/out gateway refused 503 no-healthy-upstream/no-healthy-upstream at route, by VirtualService gw/v #0",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "refused by VirtualService gw/v http route 0: no-healthy-upstream",
      ],
    ],
  },
];

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const signed = `${part({ alg: "ES256", kid: "k" })}.${part({ iss: "i", sub: "me", exp: 4_000_000_000 })}`;
const TOKEN = `${signed}.${sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
const JWKS = JSON.stringify({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256" }] });
const wants = (rule: object): string =>
  tokenText("gw", "t", {
    selector: { matchLabels: { app: "out" } },
    jwtRules: [{ issuer: "i", jwks: JWKS, ...rule }],
  });
const sees = (when: readonly object[]): string => authorizationText("a", "q", { rules: [{ when }] });
const sent = (name: string, values: readonly string[]): object => ({
  key: `request.headers[${name}]`,
  values,
});

const SPENT: readonly JourneyCase[] = [
  {
    law: "a token in a header ends at the gateway",
    mesh: appBy(wants({}), sees([sent("authorization", ["*"])])),
    ask: { ...VIA, jwt: TOKEN },
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "a token in a header that is to be forwarded goes on",
    mesh: appBy(wants({ forwardOriginalToken: true }), sees([sent("authorization", [`Bearer ${TOKEN}`])])),
    ask: { ...VIA, jwt: TOKEN },
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "claims of a token become headers",
    mesh: appBy(
      wants({ outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }] }),
      sees([sent("x-sub", ["me"])]),
    ),
    ask: { ...VIA, jwt: TOKEN, headers: [["x-sub", "root"]] },
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a token in the query ends at the gateway, and the rest of the query goes on",
    mesh: appBy(wants({ fromParams: ["t"] }), sees([sent(":path", ["/a?b=1"])])),
    ask: { ...VIA, path: `/a?t=${TOKEN}&b=1` },
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/q #0",
      ],
    ],
  },
  {
    law: "a token whose end has come is refused",
    mesh: appBy(wants({})),
    ask: { ...VIA, jwt: TOKEN },
    options: { nowSeconds: () => 4_000_000_100 },
    ways: [
      [["gw/out:80"], "gw/out gateway refused 401 jwt/jwt-invalid at jwt, by RequestAuthentication gw/t"],
    ],
    explained: [["refused with 401: the token is not valid (RequestAuthentication gw/t)"]],
  },
  {
    law: "keys that are fetched are used",
    mesh: appBy(wants({ jwks: undefined, jwksUri: "https://i/keys" })),
    ask: { ...VIA, jwt: TOKEN },
    options: { fetchJwks: () => Promise.resolve(JWKS) },
    ways: [
      [
        ["gw/out:80", "outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "gw/out gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "keys that cannot be had are refused where they were asked for",
    mesh: appBy(wants({ jwks: undefined, jwksUri: "https://i/keys" })),
    ask: { ...VIA, jwt: TOKEN },
    options: { fetchJwks: () => Promise.reject(new Error("away")) },
    ways: [
      [["gw/out:80"], "gw/out gateway refused 401 jwt/jwt-no-keys at jwt, by RequestAuthentication gw/t"],
    ],
  },
  {
    law: "keys that nobody asks for are not known",
    mesh: appBy(wants({ jwks: undefined, jwksUri: "https://i/keys" })),
    ask: { ...VIA, jwt: TOKEN },
    ways: [[["gw/out:80"], "gw/out gateway refused 401 unknown/jwks-not-fetched at jwt, by none"]],
  },
];

describe("egress gateways", () => testJourneys(EGRESS));
describe("names inside the mesh's TLS", () => testJourneys(INNER));
describe("Services before a gateway", () => testJourneys(FRONTS));
describe("refusals behind a gateway", () => testJourneys(RELAYED));
describe("tokens that gateways spend", () => testJourneys(SPENT));
