import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import fc from "fast-check";
import {
  CLIENT_HELLO_LIMITS,
  type ClientHelloLimits,
  ClientHelloReader,
  type ClientHelloResult,
} from "../../../src/dataplane/codec/client-hello.ts";

const SEED = 20_260_104;

function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function withLength16(...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([u16(body.length), body]);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([u16(type), withLength16(data)]);
}

function serverNames(...names: readonly (string | Buffer)[]): Buffer {
  return extension(
    0,
    withLength16(...names.map((name) => Buffer.concat([Buffer.from([0]), withLength16(Buffer.from(name))]))),
  );
}

function hello(...extensions: readonly Buffer[]): Buffer {
  const fixed = Buffer.concat([
    u16(0x0303),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    withLength16(u16(0x1301)),
    Buffer.from([1, 0]),
  ]);
  return handshake(Buffer.concat([fixed, withLength16(...extensions)]));
}

function handshake(body: Buffer, type = 1): Buffer {
  return Buffer.concat([
    Buffer.from([type, body.length >> 16, (body.length >> 8) & 0xff, body.length & 0xff]),
    body,
  ]);
}

function record(fragment: Buffer, type = 0x16): Buffer {
  return Buffer.concat([Buffer.from([type, 3, 1]), withLength16(fragment)]);
}

/** The message cut into records of the given sizes, the rest in a last one. */
function records(message: Buffer, sizes: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at + size >= message.length) break;
    parts.push(record(message.subarray(at, at + size)));
    at += size;
  }
  parts.push(record(message.subarray(at)));
  return Buffer.concat(parts);
}

function read(
  bytes: Buffer,
  cuts: readonly number[] = [],
  limits: ClientHelloLimits = CLIENT_HELLO_LIMITS,
): ClientHelloResult {
  const reader = new ClientHelloReader(limits);
  let result: ClientHelloResult = { kind: "need-more" };
  let start = 0;
  for (const end of [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)) {
    result = reader.push(bytes.subarray(start, end));
    start = end;
  }
  return reader.push(bytes.subarray(start)) ?? result;
}

function reasonOf(result: ClientHelloResult): string {
  return result.kind === "invalid" ? result.reason : result.kind;
}

/** The first bytes that Node's own TLS client sends. */
function realHello(options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        resolve(chunk);
        done();
      },
    });
    const client = connect({ ...options, socket: wire });
    client.on("error", () => {});
  });
}

test("ClientHelloReader reads the hello of Node's TLS client", async () => {
  const bytes = await realHello({
    servername: "WWW.Ibm.com",
    ALPNProtocols: ["istio", "h2"],
    minVersion: "TLSv1.3",
  });
  const result = read(bytes);
  assert.ok(result.kind === "hello");
  assert.equal(result.serverName, "www.ibm.com");
  assert.deepEqual(result.alpn, ["istio", "h2"]);
  assert.deepEqual(result.supportedVersions, [0x0304]);
  assert.equal(result.hasEncryptedClientHello, false);
  for (let cut = 1; cut < bytes.length; cut++) {
    assert.equal(read(bytes.subarray(0, cut)).kind, "need-more");
    assert.deepEqual(read(bytes, [cut]), result);
  }
});

test("ClientHelloReader reads a hello without SNI, and one without extensions", async () => {
  const bytes = await realHello({});
  const result = read(bytes);
  assert.ok(result.kind === "hello" && !("serverName" in result));
  const bare = handshake(
    Buffer.concat([
      u16(0x0303),
      Buffer.alloc(32),
      Buffer.from([0]),
      withLength16(u16(0x1301)),
      Buffer.from([1, 0]),
    ]),
  );
  assert.equal(read(record(bare)).kind, "hello");
});

test("ClientHelloReader sees Encrypted Client Hello", () => {
  const result = read(record(hello(serverNames("public.example"), extension(0xfe0d, Buffer.alloc(20)))));
  assert.ok(result.kind === "hello" && result.hasEncryptedClientHello);
});

