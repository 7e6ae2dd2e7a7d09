/** Who reaches whom: every pair as it comes out, with every field of it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh } from "../../../src/index.ts";
import { type Pair, type SurveyQuestion, survey } from "../../../src/policy/path/survey.ts";
import { meshOf } from "../outbound/mesh-of.ts";
import {
  authorizationText,
  barePodText,
  contextOf,
  destinationText,
  entryText,
  gatewayPodText,
  gatewayText,
  podText,
  resourceText,
  routeText,
  serviceText,
} from "./journey-text.ts";

/** `a/c > a/s:8080 by s.a:80 denied`, then its requests: `GET / denied 403 rbac/no-allow-matched by none at a/s`. */
function pairText({ from, to, port, service, verdict, requests }: Pair): readonly string[] {
  return [
    `${from} > ${to}:${port} by ${service ?? "itself"} ${verdict}`,
    ...requests.map(({ request, verdict: word, allowed, code, reason, cause, policy, rule, hop }) => {
      const { protocol, method = "", path = "", ...more } = request;
      const extra = Object.keys(more).length === 0 ? "" : ` ${JSON.stringify(more)}`;
      const by = `${policy ?? "none"}${rule === null ? "" : ` #${rule}`}`;
      return `${protocol ?? "-"} ${method} ${path}${extra}: ${word} ${allowed} ${code} ${reason}/${cause} by ${by} at ${hop}`;
    }),
  ];
}

async function pairs(mesh: Mesh, question: SurveyQuestion): Promise<readonly (readonly string[])[]> {
  return (await survey(contextOf(mesh), question)).map(pairText);
}

const GATEWAY = gatewayText("a", "g", {
  selector: { istio: "g" },
  servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
});
const SERVER =
  podText("a", "s", { ip: "10.0.0.2", ports: [8080] }) +
  serviceText("a", "s", {
    ports: [
      { name: "http", port: 80, targetPort: 8080 },
      { name: "tcp", port: 9000, targetPort: 9001 },
    ],
  });
const ONLY_C = authorizationText("a", "p", {
  selector: { matchLabels: { app: "s" } },
  rules: [
    {
      from: [{ source: { principals: ["cluster.local/ns/a/sa/c"] } }],
      to: [{ operation: { methods: ["POST"], paths: ["/api"] } }],
    },
    { from: [{ source: { principals: ["*/sa/g"], ipBlocks: ["10.0.0.7"] } }] },
  ],
});
const CLIENT = podText("a", "c", { ip: "10.0.0.1" });
const OTHER = podText("b", "d", { ip: "10.0.0.3", ports: [] });
const WAYPOINT = podText("a", "w").replace(
  '"labels":{',
  '"labels":{"gateway.istio.io/managed":"istio.io-mesh-controller",',
);
const MESH = meshOf(
  SERVER +
    CLIENT +
    OTHER +
    gatewayPodText("a", "g", "10.0.0.7") +
    GATEWAY +
    WAYPOINT +
    barePodText("b", "bare") +
    ONLY_C,
);

