import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRequestHead, parseResponseHead } from "../../../src/dataplane/codec/http1-head.ts";
import { HTTP1_REFUSAL_CODES, type Http1RefusalCode } from "../../../src/dataplane/codec/http1-refusal.ts";

/** Header lines after a sound request line and Host. */
const REQUEST_LINES: readonly (readonly [lines: string, expected: Http1RefusalCode])[] = [
  ["Content-Length: 6\r\nTransfer-Encoding: chunked", "transfer-encoding-and-content-length"],
  ["Transfer-Encoding: chunked\r\nContent-Length: 6", "transfer-encoding-and-content-length"],
  ["Transfer-Encoding: chunked\r\nContent-Length: 0", "transfer-encoding-and-content-length"],
  ["Content-Length: 6\r\nContent-Length: 5", "content-length-duplicate"],
  ["Content-Length: 6\r\ncontent-length: 6", "content-length-duplicate"],
  ["Content-Length: 0\r\nContent-Length: 0", "content-length-duplicate"],
  ["Content-Length: 6, 6", "content-length-invalid"],
  ["Content-Length: +6", "content-length-invalid"],
  ["Content-Length: -6", "content-length-invalid"],
  ["Content-Length: 6 6", "content-length-invalid"],
  ["Content-Length: 0x6", "content-length-invalid"],
  ["Content-Length: 1e2", "content-length-invalid"],
  ["Content-Length: 6.0", "content-length-invalid"],
  ["Content-Length:", "content-length-invalid"],
  ['Content-Length: "6"', "content-length-invalid"],
  ["Content-Length: 9007199254740992", "content-length-invalid"],
  ["Content-Length: 18446744073709551622", "content-length-invalid"],
  ["Content-Length: \xa06", "content-length-invalid"],
  ["Content-Length : 6", "space-before-colon"],
  ["Content-Length\t: 6", "space-before-colon"],
  [" Content-Length: 6", "obs-fold"],
  ["X: y\r\n Content-Length: 6", "obs-fold"],
  ["Content-Length:\r\n 6", "content-length-invalid"],
  ["X: y\r\n\tTransfer-Encoding: chunked", "obs-fold"],
  ["Transfer-Encoding:\r\n chunked", "transfer-encoding-unsupported"],
  ["Content_Length: 6", "header-name-ambiguous"],
  ["Transfer_Encoding: chunked", "header-name-ambiguous"],
  ["X_Forwarded_Client_Cert: By=x", "header-name-ambiguous"],
  ["X-Forwarded_For: 10.0.0.1", "header-name-ambiguous"],
  ["Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "transfer-encoding-duplicate"],
  ["Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "transfer-encoding-duplicate"],
  ["Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked, identity", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: identity, chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: gzip, chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked, chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked;q=1", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: xchunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunkedx", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: ,chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked,", "transfer-encoding-unsupported"],
  ['Transfer-Encoding: "chunked"', "transfer-encoding-unsupported"],
  ["Transfer-Encoding: identity", "transfer-encoding-unsupported"],
  ["Transfer-Encoding:", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: \xa0chunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: \x0bchunked", "header-value-invalid"],
  ["Transfer-Encoding: \x0cchunked", "header-value-invalid"],
  ["Transfer-Encoding: chunked\x00", "header-value-invalid"],
  ["Transfer-Encoding:\tchunked", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked\t", "transfer-encoding-unsupported"],
  ["Transfer-Encoding: chunked \t ", "transfer-encoding-unsupported"],
  ["Content-Length:\t6", "content-length-invalid"],
  ["Content-Length: 6\t", "content-length-invalid"],
  ["Transfer-Encoding : chunked", "space-before-colon"],
  ["Transfer-Encoding\x0b: chunked", "header-name-invalid"],
  ["\x00Transfer-Encoding: chunked", "header-name-invalid"],
  ["Transfer-Encoding\x00: chunked", "header-name-invalid"],
  ["Transfer\xadEncoding: chunked", "header-name-invalid"],
  ["X: y\nTransfer-Encoding: chunked", "bare-lf"],
  ["X: y\rTransfer-Encoding: chunked", "bare-cr"],
  ["X: y\r\rTransfer-Encoding: chunked", "bare-cr"],
  ["X: y\r\r\nZ: z", "bare-cr"],
  ["X: y\n\r\nZ: z", "bare-lf"],
  ["\nX: y", "bare-lf"],
  ["\rX: y", "bare-cr"],
  ["X", "header-name-invalid"],
  ["X\nY: z", "bare-lf"],
  [": y", "header-name-empty"],
  ["X(: y", "header-name-invalid"],
  ["X: a\x00b", "header-value-invalid"],
  ["X: a\x7fb", "header-value-invalid"],
  ["X: a\x1bb", "header-value-invalid"],
  ["Host: other", "host-duplicate"],
  ["host: mesh", "host-duplicate"],
  ["Connection: close, Host", "connection-nominates-protected"],
  ["Connection: authorization", "connection-nominates-protected"],
  ["Connection: X-Forwarded-For", "connection-nominates-protected"],
  ["Connection: x-forwarded-client-cert", "connection-nominates-protected"],
  ["Connection: Content-Length", "connection-nominates-protected"],
  ["Connection: close\r\nConnection: cookie", "connection-nominates-protected"],
  ["Connection: a b", "connection-invalid"],
  ["Connection: \xa0close", "connection-invalid"],
  ["Connection: a,b,c,d,e,f,g,h,i,j", "connection-invalid"],
  ["Expect: 200-ok", "expectation-unsupported"],
  ["Expect: 100-continue, x", "expectation-unsupported"],
  ["Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", "upgrade-with-body"],
  ["Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", "upgrade-with-body"],
];

for (const [lines, expected] of REQUEST_LINES) {
  test(`parseRequestHead() refuses ${JSON.stringify(lines)} as ${expected}`, () => {
    assert.equal(codeOf(`POST / HTTP/1.1\r\nHost: mesh\r\n${lines}\r\n\r\n`), expected);
  });
}

const START_LINES: readonly (readonly [head: string, expected: Http1RefusalCode])[] = [
  ["PRI * HTTP/2.0\r\n\r\n", "http2-preface"],
  ["GET / HTTP/1.1\r\n\r\n", "host-missing"],
  ["GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", "host-missing"],
  ["GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: .a\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: [::1%25eth0]\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: [1::2::3]\r\n\r\n", "bad-authority"],
  ["GET / HTTP/1.1\r\nHost: m\xe9sh\r\n\r\n", "bad-authority"],
  ["GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET / http/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET / HTTP/0.9\r\nHost: a\r\n\r\n", "version-unsupported"],
  ["GET / HTTP/1.2\r\nHost: a\r\n\r\n", "version-unsupported"],
  ["GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version-unsupported"],
  ["GET /\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET / HTTP/1.1\nHost: a\r\n\r\n", "bare-lf"],
  ["GET /\nHost: a\r\n\r\n", "bare-lf"],
  ["GET / HTTP/1.1\rHost: a\r\n\r\n", "bad-request-line"],
  ["\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  [" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET / HTTP/1.1\r\n Host: a\r\nX: y\r\n\r\n", "obs-fold"],
  ["get / HTTP/1.1\r\nHost: a\r\n\r\n", "method-unknown"],
  ["GETT / HTTP/1.1\r\nHost: a\r\n\r\n", "method-unknown"],
  ["G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET #frag HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET /#fr ag HTTP/1.1\r\nHost: a\r\n\r\n", "bad-request-line"],
  ["GET /#\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET http://a#/ HTTP/1.1\r\nHost: b\r\n\r\n", "host-mismatch"],
  ["GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET a HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "bad-authority"],
  ["GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad-authority"],
  ["GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "host-mismatch"],
  ["GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "host-mismatch"],
  ["CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad-target"],
  ["CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "host-mismatch"],
  ["CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n\r\n", "host-mismatch"],
  ["CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "content-length-forbidden"],
  ["CONNECT a:443 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding-forbidden"],
  ["POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding-forbidden"],
  [`GET /${"a".repeat(16_384)} HTTP/1.1\r\nHost: a\r\n\r\n`, "target-too-long"],
  [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(61_440)}\r\n\r\n`, "head-too-large"],
  [`GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(100)}\r\n`, "too-many-headers"],
];

for (const [head, expected] of START_LINES) {
  test(`parseRequestHead() refuses ${JSON.stringify(head.slice(0, 70))} as ${expected}`, () => {
    assert.equal(codeOf(head), expected);
  });
}

/** The negations: near misses of the vectors above that are sound. */
const ACCEPTED: readonly string[] = [
  "POST / HTTP/1.1\r\nHost: mesh\r\nTransfer-Encoding: chunked\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: mesh\r\nTRANSFER-encoding:   Chunked  \r\n\r\n",
  "POST / HTTP/1.1\r\nHost: mesh\r\nContent-Length: 6\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: mesh\r\nContent-Length: 0006\r\n\r\n",
  "POST / HTTP/1.1\r\nHost: mesh\r\nContent-Length: 9007199254740991\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh\r\nX: \r\nY:\r\nZ: a\tb \xff\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh\r\nmy_header: a\r\nconstructor: b\r\n__proto__: c\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh\r\nConnection: a,b,c,d,e,f,g,h,i\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh\r\nExpect: 100-Continue\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh:8080\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: mesh.\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: [fe80::1:2]\r\n\r\n",
  "GET / HTTP/1.1\r\nHost: [::ffff:10.0.0.1]\r\n\r\n",
  "GET / HTTP/1.0\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: mesh\r\n\r\n",
  "GET http://mesh/ HTTP/1.1\r\nHost: MESH:80\r\n\r\n",
  "GET //x/../%2e?q={a|b} HTTP/1.1\r\nHost: mesh\r\n\r\n",
  "CONNECT mesh:443 HTTP/1.1\r\nHost: mesh\r\nContent-Length: 0\r\n\r\n",
  `GET / HTTP/1.1\r\nHost: a\r\n${"X: y\r\n".repeat(99)}\r\n`,
];

for (const head of ACCEPTED) {
  test(`parseRequestHead() accepts ${JSON.stringify(head.slice(0, 90))}`, () => {
    assert.equal(codeOf(head), undefined);
  });
}

const GET = { method: "GET", upgrade: undefined };
const RESPONSES: readonly (readonly [head: string, expected: Http1RefusalCode, request?: typeof CONNECT])[] =
  [
    [
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "transfer-encoding-and-content-length",
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "content-length-duplicate"],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer-encoding-unsupported"],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding-forbidden"],
    ["HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "content-length-forbidden"],
    ["HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding-forbidden"],
    ["HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\n", "content-length-forbidden"],
    ["HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "status-unexpected"],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "transfer-encoding-forbidden",
      { method: "CONNECT", upgrade: undefined },
    ],
    ["HTTP/1.1 099 X\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1 600 X\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1 20 X\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1 2000 X\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1  200 X\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1 200 a\x00b\r\n\r\n", "bad-status-line"],
    ["HTTP/1.1 200 a\rb\r\n\r\n", "bad-status-line"],
    ["HTTP/2.0 200 OK\r\n\r\n", "version-unsupported"],
    ["ICY 200 OK\r\n\r\n", "version-unsupported"],
    ["HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "obs-fold"],
    ["HTTP/1.1 200 OK\r\nX: y\nZ: z\r\n\r\n", "bare-lf"],
    ["HTTP/1.1 200 OK\r\nConnection: set-cookie\r\n\r\n", "connection-nominates-protected"],
  ];
const CONNECT: { method: string; upgrade: string | undefined } = { method: "CONNECT", upgrade: undefined };

for (const [head, expected, request] of RESPONSES) {
  test(`parseResponseHead() refuses ${JSON.stringify(head)} as ${expected}`, () => {
    const bytes = Buffer.from(head, "latin1");
    const parsed = parseResponseHead(bytes, 0, bytes.length, request ?? GET);
    assert.equal(parsed.kind === "refusal" ? parsed.code : "accepted", expected);
  });
}

test("every head refusal code has a vector", () => {
  const covered = new Set<string>([...REQUEST_LINES, ...START_LINES, ...RESPONSES].map(([, code]) => code));
  const elsewhere = HTTP1_REFUSAL_CODES.filter((code) => /^(chunk|trailer)-|^body-too-large$/.test(code));
  const missing = HTTP1_REFUSAL_CODES.filter((code) => !covered.has(code) && !elsewhere.includes(code));
  assert.deepEqual(missing, []);
});

function codeOf(head: string): Http1RefusalCode | undefined {
  const bytes = Buffer.from(head, "latin1");
  const parsed = parseRequestHead(bytes, 0, bytes.length);
  return parsed.kind === "refusal" ? parsed.code : undefined;
}
