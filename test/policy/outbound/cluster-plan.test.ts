/** Clusters whole: https://istio.io/latest/docs/reference/config/networking/destination-rule/ */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import type { ClusterPlan } from "../../../src/policy/outbound/types.ts";
import { gatewayMesh } from "./gateway-fixture.ts";
import { app, meshOf, workloadOf } from "./mesh-of.ts";

const CLIENT = app("bar", "client");

function config(mesh: string): string {
  return `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "${mesh}"}
---
`;
}

function service(name: string, spec: string): string {
  return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: foo}
spec: {${spec}}
---
`;
}

function entry(spec: string): string {
  return `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: foo}
spec: {${spec}}
---
`;
}

function rule(spec: string, name = "r"): string {
  return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: foo}
spec: {${spec}}
---
`;
}

function clusters(yaml: string): ReadonlyMap<string, ClusterPlan> {
  const mesh = meshOf(yaml + CLIENT);
  return compileOutbound(mesh, workloadOf(mesh, "bar/client")).clusters();
}

function gatewayClusters(yaml: string): ReadonlyMap<string, ClusterPlan> {
  const mesh = gatewayMesh(yaml);
  return compileGateway(mesh, workloadOf(mesh, "edge/gw")).clusters();
}

/** Names of the clusters for hosts that begin so. */
function named(all: ReadonlyMap<string, ClusterPlan>, host: string): string[] {
  return [...all.keys()].filter((name) => name.split("|")[3]?.startsWith(host) === true).sort();
}

type Facts = Omit<ClusterPlan, "service" | "servicePort" | "endpoints"> & {
  readonly endpoints: readonly unknown[];
};

/** A cluster, with what its endpoints are reached at: address, port, TLS, weight. */
function facts(all: ReadonlyMap<string, ClusterPlan>, name: string): Facts | undefined {
  const plan = all.get(name);
  if (plan === undefined) return undefined;
  const { service: own, servicePort, endpoints, ...rest } = plan;
  assert.deepEqual([own.hostname.toLowerCase(), servicePort.port], [plan.host, plan.port]);
  return { ...rest, endpoints: endpoints.map(({ endpoint: _one, ...reached }) => Object.values(reached)) };
}

const WEB = "web.foo.svc.cluster.local";
const WEB_80 = `outbound|80||${WEB}`;
const ID = "spiffe://cluster.local/ns/foo/sa/web";

const MTLS = (subset = "", port = 80) =>
  ({
    mode: "mtls",
    sni: `outbound_.${port}_.${subset}_.${WEB}`,
    sans: [ID],
    sniFromAuthority: false,
    sansFromAuthority: false,
    insecureSkipVerify: false,
  }) as const;

const IN_MESH: Facts = {
  name: WEB_80,
  port: 80,
  subset: "",
  host: WEB,
  resolution: "static",
  endpoints: [[8080, "mtls", 1]],
  tls: "mtls",
  tlsSettings: MTLS(),
  upstreamProtocol: "http1",
  followsClientProtocol: false,
  destinationRules: [],
};

function without<K extends keyof Facts>(all: Facts, key: K): Omit<Facts, K> {
  const { [key]: _left, ...rest } = all;
  return rest;
}

const NO_TLS = without(IN_MESH, "tlsSettings");

