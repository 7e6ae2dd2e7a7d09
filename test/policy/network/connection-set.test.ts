import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConnectionAlgebra, type ConnectionSet } from "../../../src/policy/network/connection-set.ts";
import {
  hasPort,
  intersectPorts,
  type PortSet,
  subtractPorts,
  unionPorts,
} from "../../../src/policy/network/port-set.ts";

const PORT = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(1, 2, 65_534, 65_535));
const ports: fc.Arbitrary<PortSet> = fc
  .array(fc.tuple(PORT, PORT), { maxLength: 4 })
  .map((ranges) =>
    ranges.reduce<PortSet>((set, [a, b]) => unionPorts(set, [Math.min(a, b), Math.max(a, b)]), []),
  );
const ASKED = [...Array.from({ length: 14 }, (_, at) => at + 1), 65_533, 65_534, 65_535];

function check(law: (a: PortSet, b: PortSet) => void): void {
  fc.assert(fc.property(ports, ports, law), { seed: 20_261_122, numRuns: 500 });
}

test("union, intersection and difference of ports are those of their members, in the one canonical form", () => {
  check((a, b) => {
    const results = [unionPorts(a, b), intersectPorts(a, b), subtractPorts(a, b)] as const;
    for (const port of ASKED) {
      const [inA, inB] = [hasPort(a, port), hasPort(b, port)];
      assert.deepEqual(
        results.map((set) => hasPort(set, port)),
        [inA || inB, inA && inB, inA && !inB],
      );
    }
    for (const set of results)
      for (let at = 0; at < set.length; at += 2) {
        assert.ok((set[at] ?? 0) <= (set[at + 1] ?? 0));
        assert.ok(at === 0 || (set[at] ?? 0) > (set[at - 1] ?? 0) + 1, "neither overlapping nor adjacent");
      }
  });
});

test("equal connection sets of one algebra are the same object, and its laws hold", () => {
  const algebra = new ConnectionAlgebra();
  const set = (own: PortSet): ConnectionSet => algebra.of({ TCP: own, UDP: subtractPorts([1, 9], own) });
  check((x, y) => {
    const [a, b] = [set(x), set(y)];
    assert.equal(algebra.union(a, b), algebra.union(b, a));
    assert.equal(algebra.intersect(a, algebra.union(a, b)), a);
    assert.equal(algebra.union(algebra.subtract(a, b), algebra.intersect(a, b)), a);
    assert.equal(algebra.intersect(algebra.subtract(a, b), b), algebra.none);
    const complement = (own: ConnectionSet): ConnectionSet => algebra.subtract(algebra.all, own);
    assert.equal(complement(algebra.union(a, b)), algebra.intersect(complement(a), complement(b)));
  });
});

test("connections are written with protocols in order and ranges merged", () => {
  const algebra = new ConnectionAlgebra();
  assert.equal(algebra.all.text, "All Connections");
  assert.equal(algebra.none.text, "");
  const set = algebra.of({ UDP: [53, 53], TCP: unionPorts([80, 80], [8080, 8090]), SCTP: [9003, 9003] });
  assert.equal(set.text, "SCTP 9003,TCP 80,8080-8090,UDP 53");
  assert.equal(algebra.of({ TCP: [1, 65_535] }).text, "TCP 1-65535");
});
