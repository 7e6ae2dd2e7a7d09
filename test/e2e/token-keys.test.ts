import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connectAdmin } from "../../src/control/control-link.ts";
import type { FlowRecord } from "../../src/model/flow-record.ts";
import { issuerKey, jwksOf, KeyServer, text, tokenOf } from "../control/jwks/key-server.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const REFRESH_MS = 2000;
const files = mkdtempSync(join(tmpdir(), "tokens-"));
const meshFile = join(files, "mesh.yaml");
const k1 = issuerKey("k1");
const k2 = issuerKey("k2");
const k3 = issuerKey("k3");
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
let keys: KeyServer;
let provider: KeyServer;
let mesh: TestMesh;
let api = "";

/** Keys that each issuer hands out at present. */
let served = jwksOf(k1);

function manifests(deadUri: string): string {
  return `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, sidecar.istio.io/inject: "true"}}
    spec: {containers: [{name: api, image: api, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: shop}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other, sidecar.istio.io/inject: "true"}}
    spec: {containers: [{name: other, image: other}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: issuers, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  jwtRules:
  - {issuer: by-uri, jwksUri: "${keys.url("/keys")}", outputClaimToHeaders: [{header: x-sub, claim: sub}]}
  - {issuer: "${provider.url("/realm")}", timeout: 2s}
  - {issuer: dead, jwksUri: "${deadUri}"}
  - {issuer: metadata, jwksUri: "https://169.254.169.254/keys"}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: with-token, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  rules: [{from: [{source: {requestPrincipals: ["*"]}}]}]
`;
}

before(async () => {
  keys = await KeyServer.start(text(() => served));
  provider = await KeyServer.start((asked, response) => {
    const discovery = asked.url === "/realm/.well-known/openid-configuration";
    response.end(discovery ? JSON.stringify({ jwks_uri: provider.url("/certs") }) : jwksOf(k2));
  });
  const gone = await KeyServer.start(text(""));
  const deadUri = gone.url();
  await gone.stop();
  writeFileSync(meshFile, manifests(deadUri));
  mesh = await startMesh([files, "--jwks-allow", "127.0.0.1", "--jwks-refresh", `${REFRESH_MS}ms`]);
  api = (await mesh.status()).pods.find(({ pod }) => pod === "shop/api-0")?.address ?? "";
  await until(
    async () =>
      (await status("/keys"))?.fetchedAt != null && (await status("configuration"))?.fetchedAt != null,
  );
});
after(async () => {
  agent.destroy();
  await mesh.stop();
  await keys.stop();
  await provider.stop();
  removeState(mesh);
  rmSync(files, { recursive: true, force: true });
});