describe("a service of the mesh", () => {
  const base = app("foo", "web", { version: "v1" });
  const web = (more: string): Facts | undefined => facts(clusters(base + more), WEB_80);

  test("is spoken to in mutual TLS by itself, and by no rule in clear", () => {
    assert.deepEqual(web(""), IN_MESH);
    const rules = ["DestinationRule foo/r"];
    assert.deepEqual(web(rule("host: web, trafficPolicy: {tls: {mode: DISABLE}}")), {
      ...NO_TLS,
      endpoints: [[8080, "plaintext", 1]],
      tls: "plaintext",
      destinationRules: rules,
    });
    assert.deepEqual(web(rule("host: web, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")), {
      ...IN_MESH,
      destinationRules: rules,
    });
    const simple = web(rule("host: web, trafficPolicy: {tls: {mode: SIMPLE, sni: own.example}}"));
    assert.deepEqual([simple?.tls, simple?.endpoints], ["simple", [[8080, "simple", 1]]]);
  });

  test("is spoken to in clear where auto mTLS is off, or the namespace's servers do not take it", () => {
    const clear = { ...NO_TLS, endpoints: [[8080, "plaintext", 1]], tls: "plaintext" };
    const peer = (namespace: string, spec: string): string => `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ${namespace}}
spec: {${spec}}
---
`;
    assert.deepEqual(web(config("enableAutoMtls: false")), clear);
    assert.deepEqual(web(peer("foo", "mtls: {mode: DISABLE}")), clear);
    assert.deepEqual(web(peer("istio-system", "mtls: {mode: DISABLE}")), clear);
    assert.deepEqual(web(peer("bar", "mtls: {mode: DISABLE}")), IN_MESH);
    const onPort = peer("foo", "selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}");
    assert.deepEqual(web(onPort), clear);
    assert.equal(clusters(base + onPort).get(`outbound|9000||${WEB}`)?.tls, "mtls", "of another port");
  });

  test("with some endpoints that have no proxy is mixed, each by what it takes", () => {
    const bare = app("foo", "bare")
      .replace(
        'labels: {"app":"bare"}',
        'labels: {"app":"web","v":"2"}, annotations: {sidecar.istio.io/inject: "false"}',
      )
      .replace("spec:\n  template", "spec:\n  replicas: 3\n  template");
    const mixed = facts(clusters(base + bare), WEB_80);
    assert.deepEqual(
      [mixed?.tls, mixed?.endpoints],
      [
        "mixed",
        [
          [8080, "mtls", 1],
          [8080, "plaintext", 3],
        ],
      ],
    );
    assert.deepEqual(mixed?.tlsSettings?.mode, "mtls");
    const all = clusters(base + bare + rule("host: web, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}"));
    assert.equal(facts(all, WEB_80)?.tls, "mtls", "a rule does not ask what they take");
  });

  test("has a cluster for each subset, with the endpoints that have its labels", () => {
    const rules = rule(
      "host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: all}]",
    );
    const all = clusters(base + rules);
    assert.deepEqual(named(all, "web"), [
      `outbound|80|all|${WEB}`,
      `outbound|80|v1|${WEB}`,
      `outbound|80|v2|${WEB}`,
      WEB_80,
      `outbound|9000|all|${WEB}`,
      `outbound|9000|v1|${WEB}`,
      `outbound|9000|v2|${WEB}`,
      `outbound|9000||${WEB}`,
    ]);
    const destinationRules = ["DestinationRule foo/r"];
    const v1 = {
      ...IN_MESH,
      name: `outbound|80|v1|${WEB}`,
      subset: "v1",
      tlsSettings: MTLS("v1"),
      destinationRules,
    };
    assert.deepEqual(facts(all, `outbound|80|v1|${WEB}`), v1);
    assert.deepEqual(facts(all, `outbound|80|v2|${WEB}`), {
      ...v1,
      name: `outbound|80|v2|${WEB}`,
      subset: "v2",
      endpoints: [],
      tlsSettings: MTLS("v2"),
    });
  });

  test("is dialled as it was where a rule, or a subset, says PASSTHROUGH", () => {
    const passthrough = "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}";
    const whole = clusters(base + rule(`host: web, ${passthrough}, subsets: [{name: s}]`));
    assert.equal(whole.get(WEB_80)?.resolution, "original-destination");
    assert.equal(whole.get(`outbound|80|s|${WEB}`)?.resolution, "original-destination");
    const part = clusters(base + rule(`host: web, subsets: [{name: s, ${passthrough}}]`));
    assert.equal(part.get(WEB_80)?.resolution, "static");
    assert.equal(part.get(`outbound|80|s|${WEB}`)?.resolution, "original-destination");
    const onPort =
      "trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: PASSTHROUGH}}]}";
    const port = clusters(base + rule(`host: web, ${onPort}`));
    assert.deepEqual(
      [port.get(WEB_80)?.resolution, port.get(`outbound|9000||${WEB}`)?.resolution],
      ["original-destination", "static"],
    );
  });

  test("that is dialled as it was is in clear for all where one endpoint has no proxy, or none is known", () => {
    const bare = app("foo", "bare").replace(
      'labels: {"app":"bare"}',
      'labels: {"app":"web"}, annotations: {sidecar.istio.io/inject: "false"}',
    );
    const follow = rule("host: web, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}");
    assert.equal(clusters(base + follow).get(WEB_80)?.tls, "mtls");
    assert.equal(clusters(base + bare + follow).get(WEB_80)?.tls, "plaintext");
    const nobody = service("web", "ports: [{name: http, port: 80}]");
    assert.equal(clusters(nobody + follow).get(WEB_80)?.tls, "plaintext");
    assert.equal(clusters(nobody).get(WEB_80)?.tls, "mtls", "not where the proxy picks");
  });

  test("on UDP, or under an alias, has none", () => {
    const ports = "ports: [{name: dns, port: 53, protocol: UDP}, {name: http, port: 80}]";
    const alias = service(
      "alias",
      `type: ExternalName, externalName: ${WEB}, ports: [{name: http, port: 80}]`,
    );
    const all = clusters(service("web", ports) + alias);
    assert.deepEqual([named(all, "web"), named(all, "alias")], [[WEB_80], []]);
  });
});