test("ClientHelloReader tells what is not TLS from the first bytes", () => {
  for (const bytes of ["GET / HTTP/1.1\r\n", "\x16\x02", "\x16\x03\x05", "\x80\x2e\x01", "\x15\x03\x01"]) {
    assert.equal(read(Buffer.from(bytes, "latin1")).kind, "not-tls", JSON.stringify(bytes));
  }
  for (const bytes of ["", "\x16", "\x16\x03", "\x16\x03\x04"]) {
    assert.equal(read(Buffer.from(bytes, "latin1")).kind, "need-more", JSON.stringify(bytes));
  }
});

const INVALID_NAMES: readonly (string | Buffer)[] = [
  "www.ibm.com.",
  ".ibm.com",
  "www..ibm.com",
  "10.0.0.1",
  "127.1",
  "0x7f000001",
  "a.0x1",
  "a.1",
  "::1",
  "[::1]",
  "www.ibm.com\0.evil.com",
  "www.ibm.com\0",
  "-a.com",
  "a-.com",
  "a@b.com",
  "*.ibm.com",
  "a b.com",
  "a.com:443",
  "a.com/",
  "b\u00fccher.example",
  Buffer.from("b\xfccher.example", "latin1"),
  `${"a".repeat(64)}.com`,
  `${"a.".repeat(127)}a`,
];

test("ClientHelloReader takes the server names of Istio's own clusters, underscores and all", () => {
  const name = "outbound_.80_._.payroll.finance.svc.cluster.local";
  const result = read(record(hello(serverNames(name))));
  assert.equal(result.kind === "hello" ? result.serverName : result.kind, name);
});

for (const name of INVALID_NAMES) {
  test(`ClientHelloReader refuses the server name ${JSON.stringify(name.toString("latin1" as never)).slice(0, 60)}`, () => {
    assert.equal(reasonOf(read(record(hello(serverNames(name))))), "server-name-invalid");
  });
}

test("ClientHelloReader accepts ordinary server names", () => {
  for (const name of [
    "localhost",
    "a.b-c.d1",
    "xn--bcher-kva.example",
    "1.example",
    "3com",
    `${"a".repeat(63)}.com`,
    `${"a.".repeat(126)}a`,
  ]) {
    const result = read(record(hello(serverNames(name))));
    assert.equal(result.kind === "hello" && result.serverName, name);
  }
});

const sound = hello(serverNames("a.example"));
const INVALID: readonly (readonly [what: string, bytes: Buffer, reason: string])[] = [
  [
    "two SNI extensions",
    record(hello(serverNames("a.example"), serverNames("b.example"))),
    "duplicate-extension",
  ],
  [
    "two equal unknown extensions",
    record(hello(extension(99, u16(1)), extension(99, u16(1)))),
    "duplicate-extension",
  ],
  ["two names", record(hello(serverNames("a.example", "b.example"))), "several-server-names"],
  ["an empty SNI extension", record(hello(extension(0, Buffer.alloc(0)))), "bad-length"],
  ["an empty name list", record(hello(extension(0, u16(0)))), "bad-length"],
  ["an empty name", record(hello(serverNames(""))), "server-name-invalid"],
  [
    "a name of another type",
    record(hello(extension(0, withLength16(Buffer.from("\x01\x00\x01a"), Buffer.alloc(1))))),
    "server-name-type",
  ],
  [
    "a name longer than its list",
    record(hello(extension(0, withLength16(Buffer.from("\x00\x00\x09abc"))))),
    "bad-length",
  ],
  [
    "a list shorter than its extension",
    record(hello(extension(0, Buffer.from("\x00\x04\x00\x00\x01ab")))),
    "bad-length",
  ],
  ["an extension longer than the hello", record(hello(Buffer.from("\x00\x63\x00\x09a"))), "bad-length"],
  ["a cut-off extension header", record(hello(Buffer.from("\x00\x63\x00"))), "bad-length"],
  [
    "an empty protocol id",
    record(hello(extension(16, withLength16(Buffer.from([0, 1, 0x61]))))),
    "alpn-invalid",
  ],
  [
    "an ALPN list that lies",
    record(hello(extension(16, withLength16(Buffer.from([9, 0x61]))))),
    "alpn-invalid",
  ],
  [
    "odd supported versions",
    record(hello(extension(43, Buffer.from([3, 3, 4, 3])))),
    "supported-versions-invalid",
  ],
  ["an empty record", Buffer.concat([record(sound.subarray(0, 9)), record(Buffer.alloc(0))]), "record-empty"],
  ["a first empty record", record(Buffer.alloc(0)), "record-empty"],
  ["a record over 2^14", Buffer.from([0x16, 3, 1, 0x40, 1]), "record-too-large"],
  [
    "an alert in between",
    Buffer.concat([record(sound.subarray(0, 9)), record(u16(1), 0x15)]),
    "record-not-handshake",
  ],
  ["a ServerHello", record(handshake(Buffer.alloc(40), 2)), "handshake-not-client-hello"],
  [
    "a message behind the hello in its record",
    record(Buffer.concat([sound, Buffer.from([1])])),
    "trailing-bytes",
  ],
  ["a hello over the limit", record(Buffer.from([1, 0, 0x40, 0])), "hello-too-large"],
  ["a hello of 16 MiB", record(Buffer.from([1, 0xff, 0xff, 0xff])), "hello-too-large"],
  ["a hello without body", record(handshake(Buffer.alloc(0))), "hello-truncated"],
  [
    "a hello cut in the cipher suites",
    record(handshake(Buffer.concat([Buffer.alloc(34), Buffer.from([0, 0, 8, 1])]))),
    "hello-truncated",
  ],
  [
    "a session id over 32",
    record(handshake(Buffer.concat([Buffer.alloc(34), Buffer.alloc(60, 33)]))),
    "bad-length",
  ],
];

