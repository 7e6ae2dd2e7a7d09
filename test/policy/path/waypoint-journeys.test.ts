/** Ways by a waypoint, whole: each hop with its words. */
import { describe } from "node:test";
import type { Mesh } from "../../../src/index.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  ambientPodText,
  boundServiceText,
  fromClient,
  shopText,
  targetedText,
  toService,
  USES,
  waypointText,
} from "../waypoint/waypoint-mesh.ts";
import {
  gatewayPodText,
  gatewayText,
  type JourneyCase,
  namespaceText,
  podText,
  routeText,
  testJourneys,
} from "./journey-text.ts";

const GET_OK = targetedText({ rules: [{ to: [{ operation: { methods: ["GET"], paths: ["/ok"] } }] }] });
const withWaypoint = (options: Parameters<typeof waypointText>[0]): Mesh =>
  meshOf(shopText().replace(waypointText(), waypointText(options)));
const INGRESS = [
  gatewayPodText("g", "g", "10.3.0.1"),
  gatewayText("g", "g", {
    selector: { istio: "g" },
    servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
  }),
  routeText("m", "in", {
    hosts: ["shop.example"],
    gateways: ["g/g"],
    http: [{ route: [{ destination: { host: "s", port: { number: 80 } } }] }],
  }),
].join("");
const V2 =
  ambientPodText("m", "t", "10.1.0.3") +
  boundServiceText({}, { selector: { app: "t" }, clusterIP: "10.96.0.3" }, "m", "t");
const SPLIT = routeText("m", "r", {
  hosts: ["s.m.svc.cluster.local"],
  http: [
    {
      route: [
        { destination: { host: "s.m.svc.cluster.local", port: { number: 80 } }, weight: 90 },
        { destination: { host: "t.m.svc.cluster.local", port: { number: 80 } }, weight: 10 },
      ],
    },
  ],
});
const SIDECAR = namespaceText("k", { "istio-injection": "enabled" }) + podText("k", "c", { ip: "10.2.0.1" });
const MESH = meshOf(shopText());
const JUDGED = meshOf(shopText(USES, GET_OK));
const ALL = withWaypoint({ labels: { "istio.io/waypoint-for": "all" } });
const INGRESS_BY = meshOf(shopText({ ...USES, "istio.io/ingress-use-waypoint": "true" }, INGRESS));
const INGRESS_PAST = meshOf(shopText(USES, INGRESS));
const VIA = { from: { ip: "203.0.113.9" }, to: { host: "shop.example", port: 80 }, via: "g/g" } as const;

