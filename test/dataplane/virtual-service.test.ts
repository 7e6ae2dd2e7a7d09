/** Everything that a VirtualService's HTTP route can ask for, live, one route each. */
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type TestContext, test } from "node:test";
import { type Answer, callThroughSidecar } from "./client.ts";
import { type RunningMesh, startMesh } from "./mesh-fixture.ts";
import { until } from "./until.ts";

const workload = (name: string) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: a}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ${name}, namespace: a, labels: {app: ${name}}}
spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]}
---
`;

const MESH = `${workload("server")}${workload("copy")}
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: a}
spec: {serviceAccountName: client, containers: [{name: app, image: app}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: server, namespace: a}
spec:
  hosts: [server]
  http:
`;

const TO_SERVER = "route: [{destination: {host: server}}]";

/** What the application of the fixture saw. */
interface Seen {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

interface Running {
  readonly mesh: RunningMesh;
  readonly seen: Seen[];
  call(path: string, options?: { method?: string; headers?: string; body?: string }): Promise<Answer>;
}

/** @param route one item of `http`, without its destination where it needs none. */
async function start(
  context: TestContext,
  net: number,
  route: string,
  answer: (nth: number, response: ServerResponse, request: IncomingMessage) => void = (_nth, response) =>
    void response.end("fine"),
): Promise<Running> {
  const seen: Seen[] = [];
  const mesh = await startMesh(context, `${MESH}    - {${route}}\n`, {
    net,
    handler: (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const { method = "", url: path = "", headers } = request;
        seen.push({
          method,
          path,
          host: headers.host ?? "",
          headers,
          body: Buffer.concat(chunks).toString(),
        });
        answer(seen.length, response, request);
      });
    },
  });
  return {
    mesh,
    seen,
    call: (path, { method = "GET", headers = "", body = "" } = {}) =>
      callThroughSidecar(mesh.pod("a/client"), method, `http://server.a${path}`, { headers, body }),
  };
}

const status = (code: number) => (_nth: number, response: ServerResponse) => {
  response.statusCode = code;
  response.end();
};

/** Fails n times, then answers. */
const failing = (times: number, code: number) => (nth: number, response: ServerResponse) => {
  response.statusCode = nth <= times ? code : 200;
  response.end(`try ${nth}`);
};

const breaking = (times: number) => (nth: number, response: ServerResponse, request: IncomingMessage) => {
  if (nth <= times) request.socket.destroy();
  else response.end(`try ${nth}`);
};

for (const [name, net, retries, answer, expected, tries] of [
  ["5xx is tried again until it is none", 90, "attempts: 3, retryOn: 5xx", failing(2, 500), 200, 3],
  ["no oftener than `attempts`", 91, "attempts: 2, retryOn: 5xx", failing(9, 500), 500, 3],
  [
    "a status that no condition names is passed on",
    92,
    "attempts: 3, retryOn: gateway-error",
    status(500),
    500,
    1,
  ],
  ["a number is a status", 93, "attempts: 3, retryOn: '429'", failing(1, 429), 200, 2],
  ["409 is what retriable-4xx means", 94, "attempts: 3, retryOn: retriable-4xx", failing(1, 409), 200, 2],
  [
    "a server that breaks off: its sidecar answers 503",
    95,
    "attempts: 3, retryOn: gateway-error",
    breaking(2),
    200,
    3,
  ],
  [
    "not for connect-failure alone: it may have acted",
    96,
    "attempts: 3, retryOn: connect-failure",
    breaking(9),
    503,
    1,
  ],
  ["attempts: 0 means one try", 97, "attempts: 0", failing(1, 503), 503, 1],
] as const)
  test(`retries: ${name}`, async (context) => {
    const { call, seen, mesh } = await start(context, net, `${TO_SERVER}, retries: {${retries}}`, answer);
    const got = await call("/x", { method: "POST", body: "again" });
    assert.equal(got.status, expected);
    assert.equal(seen.length, tries);
    assert.ok(seen.every(({ method, body }) => method === "POST" && body === "again"));
    const { flows } = mesh.pod("a/client");
    assert.equal(flows.filter(({ kind }) => kind === "request").length, 1, "one request, one record");
  });

