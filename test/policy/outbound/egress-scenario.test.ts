import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Mesh } from "../../../src/model/mesh.ts";
import { compileGateway } from "../../../src/policy/outbound/compile-gateway.ts";
import { compileOutbound } from "../../../src/policy/outbound/compile-outbound.ts";
import { explainOutbound } from "../../../src/policy/outbound/explain-outbound.ts";
import type { ForwardDecision, GatewayPolicy, OutboundDecision } from "../../../src/policy/outbound/types.ts";
import { loadResources } from "../../../src/resources/load.ts";
import { workloadOf } from "./mesh-of.ts";

let mesh: Mesh;
before(async () => {
  const { resources, rejected } = await loadResources(["../shared/scenarios/egress"]);
  assert.deepEqual(rejected, []);
  mesh = buildMesh(resources);
});

function forwarded(decision: OutboundDecision): ForwardDecision {
  assert.equal(decision.kind, "forward", JSON.stringify(decision));
  return decision as ForwardDecision;
}

describe("the egress scenario at the clients", () => {
  const toGateway = (client: string, host: string, subset: string): void => {
    const policy = compileOutbound(mesh, workloadOf(mesh, client));
    const { targets, reason } = forwarded(policy.routeTls({ host, port: 443, sni: host }));
    const [target] = targets;
    assert.equal(reason, "ok");
    assert.equal(target?.name, `outbound|443|${subset}|istio-egressgateway.istio-egress.svc.cluster.local`);
    assert.equal(target.cluster?.tls, "mtls");
    assert.equal(target.sni, subset === "ibm" ? "www.ibm.com" : host);
    assert.deepEqual(target.sans, ["spiffe://cluster.local/ns/istio-egress/sa/istio-egressgateway"]);
    assert.deepEqual(
      target.cluster.endpoints.map(({ port, tls }) => ({ port, tls })),
      [{ port: 8443, tls: "mtls" }],
    );
  };

  test("A's TLS to www.ibm.com goes to the gateway inside mutual TLS", () =>
    toGateway("team-a/app-a", "www.ibm.com", "ibm"));
  test("B's TLS to www.ibm.com goes there as well: it is the gateway that refuses it", () =>
    toGateway("team-b/app-b", "www.ibm.com", "ibm"));
  test("TLS to mongo1.composedb.com goes to the gateway by its own subset", () =>
    toGateway("team-b/app-b", "mongo1.composedb.com", "mongo1"));

  test("a host that is not registered is refused, whatever the protocol", () => {
    const policy = compileOutbound(mesh, workloadOf(mesh, "team-a/app-a"));
    const tls = policy.routeTls({ host: "evil.example", port: 443, sni: "evil.example" });
    const tcp = policy.routeTcp({ host: "evil.example", port: 4444 });
    const http = policy.routeHttp({
      host: "evil.example",
      port: 80,
      authority: "evil.example",
      method: "GET",
      path: "/",
      headers: [],
    });
    for (const decision of [tls, tcp, http]) assert.equal(decision.reason, "blackhole");
    assert.deepEqual([tls.code, tcp.code, http.code], [0, 0, 502]);
  });

  test("TLS without SNI is refused on a port where names alone tell destinations apart", () => {
    const policy = compileOutbound(mesh, workloadOf(mesh, "team-a/app-a"));
    assert.equal(policy.routeTls({ host: "www.ibm.com", port: 443 }).reason, "blackhole");
  });

  test("explainOutbound() names the outbound traffic policy and the missing registration", () => {
    const lines = explainOutbound(mesh, workloadOf(mesh, "team-a/app-a"), {
      protocol: "tls",
      host: "evil.example",
      port: 443,
      sni: "evil.example",
    }).join("\n");
    assert.match(lines, /no Service or ServiceEntry has the host `evil\.example`/);
    assert.match(lines, /outboundTrafficPolicy REGISTRY_ONLY \(of the mesh\)/);
  });

  test("explainOutbound() says that the server name is missing, where it alone would have been enough, and only there", () => {
    const explain = (protocol: "tls" | "tcp", host: string, sni?: string) =>
      explainOutbound(mesh, workloadOf(mesh, "team-a/app-a"), {
        protocol,
        host,
        port: 443,
        ...(sni === undefined ? {} : { sni }),
      }).join("\n");
    const missing = explain("tls", "www.ibm.com");
    assert.match(
      missing,
      /the TLS carried no server name \(SNI\).*`\*\.ibm\.com` \(ServiceEntry istio-egress\/ibm\)/,
    );
    assert.match(missing, /open TLS with the server name `www\.ibm\.com`/);
    assert.doesNotMatch(missing, /mongo1|no Service or ServiceEntry|not by this name/);
    assert.match(explain("tcp", "www.ibm.com"), /the connection was not TLS, so it carried no server name/);
    for (const other of [explain("tls", "evil.example"), explain("tls", "www.ibm.com", "evil.example")]) {
      assert.doesNotMatch(other, /carried no server name/);
      assert.match(other, /no Service or ServiceEntry has the host `evil\.example`/);
    }
  });

  test("application to application stays inside: mutual TLS to the service, found by its short name only at home", () => {
    const a = compileOutbound(mesh, workloadOf(mesh, "team-a/app-a"));
    const request = { port: 80, method: "GET", path: "/", headers: [] };
    const own = forwarded(a.routeHttp({ ...request, host: "app-a", authority: "app-a" }));
    assert.equal(own.targets[0]?.name, "outbound|80||app-a.team-a.svc.cluster.local");
    assert.equal(a.routeHttp({ ...request, host: "app-b", authority: "app-b" }).reason, "blackhole");
    const other = forwarded(a.routeHttp({ ...request, host: "app-b.team-b", authority: "app-b.team-b" }));
    assert.equal(other.targets[0]?.cluster?.tls, "mtls");
  });
});

