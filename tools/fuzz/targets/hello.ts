import { Duplex } from "node:stream";
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from "node:tls";
import {
  type ClientHello,
  ClientHelloReader,
  type ClientHelloResult,
} from "../../../src/dataplane/codec/client-hello.ts";
import { encodePem } from "../../../src/identity/pem.ts";
import { makeCertificate } from "../certificates.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { type FuzzTarget, law } from "../target.ts";

const CLIENTS: readonly ConnectionOptions[] = [
  { servername: "payroll.finance.svc.cluster.local" },
  {
    servername: "outbound_.80_._.payroll.finance.svc.cluster.local",
    ALPNProtocols: ["istio-peer-exchange", "istio"],
  },
  {
    servername: "www.ibm.com",
    ALPNProtocols: ["h2", "http/1.1"],
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.2",
  },
  { ALPNProtocols: ["http/1.1"] },
  { servername: "a.b", maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" },
  { servername: "xn--bcher-kva.example", minVersion: "TLSv1.3", ecdhCurve: "X25519" },
];

/** First bytes of a TLS connection. */
export const helloTarget: FuzzTarget = {
  name: "hello",
  about: "ClientHellos: packets and records do not matter; name and protocols are those that OpenSSL reads",
  open: async () => {
    const context = serverContext();
    return {
      seeds: await Promise.all(CLIENTS.map(helloOf)),
      words: words(),
      maxInputBytes: 20_000,
      check: async (input) => {
        const result = new ClientHelloReader().push(input);
        checkPackets(input, result);
        if (result.kind !== "hello") return result.kind === "invalid" ? result.reason : result.kind;
        checkRecords(input, result);
        const openssl = await readByOpenssl(context, input);
        checkOpenssl(result, openssl);
        return `hello ${result.serverName !== undefined} ${result.alpn.length} ${result.supportedVersions.length} ${openssl.error ?? "taken"}`;
      },
    };
  },
};

function words(): Buffer[] {
  const extension = (type: number, data: number[]): number[] => [
    type >> 8,
    type & 255,
    data.length >> 8,
    data.length & 255,
    ...data,
  ];
  const name = (text: string, type = 0): number[] => [type, 0, text.length, ...Buffer.from(text)];
  const list = (entries: number[]): number[] => [entries.length >> 8, entries.length & 255, ...entries];
  return [
    extension(0, list(name("evil.example"))),
    extension(0, list([...name("a.example"), ...name("b.example")])),
    extension(0, list(name("x", 1))),
    extension(0, []),
    extension(16, list([2, 0x68, 0x32])),
    extension(16, list([8, ...Buffer.from("http/1.1")])),
    extension(43, [2, 3, 4]),
    extension(43, [4, 3, 4, 3, 3]),
    extension(0xfe0d, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0]),
    [0x16, 3, 1],
    [0x16, 3, 3, 0, 1],
    [0x15, 3, 3, 0, 2, 2, 40],
    [1, 0, 0],
    [0],
    [0xff, 0xff],
    [...Buffer.from("\0.example")],
    [0x2e],
    [0x41],
  ].map((bytes) => Buffer.from(bytes));
}

function helloOf(options: ConnectionOptions): Promise<Buffer> {
  return new Promise((resolve) => {
    const wire = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        done();
        resolve(Buffer.from(chunk));
        setImmediate(() => socket.destroy());
      },
    });
    const socket = connect({ ...options, socket: wire, rejectUnauthorized: false });
    socket.on("error", () => {});
  });
}

function checkPackets(input: Buffer, whole: ClientHelloResult): void {
  const reader = new ClientHelloReader();
  let last: ClientHelloResult = { kind: "need-more" };
  for (const part of pieces(input, Random.of(input))) last = reader.push(part);
  law(JSON.stringify(last) === JSON.stringify(whole), "packets do not matter", () =>
    JSON.stringify([whole, last]),
  );
}

/** The same message in other records, each of a few bytes at least, so that the limit on what comes in is not met. */
function checkRecords(input: Buffer, whole: ClientHello): void {
  const message = handshakeMessage(input);
  const random = Random.of(input);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; ) {
    const length = Math.min(message.length - at, 3 + random.size(random.pick([8, 200, 16_000])));
    parts.push(
      Buffer.from([0x16, 3, random.below(5), length >> 8, length & 0xff]),
      message.subarray(at, at + length),
    );
    at += length;
  }
  const again = new ClientHelloReader().push(Buffer.concat(parts));
  law(JSON.stringify(again) === JSON.stringify(whole), "records do not matter", () =>
    JSON.stringify([whole, again]),
  );
}

function handshakeMessage(input: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 5 <= input.length; at += 5 + input.readUInt16BE(at + 3))
    parts.push(input.subarray(at + 5, at + 5 + input.readUInt16BE(at + 3)));
  const bytes = Buffer.concat(parts);
  return bytes.subarray(0, 4 + bytes.readUIntBE(1, 3));
}

/** What OpenSSL told before it went on or gave up. */
interface OpensslReading {
  readonly serverName: string | undefined;
  readonly protocols: readonly string[] | undefined;
  readonly error: string | undefined;
}

function serverContext(): SecureContext {
  const { certificate, privateKey } = makeCertificate();
  return createSecureContext({
    cert: encodePem("CERTIFICATE", certificate),
    key: privateKey,
    minVersion: "TLSv1.2",
  });
}

function readByOpenssl(secureContext: SecureContext, input: Buffer): Promise<OpensslReading> {
  const { promise, resolve } = Promise.withResolvers<OpensslReading>();
  let serverName: string | undefined;
  let protocols: readonly string[] | undefined;
  const end = (error: string | undefined): void => {
    resolve({ serverName, protocols, error });
    socket.destroy();
    wire.destroy();
  };
  const wire = new Duplex({
    read() {},
    // The server answers: it has taken the hello.
    write(chunk: Buffer, _encoding, done) {
      done();
      end(chunk[0] === 0x15 ? "refused" : undefined);
    },
  });
  const socket = new TLSSocket(wire, {
    isServer: true,
    secureContext,
    SNICallback: (name, done) => {
      serverName = name;
      done(null, secureContext);
    },
    ALPNCallback: (told: { protocols: string[] }) => {
      protocols = told.protocols;
      return told.protocols[0];
    },
  } as ConstructorParameters<typeof TLSSocket>[1]);
  socket.on("error", () => end("refused"));
  socket.on("close", () => end("closed"));
  wire.on("error", () => {});
  wire.push(input);
  // It wants no more than the hello, so no answer means that it waits for what our reader did not.
  setImmediate(() => setImmediate(() => setTimeout(() => end("waits"), 100).unref()));
  return promise;
}

function checkOpenssl({ serverName, alpn }: ClientHello, openssl: OpensslReading): void {
  if (openssl.serverName !== undefined)
    law(openssl.serverName.toLowerCase() === serverName, "the name is OpenSSL's", () =>
      JSON.stringify([openssl, serverName]),
    );
  if (openssl.error === undefined)
    law(openssl.serverName !== undefined || serverName === undefined, "OpenSSL sees the name", () =>
      String(serverName),
    );
  // Node's callback tells octets without their highest bit.
  const told = alpn.map((name) => Buffer.from(name, "latin1").toString("ascii"));
  if (openssl.protocols !== undefined)
    law(JSON.stringify(openssl.protocols) === JSON.stringify(told), "the protocols are OpenSSL's", () =>
      JSON.stringify([openssl, alpn]),
    );
  law(openssl.error !== "waits", "a hello that is whole is whole for OpenSSL");
}
