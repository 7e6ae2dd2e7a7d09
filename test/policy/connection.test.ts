import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, type ConnectionInput } from "../../src/policy/connection.ts";
import { formatIpAddress, type IpAddress } from "../../src/policy/ip-address.ts";

const MADE: ConnectionInput = {
  tls: "mtls",
  principal: "cluster.local/ns/foo/sa/sleep",
  sourceIp: "10.1.0.5",
  destinationIp: "10.20.0.5",
  destinationPort: 8080,
};

const made = (input: Partial<ConnectionInput>): Connection => new Connection({ ...MADE, ...input });
const shown = (address: IpAddress | null): string => (address === null ? "none" : formatIpAddress(address));

/** Everything that the principal tells. */
function identity(principal: string | null): object {
  const { subject, trustDomain, namespace, serviceAccount, account, hasPath } = made({ principal });
  return { subject, trustDomain, namespace, serviceAccount, account, hasPath };
}

/** Everything else. */
function facts(connection: Connection): object {
  const { tls, principal, sourceIp, destinationIp, destinationPort, sni, firstBytes } = connection;
  return {
    tls,
    principal,
    sourceIp,
    destinationIp,
    destinationPort,
    sni,
    firstBytes,
    source: shown(connection.sourceAddress),
    remote: shown(connection.remoteAddress),
    destination: shown(connection.destinationAddress),
    authorizer: connection.authorizer,
  };
}

test("Connection takes an identity of five parts apart", () => {
  assert.deepEqual(identity("cluster.local/ns/foo/sa/sleep"), {
    subject: "spiffe://cluster.local/ns/foo/sa/sleep",
    trustDomain: "cluster.local",
    namespace: "foo",
    serviceAccount: "sleep",
    account: "foo/sleep",
    hasPath: true,
  });
});

test("Connection: an identity that is not <trust domain>/ns/<namespace>/sa/<account> has a trust domain alone", () => {
  for (const path of [
    "",
    "/",
    "/x",
    "/ns/foo",
    "/ns/foo/sa",
    "/ns/foo/sa/",
    "/ns//sa/sleep",
    "/xs/foo/sa/sleep",
    "/ns/foo/xa/sleep",
    "/ns/foo/sa/sleep/",
    "/ns/foo/sa/sleep/x",
    "/ns/bar/sa/ns/foo/sa/sleep",
  ]) {
    assert.deepEqual(
      identity(`cluster.local${path}`),
      {
        subject: `spiffe://cluster.local${path}`,
        trustDomain: "cluster.local",
        namespace: "",
        serviceAccount: "",
        account: "",
        hasPath: path !== "",
      },
      path,
    );
  }
});

test("Connection: a certificate that has only a DNS name is of no trust domain, whatever the name looks like", () => {
  const nobody = { trustDomain: "", namespace: "", serviceAccount: "", account: "" };
  assert.deepEqual(identity("dns:client.example"), {
    subject: "client.example",
    ...nobody,
    hasPath: false,
  });
  assert.deepEqual(identity("dns:a/ns/foo/sa/sleep"), {
    subject: "a/ns/foo/sa/sleep",
    ...nobody,
    hasPath: true,
  });
  assert.deepEqual(identity(null), { subject: null, ...nobody, hasPath: false });
});

test("Connection: what is not told has its defaults: no server name, no ALPN, HTTP, the peer as the original client", () => {
  assert.deepEqual(facts(made({})), {
    ...MADE,
    sni: "",
    firstBytes: { tls: true, alpn: [], speaksHttp: true },
    source: "10.1.0.5",
    remote: "10.1.0.5",
    destination: "10.20.0.5",
    authorizer: undefined,
  });
});

test("Connection keeps what is told; server names are in lower case", () => {
  const told = made({
    tls: "plaintext",
    principal: null,
    remoteIp: "203.0.113.9",
    sni: "WWW.Example",
    alpn: ["h2"],
    speaksHttp: false,
  });
  assert.deepEqual(facts(told), {
    ...MADE,
    tls: "plaintext",
    principal: null,
    sni: "www.example",
    firstBytes: { tls: false, alpn: ["h2"], speaksHttp: false },
    source: "10.1.0.5",
    remote: "203.0.113.9",
    destination: "10.20.0.5",
    authorizer: undefined,
  });
  for (const tls of ["mtls", "simple", "rogue"] as const) assert.ok(made({ tls }).firstBytes.tls, tls);
});

test("Connection: an address that does not parse is none; the peer does not stand in for it", () => {
  const { sourceAddress, remoteAddress, destinationAddress } = made({
    sourceIp: "10.1.0",
    remoteIp: "x",
    destinationIp: "",
  });
  assert.deepEqual([sourceAddress, remoteAddress, destinationAddress], [null, null, null]);
  assert.equal(made({ sourceIp: "x" }).remoteAddress, null);
  assert.equal(made({ remoteIp: "x" }).remoteAddress, null);
});

test("Connection.subjectHash is of the subject: equal ones are equal, and no certificate is as an empty one", () => {
  assert.equal(made({}).subjectHash, made({ sourceIp: "10.9.9.9" }).subjectHash);
  assert.notEqual(made({}).subjectHash, made({ principal: "cluster.local/ns/foo/sa/slept" }).subjectHash);
  assert.equal(made({ principal: null }).subjectHash, made({ principal: "dns:" }).subjectHash);
  assert.equal(made({ principal: "dns:spiffe://a/b" }).subjectHash, made({ principal: "a/b" }).subjectHash);
});

const SEEN: Partial<ConnectionInput> = {
  sni: "www.example",
  alpn: ["istio"],
  speaksHttp: false,
  remoteIp: "203.0.113.9",
};
const PASSED_ON = {
  tls: "mtls",
  principal: null,
  sourceIp: "10.1.0.5",
  destinationIp: "10.20.0.5",
  destinationPort: 8080,
  firstBytes: { tls: true, alpn: ["istio"], speaksHttp: false },
  source: "10.1.0.5",
  remote: "203.0.113.9",
  destination: "10.20.0.5",
  authorizer: undefined,
};

test("Connection.anonymous is the same without an identity, with its server name; made once", () => {
  const connection = made(SEEN);
  assert.deepEqual(facts(connection.anonymous), { ...PASSED_ON, sni: "www.example" });
  assert.equal(connection.anonymous.subject, null);
  assert.equal(connection.anonymous, connection.anonymous);
  const nobody = made({ ...SEEN, principal: null });
  assert.equal(nobody.anonymous, nobody);
});

test("Connection.opaque is the same without identity and server name; made once, and only where there is either", () => {
  const connection = made(SEEN);
  assert.deepEqual(facts(connection.opaque), { ...PASSED_ON, sni: "" });
  assert.equal(connection.opaque, connection.opaque);
  assert.equal(made({ ...SEEN, principal: null }).opaque.sni, "");
  assert.equal(made({ principal: "a/b", sni: "" }).opaque.principal, null);
  const nobody = made({ principal: null, sni: "" });
  assert.equal(nobody.opaque, nobody);
});

test("where nobody says who ends HTTP it is a sidecar, which tells of a client's certificate only where there is one", () => {
  const { hop } = made({ principal: "cluster.local/ns/foo/sa/sleep" });
  assert.equal(hop.position, "sidecar");
  assert.match(hop.clientCert ?? "", /;URI=spiffe:\/\/cluster\.local\/ns\/foo\/sa\/sleep$/);
  assert.deepEqual(made({ principal: null, tls: "plaintext" }).hop, { position: "sidecar" });
  assert.deepEqual(made({ hop: { position: "gateway" } }).hop, { position: "gateway" });
});
