import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ContextOrigin } from "../../src/authorizer/access-rules.ts";
import { LiveContext, parseContext } from "../../src/authorizer/live-context.ts";
import { until } from "../control/until.ts";

interface Followed {
  readonly live: LiveContext;
  readonly problems: (string | null)[];
}

async function follow(context: TestContext, origin: ContextOrigin): Promise<Followed> {
  const problems: (string | null)[] = [];
  const live = new LiveContext(origin, { onProblem: (problem) => problems.push(problem) });
  context.after(() => live.stop());
  await live.start();
  return { live, problems };
}

function fileIn(context: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "bulwark-context-"));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "context.yaml");
  writeFileSync(path, text);
  return path;
}

test("a file is followed; a broken one keeps its last word for maxAge, then nothing is known", async (context) => {
  const path = fileIn(context, "devices: {a: {healthy: true}}");
  const { live, problems } = await follow(context, { kind: "file", path, maxAgeMs: 2000 });
  assert.deepEqual(live.current, { devices: { a: { healthy: true } } });
  writeFileSync(path, "devices: {a: {healthy: false}}");
  await until(() => JSON.stringify(live.current).includes("false"), 5000);
  writeFileSync(path, "devices: [not, a, table, of, entries, at, all]");
  await until(() => problems.length > 0, 5000);
  assert.match(problems.at(-1) ?? "", /no map of tables/);
  assert.ok(live.current !== undefined, "for a while");
  await until(() => live.current === undefined, 5000);
  writeFileSync(path, "devices: {a: {healthy: true}}");
  await until(() => live.current !== undefined, 5000);
  assert.equal(problems.at(-1), null);
});

test("without a file nothing is known, until there is one", async (context) => {
  const path = fileIn(context, "{}");
  rmSync(path);
  const { live, problems } = await follow(context, { kind: "file", path, maxAgeMs: 300 });
  assert.equal(live.current, undefined);
  assert.match(problems[0] ?? "", /ENOENT/);
  writeFileSync(path, "devices: {}");
  await until(() => live.current !== undefined, 5000);
});

async function serve(context: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/context`;
}

test("an HTTP source is polled; its word counts for maxAge when it hangs, fails, redirects or sends too much", async (context) => {
  let answer: RequestListener = (_request, response) => response.end('{"devices": {"a": {"risk": 1}}}');
  const url = await serve(context, (request, response) => answer(request, response));
  const { live, problems } = await follow(context, {
    kind: "http",
    url,
    everyMs: 20,
    timeoutMs: 100,
    maxAgeMs: 250,
  });
  // On a busy machine even the first answer can come after the time-out; the next one counts then.
  await until(() => live.current !== undefined, 5000);
  assert.deepEqual(live.current, { devices: { a: { risk: 1 } } });
  const failures: readonly (readonly [RequestListener, RegExp])[] = [
    [() => {}, /TimeoutError/],
    [(_request, response) => response.writeHead(500).end(), /answered 500/],
    [
      (_request, response) => response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      /does not answer/,
    ],
    [(_request, response) => response.end("x: [1"), /not valid YAML/],
    [(_request, response) => response.socket?.destroy(), /does not answer/],
  ];
  for (const [failing, expected] of failures) {
    answer = failing;
    await until(() => live.current === undefined, 5000);
    await until(() => expected.test(problems.at(-1) ?? ""), 5000);
    answer = (_request, response) => response.end('{"devices": {}}');
    await until(() => live.current !== undefined, 5000);
  }
});

test("an unchanged answer (304) renews what is known", async (context) => {
  let asked = 0;
  const url = await serve(context, (request, response) => {
    asked += 1;
    if (request.headers["if-none-match"] === '"1"') response.writeHead(304).end();
    else response.writeHead(200, { etag: '"1"' }).end('{"devices": {}}');
  });
  const { live } = await follow(context, { kind: "http", url, everyMs: 20, timeoutMs: 2000, maxAgeMs: 3000 });
  const startedAt = performance.now();
  await until(() => asked > 60 && performance.now() - startedAt > 3500, 20_000);
  assert.ok(live.current !== undefined);
});

test("a context is a map of tables of entries, and nothing else", () => {
  assert.deepEqual(parseContext('{"a": {"b": 1}}'), { a: { b: 1 } });
  for (const text of ["", "1", "[]", "a: 1", "a: []", "a: null", "{"])
    assert.throws(() => parseContext(text), text);
});
