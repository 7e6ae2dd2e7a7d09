import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../../src/policy/connection.ts";
import type { HttpRequest } from "../../../src/policy/http-request.ts";
import { headerField } from "../../../src/policy/operation-fields.ts";
import {
  ACCOUNT,
  type AddressDimension,
  type ConditionKeys,
  NAMESPACE,
  oneText,
  PATH,
  PORT,
  type TextDimension,
} from "../../../src/policy/rule-index/dimension.ts";
import { ANY_KEY, KeyDictionary } from "../../../src/policy/rule-index/key-dictionary.ts";
import { textHash } from "../../../src/policy/rule-index/text-print.ts";
import { SOURCE_IP } from "../../../src/policy/source-fields.ts";
import { compileTextPatterns } from "../../../src/policy/text-pattern.ts";
import { connect, get } from "../inbound-fixture.ts";

function texts(dimension: TextDimension, ...values: string[]): ConditionKeys {
  return { dimension, patterns: compileTextPatterns(values), decisive: false };
}

function collected(
  dictionary: KeyDictionary,
  connection: Connection,
  request: HttpRequest | null = null,
): number[] | "any" {
  const out = new Int32Array(dictionary.room);
  const count = dictionary.lookup().collect(connection, request, out);
  return count === ANY_KEY ? "any" : [...out.subarray(0, count)];
}

test("exact texts are keyed by their hashes, patterns are counted, equal ones once, suffixes apart from prefixes", () => {
  const paths = new KeyDictionary(PATH);
  assert.deepEqual(paths.idsOf(texts(PATH, "/a", "/b")), [textHash("/a"), textHash("/b")]);
  assert.ok(paths.isExact);
  assert.equal(paths.room, 6);
  assert.deepEqual(paths.idsOf(texts(PATH, "/p*", "*/p", "/a", "/q*")), [textHash("/a"), 0, 1, 2]);
  assert.deepEqual(paths.idsOf(texts(PATH, "/q*", "*p/", "*/p")), [1, 3, 2]);
  assert.ok(!paths.isExact);
  assert.equal(paths.room, 14);
});

test("a text has the key that is its hash, and those of the patterns that it fits", () => {
  const paths = new KeyDictionary(PATH);
  paths.idsOf(texts(PATH, "/a", "/p*", "/pq*", "*.js", "*pq.js"));
  const keys = (path: string) => collected(paths, connect(), get(path));
  assert.deepEqual(keys("/a"), [textHash("/a")]);
  assert.deepEqual(keys("/unknown"), [textHash("/unknown")]);
  assert.deepEqual(keys("/pq.js"), [textHash("/pq.js"), 0, 1, 2, 3]);
  assert.deepEqual(keys("/js.p"), [textHash("/js.p")], "a suffix is no prefix");
  assert.deepEqual(keys("/x/pq"), [textHash("/x/pq")]);
  assert.deepEqual(collected(paths, connect()), [], "without a request there is no path");
});

test("a dictionary without suffixes, or prefixes, finds the others", () => {
  const prefixes = new KeyDictionary(PATH);
  prefixes.idsOf(texts(PATH, "/a*"));
  assert.deepEqual(collected(prefixes, connect(), get("/ab")), [textHash("/ab"), 0]);
  const suffixes = new KeyDictionary(PATH);
  suffixes.idsOf(texts(PATH, "*b"));
  assert.deepEqual(collected(suffixes, connect(), get("/ab")), [textHash("/ab"), 0]);
});

test("of a header's repeats only what rules name is a key, and each once, however often it comes", () => {
  const field = headerField("x-role");
  const keys = field.keys?.(["admin", "dev", "d*", "*n"], {} as never);
  assert.ok(keys !== null && keys !== undefined && "patterns" in keys);
  const roles = new KeyDictionary(keys.dimension);
  assert.deepEqual(roles.idsOf(keys), [textHash("admin"), textHash("dev"), 0, 1]);
  const of = (...values: string[]) =>
    collected(
      roles,
      connect(),
      get("/", ["x-other", "dev", ...values.flatMap((value) => ["x-role", value])]),
    );
  assert.deepEqual(of(), []);
  assert.deepEqual(of("nobody"), []);
  assert.deepEqual(of("dev"), [textHash("dev"), 0]);
  assert.deepEqual(of("dev", "dev", "dev"), [textHash("dev"), 0]);
  assert.deepEqual(of("admin", "dev", "darwin", "admin"), [textHash("admin"), 1, textHash("dev"), 0]);
  assert.deepEqual(of("x", "dawn", "dev", "y"), [0, 1, textHash("dev")]);
});

test("where a dimension does not tell, a request may have any key", () => {
  for (const dimension of [NAMESPACE, ACCOUNT]) {
    const keys = (principal: string | null) =>
      collected(new KeyDictionary(dimension), connect({ principal }));
    const own = dimension === NAMESPACE ? "a" : "a/b";
    assert.deepEqual(keys("td/ns/a/sa/b"), [textHash(own)]);
    assert.deepEqual(keys(null), [], "a caller without a certificate has no name");
    for (const odd of ["td", "td/ns/a/x/sa/b", "td/ns/ns/sa/b", "ns/ns/a/sa/b", "dns:a"])
      assert.equal(keys(odd), "any", odd);
  }
  assert.ok(ANY_KEY < 0, "no number of keys");
});

test("blocks are keyed by the addresses that they hold: equal ones once", () => {
  const keys = (...blocks: string[]) => {
    const found = SOURCE_IP.keys?.(blocks, {} as never);
    assert.ok(found !== null && found !== undefined && "blocks" in found);
    return found;
  };
  const dimension = keys().dimension as AddressDimension;
  const addresses = new KeyDictionary(dimension);
  assert.deepEqual(addresses.idsOf(keys("10.1.0.0/16", "10.1.0.5", "fd00::/8", "10.1.9.9/16")), [0, 1, 2, 0]);
  assert.ok(!addresses.isExact);
  assert.equal(addresses.room, 8);
  assert.deepEqual(collected(addresses, connect({ sourceIp: "10.1.0.5" })), [0, 1]);
  assert.deepEqual(collected(addresses, connect({ sourceIp: "10.1.0.6" })), [0]);
  assert.deepEqual(collected(addresses, connect({ sourceIp: "fd12::1" })), [2]);
  assert.deepEqual(collected(addresses, connect({ sourceIp: "no address" })), []);
});

test("a port is its own key", () => {
  const ports = new KeyDictionary(PORT);
  assert.deepEqual(ports.idsOf({ dimension: PORT, ports: [80, 443] }), [80, 443]);
  assert.deepEqual(collected(ports, connect({ destinationPort: 443 })), [443]);
});

test("oneText() has one text where it is read, and none after it", () => {
  const own = oneText("own", (_connection, request) => request?.host ?? null);
  assert.deepEqual(Object.keys(own), ["kind", "id", "next", "textAt"]);
  assert.deepEqual([own.next(connect(), get("/"), -1), own.next(connect(), get("/"), 0)], [0, -1]);
  assert.equal(own.next(connect(), null, -1), -1);
  assert.deepEqual([own.textAt(connect(), get("/"), 0), own.textAt(connect(), null, 0)], ["app", ""]);
});
