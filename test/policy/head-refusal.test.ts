/** Which heads the first proxy refuses: `istio` by the answers that Envoy 1.40 gave, `strict` by our own parser. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRequestHead } from "../../src/dataplane/codec/http1-head.ts";
import { type ClientHead, refuseHead } from "../../src/policy/head-refusal.ts";

type Fields = ClientHead["fields"];

function codes(authority: string, fields: Fields = [], version: 1 | 2 = 1): readonly (number | undefined)[] {
  const head = { version, authority, fields };
  return [refuseHead(head, "istio")?.code, refuseHead(head, "strict")?.code];
}

/** What our parser makes of the same head on the wire. */
function parsed(authority: string, fields: Fields): number | undefined {
  const lines = [["Host", authority], ...fields].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const bytes = Buffer.from(`GET / HTTP/1.1\r\n${lines}\r\n`, "utf8");
  const head = parseRequestHead(bytes, 0, bytes.length);
  return head.kind === "refusal" ? head.status : undefined;
}

test("an authority with a character that none has is refused by both", () => {
  const refused = [
    "a b",
    "h/",
    "é",
    "a\tb",
    'a"b',
    "a<b",
    "a>b",
    "a|b",
    "a\\b",
    "a`b",
    "a^b",
    "a{b}",
    "a#b",
    "a?b",
  ];
  for (const authority of refused) assert.deepEqual(codes(authority), [400, 400], authority);
});

test("a sound authority is read by both", () => {
  for (const authority of ["a", "A.b-c_d.", "a:8080", "10.0.0.1", "[::1]:80"])
    assert.deepEqual(codes(authority), [undefined, undefined], authority);
});

test("what Envoy reads without its grammar is refused under strict, and over HTTP/2 read by both", () => {
  const odd = [
    "",
    "u@h",
    "[",
    "a,b",
    "*.x",
    "h:99999",
    "h:",
    "h:abc",
    ":80",
    "a%20b",
    "a;b",
    "a:1:2",
    "a..b",
  ];
  for (const authority of odd) {
    assert.deepEqual(codes(authority), [undefined, 400], authority);
    assert.deepEqual(codes(authority, [], 2), [undefined, undefined], authority);
  }
  assert.deepEqual(codes("a b", [], 2), [400, 400]);
});

const CASES: readonly (readonly [fields: Fields, istio: number | undefined, strict: number | undefined])[] = [
  [[["a b", "v"]], 400, 400],
  [[["", "v"]], 400, 400],
  [[["é", "v"]], 400, 400],
  [[["x", "a\u0001b"]], 400, 400],
  [[["x", "a\u007fb"]], 400, 400],
  [[["x!#$%&'*+-.^_`|~", "a\tb é €"]], undefined, undefined],
  [[["Transfer-Encoding", "gzip"]], 501, 501],
  [[["Transfer-Encoding", "gzip, chunked"]], 501, 501],
  [[["Transfer-Encoding", "Chunked"]], undefined, undefined],
  [
    [
      ["Transfer-Encoding", "chunked"],
      ["Transfer-Encoding", "chunked"],
    ],
    501,
    400,
  ],
  [
    [
      ["Transfer-Encoding", "chunked"],
      ["Content-Length", "0"],
    ],
    400,
    400,
  ],
  [[["Content-Length", "0"]], undefined, undefined],
  [[["Content-Length", "+1"]], 400, 400],
  [
    [
      ["Content-Length", "0"],
      ["content-length", "0"],
    ],
    400,
    400,
  ],
  [[["Connection", "a,b,c,d,e,f,g,h,i,j"]], 400, 400],
  [[["Connection", "a,b,c,d,e,f,g,h,i"]], undefined, undefined],
  [[["Connection", "host"]], 400, 400],
  [[["Connection", "x-forwarded-for"]], 400, 400],
  [[["Connection", "authorization"]], undefined, 400],
  [[["Connection", "a b"]], undefined, 400],
  [[["content_length", "0"]], undefined, 400],
  [[["x_y", "0"]], undefined, undefined],
  [[["Expect", "x"]], undefined, 417],
  [[["Expect", "100-continue"]], undefined, undefined],
];

for (const [fields, istio, strict] of CASES)
  test(`${JSON.stringify(fields)}: Envoy ${istio ?? "reads"} it, our proxy ${strict ?? "reads"} it`, () => {
    assert.deepEqual(codes("a", fields), [istio, strict]);
    assert.equal(parsed("a", fields), strict, "the parser itself");
  });

test("strict refuses exactly what the parser refuses", () => {
  const character = fc.constantFrom(...'aB09-._:[]@%/ "é€\u0001{,');
  const authority = fc.oneof(
    fc.constant("a"),
    fc.string({ unit: character, maxLength: 6 }).map((text) => text.trim()),
  );
  const name = fc.oneof(
    fc.constantFrom(
      "Connection",
      "Content-Length",
      "Transfer-Encoding",
      "Expect",
      "x-forwarded-for",
      "TE",
      "content_type",
    ),
    fc.string({ unit: fc.constantFrom(..."xY-_ é(:"), maxLength: 3 }).map((text) => text.replaceAll(":", "")),
  );
  const value = fc.oneof(
    fc.constantFrom("chunked", "0", "5", "close", "x-y", "via", "100-continue", "trailers", "gzip, x"),
    fc.string({ unit: character, maxLength: 4 }),
  );
  fc.assert(
    fc.property(authority, fc.array(fc.tuple(name, value), { maxLength: 3 }), (host, fields) => {
      const own = refuseHead({ version: 1, authority: host, fields }, "strict") !== null;
      assert.equal(own, parsed(host, fields) !== undefined);
    }),
    { numRuns: 3000, seed: 7 },
  );
});
