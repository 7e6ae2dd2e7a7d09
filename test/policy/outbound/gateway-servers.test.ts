/** https://istio.io/latest/docs/reference/config/networking/gateway/#Server */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  covers,
  hostsFor,
  type MergedServer,
  mergeServers,
} from "../../../src/policy/outbound/gateway-servers.ts";
import type { GatewayServer } from "../../../src/policy/outbound/types.ts";
import { gateway, gatewayMesh } from "./gateway-fixture.ts";
import { workloadOf } from "./mesh-of.ts";

type Taken = Omit<MergedServer, "locate">;

function serversOf(yaml: string, key = "edge/gw"): Record<number, readonly Taken[]> {
  const mesh = gatewayMesh(yaml);
  const ports = [...mergeServers(mesh, workloadOf(mesh, key))];
  return Object.fromEntries(
    ports.map(([port, servers]) => [port, servers.map(({ locate: _place, ...server }) => server)]),
  );
}

/** Which of the servers that are written were taken, by the pod's port. */
function takenOf(servers: string): Record<number, readonly number[]> {
  const ports = Object.entries(serversOf(gateway(servers)));
  return Object.fromEntries(ports.map(([port, taken]) => [port, taken.map(({ server }) => server.index)]));
}

function tlsOf(tls: string): GatewayServer["tls"] {
  const ports = serversOf(
    gateway(`[{port: {number: 443, name: s, protocol: HTTPS}, hosts: [a], tls: ${tls}}]`),
  );
  return ports[8443]?.[0]?.server.tls;
}

describe("a server", () => {
  test("stands whole at the pod's port, with the hosts' scopes apart from their names", () => {
    const server =
      "{name: s, port: {number: 80, name: http, protocol: HTTP}, hosts: [A.com, ./b, '*/c', foo/D, a.com]}";
    assert.deepEqual(serversOf(gateway(`[${server}]`)), {
      8080: [
        {
          server: {
            gateway: "Gateway edge/front",
            index: 0,
            name: "s",
            port: 80,
            protocol: "http",
            hosts: ["a.com", "b", "c", "d"],
          },
          gatewayName: "edge/front",
          scopedHosts: ["a.com", "edge/b", "c", "foo/d", "a.com"],
          kind: "http",
        },
      ],
    });
    const bare = serversOf(gateway("[{port: {number: 81, protocol: TCP, name: t}}]", "foo"));
    assert.deepEqual(bare, {
      81: [
        {
          server: { gateway: "Gateway foo/front", index: 0, port: 81, protocol: "tcp", hosts: [] },
          gatewayName: "foo/front",
          scopedHosts: [],
          kind: "tcp",
        },
      ],
    });
  });

  test("says where it is written", () => {
    const mesh = gatewayMesh(gateway("[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a]}]"));
    const asked: unknown[] = [];
    const located = {
      ...mesh,
      gateways: mesh.gateways.map((resource) => ({
        ...resource,
        locate: (path: readonly (string | number)[]) => {
          asked.push(path);
          return resource.locate(path);
        },
      })),
    };
    mergeServers(located, workloadOf(mesh, "edge/gw")).get(8080)?.[0]?.locate();
    assert.deepEqual(asked, [["spec", "servers", 0, "tls"]]);
  });

  const KINDS: readonly [protocol: string, tls: string | undefined, protocolOf: string, kind: string][] = [
    ["HTTP", undefined, "http", "http"],
    ["HTTP2", undefined, "http", "http"],
    ["GRPC", undefined, "http", "http"],
    ["TCP", undefined, "tcp", "tcp"],
    ["MONGO", undefined, "tcp", "tcp"],
    ["HTTPS", undefined, "https", "tcp"],
    ["HTTP", "{httpsRedirect: true}", "http", "http"],
    ["HTTPS", "{mode: SIMPLE}", "https", "https"],
    ["HTTPS", "{mode: ISTIO_MUTUAL}", "https", "https"],
    ["TLS", "{mode: MUTUAL}", "tls", "terminated"],
    ["TCP", "{mode: SIMPLE}", "tcp", "terminated"],
    ["HTTPS", "{mode: PASSTHROUGH}", "https", "passthrough"],
    ["TLS", "{mode: PASSTHROUGH}", "tls", "passthrough"],
    ["TLS", "{}", "tls", "passthrough"],
    ["TLS", "{mode: AUTO_PASSTHROUGH}", "tls", "auto-passthrough"],
    ["HTTPS", "{mode: AUTO_PASSTHROUGH}", "https", "auto-passthrough"],
  ];
  for (const [protocol, tls, read, kind] of KINDS)
    test(`of protocol ${protocol} with TLS ${tls} is ${kind}`, () => {
      const more = tls === undefined ? "" : `, tls: ${tls}`;
      const [taken] =
        serversOf(gateway(`[{port: {number: 90, name: p, protocol: ${protocol}}, hosts: [a]${more}}]`))[90] ??
        [];
      assert.deepEqual([taken?.server.protocol, taken?.kind], [read, kind]);
    });
});