const CASES: readonly JourneyCase[] = [
  {
    law: "HTTP goes by the service's waypoint",
    mesh: MESH,
    ask: { from: fromClient, to: toService, path: "/ok" },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:80, through HBONE"],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|80|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "bytes go by the service's waypoint",
    mesh: MESH,
    ask: { from: fromClient, to: { service: "s.m", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:9000",
          "inbound-vip|9000|tcp|s.m.svc.cluster.local at m/s:9000",
        ],
        "m/c client allowed 0 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:9000",
        "m/wp waypoint allowed 0 ok/no-allow-policies at authorization, by none, to inbound-vip|9000|tcp|s.m.svc.cluster.local",
        "m/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:9000, through HBONE"],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|9000|tcp|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "gRPC goes by the service's waypoint, its protocol detected",
    mesh: MESH,
    ask: { from: fromClient, to: { service: "s.m", port: 90 }, protocol: "grpc" },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:90",
          "inbound-vip|90|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:90",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|90|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:90, through HBONE"],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|90|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "so does what is sent to a service's own address",
    mesh: MESH,
    ask: { from: fromClient, to: { host: "10.96.0.1", port: 80 } },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:80, through HBONE"],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|80|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "the rule that allows is told",
    mesh: JUDGED,
    ask: { from: fromClient, to: toService, path: "/ok" },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint allowed 200 ok/allow-matched at authorization, by AuthorizationPolicy m/p #0, to inbound-vip|80|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:80, through HBONE"],
      [
        "allowed by a rule: AuthorizationPolicy m/p rule 0",
        "methods in [GET]: came `GET`",
        "paths in [/ok]: came `/ok`",
        "its route sends it to inbound-vip|80|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "of a refusal the nearest rule is told",
    mesh: JUDGED,
    ask: { from: fromClient, to: toService, method: "PUT", path: "/ok" },
    ways: [
      [
        ["waypoint m/wp of s.m.svc.cluster.local:80"],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint refused 403 rbac/no-allow-matched at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:80, through HBONE"],
      [
        "denied: ALLOW policies apply to the workload and none of their rules matches",
        "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy m/p",
        "it wants methods in [GET]; came `PUT`",
      ],
    ],
    fields: {},
  },
  {
    law: "of bytes that are refused, that the rule is about HTTP",
    mesh: JUDGED,
    ask: { from: fromClient, to: { service: "s.m", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["waypoint m/wp of s.m.svc.cluster.local:9000"],
        "m/c client allowed 0 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:9000",
        "m/wp waypoint refused 0 rbac/no-allow-matched at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:9000, through HBONE"],
      [
        "denied: ALLOW policies apply to the workload and none of their rules matches",
        "the ALLOW policies that apply have no rule that could match here",
        "rule 0 of AuthorizationPolicy m/p counts for nothing on a port that is decided as TCP: it asks for HTTP, or has a value that cannot be compiled",
      ],
    ],
    fields: {},
  },
  {
    law: "a port that the service does not declare",
    mesh: MESH,
    ask: { from: fromClient, to: { service: "s.m", port: 8080 } },
    ways: [
      [
        ["waypoint m/wp of s.m.svc.cluster.local:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:8080",
        "m/wp waypoint refused 0 no-chain/no-chain at transport, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:8080, through HBONE"],
      ["refused: s.m.svc.cluster.local declares no port 8080, so that its waypoint takes nothing there"],
    ],
    fields: {},
  },
  {
    law: "what is sent to a pod's own address goes by the pod's waypoint",
    mesh: ALL,
    ask: { from: fromClient, to: { host: "10.1.0.2", port: 8080 } },
    ways: [
      [
        ["waypoint m/wp of m/s:8080", "m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of m/s:8080",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to m/s:8080, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of m/s:8080, through HBONE"],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "bytes to a pod's own address",
    mesh: ALL,
    ask: { from: fromClient, to: { host: "10.1.0.2", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["waypoint m/wp of m/s:9000", "m/s:9000"],
        "m/c client allowed 0 ok/routed at client-route, by none, to waypoint m/wp of m/s:9000",
        "m/wp waypoint allowed 0 ok/no-allow-policies at authorization, by none, to m/s:9000",
        "m/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of m/s:9000, through HBONE"],
      ["allowed: no DENY policy matches and no ALLOW policy applies to the workload"],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "by a gateway and a waypoint",
    mesh: INGRESS_BY,
    ask: VIA,
    ways: [
      [
        [
          "g/g:80",
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "g/g gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.m.svc.cluster.local, answers HTTP",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService m/in http route 0 sends it to outbound|80||s.m.svc.cluster.local",
      ],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|80|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: { cluster: "outbound|80||s.m.svc.cluster.local", tls: "hbone", endpoints: ["10.1.0.2:8080"] },
  },
  {
    law: "by a gateway past the waypoint, which is told",
    mesh: INGRESS_PAST,
    ask: VIA,
    ways: [
      [
        ["g/g:80", "outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "g/g gateway allowed 200 ok/no-allow-policies at authorization, by none, to outbound|80||s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService m/in http route 0 sends it to outbound|80||s.m.svc.cluster.local",
        "the waypoint of s.m.svc.cluster.local is passed by: what it enforces is not asked, ztunnel alone decides",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: { cluster: "outbound|80||s.m.svc.cluster.local", tls: "hbone", endpoints: ["10.1.0.2:8080"] },
  },
  {
    law: "a gateway as the client",
    mesh: INGRESS_BY,
    ask: { from: { workload: "g/g" }, to: toService },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "g/g gateway allowed 200 ok/routed at route, by none, to outbound|80||s.m.svc.cluster.local, answers HTTP",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "were a route of this gateway to lead to s.m.svc.cluster.local:80, this would come of it; whether one does is asked with `via`",
        "it sends it to outbound|80||s.m.svc.cluster.local",
      ],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "its route sends it to inbound-vip|80|http|s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a gateway as the client, of bytes",
    mesh: INGRESS_PAST,
    ask: { from: { workload: "g/g" }, to: { service: "s.m", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["outbound|9000||s.m.svc.cluster.local at m/s:9000"],
        "g/g gateway allowed 0 ok/routed at route, by none, to outbound|9000||s.m.svc.cluster.local",
        "m/s server allowed 0 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "were a route of this gateway to lead to s.m.svc.cluster.local:9000, this would come of it; whether one does is asked with `via`",
        "it sends it to outbound|9000||s.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a gateway as the client of a port that there is not",
    mesh: INGRESS_PAST,
    ask: { from: { workload: "g/g" }, to: { service: "s.m", port: 81 } },
    ways: [[[], "g/g gateway refused 0 no-cluster/no-cluster at route, by none"]],
    explained: [
      [
        "were a route of this gateway to lead to s.m.svc.cluster.local:81, this would come of it; whether one does is asked with `via`",
        "it has no outbound|81||s.m.svc.cluster.local that it could send to",
      ],
    ],
    fields: {},
  },
  {
    law: "a gateway as the client of nobody of the mesh",
    mesh: INGRESS_PAST,
    ask: { from: { workload: "g/g" }, to: { host: "no.example", port: 81 } },
    ways: [[[], "g/g client refused 403 unknown/gateway-as-client at client-route, by none"]],
    explained: [
      [
        "unknown: a gateway sends only where its routes lead; ask about a service, or from outside with `via`",
      ],
    ],
    fields: {},
  },
  {
    law: "a waypoint as the client",
    mesh: MESH,
    ask: { from: { workload: "m/wp" }, to: toService },
    ways: [[[], "m/wp client refused 403 unknown/waypoint-as-client at client-route, by none"]],
    explained: [
      [
        "unknown: a waypoint has no application whose requests could be asked about; ask with one of its clients",
      ],
    ],
    fields: {},
  },
  {
    law: "a waypoint of another class",
    mesh: withWaypoint({ className: "other" }),
    ask: { from: fromClient, to: toService },
    ways: [
      [
        ["waypoint of s.m.svc.cluster.local:80"],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint of s.m.svc.cluster.local:80",
        "m/c waypoint refused 403 unknown/waypoint-unknown at transport, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint of s.m.svc.cluster.local:80, through HBONE"],
      ["unknown: waypoint m/wp is of class `other`, whose proxies are not Istio's own waypoints"],
    ],
    fields: {},
  },
  {
    law: "a waypoint of another class, of bytes",
    mesh: withWaypoint({ className: "other" }),
    ask: { from: fromClient, to: { service: "s.m", port: 9000 }, protocol: "tcp" },
    ways: [
      [
        ["waypoint of s.m.svc.cluster.local:9000"],
        "m/c client allowed 0 ok/routed at client-route, by none, to waypoint of s.m.svc.cluster.local:9000",
        "m/c waypoint refused 0 unknown/waypoint-unknown at transport, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint of s.m.svc.cluster.local:9000, through HBONE"],
      ["unknown: waypoint m/wp is of class `other`, whose proxies are not Istio's own waypoints"],
    ],
    fields: {},
  },
  {
    law: "a waypoint that is not for services",
    mesh: withWaypoint({ labels: { "istio.io/waypoint-for": "workload" } }),
    ask: { from: fromClient, to: toService },
    ways: [
      [
        ["m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "the client's ztunnel sends it to s.m.svc.cluster.local; VirtualServices do not count for it",
        "waypoint m/wp is for traffic to workloads, not to services: Istio sends past it",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a waypoint that is for nobody",
    mesh: withWaypoint({ labels: { "istio.io/waypoint-for": "none" } }),
    ask: { from: fromClient, to: toService },
    ways: [
      [
        ["m/s:8080"],
        "m/c client allowed 200 ok/routed at client-route, by none, to s.m.svc.cluster.local",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      [
        "the client's ztunnel sends it to s.m.svc.cluster.local; VirtualServices do not count for it",
        "waypoint m/wp is for traffic to nobody, not to services: Istio sends past it",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a waypoint's weighted route",
    mesh: meshOf(shopText(USES, V2 + SPLIT)),
    ask: { from: fromClient, to: toService },
    ways: [
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|s.m.svc.cluster.local at m/s:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, inbound-vip|80|http|t.m.svc.cluster.local, answers HTTP",
        "m/s server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
      [
        [
          "waypoint m/wp of s.m.svc.cluster.local:80",
          "inbound-vip|80|http|t.m.svc.cluster.local at m/t:8080",
        ],
        "m/c client allowed 200 ok/routed at client-route, by none, to waypoint m/wp of s.m.svc.cluster.local:80",
        "m/wp waypoint allowed 200 ok/no-allow-policies at authorization, by none, to inbound-vip|80|http|s.m.svc.cluster.local, inbound-vip|80|http|t.m.svc.cluster.local, answers HTTP",
        "m/t server allowed 200 ok/no-allow-policies at authorization, by none",
      ],
    ],
    explained: [
      ["the client's ztunnel sends it to waypoint m/wp of s.m.svc.cluster.local:80, through HBONE"],
      [
        "allowed: no DENY policy matches and no ALLOW policy applies to the workload",
        "VirtualService m/r http route 0 sends it to outbound|80||s.m.svc.cluster.local, outbound|80||t.m.svc.cluster.local",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: {},
  },
  {
    law: "a sidecar sends past it, which is told",
    mesh: meshOf(shopText(USES, SIDECAR)),
    ask: { from: { workload: "k/c" }, to: toService },
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "k/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
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
        "the waypoint of s.m.svc.cluster.local is passed by: what it enforces is not asked, ztunnel alone decides",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: { cluster: "outbound|80||s.m.svc.cluster.local", tls: "hbone", endpoints: ["10.1.0.2:8080"] },
  },
  {
    law: "a sidecar's service that names a waypoint which is not there",
    mesh: meshOf(shopText({ "istio.io/use-waypoint": "gone" }, SIDECAR)),
    ask: { from: { workload: "k/c" }, to: toService },
    ways: [
      [
        ["outbound|80||s.m.svc.cluster.local at m/s:8080"],
        "k/c client allowed 200 ok/routed at client-route, by none, to outbound|80||s.m.svc.cluster.local hbone, answers HTTP",
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
        "waypoint m/gone is not there, or not ready: Istio sends past it",
      ],
      ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
    ],
    fields: { cluster: "outbound|80||s.m.svc.cluster.local", tls: "hbone", endpoints: ["10.1.0.2:8080"] },
  },
];

describe("ways by a waypoint", () => testJourneys(CASES));