describe("headless services", () => {
  const headless = service(
    "web",
    "clusterIP: None, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]",
  );
  const pods = app("foo", "web").slice(app("foo", "web").indexOf("apiVersion: apps/v1"));

  test("are dialled as they were, on the very port; gateways pick an endpoint", () => {
    assert.deepEqual(facts(clusters(headless + pods), WEB_80), {
      ...IN_MESH,
      resolution: "original-destination",
    });
    const seen = facts(
      gatewayClusters(headless.replaceAll("web", "pods") + pods.replaceAll("web", "pods")),
      "outbound|80||pods.foo.svc.cluster.local",
    );
    assert.deepEqual([seen?.resolution, seen?.tls], ["static", "mtls"]);
  });

  test("without known endpoints, or with one without proxy, are spoken to in clear", () => {
    const clear = { ...NO_TLS, resolution: "original-destination", endpoints: [], tls: "plaintext" };
    assert.deepEqual(facts(clusters(headless), WEB_80), clear);
    const bare = pods.replace(
      'labels: {"app":"web"}',
      'labels: {"app":"web"}, annotations: {sidecar.istio.io/inject: "false"}',
    );
    assert.deepEqual(facts(clusters(headless + bare), WEB_80), {
      ...clear,
      endpoints: [[8080, "plaintext", 1]],
    });
  });
});

