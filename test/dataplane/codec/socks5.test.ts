import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProxyCredential } from "../../../src/dataplane/codec/proxy-credential.ts";
import { SOCKS5_REPLY, Socks5Handshake, socks5Reply } from "../../../src/dataplane/codec/socks5.ts";

const OPEN = "\x05\x01\x00";
const PASSWORD = "\x05\x02\x00\x02\x01\x03joe\x02pw";
const TO_NAME = "\x05\x01\x00\x03\x0bWWW.Ibm.com\x01\xbb";

/** Pushes the bytes cut at the given places; returns the last step and all replies, hexadecimal. */
function run(text: string, credential?: ProxyCredential, cuts: readonly number[] = []) {
  const bytes = Buffer.from(text, "latin1");
  const handshake = new Socks5Handshake(credential);
  const replies: Buffer[] = [];
  const rest: Buffer[] = [];
  let outcome: unknown = "need-more";
  let start = 0;
  for (const end of [...new Set(cuts.map((cut) => cut % (bytes.length + 1))), bytes.length].sort(
    (a, b) => a - b,
  )) {
    const chunk = bytes.subarray(start, end);
    start = end;
    if (outcome !== "need-more") {
      rest.push(chunk);
      continue;
    }
    const step = handshake.push(chunk);
    replies.push(step.reply);
    if (step.kind === "refused") outcome = step.reason;
    if (step.kind === "connect") {
      outcome = step.target;
      rest.push(step.rest);
    }
  }
  const connected = typeof outcome === "object";
  return {
    outcome,
    replies: Buffer.concat(replies).toString("hex"),
    rest: connected ? Buffer.concat(rest).toString("latin1") : "",
  };
}

test("Socks5Handshake reads CONNECT to a name, IPv4 and IPv6", () => {
  const target = (address: string) => run(OPEN + address).outcome;
  assert.deepEqual(target(TO_NAME.slice(0)), { hostType: "name", host: "www.ibm.com", port: 443 });
  assert.deepEqual(target("\x05\x01\x00\x01\x0a\x00\x00\x07\x00\x50"), {
    hostType: "ipv4",
    host: "10.0.0.7",
    port: 80,
  });
  assert.deepEqual(target(`\x05\x01\x00\x04\xfd${"\0".repeat(14)}\x01\x1f\x90`), {
    hostType: "ipv6",
    host: "fd00:0:0:0:0:0:0:1",
    port: 8080,
  });
  assert.deepEqual(target("\x05\x01\x00\x03\x0810.0.0.7\x00\x50"), {
    hostType: "ipv4",
    host: "10.0.0.7",
    port: 80,
  });
});

test("Socks5Handshake answers each phase and keeps the bytes behind the request, however they are cut", () => {
  const credential = new ProxyCredential("joe", "pw");
  const expected = {
    outcome: { hostType: "name", host: "www.ibm.com", port: 443 },
    replies: "05020100",
    rest: "\x16\x03\x01tunnel",
  };
  const text = `${PASSWORD}${TO_NAME}\x16\x03\x01tunnel`;
  const property = fc.property(fc.array(fc.nat(60), { maxLength: 60 }), (cuts) => {
    assert.deepEqual(run(text, credential, cuts), expected);
  });
  fc.assert(property, { seed: 20_260_106, numRuns: 500 });
});

test("Socks5Handshake with a credential takes nothing but that credential", () => {
  const reasonFor = (user: string, password: string, text = PASSWORD) =>
    run(text + TO_NAME, new ProxyCredential(user, password)).outcome;
  assert.equal(typeof reasonFor("joe", "pw"), "object");
  for (const [user, password] of [
    ["joe", "pW"],
    ["jo", "epw"],
    ["joe", ""],
    ["", "joepw"],
    ["joep", "w"],
  ] as const) {
    assert.equal(reasonFor(user, password), "bad-authentication");
  }
  assert.equal(reasonFor("joe", "pw", OPEN), "no-acceptable-method");
  assert.equal(run("\x05\x01\x02").outcome, "no-acceptable-method");
});

const REFUSED: readonly (readonly [bytes: string, reason: string, reply: string])[] = [
  ["\x04\x01", "not-socks5", ""],
  ["GET", "not-socks5", ""],
  ["\x05\x00", "no-acceptable-method", "05ff"],
  ["\x05\x01\x01", "no-acceptable-method", "05ff"],
  [`${OPEN}\x04`, "bad-request", "050005010001000000000000"],
  [`${OPEN}\x05\x01\x01\x01\x00`, "bad-request", "050005010001000000000000"],
  [`${OPEN}\x05\x02\x00\x01\x00`, "command-unsupported", "050005070001000000000000"],
  [`${OPEN}\x05\x03\x00\x01\x00`, "command-unsupported", "050005070001000000000000"],
  [`${OPEN}\x05\x01\x00\x02\x00`, "address-type-unsupported", "050005080001000000000000"],
  [`${OPEN}\x05\x01\x00\x01\x0a\0\0\x01\0\0`, "address-invalid", "050005010001000000000000"],
  [`${OPEN}\x05\x01\x00\x03\x00\x00\x50`, "address-invalid", "050005010001000000000000"],
  [`${OPEN}\x05\x01\x00\x03\x03a\0b\x00\x50`, "address-invalid", "050005010001000000000000"],
  [`${OPEN}\x05\x01\x00\x03\x05127.1\x00\x50`, "address-invalid", "050005010001000000000000"],
  [`${OPEN}\x05\x01\x00\x03\x02a.\x00\x50`, "address-invalid", "050005010001000000000000"],
];

for (const [bytes, reason, reply] of REFUSED) {
  test(`Socks5Handshake refuses ${JSON.stringify(bytes)} as ${reason}, however it is cut`, () => {
    assert.deepEqual(run(bytes), { outcome: reason, replies: reply, rest: "" });
    const everyByte = Array.from({ length: bytes.length }, (_, i) => i);
    assert.deepEqual(run(bytes, undefined, everyByte), { outcome: reason, replies: reply, rest: "" });
  });
}

test("Socks5Handshake never throws, and cuts never matter", () => {
  const bytes = fc.oneof(
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.string({ unit: "binary", maxLength: 60 }).map((tail) => OPEN + tail),
    fc.string({ unit: "binary", maxLength: 60 }).map((tail) => `${OPEN}\x05\x01\x00${tail}`),
  );
  const property = fc.property(bytes, fc.array(fc.nat(80), { maxLength: 8 }), (text, cuts) => {
    assert.deepEqual(run(text, undefined, cuts), run(text));
  });
  fc.assert(property, { seed: 20_260_107, numRuns: 3_000 });
});

test("socks5Reply() is a complete reply", () => {
  assert.equal(socks5Reply(SOCKS5_REPLY.notAllowedByRuleset).toString("hex"), "05020001000000000000");
});
