import assert from "node:assert/strict";
import { test } from "node:test";
import { remoteAddressOf } from "../../src/policy/forwarded-for.ts";
import { formatIpAddress } from "../../src/policy/ip-address.ts";
import { connect } from "./inbound-fixture.ts";

/** The peer is 10.1.0.5. */
function remote(trust: number | null, ...values: readonly string[]): string {
  const headers = values.flatMap((value) => ["x-forwarded-for", value]);
  const address = remoteAddressOf(connect(), headers, trust === null ? null : { entryFromRight: trust });
  return address === null ? "none" : formatIpAddress(address);
}

test("remoteAddressOf() for a sidecar is the last entry, else the peer", () => {
  assert.equal(remote(0, "8.8.8.8, 203.0.113.9"), "203.0.113.9");
  assert.equal(remote(0, "8.8.8.8", "203.0.113.9"), "203.0.113.9");
  assert.equal(remote(0, "203.0.113.9"), "203.0.113.9");
  for (const value of ["", "garbage", "8.8.8.8, garbage", "8.8.8.8:80", "[2001:db8::1]:80", "8.8.8.8,"])
    assert.equal(remote(0, value), "10.1.0.5", value);
  assert.equal(remote(0), "10.1.0.5");
});

test("remoteAddressOf(): a repeated X-Forwarded-For that is empty leaves nothing behind, not even its comma", () => {
  assert.equal(remote(0, "203.0.113.9", ""), "203.0.113.9");
  assert.equal(remote(0, "", "203.0.113.9"), "203.0.113.9");
  assert.equal(remote(1, "8.8.8.8", "", "9.9.9.9"), "8.8.8.8");
  assert.equal(remote(0, "203.0.113.9,", ""), "10.1.0.5");
});

test("remoteAddressOf() for a gateway without trusted proxies is the peer", () => {
  assert.equal(remote(null, "8.8.8.8"), "10.1.0.5");
});

test("remoteAddressOf() behind N trusted proxies is the Nth entry from the right, else the peer", () => {
  assert.equal(remote(1, "8.8.8.8, 203.0.113.9, 9.9.9.9"), "203.0.113.9");
  assert.equal(remote(2, "8.8.8.8, 203.0.113.9, 9.9.9.9"), "8.8.8.8");
  assert.equal(remote(3, "8.8.8.8, 203.0.113.9, 9.9.9.9"), "10.1.0.5");
});

test("remoteAddressOf(): empty entries count, and white space around one does not", () => {
  assert.equal(remote(0, ",203.0.113.9"), "203.0.113.9");
  assert.equal(remote(0, "8.8.8.8,\t 203.0.113.9 "), "203.0.113.9");
  assert.equal(remote(0, "8.8.8.8, "), "10.1.0.5");
  assert.equal(remote(0, ","), "10.1.0.5");
  assert.equal(remote(1, ",203.0.113.9"), "10.1.0.5");
  assert.equal(remote(1, "8.8.8.8,"), "8.8.8.8");
  assert.equal(remote(1, "8.8.8.8,,203.0.113.9"), "10.1.0.5");
  assert.equal(remote(1, "8.8.8.8,203.0.113.9,,"), "10.1.0.5", "what is left ends in a comma");
  assert.equal(remote(2, "8.8.8.8,,203.0.113.9"), "8.8.8.8");
  assert.equal(remote(1, "8.8.8.81"), "10.1.0.5");
  assert.equal(remote(2, "8.8.8.81,203.0.113.9"), "10.1.0.5");
});

test("remoteAddressOf(): the same header is read anew where another of its entries is believed", () => {
  const header = "1.1.1.1,2.2.2.2,3.3.3.3";
  for (const [trust, address] of [
    [0, "3.3.3.3"],
    [1, "2.2.2.2"],
    [0, "3.3.3.3"],
    [2, "1.1.1.1"],
    [0, "3.3.3.3"],
  ] as const)
    assert.equal(remote(trust, header), address);
  assert.equal(remote(0, "4.4.4.4"), "4.4.4.4");
  assert.equal(remote(0, header), "3.3.3.3");
});

test("remoteAddressOf(): without an entry to believe the original client is who the connection says", () => {
  const told = connect({ remoteIp: "198.51.100.7" });
  const address = (headers: readonly string[], trust: number | null) => {
    const found = remoteAddressOf(told, headers, trust === null ? null : { entryFromRight: trust });
    return found === null ? "none" : formatIpAddress(found);
  };
  assert.equal(address([], 0), "198.51.100.7");
  assert.equal(address(["x-forwarded-for", "x"], 0), "198.51.100.7");
  assert.equal(address(["x-forwarded-for", "1.1.1.1"], null), "198.51.100.7");
  assert.equal(address(["x-forwarded-for", "1.1.1.1"], 0), "1.1.1.1");
  assert.equal(remoteAddressOf(connect({ remoteIp: "x" }), [], { entryFromRight: 0 }), null);
});
