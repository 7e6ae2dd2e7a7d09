/** Gateways that end the mesh's TLS and find another inside: which names they go by, as Istio does and strictly. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { GatewayConnection, GatewayPolicy } from "../../../src/policy/outbound/types.ts";
import { answer, FRONT, gateway, gatewayOf, refused, virtualService } from "./gateway-fixture.ts";

const TCP_TO = (host: string): string =>
  `route: [{destination: {host: ${host}.foo.svc.cluster.local, port: {number: 9000}}}]`;

describe("terminated TLS with TLS inside", () => {
  const wild = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: foo}
spec: {hosts: ["*.wild.com"], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, ports: [{number: 443, name: tls, protocol: TLS}]}
---
`;
  const server = (hosts: string): string =>
    gateway(`[{port: {number: 443, name: t, protocol: TLS}, hosts: [${hosts}], tls: {mode: ISTIO_MUTUAL}}]`);
  const bound = (name: string, hosts: string, to: string, namespace = "foo"): string =>
    virtualService(name, `{hosts: [${hosts}], gateways: [edge/front], tcp: [{${to}}]}`, namespace);
  const mesh =
    wild +
    server("a.com, foo/b.com, '*.wild.com'") +
    bound("a", "a.com, b.com", TCP_TO("web")) +
    bound("b", "b.com, a.com", TCP_TO("other"), "edge") +
    bound("w", "'*.wild.com'", "route: [{destination: {host: '*.wild.com', port: {number: 443}}}]");
  const strict = gatewayOf(mesh);
  const istio = gatewayOf(mesh, "istio");
  const WEB = "outbound|9000||web.foo.svc.cluster.local";
  const WILD = "outbound|443||*.wild.com";

  const CASES: readonly [
    sni: string | undefined,
    inner: string | null | undefined,
    strictly: string,
    asIstio: string,
  ][] = [
    ["a.com", "a.com", WEB, WEB],
    ["A.com", "B.COM", WEB, WEB],
    ["a.com", undefined, WEB, WEB],
    ["a.com", null, "inner-name-missing", WEB],
    ["a.com", "x.wild.com", "inner-name-not-allowed", WEB],
    ["a.com", "evil.com", "inner-name-not-allowed", WEB],
    ["x.wild.com", "x.wild.com", WILD, WEB],
    ["x.wild.com", "y.wild.com", WILD, WEB],
    ["x.wild.com", undefined, "inner-name-missing", WEB],
    ["x.wild.com", "a.com", "inner-name-not-allowed", WEB],
    ["c.com", "a.com", "no-server", "no-server"],
    [undefined, "a.com", "no-server", "no-server"],
  ];
  for (const [sni, inner, strictly, asIstio] of CASES)
    test(`${sni} outside and ${inner} inside: ${strictly}, and as Istio does: ${asIstio}`, () => {
      const connection: GatewayConnection = {
        port: 8443,
        ...(sni === undefined ? {} : { sni }),
        ...(inner === undefined ? {} : { innerSni: inner }),
      };
      assert.equal(answer(strict.routeTcp(connection)), strictly);
      assert.equal(strict.routeTcp(connection).code, 0, "bytes have no status");
      assert.equal(answer(istio.routeTcp(connection)), asIstio);
    });

  test("names that are resolved are the inner one; as Istio does, the outer", () => {
    const only =
      wild +
      server("'*.wild.com'") +
      bound("w", "'*.wild.com'", "route: [{destination: {host: '*.wild.com', port: {number: 443}}}]");
    const dynamic = (policy: GatewayPolicy): string | undefined => {
      const decision = policy.routeTcp({ port: 8443, sni: "X.wild.com", innerSni: "Y.wild.com" });
      return decision.kind === "forward" ? decision.dynamicHost : undefined;
    };
    assert.equal(dynamic(gatewayOf(only)), "y.wild.com");
    assert.equal(dynamic(gatewayOf(only, "istio")), "x.wild.com");
  });

  test("where one of several choices is a name to be resolved, the inner one has to be there", () => {
    const choice = (host: string, port: number): string =>
      `{destination: {host: "${host}", port: {number: ${port}}}, weight: 1}`;
    const plain = [choice("absent.example", 1), choice("web.foo.svc.cluster.local", 9000)];
    const reached = (choices: readonly string[], innerSni?: string): string | undefined =>
      answer(
        gatewayOf(wild + server("a.com") + bound("v", "a.com", `route: [${choices.join(", ")}]`)).routeTcp({
          port: 8443,
          sni: "a.com",
          ...(innerSni === undefined ? {} : { innerSni }),
        }),
      );
    const some = [...plain, choice("*.wild.com", 443)];
    assert.equal(reached(some), "inner-name-missing");
    assert.equal(reached(some, "a.com"), "outbound|1||absent.example");
    assert.equal(reached(plain), "outbound|1||absent.example");
  });

  test("a connection without a name is for those alone who are for every name", () => {
    const refusal = (hosts: string, own: string): string | undefined =>
      answer(gatewayOf(server(hosts) + bound("v", own, TCP_TO("web"))).routeTcp({ port: 8443 }));
    assert.equal(refusal("'*'", "'*'"), WEB);
    assert.equal(refusal("'*'", "a.com"), "outer-name-not-allowed");
    assert.equal(refusal("'*', a.com", "a.com, '*'"), WEB);
  });

  test("the name outside has to be within hosts of the VirtualService and of the server for its namespace", () => {
    const outer = (hosts: string, own: string, sni: string): string | undefined =>
      answer(gatewayOf(server(hosts) + bound("v", own, TCP_TO("web"))).routeTcp({ port: 8443, sni }));
    assert.equal(outer("'*'", "a.com", "a.com"), WEB);
    assert.equal(outer("'*'", "a.com", "b.com"), "outer-name-not-allowed");
    assert.equal(outer("edge/b.com, a.com", "'*'", "b.com"), "outer-name-not-allowed");
    assert.equal(outer("edge/b.com", "'*'", "b.com"), "no-virtual-service");
    assert.deepEqual(
      gatewayOf(server("'*'") + bound("v", "a.com", TCP_TO("web"))).routeTcp({ port: 8443, sni: "b.com" }),
      refused(FRONT, "0.0.0.0_8443", "outer-name-not-allowed"),
    );
  });
});
