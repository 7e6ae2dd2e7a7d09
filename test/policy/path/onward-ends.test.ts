/** What reaches whom: the connection that a client's proxy makes, with every field of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/index.ts";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import { clientHop } from "../../../src/policy/path/client-hop.ts";
import { onwardEnds } from "../../../src/policy/path/onward-ends.ts";
import { placesOf } from "../../../src/policy/path/places.ts";
import { authorityOf, flightOf, senderOf } from "../../../src/policy/path/read-access.ts";
import { meshOf, workloadOf } from "../outbound/mesh-of.ts";
import {
  barePodText,
  contextOf,
  destinationText,
  entryText,
  podText,
  resourceText,
  routeText,
  serviceText,
} from "./journey-text.ts";

const PORTS = { ports: [8080, 8081, 9000, 8443] };
const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const PLACED = podText("a", "s", { ip: "10.0.0.2", ...PORTS });
const TEMPLATE = podText("a", "s", PORTS);
const SERVICE = serviceText("a", "s");
const HIDE = resourceText("networking.istio.io/v1", "Sidecar", "a", "narrow", {
  egress: [{ hosts: ["b/*"] }],
});

function rule(policy: object): string {
  return destinationText("a", "d", { host: "s", trafficPolicy: policy });
}

/** Where the client's proxy sends it: each end with the whole connection, the workload by its key. */
function ends(mesh: Mesh, more: Partial<AccessRequest>): readonly unknown[] {
  const request: AccessRequest = { from: { workload: "a/c" }, to: { service: "s", port: 80 }, ...more };
  const client = workloadOf(mesh, "a/c");
  const flight = flightOf(request, authorityOf(request));
  const { service, host, ip, port } = request.to;
  const name = service ?? host;
  const dialled = {
    port,
    ...(ip === undefined ? {} : { ip }),
    ...(name === undefined ? {} : { host: name }),
  };
  const { onward } = clientHop(contextOf(mesh), flight, client, senderOf(request, client), dialled);
  assert.ok(onward !== undefined);
  return onwardEnds(mesh, onward).map((end) => {
    if (end.kind === "refused") return { kind: end.kind, way: end.way, cause: end.step.cause };
    if (end.kind === "outside") return end;
    const { workload, ...arrival } = end.arrival;
    return { kind: end.kind, way: end.way, ...arrival, to: workload.key };
  });
}

const way = (port: number, at: string): string => `outbound|${port}||s.a.svc.cluster.local at a/s:${at}`;
const sni = (port: number): string => `outbound_.${port}_._.s.a.svc.cluster.local`;
const H1 = ["istio-http/1.1", "istio", "http/1.1"];
const H2 = ["istio-h2", "istio", "h2"];
const BYTES = ["istio-peer-exchange", "istio"];
const ME = "cluster.local/ns/a/sa/c";
const mutual = {
  kind: "workload",
  tls: "mtls",
  principal: ME,
  sourceIp: "10.0.0.1",
  destinationIp: "10.0.0.2",
  to: "a/s",
};
const clear = {
  kind: "workload",
  tls: "plaintext",
  principal: null,
  sourceIp: "10.0.0.1",
  destinationIp: "10.0.0.2",
  alpn: [],
  to: "a/s",
};
const own = { ...clear, tls: "simple", alpn: ["h2", "http/1.1"] };

