import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { explainedFailure, failureText, handshakeCause } from "../../src/dataplane/connection-failure.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";

const coded = (code: string, message = "raw") => Object.assign(new Error(message), { code });

test("the common failures are told in words, each with its code and how to mend it", () => {
  for (const [code, what, mend] of [
    ["ECONNREFUSED", /nothing listens/, /start the server/],
    ["ENOTFOUND", /cannot be resolved/, /DNS/],
    ["CERT_HAS_EXPIRED", /has ended/, /renew/],
    ["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", /no authority that is trusted/, /caCertificates/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", /other names/, /subjectAltNames/],
    ["ERR_SSL_WRONG_VERSION_NUMBER", /does not speak TLS/, /correct the port/],
    ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", /no TLS version in common/, /TLS 1\.2/],
    ["ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE", /refused the TLS handshake/, /server name/],
    ["ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED", /client certificate is required/, /MUTUAL/],
    ["ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", /refused the certificate/, /trust the authority/],
    ["ERR_SSL_SOMETHING_NEW", /the TLS handshake failed/, /what the other side speaks/],
  ] as const) {
    const { message } = explainedFailure(coded(code));
    for (const pattern of [what, mend]) assert.match(message, pattern);
    assert.ok(message.includes(`(${code})`));
    assert.equal((explainedFailure(coded(code)) as NodeJS.ErrnoException).code, code);
  }
});

test("what is not known stays, without OpenSSL's numbers and file names; our own words stay as they are", () => {
  const raw =
    "40031C140D7F0000:error:0A000410:SSL routines:ssl3_read_bytes:an odd thing:../deps/x.c:918:SSL alert number 40";
  assert.equal(failureText(coded("ODD", raw)), "an odd thing (ODD)");
  assert.equal(failureText(new Error("plain")), "plain");
  const own = new BulwarkError("BW_UPSTREAM_TIMEOUT", "connecting timed out");
  assert.equal(explainedFailure(own), own);
  const odd = coded("ODD");
  assert.equal(explainedFailure(odd), odd);
});

test("a failed handshake has the cause that `can` gives, where it has one", () => {
  assert.equal(handshakeCause("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no-client-certificate");
  assert.equal(handshakeCause("DEPTH_ZERO_SELF_SIGNED_CERT"), "untrusted-certificate");
  assert.equal(handshakeCause("BW_PEER_FOREIGN_TRUST_DOMAIN"), "foreign-trust-domain");
  assert.equal(handshakeCause("BW_PEER_NO_IDENTITY"), "untrusted-certificate");
  for (const code of ["closed", "ERR_SSL_NO_SHARED_CIPHER", "ECONNRESET"])
    assert.equal(handshakeCause(code), undefined);
});

test("TLS to a server that speaks none is told as that, by what Node really says", async () => {
  const server = createServer((socket: Socket) =>
    socket.on("error", () => {}).end("HTTP/1.1 400 Bad Request\r\n\r\n"),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false });
  const error = await new Promise<Error>((resolve) => socket.once("error", resolve));
  server.close();
  assert.match(failureText(error), /^the other side does not speak TLS here \(ERR_SSL_\w+\)$/);
});
