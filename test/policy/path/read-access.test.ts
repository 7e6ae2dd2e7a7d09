import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AccessRequest } from "../../../src/policy/path/access-request.ts";
import type { Flight, Sender } from "../../../src/policy/path/journey.ts";
import { arrivalFrom, authorityOf, flightOf, senderOf } from "../../../src/policy/path/read-access.ts";
import { app, meshOf, workloadOf } from "../outbound/mesh-of.ts";

const MESH = meshOf(`${app("a", "proxied")}
apiVersion: v1
kind: Pod
metadata: {name: placed, namespace: a, labels: {security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: own, containers: [{name: app, image: app}]}
status: {podIP: 10.0.0.5}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: a, annotations: {sidecar.istio.io/inject: "false"}}
spec: {serviceAccountName: bare, containers: [{name: app, image: app}]}
`);
const PROXIED = workloadOf(MESH, "a/proxied");
const PLACED = workloadOf(MESH, "a/placed");
const BARE = workloadOf(MESH, "a/bare");

function ask(more: Partial<AccessRequest>): AccessRequest {
  return { to: { workload: "a/placed", port: 8080 }, ...more };
}

test("the Host header: authority before host, then the name that the client uses, else `app`", () => {
  const all = { authority: "1", host: "2", to: { host: "3", service: "4", port: 80 } };
  const { authority: _authority, ...named } = all;
  const { host: _host, ...unnamed } = named;
  assert.equal(authorityOf(all), "1");
  assert.equal(authorityOf(named), "2");
  assert.equal(authorityOf(unnamed), "3");
  assert.equal(authorityOf({ to: { service: "4", port: 80 } }), "4");
  assert.equal(authorityOf(ask({})), "app");
  assert.equal(authorityOf({ host: "", to: { host: "3", port: 80 } }), "", "an empty one is one");
});

describe("the request itself", () => {
  const cases: readonly (readonly [law: string, request: Partial<AccessRequest>, flight: Flight])[] = [
    [
      "is GET / over HTTP/1.1 by default",
      {},
      { protocol: "http", method: "GET", path: "/", authority: "h", headers: [] },
    ],
    [
      "keeps method and path as written, and has names of headers in lower case, values without spaces around",
      {
        method: "put",
        path: "/A?b#c",
        headers: [
          ["X-Key", "  A b "],
          ["x-key", "2"],
        ],
      },
      {
        protocol: "http",
        method: "put",
        path: "/A?b#c",
        authority: "h",
        headers: ["x-key", "A b", "x-key", "2"],
      },
    ],
    [
      "is without what is for the next hop alone: what Connection names, and what HTTP/1.1 keeps between two",
      {
        headers: [
          ["Connection", "close, X-Role"],
          ["x-role", "admin"],
          ["Keep-Alive", "1"],
          ["proxy-connection", "1"],
          ["transfer-encoding", "chunked"],
          ["expect", "100-continue"],
          ["upgrade", "websocket"],
          ["x-kept", "1"],
        ],
      },
      {
        protocol: "http",
        method: "GET",
        path: "/",
        authority: "h",
        headers: ["connection", "close, X-Role", "x-kept", "1"],
      },
    ],
    [
      "keeps an upgrade that Connection names, but for h2c",
      {
        headers: [
          ["connection", "Upgrade"],
          ["upgrade", "websocket"],
          ["Upgrade", "h2c"],
        ],
      },
      {
        protocol: "http",
        method: "GET",
        path: "/",
        authority: "h",
        headers: ["connection", "Upgrade", "upgrade", "websocket"],
      },
    ],
    [
      "over gRPC is a POST of its content type",
      { protocol: "grpc", headers: [["te", "trailers"]] },
      {
        protocol: "grpc",
        method: "POST",
        path: "/",
        authority: "h",
        headers: ["te", "trailers", "content-type", "application/grpc"],
      },
    ],
    [
      "over gRPC with what is given",
      { protocol: "grpc", method: "GET", headers: [["content-type", "application/grpc"]] },
      {
        protocol: "grpc",
        method: "GET",
        path: "/",
        authority: "h",
        headers: ["content-type", "application/grpc"],
      },
    ],
    [
      "carries a token as a bearer's",
      { jwt: "a.b.c" },
      {
        protocol: "http",
        method: "GET",
        path: "/",
        authority: "h",
        headers: ["authorization", "Bearer a.b.c"],
      },
    ],
    [
      "carries claims beside the headers",
      { jwt: { claims: { sub: "me" } }, extAuthz: "deny" },
      {
        protocol: "http",
        method: "GET",
        path: "/",
        authority: "h",
        headers: [],
        claims: { sub: "me" },
        authorizer: "deny",
      },
    ],
    [
      "has a server name of its own only where the application speaks TLS",
      { protocol: "tls", sni: "a.example" },
      { protocol: "tls", method: "GET", path: "/", authority: "h", headers: [], ownSni: "a.example" },
    ],
    [
      "over TLS without a name has none",
      { protocol: "tls" },
      { protocol: "tls", method: "GET", path: "/", authority: "h", headers: [] },
    ],
    [
      "has no server name of its own in clear: it is the connection's",
      { protocol: "tcp", sni: "a.example" },
      { protocol: "tcp", method: "GET", path: "/", authority: "h", headers: [] },
    ],
  ];
  for (const [law, request, flight] of cases)
    test(law, () => assert.deepEqual(flightOf(ask(request), "h"), flight));
});