describe("who may reach a workload", () => {
  test("applications by its service, gateways and those without a certificate by itself; waypoints are nobody", async () => {
    assert.deepEqual(await pairs(MESH, { to: "a/s", port: 8080 }), [
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 partly",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: allowed true 200 ok/allow-matched by AuthorizationPolicy a/p #0 at a/s",
      ],
      [
        "b/d > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
      [
        "a/g > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "http GET /: allowed true 200 ok/allow-matched by AuthorizationPolicy a/p #1 at a/s",
        "http POST /api: allowed true 200 ok/allow-matched by AuthorizationPolicy a/p #1 at a/s",
      ],
      [
        "b/bare > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
      [
        "{plaintext} > a/s:8080 by itself denied",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
    ]);
  });

  test("every port that is declared or that a service leads to", async () => {
    assert.deepEqual(
      (await pairs(MESH, { to: "a/s" })).map(([first]) => first),
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 partly",
        "a/c > a/s:9001 by s.a.svc.cluster.local:9000 denied",
        "b/d > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "b/d > a/s:9001 by s.a.svc.cluster.local:9000 denied",
        "a/g > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "a/g > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
        "b/bare > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "b/bare > a/s:9001 by s.a.svc.cluster.local:9000 denied",
        "{plaintext} > a/s:8080 by itself denied",
        "{plaintext} > a/s:9001 by itself denied",
      ],
    );
  });

  test("of one namespace, without those outside of it", async () => {
    assert.deepEqual(await pairs(MESH, { to: "a/s", port: 8080, namespace: "b" }), [
      [
        "b/d > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
      [
        "b/bare > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "http GET /: denied false 403 rbac/no-allow-matched by none at a/s",
        "http POST /api: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
    ]);
  });

  test("a port that no service leads to, by itself", async () => {
    assert.deepEqual(
      await pairs(MESH, {
        to: "a/s",
        port: 7777,
        namespace: "b",
        requests: [{ protocol: "tcp" }, { path: "/x" }],
      }),
      [
        [
          "b/d > a/s:7777 by itself denied",
          "tcp  : denied false 0 rbac/no-allow-matched by none at a/s",
          "-  /x: denied false 403 rbac/no-allow-matched by none at a/s",
        ],
        [
          "b/bare > a/s:7777 by itself denied",
          "tcp  : denied false 0 rbac/no-allow-matched by none at a/s",
          "-  /x: denied false 403 rbac/no-allow-matched by none at a/s",
        ],
      ],
    );
  });

  test("a gateway is not served, nor is a waypoint", async () => {
    assert.deepEqual(await pairs(MESH, { to: "a/g", port: 80 }), []);
    assert.deepEqual(await pairs(MESH, { to: "a/w", port: 80 }), []);
  });

  test("ports of other protocols than TCP are not asked", async () => {
    const body = podText("a", "s").replace(
      '[{"containerPort":8080}]',
      '[{"containerPort":53,"protocol":"UDP"},{"containerPort":54,"protocol":"SCTP"},{"containerPort":55}]',
    );
    assert.deepEqual(
      (await pairs(meshOf(body + CLIENT), { to: "a/s", namespace: "a" })).map(([first]) => first),
      ["a/c > a/s:55 by itself allowed"],
    );
  });

  test("a gateway of which no address is known", async () => {
    const mesh = meshOf(SERVER + gatewayPodText("a", "g") + GATEWAY + ONLY_C);
    assert.deepEqual(await pairs(mesh, { to: "a/s", port: 8080, namespace: "a" }), [
      [
        "a/g > a/s:8080 by s.a.svc.cluster.local:80 unknown",
        "http GET /: unknown false 403 unknown/address-unknown by none at a/s",
        "http POST /api: unknown false 403 unknown/address-unknown by none at a/s",
      ],
    ]);
  });
});

const HOSTS = [
  entryText("a", "e1", {
    hosts: ["*.one.example"],
    location: "MESH_EXTERNAL",
    resolution: "NONE",
    ports: [
      { number: 443, name: "tls", protocol: "TLS" },
      { number: 8443, name: "https", protocol: "HTTPS" },
    ],
  }),
  entryText("a", "e2", {
    hosts: ["two.example"],
    location: "MESH_EXTERNAL",
    resolution: "NONE",
    addresses: ["240.0.0.1"],
    ports: [
      { number: 80, name: "http", protocol: "HTTP" },
      { number: 81, name: "grpc", protocol: "GRPC" },
      { number: 82, name: "http2", protocol: "HTTP2" },
      { number: 83, name: "tcp", protocol: "TCP" },
    ],
  }),
  entryText("a", "e3", {
    hosts: ["three.example"],
    location: "MESH_EXTERNAL",
    resolution: "NONE",
    addresses: ["10.200.0.0/16"],
    ports: [{ number: 9000, name: "mongo", protocol: "MONGO" }],
  }),
  entryText("a", "e4", {
    hosts: ["in.example"],
    location: "MESH_INTERNAL",
    resolution: "STATIC",
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    workloadSelector: { labels: { app: "s" } },
  }),
  entryText("a", "e5", {
    hosts: ["five.example"],
    location: "MESH_EXTERNAL",
    resolution: "STATIC",
    ports: [{ number: 8088, name: "http", protocol: "HTTP" }],
    endpoints: [{ address: "203.0.113.5" }],
  }),
  entryText("a", "e6", {
    hosts: ["*.six.example"],
    location: "MESH_EXTERNAL",
    resolution: "NONE",
    addresses: ["240.0.0.6"],
    ports: [{ number: 9006, name: "tcp", protocol: "TCP" }],
  }),
].join("");
const OUTSIDE = meshOf(CLIENT + HOSTS + SERVER + OTHER + serviceText("a", "empty"));

describe("whom a workload may reach", () => {
  test("every port of every other, hosts outside, and one that nobody knows", async () => {
    assert.deepEqual(await pairs(OUTSIDE, { from: "a/c" }), [
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "http GET /: allowed true 200 ok/no-allow-policies by none at a/s",
      ],
      [
        "a/c > a/s:80 by in.example:80 allowed",
        "http GET /: allowed true 200 ok/no-allow-policies by none at a/s",
      ],
      [
        "a/c > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
        "tcp  : allowed true 0 ok/no-allow-policies by none at a/s",
      ],
      [
        "a/c > *.one.example:443 by x.one.example:443 allowed",
        'tls   {"sni":"x.one.example"}: allowed true 0 ok/routed by none at a/c',
      ],
      [
        "a/c > *.one.example:8443 by x.one.example:8443 allowed",
        'tls   {"sni":"x.one.example"}: allowed true 0 ok/routed by none at a/c',
      ],
      [
        "a/c > two.example:80 by two.example:80 allowed",
        "http GET /: allowed true 200 ok/routed by none at a/c",
      ],
      [
        "a/c > two.example:81 by two.example:81 allowed",
        "http GET /: allowed true 200 ok/routed by none at a/c",
      ],
      [
        "a/c > two.example:82 by two.example:82 allowed",
        "http GET /: allowed true 200 ok/routed by none at a/c",
      ],
      ["a/c > two.example:83 by two.example:83 allowed", "tcp  : allowed true 0 ok/routed by none at a/c"],
      [
        "a/c > three.example:9000 by three.example:9000 allowed",
        "tcp  : allowed true 0 ok/routed by none at a/c",
      ],
      [
        "a/c > five.example:8088 by five.example:8088 allowed",
        "http GET /: allowed true 200 ok/routed by none at a/c",
      ],
      [
        "a/c > *.six.example:9006 by x.six.example:9006 allowed",
        "tcp  : allowed true 0 ok/routed by none at a/c",
      ],
      [
        "a/c > {any other host}:80 by nobody-knows-it.invalid:80 allowed",
        "http GET /: allowed true 200 passthrough/passthrough by none at a/c",
      ],
      [
        "a/c > {any other host}:443 by nobody-knows-it.invalid:443 allowed",
        'tls   {"sni":"nobody-knows-it.invalid"}: allowed true 0 passthrough/passthrough by none at a/c',
      ],
    ]);
  });

  test("requests of one's own where they fit", async () => {
    assert.deepEqual(
      await pairs(OUTSIDE, { from: "a/c", requests: [{ path: "/mine" }, { protocol: "tcp" }] }),
      [
        [
          "a/c > a/s:8080 by s.a.svc.cluster.local:80 partly",
          "-  /mine: allowed true 200 ok/no-allow-policies by none at a/s",
          "tcp  : denied false 400 bad-request/bad-request by none at a/s",
        ],
        [
          "a/c > a/s:80 by in.example:80 partly",
          "-  /mine: allowed true 200 ok/no-allow-policies by none at a/s",
          "tcp  : denied false 400 bad-request/bad-request by none at a/s",
        ],
        [
          "a/c > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
          "-  /mine: allowed true 200 ok/no-allow-policies by none at a/s",
          "tcp  : allowed true 0 ok/no-allow-policies by none at a/s",
        ],
        [
          "a/c > *.one.example:443 by x.one.example:443 allowed",
          'tls   {"sni":"x.one.example"}: allowed true 0 ok/routed by none at a/c',
        ],
        [
          "a/c > *.one.example:8443 by x.one.example:8443 allowed",
          'tls   {"sni":"x.one.example"}: allowed true 0 ok/routed by none at a/c',
        ],
        [
          "a/c > two.example:80 by two.example:80 allowed",
          "-  /mine: allowed true 200 ok/routed by none at a/c",
        ],
        [
          "a/c > two.example:81 by two.example:81 allowed",
          "-  /mine: allowed true 200 ok/routed by none at a/c",
        ],
        [
          "a/c > two.example:82 by two.example:82 allowed",
          "-  /mine: allowed true 200 ok/routed by none at a/c",
        ],
        ["a/c > two.example:83 by two.example:83 allowed", "tcp  : allowed true 0 ok/routed by none at a/c"],
        [
          "a/c > three.example:9000 by three.example:9000 allowed",
          "tcp  : allowed true 0 ok/routed by none at a/c",
        ],
        [
          "a/c > five.example:8088 by five.example:8088 allowed",
          "-  /mine: allowed true 200 ok/routed by none at a/c",
        ],
        [
          "a/c > *.six.example:9006 by x.six.example:9006 allowed",
          "tcp  : allowed true 0 ok/routed by none at a/c",
        ],
        [
          "a/c > {any other host}:80 by nobody-knows-it.invalid:80 allowed",
          "-  /mine: allowed true 200 passthrough/passthrough by none at a/c",
        ],
        [
          "a/c > {any other host}:443 by nobody-knows-it.invalid:443 allowed",
          'tls   {"sni":"nobody-knows-it.invalid"}: allowed true 0 passthrough/passthrough by none at a/c',
        ],
      ],
    );
  });

  test("of one port, or one namespace, nothing outside", async () => {
    assert.deepEqual(
      (await pairs(OUTSIDE, { from: "a/c", port: 8080 })).map(([first]) => first),
      ["a/c > a/s:8080 by s.a.svc.cluster.local:80 allowed", "a/c > b/d:8080 by itself allowed"],
    );
    assert.deepEqual(
      (await pairs(OUTSIDE, { from: "a/c", namespace: "a" })).map(([first]) => first),
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "a/c > a/s:80 by in.example:80 allowed",
        "a/c > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
      ],
    );
  });

  test("a gateway's identity reaches workloads, and no host outside", async () => {
    assert.deepEqual(
      (await pairs(MESH, { from: "a/g" })).map(([first]) => first),
      [
        "a/g > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "a/g > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
        "a/g > a/c:8080 by itself allowed",
        "a/g > b/bare:8080 by itself allowed",
      ],
    );
    const mesh = meshOf(SERVER + gatewayPodText("a", "g", "10.0.0.7") + GATEWAY + HOSTS);
    assert.deepEqual(
      (await pairs(mesh, { from: "a/g" })).map(([first]) => first),
      [
        "a/g > a/s:8080 by s.a.svc.cluster.local:80 allowed",
        "a/g > a/s:9001 by s.a.svc.cluster.local:9000 allowed",
        "a/g > a/s:80 by in.example:80 allowed",
      ],
    );
  });

  test("a waypoint has nothing to ask", async () => {
    assert.deepEqual(await pairs(MESH, { from: "a/w" }), []);
  });
});

describe("ways of one pair", () => {
  const two =
    podText("a", "s1", { ip: "10.0.0.2", labels: { app: "s" } }) +
    podText("a", "s2", { ip: "10.0.0.3", labels: { app: "s", v: "2" } });
  const deny = authorizationText("a", "p", {
    selector: { matchLabels: { v: "2" } },
    action: "DENY",
    rules: [{}],
  });

  test("of a service's pods the one that is asked about counts", async () => {
    const mesh = meshOf(CLIENT + two + serviceText("a", "s") + deny);
    const question = { port: 8080, requests: [{ path: "/" }] };
    assert.deepEqual(await pairs(mesh, { ...question, from: "a/c" }), [
      [
        "a/c > a/s1:8080 by s.a.svc.cluster.local:80 allowed",
        "-  /: allowed true 200 ok/no-allow-policies by none at a/s1",
      ],
      [
        "a/c > a/s2:8080 by s.a.svc.cluster.local:80 denied",
        "-  /: denied false 403 rbac/deny-matched by AuthorizationPolicy a/p #0 at a/s2",
      ],
    ]);
  });

  test("of a service's pods the one that is asked about counts for clients without a proxy", async () => {
    const mesh = meshOf(barePodText("a", "c") + two + serviceText("a", "s") + deny);
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/" }] }), [
      [
        "a/c > a/s1:8080 by s.a.svc.cluster.local:80 allowed",
        "-  /: allowed true 200 ok/no-allow-policies by none at a/s1",
      ],
      [
        "a/c > a/s2:8080 by s.a.svc.cluster.local:80 denied",
        "-  /: denied false 403 rbac/deny-matched by AuthorizationPolicy a/p #0 at a/s2",
      ],
    ]);
  });

  test("by a gateway the pod at the end of the way counts", async () => {
    const through = routeText("a", "v", {
      hosts: ["s.a.svc.cluster.local"],
      gateways: ["mesh", "g"],
      http: [
        { match: [{ gateways: ["mesh"] }], route: [{ destination: { host: "g", port: { number: 80 } } }] },
        { match: [{ gateways: ["g"] }], route: [{ destination: { host: "s", port: { number: 80 } } }] },
      ],
    });
    const mesh = meshOf(
      CLIENT +
        two +
        serviceText("a", "s") +
        deny +
        gatewayPodText("a", "g", "10.0.0.7") +
        serviceText("a", "g") +
        GATEWAY +
        through +
        destinationText("a", "clear", { host: "g", trafficPolicy: { tls: { mode: "DISABLE" } } }),
    );
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/" }] }), [
      [
        "a/c > a/s1:8080 by s.a.svc.cluster.local:80 allowed",
        "-  /: allowed true 200 ok/no-allow-policies by none at a/s1",
      ],
      [
        "a/c > a/s2:8080 by s.a.svc.cluster.local:80 denied",
        "-  /: denied false 403 rbac/deny-matched by AuthorizationPolicy a/p #0 at a/s2",
      ],
    ]);
  });

  test("a weighted route to one workload by two ways is partly allowed, and a way that is not is told", async () => {
    const mesh = meshOf(
      `${CLIENT}${SERVER}${routeText("a", "v", {
        hosts: ["s"],
        http: [
          {
            match: [{ uri: { prefix: "/split" } }],
            route: [
              { destination: { host: "s", port: { number: 80 } }, weight: 50 },
              { destination: { host: "s", subset: "none", port: { number: 80 } }, weight: 50 },
            ],
          },
          { route: [{ destination: { host: "s", port: { number: 80 } } }] },
        ],
      })}`,
    );
    assert.deepEqual(
      await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/split" }, { path: "/" }] }),
      [
        [
          "a/c > a/s:8080 by s.a.svc.cluster.local:80 partly",
          "-  /split: partly false 503 no-cluster/no-cluster by none at a/c",
          "-  /: allowed true 200 ok/no-allow-policies by none at a/s",
        ],
      ],
    );
  });

  test("a route that leads to another workload: what comes of that", async () => {
    const mesh = meshOf(
      `${CLIENT}${SERVER}${podText("a", "t")}${serviceText("a", "t")}${routeText("a", "v", { hosts: ["s"], http: [{ route: [{ destination: { host: "t", port: { number: 80 } } }] }] })}${authorizationText("a", "p", { selector: { matchLabels: { app: "t" } } })}`,
    );
    assert.deepEqual(
      await pairs(mesh, { to: "a/s", port: 8080, namespace: "a", requests: [{ path: "/" }] }),
      [
        [
          "a/c > a/s:8080 by s.a.svc.cluster.local:80 denied",
          "-  /: denied false 403 rbac/no-allow-matched by none at a/t",
        ],
        [
          "a/t > a/s:8080 by s.a.svc.cluster.local:80 denied",
          "-  /: denied false 403 rbac/no-allow-matched by none at a/t",
        ],
      ],
    );
  });

  test("a pod whose identity the client refuses does not count for another", async () => {
    const mesh = meshOf(
      `${CLIENT}${two.replace('"serviceAccountName":"s2"', '"serviceAccountName":"x"')}${serviceText("a", "s")}${destinationText("a", "d", { host: "s", trafficPolicy: { tls: { mode: "ISTIO_MUTUAL", subjectAltNames: ["spiffe://cluster.local/ns/a/sa/s1"] } } })}`,
    );
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/" }] }), [
      [
        "a/c > a/s1:8080 by s.a.svc.cluster.local:80 allowed",
        "-  /: allowed true 200 ok/no-allow-policies by none at a/s1",
      ],
      [
        "a/c > a/s2:8080 by s.a.svc.cluster.local:80 denied",
        "-  /: denied false 503 tls/server-identity-refused by none at a/c",
      ],
    ]);
  });

  test("what is sent elsewhere, and allowed there, does not count", async () => {
    const mesh = meshOf(
      `${CLIENT}${SERVER}${HOSTS}${routeText("a", "v", {
        hosts: ["s"],
        http: [
          {
            route: [
              { destination: { host: "s", port: { number: 80 } }, weight: 50 },
              { destination: { host: "two.example", port: { number: 80 } }, weight: 50 },
            ],
          },
        ],
      })}${authorizationText("a", "p", { selector: { matchLabels: { app: "s" } } })}`,
    );
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/" }] }), [
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 denied",
        "-  /: denied false 403 rbac/no-allow-matched by none at a/s",
      ],
    ]);
  });

  test("what is not known is unknown, and partly where something else is known", async () => {
    const blocks = authorizationText("a", "p", {
      selector: { matchLabels: { app: "s" } },
      rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }], to: [{ operation: { paths: ["/a"] } }] }],
    });
    const mesh = meshOf(podText("a", "c") + SERVER + blocks);
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/a" }] }), [
      [
        "a/c > a/s:8080 by s.a.svc.cluster.local:80 unknown",
        "-  /a: unknown false 403 unknown/address-unknown by none at a/s",
      ],
    ]);
    assert.deepEqual(
      await pairs(mesh, { from: "a/c", port: 8080, requests: [{ path: "/a" }, { path: "/b" }] }),
      [
        [
          "a/c > a/s:8080 by s.a.svc.cluster.local:80 partly",
          "-  /a: unknown false 403 unknown/address-unknown by none at a/s",
          "-  /b: denied false 403 rbac/no-allow-matched by none at a/s",
        ],
      ],
    );
  });

  test("nothing to ask is not known", async () => {
    const mesh = meshOf(CLIENT + SERVER);
    assert.deepEqual(await pairs(mesh, { from: "a/c", port: 8080, requests: [] }), [
      ["a/c > a/s:8080 by s.a.svc.cluster.local:80 unknown"],
    ]);
  });

  test("what no service names is told by itself", async () => {
    const unnamed = resourceText("v1", "Service", "a", "far", {
      selector: { app: "nobody" },
      ports: [{ port: 80 }],
    });
    assert.deepEqual(
      await pairs(meshOf(CLIENT + podText("a", "u") + unnamed), { from: "a/c", port: 8080, requests: [{}] }),
      [["a/c > a/u:8080 by itself allowed", "-  : allowed true 200 ok/no-allow-policies by none at a/u"]],
    );
  });
});
