import assert from "node:assert/strict";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import {
  clientHello,
  inPackets,
  inRecords,
  withEncryptedHello,
  withServerNames,
  withTwoNameExtensions,
} from "../../src/attack/client-hello-bytes.ts";
import { parseAnswers } from "../../src/attack/http-answer.ts";
import { http2AnswerStatus, http2RequestBytes } from "../../src/attack/http2-bytes.ts";
import { pathAdvice } from "../../src/attack/path-advice.ts";
import { readingsOf, removeDots } from "../../src/attack/path-readings.ts";
import { pathVariants } from "../../src/attack/path-variants.ts";
import { ClientHelloReader, type ClientHelloResult } from "../../src/dataplane/codec/client-hello.ts";

function read(...chunks: readonly Buffer[]): ClientHelloResult {
  const reader = new ClientHelloReader();
  let result: ClientHelloResult = { kind: "need-more" };
  for (const chunk of chunks) result = reader.push(chunk);
  return result;
}

test("clientHello() is a real hello with the name asked for, and with none for the empty name", async () => {
  const named = read(await clientHello("www.ibm.com"));
  assert.equal(named.kind === "hello" && named.serverName, "www.ibm.com");
  const unnamed = read(await clientHello(""));
  assert.equal(unnamed.kind, "hello");
  assert.equal(unnamed.kind === "hello" && unnamed.serverName, undefined);
});

test("changed hellos are what they say: another name, two names, two extensions, encrypted", async () => {
  const hello = await clientHello("a.example");
  const other = read(withServerNames(hello, "b.example"));
  assert.equal(other.kind === "hello" && other.serverName, "b.example");
  const two = read(withServerNames(hello, "a.example", "b.example"));
  assert.equal(two.kind === "invalid" && two.reason, "several-server-names");
  const twice = read(withTwoNameExtensions(hello, "a.example", "b.example"));
  assert.equal(twice.kind === "invalid" && twice.reason, "duplicate-extension");
  const hidden = read(withEncryptedHello(hello));
  assert.equal(hidden.kind === "hello" && hidden.hasEncryptedClientHello, true);
});

test("a hello in small records and packets is the same hello", async () => {
  const hello = await clientHello("a.example");
  const cut = read(...inPackets(inRecords(hello, 7), 50));
  assert.equal(cut.kind === "hello" && cut.serverName, "a.example");
});

test("removeDots() follows RFC 3986 §5.2.4", () => {
  assert.equal(removeDots("/a/b/c/./../../g"), "/a/g");
  assert.equal(removeDots("/a/b/.."), "/a/");
  assert.equal(removeDots("/../../x"), "/x");
});

test("readingsOf() finds the refused path in each family of spellings, the standard's readings first", () => {
  const by = (received: string) => readingsOf(received).find(({ path }) => path === "/salaries");
  assert.deepEqual([by("/salaries")?.standard, by("/a/%2e%2e/salaries")?.standard], [true, true]);
  assert.equal(by("/s%61laries")?.standard, true);
  assert.match(by("/a/..%2fsalaries")?.by ?? "", /%2f/);
  assert.match(by("//salaries")?.by ?? "", /merged/);
  assert.match(by("/a/..;/salaries")?.by ?? "", /parameters/);
  assert.match(by("/SALARIES")?.by ?? "", /case/);
  assert.equal(by("/accounts/7"), undefined);
});

test("pathAdvice() names a normalisation only where it closes the way; %252e is closed by none", () => {
  const advise = (sent: string, allowed = /^\/accounts\//, byAllowRule = true) => {
    const reading = readingsOf(sent).find(({ path }) => path === "/salaries");
    assert.ok(reading !== undefined && !reading.standard, sent);
    const refuses = (path: string) => !allowed.test(path);
    return pathAdvice([{ sent, reading, denied: "/salaries", refuses, byAllowRule }], "BASE");
  };
  const set = "set meshConfig.pathNormalization.normalization to";
  assert.equal(advise("/accounts/..%2fsalaries"), `${set} DECODE_AND_MERGE_SLASHES`);
  assert.equal(advise("/accounts/..%5Csalaries"), `${set} DECODE_AND_MERGE_SLASHES`);
  assert.equal(advise("//salaries", /^\/\//), `${set} MERGE_SLASHES`);
  for (const sent of ["/accounts/%252e%252e/salaries", "/accounts/..%252fsalaries"])
    assert.match(advise(sent), /^no pathNormalization mode .*allow exact paths.* decode a path once only/);
  assert.match(
    advise("/SALARIES", /^\/S/, false),
    /^no pathNormalization mode .*ALLOW policies that name what is open/,
  );
});

test("pathVariants() covers every byte, and no variant ends the request's line", () => {
  const variants = pathVariants("/accounts/7", "/salaries", "payroll");
  for (let byte = 0; byte < 256; byte++) {
    const digits = byte.toString(16).padStart(2, "0");
    assert.ok(variants.some(({ target }) => target === `/salaries%${digits}`));
  }
  assert.ok(variants.some(({ target }) => target === "/accounts/../salaries"));
  assert.deepEqual(
    variants.filter(({ target }) => /[\r\n]/.test(target)),
    [],
  );
});

test("parseAnswers() takes answers apart by length, by chunks, and after a 100", () => {
  const bytes = Buffer.from(
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 400 Bad\r\n\r\nrest",
  );
  assert.deepEqual(
    parseAnswers(bytes).map(({ status, body }) => [status, body]),
    [
      [100, ""],
      [200, "hi"],
      [404, "abc"],
      [400, "rest"],
    ],
  );
});

test("http2RequestBytes() is a request that an HTTP/2 server answers, and http2AnswerStatus() reads its status", async (context) => {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.respond({
      ":status": headers[":path"] === "/open" && headers[":authority"] === "shop" ? 200 : 403,
    });
    stream.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  const { port } = server.address() as { port: number };
  const ask = async (path: string) => {
    const socket = connect(port, "127.0.0.1");
    socket.write(http2RequestBytes({ method: "GET", path, host: "shop" }));
    let bytes = Buffer.alloc(0);
    for await (const chunk of socket) {
      bytes = Buffer.concat([bytes, chunk as Buffer]);
      if (http2AnswerStatus(bytes) !== undefined) break;
    }
    return http2AnswerStatus(bytes);
  };
  assert.deepEqual([await ask("/open"), await ask("/secret")], [200, 403]);
  assert.equal(http2AnswerStatus(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")), undefined);
});