describe("which Gateways a workload serves", () => {
  const server = "[{port: {number: 81, name: http, protocol: HTTP}, hosts: [a]}]";

  test("those that select it, in any namespace, oldest first; no selector selects all", () => {
    const yaml =
      gateway(server, "foo") +
      gateway(server, "edge") +
      gateway(server, "bar").replace("{app: gw}", "{app: other}") +
      gateway(server, "baz").replace("  selector: {app: gw}\n", "");
    const names = (key: string): unknown => serversOf(yaml, key)[81]?.map(({ gatewayName }) => gatewayName);
    assert.deepEqual(names("edge/gw"), ["foo/front", "edge/front", "baz/front"]);
    assert.deepEqual(names("foo/other"), ["bar/front", "baz/front"]);
  });

  test("oldest first, in whatever order they were read", () => {
    const mesh = gatewayMesh(gateway(server, "foo") + gateway(server, "edge"));
    const reversed = { ...mesh, gateways: mesh.gateways.toReversed() };
    const taken = mergeServers(reversed, workloadOf(mesh, "edge/gw")).get(81);
    assert.deepEqual(
      taken?.map(({ gatewayName }) => gatewayName),
      ["foo/front", "edge/front"],
    );
  });

  test("a Gateway without servers, or a server without a port, is nothing", () => {
    assert.deepEqual(serversOf(gateway("[{hosts: [a]}, {port: {name: x}, hosts: [a]}]")), {});
    assert.deepEqual(
      serversOf(
        gateway("[]")
          .replace("servers: []", "{}")
          .replace("selector: {app: gw}\n  {}", "selector: {app: gw}"),
      ),
      {},
    );
  });
});

