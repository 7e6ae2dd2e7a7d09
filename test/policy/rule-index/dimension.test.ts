import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ACCOUNT,
  HOST,
  METHOD,
  NAMESPACE,
  PATH,
  PORT,
  SERVER_NAME,
  SLOT_HOST,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_SNI,
  SLOT_SUBJECT,
  SUBJECT,
} from "../../../src/policy/rule-index/dimension.ts";
import { connect, get } from "../inbound-fixture.ts";

const connection = connect({ sni: "Name.Example" });
const request = get("/p?q", [], "PUT", "App");

for (const [dimension, id, text, slot] of [
  [SUBJECT, "subject", "spiffe://cluster.local/ns/foo/sa/sleep", SLOT_SUBJECT],
  [NAMESPACE, "namespace", "foo", undefined],
  [ACCOUNT, "account", "foo/sleep", undefined],
  [METHOD, "method", "PUT", SLOT_METHOD],
  [PATH, "path", "/p", SLOT_PATH],
  [HOST, "host", "app", SLOT_HOST],
  [SERVER_NAME, "sni", "name.example", SLOT_SNI],
] as const)
  test(`the dimension ${id} is one text of a connection and request: ${text}`, () => {
    assert.deepEqual([dimension.kind, dimension.id, dimension.slot], ["text", id, slot]);
    assert.equal(dimension.next(connection, request, -1), 0);
    assert.equal(dimension.next(connection, request, 0), -1);
    assert.equal(dimension.textAt(connection, request, 0), text);
    assert.equal(dimension.repeats, undefined);
  });

test("without a request there is no method, path or host; without a certificate no name; a server name may be empty", () => {
  const anonymous = connect({ principal: null });
  const none = [METHOD, PATH, HOST, SUBJECT, NAMESPACE, ACCOUNT].map((own) => own.next(anonymous, null, -1));
  assert.deepEqual(none, [-1, -1, -1, -1, -1, -1]);
  assert.equal(SERVER_NAME.next(anonymous, null, -1), 0);
  assert.equal(SERVER_NAME.textAt(anonymous, null, 0), "");
  assert.deepEqual(PORT, { kind: "port", id: "port" });
});

test("namespace and account say nothing of an identity that could be found in a second place", () => {
  for (const dimension of [NAMESPACE, ACCOUNT]) {
    const tells = (principal: string | null) => dimension.tells?.(connect({ principal }));
    assert.deepEqual([null, "td/ns/a/sa/b", "ns2/ns/a/sa/ns"].map(tells), [true, true, true]);
    const odd = ["td", "td/ns/a/sa/b/c", "td/ns/ns/sa/b", "ns/ns/a/sa/b", "dns:x"];
    assert.deepEqual(
      odd.map(tells),
      odd.map(() => false),
    );
  }
  assert.equal(SUBJECT.tells, undefined);
});
