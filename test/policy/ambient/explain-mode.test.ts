/** Why a sidecar and ztunnel come to different answers: every line that can be told, and when none is. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compileAmbient } from "../../../src/policy/ambient/ambient-policy.ts";
import { explainMode } from "../../../src/policy/ambient/explain-mode.ts";
import type { Verdict } from "../../../src/policy/verdict.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, meshOf, resource } from "../inbound-fixture.ts";
import { workloadIn } from "./ambient-fixture.ts";

const VERDICT: Verdict = {
  allowed: true,
  code: 0,
  reason: "ok",
  cause: "no-allow-policies",
  layer: "authorization",
  policy: null,
  rule: null,
};
const by = (name: string, rule: number | null, cause = "deny-matched"): Partial<Verdict> => ({
  cause,
  policy: `AuthorizationPolicy foo/${name}`,
  rule,
});

function explain(
  resources: readonly Resource[],
  sidecar: Partial<Verdict>,
  ambient: Partial<Verdict>,
): readonly string[] {
  const mesh = meshOf(...resources);
  const workload = workloadIn(mesh);
  const compiled = compileAmbient(mesh, workload, { semantics: "istio" });
  return explainMode(mesh, workload, compiled, {
    sidecar: { ...VERDICT, ...sidecar },
    ambient: { ...VERDICT, ...ambient },
  });
}

const FOO = { from: [{ source: { namespaces: ["foo"] } }] };
const GET = { to: [{ operation: { methods: ["GET"] } }] };
const GET_TWICE = {
  to: [
    { operation: { methods: ["GET"], ports: ["80"] } },
    { operation: { methods: ["PUT"], ports: ["81"] } },
  ],
};
const TRUSTED = { from: [{}, { source: { namespaces: ["foo"], trustDomains: ["x"] } }] };
const UNTRUSTED = { from: [{ source: { namespaces: ["foo"], notTrustDomains: ["x"] } }] };
const CLOSED = { cause: "no-allow-matched" };

type Case = readonly [
  why: string,
  resources: readonly Resource[],
  sidecar: Partial<Verdict>,
  ambient: Partial<Verdict>,
  lines: readonly string[],
];

const allow = (name: string, ...rules: readonly object[]): Resource => authorization(name, { rules });
const deny = (name: string, ...rules: readonly object[]): Resource =>
  authorization(name, { action: "DENY", rules });

const CASES: readonly Case[] = [
  ["nothing to tell", [allow("a", FOO)], {}, {}, []],
  ["both denied alike", [deny("d", FOO)], by("d", 0), by("d", 0), []],
  [
    "a token that the sidecar reads",
    [resource("RequestAuthentication", "jwt", { jwtRules: [{ issuer: "i" }] })],
    { layer: "jwt" },
    {},
    ["ztunnel reads no tokens: RequestAuthentication is for sidecars and waypoints"],
  ],
  [
    "an ALLOW rule that is dropped",
    [allow("a", FOO, GET_TWICE)],
    by("a", 1, "allow-matched"),
    CLOSED,
    [
      "ztunnel drops rule 1 of AuthorizationPolicy foo/a whole: an ALLOW rule that asks for methods cannot be judged without HTTP",
    ],
  ],
  [
    "every ALLOW rule that is dropped, where ztunnel has none that matches",
    [
      allow("a", GET, FOO),
      allow("b"),
      allow("c", { when: [{ key: "remote.ip", values: ["1.1.1.1"] }], ...GET }),
    ],
    CLOSED,
    CLOSED,
    [
      "ztunnel drops rule 0 of AuthorizationPolicy foo/a whole: an ALLOW rule that asks for methods cannot be judged without HTTP",
      "ztunnel drops rule 0 of AuthorizationPolicy foo/c whole: an ALLOW rule that asks for methods, remote.ip cannot be judged without HTTP",
    ],
  ],
  [
    "dropped rules do not matter where ztunnel allows",
    [allow("a", GET, FOO)],
    CLOSED,
    by("a", 1, "allow-matched"),
    [],
  ],
  [
    "a DENY rule of which nothing is left",
    [deny("d", GET)],
    by("d", 0),
    {},
    [
      "of rule 0 of AuthorizationPolicy foo/d ztunnel leaves methods out; a clause of which nothing is left never matches there",
    ],
  ],
  [
    "a DENY rule that asks for nothing that ztunnel knows",
    [deny("d", { from: [{ source: { trustDomains: ["x"] } }] })],
    by("d", 0),
    {},
    [
      "of rule 0 of AuthorizationPolicy foo/d ztunnel knows nothing; a clause of which nothing is left never matches there",
    ],
  ],
  [
    "a DENY rule of which something is left",
    [deny("d", GET_TWICE)],
    by("d", 0),
    {},
    ["of rule 0 of AuthorizationPolicy foo/d ztunnel leaves methods out"],
  ],
  [
    "an entry of which something is left saves its clause",
    [deny("d", { to: [{ operation: { methods: ["GET"] } }, { operation: { ports: ["80"] } }] })],
    by("d", 0),
    {},
    ["of rule 0 of AuthorizationPolicy foo/d ztunnel leaves methods out"],
  ],
  [
    "a DENY rule that decides at ztunnel with what is left",
    [deny("d", FOO, { ...FOO, ...GET_TWICE })],
    {},
    by("d", 1),
    ["of rule 1 of AuthorizationPolicy foo/d ztunnel leaves methods out: the rest of it decides alone"],
  ],
  [
    "of several rules and policies the one that decides",
    [
      deny("c", FOO),
      deny("d", FOO, { ...FOO, to: [{ operation: { methods: ["GET"], paths: ["/"], ports: ["80"] } }] }),
    ],
    by("d", 1),
    by("d", 1),
    [
      "of rule 1 of AuthorizationPolicy foo/d ztunnel leaves methods, paths out",
      "of rule 1 of AuthorizationPolicy foo/d ztunnel leaves methods, paths out: the rest of it decides alone",
    ],
  ],
  [
    "one clause of which nothing is left is enough",
    [deny("d", { ...FOO, ...GET })],
    by("d", 0),
    {},
    [
      "of rule 0 of AuthorizationPolicy foo/d ztunnel leaves methods out; a clause of which nothing is left never matches there",
    ],
  ],
  [
    "an ALLOW rule that is dropped where a DENY decides",
    [allow("a", GET), deny("d", FOO)],
    by("a", 0, "allow-matched"),
    by("d", 0),
    [
      "ztunnel drops rule 0 of AuthorizationPolicy foo/a whole: an ALLOW rule that asks for methods cannot be judged without HTTP",
    ],
  ],
  [
    "trust domains that ztunnel is not told of",
    [deny("d", TRUSTED), allow("a", FOO, UNTRUSTED)],
    by("d", 0),
    by("a", 0, "allow-matched"),
    ["istiod does not tell ztunnel of the trustDomains in rule 0 of AuthorizationPolicy foo/d"],
  ],
  [
    "trust domains that are excluded",
    [allow("a", FOO, UNTRUSTED)],
    by("a", 1, "allow-matched"),
    {},
    ["istiod does not tell ztunnel of the trustDomains in rule 1 of AuthorizationPolicy foo/a"],
  ],
  [
    "an authorizer",
    [authorization("c", { action: "CUSTOM", provider: { name: "p" }, rules: [{}] })],
    by("c", 0),
    {},
    ["ztunnel asks no external authorizer: AuthorizationPolicy foo/c needs a waypoint"],
  ],
  [
    "an empty selector",
    [authorization("d", { selector: {}, action: "DENY", rules: [{}] })],
    by("d", 0),
    {},
    ["AuthorizationPolicy foo/d does not reach ztunnel: there an empty selector selects nothing"],
  ],
  [
    "ALLOW policies that do not reach ztunnel, where the sidecar has none that matches",
    [
      authorization("a", { selector: {}, rules: [GET] }),
      authorization("d", { selector: {}, action: "DENY", rules: [GET] }),
      authorization("e", { selector: {}, action: "ALLOW" }),
    ],
    CLOSED,
    {},
    [
      "AuthorizationPolicy foo/a does not reach ztunnel: there an empty selector selects nothing",
      "AuthorizationPolicy foo/e does not reach ztunnel: there an empty selector selects nothing",
    ],
  ],
  [
    "unless ztunnel has one that matches",
    [authorization("a", { selector: {}, rules: [GET] })],
    CLOSED,
    { cause: "allow-matched" },
    [],
  ],
  ["or the sidecar has", [authorization("a", { selector: {}, rules: [GET] })], {}, {}, []],
  ["a policy that reaches it is not absent", [allow("a", FOO)], CLOSED, {}, []],
  ["a policy that is not there", [allow("a", FOO)], by("gone", 0), by("gone", 0), []],
  ["no rule is told", [allow("a", GET)], by("a", null), {}, []],
  ["a rule that is not there", [deny("d", GET_TWICE)], {}, by("d", 7), []],
  [
    "aliases",
    [],
    {},
    { cause: "foreign-trust-domain", layer: "transport" },
    ["ztunnel takes identities of the mesh's own trust domain alone: aliases do not count"],
  ],
  [
    "a foreign identity at both",
    [],
    { cause: "foreign-trust-domain" },
    { cause: "foreign-trust-domain" },
    [],
  ],
  [
    "plaintext at ztunnel alone",
    [],
    {},
    { cause: "plaintext-refused", layer: "transport" },
    ["istiod's policies for ztunnel refuse more plaintext than PeerAuthentication does at sidecars"],
  ],
  [
    "plaintext at both",
    [],
    { cause: "no-chain", layer: "transport" },
    { cause: "plaintext-refused", layer: "transport" },
    [],
  ],
  [
    "plaintext at the sidecar alone",
    [],
    { cause: "no-chain", layer: "transport" },
    {},
    [
      "of PeerAuthentication istiod hands ztunnel only what it turns into policies, and here that is less than is written",
    ],
  ],
];

describe("explainMode()", () => {
  for (const [why, resources, sidecar, ambient, lines] of CASES)
    test(why, () => assert.deepEqual(explain(resources, sidecar, ambient), lines));

  test("a line is told once, in the order of the checks", () => {
    const resources = [deny("d", GET_TWICE), allow("a", GET)];
    assert.deepEqual(explain(resources, { ...by("a", 0, "allow-matched"), layer: "jwt" }, CLOSED), [
      "ztunnel reads no tokens: RequestAuthentication is for sidecars and waypoints",
      "ztunnel drops rule 0 of AuthorizationPolicy foo/a whole: an ALLOW rule that asks for methods cannot be judged without HTTP",
    ]);
  });
});
