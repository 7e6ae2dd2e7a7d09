/** What comes out of tunnels, to real Envoy put together as a waypoint and to ours: chains, policies, versions of HTTP, paths, forged headers. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { tlsCredentials } from "../../src/identity/rotation.ts";
import { until } from "../dataplane/until.ts";
import {
  localText,
  type OpenedTunnel,
  type RunningWaypoint,
  requestIn,
  startWaypoint,
} from "../dataplane/waypoint/waypoint-fixture.ts";
import { shopText, targetedText, USES } from "../policy/waypoint/waypoint-mesh.ts";
import { startEnvoyWaypoint } from "./envoy-waypoint.ts";

const NET = 187;
const WAIT_MS = 30_000;
const CLIENT = "spiffe://cluster.local/ns/m/sa/c";
const STRANGER = "spiffe://cluster.local/ns/m/sa/x";
const SERVICE = "10.96.0.1";
const ENVOY = "10.1.0.60";

const POLICIES = [
  targetedText(
    { action: "DENY", rules: [{ to: [{ operation: { paths: ["/secret"], ports: ["80"] } }] }] },
    { name: "deny" },
  ),
  targetedText(
    {
      action: "ALLOW",
      rules: [
        {
          from: [{ source: { principals: [CLIENT.slice("spiffe://".length)] } }],
          to: [{ operation: { methods: ["GET"], ports: ["80", "90"] } }],
        },
        {
          from: [{ source: { principals: [CLIENT.slice("spiffe://".length)] } }],
          to: [{ operation: { ports: ["9000"] } }],
        },
      ],
    },
    { name: "allow" },
  ),
].join("");

type Ask = (tunnel: OpenedTunnel) => Promise<string>;

const get =
  (path: string, method = "GET", headers: readonly string[] = []): Ask =>
  async (tunnel) =>
    String(
      (await requestIn(tunnel, method, path, { headers, ...(method === "POST" ? { body: "" } : {}) })).status,
    );

/** What comes back of bytes: all of them, an answer of HTTP's, or nothing at all. */
const bytes =
  (text: string): Ask =>
  async ({ stream }) => {
    let got = "";
    stream.on("data", (chunk: Buffer) => {
      got += chunk.toString("latin1");
    });
    stream.write(text, "latin1");
    await until(() => got !== "" || stream.closed || stream.destroyed, "an end", WAIT_MS);
    return got === text ? "echo" : (/^HTTP\/1\.1 (\d+)/.exec(got)?.[1] ?? "nothing");
  };

const http2 =
  (method: string, path: string): Ask =>
  ({ stream }) => {
    const session = connectHttp2("http://s.m", { createConnection: () => stream });
    session.on("error", () => {});
    return new Promise((resolve, reject) => {
      const request = session.request({ ":method": method, ":path": path }, { endStream: true });
      request.on("response", (headers) => resolve(String(headers[":status"]))).on("error", reject);
      request.resume();
    });
  };

/** INVARIANT: bytes with what ends a head, so that a reader of HTTP has all that it needs to refuse them. */
const NO_HTTP = "\x00\x01 no HTTP\r\n\r\n";

const CASES: readonly (readonly [what: string, port: number, ask: Ask, answer: string, client?: string])[] = [
  ["GET by the client", 80, get("/a"), "200"],
  ["POST by the client", 80, get("/a", "POST"), "403"],
  ["GET by another", 80, get("/a"), "403", STRANGER],
  ["a path that DENY names", 80, get("/secret"), "403"],
  ["the same with a query", 80, get("/secret?a=b"), "403"],
  ["the same by dots", 80, get("/a/../secret"), "403"],
  ["the same by another's escape", 80, get("/%73ecret"), "403"],
  ["the same with a slash more", 80, get("//secret"), "200"],
  ["the same as an absolute target", 80, get("http://s.m/secret"), "403"],
  ["HTTP/2, allowed", 80, http2("GET", "/a"), "200"],
  ["HTTP/2, refused", 80, http2("PUT", "/a"), "403"],
  ["bytes where HTTP is declared", 80, bytes(NO_HTTP), "400"],
  ["bytes by the client", 9000, bytes(NO_HTTP), "echo"],
  ["HTTP where bytes are declared", 9000, bytes("GET /secret HTTP/1.1\r\nhost: s.m\r\n\r\n"), "echo"],
  ["bytes by another", 9000, bytes(NO_HTTP), "nothing", STRANGER],
  ["GET where nothing is declared", 90, get("/a"), "200"],
  ["POST where nothing is declared", 90, get("/a", "POST"), "403"],
  ["HTTP/2 where nothing is declared", 90, http2("GET", "/a"), "200"],
  ["bytes where nothing is declared", 90, bytes(NO_HTTP), "nothing"],
  ["a port that is not declared", 81, bytes(NO_HTTP), "nothing"],
];

