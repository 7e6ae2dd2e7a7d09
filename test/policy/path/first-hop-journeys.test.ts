/** Where a request begins: past any proxy, at ztunnel, at a workload alone; and where nobody can tell. */
import { describe } from "node:test";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  barePodText,
  entryText,
  gatewayPodText,
  gatewayText,
  type JourneyCase,
  namespaceText,
  peerText,
  podText,
  resourceText,
  serviceText,
  testJourneys,
} from "./journey-text.ts";

const PORTS = { ports: [8080, 8081, 9000, 8443] };
const SERVER = `${podText("a", "s", { ip: "10.0.0.2", ...PORTS })}${serviceText("a", "s")}`;
const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const BARE = barePodText("a", "bare", { ip: "10.0.0.9" });
const ENTRY = entryText("a", "e", {
  hosts: ["e.example"],
  ports: [{ number: 80, name: "http", protocol: "HTTP" }],
  location: "MESH_EXTERNAL",
  resolution: "DNS",
});
const STRICT = peerText("a", "p", { mtls: { mode: "STRICT" } });
const PLAIN = meshOf(CLIENT + SERVER + BARE + ENTRY + serviceText("a", "empty"));
const CLOSED = meshOf(CLIENT + SERVER + BARE + STRICT);
const V6 = meshOf(`${CLIENT}${podText("a", "s", { ip: "fd00::2", ...PORTS })}`);

const toService = { service: "s.a", port: 80 } as const;
const bare = { workload: "a/bare" } as const;

