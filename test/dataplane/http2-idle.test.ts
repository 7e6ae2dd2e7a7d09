/** How long an HTTP/2 connection lasts, and that nothing is left of one that is over. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerHttp2Session } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Deadlines } from "../../src/dataplane/deadlines.ts";
import type { HttpEnvironment } from "../../src/dataplane/http-environment.ts";
import type { HttpService } from "../../src/dataplane/http-service.ts";
import { Http2Idle } from "../../src/dataplane/http2-idle.ts";
import { serveHttp2 } from "../../src/dataplane/http2-server.ts";
import type { Http2Upstreams } from "../../src/dataplane/http2-upstreams.ts";
import { DEFAULT_LIMITS } from "../../src/dataplane/limits.ts";
import { HTTP2_BEGINNING, HTTP2_SERVER_MESH } from "./http2-server-mesh.ts";
import { startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

test("an HTTP/2 connection on which nothing moves is closed", async (context) => {
  const mesh = await startMesh(context, HTTP2_SERVER_MESH, { net: 58, limits: { idleTimeoutMs: 400 } });
  const socket = connect(8080, mesh.pod("a/server").pod.address, () => socket.write(HTTP2_BEGINNING));
  await once(socket.on("error", () => {}).resume(), "close");
});

test("one of which bytes come, or data goes, is not; the time counts from the last of them", () => {
  const idleTimeoutMs = 800;
  const deadlines = { nowMs: 0, watch: () => {}, forget: () => {} };
  const state = { remoteWindowSize: 100, nextStreamID: 2 };
  const socket = { bytesRead: 0 };
  let ended = 0;
  const session = { destroyed: false, state, once: () => {}, destroy: () => ended++ };
  const env = { deadlines, limits: { idleTimeoutMs } } as unknown as HttpEnvironment;
  const idle = new Http2Idle(session as unknown as ServerHttp2Session, socket as unknown as Socket, env);
  const runTo = (endMs: number): void => {
    for (; deadlines.nowMs < endMs && ended === 0; deadlines.nowMs += 50)
      if (deadlines.nowMs >= idle.deadlineMs) idle.onDeadline();
  };
  runTo(700);
  socket.bytesRead++;
  runTo(1400);
  state.remoteWindowSize--;
  runTo(2100);
  assert.equal(ended, 0);
  runTo(4000);
  assert.equal(ended, 1);
  assert.ok(deadlines.nowMs >= 1400 + idleTimeoutMs && deadlines.nowMs <= 1400 + idleTimeoutMs * 1.5);
});

test("of an HTTP/2 connection that is over nothing is kept", async (context) => {
  const deadlines = new Deadlines();
  const sessions: WeakRef<object>[] = [];
  const env = {
    deadlines,
    limits: DEFAULT_LIMITS,
    live: new Set(),
    counters: { requests: 0, denied: 0, failed: 0 },
    flows: { push: () => {} },
  } as unknown as HttpEnvironment;
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sessions.push(new WeakRef(serveHttp2(socket, {} as HttpService, env, {} as Http2Upstreams, () => {})));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    server.close();
    deadlines.close();
  });
  const { port } = server.address() as AddressInfo;
  for (let count = 0; count < 40; count++) {
    const socket = connect(port, "127.0.0.1", () => socket.write(HTTP2_BEGINNING));
    await once(socket, "data");
    if (count % 2 === 0) socket.destroy();
    else socket.end();
    await once(socket, "close");
  }
  await until(() => deadlines.size === 0, "the end of all");
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const left = (): number => {
    collect();
    return sessions.filter((session) => session.deref() !== undefined).length;
  };
  // The last one may still stand in a register.
  await until(() => left() <= 2, "their memory");
});
