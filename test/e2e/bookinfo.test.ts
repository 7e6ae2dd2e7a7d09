import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bulwark } from "../cli/run-bulwark.ts";
import { until } from "../control/until.ts";
import { removeState, startMesh, type TestMesh } from "./running-mesh.ts";

const BOOKINFO = "../shared/real/bookinfo";
const PRODUCTPAGE = "default/productpage-v1";
const folder = mkdtempSync(join(tmpdir(), "bookinfo-"));
let mesh: TestMesh;
let ingress = "";

/** The user's own application: listens where it is told, and reaches out through its environment alone. */
const APPLICATION = `
import { createServer } from "node:http";
createServer(async (request, response) => {
  if (request.url === "/login") process.exit(3);
  const reviews = await fetch("http://reviews:9080/reviews/1", { headers: { "end-user": "jason" } });
  response.end(JSON.stringify({ own: process.env.POD_NAME, account: process.env.SERVICE_ACCOUNT, reviews: await reviews.json() }));
}).listen(process.env.PORT, "127.0.0.1", () => console.log("productpage listens"));
`;

before(async () => {
  const file = join(folder, "app.mjs");
  writeFileSync(file, APPLICATION);
  mesh = await startMesh([
    BOOKINFO,
    "--simulate-external",
    "--app",
    `${PRODUCTPAGE}=exec ${process.execPath} ${file}`,
  ]);
  ingress = (await mesh.status()).pods.find(({ role }) => role === "gateway")?.address ?? "";
  await until(() =>
    mesh.events.some(({ kind, line }) => kind === "output" && line === "productpage listens"),
  );
});
after(async () => {
  assert.equal(await mesh.stop(), 0);
  removeState(mesh);
  rmSync(folder, { recursive: true, force: true });
});

test("the whole sample comes up, with the stock gateway that it counts on", async () => {
  const started = mesh.events.find(({ kind }) => kind === "started");
  assert.match(
    JSON.stringify(started?.notes),
    /istio-system\/istio-ingressgateway is provided as `istioctl install` would/,
  );
  const { pods, stockGateways } = await mesh.status();
  assert.equal(pods.length, 7);
  assert.ok(pods.every(({ connected, report }) => connected && report?.certificate !== null));
  assert.equal(stockGateways.length, 1);
});

test("from outside through the gateway to the user's own application, and on to the version that the routes choose", async () => {
  const response = await fetch(`http://${ingress}:8080/productpage`);
  assert.equal(response.status, 200);
  const page = (await response.json()) as {
    own: string;
    account: string;
    reviews: { workload: string; peer: { uri: string }[] };
  };
  assert.deepEqual([page.own, page.account], ["productpage-v1-0", "bookinfo-productpage"]);
  // virtual-service-reviews-jason-v2-v3.yaml is the last of its name: jason gets v2, everybody else v3.
  assert.equal(page.reviews.workload, "default/reviews-v2");
  assert.equal(page.reviews.peer.at(-1)?.uri, "spiffe://cluster.local/ns/default/sa/bookinfo-productpage");
  const other = await mesh.call(PRODUCTPAGE, "http://reviews:9080/reviews/1");
  assert.equal(JSON.parse(other.answer.body.toString()).workload, "default/reviews-v3");
});

test("a path that no route matches gets 404 from the gateway", async () => {
  assert.equal((await fetch(`http://${ingress}:8080/nowhere`)).status, 404);
});

test("an application that dies is started again", async () => {
  await fetch(`http://${ingress}:8080/login`).catch(() => undefined);
  await until(
    () =>
      mesh.events.filter(({ kind, line }) => kind === "output" && line === "productpage listens").length ===
      2,
  );
  assert.equal((await fetch(`http://${ingress}:8080/productpage`)).status, 200);
});

test("plain HTTP to a registered host gets TLS from the sidecar, as its DestinationRule says", async () => {
  const outcome = await mesh.call(PRODUCTPAGE, "http://www.googleapis.com/books");
  const saw = JSON.parse(outcome.answer.body.toString());
  assert.deepEqual(
    [outcome.answer.status, saw.standIn, saw.sni],
    [200, "www.googleapis.com", "www.googleapis.com"],
  );
});

test("the caller's own TLS to a host that the sidecar opens TLS to is told as TLS inside TLS, in no library's words", async () => {
  const { result, answer, account } = await mesh.call(PRODUCTPAGE, "https://www.googleapis.com/");
  assert.equal(result, "failed");
  assert.match(answer.failure ?? "", /^the other side .*\(E\w+\)$/);
  const [what, why] = account.refusal?.explanation ?? [];
  assert.match(what ?? "", /^the other side refused the TLS handshake \(ERR_SSL_/);
  assert.match(why ?? "", /own TLS goes inside TLS that this proxy opens.*http:\/\//);
  assert.doesNotMatch(String(account.refusal?.explanation), /routines|deps\/openssl/);
});

test("`bulwark env` is what a shell needs to act as the workload", async () => {
  const { code, stdout } = await bulwark(["env", "default/ratings-v1", "--state", mesh.state.root]);
  assert.equal(code, 0);
  assert.match(stdout, /^export HTTP_PROXY='http:\/\/bulwark:[\w-]{20,}@127\.[\d.]+:15001'$/m);
  assert.match(stdout, /^export SERVICE_ACCOUNT='bookinfo-ratings'$/m);
});

test("an application for a workload that is not there is refused before anything starts", async () => {
  const state = join(folder, "other");
  const { code, stderr } = await bulwark([
    "up",
    BOOKINFO,
    "--state",
    state,
    "--app",
    "default/productpage=x",
  ]);
  assert.equal(code, 3);
  assert.match(stderr, /no workload `default\/productpage` .*did you mean `default\/productpage-v1`\?/);
});
