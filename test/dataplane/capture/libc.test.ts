import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "node:test";
import { libc } from "../../../src/dataplane/capture/libc.ts";
import { OriginalDestinations, unmapped } from "../../../src/dataplane/capture/original-destination.ts";

const hasFfi = process.getBuiltinModule("node:ffi") !== undefined;

test("a Node without node:ffi is told so; one with it answers for itself", () => {
  if (hasFfi) assert.equal(libc().close(-1), -1);
  else assert.throws(() => libc(), { code: "BW_NATIVE_CALLS_MISSING" });
});

test("a connection that nothing has redirected has no other destination than its own", {
  skip: !hasFfi && "no node:ffi",
}, async () => {
  const originals = new OriginalDestinations();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.9.53.2", resolve));
  const { port } = server.address() as AddressInfo;
  const client = connect(port, "127.9.53.2");
  const [socket] = await new Promise<[import("node:net").Socket]>((resolve) =>
    server.once("connection", (s) => resolve([s])),
  );
  const found = originals.of(socket);
  // Where connection tracking is off the kernel knows nothing; where it is on, what it knows is this.
  if (found !== undefined) assert.deepEqual(found, { ip: "127.9.53.2", port });
  client.destroy();
  socket.destroy();
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal(originals.of(socket), undefined);
  server.close();
});

test("an IPv4 address in an IPv6 socket's spelling is that IPv4 address", () => {
  assert.equal(unmapped("::ffff:10.244.0.2"), "10.244.0.2");
  assert.equal(unmapped("fd00::2"), "fd00::2");
  assert.equal(unmapped(undefined), undefined);
});
