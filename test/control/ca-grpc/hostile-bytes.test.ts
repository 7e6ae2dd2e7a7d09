import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { CaFixture, csrPem } from "./ca-fixture.ts";
import { unaryCall } from "./unary-call.ts";

let fixture: CaFixture;
before(async () => {
  fixture = await CaFixture.open({ oidc: [] });
});
after(() => fixture.close());

const tls = () => ({ ca: fixture.ca.trustBundlePem, servername: "localhost" });

/** Sends these bytes, and returns when the server has ended the connection. */
function sendUntilClosed(bytes: Buffer, protocols: readonly string[] | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket =
    protocols === undefined
      ? connectTcp(fixture.port, "127.0.0.1")
      : connectTls({ host: "127.0.0.1", port: fixture.port, ALPNProtocols: [...protocols], ...tls() });
  socket.on("error", () => {});
  socket.on("close", () => resolve());
  socket.setTimeout(60_000, () => reject(new Error("the server holds the connection")));
  socket.on("data", () => {});
  socket.write(bytes);
  return promise;
}

async function stillServes(): Promise<void> {
  assert.equal((await fixture.ask({ token: await fixture.token() })).status, 0);
}

test("bytes that are no TLS, no HTTP/2 or another protocol end their connection and nobody else's", async () => {
  await sendUntilClosed(randomBytes(4000), undefined);
  await sendUntilClosed(Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), undefined);
  await sendUntilClosed(randomBytes(4000), ["h2"]);
  await sendUntilClosed(Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), ["http/1.1"]);
  await sendUntilClosed(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), randomBytes(4000)]), [
    "h2",
  ]);
  await stillServes();
});

test("a message past the limit is refused before it is read", async () => {
  const answer = await fixture.ask({ token: await fixture.token(), raw: Buffer.alloc(70_000, 1) });
  assert.equal(answer.status, 8);
  await stillServes();
});

test("another method and another service are unknown", async () => {
  const call = {
    port: fixture.port,
    tls: tls(),
    headers: { ":path": "/istio.v1.auth.IstioCertificateService/Sign" },
    body: Buffer.from(await csrPem()),
  };
  assert.equal((await unaryCall(call)).status, 12);
  await stillServes();
});

test("a client that knows only TLS 1.2 gets no handshake", async () => {
  const socket = connectTls({ host: "127.0.0.1", port: fixture.port, maxVersion: "TLSv1.2", ...tls() });
  const error = await new Promise<Error>((failed, opened) => {
    socket.on("error", failed);
    socket.on("secureConnect", () => opened(new Error("TLS 1.2 was spoken")));
  });
  assert.match(String((error as NodeJS.ErrnoException).code), /PROTOCOL_VERSION|ECONNRESET/);
});
