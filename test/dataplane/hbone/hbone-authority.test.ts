import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { hboneAuthority, parseHboneAuthority } from "../../../src/dataplane/hbone/hbone-authority.ts";
import { canonicalAddress } from "../../../src/policy/waypoint/served-addresses.ts";

const SEED = 20261122;

test("an authority is an address and a port, written in one way", () => {
  const read = (text: string) => {
    const found = parseHboneAuthority(text);
    return found === undefined ? undefined : `${found.ip} ${found.port}`;
  };
  assert.equal(read("10.1.2.3:80"), "10.1.2.3 80");
  assert.equal(read("[fd00::1]:65535"), "fd00::1 65535");
  assert.equal(read("[FD00:0:0::1]:1"), "fd00::1 1");
  assert.equal(read("[::ffff:10.1.2.3]:80"), "10.1.2.3 80");
  assert.equal(read("[::]:80"), ":: 80");
});

test("whatever else it is, is none", () => {
  const refused = [
    undefined,
    "",
    "10.1.2.3",
    "10.1.2.3:",
    ":80",
    "10.1.2.3:0",
    "10.1.2.3:080",
    "10.1.2.3:65536",
    "10.1.2.3:99999",
    "10.1.2.3:+80",
    "10.1.2.3:8 0",
    " 10.1.2.3:80",
    "10.1.2.3:80 ",
    "10.1.2.3:80\n",
    "10.1.2.3:80, 10.1.2.4:80",
    "10.1.2.3:80:80",
    "10.1.2.3:0x50",
    "10.1.2.3:८०",
    "010.1.2.3:80",
    "10.1.2:80",
    "167838211:80",
    "0xa.1.2.3:80",
    "10.1.2.256:80",
    "fd00::1:80",
    "[fd00::1]",
    "[fd00::1]80",
    "[fd00::1%eth0]:80",
    "[10.1.2.3]:80",
    "[fd00::1::]:80",
    "[]:80",
    "user@10.1.2.3:80",
    "10.1.2.3:80/path",
    "server.a.svc.cluster.local:80",
    "localhost:80",
    `[${"0".repeat(60)}::1]:80`,
  ];
  for (const text of refused) assert.equal(parseHboneAuthority(text), undefined, String(text));
});

test("what is written is read back; what is read is an address in its one spelling and a port in range", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  const port = fc.integer({ min: 1, max: 65_535 });
  fc.assert(
    fc.property(address, port, (written, number) => {
      const found = parseHboneAuthority(hboneAuthority(written, number));
      assert.ok(found !== undefined);
      assert.equal(found.port, number);
      assert.equal(canonicalAddress(found.ip), canonicalAddress(written));
      assert.deepEqual(parseHboneAuthority(hboneAuthority(found.ip, number)), found);
    }),
    { seed: SEED, numRuns: 500 },
  );
  const near = fc
    .array(fc.constantFrom(..."0123456789abcfF.:[]%@/ x\u0000-+"), { maxLength: 24 })
    .map((parts) => parts.join(""));
  const mutated = fc
    .tuple(address, port, fc.nat(30), fc.constantFrom(..."0:.[]%@ af", ""))
    .map(([ip, number, at, added]) => {
      const text = hboneAuthority(ip, number);
      return text.slice(0, at) + added + text.slice(at + 1);
    });
  fc.assert(
    fc.property(fc.oneof(near, mutated, fc.string()), (text) => {
      const found = parseHboneAuthority(text);
      if (found === undefined) return;
      assert.ok(isIP(found.ip) !== 0 && found.port >= 1 && found.port <= 65_535);
      assert.deepEqual(parseHboneAuthority(hboneAuthority(found.ip, found.port)), found);
    }),
    { seed: SEED, numRuns: 3000 },
  );
});