test("retries: a try that takes too long is given up, and the next may answer", async (context) => {
  const { call, seen } = await start(
    context,
    98,
    `${TO_SERVER}, retries: {attempts: 2, perTryTimeout: 0.2s, retryOn: "5xx"}`,
    (nth, response) => {
      if (nth > 1) response.end("second");
    },
  );
  const got = await call("/slow");
  assert.deepEqual([got.status, got.body, seen.length], [200, "second", 2]);
});

test("retries: the route's time-out holds for all tries together", async (context) => {
  const { call } = await start(
    context,
    99,
    `${TO_SERVER}, timeout: 0.6s, retries: {attempts: 50, perTryTimeout: 0.2s, retryOn: "5xx"}`,
    () => {},
  );
  const startedMs = performance.now();
  assert.equal((await call("/never")).status, 504);
  assert.ok(performance.now() - startedMs < 9000);
});

test("mirrors get a copy with -shadow, and whatever they do changes nothing", async (context) => {
  const { call, seen, mesh } = await start(
    context,
    100,
    `${TO_SERVER}, mirror: {host: copy}`,
    (_nth, response, request) => {
      if (request.headers.host?.includes("-shadow") === true) request.socket.destroy();
      else response.end("main");
    },
  );
  const got = await call("/m?q", { method: "POST", body: "both" });
  assert.deepEqual([got.status, got.body], [200, "main"]);
  await until(() => seen.length === 2, "the copy");
  assert.deepEqual(seen.map(({ host }) => host).sort(), ["server.a", "server.a-shadow"]);
  assert.ok(seen.every(({ path, body, method }) => path === "/m?q" && body === "both" && method === "POST"));
  await until(
    () => mesh.pod("a/client").flows.some(({ reason }) => reason === "mirror"),
    "the copy's record",
  );
});

test("mirrors: the percentage is kept to; 0 sends none", async (context) => {
  const { call, seen } = await start(
    context,
    101,
    `${TO_SERVER}, mirrors: [{destination: {host: copy}, percentage: {value: 100}}, {destination: {host: copy}, percentage: {value: 0}}]`,
  );
  for (let round = 0; round < 5; round++) assert.equal((await call("/p")).status, 200);
  await until(() => seen.length >= 10, "the copies");
  assert.equal(seen.filter(({ host }) => host.includes("-shadow")).length, 5);
});

test("time-outs answer 504", async (context) => {
  const { call } = await start(context, 102, `${TO_SERVER}, timeout: 0.3s`, () => {});
  assert.equal((await call("/never")).status, 504);
});

test("faults: an abort is answered here, a delay comes first, each by its percentage", async (context) => {
  const aborted = await start(
    context,
    103,
    `${TO_SERVER}, fault: {abort: {httpStatus: 418, percentage: {value: 100}}, delay: {fixedDelay: 0.3s, percentage: {value: 100}}}`,
  );
  const startedMs = performance.now();
  assert.equal((await aborted.call("/a")).status, 418);
  assert.ok(performance.now() - startedMs >= 290, "the delay is before the abort");
  assert.equal(aborted.seen.length, 0);
  const delayed = await start(
    context,
    104,
    `${TO_SERVER}, fault: {delay: {fixedDelay: 0.3s, percentage: {value: 100}}, abort: {httpStatus: 418, percentage: {value: 0}}}`,
  );
  const delayedFromMs = performance.now();
  assert.equal((await delayed.call("/d")).status, 200);
  assert.ok(performance.now() - delayedFromMs >= 290);
});