describe("the egress scenario at the gateway", () => {
  let strict: GatewayPolicy;
  let istio: GatewayPolicy;
  before(() => {
    const gateway = workloadOf(mesh, "istio-egress/istio-egressgateway");
    strict = compileGateway(mesh, gateway);
    istio = compileGateway(mesh, gateway, { semantics: "istio" });
  });

  test("it listens on the Service's target port, in mutual TLS, for the server's hosts", () => {
    const [listener, ...others] = strict.listeners;
    assert.deepEqual(others, []);
    assert.equal(listener?.port, 8443);
    assert.equal(listener.protocol, "tls");
    assert.equal(listener.servers[0]?.tls?.mode, "ISTIO_MUTUAL");
    assert.deepEqual(listener.servers[0].hosts, ["*.ibm.com", "mongo1.composedb.com"]);
  });

  test("a name that no server is for is refused at the handshake", () => {
    assert.ok(strict.selectServer(8443, "www.ibm.com"));
    assert.ok(strict.selectServer(8443, "WWW.ibm.com"), "names ignore case");
    assert.equal(strict.selectServer(8443, "evil.example"), undefined);
    assert.equal(strict.selectServer(8443, undefined), undefined);
    assert.equal(strict.selectServer(443, "www.ibm.com"), undefined, "the Service's port is not the pod's");
  });

  const route = (sni: string, innerSni?: string | null): OutboundDecision =>
    strict.routeTcp({ port: 8443, sni, ...(innerSni === undefined ? {} : { innerSni }) });

  test("the same name outside and inside passes, and the inner one is what is resolved", () => {
    const ibm = forwarded(route("www.ibm.com", "api.ibm.com"));
    assert.equal(ibm.targets[0]?.name, "outbound|443||*.ibm.com");
    assert.equal(ibm.dynamicHost, "api.ibm.com");
    assert.equal(ibm.targets[0].cluster?.tls, "plaintext", "the application's own TLS goes through");
    const mongo = forwarded(route("mongo1.composedb.com", "mongo1.composedb.com"));
    assert.equal(mongo.targets[0]?.name, "outbound|443||mongo1.composedb.com");
  });

  const refused = (decision: OutboundDecision): string | undefined => {
    assert.equal(decision.kind, "refuse", JSON.stringify(decision));
    return decision.kind === "refuse" ? decision.cause : undefined;
  };

  test("a spoofed name outside does not carry another inside", () => {
    assert.equal(refused(route("www.ibm.com", "evil.example")), "inner-name-not-allowed");
    assert.equal(refused(route("www.ibm.com", "mongo1.composedb.com")), "inner-name-not-allowed");
    assert.equal(refused(route("mongo1.composedb.com", "www.ibm.com")), "inner-name-not-allowed");
    assert.equal(refused(route("www.ibm.com", "ibm.com")), "inner-name-not-allowed");
  });

  test("TLS without a name inside is refused, and so is none at all where the name finds the destination", () => {
    assert.equal(refused(route("www.ibm.com", null)), "inner-name-missing");
    assert.equal(refused(route("mongo1.composedb.com", null)), "inner-name-missing");
    assert.equal(refused(route("www.ibm.com")), "inner-name-missing");
    assert.equal(
      forwarded(route("mongo1.composedb.com")).targets[0]?.name,
      "outbound|443||mongo1.composedb.com",
    );
  });

  test("under Istio's semantics the first VirtualService takes everything, and the name outside is trusted", () => {
    const spoofed = forwarded(istio.routeTcp({ port: 8443, sni: "www.ibm.com", innerSni: "evil.example" }));
    assert.equal(spoofed.dynamicHost, "www.ibm.com");
    assert.equal(spoofed.targets[0]?.name, "outbound|443||*.ibm.com");
    const first = forwarded(istio.routeTcp({ port: 8443, sni: "mongo1.composedb.com" }));
    assert.equal(first.targets[0]?.name, "outbound|443||*.ibm.com");
  });
});