describe("the connection that reaches a workload", () => {
  const plain = CLIENT + PLACED + SERVICE;
  const cases: readonly (readonly [
    law: string,
    mesh: string,
    request: Partial<AccessRequest>,
    ends: readonly object[],
  ])[] = [
    ["HTTP/1.1", plain, {}, [{ ...mutual, way: way(80, "8080"), port: 8080, alpn: H1, sni: sni(80) }]],
    [
      "gRPC",
      plain,
      { to: { service: "s", port: 81 }, protocol: "grpc" },
      [{ ...mutual, way: way(81, "8081"), port: 8081, alpn: H2, sni: sni(81) }],
    ],
    [
      "gRPC at a port of HTTP/1.1",
      plain,
      { protocol: "grpc" },
      [{ ...mutual, way: way(80, "8080"), port: 8080, alpn: H2, sni: sni(80) }],
    ],
    [
      "HTTP/1.1 to a port of HTTP/2",
      plain,
      { to: { service: "s", port: 81 } },
      [{ ...mutual, way: way(81, "8081"), port: 8081, alpn: H2, sni: sni(81) }],
    ],
    [
      "HTTP/1.1 that a rule upgrades",
      plain + rule({ connectionPool: { http: { h2UpgradePolicy: "UPGRADE" } } }),
      {},
      [{ ...mutual, way: way(80, "8080"), port: 8080, alpn: H2, sni: sni(80) }],
    ],
    [
      "bytes",
      plain,
      { to: { service: "s", port: 9000 }, protocol: "tcp" },
      [{ ...mutual, way: way(9000, "9000"), port: 9000, alpn: BYTES, sni: sni(9000) }],
    ],
    [
      "HTTP at a TCP port",
      plain,
      { to: { service: "s", port: 9000 } },
      [{ ...mutual, way: way(9000, "9000"), port: 9000, alpn: BYTES, sni: sni(9000) }],
    ],
    [
      "TLS inside",
      plain,
      { to: { service: "s", port: 443 }, protocol: "tls", sni: "n" },
      [{ ...mutual, way: way(443, "8443"), port: 8443, alpn: BYTES, sni: sni(443) }],
    ],
    [
      "in clear by rule",
      plain + rule({ tls: { mode: "DISABLE" } }),
      {},
      [{ ...clear, way: way(80, "8080"), port: 8080 }],
    ],
    [
      "its own TLS, in clear by rule",
      plain + rule({ tls: { mode: "DISABLE" } }),
      { to: { service: "s", port: 443 }, protocol: "tls", sni: "n" },
      [{ ...own, way: way(443, "8443"), port: 8443, sni: "n" }],
    ],
    [
      "its own TLS without a name",
      plain + rule({ tls: { mode: "DISABLE" } }),
      { to: { service: "s", port: 443 }, protocol: "tls" },
      [{ ...own, way: way(443, "8443"), port: 8443 }],
    ],
    [
      "bytes in clear have no name, whatever is said",
      plain + rule({ tls: { mode: "DISABLE" } }),
      { to: { service: "s", port: 9000 }, protocol: "tcp", sni: "n" },
      [{ ...clear, way: way(9000, "9000"), port: 9000 }],
    ],
    [
      "TLS without a certificate",
      plain + rule({ tls: { mode: "SIMPLE", sni: "n.example" } }),
      {},
      [{ ...clear, tls: "simple", way: way(80, "8080"), port: 8080, sni: "n.example" }],
    ],
    [
      "TLS without a certificate or a name",
      plain + rule({ tls: { mode: "SIMPLE" } }),
      { to: { service: "s", port: 9000 }, protocol: "tcp" },
      [{ ...clear, tls: "simple", way: way(9000, "9000"), port: 9000 }],
    ],
    [
      "of a template the address is not known",
      CLIENT + TEMPLATE + SERVICE,
      {},
      [{ ...mutual, way: way(80, "8080"), port: 8080, destinationIp: "", alpn: H1, sni: sni(80) }],
    ],
    [
      "by an address that is dialled, unknown to the proxy",
      plain,
      { to: { ip: "10.0.0.2", host: "x", port: 9000 }, protocol: "tcp" },
      [{ ...clear, way: "PassthroughCluster at a/s:9000", port: 9000 }],
    ],
    [
      "by a service that is hidden from it, its own TLS",
      plain + HIDE,
      { to: { service: "s", port: 443 }, protocol: "tls", sni: "n" },
      [{ ...own, way: "PassthroughCluster at a/s:8443", port: 8443, sni: "n" }],
    ],
    [
      "by a service that is hidden from it, a template's",
      CLIENT + TEMPLATE + SERVICE + HIDE,
      {},
      [{ ...clear, way: "PassthroughCluster at a/s:8080", port: 8080, destinationIp: "" }],
    ],
    [
      "replicas of two templates on one port",
      `${CLIENT}${TEMPLATE}${podText("a", "t", { labels: { app: "s" } })}${SERVICE}`,
      {},
      [
        { ...mutual, way: way(80, "8080"), port: 8080, destinationIp: "", alpn: H1, sni: sni(80) },
        {
          ...mutual,
          way: way(80, "8080").replace("a/s:", "a/t:"),
          to: "a/t",
          port: 8080,
          destinationIp: "",
          alpn: H1,
          sni: sni(80),
        },
      ],
    ],
    [
      "a pod by two addresses of one ServiceEntry is reached once",
      `${CLIENT}${PLACED}${entryText("a", "e", { hosts: ["e.example"], location: "MESH_INTERNAL", resolution: "STATIC", ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 8080 }], endpoints: [{ address: "10.0.0.2" }, { address: "10.0.0.2" }, { address: "10.0.0.2", ports: { http: 8081 } }, { address: "10.9.9.9" }] })}`,
      { to: { host: "e.example", port: 80 } },
      [
        { ...clear, way: "outbound|80||e.example at a/s:8080", port: 8080 },
        { ...clear, way: "outbound|80||e.example at a/s:8081", port: 8081 },
        { kind: "outside", way: "outbound|80||e.example", place: { ip: "10.9.9.9", port: 8080 } },
      ],
    ],
    [
      "PASSTHROUGH of pods of which one has no proxy is in clear",
      `${CLIENT}${PLACED}${barePodText("a", "b", { ip: "10.0.0.3" }).replace('"app":"b"', '"app":"s"')}${SERVICE}${rule({ loadBalancer: { simple: "PASSTHROUGH" } })}`,
      {},
      [
        { ...clear, way: way(80, "8080"), port: 8080 },
        {
          ...clear,
          way: way(80, "8080").replace("a/s:", "a/b:"),
          to: "a/b",
          port: 8080,
          destinationIp: "10.0.0.3",
        },
      ],
    ],
  ];
  for (const [law, mesh, request, expected] of cases)
    test(law, () => assert.deepEqual(ends(meshOf(mesh), request), expected));
});