describe("ports", () => {
  const http = (number: number): string =>
    `[{port: {number: ${number}, name: http, protocol: HTTP}, hosts: [a]}]`;

  test("that of a Service of the gateway's stands for its target port, any other for itself", () => {
    assert.deepEqual(Object.keys(serversOf(gateway(http(80)))), ["8080"]);
    assert.deepEqual(Object.keys(serversOf(gateway(http(8080)))), ["8080"]);
    assert.deepEqual(
      Object.keys(serversOf(gateway(http(9000)))),
      ["9000"],
      "web's is no Service of the gateway's",
    );
  });

  test("of several Services the first that has the port counts; a target that no container has is passed over", () => {
    const service = (name: string, port: string): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: edge}
spec: {selector: {app: gw}, ports: [${port}]}
---
`;
    const yaml =
      service("a", "{name: x, port: 90, targetPort: nowhere}") +
      service("b", "{name: x, port: 90, targetPort: 9090}") +
      service("c", "{name: x, port: 90, targetPort: 9091}");
    assert.deepEqual(Object.keys(serversOf(yaml + gateway(http(90)))), ["9090"]);
  });
});

describe("what shares a port", () => {
  const clear = (protocol: string): string =>
    `{port: {number: 80, name: c, protocol: ${protocol}}, hosts: [a]}`;
  const tls = (protocol: string, host: string, mode = "SIMPLE", name = host): string =>
    `{port: {number: 80, name: ${name}, protocol: ${protocol}}, hosts: [${host}], tls: {mode: ${mode}}}`;

  const CASES: readonly [name: string, servers: readonly string[], taken: readonly number[]][] = [
    ["clear HTTP with clear HTTP", [clear("HTTP"), clear("HTTP2"), clear("GRPC")], [0, 1, 2]],
    ["nothing with opaque TCP", [clear("TCP"), clear("TCP"), clear("HTTP"), tls("HTTPS", "b")], [0]],
    [
      "no TCP and no TLS with clear HTTP",
      [clear("HTTP"), clear("TCP"), tls("HTTPS", "b"), tls("TLS", "c")],
      [0],
    ],
    [
      "TLS with TLS for other names",
      [tls("HTTPS", "a"), tls("TLS", "b"), tls("TLS", "c", "PASSTHROUGH")],
      [0, 1, 2],
    ],
    [
      "no name twice",
      [tls("HTTPS", "a"), tls("TLS", "a"), tls("TLS", "b"), tls("HTTPS", "a", "SIMPLE", "z")],
      [0, 2],
    ],
    [
      "HTTPS under one port name once",
      [tls("HTTPS", "a", "SIMPLE", "x"), tls("HTTPS", "b", "SIMPLE", "x")],
      [0],
    ],
    [
      "HTTPS under one port name once, after others",
      [tls("TLS", "t"), tls("HTTPS", "a", "SIMPLE", "x"), tls("HTTPS", "b", "SIMPLE", "x")],
      [0, 1],
    ],
    [
      "other TLS under one port name",
      [tls("TLS", "a", "SIMPLE", "x"), tls("TLS", "b", "SIMPLE", "x")],
      [0, 1],
    ],
    [
      "opaque TCP after TLS, and then no more clear text",
      [tls("HTTPS", "b"), clear("TCP"), clear("HTTP")],
      [0, 1],
    ],
    [
      "clear HTTP after TLS, and then no more TLS",
      [tls("HTTPS", "b"), clear("HTTP"), tls("HTTPS", "c"), clear("HTTP")],
      [0, 1, 3],
    ],
  ];
  for (const [name, servers, taken] of CASES)
    test(name, () => assert.deepEqual(takenOf(`[${servers.join(", ")}]`), { 8080: taken }));

  test("ports are apart, and so are the names that are taken on them", () => {
    const servers = `[${tls("HTTPS", "a")}, ${tls("HTTPS", "a").replace("80", "81")}, ${clear("TCP").replace("80", "82")}]`;
    assert.deepEqual(takenOf(servers), { 81: [1], 82: [2], 8080: [0] });
  });

  test("HTTPS under one port name is taken once for each Gateway", () => {
    const one = `[${tls("HTTPS", "a", "SIMPLE", "x")}]`;
    const two = `[${tls("HTTPS", "b", "SIMPLE", "x")}]`;
    const taken = serversOf(gateway(one, "edge") + gateway(two, "foo"));
    assert.deepEqual(
      taken[8080]?.map(({ gatewayName }) => gatewayName),
      ["edge/front", "foo/front"],
    );
  });

  test("a server whose names are taken in part takes none of its others away", () => {
    const servers = [tls("TLS", "a"), tls("TLS", "a, b", "SIMPLE", "n"), tls("TLS", "b", "SIMPLE", "m")];
    assert.deepEqual(takenOf(`[${servers.join(", ")}]`), { 8080: [0, 2] });
  });
});

describe("TLS of a server", () => {
  const NOTHING = {
    httpsRedirect: false,
    credentials: [],
    subjectAltNames: [],
    verifyCertificateSpki: [],
    verifyCertificateHash: [],
    cipherSuites: [],
  } as const;

  test("that says nothing is PASSTHROUGH, and so is a mode that is none", () => {
    assert.deepEqual(tlsOf("{}"), { mode: "PASSTHROUGH", ...NOTHING });
    assert.deepEqual(tlsOf("{mode: NONSENSE}"), { mode: "PASSTHROUGH", ...NOTHING });
    for (const mode of [
      "PASSTHROUGH",
      "SIMPLE",
      "MUTUAL",
      "OPTIONAL_MUTUAL",
      "AUTO_PASSTHROUGH",
      "ISTIO_MUTUAL",
    ])
      assert.deepEqual(tlsOf(`{mode: ${mode}}`), { mode, ...NOTHING });
  });

  test("has every field as it is written", () => {
    const written = {
      mode: "MUTUAL",
      httpsRedirect: true,
      serverCertificate: "/crt",
      privateKey: "/key",
      caCertificates: "/ca",
      caCrl: "/crl",
      subjectAltNames: ["a"],
      verifyCertificateSpki: ["b"],
      verifyCertificateHash: ["c"],
      minProtocolVersion: "TLSV1_2",
      maxProtocolVersion: "TLSV1_3",
      cipherSuites: ["d"],
    };
    assert.deepEqual(tlsOf(JSON.stringify(written)), { ...written, credentials: [] });
  });

  test("finds Secrets in the gateway's namespace, wherever the Gateway is; several names take the place of one", () => {
    const secret = (name: string): object => ({ namespace: "edge", name });
    const credentials = (tls: string): unknown => {
      const read = tlsOf(`{mode: MUTUAL, ${tls}}`);
      return [read?.credentials, read?.clientRoots];
    };
    assert.deepEqual(credentials("credentialName: one"), [[secret("one")], undefined]);
    assert.deepEqual(credentials("credentialName: edge/one"), [[secret("one")], undefined]);
    assert.deepEqual(credentials("credentialName: one, credentialNames: [a, b]"), [
      [secret("a"), secret("b")],
      undefined,
    ]);
    assert.deepEqual(credentials("credentialName: one, credentialNames: []"), [[secret("one")], undefined]);
    assert.deepEqual(credentials("credentialName: '', caCertCredentialName: ''"), [[], undefined]);
    assert.deepEqual(credentials("caCertCredentialName: roots"), [[], secret("roots")]);
    assert.deepEqual(credentials("credentialName: one, grantedCredentials: [foo/x]"), [
      [secret("one"), { namespace: "foo", name: "x" }],
      undefined,
    ]);
  });
});

test("hosts with a namespace are for that namespace's VirtualServices, others for all", () => {
  const server = serversOf(
    gateway("[{port: {number: 80, name: h, protocol: HTTP}, hosts: [a, ./b, foo/c, '*/d']}]"),
  )[8080]?.[0];
  assert.ok(server !== undefined);
  const merged: MergedServer = {
    ...server,
    locate: () => ({ file: "", line: 1, column: 1, endLine: 1, endColumn: 1 }),
  };
  assert.deepEqual(hostsFor(merged, "foo"), ["a", "c", "d"]);
  assert.deepEqual(hostsFor(merged, "edge"), ["a", "b", "d"]);
  assert.deepEqual(hostsFor(merged, "fo"), ["a", "d"]);
});

test("covers(): within one of the hosts", () => {
  assert.equal(covers(["b.com", "*.a.com"], "x.a.com"), true);
  assert.equal(covers(["b.com", "*.a.com"], "a.com"), false);
  assert.equal(covers([], "a.com"), false);
});
