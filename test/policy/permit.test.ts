import assert from "node:assert/strict";
import { test } from "node:test";
import { authorizeConnection, authorizeRequest, Permit } from "../../src/policy/permit.ts";
import { authorization, connect, get, policyOf } from "./inbound-fixture.ts";

const open = policyOf([]);
const closed = policyOf([authorization("a", {})]);

test("authorizeRequest() gives a Permit for what is allowed and a Denial for what is not, with the verdict", () => {
  const permit = authorizeRequest(open, connect(), get("/"));
  assert.ok(Permit.is(permit));
  assert.deepEqual([permit.allowed, permit.verdict.cause], [true, "no-allow-policies"]);
  const denial = authorizeRequest(closed, connect(), get("/"));
  assert.ok(!Permit.is(denial));
  assert.deepEqual([denial.allowed, denial.verdict.code], [false, 403]);
});

test("authorizeConnection() decides TCP, and one verdict has one Permit", () => {
  const tcp = connect({ destinationPort: 9000, alpn: ["istio"] });
  assert.equal(authorizeConnection(open, tcp), authorizeConnection(open, tcp));
  assert.ok(!authorizeConnection(closed, tcp).allowed);
});

test("a Permit cannot be made or changed by others", () => {
  const permit = authorizeRequest(open, connect(), get("/"));
  // @ts-expect-error: the constructor is private
  assert.throws(() => Object.assign(new Permit(permit.verdict), { allowed: true }));
  assert.ok(!Permit.is({ allowed: true, verdict: permit.verdict }));
  assert.ok(!Permit.is(Object.create(Permit.prototype)));
  assert.throws(() => Object.assign(permit, { verdict: null }), TypeError);
});

test("Permit.is() is true of Permits alone", () => {
  const permit = authorizeRequest(open, connect(), get("/"));
  const denial = authorizeRequest(closed, connect(), get("/"));
  const others = [undefined, null, true, "permit", 1, {}, [], () => permit, denial, permit.verdict, Permit];
  assert.deepEqual(
    [permit, ...others].map((value) => Permit.is(value)),
    [true, ...others.map(() => false)],
  );
});

test("a Denial is its verdict, one for each, and frozen", () => {
  const denial = authorizeRequest(closed, connect(), get("/"));
  assert.deepEqual(denial, { allowed: false, verdict: closed.http.closed });
  assert.ok(Object.isFrozen(denial));
  assert.equal(authorizeRequest(closed, connect(), get("/other")), denial);
  const permit = authorizeRequest(open, connect(), get("/"));
  assert.deepEqual([permit.allowed, permit.verdict, Object.isFrozen(permit)], [true, open.http.open, true]);
});
