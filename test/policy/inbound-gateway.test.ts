import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { buildMesh, findWorkload } from "../../src/model/build-mesh.ts";
import { Connection, type ConnectionInput } from "../../src/policy/connection.ts";
import {
  chainOf,
  compileInbound,
  decideConnection,
  decideRequest,
  type InboundPolicy,
  type Semantics,
} from "../../src/policy/inbound.ts";
import { loadResources } from "../../src/resources/load.ts";
import type { Resource } from "../../src/resources/resource.ts";
import { authorization, get, meshConfig, resource } from "./inbound-fixture.ts";

const LABELS = { istio: "gw" };

function gateway(servers: readonly unknown[], ...more: readonly Resource[]): InboundPolicy {
  return gatewayWith("istio", servers, more);
}

function gatewayWith(
  semantics: Semantics,
  servers: readonly unknown[],
  more: readonly Resource[] = [],
): InboundPolicy {
  const mesh = buildMesh([
    resource(
      "Pod",
      "gw",
      {},
      {
        labels: LABELS,
        body: {
          metadata: { labels: LABELS, annotations: { "inject.istio.io/templates": "gateway" } },
          spec: {},
        },
      },
    ),
    resource("Service", "gw", {
      selector: LABELS,
      ports: [
        { name: "a", port: 80, targetPort: 8080 },
        { name: "b", port: 443, targetPort: 8443 },
      ],
    }),
    resource("Gateway", "gw", { selector: LABELS, servers }),
    ...more,
  ]);
  const workload = findWorkload(mesh, "foo/gw");
  assert.ok(workload !== undefined);
  return compileInbound(mesh, workload, { semantics });
}

const HTTP = { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] };
const tls = (mode: string, ...hosts: string[]) => ({
  port: { number: 443, name: mode, protocol: "TLS" },
  hosts,
  tls: { mode },
});

/** The VirtualService without which no name passes through. */
function passesThrough(name: string): Resource {
  const tls = [
    { match: [{ sniHosts: [name] }], route: [{ destination: { host: "b.foo.svc.cluster.local" } }] },
  ];
  return resource("VirtualService", "v", { hosts: [name], gateways: ["foo/gw"], tls });
}

function call(input: Partial<ConnectionInput> = {}): Connection {
  return new Connection({
    tls: "plaintext",
    principal: null,
    sourceIp: "10.1.0.5",
    destinationIp: "10.9.9.9",
    destinationPort: 8080,
    ...input,
  });
}

test("a gateway listens on the pod's port of its Service's port, and nowhere else", () => {
  const policy = gateway([HTTP]);
  assert.equal(decideConnection(policy, call()).cause, "per-request");
  assert.equal(decideConnection(policy, call({ destinationPort: 80 })).cause, "no-listener");
  assert.equal(decideConnection(policy, call({ tls: "simple" })).cause, "tls-to-plaintext-port");
});

test("a gateway chooses its server by SNI, the most specific host first, and refuses unknown names", () => {
  const servers = [
    tls("PASSTHROUGH", "*.example.com"),
    tls("ISTIO_MUTUAL", "ns/a.example.com"),
    tls("SIMPLE", "*.b.example.com"),
  ];
  const policy = gateway(servers, passesThrough("*.example.com"));
  const chain = (sni: string) => chainOf(policy, call({ tls: "simple", destinationPort: 8443, sni }));
  assert.equal(chain("x.example.com").tls, "pass");
  assert.equal(chain("A.example.com").tls, "terminate");
  assert.equal(chain("x.b.example.com").tls, "terminate-simple");
  assert.equal(chain("example.com").refusal?.cause, "no-chain");
  assert.equal(chain("").refusal?.cause, "no-chain");
  assert.equal(decideConnection(policy, call({ destinationPort: 8443 })).cause, "plaintext-to-tls-port");
  const unrouted = chainOf(
    gateway(servers),
    call({ tls: "simple", destinationPort: 8443, sni: "x.example.com" }),
  );
  assert.equal(
    unrouted.refusal?.cause,
    "no-chain",
    "TLS that no route takes on has no chain to pass through",
  );
});

test("an ISTIO_MUTUAL server wants a certificate of the mesh", () => {
  const policy = gateway([tls("ISTIO_MUTUAL", "*")]);
  const at = { destinationPort: 8443, sni: "a" };
  assert.equal(decideConnection(policy, call({ ...at, tls: "simple" })).cause, "no-client-certificate");
  assert.equal(
    decideConnection(policy, call({ ...at, tls: "rogue", principal: "cluster.local/ns/a/sa/b" })).cause,
    "untrusted-certificate",
  );
  assert.ok(
    decideConnection(policy, call({ ...at, tls: "mtls", principal: "cluster.local/ns/a/sa/b" })).allowed,
  );
});

test("at an ISTIO_MUTUAL server Istio takes any name that the mesh's roots vouch for, strict the mesh's trust domains", () => {
  const servers = [tls("ISTIO_MUTUAL", "*")];
  for (const principal of ["evil/ns/a/sa/b", "cluster.local", "dns:a.example"]) {
    const connection = call({ destinationPort: 8443, sni: "a", tls: "mtls", principal });
    assert.ok(decideConnection(gateway(servers), connection).allowed, principal);
    const strict = decideConnection(gatewayWith("strict", servers), connection);
    assert.equal(strict.cause, "foreign-trust-domain", principal);
  }
});

test("a gateway's remote.ip is the peer, or what N trusted proxies say, mesh-wide or by annotation", () => {
  const rule = authorization("a", { rules: [{ when: [{ key: "remote.ip", values: ["203.0.113.9"] }] }] });
  const decide = (proxies: number, forwardedFor: string) => {
    const config = meshConfig(`defaultConfig: {gatewayTopology: {numTrustedProxies: ${proxies}}}`);
    return decideRequest(gateway([HTTP], rule, config), call(), get("/", ["x-forwarded-for", forwardedFor]))
      .allowed;
  };
  assert.ok(!decide(0, "203.0.113.9"));
  assert.ok(decide(1, "8.8.8.8, 203.0.113.9"));
  assert.ok(!decide(1, "203.0.113.9, 8.8.8.8"));
  assert.ok(decide(2, "203.0.113.9, 8.8.8.8"));
});

test("the egress gateway of the scenario lets each account use its own names alone", async () => {
  const { resources } = await loadResources([
    resolve(import.meta.dirname, "../../../shared/scenarios/egress"),
  ]);
  const mesh = buildMesh(resources);
  const workload = findWorkload(mesh, "istio-egress/istio-egressgateway");
  assert.ok(workload !== undefined);
  const policy = compileInbound(mesh, workload, { semantics: "strict" });
  const decide = (account: string, sni: string) =>
    decideConnection(
      policy,
      call({
        tls: "mtls",
        principal: `cluster.local/ns/${account}`,
        destinationPort: 8443,
        sni,
        alpn: ["istio"],
      }),
    );
  assert.equal(decide("team-a/sa/app-a", "www.ibm.com").policy, "AuthorizationPolicy istio-egress/a-to-ibm");
  assert.equal(
    decide("team-b/sa/app-b", "mongo1.composedb.com").policy,
    "AuthorizationPolicy istio-egress/b-to-mongo1",
  );
  assert.equal(decide("team-a/sa/app-a", "mongo1.composedb.com").cause, "no-allow-matched");
  assert.equal(decide("team-b/sa/app-b", "www.ibm.com").cause, "no-allow-matched");
  assert.equal(decide("team-a/sa/app-a", "evil.com").cause, "no-chain");
  assert.equal(decide("team-a/sa/app-a", "").cause, "no-chain");
});