describe("ServiceEntries", () => {
  const OUT = "outbound|80||out.example";
  const http = (more: string, protocol = "HTTP", target = ""): string =>
    entry(`hosts: [out.example], ports: [{number: 80, name: p, protocol: ${protocol}${target}}], ${more}`);
  const CLEAR = { ...NO_TLS, name: OUT, host: "out.example", tls: "plaintext" } as const;

  test("outside the mesh are spoken to in clear, within it in mutual TLS to endpoints that take it", () => {
    const endpoints =
      "endpoints: [{address: 203.0.113.1, weight: 5, ports: {p: 8443}}, {address: 203.0.113.2, labels: {security.istio.io/tlsMode: istio}, serviceAccount: x}]";
    const outside = {
      ...CLEAR,
      endpoints: [
        ["203.0.113.1", 8443, "plaintext", 5],
        ["203.0.113.2", 80, "plaintext", 1],
      ],
    };
    assert.deepEqual(facts(clusters(http(`resolution: STATIC, ${endpoints}`)), OUT), outside);
    const inside = facts(clusters(http(`resolution: STATIC, location: MESH_INTERNAL, ${endpoints}`)), OUT);
    assert.deepEqual(
      [inside?.tls, inside?.endpoints],
      [
        "mixed",
        [
          ["203.0.113.1", 8443, "plaintext", 5],
          ["203.0.113.2", 80, "mtls", 1],
        ],
      ],
    );
  });

  test("of fixed addresses leave out endpoints that are none; those by DNS keep names", () => {
    const endpoints = "endpoints: [{address: a.example}, {address: 203.0.113.1}]";
    assert.deepEqual(facts(clusters(http(`resolution: STATIC, ${endpoints}`)), OUT), {
      ...CLEAR,
      endpoints: [["203.0.113.1", 80, "plaintext", 1]],
    });
    for (const [resolution, as] of [
      ["DNS", "dns"],
      ["DNS_ROUND_ROBIN", "dns-round-robin"],
    ] as const) {
      const both = [
        ["a.example", 80, "plaintext", 1],
        ["203.0.113.1", 80, "plaintext", 1],
      ];
      assert.deepEqual(facts(clusters(http(`resolution: ${resolution}, ${endpoints}`)), OUT), {
        ...CLEAR,
        resolution: as,
        endpoints: both,
      });
      const itself = facts(clusters(http(`resolution: ${resolution}`)), OUT);
      assert.deepEqual(itself, {
        ...CLEAR,
        resolution: as,
        endpoints: [["out.example", 80, "plaintext", 1]],
      });
    }
  });

  test("by DNS without any endpoint have no cluster; fixed ones have an empty one", () => {
    const selecting = "workloadSelector: {labels: {app: nobody}}";
    assert.deepEqual(named(clusters(http(`resolution: DNS, ${selecting}`)), "out"), []);
    assert.deepEqual(facts(clusters(http(`resolution: STATIC, ${selecting}`)), OUT), {
      ...CLEAR,
      endpoints: [],
    });
    const subset = clusters(
      http("resolution: DNS") + rule("host: out.example, subsets: [{name: s, labels: {v: '1'}}]"),
    );
    assert.deepEqual(named(subset, "out"), [OUT]);
  });

  test("without resolution are dialled as they were, on the target port where it is another", () => {
    const none = { ...CLEAR, resolution: "original-destination", endpoints: [] } as const;
    assert.deepEqual(facts(clusters(http("resolution: NONE")), OUT), none);
    assert.deepEqual(facts(clusters(http("resolution: NONE", "HTTP", ", targetPort: 80")), OUT), none);
    assert.deepEqual(facts(clusters(http("resolution: NONE", "HTTP", ", targetPort: 8080")), OUT), {
      ...none,
      dialPort: 8080,
    });
    assert.deepEqual(facts(gatewayClusters(http("resolution: NONE", "HTTP", ", targetPort: 8080")), OUT), {
      ...none,
      resolution: "static",
    });
    const fixed = http("resolution: STATIC", "HTTP", ", targetPort: 8080");
    const followed = clusters(
      fixed + rule("host: out.example, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}"),
    );
    assert.deepEqual(followed.get(OUT)?.dialPort, undefined);
  });

  test("whose names are resolved as requests come have one for a wildcard, for what carries names, and no subset", () => {
    const wild = (protocol: string, host = "*.out.example"): string[] =>
      named(
        clusters(
          entry(
            `hosts: ["${host}"], resolution: DYNAMIC_DNS, ports: [{number: 80, name: p, protocol: ${protocol}}]`,
          ) + rule(`host: "${host}", subsets: [{name: s}]`),
        ),
        host,
      );
    for (const protocol of ["HTTP", "TLS", "GRPC", "HTTP2"])
      assert.deepEqual(wild(protocol), ["outbound|80||*.out.example"], protocol);
    for (const protocol of ["TCP", "HTTPS", "MONGO"]) assert.deepEqual(wild(protocol), [], protocol);
    assert.deepEqual(wild("TCP", "out.example"), ["outbound|80|s|out.example", OUT]);
    const exact = clusters(
      entry("hosts: [out.example], resolution: DYNAMIC_DNS, ports: [{number: 80, name: p, protocol: HTTP}]"),
    );
    assert.equal(exact.get(OUT)?.resolution, "static");
  });

  test("such a wildcard has no endpoints, and no identity or server name of its own", () => {
    const all = clusters(
      entry(
        'hosts: ["*.out.example"], resolution: DYNAMIC_DNS, location: MESH_INTERNAL, subjectAltNames: [san.example], ports: [{number: 80, name: p, protocol: HTTP}], endpoints: [{address: 203.0.113.1}]',
      ) + rule('host: "*.out.example", trafficPolicy: {tls: {mode: SIMPLE}}'),
    );
    assert.deepEqual(facts(all, "outbound|80||*.out.example"), {
      ...NO_TLS,
      name: "outbound|80||*.out.example",
      host: "*.out.example",
      resolution: "dynamic-dns",
      endpoints: [],
      tls: "simple",
      tlsSettings: {
        mode: "simple",
        sniFromAuthority: true,
        sansFromAuthority: true,
        insecureSkipVerify: false,
      },
      destinationRules: ["DestinationRule foo/r"],
    });
  });
});

