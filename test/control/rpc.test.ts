import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RpcPeer, type RpcPeerOptions } from "../../src/control/rpc.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";

const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close();
});

interface Pair {
  readonly path: string;
  readonly accepted: Promise<RpcPeer>;
}

async function serve(options: RpcPeerOptions): Promise<Pair> {
  const path = join(tmpdir(), `rpc-${randomBytes(6).toString("hex")}.sock`);
  const accepted = Promise.withResolvers<RpcPeer>();
  const server = createServer((socket) => accepted.resolve(new RpcPeer(socket, options)));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { path, accepted: accepted.promise };
}

function raw(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket));
    socket.on("error", reject);
  });
}

async function readAll(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

async function rejection(promise: Promise<unknown>): Promise<BulwarkError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof BulwarkError);
    return error;
  }
  assert.fail("it was expected to fail");
}

test("request() gets the answer of the handler, in both directions on one connection", async () => {
  const { path, accepted } = await serve({ handlers: { double: (n) => Number(n) * 2 } });
  const client = new RpcPeer(await raw(path), { handlers: { name: () => "client" } });
  assert.equal(await client.request("double", 21), 42);
  assert.equal(await (await accepted).request("name", null), "client");
  client.close();
});

test("request() fails with the handler's own code and words, and with no word of an internal error", async () => {
  const internal: unknown[] = [];
  const { path } = await serve({
    handlers: {
      known: () => {
        throw new BulwarkError("BW_KNOWN", "the reason");
      },
      bug: () => {
        throw new Error("password=hunter2");
      },
    },
    onInternalError: (error) => internal.push(error),
  });
  const client = new RpcPeer(await raw(path));
  const known = await rejection(client.request("known", null));
  assert.deepEqual([known.code, known.message], ["BW_KNOWN", "the reason"]);
  const bug = await rejection(client.request("bug", null));
  assert.deepEqual([bug.code, bug.message], ["BW_INTERNAL", "internal error"]);
  assert.equal(internal.length, 1);
  const missing = await rejection(client.request("toString", null));
  assert.match(missing.message, /no method `toString`/);
  client.close();
});

test("request() fails when the connection ends and when the time is up", async () => {
  const { path, accepted } = await serve({ handlers: { never: () => new Promise(() => {}) } });
  const client = new RpcPeer(await raw(path));
  assert.equal((await rejection(client.request("never", null, 20))).code, "BW_RPC_TIMEOUT");
  const waiting = rejection(client.request("never", null));
  (await accepted).close();
  const closed = await waiting;
  assert.equal(closed.code, "BW_RPC_CLOSED");
  assert.match(closed.message, /before `never` was answered/);
  await client.closed;
  assert.equal((await rejection(client.request("never", null))).code, "BW_RPC_CLOSED");
});

test("a message that is none is answered with an error and ends only its own connection", async () => {
  const { path } = await serve({ handlers: { ping: () => "pong" } });
  for (const nonsense of ["{", "[]", "null", '{"jsonrpc":"2.0"}', '{"id":{}}', '"x"']) {
    const { path: other } = await serve({ handlers: {} });
    const socket = await raw(other);
    socket.write(`${nonsense}\n`);
    assert.match(await readAll(socket), /"error":\{"code":-32/, nonsense);
  }
  const client = new RpcPeer(await raw(path));
  assert.equal(await client.request("ping", null), "pong");
  client.close();
});

test("a message above the limit ends the connection before it is whole", async () => {
  const { path } = await serve({ limits: { maxMessageBytes: 1000 } });
  const socket = await raw(path);
  socket.on("error", () => {});
  socket.write("x".repeat(2000));
  assert.match(await readAll(socket), /message too long/);
});

test("requests above the concurrency limit wait, and none is lost", async () => {
  let inWork = 0;
  let most = 0;
  const { path } = await serve({
    limits: { maxConcurrentRequests: 4 },
    handlers: {
      slow: async (n) => {
        most = Math.max(most, ++inWork);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inWork--;
        return n;
      },
    },
  });
  const client = new RpcPeer(await raw(path));
  const answers: unknown[] = [];
  for (let i = 0; i < 5; i++) answers.push(await client.request("slow", i));
  const many = await Promise.all(
    Array.from({ length: 300 }, (_, i) => client.request("slow", "x".repeat(2000) + i)),
  );
  assert.deepEqual(answers, [0, 1, 2, 3, 4]);
  assert.equal(many.length, 300);
  // A chunk that was read already is worked on whole: the bound is one socket read (64 KiB), not the 300 that were sent.
  assert.ok(most < 100, `${most} were in work at one time`);
  client.close();
});

test("a peer that does not read is cut off when what waits for it is above the limit", async () => {
  const { path, accepted } = await serve({ limits: { maxQueuedBytes: 100_000 } });
  const socket = await raw(path);
  socket.on("error", () => {});
  socket.pause();
  const peer = await accepted;
  for (let i = 0; i < 100; i++) peer.notify("news", "x".repeat(50_000));
  await peer.closed;
  socket.destroy();
});

test("RpcPeer survives any bytes, cut anywhere", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), async (chunks) => {
      const { path, accepted } = await serve({ handlers: {} });
      const socket = await raw(path);
      socket.on("error", () => {});
      for (const chunk of chunks) if (!socket.destroyed) socket.write(chunk);
      socket.end();
      await (await accepted).closed;
      socket.destroy();
    }),
    { numRuns: 50, seed: 7 },
  );
});