async function answerOf(
  open: (client: string, authority: string) => Promise<OpenedTunnel>,
  [, port, ask, , client = CLIENT]: (typeof CASES)[number],
): Promise<string> {
  const tunnel = await open(client, `${SERVICE}:${port}`).catch(() => undefined);
  // Envoy opens the tunnel and breaks it off; ours refuses to open it. The client gets nothing either way.
  if (tunnel === undefined || tunnel.status !== 200) return "nothing";
  try {
    return await ask(tunnel);
  } finally {
    tunnel.stream.close();
  }
}

async function listening(context: TestContext, server: Server): Promise<{ host: string; port: number }> {
  const host = localText("10.1.0.61", NET);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  context.after(() => server.close());
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("it does not listen");
  return { host, port: address.port };
}

/** Beside ours, of the same mesh and identity. */
async function envoyBeside(
  context: TestContext,
  waypoint: RunningWaypoint,
): Promise<readonly IncomingHttpHeaders[]> {
  const seen: IncomingHttpHeaders[] = [];
  const http = createServer((request, response) => {
    seen.push(request.headers);
    request.resume();
    response.end("s");
  });
  const tcp = createTcpServer((socket) => socket.on("error", () => {}).pipe(socket));
  const folder = mkdtempSync(join(tmpdir(), "bulwark-envoy-waypoint-"));
  const svid = waypoint.identity.current;
  assert.ok(svid);
  const { cert, key, ca } = tlsCredentials(svid);
  const file = (name: string, text: unknown): string => {
    writeFileSync(join(folder, name), String(text), { mode: 0o600 });
    return join(folder, name);
  };
  const envoy = await startEnvoyWaypoint({
    mesh: waypoint.mesh,
    serviceAddress: SERVICE,
    address: localText(ENVOY, NET),
    identity: {
      certificateChain: file("chain.pem", cert),
      privateKey: file("key.pem", key),
      trustBundle: file("roots.pem", ca),
    },
    application: { http: await listening(context, http), tcp: await listening(context, tcp) },
    folder,
  });
  context.after(() => {
    envoy.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  return seen;
}

test("real Envoy, put together as a waypoint, answers what comes out of tunnels as ours does", async (context) => {
  const waypoint = await startWaypoint(context, shopText(USES, POLICIES), { net: NET });
  const seenByEnvoys = await envoyBeside(context, waypoint);
  const ours = (client: string, authority: string) => waypoint.open(client, "10.1.0.1", authority);
  const envoys = (client: string, authority: string) =>
    waypoint.open(client, "10.1.0.1", authority, {}, localText(ENVOY, NET));
  const told: Record<string, readonly string[]> = {};
  for (const row of CASES) told[row[0]] = [await answerOf(ours, row), await answerOf(envoys, row)];
  assert.deepEqual(told, Object.fromEntries(CASES.map(([what, , , answer]) => [what, [answer, answer]])));

  const forged = ["x-forwarded-client-cert: URI=spiffe://forged", "x-forwarded-for: 192.0.2.1"];
  const row = ["forged headers", 80, get("/forged", "GET", forged), "200"] as const;
  assert.deepEqual([await answerOf(ours, row), await answerOf(envoys, row)], ["200", "200"]);
  for (const headers of [waypoint.requests.at(-1)?.headers, seenByEnvoys.at(-1)]) {
    assert.equal(headers?.["x-forwarded-client-cert"], undefined);
    assert.equal(headers?.["x-forwarded-for"], "192.0.2.1");
  }
});