describe("who sends", () => {
  const identity = "cluster.local/ns/a/sa/own";
  const cases: readonly (readonly [
    law: string,
    from: AccessRequest["from"],
    of: typeof BARE | undefined,
    sender: Sender,
  ])[] = [
    ["nobody in particular", undefined, undefined, { name: "a client", principal: null, ip: "" }],
    ["an address", { ip: "10.1.1.1" }, undefined, { name: "10.1.1.1", principal: null, ip: "10.1.1.1" }],
    [
      "an identity before its address",
      { ip: "10.1.1.1", principal: "x" },
      undefined,
      { name: "x", principal: "x", ip: "10.1.1.1" },
    ],
    ["nobody, said so", { principal: null }, undefined, { name: "a client", principal: null, ip: "" }],
    [
      "a workload: its account and address",
      { workload: "a/placed" },
      PLACED,
      { name: "a/placed", principal: identity, ip: "10.0.0.5" },
    ],
    [
      "a template: its address is not known",
      { workload: "a/proxied" },
      PROXIED,
      { name: "a/proxied", principal: "cluster.local/ns/a/sa/proxied", ip: "" },
    ],
    [
      "a workload without a proxy: no certificate",
      { workload: "a/bare" },
      BARE,
      { name: "a/bare", principal: null, ip: "" },
    ],
    [
      "a workload with what is said otherwise",
      { workload: "a/placed", principal: "other", ip: "10.9.9.9" },
      PLACED,
      { name: "a/placed", principal: "other", ip: "10.9.9.9" },
    ],
    [
      "a workload past its certificate",
      { workload: "a/placed", principal: null },
      PLACED,
      { name: "a/placed", principal: null, ip: "10.0.0.5" },
    ],
  ];
  for (const [law, from, of, sender] of cases)
    test(law, () => assert.deepEqual(senderOf(ask(from === undefined ? {} : { from }), of), sender));
});