for (const [what, bytes, reason] of INVALID) {
  test(`ClientHelloReader refuses ${what} as ${reason}, however it is cut`, () => {
    assert.equal(reasonOf(read(bytes)), reason);
    assert.equal(
      reasonOf(
        read(
          bytes,
          Array.from({ length: bytes.length }, (_, i) => i),
        ),
      ),
      reason,
    );
  });
}

test("ClientHelloReader limits the input that a hello may take", () => {
  const message = hello(serverNames("a.example"), extension(99, Buffer.alloc(12_000)));
  const oneByteRecords = records(
    message,
    Array.from({ length: message.length }, () => 1),
  );
  assert.equal(reasonOf(read(oneByteRecords)), "input-too-large");
  assert.equal(read(oneByteRecords, [], { ...CLIENT_HELLO_LIMITS, maxInputBytes: 80_000 }).kind, "hello");
});

test("ClientHelloReader ignores what follows the hello: early data, more records", () => {
  const result = read(Buffer.concat([record(sound), record(Buffer.from([1]), 0x14), Buffer.from("junk")]));
  assert.equal(result.kind, "hello");
});

test("ClientHelloReader gives the same result for every cut into packets and records", () => {
  const message = hello(
    serverNames("www.ibm.com"),
    extension(16, withLength16(Buffer.from("\x02h2"))),
    extension(99, Buffer.alloc(50)),
  );
  const whole = read(record(message));
  assert.equal(whole.kind, "hello");
  const property = fc.property(
    fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 200 }),
    fc.array(fc.nat(2_000)),
    (sizes, cuts) => {
      assert.deepEqual(read(records(message, sizes), cuts), whole);
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 1_000 });
});

test("ClientHelloReader never throws, and cuts never matter, on edited hellos", () => {
  const message = hello(
    serverNames("www.ibm.com"),
    extension(16, withLength16(Buffer.from("\x02h2"))),
    extension(43, Buffer.from([2, 3, 4])),
  );
  const edits = fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 });
  const property = fc.property(
    edits,
    fc.nat(40),
    fc.array(fc.nat(300), { maxLength: 5 }),
    (changes, size, cuts) => {
      const bytes = records(message, [size + 1]);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      const whole = read(bytes);
      assert.deepEqual(read(bytes, cuts), whole);
      if (whole.kind === "hello") assert.match(whole.serverName ?? "", /^[a-z0-9._-]*$/);
    },
  );
  fc.assert(property, { seed: SEED, numRuns: 5_000 });
});
