/**
 * Nanoseconds to parse one request head of 8 headers: this parser, this parser and writer, Node's llhttp through a server
 * on an in-memory stream, and a plain split parser that checks nothing. Rounds are interleaved; the median counts.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Duplex } from "node:stream";
import { parseArgs } from "node:util";
import { fieldLines, writeRequestHead } from "../src/dataplane/codec/head-writer.ts";
import { parseRequestHead } from "../src/dataplane/codec/http1-head.ts";
import { findHeadEnd } from "../src/dataplane/codec/http1-head-end.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "9" }, heads: { type: "string", default: "100000" } },
});
const rounds = Number(values.rounds);
const heads = Number(values.heads);

const head = Buffer.from(
  "GET /api/v1/accounts/7?expand=owner HTTP/1.1\r\n" +
    "Host: account-service.team-a.svc.cluster.local:8080\r\n" +
    "User-Agent: curl/8.5.0\r\n" +
    "Accept: */*\r\n" +
    "Accept-Encoding: gzip, deflate, br\r\n" +
    "Connection: keep-alive\r\n" +
    "X-Request-Id: 6f1c2a4e-9b7d-4f52-8a0e-3d5b6c7f8e90\r\n" +
    "Cookie: session=abcdef0123456789\r\n" +
    "X-App-Version: 3\r\n\r\n",
  "latin1",
);
const add = fieldLines("x-forwarded-client-cert", "By=spiffe://cluster.local/ns/team-a/sa/account;Hash=00");
const remove = new Set(["x-forwarded-client-cert"]);
let sink = 0;

function parse(): void {
  const end = findHeadEnd(head, 0, 0, 61_440);
  const parsed = parseRequestHead(head, 0, end);
  if (parsed.kind === "request") sink += parsed.headers.length;
}

function parseAndWrite(): void {
  const end = findHeadEnd(head, 0, 0, 61_440);
  const parsed = parseRequestHead(head, 0, end);
  if (parsed.kind === "request" && add !== undefined)
    sink += writeRequestHead(parsed, { remove, add }).length;
}

function splitParse(): void {
  const end = head.indexOf("\r\n\r\n");
  const [start = "", ...lines] = head.toString("latin1", 0, end).split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  sink += start.split(" ").length + (headers.host?.length ?? 0);
}

/** A duplex that swallows what is written: the server's socket. */
class Source extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

/** llhttp with its JavaScript callbacks, IncomingMessage, and a minimal answer: what "use node:http" costs per head. */
async function llhttp(count: number): Promise<number> {
  let seen = 0;
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    sink += request.rawHeaders.length;
    seen++;
    response.end();
  });
  const socket = new Source();
  server.emit("connection", socket);
  const started = process.hrtime.bigint();
  while (seen < count) {
    socket.push(head);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const ns = Number(process.hrtime.bigint() - started) / count;
  socket.destroy();
  return ns;
}

function measure(run: () => void): number {
  const started = process.hrtime.bigint();
  for (let i = 0; i < heads; i++) run();
  return Number(process.hrtime.bigint() - started) / heads;
}

function median(samples: readonly number[]): number {
  return samples.toSorted((a, b) => a - b)[samples.length >> 1] ?? Number.NaN;
}

const samples: Record<string, number[]> = {};
for (let round = -1; round < rounds; round++) {
  const figures: Record<string, number> = {
    parse: measure(parse),
    "parse and rewrite": measure(parseAndWrite),
    "split parser, no checks": measure(splitParse),
    "node:http on a duplex, with an empty answer": await llhttp(Math.min(heads, 5_000)),
  };
  // Round -1 warms up.
  if (round < 0) continue;
  for (const [name, ns] of Object.entries(figures)) samples[name] = [...(samples[name] ?? []), ns];
}
console.log(`ns per request head of ${head.length} bytes, 8 headers (median of ${rounds} rounds)`);
for (const [name, list] of Object.entries(samples))
  console.log(`${Math.round(median(list)).toString().padStart(8)}  ${name}`);
if (sink === 0) process.exitCode = 1;
