/** Headers that are the proxy's own word, as policies see them. @see Envoy, mutateRequestHeaders */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, type ConnectionInput } from "../../src/policy/connection.ts";
import { HttpRequest } from "../../src/policy/http-request.ts";
import { type HttpHop, proxyHeader, SIDECAR_HOP } from "../../src/policy/proxy-headers.ts";

const PEER = "10.1.2.3";
const OWN = 'By=spiffe://m/ns/a/sa/server;Hash=ab;Subject="";URI=spiffe://m/ns/a/sa/client';
const FORGED = "URI=spiffe://m/ns/x/sa/admin";
const XFCC = "x-forwarded-client-cert";

interface Case {
  readonly law: string;
  readonly header: string;
  readonly sent?: readonly string[];
  readonly hop: HttpHop;
  readonly tls?: ConnectionInput["tls"];
  readonly trusted?: number;
  readonly seen: string | null;
}

const SIDECAR: HttpHop = { position: "sidecar" };
const GATEWAY: HttpHop = { position: "gateway" };

const CASES: readonly Case[] = [
  { law: "plaintext has no certificate to tell of", header: XFCC, sent: [FORGED], hop: SIDECAR, seen: null },
  { law: "nor at a gateway", header: XFCC, sent: [FORGED], hop: GATEWAY, seen: null },
  {
    law: "a sidecar tells of its client",
    header: XFCC,
    hop: { ...SIDECAR, clientCert: OWN },
    tls: "mtls",
    seen: OWN,
  },
  {
    law: "a sidecar appends",
    header: XFCC,
    sent: [FORGED],
    hop: { ...SIDECAR, clientCert: OWN },
    tls: "mtls",
    seen: `${FORGED},${OWN}`,
  },
  {
    law: "an empty text leaves nothing behind, or rules on how it begins would be got round",
    header: XFCC,
    sent: [""],
    hop: { ...SIDECAR, clientCert: OWN },
    tls: "mtls",
    seen: OWN,
  },
  {
    law: "an empty text leaves nothing behind",
    header: "x-forwarded-for",
    sent: [""],
    hop: GATEWAY,
    seen: PEER,
  },
  {
    law: "not behind an open quote",
    header: XFCC,
    sent: ['Subject="'],
    hop: { ...SIDECAR, clientCert: OWN },
    tls: "mtls",
    seen: OWN,
  },
  {
    law: "a gateway replaces",
    header: XFCC,
    sent: [FORGED],
    hop: { ...GATEWAY, clientCert: OWN },
    tls: "mtls",
    seen: OWN,
  },
  { law: "a sidecar leaves it", header: "x-forwarded-for", sent: ["1.2.3.4"], hop: SIDECAR, seen: "1.2.3.4" },
  {
    law: "a gateway appends its peer",
    header: "x-forwarded-for",
    sent: ["1.2.3.4", "5.6.7.8"],
    hop: GATEWAY,
    seen: `1.2.3.4,5.6.7.8,${PEER}`,
  },
  { law: "a gateway names its peer", header: "x-forwarded-for", hop: GATEWAY, seen: PEER },
  { law: "a sidecar believes", header: "x-forwarded-proto", sent: ["https"], hop: SIDECAR, seen: "https" },
  { law: "a sidecar fills in", header: "x-forwarded-proto", hop: SIDECAR, tls: "mtls", seen: "https" },
  {
    law: "a gateway believes nobody",
    header: "x-forwarded-proto",
    sent: ["https"],
    hop: GATEWAY,
    seen: "http",
  },
  {
    law: "a gateway that trusts proxies before it believes them",
    header: "x-forwarded-proto",
    sent: ["https"],
    hop: GATEWAY,
    trusted: 1,
    seen: "https",
  },
  {
    law: "a gateway that trusts proxies before it fills in what they do not say",
    header: "x-forwarded-proto",
    hop: GATEWAY,
    trusted: 2,
    tls: "simple",
    seen: "https",
  },
  {
    law: "a gateway knows its own TLS",
    header: "x-forwarded-proto",
    sent: ["http"],
    hop: GATEWAY,
    tls: "simple",
    seen: "https",
  },
  {
    law: "a sidecar leaves it",
    header: "x-envoy-external-address",
    sent: ["1.2.3.4"],
    hop: SIDECAR,
    seen: "1.2.3.4",
  },
  {
    law: "a gateway's peer",
    header: "x-envoy-external-address",
    sent: ["1.2.3.4"],
    hop: GATEWAY,
    seen: PEER,
  },
  { law: "a sidecar leaves it", header: "x-envoy-retry-on", sent: ["5xx"], hop: SIDECAR, seen: "5xx" },
  { law: "a gateway takes no orders", header: "x-envoy-retry-on", sent: ["5xx"], hop: GATEWAY, seen: null },
];