describe("credentials of a rule", () => {
  const base = app("foo", "web");
  const simple = "trafficPolicy: {tls: {mode: SIMPLE, credentialName: cert}}";

  test("are used by gateways, and by sidecars that it selects alone", () => {
    assert.equal(clusters(base + rule(`host: web, ${simple}`)).get(WEB_80)?.tls, "plaintext");
    const mesh = meshOf(base + rule(`host: web, workloadSelector: {matchLabels: {app: web}}, ${simple}`));
    assert.equal(compileOutbound(mesh, workloadOf(mesh, "foo/web")).clusters().get(WEB_80)?.tls, "simple");
    assert.equal(gatewayClusters(rule(`host: web, ${simple}`)).get(WEB_80)?.tls, "simple");
  });
});

describe("what a cluster speaks", () => {
  const PORTS =
    "ports: [{name: http, port: 1}, {name: http2, port: 2}, {name: grpc, port: 3}, {name: tcp, port: 4}, {name: x, port: 5}, {name: https, port: 6}]";
  const pool = (http: string): string => rule(`host: web, trafficPolicy: {connectionPool: {http: ${http}}}`);
  /** Protocol of each port, with a plus where the client's own version is followed. */
  const spoken = (more: string, all = clusters): string => {
    const own = [...all(service("web", PORTS) + more).values()].filter(({ host }) => host === WEB);
    return own.map((plan) => `${plan.upstreamProtocol}${plan.followsClientProtocol ? "+" : ""}`).join(" ");
  };

  test("is what the port declares; what is detected follows the client", () => {
    assert.equal(spoken(""), "http1 http2 http2 tcp http1+ tcp");
  });

  test("a rule may upgrade it, or follow the client, which is no upgrade", () => {
    assert.equal(spoken(pool("{h2UpgradePolicy: UPGRADE}")), "http2 http2 http2 http2 http2+ http2");
    assert.equal(spoken(pool("{h2UpgradePolicy: DO_NOT_UPGRADE}")), "http1 http2 http2 tcp http1+ tcp");
    assert.equal(spoken(pool("{useClientProtocol: true}")), "http1+ http2+ http2+ tcp+ http1+ tcp+");
    assert.equal(
      spoken(pool("{useClientProtocol: true, h2UpgradePolicy: UPGRADE}")),
      "http1+ http2+ http2+ tcp+ http1+ tcp+",
    );
    assert.equal(spoken(pool("{}")), "http1 http2 http2 tcp http1+ tcp");
  });

  test("the mesh may upgrade what is declared HTTP, unless a rule forbids it", () => {
    const upgrade = config("h2UpgradePolicy: UPGRADE");
    assert.equal(spoken(upgrade), "http2 http2 http2 tcp http1+ tcp");
    assert.equal(spoken(upgrade + pool("{}")), "http2 http2 http2 tcp http1+ tcp");
    assert.equal(
      spoken(upgrade + pool("{h2UpgradePolicy: DO_NOT_UPGRADE}")),
      "http1 http2 http2 tcp http1+ tcp",
    );
    assert.equal(
      spoken(upgrade + pool("{useClientProtocol: true}")),
      "http1+ http2+ http2+ tcp+ http1+ tcp+",
    );
    assert.equal(spoken(config("h2UpgradePolicy: DO_NOT_UPGRADE")), "http1 http2 http2 tcp http1+ tcp");
  });

  test("gateways detect nothing", () => {
    const all = gatewayClusters(service("ports", PORTS));
    const own = [...all.values()].filter(({ host }) => host.startsWith("ports"));
    assert.deepEqual(
      own.map(({ upstreamProtocol, followsClientProtocol }) => [upstreamProtocol, followsClientProtocol]),
      [
        ["http1", false],
        ["http2", false],
        ["http2", false],
        ["tcp", false],
        ["http1", false],
        ["tcp", false],
      ],
    );
  });
});