test("CORS: preflights are answered here, answers to allowed origins say so, others say nothing", async (context) => {
  const { call, seen } = await start(
    context,
    105,
    `${TO_SERVER}, corsPolicy: {allowOrigins: [{exact: "https://a.test"}], allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 60s, allowCredentials: true}`,
    (_nth, response) => {
      response.setHeader("access-control-allow-origin", "https://forged.test");
      response.end("fine");
    },
  );
  const preflight = (origin: string) =>
    call("/c", { method: "OPTIONS", headers: `origin: ${origin}\r\naccess-control-request-method: PUT\r\n` });
  const allowed = await preflight("https://a.test");
  assert.equal(allowed.status, 200);
  assert.match(allowed.head, /^access-control-allow-origin: https:\/\/a.test\r?$/im);
  assert.match(allowed.head, /^access-control-allow-methods: GET,PUT\r?$/im);
  assert.match(allowed.head, /^access-control-max-age: 60\r?$/im);
  assert.equal(seen.length, 0);
  await preflight("https://b.test");
  assert.equal(seen.length, 1, "forwarded, as nothing else is asked for");
  const answered = await call("/c", { headers: "origin: https://a.test\r\n" });
  assert.match(answered.head, /^access-control-allow-origin: https:\/\/a.test\r?$/im);
  assert.match(answered.head, /^access-control-allow-credentials: true\r?$/im);
  assert.match(answered.head, /^access-control-expose-headers: x-b\r?$/im);
  assert.doesNotMatch(answered.head, /forged/);
  assert.match((await call("/c")).head, /forged/, "without an origin it is none of ours");
});

for (const [name, net, route, path, expected] of [
  [
    "redirect",
    106,
    "redirect: {uri: /to, authority: new.test, redirectCode: 302}",
    "/from?q",
    { status: 302, location: "http://new.test/to?q" },
  ],
  [
    "direct response",
    107,
    "directResponse: {status: 503, body: {string: closed}}, headers: {response: {set: {x-a: b}}}",
    "/",
    { status: 503, body: "closed", header: /^x-a: b\r?$/im },
  ],
  [
    "rewrite",
    108,
    `match: [{uri: {prefix: /old/}}], rewrite: {uri: /new/, authority: other.test}, ${TO_SERVER}`,
    "/old/x?q",
    { status: 200, seenPath: "/new/x?q", seenHost: "other.test" },
  ],
  [
    "request headers",
    109,
    `${TO_SERVER}, headers: {request: {set: {x-a: "1"}, add: {x-b: "2"}, remove: [x-c]}}`,
    "/",
    { status: 200, seenHeaders: { "x-a": "1", "x-b": "2", "x-c": undefined } },
  ],
  [
    "response headers",
    110,
    `${TO_SERVER}, headers: {response: {set: {x-set: "1"}, remove: [date]}}`,
    "/",
    { status: 200, header: /^x-set: 1\r?$/im, noHeader: /^date:/im },
  ],
] as const)
  test(`${name} is carried out`, async (context) => {
    const { call, seen } = await start(context, net, route);
    const got = await call(path, { headers: "x-c: mine\r\nx-a: 0\r\n" });
    const wanted: {
      status: number;
      location?: string;
      body?: string;
      header?: RegExp;
      noHeader?: RegExp;
      seenPath?: string;
      seenHost?: string;
      seenHeaders?: Readonly<Record<string, string | undefined>>;
    } = expected;
    assert.equal(got.status, wanted.status);
    if (wanted.location !== undefined) assert.ok(got.head.includes(`location: ${wanted.location}`), got.head);
    if (wanted.body !== undefined) assert.equal(got.body, wanted.body);
    if (wanted.header !== undefined) assert.match(got.head, wanted.header);
    if (wanted.noHeader !== undefined) assert.doesNotMatch(got.head, wanted.noHeader);
    if (wanted.seenPath !== undefined) assert.equal(seen[0]?.path, wanted.seenPath);
    if (wanted.seenHost !== undefined) assert.equal(seen[0]?.host, wanted.seenHost);
    for (const [header, value] of Object.entries(wanted.seenHeaders ?? {}))
      assert.equal(seen[0]?.headers[header], value, header);
  });