const PAST_PROXY: readonly JourneyCase[] = [
  {
    law: "a client without a proxy comes in clear, by the cluster's DNS",
    mesh: PLAIN,
    ask: { from: bare, to: { service: "s", port: 80 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
    fields: {},
  },
  {
    law: "a client without a proxy is refused where mutual TLS is STRICT",
    mesh: CLOSED,
    ask: { from: bare, to: { service: "s", port: 80 } },
    ways: [[["a/s:8080"], "a/s server refused 0 no-chain/no-chain at transport, by PeerAuthentication a/p"]],
  },
  {
    law: "a client without a proxy that speaks TLS of its own is no client of the mesh",
    mesh: CLOSED,
    ask: { from: bare, to: { service: "s", port: 443 }, protocol: "tls", sni: "s" },
    ways: [
      [
        ["a/s:8443"],
        "a/s server refused 0 tls/no-client-certificate at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "between workloads without proxies nobody has a say",
    mesh: meshOf(BARE + barePodText("a", "s", { ip: "10.0.0.2" }) + serviceText("a", "s")),
    ask: { from: bare, to: { service: "s", port: 80 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-proxy at transport, by none"]],
    explained: [
      [
        "allowed: no proxy stands before the workload, so nothing is checked",
        'its annotation says `sidecar.istio.io/inject: "false"`',
      ],
    ],
  },
  {
    law: "a client without a proxy reaches hosts outside",
    mesh: PLAIN,
    ask: { from: bare, to: { host: "e.example", port: 80 } },
    ways: [[[], "a/bare client allowed 200 passthrough/no-proxy at client-route, by none"]],
    explained: [["allowed: no proxy of the mesh stands on the way, so nothing is checked"]],
  },
  {
    law: "a client without a proxy reaches hosts that nobody registered",
    mesh: PLAIN,
    ask: { from: bare, to: { host: "no.example", port: 443 }, protocol: "tls" },
    ways: [[[], "a/bare client allowed 0 passthrough/no-proxy at client-route, by none"]],
    explained: [["allowed: no proxy of the mesh stands on the way, so nothing is checked"]],
    fields: {},
  },
  {
    law: "a client without a proxy finds nobody behind a service that nothing serves",
    mesh: PLAIN,
    ask: { from: bare, to: { service: "empty", port: 80 } },
    ways: [[[], "a/bare client refused 0 no-healthy-upstream/no-endpoint at client-route, by none"]],
    explained: [["nothing serves the service at this port"]],
  },
  {
    law: "a client that shows a certificate comes past its own proxy",
    mesh: PLAIN,
    ask: { from: { workload: "a/c", principal: "cluster.local/ns/x/sa/y" }, to: toService },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
    fields: {},
  },
  {
    law: "a client that shows none comes past its own proxy in clear",
    mesh: CLOSED,
    ask: { from: { workload: "a/c", principal: null }, to: toService },
    ways: [[["a/s:8080"], "a/s server refused 0 no-chain/no-chain at transport, by PeerAuthentication a/p"]],
  },
  {
    law: "a client whose TLS is said comes past its own proxy",
    mesh: CLOSED,
    ask: { from: { workload: "a/c", tls: "simple" }, to: toService },
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 0 tls/no-client-certificate at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "a client of nobody's certificate is refused in the handshake",
    mesh: CLOSED,
    ask: { from: { workload: "a/c", tls: "rogue" }, to: toService },
    ways: [
      [
        ["a/s:8080"],
        "a/s server refused 0 tls/untrusted-certificate at transport, by PeerAuthentication a/p",
      ],
    ],
  },
  {
    law: "somebody at an address comes in clear",
    mesh: CLOSED,
    ask: { from: { ip: "203.0.113.1" }, to: toService },
    ways: [[["a/s:8080"], "a/s server refused 0 no-chain/no-chain at transport, by PeerAuthentication a/p"]],
  },
  {
    law: "nobody in particular may dial a pod's address",
    mesh: PLAIN,
    ask: { to: { host: "10.0.0.2", port: 8080 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an address may be in brackets",
    mesh: V6,
    ask: { to: { host: "[fd00::2]", port: 8080 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "an opening bracket alone makes no address",
    mesh: V6,
    ask: { to: { host: "[fd00::20", port: 8080 } },
    ways: [[[], "a client client allowed 200 passthrough/no-proxy at client-route, by none"]],
    explained: [["allowed: no proxy of the mesh stands on the way, so nothing is checked"]],
  },
  {
    law: "a closing bracket alone makes no address",
    mesh: V6,
    ask: { to: { host: "xfd00::2]", port: 8080 } },
    ways: [[[], "a client client allowed 200 passthrough/no-proxy at client-route, by none"]],
  },
  {
    law: "where the client's DNS led it counts before the name",
    mesh: PLAIN,
    ask: { to: { host: "no.example", ip: "10.0.0.2", port: 8080 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
];

const ALONE: readonly JourneyCase[] = [
  {
    law: "the server's side alone is by the container's port",
    mesh: PLAIN,
    ask: { from: { workload: "a/c" }, to: { workload: "a/s", port: 8080 } },
    ways: [[["a/s:8080"], "a/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
    fields: {},
  },
  {
    law: "the server's address is known to its rules",
    mesh: meshOf(
      CLIENT +
        SERVER +
        authorizationText("a", "p", { rules: [{ when: [{ key: "destination.ip", values: ["10.0.0.2"] }] }] }),
    ),
    ask: { from: { workload: "a/c" }, to: { workload: "a/s", port: 8080 } },
    ways: [
      [
        ["a/s:8080"],
        "a/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy a/p #0",
      ],
    ],
  },
  {
    law: "bytes at an HTTP port are a bad request",
    mesh: PLAIN,
    ask: { from: { principal: null }, to: { workload: "a/s", port: 8080 }, protocol: "tcp" },
    ways: [[["a/s:8080"], "a/s server refused 400 bad-request/bad-request at protocol, by none"]],
  },
  {
    law: "what is no acceptable request is nobody's doing, whatever PeerAuthentication there is",
    mesh: CLOSED,
    ask: {
      from: { principal: "cluster.local/ns/a/sa/c" },
      to: { workload: "a/s", port: 8080 },
      path: "no-slash",
    },
    ways: [[["a/s:8080"], "a/s server refused 400 bad-request/bad-request at protocol, by none"]],
  },
  {
    law: "a gateway as the client: as if a route of it led there",
    mesh: meshOf(
      `${CLIENT}${SERVER}${gatewayPodText("a", "g")}${gatewayText("a", "g", { selector: { istio: "g" }, servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }] })}`,
    ),
    ask: { from: { workload: "a/g" }, to: toService },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/g gateway allowed 200 ok/routed at route, by none, to outbound|80||s.a.svc.cluster.local, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    fields: {},
  },
];

const AMBIENT = namespaceText("m", { "istio.io/dataplane-mode": "ambient" });
const ambientPod = (name: string, ip: string): string =>
  podText("m", name, { ip, ...PORTS }).replace('"security.istio.io/tlsMode":"istio"', '"x":"y"');
const MIXED = meshOf(
  `${AMBIENT}${ambientPod("c", "10.1.0.1")}${ambientPod("s", "10.1.0.2")}${serviceText("m", "s")}${serviceText("m", "empty")}${CLIENT}${SERVER}${BARE}${serviceText("a", "bare")}${ENTRY}
${entryText("a", "two", { hosts: ["two.example"], ports: [{ number: 80, name: "http", protocol: "HTTP" }], location: "MESH_INTERNAL", resolution: "STATIC", endpoints: [{ address: "10.7.7.7" }, { address: "10.1.0.2" }] })}`,
);
const far = { workload: "m/c" } as const;

const ZTUNNEL: readonly JourneyCase[] = [
  {
    law: "a client's ztunnel takes it to the service's pod by mutual TLS",
    mesh: MIXED,
    ask: { from: far, to: { service: "s", port: 80 } },
    ways: [
      [
        ["m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to s.m.svc.cluster.local; VirtualServices do not count for it"],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a client's ztunnel takes bytes the same way",
    mesh: MIXED,
    ask: { from: far, to: { service: "s", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["m/s:9000"],
        "m/c client allowed 0 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a client's ztunnel takes it to a pod by its address",
    mesh: MIXED,
    ask: { from: far, to: { host: "10.1.0.2", port: 8080 } },
    ways: [
      [
        ["m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to 10.1.0.2",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to 10.1.0.2; VirtualServices do not count for it"],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "its side alone",
    mesh: MIXED,
    ask: { from: far, to: { service: "s", port: 80 } },
    options: { clientOnly: true },
    ways: [[[], "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local"]],
  },
  {
    law: "ztunnel speaks in clear to a sidecar whose pod has no label for HBONE",
    mesh: MIXED,
    ask: { from: far, to: { service: "s.a", port: 80 } },
    ways: [
      [
        ["a/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.a.svc.cluster.local",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to s.a.svc.cluster.local; VirtualServices do not count for it"],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "ztunnel speaks in clear to a sidecar, of bytes too",
    mesh: MIXED,
    ask: { from: far, to: { service: "s.a", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["a/s:9000"],
        "m/c client allowed 0 ok/routed at client-route, by none, to s.a.svc.cluster.local",
        "a/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "ztunnel speaks in clear to a workload that has no proxy",
    mesh: MIXED,
    ask: { from: far, to: { service: "bare.a", port: 80 } },
    explained: [
      ["the client's ztunnel sends it to bare.a.svc.cluster.local; VirtualServices do not count for it"],
      [
        "allowed: no proxy stands before the workload, so nothing is checked",
        'its annotation says `sidecar.istio.io/inject: "false"`',
      ],
    ],
    ways: [
      [
        ["a/bare:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to bare.a.svc.cluster.local",
        "a/bare server allowed 200 ok/no-proxy at transport, by none",
      ],
    ],
  },
  {
    law: "ztunnel finds nobody behind a service that nothing serves",
    mesh: MIXED,
    ask: { from: far, to: { service: "empty", port: 80 } },
    ways: [
      [
        [],
        "m/c client allowed 200 ok/routed at client-route, by none, to empty.m.svc.cluster.local",
        "m/c client refused 0 no-healthy-upstream/no-endpoint at client-route, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to empty.m.svc.cluster.local; VirtualServices do not count for it"],
      ["nothing serves the destination"],
    ],
  },
  {
    law: "ztunnel passes on what is of no workload",
    mesh: MIXED,
    ask: { from: far, to: { host: "e.example", port: 80 } },
    ways: [[[], "m/c client allowed 200 passthrough/passthrough at client-route, by none"]],
    explained: [["the client's ztunnel passes on, as it is, what is of no workload of the mesh"]],
    fields: {},
  },
  {
    law: "ztunnel passes bytes on to what nobody registered",
    mesh: MIXED,
    ask: { from: far, to: { host: "no.example", port: 99 }, protocol: "tcp" },
    ways: [[[], "m/c client allowed 0 passthrough/passthrough at client-route, by none"]],
    explained: [["the client's ztunnel passes on, as it is, what is of no workload of the mesh"]],
  },
  {
    law: "of a ServiceEntry's endpoints one that no pod has is outside, and another a pod",
    mesh: MIXED,
    ask: { from: far, to: { host: "two.example", port: 80 } },
    ways: [
      [["10.7.7.7"], "m/c client allowed 200 ok/routed at client-route, by none, to two.example"],
      [
        ["m/s:80"],
        "m/c client allowed 200 ok/routed at client-route, by none, to two.example",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a sidecar speaks mutual TLS to a server behind ztunnel",
    mesh: MIXED,
    ask: { from: { workload: "a/c" }, to: { service: "s.m", port: 80 } },
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s.m:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.m.svc.cluster.local:80 takes the authority `s.m`",
        "the service's default route takes it",
        "to outbound|80||s.m.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/m/sa/s",
        "m/s: in ambient mode: HBONE to its ztunnel instead, of which no account is expected",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "in clear from outside ztunnel takes it where nothing is STRICT",
    mesh: MIXED,
    ask: { from: { ip: "203.0.113.1" }, to: { service: "s.m", port: 80 } },
    ways: [[["m/s:8080"], "m/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "the application's own TLS is bytes to ztunnel, of nobody",
    mesh: MIXED,
    ask: { from: { ip: "203.0.113.1" }, to: { service: "s.m", port: 443 }, protocol: "tls", sni: "s" },
    ways: [[["m/s:8443"], "m/s server allowed 0 ok/no-allow-policies at authorization, by none"]],
    explained: [["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"]],
  },
];

const WANTS_CLIENT = authorizationText("m", "p", {
  rules: [{ from: [{ source: { principals: ["cluster.local/ns/a/sa/c"] } }] }],
});
const ambientMesh = (...more: readonly string[]): ReturnType<typeof meshOf> =>
  meshOf(`${AMBIENT}${ambientPod("s", "10.1.0.2")}${serviceText("m", "s")}${CLIENT}${more.join("")}`);
const unknownAddress = (spec: object): ReturnType<typeof meshOf> =>
  meshOf(
    `${AMBIENT}${resourceText("apps/v1", "Deployment", "m", "s", { template: { metadata: { labels: { app: "s" } }, spec: { serviceAccountName: "s", containers: [{ name: "app", image: "app" }] } } })}${authorizationText("m", "p", spec)}`,
  );
const toFar = { workload: "m/s", port: 8080 } as const;
const known = { principal: "cluster.local/ns/a/sa/c", ip: "10.0.0.1" } as const;
const nameless = { principal: "cluster.local/ns/a/sa/c" } as const;

const ZTUNNEL_SERVER: readonly JourneyCase[] = [
  {
    law: "an ALLOW policy takes its own by identity",
    mesh: ambientMesh(WANTS_CLIENT),
    ask: { from: known, to: toFar },
    ways: [
      [
        ["m/s:8080"],
        "m/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0",
      ],
    ],
    explained: [
      [
        "allowed by a rule at ztunnel: AuthorizationPolicy m/p rule 0",
        "principals in [cluster.local/ns/a/sa/c]: came cluster.local/ns/a/sa/c",
      ],
    ],
  },
  {
    law: "an ALLOW policy refuses others, without an HTTP answer",
    mesh: ambientMesh(WANTS_CLIENT),
    ask: { from: { principal: "cluster.local/ns/x/sa/y", ip: "10.0.0.1" }, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "an ALLOW policy takes bytes",
    mesh: ambientMesh(WANTS_CLIENT),
    ask: { from: known, to: toFar, protocol: "tcp" },
    ways: [
      [["m/s:8080"], "m/s server allowed 0 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0"],
    ],
  },
  {
    law: "TLS of nobody's certificate is not taken for the identity that it claims",
    mesh: ambientMesh(WANTS_CLIENT),
    ask: { from: { ...known, tls: "simple" }, to: toFar, protocol: "tls" },
    ways: [[["m/s:8080"], "m/s server refused 0 rbac/no-allow-matched at authorization, by none"]],
  },
  {
    law: "plaintext is refused by PeerAuthentication",
    mesh: ambientMesh(peerText("m", "p", { mtls: { mode: "STRICT" } })),
    ask: { from: { principal: null, ip: "10.0.0.1" }, to: toFar },
    ways: [
      [["m/s:8080"], "m/s server refused 0 rbac/plaintext-refused at transport, by PeerAuthentication m/p"],
    ],
    explained: [
      ["denied by ztunnel: plaintext, and PeerAuthentication m/p requires mutual TLS on port 8080"],
    ],
  },
  {
    law: "an unknown source leaves open what asks for it: ipBlocks",
    mesh: unknownAddress({ rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }] }),
    ask: { from: nameless, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
    explained: [
      ["unknown: rules ask for an address that is not known (give from.ip, or a mesh with status.podIP)"],
    ],
  },
  {
    law: "an unknown source leaves open what asks for it: source.ip",
    mesh: unknownAddress({
      action: "DENY",
      rules: [{ when: [{ key: "source.ip", values: ["10.0.0.0/8"] }] }],
    }),
    ask: { from: nameless, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
  },
  {
    law: "an unknown destination leaves open what asks for it",
    mesh: unknownAddress({ rules: [{ when: [{ key: "destination.ip", values: ["10.0.0.0/8"] }] }] }),
    ask: { from: known, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
  },
  {
    law: "strict: what is written and istiod loses is asked as well, DENY",
    mesh: unknownAddress({
      selector: {},
      action: "DENY",
      rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }],
    }),
    ask: { from: nameless, to: toFar },
    options: { semantics: "strict" },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
  },
  {
    law: "strict: what is written and istiod loses is asked as well, ALLOW",
    mesh: unknownAddress({ selector: {}, rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }] }),
    ask: { from: nameless, to: toFar },
    options: { semantics: "strict" },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
  },
  {
    law: "istio: what istiod loses is not asked",
    mesh: unknownAddress({ selector: {}, rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }] }),
    ask: { from: nameless, to: toFar },
    ways: [[["m/s:8080"], "m/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "one rule of several that asks for an unknown address is enough",
    mesh: unknownAddress({
      rules: [
        { from: [{ source: { namespaces: ["a"] } }] },
        {
          from: [
            { source: { namespaces: ["b"] } },
            { source: { namespaces: ["c"], notIpBlocks: ["10.0.0.0/8"] } },
          ],
        },
      ],
    }),
    ask: { from: nameless, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 unknown/address-unknown at transport, by none"]],
  },
  {
    law: "a known source is judged although the destination is unknown",
    mesh: unknownAddress({ rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }] }),
    ask: { from: known, to: toFar },
    ways: [
      [
        ["m/s:8080"],
        "m/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0",
      ],
    ],
  },
  {
    law: "an unknown source leaves nothing open that does not ask for it",
    mesh: unknownAddress({ rules: [{ from: [{ source: { namespaces: ["a"] } }] }] }),
    ask: { from: nameless, to: toFar },
    ways: [
      [
        ["m/s:8080"],
        "m/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0",
      ],
    ],
  },
  {
    law: "a destination that is asked for is judged although the source is unknown",
    mesh: ambientMesh(
      authorizationText("m", "p", { rules: [{ when: [{ key: "destination.ip", values: ["10.1.0.2"] }] }] }),
    ),
    ask: { from: nameless, to: toFar },
    ways: [
      [
        ["m/s:8080"],
        "m/s server allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0",
      ],
    ],
  },
  {
    law: "a refused transport is refused whatever addresses are unknown",
    mesh: unknownAddress({ rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }] }),
    ask: { from: { principal: "other.domain/ns/a/sa/c" }, to: toFar },
    ways: [[["m/s:8080"], "m/s server refused 0 tls/foreign-trust-domain at transport, by none"]],
  },
];

const bound = (
  labels: Readonly<Record<string, string>>,
  of: "pod" | "service" | "namespace",
): ReturnType<typeof meshOf> =>
  meshOf(
    `${namespaceText("m", { "istio.io/dataplane-mode": "ambient", ...(of === "namespace" ? labels : {}) })}${podText("m", "s", { ip: "10.1.0.2", labels: of === "pod" ? labels : {} })}${resourceText("v1", "Service", "m", "s", { selector: { app: "s" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] }, of === "service" ? labels : {})}${CLIENT}`,
  );
const USES = { "istio.io/use-waypoint": "wp" };
const toBound = { from: { workload: "a/c" }, to: { service: "s.m", port: 80 } } as const;
const WAYPOINTS: readonly JourneyCase[] = [
  {
    law: "a sidecar sends past a waypoint of the pod",
    mesh: bound(USES, "pod"),
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "listener 0.0.0.0_80 (auto) takes s.m:80; the sidecar is told of everything exported to its namespace",
        "virtual host s.m.svc.cluster.local:80 takes the authority `s.m`",
        "the service's default route takes it",
        "to outbound|80||s.m.svc.cluster.local, 1 endpoint, TLS mtls, expecting spiffe://cluster.local/ns/m/sa/s",
        "m/s: in ambient mode: HBONE to its ztunnel instead, of which no account is expected",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
  },
  {
    law: "a sidecar sends past a waypoint of the service",
    mesh: bound(USES, "service"),
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a sidecar sends past a waypoint of the namespace",
    mesh: bound(USES, "namespace"),
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a waypoint of none is none",
    mesh: bound({ "istio.io/use-waypoint": "none" }, "pod"),
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a sidecar sends bytes past a waypoint",
    mesh: bound(USES, "namespace"),
    ask: { ...toBound, protocol: "tcp" },
    ways: [
      [
        ["PassthroughCluster at m/s:8080"],
        "a/c client allowed 0 passthrough/passthrough at client-route, by none, to PassthroughCluster plaintext",
        "m/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "the server's side alone is past any waypoint",
    mesh: bound(USES, "namespace"),
    ask: { from: { workload: "a/c" }, to: { workload: "m/s", port: 8080 } },
    ways: [[["m/s:8080"], "m/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "a waypoint of another namespace is not this one's",
    mesh: meshOf(
      `${AMBIENT}${ambientPod("s", "10.1.0.2")}${serviceText("m", "s")}${CLIENT}${namespaceText("z", USES)}${resourceText("v1", "Service", "z", "s", { selector: { app: "s" }, ports: [{ port: 80 }] }, USES)}`,
    ),
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
];

const OTHER_MODE: readonly JourneyCase[] = [
  {
    law: "in the other mode a sidecar's server is judged by ztunnel",
    mesh: meshOf(
      CLIENT +
        SERVER +
        authorizationText("a", "p", { rules: [{ to: [{ operation: { methods: ["GET"] } }] }] }),
    ),
    ask: { from: { workload: "a/c" }, to: { service: "s", port: 80 } },
    options: { otherMode: true },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server refused 0 rbac/no-allow-matched at authorization, by none",
      ],
    ],
  },
  {
    law: "in the other mode ztunnel's server is judged by a sidecar, as if its client were one's",
    mesh: MIXED,
    ask: { from: far, to: { service: "s", port: 80 } },
    options: { otherMode: true },
    ways: [
      [
        ["m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "in the other mode a server of gRPC behind ztunnel",
    mesh: meshOf(
      `${AMBIENT}${ambientPod("c", "10.1.0.1")}${ambientPod("s", "10.1.0.2")}${serviceText("m", "s")}${peerText("m", "p", { mtls: { mode: "PERMISSIVE" } })}`,
    ),
    ask: { from: far, to: { service: "s", port: 81 }, protocol: "grpc" },
    options: { otherMode: true },
    ways: [
      [
        ["m/s:8081"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "in the other mode a waypoint is none",
    mesh: bound(USES, "namespace"),
    ask: toBound,
    options: { otherMode: true },
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "in the other mode a client without a certificate stays one",
    mesh: MIXED,
    ask: { from: { ip: "203.0.113.1" }, to: { workload: "m/s", port: 8080 } },
    options: { otherMode: true },
    ways: [[["m/s:8080"], "m/s server allowed 200 ok/no-allow-policies at authorization, by none"]],
  },
  {
    law: "in the other mode TLS without a certificate gets no ALPN of the mesh",
    mesh: MIXED,
    ask: { from: { tls: "simple", ip: "203.0.113.1" }, to: { workload: "m/s", port: 8080 } },
    options: { otherMode: true },
    ways: [[["m/s:8080"], "m/s server refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "in the other mode an ALPN that the client has is kept",
    mesh: MIXED,
    ask: { from: { ...known, alpn: ["x"] }, to: { workload: "m/s", port: 8080 } },
    options: { otherMode: true },
    ways: [[["m/s:8080"], "m/s server refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "in the same mode a sidecar's server sees the client's ALPN, be it none",
    mesh: PLAIN,
    ask: { from: { ...known, alpn: [] }, to: { workload: "a/s", port: 8080 } },
    ways: [[["a/s:8080"], "a/s server refused 0 no-chain/no-chain at transport, by none"]],
  },
  {
    law: "in the other mode a workload without a proxy stays one",
    mesh: PLAIN,
    ask: { from: { workload: "a/c" }, to: { workload: "a/bare", port: 8080 } },
    options: { otherMode: true },
    ways: [[["a/bare:8080"], "a/bare server allowed 200 ok/no-proxy at transport, by none"]],
  },
];

const FIVE = entryText("a", "five", {
  hosts: ["five.example"],
  ports: [{ number: 80, name: "http", protocol: "HTTP" }],
  location: "MESH_EXTERNAL",
  resolution: "STATIC",
  endpoints: [{ address: "203.0.113.5" }],
});
const WAYPOINT = podText("m", "w", { ip: "10.1.0.9" }).replace(
  '"labels":{',
  '"labels":{"gateway.istio.io/managed":"istio.io-mesh-controller",',
);
const GATEWAY = `${gatewayPodText("m", "g", "10.1.0.8")}${serviceText("m", "g")}${gatewayText("m", "g", { selector: { istio: "g" }, servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }] })}`;
const BOUND_SIDECAR = meshOf(
  `${CLIENT}${podText("a", "s", { ip: "10.0.0.2", labels: USES })}${serviceText("a", "s")}`,
);
const BOUND_OTHER = meshOf(
  `${AMBIENT}${ambientPod("s", "10.1.0.2")}${serviceText("m", "s")}${ambientPod("o", "10.1.0.3")}${resourceText("v1", "Service", "m", "o", { selector: { app: "o" }, ports: [{ port: 80 }] }, USES)}${CLIENT}`,
);
const BY_LABEL = meshOf(
  `${podText("n", "s", { ip: "10.1.0.2", labels: { "istio.io/dataplane-mode": "ambient" } })}${serviceText("n", "s")}${CLIENT}`,
);

const MORE: readonly JourneyCase[] = [
  {
    law: "an endpoint outside is reached without a proxy",
    mesh: meshOf(BARE + FIVE),
    ask: { from: bare, to: { host: "five.example", port: 80 } },
    ways: [[[], "a/bare client allowed 200 passthrough/no-proxy at client-route, by none"]],
  },
  {
    law: "who speaks to a waypoint itself is not decided",
    mesh: meshOf(AMBIENT + WAYPOINT + CLIENT),
    ask: { from: { workload: "a/c" }, to: { workload: "m/w", port: 8080 } },
    ways: [[["m/w:8080"], "m/w server refused 403 unknown/waypoint-as-server at transport, by none"]],
    explained: [
      [
        "unknown: what a waypoint makes of who speaks to itself is not decided; ask about what it stands before",
      ],
    ],
  },
  {
    law: "who speaks to a waypoint itself is not decided, of bytes",
    mesh: meshOf(AMBIENT + WAYPOINT + CLIENT),
    ask: { from: { workload: "a/c" }, to: { workload: "m/w", port: 8080 }, protocol: "tcp" },
    ways: [[["m/w:8080"], "m/w server refused 0 unknown/waypoint-as-server at transport, by none"]],
  },
  {
    law: "ztunnel speaks in clear to a gateway, which decides by its own servers",
    mesh: meshOf(AMBIENT + ambientPod("c", "10.1.0.1") + GATEWAY),
    ask: { from: far, to: { service: "g", port: 80 } },
    ways: [
      [
        ["m/g:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to g.m.svc.cluster.local",
        "m/g gateway refused 404 no-route/no-route at route, by none",
      ],
    ],
  },
  {
    law: "in the other mode a sidecar's server has no waypoint",
    mesh: BOUND_SIDECAR,
    ask: { from: { workload: "a/c" }, to: { service: "s", port: 80 } },
    options: { otherMode: true },
    ways: [
      [
        ["outbound|80||s.a.svc.cluster.local at a/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.a.svc.cluster.local mtls, answers HTTP",
        "a/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a waypoint of another service is not this one's",
    mesh: BOUND_OTHER,
    ask: toBound,
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a sidecar sends past the other service's waypoint",
    mesh: BOUND_OTHER,
    ask: { from: { workload: "a/c" }, to: { service: "o.m", port: 80 } },
    ways: [
      [
        ["outbound|80||o.m.svc.cluster.local at m/o:80"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||o.m.svc.cluster.local hbone, answers HTTP",
        "m/o server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
  {
    law: "a namespace that nobody wrote has no waypoint",
    mesh: BY_LABEL,
    ask: { from: { workload: "a/c" }, to: { service: "s.n", port: 80 } },
    ways: [
      [
        ["outbound|80||s.n.svc.cluster.local at n/s:8080"],
        "a/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.n.svc.cluster.local hbone, answers HTTP",
        "n/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
  },
];

describe("clients past their own proxies, or without one", () => testJourneys(PAST_PROXY));
describe("a workload alone", () => testJourneys(ALONE));
describe("clients behind ztunnel, and their servers", () => testJourneys(ZTUNNEL));
describe("servers behind ztunnel", () => testJourneys(ZTUNNEL_SERVER));
describe("waypoints", () => testJourneys(WAYPOINTS));
describe("servers in the other mode", () => testJourneys(OTHER_MODE));
describe("waypoints, gateways and endpoints besides", () => testJourneys(MORE));
