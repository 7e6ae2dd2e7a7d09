import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatAddress } from "../../../src/policy/network/address-range.ts";
import { hasConnection, NETWORK_PROTOCOLS } from "../../../src/policy/network/connection-set.ts";
import { decideNetwork, type NetworkEnd } from "../../../src/policy/network/decide-network.ts";
import { NetworkMap } from "../../../src/policy/network/network-map.ts";
import type { NetworkPod } from "../../../src/policy/network/network-pod.ts";
import type { NetworkPolicies } from "../../../src/policy/network/network-policies.ts";
import { networkPoliciesArbitrary, PORTS, podsArbitrary } from "./arbitrary-policies.ts";
import { referenceAllows } from "./reference-decision.ts";

const SEED = 20_261_122;
const RUNS = Number(process.env.BULWARK_RUNS ?? 80);
const ASKED: readonly number[] = [...PORTS, 2, 54, 8081];

function property(check: (policies: NetworkPolicies, pods: NetworkPod[]) => void): void {
  fc.assert(fc.property(networkPoliciesArbitrary, podsArbitrary, check), { seed: SEED, numRuns: RUNS });
}

test("decideNetwork() says of every connection between pods what the specification's prose says", () => {
  let denied = 0;
  property((policies, pods) => {
    for (const subject of pods)
      for (const other of pods)
        for (const direction of ["ingress", "egress"] as const)
          for (const protocol of NETWORK_PROTOCOLS)
            for (const port of ASKED) {
              const { outcome } = decideNetwork(policies, {
                direction,
                subject,
                other: { pod: other },
                protocol,
                port,
              });
              const expected = referenceAllows(policies, direction, subject, { pod: other }, protocol, port);
              assert.equal(outcome, expected ? "allow" : "deny");
              if (!expected) denied++;
            }
  });
  assert.ok(denied > 1000, "the policies deny something");
});

test("a map has an edge for exactly the connections that both ends' decisions allow", () => {
  property((policies, pods) => {
    const map = new NetworkMap(policies, pods, { families: [4, 6], blocks: "addresses" });
    for (const [from, source] of pods.entries()) {
      const edges = [...map.from(from)];
      for (const [to, target] of pods.entries()) {
        if (from === to) continue;
        const edge = edges.find((own) => own.to === to)?.connections ?? map.algebra.none;
        assert.equal(edge, map.between(from, to));
        for (const protocol of NETWORK_PROTOCOLS)
          for (const port of ASKED)
            assert.equal(
              hasConnection(edge, protocol, port),
              allows(policies, "egress", source, { pod: target }, protocol, port) &&
                allows(policies, "ingress", target, { pod: source }, protocol, port),
              `${source.name} to ${target.name} ${protocol} ${port}`,
            );
      }
    }
  });
});

test("a map's parts of the outside cover it, and in none does an address differ from another", () => {
  property((policies, pods) => {
    const map = new NetworkMap(policies, pods, { families: [4, 6], blocks: "outside" });
    for (const [at, pod] of pods.entries()) {
      checkOutside(
        [...map.fromOutside(at)].map(({ from, connections }) => [from, connections] as const),
        "ingress",
        pod,
        policies,
      );
      const out = [...map.from(at)].filter(({ to }) => typeof to !== "number");
      checkOutside(
        out.map(({ to, connections }) => [to, connections] as const),
        "egress",
        pod,
        policies,
      );
    }
  });
});

type Part = readonly [range: unknown, connections: NetworkMap["algebra"]["none"]];

function checkOutside(
  parts: readonly Part[],
  direction: "ingress" | "egress",
  pod: NetworkPod,
  policies: NetworkPolicies,
): void {
  const ranges = parts.map(([range, connections]) => ({
    ...(range as { family: 4 | 6; first: bigint; last: bigint }),
    connections,
  }));
  for (const [family, value] of PROBES) {
    const part = ranges.find((own) => own.family === family && own.first <= value && value <= own.last);
    for (const protocol of NETWORK_PROTOCOLS)
      for (const port of ASKED)
        assert.equal(
          part !== undefined && hasConnection(part.connections, protocol, port),
          allows(policies, direction, pod, { address: formatAddress(family, value) }, protocol, port),
        );
  }
}

/** Both sides of every edge of the blocks that policies are made with. */
const PROBES: readonly (readonly [family: 4 | 6, value: bigint])[] = [
  ...[
    0n,
    0x09ff_ffffn,
    0x0a00_0000n,
    0x0a00_00ffn,
    0x0a00_0100n,
    0x0a00_0200n,
    0x0a7f_ffffn,
    0x0a80_0000n,
    0x0aff_ffffn,
    0x0b00_0000n,
    0xc000_0200n,
    0xc000_0300n,
    0xffff_ffffn,
  ].map((value) => [4, value] as const),
  ...[0n, 0x2001_0db8n << 96n, (0x2001_0db9n << 96n) - 1n, 0x2001_0db9n << 96n].map(
    (value) => [6, value] as const,
  ),
];

function allows(
  policies: NetworkPolicies,
  direction: "ingress" | "egress",
  subject: NetworkPod,
  other: NetworkEnd,
  protocol: "TCP" | "UDP" | "SCTP",
  port: number,
): boolean {
  const { outcome } = decideNetwork(policies, { direction, subject, other, protocol, port });
  assert.notEqual(outcome, "unknown", "every address is known here");
  return outcome === "allow";
}