describe("identities that are expected of a server", () => {
  const cases: readonly (readonly [law: string, tls: object, cause: string | undefined])[] = [
    ["its own", { subjectAltNames: ["spiffe://cluster.local/ns/a/sa/s"] }, undefined],
    ["another's", { subjectAltNames: ["spiffe://cluster.local/ns/a/sa/x"] }, "server-identity-refused"],
    ["none: its service's", {}, undefined],
    ["an empty list: its service's", { subjectAltNames: [] }, undefined],
  ];
  for (const [law, tls, cause] of cases)
    test(law, () => {
      const mesh = meshOf(CLIENT + PLACED + SERVICE + rule({ tls: { mode: "ISTIO_MUTUAL", ...tls } }));
      const [end] = ends(mesh, {}) as { readonly kind: string; readonly cause?: string }[];
      assert.deepEqual([end?.kind, end?.cause], [cause === undefined ? "workload" : "refused", cause]);
    });
});

describe("a refusal of the client's proxy is an answer only where it reads HTTP", () => {
  const other = rule({ tls: { mode: "ISTIO_MUTUAL", subjectAltNames: ["x"] } });
  for (const [law, port, protocol, code] of [
    ["HTTP", 80, "http", 503],
    ["HTTP at a TCP port", 9000, "http", 0],
    ["bytes", 9000, "tcp", 0],
  ] as const)
    test(law, () => {
      const mesh = meshOf(CLIENT + PLACED + SERVICE + other);
      const request: AccessRequest = { from: { workload: "a/c" }, to: { service: "s", port }, protocol };
      const client = workloadOf(mesh, "a/c");
      const { onward } = clientHop(
        contextOf(mesh),
        flightOf(request, "s"),
        client,
        senderOf(request, client),
        { host: "s", port },
      );
      assert.ok(onward !== undefined);
      const [end] = onwardEnds(mesh, onward);
      assert.ok(end?.kind === "refused");
      assert.deepEqual([end.step.code, end.step.answersHttp], [code, code === 503]);
    });
});

