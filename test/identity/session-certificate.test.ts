import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { type ConnectionOptions, connect, createServer, type TLSSocket, type TlsOptions } from "node:tls";
import fc from "fast-check";
import { certificateFromSession, peerCertificateDer } from "../../src/identity/peer-certificate.ts";
import { AUDITOR, credentials, PAYROLL, SEED, testCa } from "./mesh-fixture.ts";

/** What both ends of one connection saw. */
interface Seen {
  readonly server: Buffer | undefined;
  readonly client: Buffer | undefined;
  readonly resumed: boolean;
  readonly protocol: string | null;
  /** For later connections. */
  readonly tickets: readonly Buffer[];
  readonly serverSession: Buffer;
  readonly clientSession: Buffer;
}

async function meshPair(t: TestContext, serverOptions: TlsOptions = {}) {
  const ca = await testCa(t);
  const server = await credentials(ca, { identity: PAYROLL });
  const client = await credentials(ca, { identity: AUDITOR });
  const listener = createServer({ ...server.tls, requestCert: true, ...serverOptions });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => listener.close());
  const { port } = listener.address() as AddressInfo;
  const dial = (options: ConnectionOptions = {}): Promise<Seen> => {
    const base = { host: "127.0.0.1", port, ...client.tls, checkServerIdentity: () => undefined };
    return exchange(t, listener, connect({ ...base, ...options }));
  };
  return { server, client, dial };
}

async function exchange(
  t: TestContext,
  listener: ReturnType<typeof createServer>,
  client: TLSSocket,
): Promise<Seen> {
  const tickets: Buffer[] = [];
  client.on("session", (ticket: Buffer) => tickets.push(ticket));
  t.after(() => client.destroy());
  const accepted = once(listener, "secureConnection") as Promise<[TLSSocket]>;
  await once(client, "secureConnect");
  const [peer] = await accepted;
  t.after(() => peer.destroy());
  peer.on("error", () => {});
  const clientSession = client.getSession() ?? Buffer.alloc(0);
  const serverSession = peer.getSession() ?? Buffer.alloc(0);
  // Tickets come before the first byte of data; a resumed connection brings none.
  peer.write("x");
  await once(client, "data");
  assert.deepEqual(peerCertificateDer(peer), peer.getPeerX509Certificate()?.raw);
  assert.deepEqual(peerCertificateDer(client), certificateFromSession(clientSession));
  const seen: Seen = {
    server: certificateFromSession(serverSession),
    client: certificateFromSession(clientSession),
    resumed: client.isSessionReused(),
    protocol: client.getProtocol(),
    tickets,
    serverSession,
    clientSession,
  };
  return seen;
}

test("certificateFromSession() gives both ends the peer's leaf on a full TLS 1.3 handshake", async (t) => {
  const { server, client, dial } = await meshPair(t);
  const seen = await dial();
  assert.equal(seen.protocol, "TLSv1.3");
  assert.equal(seen.resumed, false);
  assert.deepEqual(seen.server, client.issued.certificate);
  assert.deepEqual(seen.client, server.issued.certificate);
});

test("certificateFromSession() gives both ends the peer's leaf on a resumed TLS 1.3 handshake", async (t) => {
  const { server, client, dial } = await meshPair(t);
  const [ticket] = (await dial()).tickets;
  assert.ok(ticket);
  const seen = await dial({ session: ticket });
  assert.equal(seen.protocol, "TLSv1.3");
  assert.equal(seen.resumed, true);
  assert.deepEqual(seen.server, client.issued.certificate);
  assert.deepEqual(seen.client, server.issued.certificate);
});

test("peerCertificateDer() falls back to the socket's own way when the session is of a form unknown to it", async (t) => {
  const own = await credentials(await testCa(t));
  const x509 = new X509Certificate(own.issued.certificate);
  const unknown = { getSession: () => Buffer.from("another form"), getPeerX509Certificate: () => x509 };
  assert.deepEqual(peerCertificateDer(unknown), own.issued.certificate);
  assert.equal(peerCertificateDer({ ...unknown, getPeerX509Certificate: () => undefined }), undefined);
});

test("certificateFromSession() works with an SNI, an ALPN and TLS 1.2 in the session", async (t) => {
  const { server, client, dial } = await meshPair(t, { ALPNProtocols: ["istio"] });
  for (const maxVersion of ["TLSv1.3", "TLSv1.2"] as const) {
    const seen = await dial({ servername: "payroll.finance", ALPNProtocols: ["istio"], maxVersion });
    assert.equal(seen.protocol, maxVersion);
    assert.deepEqual(seen.server, client.issued.certificate);
    assert.deepEqual(seen.client, server.issued.certificate);
  }
});

test("certificateFromSession() finds nothing when the peer sent no certificate", async (t) => {
  const { server, dial } = await meshPair(t, { rejectUnauthorized: false });
  const seen = await dial({ key: undefined, cert: undefined });
  assert.equal(seen.server, undefined);
  assert.deepEqual(seen.client, server.issued.certificate);
});

test("certificateFromSession() copies, so that the session's master key can be let go", async (t) => {
  const { dial } = await meshPair(t);
  const { server, serverSession } = await dial();
  assert.ok(server);
  serverSession.fill(0);
  assert.notEqual(server[0], 0);
});

test("certificateFromSession() neither throws nor reaches outside, whatever the bytes", async (t) => {
  const { dial } = await meshPair(t);
  const { serverSession, clientSession } = await dial();
  for (const session of [serverSession, clientSession]) fuzzSession(session);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      (bytes) => certificateFromSession(Buffer.from(bytes)) === undefined,
    ),
    { seed: SEED, numRuns: 1000 },
  );
});

function fuzzSession(whole: Buffer): void {
  for (let end = 0; end < whole.length; end++) {
    assert.equal(certificateFromSession(whole.subarray(0, end)), undefined, `cut at ${end}`);
  }
  assert.equal(certificateFromSession(Buffer.concat([whole, Buffer.from([0])])), undefined, "one byte more");
  const edits = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(edits, (changes) => {
      const session = Buffer.from(whole);
      for (const [at, value] of changes) session[at] = value;
      const found = certificateFromSession(session);
      return found === undefined || found.length < session.length;
    }),
    { seed: SEED, numRuns: 2000 },
  );
}