describe("the connection that a client itself makes", () => {
  const MESH_SENDER: Sender = { name: "s", principal: "p", ip: "10.0.0.1" };
  const NOBODY: Sender = { name: "s", principal: null, ip: "" };
  const H1 = ["istio-http/1.1", "istio", "http/1.1"];
  const H2 = ["istio-h2", "istio", "h2"];
  const BYTES = ["istio-peer-exchange", "istio"];
  const OWN = ["h2", "http/1.1"];
  const base = { workload: PLACED, port: 15443, destinationIp: "10.0.0.5" };

  const cases: readonly (readonly [
    law: string,
    request: Partial<AccessRequest>,
    sender: Sender,
    arrives: {
      readonly tls: string;
      readonly principal: string | null;
      readonly alpn: readonly string[];
      readonly sni?: string;
    },
  ])[] = [
    ["mutual TLS by who has a certificate", {}, MESH_SENDER, { tls: "mtls", principal: "p", alpn: H1 }],
    [
      "mutual TLS with gRPC inside",
      { protocol: "grpc" },
      MESH_SENDER,
      { tls: "mtls", principal: "p", alpn: H2 },
    ],
    [
      "mutual TLS with bytes inside",
      { protocol: "tcp" },
      MESH_SENDER,
      { tls: "mtls", principal: "p", alpn: BYTES },
    ],
    [
      "mutual TLS with TLS inside",
      { protocol: "tls", sni: "n" },
      MESH_SENDER,
      { tls: "mtls", principal: "p", alpn: BYTES, sni: "n" },
    ],
    [
      "clear by who has none",
      { sni: "n" },
      NOBODY,
      { tls: "plaintext", principal: null, alpn: [], sni: "n" },
    ],
    [
      "the application's own TLS by who has none",
      { protocol: "tls" },
      NOBODY,
      { tls: "simple", principal: null, alpn: OWN },
    ],
    [
      "TLS without a certificate, where that is said",
      { from: { tls: "simple" } },
      MESH_SENDER,
      { tls: "simple", principal: null, alpn: [] },
    ],
    [
      "a certificate that nobody trusts, where that is said",
      { from: { tls: "rogue" } },
      MESH_SENDER,
      { tls: "rogue", principal: "p", alpn: H1 },
    ],
    [
      "a certificate that nobody trusts, of nobody",
      { from: { tls: "rogue" } },
      NOBODY,
      { tls: "rogue", principal: null, alpn: H1 },
    ],
    [
      "the ALPN that is said",
      { from: { alpn: ["x"] } },
      MESH_SENDER,
      { tls: "mtls", principal: "p", alpn: ["x"] },
    ],
    [
      "from outside no mutual TLS",
      { via: "a/gw" },
      MESH_SENDER,
      { tls: "plaintext", principal: null, alpn: [] },
    ],
    [
      "from outside TLS where the client speaks it",
      { via: "a/gw", protocol: "tls" },
      MESH_SENDER,
      { tls: "simple", principal: null, alpn: OWN },
    ],
    [
      "from outside mutual TLS where the identity is said",
      { via: "a/gw", from: { principal: "p" } },
      MESH_SENDER,
      { tls: "mtls", principal: "p", alpn: H1 },
    ],
    [
      "from outside clear where nobody's is said",
      { via: "a/gw", from: { principal: null } },
      NOBODY,
      { tls: "plaintext", principal: null, alpn: [] },
    ],
  ];
  for (const [law, request, sender, arrives] of cases)
    test(law, () => {
      const asked = ask(request);
      const place = { workload: PLACED, port: 15443, address: "10.0.0.5" };
      assert.deepEqual(arrivalFrom(asked, flightOf(asked, "h"), sender, place), {
        ...base,
        sourceIp: sender.ip,
        ...arrives,
      });
    });
});

test("an identity may be written as the certificate has it, with spiffe://", () => {
  const plain = "cluster.local/ns/x/sa/y";
  for (const principal of [plain, `spiffe://${plain}`]) {
    const sender = senderOf(ask({ from: { principal } }), undefined);
    assert.deepEqual([sender.name, sender.principal], [plain, plain]);
  }
  assert.equal(senderOf(ask({ from: { principal: null } }), PROXIED).principal, null);
  assert.equal(senderOf(ask({ from: { principal: "x-spiffe://a" } }), PROXIED).principal, "x-spiffe://a");
});
