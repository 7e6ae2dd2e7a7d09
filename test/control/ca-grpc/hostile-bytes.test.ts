import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { gzipSync } from "node:zlib";
import type { AuditRecord } from "../../../src/identity/store/ca-store.ts";
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

/** The refusals on record that are about this, once there are so many. */
async function refusals(code: string, count: number): Promise<readonly AuditRecord[]> {
  const until = performance.now() + 60_000;
  for (;;) {
    const found = (await fixture.ca.store.audited(1000)).filter((record) => record.code === code);
    if (found.length >= count || performance.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a message past the limit is refused before it is read, and on record", async () => {
  const before = (await refusals("BW_CA_MESSAGE_TOO_LARGE", 0)).length;
  const answer = await fixture.ask({ token: await fixture.token(), raw: Buffer.alloc(70_000, 1) });
  assert.equal(answer.status, 8);
  const [last] = await refusals("BW_CA_MESSAGE_TOO_LARGE", before + 1);
  assert.equal(last?.kind, "refused");
  assert.match(last.message, /larger than any request that is read, asked for from 127\.0\.0\.1$/);
  const flow = fixture.flows.at(-1);
  assert.deepEqual([flow?.verdict, flow?.reason], ["deny", "BW_CA_MESSAGE_TOO_LARGE"]);
  await stillServes();
});

test("the largest message that is read is read: the limit is exact, and what is wrong with it is told by name", async () => {
  const raw = Buffer.alloc(65_536, 1);
  assert.equal((await fixture.ask({ token: await fixture.token(), raw })).status, 3);
  assert.equal((await fixture.lastAudit()).code, "BW_PROTOBUF");
  assert.equal((await fixture.ask({ token: await fixture.token(), raw: Buffer.alloc(65_537, 1) })).status, 8);
  await refusals("BW_CA_MESSAGE_TOO_LARGE", 2);
});

test("a message that grows past the limit when it is decompressed, or cannot be, is on record", async () => {
  const before = (await refusals("BW_CA_MESSAGE_TOO_LARGE", 0)).length;
  const bomb = await fixture.ask({ compressed: gzipSync(Buffer.alloc(10_000_000)), encoding: "gzip" });
  assert.equal(bomb.status, 8);
  assert.equal((await refusals("BW_CA_MESSAGE_TOO_LARGE", before + 1)).length, before + 1);
  const unknown = await fixture.ask({ compressed: Buffer.from("x"), encoding: "<script>" });
  assert.equal(unknown.status, 12);
  const [last] = await refusals("BW_CA_MESSAGE_UNREADABLE", 1);
  assert.match(last?.message ?? "", /^the call is not one message that can be decompressed, asked for from/);
  await stillServes();
});

test("a flood of oversized messages is counted whole and written in part", async () => {
  const flooded = await CaFixture.open({
    oidc: [],
    limits: { perAddress: { ratePerSecond: 0.001, burst: 5 } },
  });
  try {
    const raw = Buffer.alloc(70_000, 1);
    for (let i = 0; i < 30; i++) assert.equal((await flooded.ask({ raw })).status, 8);
    assert.equal(flooded.counts.refused, 30);
    const written = await flooded.ca.store.audited(100);
    const codes = written.map(({ code }) => code);
    assert.equal(codes.filter((code) => code === "BW_CA_MESSAGE_TOO_LARGE").length, 5);
    // Of those beyond the address's rate one is told of in a second.
    assert.ok(codes.includes("BW_CA_RATE_LIMIT") && written.length < 30, codes.join(" "));
  } finally {
    await flooded.close();
  }
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

test("a connection that is refused at TLS is on record with why, one that merely goes away is not", async () => {
  const before = (await refusals("BW_CA_TLS", 0)).length;
  const gone = connectTcp(fixture.port, "127.0.0.1");
  await once(gone, "connect");
  gone.destroy();
  await sendUntilClosed(randomBytes(4000), undefined);
  const [garbage] = await refusals("BW_CA_TLS", before + 1);
  assert.match(garbage?.message ?? "", /^the handshake failed: [a-z0-9 ]+, asked for from 127\.0\.0\.1$/);
  await sendUntilClosed(Buffer.alloc(0), []);
  const [silent] = await refusals("BW_CA_TLS", before + 2);
  assert.match(silent?.message ?? "", /^the client did not agree on HTTP\/2, asked for from 127\.0\.0\.1$/);
  assert.equal((await refusals("BW_CA_TLS", 0)).length, before + 2);
});

test("a client that knows only TLS 1.2 gets no handshake, which is on record", async () => {
  const before = (await refusals("BW_CA_TLS", 0)).length;
  const socket = connectTls({ host: "127.0.0.1", port: fixture.port, maxVersion: "TLSv1.2", ...tls() });
  const error = await new Promise<Error>((failed, opened) => {
    socket.on("error", failed);
    socket.on("secureConnect", () => opened(new Error("TLS 1.2 was spoken")));
  });
  assert.match(String((error as NodeJS.ErrnoException).code), /PROTOCOL_VERSION|ECONNRESET/);
  const [last] = await refusals("BW_CA_TLS", before + 1);
  assert.match(last?.message ?? "", /handshake failed: unsupported protocol/);
});
