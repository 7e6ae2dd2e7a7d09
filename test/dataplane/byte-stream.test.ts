import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, test } from "node:test";
import { ByteStream } from "../../src/dataplane/byte-stream.ts";
import { LentReads } from "../../src/dataplane/lent-reads.ts";
import { giveBlock, takeBlock } from "../../src/dataplane/write-blocks.ts";

const NOTHING = { onData: () => {}, onDrain: () => {}, onEnd: () => {}, onClose: () => {} };
const servers: Server[] = [];
const sockets: Socket[] = [];
after(() => {
  for (const server of servers) server.close();
  for (const socket of sockets) socket.destroy();
});

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.push(socket);
    onConnection(socket);
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A server of `length` bytes of one letter, relayed by lent reads to a client that reads only after `delayMs`. */
async function relayed(letter: string, length: number, head: string, delayMs: number): Promise<string> {
  const source = await listen((socket) => socket.end(Buffer.alloc(length, letter)));
  const relay = await listen((socket) => {
    const reads = new LentReads();
    const client = new ByteStream(socket, { ...NOTHING, onDrain: () => upstream.resume() });
    let first = head;
    const upstream: ByteStream = new ByteStream(
      connect({ port: source, host: "127.0.0.1", onread: reads.onread, allowHalfOpen: true }),
      {
        ...NOTHING,
        onData: (chunk) => {
          if (!client.relay(upstream, chunk, first)) upstream.pause();
          first = "";
          // Whoever relays without a copy would send this instead.
          chunk.fill("!");
        },
        onEnd: () => client.end(),
      },
      reads,
    );
    sockets.push(upstream.socket);
  });
  const socket = connect(relay, "127.0.0.1");
  sockets.push(socket);
  const chunks: Buffer[] = [];
  setTimeout(() => socket.on("data", (chunk: Buffer) => chunks.push(chunk)), delayMs);
  await once(socket, "end");
  return Buffer.concat(chunks).toString("latin1");
}

test("relay() sends what was read, although the reads' buffer is used again at once by every stream", async () => {
  const cases: [string, number, string][] = [
    ["a", 10, "head\r\n"],
    ["b", 4_000, ""],
    ["c", 100_000, "head\r\n"],
    // More than the system's buffers take: back-pressure, and chunks that wait in ours.
    ["d", 16 << 20, ""],
    ["e", 16 << 20, "head\r\n"],
  ];
  const received = await Promise.all(
    cases.map(([letter, length, head], at) => relayed(letter, length, head, at * 50)),
  );
  for (const [at, [letter, length, head]] of cases.entries())
    assert.ok(received[at] === head + letter.repeat(length), `${letter}: ${received[at]?.length} characters`);
});

test("a stream with lent reads tells the end, and resumes after a pause", async () => {
  const port = await listen((socket) => socket.end("hello"));
  const reads = new LentReads();
  const seen: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ port, host: "127.0.0.1", onread: reads.onread, allowHalfOpen: true });
  const stream = new ByteStream(
    socket,
    {
      ...NOTHING,
      onData: (chunk) => seen.push(chunk.toString()),
      onEnd: () => {
        seen.push("end");
        stream.end();
      },
      onClose: () => resolve(),
    },
    reads,
  );
  await once(socket, "connect");
  stream.pause();
  await new Promise((done) => setImmediate(done));
  const whilePaused = seen.length;
  stream.resume();
  await promise;
  assert.ok(whilePaused === 0 || seen[0] === "hello");
  assert.deepEqual(seen, ["hello", "end"]);
});

test("blocks come back from readers that never read and are cut off, and too many at a time are refused", async () => {
  const port = await listen(() => {});
  const free = blocksFree();
  const chunk = Buffer.alloc(100_000);
  const streams = await Promise.all(Array.from({ length: 8 }, () => stuckStream(port, chunk)));
  assert.ok(blocksFree() < free, "a reader that does not read holds blocks");
  await Promise.all(
    streams.map(async (stream) => {
      stream.destroy();
      await once(stream.socket, "close");
    }),
  );
  await new Promise((done) => setImmediate(done));
  assert.equal(blocksFree(), free);
});

/** A stream with a write under way that does not end. */
async function stuckStream(port: number, chunk: Buffer): Promise<ByteStream> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const stream = new ByteStream(socket, NOTHING);
  for (let written = 0; written < 200 && socket.writableLength < 5 * chunk.length; written++) {
    stream.relay(stream, chunk, "head");
    await new Promise((done) => setImmediate(done));
  }
  return stream;
}

function blocksFree(): number {
  const taken: Buffer[] = [];
  for (let block = takeBlock(100_000); block !== undefined; block = takeBlock(100_000)) taken.push(block);
  for (const block of taken) giveBlock(block, true);
  return taken.length;
}