for (const { law, header, sent = [], hop, tls = "plaintext", trusted = 0, seen } of CASES) {
  test(`${header} at a ${hop.position}, ${tls}, ${trusted} trusted, sent ${sent.length === 0 ? "nothing" : sent}: ${law}`, () => {
    const principal = tls === "mtls" ? "m/ns/a/sa/client" : null;
    const place = { sourceIp: PEER, destinationIp: "10.0.0.1", destinationPort: 80 };
    const connection = new Connection({ tls, principal, ...place, hop });
    const headers = sent.flatMap((value) => [header, value]);
    const request = HttpRequest.read("BASE", "GET", "/", "app", headers);
    assert.ok(request !== null);
    const atGateway = trusted === 0 ? null : { entryFromRight: trusted - 1 };
    const trust = hop.position === "sidecar" ? { entryFromRight: 0 } : atGateway;
    assert.equal(proxyHeader(header)?.(request, connection, trust), seen);
  });
}

test("behind trusted proxies the external address is the one that the outermost of them saw", () => {
  const place = { sourceIp: PEER, destinationIp: "10.0.0.1", destinationPort: 80 };
  const connection = new Connection({ tls: "plaintext", principal: null, ...place, hop: GATEWAY });
  const request = HttpRequest.read("BASE", "GET", "/", "app", ["x-forwarded-for", "9.9.9.9, 1.2.3.4"]);
  assert.ok(request !== null);
  assert.equal(
    proxyHeader("x-envoy-external-address")?.(request, connection, { entryFromRight: 0 }),
    "1.2.3.4",
  );
});

test("other headers are the client's", () => {
  for (const name of ["x-role", "x-envoy", "authorization", "forwarded"])
    assert.equal(proxyHeader(name), undefined);
});

test("a connection is a sidecar's unless it says otherwise", () => {
  const place = { sourceIp: PEER, destinationIp: "10.0.0.1", destinationPort: 80 };
  const connection = new Connection({ tls: "plaintext", principal: null, ...place });
  const request = HttpRequest.read("BASE", "GET", "/", "app", ["x-forwarded-for", "1.2.3.4"]);
  assert.ok(request !== null);
  assert.deepEqual(SIDECAR_HOP, { position: "sidecar" });
  assert.equal(proxyHeader("x-forwarded-for")?.(request, connection, { entryFromRight: 0 }), "1.2.3.4");
});

test("a gateway whose peer is unknown makes no address of it", () => {
  const place = { sourceIp: "", destinationIp: "10.0.0.1", destinationPort: 80 };
  const connection = new Connection({ tls: "plaintext", principal: null, ...place, hop: GATEWAY });
  const read = (header: string, sent: readonly string[]): string | null | undefined => {
    const request = HttpRequest.read("BASE", "GET", "/", "app", sent);
    assert.ok(request !== null);
    return proxyHeader(header)?.(request, connection, null);
  };
  assert.equal(read("x-forwarded-for", []), null);
  assert.equal(read("x-forwarded-for", ["x-forwarded-for", "1.2.3.4"]), "1.2.3.4");
  assert.equal(read("x-envoy-external-address", ["x-envoy-external-address", "1.2.3.4"]), null);
});