describe("the workloads that a dialled name or address stands for", () => {
  const mesh = meshOf(
    `${PLACED}${SERVICE}${serviceText("a", "empty")}${serviceText("a", "alone", { clusterIP: "None" })}${resourceText("v1", "Service", "a", "virtual", { clusterIP: "10.96.0.1", selector: { app: "s" }, ports: [{ port: 80, targetPort: 8080 }] })}${serviceText("a", "headless", { clusterIP: "None", selector: { app: "s" } })}
${entryText("a", "e", { hosts: ["e.example"], location: "MESH_INTERNAL", resolution: "NONE", ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 8080 }], workloadSelector: { labels: { app: "s" } } })}
${entryText("a", "m", { hosts: ["m.example"], location: "MESH_EXTERNAL", resolution: "STATIC", ports: [{ number: 80, name: "http", protocol: "HTTP" }], endpoints: [{ address: "10.0.0.2", ports: { http: 8081 } }, { address: "10.9.9.9" }] })}`,
  );
  const service = (hostname: string) => mesh.services.find((known) => known.hostname === hostname);
  const told = (dialled: Parameters<typeof placesOf>[1], hostname?: string): unknown =>
    placesOf(mesh, dialled, hostname === undefined ? undefined : service(hostname))?.map(
      ({ workload, port, address }) => [workload?.key, port, address],
    ) ?? null;

  const cases: readonly (readonly [
    law: string,
    dialled: Parameters<typeof placesOf>[1],
    hostname: string | undefined,
    places: unknown,
  ])[] = [
    ["a pod's address, at the very port", { ip: "10.0.0.2", port: 5 }, undefined, [["a/s", 5, "10.0.0.2"]]],
    ["a pod's address as a name", { host: "10.0.0.2", port: 5 }, undefined, [["a/s", 5, "10.0.0.2"]]],
    [
      "a pod's address before the service",
      { ip: "10.0.0.2", port: 80 },
      "empty.a.svc.cluster.local",
      [["a/s", 80, "10.0.0.2"]],
    ],
    [
      "a service's pods by its port",
      { host: "s", port: 80 },
      "s.a.svc.cluster.local",
      [["a/s", 8080, "10.0.0.2"]],
    ],
    [
      "a service's pods by its own address",
      { ip: "10.96.0.1", port: 80 },
      undefined,
      [["a/s", 8080, "10.0.0.2"]],
    ],
    [
      "a headless service's pods at the very port",
      { host: "headless", port: 80 },
      "headless.a.svc.cluster.local",
      [["a/s", 80, "10.0.0.2"]],
    ],
    [
      "a ServiceEntry's pods at the very port, without resolution",
      { host: "e.example", port: 80 },
      "e.example",
      [["a/s", 80, "10.0.0.2"]],
    ],
    [
      "a ServiceEntry's endpoints at their own ports",
      { host: "m.example", port: 80 },
      "m.example",
      [
        ["a/s", 8081, "10.0.0.2"],
        [undefined, 80, "10.9.9.9"],
      ],
    ],
    [
      "nobody of a headless service without pods",
      { host: "alone", port: 80 },
      "alone.a.svc.cluster.local",
      [],
    ],
    ["nobody by another port", { host: "s", port: 81_000 }, "s.a.svc.cluster.local", []],
    ["nobody where nothing serves it", { host: "empty", port: 80 }, "empty.a.svc.cluster.local", []],
    [
      "somebody outside, by an unknown port of an external host",
      { host: "m.example", port: 81 },
      "m.example",
      null,
    ],
    ["somebody outside, by an address of nobody", { ip: "10.7.7.7", port: 80 }, undefined, null],
    ["somebody outside, by no address at all", { port: 80 }, undefined, null],
  ];
  for (const [law, dialled, hostname, places] of cases)
    test(law, () => assert.deepEqual(told(dialled, hostname), places));
});

test("destinations of weight 0 are no ways, wherever they stand", () => {
  const to = (host: string, weight: number): object => ({
    destination: { host, port: { number: 80 } },
    weight,
  });
  const mesh = meshOf(
    `${CLIENT}${PLACED}${SERVICE}${podText("a", "z")}${serviceText("a", "z")}${routeText("a", "v", { hosts: ["s"], http: [{ route: [to("z", 0), to("s", 50), to("s", 50)] }] })}`,
  );
  assert.deepEqual(
    (ends(mesh, {}) as { readonly way: string }[]).map((end) => end.way),
    [way(80, "8080"), way(80, "8080")],
  );
});