async function status(part: string) {
  return (await mesh.status()).keys.find(({ url }) => url.includes(part));
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Plaintext to the sidecar, which is PERMISSIVE: the token is all that speaks for the caller. */
function get(token: string | undefined, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: api,
        port: 8080,
        path: "/",
        agent,
        headers: { host: "api.shop", ...authorization, ...headers },
      },
      (response) => {
        let body = "";
        response.on("data", (chunk) => {
          body += String(chunk);
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    asked.on("error", reject);
    asked.end();
  });
}

const statusOf = async (token: string | undefined): Promise<number> => (await get(token)).status;

async function flows(...filter: readonly string[]): Promise<readonly FlowRecord[]> {
  const peer = await connectAdmin(mesh.state);
  const page = await peer.request("flows.query", { filter, order: "newest", limit: 100 }, 10_000);
  peer.close();
  return (page as { flows: readonly { record: FlowRecord }[] }).flows.map(({ record }) => record);
}

test("tokens of an issuer by URI, and of one by discovery, are taken; forged ones are not", async () => {
  assert.equal(await statusOf(await tokenOf(k1, { iss: "by-uri", sub: "a" })), 200);
  assert.equal(await statusOf(await tokenOf(k2, { iss: provider.url("/realm"), sub: "a" })), 200);
  assert.equal(await statusOf(undefined), 403);
  assert.equal(await statusOf(await tokenOf({ ...k3, kid: "k1" }, { iss: "by-uri", sub: "a" })), 401);
  assert.equal(await statusOf(await tokenOf(k2, { iss: "by-uri", sub: "a" })), 401, "another issuer's key");
});

test("an issuer whose keys were never had has its tokens refused, and the flow log and status say why", async () => {
  assert.equal(await statusOf(await tokenOf(k1, { iss: "dead", sub: "a" })), 401);
  assert.equal(await statusOf(await tokenOf(k1, { iss: "metadata", sub: "a" })), 401);
  await until(async () => (await flows("--reason", "jwt-no-keys")).length === 2);
  const [refused] = await flows("--reason", "jwt-no-keys");
  assert.equal(refused?.policy, "RequestAuthentication shop/issuers");
  assert.match(refused?.explanation?.join() ?? "", /keys/);
  const report = (await mesh.status()).keys;
  assert.match(report.find(({ url }) => url.includes("169.254"))?.error ?? "", /not asked/);
  assert.ok(report.some(({ fetchedAt, error }) => fetchedAt === null && error === "ECONNREFUSED"));
});

test("every issuer is asked once for the whole mesh, and only proxies that need its keys have them", async () => {
  assert.deepEqual((await status("/keys"))?.keyIds, ["k1"]);
  const stored = JSON.parse(readFileSync(mesh.state.issuerKeys, "utf8"));
  assert.equal(Object.keys(stored).length, 2);
});

test("rotation under load: with both keys announced first no request fails, and the first token of an unknown key is taken", async () => {
  let stop = false;
  const failures: number[] = [];
  let done = 0;
  let token = await tokenOf(k1, { iss: "by-uri", sub: "load" });
  const load = Array.from({ length: 8 }, async () => {
    while (!stop) {
      const status = await statusOf(token);
      done += 1;
      if (status !== 200) failures.push(status);
    }
  });
  await until(() => done > 200);
  // Past the cool-down of the last fetch: the new key is asked for at once, not at the next refresh.
  await until(() => keys.asked.length >= 2);
  served = jwksOf(k1, k3);
  const fetched = keys.asked.length;
  await until(
    async () => keys.asked.length > fetched || (await statusOf(await tokenOf(k3, { iss: "by-uri" }))) !== 401,
  );
  await until(
    async () => (await statusOf(await tokenOf(k3, { iss: "by-uri", sub: "s" }))) === 200,
    REFRESH_MS + 500,
  );
  token = await tokenOf(k3, { iss: "by-uri", sub: "load" });
  served = jwksOf(k3);
  const doneBefore = done;
  await until(async () => (await status("/keys"))?.keyIds.join() === "k3");
  await until(() => done > doneBefore + 200);
  stop = true;
  await Promise.all(load);
  assert.deepEqual(failures, []);
  assert.equal(await statusOf(await tokenOf(k1, { iss: "by-uri", sub: "s" })), 401, "the old key is gone");
});

test("tokens that name unknown keys, by the hundred, cause no more fetches than one an interval", async () => {
  const before = keys.asked.length;
  const startedMs = performance.now();
  const forged = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      tokenOf({ ...k2, kid: `unknown-${index}` }, { iss: "by-uri", sub: "s" }),
    ),
  );
  for (let round = 0; round < 15; round++)
    for (const status of await Promise.all(forged.map(statusOf))) assert.equal(status, 401);
  const intervals = Math.ceil((performance.now() - startedMs) / REFRESH_MS) + 1;
  assert.ok(keys.asked.length - before <= intervals + 1, `${keys.asked.length - before} in ${intervals}`);
});

test("the last good keys hold while the issuer answers garbage, nothing, slowly, or is killed; and status says so", async () => {
  const token = await tokenOf(k3, { iss: "by-uri", sub: "s" });
  const bad = [text("<html>"), text('{"keys":[]}'), text("", 500), () => {}];
  for (const answer of bad) {
    keys.answer = answer;
    const asked = keys.asked.length;
    await until(() => keys.asked.length > asked);
    assert.equal(await statusOf(token), 200);
  }
  const { port } = keys;
  await keys.stop();
  await until(async () => (await status("/keys"))?.error === "ECONNREFUSED");
  assert.equal(await statusOf(token), 200);
  keys = await KeyServer.start(
    text(() => served),
    port,
  );
  await until(async () => (await status("/keys"))?.error === null);
});

test("a killed control comes back with the last good keys, also while the issuer is away", async () => {
  const { port } = keys;
  await keys.stop();
  const token = await tokenOf(k3, { iss: "by-uri", sub: "s" });
  const { readRunBook } = await import("../../src/control/run-book.ts");
  const control = readRunBook(mesh.state)?.children.find(({ name }) => name === "control");
  assert.ok(control !== undefined);
  process.kill(control.pid, "SIGKILL");
  await until(async () => {
    try {
      return (
        (await status("/keys"))?.error === "ECONNREFUSED" &&
        (await mesh.status()).pods.every(({ connected }) => connected)
      );
    } catch {
      return false;
    }
  });
  assert.deepEqual((await status("/keys"))?.keyIds, ["k3"]);
  assert.equal(await statusOf(token), 200);
  keys = await KeyServer.start(
    text(() => served),
    port,
  );
});
