/** Which of a DestinationRule's settings hold: https://istio.io/latest/docs/reference/config/networking/destination-rule/#TrafficPolicy */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MergedRule } from "../../../src/policy/outbound/destination-rules.ts";
import type {
  ClientTlsSettings,
  PortedTrafficPolicy,
  Subset,
} from "../../../src/policy/outbound/resource-shapes.ts";
import {
  endpointTlsMode,
  isPassthrough,
  policyForPort,
} from "../../../src/policy/outbound/traffic-policy.ts";

function ruleWith(trafficPolicy?: PortedTrafficPolicy): MergedRule {
  const rule = { namespace: "foo", exportTo: [], subsets: [], from: [] };
  return trafficPolicy === undefined ? rule : { ...rule, trafficPolicy };
}

function subsetWith(trafficPolicy?: PortedTrafficPolicy): Subset {
  return trafficPolicy === undefined ? { name: "v1" } : { name: "v1", trafficPolicy };
}

const tls = (mode: NonNullable<ClientTlsSettings["mode"]>): { readonly tls: ClientTlsSettings } => ({
  tls: { mode },
});
const balanced = (simple: string): PortedTrafficPolicy => ({ loadBalancer: { simple } });
const onPort = (number: number, settings: PortedTrafficPolicy): PortedTrafficPolicy => ({
  portLevelSettings: [{ port: { number }, ...settings }],
});
const POOL: PortedTrafficPolicy = { connectionPool: { http: { useClientProtocol: true } } };

describe("policyForPort(), of port 80", () => {
  const port80 = (settings: PortedTrafficPolicy): object => ({ port: { number: 80 }, ...settings });
  const CASES: readonly [
    name: string,
    rule: PortedTrafficPolicy | undefined,
    subset: PortedTrafficPolicy | undefined,
    policy: object | undefined,
  ][] = [
    ["nothing", undefined, undefined, undefined],
    ["the rule's", tls("SIMPLE"), undefined, tls("SIMPLE")],
    ["the subset's", undefined, tls("SIMPLE"), tls("SIMPLE")],
    [
      "the rule's of the port, and nothing beside it",
      { ...tls("SIMPLE"), ...onPort(80, POOL) },
      undefined,
      port80(POOL),
    ],
    [
      "the rule's where its settings are for another port",
      { ...tls("SIMPLE"), ...onPort(81, POOL) },
      undefined,
      { ...tls("SIMPLE"), ...onPort(81, POOL) },
    ],
    ["the subset's of the port", undefined, { ...tls("SIMPLE"), ...onPort(80, POOL) }, port80(POOL)],
    [
      "field by field of subset, else rule",
      { ...tls("SIMPLE"), ...POOL },
      { ...tls("DISABLE"), ...balanced("RANDOM") },
      {
        ...tls("DISABLE"),
        ...balanced("RANDOM"),
        ...POOL,
      },
    ],
    [
      "a subset that says nothing of it",
      { ...tls("SIMPLE"), ...balanced("RANDOM"), ...POOL },
      {},
      {
        ...tls("SIMPLE"),
        ...balanced("RANDOM"),
        ...POOL,
      },
    ],
    [
      "a rule that says nothing of it",
      {},
      { ...tls("SIMPLE"), ...balanced("RANDOM"), ...POOL },
      {
        ...tls("SIMPLE"),
        ...balanced("RANDOM"),
        ...POOL,
      },
    ],
    [
      "the subset's of the port inherit nothing",
      { ...tls("SIMPLE"), ...balanced("RANDOM") },
      { ...tls("DISABLE"), ...onPort(80, POOL) },
      POOL,
    ],
    [
      "the subset's, with the rule's of the port",
      onPort(80, { ...tls("SIMPLE"), ...POOL }),
      balanced("RANDOM"),
      {
        ...tls("SIMPLE"),
        ...balanced("RANDOM"),
        ...POOL,
      },
    ],
  ];
  for (const [name, rule, subset, policy] of CASES)
    test(name, () => assert.deepEqual(policyForPort(ruleWith(rule), subsetWith(subset), 80), policy));

  test("nothing without rule and subset; settings without a port are for none", () => {
    assert.equal(policyForPort(undefined, undefined, 80), undefined);
    const portless: PortedTrafficPolicy = { ...balanced("RANDOM"), portLevelSettings: [tls("SIMPLE")] };
    assert.equal(policyForPort(ruleWith(portless), undefined, 80), portless);
  });
});

describe("endpointTlsMode(), of port 80", () => {
  const CASES: readonly [
    name: string,
    rule: PortedTrafficPolicy | undefined,
    subset: PortedTrafficPolicy | undefined,
    mode: string | undefined,
  ][] = [
    ["none", undefined, undefined, undefined],
    ["none of settings without TLS", POOL, POOL, undefined],
    ["the rule's", tls("SIMPLE"), undefined, "SIMPLE"],
    ["the rule's of the port", { ...tls("SIMPLE"), ...onPort(80, tls("MUTUAL")) }, undefined, "MUTUAL"],
    [
      "the rule's, not that of another port",
      { ...tls("SIMPLE"), ...onPort(81, tls("MUTUAL")) },
      undefined,
      "SIMPLE",
    ],
    [
      "the rule's where the port says nothing of TLS",
      { ...tls("SIMPLE"), ...onPort(80, POOL) },
      undefined,
      "SIMPLE",
    ],
    ["the subset's", tls("SIMPLE"), tls("ISTIO_MUTUAL"), "ISTIO_MUTUAL"],
    ["the subset's of the port", tls("SIMPLE"), onPort(80, tls("ISTIO_MUTUAL")), "ISTIO_MUTUAL"],
    [
      "the subset's before the rule's of the port",
      onPort(80, tls("SIMPLE")),
      tls("ISTIO_MUTUAL"),
      "ISTIO_MUTUAL",
    ],
    ["the rule's of the port where the subset says nothing", onPort(80, tls("SIMPLE")), POOL, "SIMPLE"],
    [
      "that of a port's settings that have one",
      {
        portLevelSettings: [
          { port: { number: 80 }, ...POOL },
          { port: { number: 80 }, ...tls("SIMPLE") },
        ],
      },
      undefined,
      "SIMPLE",
    ],
    ["DISABLE of settings without a mode", { tls: {} }, undefined, "DISABLE"],
  ];
  for (const [name, rule, subset, mode] of CASES)
    test(name, () => assert.equal(endpointTlsMode(ruleWith(rule), subsetWith(subset), 80), mode));

  test("none without rule and subset, the rule's without subset; settings without a port are for none", () => {
    assert.equal(endpointTlsMode(undefined, undefined, 80), undefined);
    assert.equal(endpointTlsMode(ruleWith(tls("SIMPLE")), undefined, 80), "SIMPLE");
    assert.equal(endpointTlsMode(ruleWith({ portLevelSettings: [tls("SIMPLE")] }), undefined, 80), undefined);
  });
});

test("isPassthrough(): by the load balancer PASSTHROUGH alone", () => {
  assert.equal(isPassthrough(undefined), false);
  assert.equal(isPassthrough({}), false);
  assert.equal(isPassthrough({ loadBalancer: {} }), false);
  assert.equal(isPassthrough(balanced("RANDOM")), false);
  assert.equal(isPassthrough(balanced("PASSTHROUGH")), true);
});
