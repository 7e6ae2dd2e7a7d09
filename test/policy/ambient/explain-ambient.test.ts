/** What a person is told of ztunnel's decisions, whole. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { explainAmbient } from "../../../src/policy/ambient/explain-ambient.ts";
import type { ConnectionInput } from "../../../src/policy/connection.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { authorization, connect, resource, SLEEP } from "../inbound-fixture.ts";
import { ambientOf } from "./ambient-fixture.ts";

type Case = readonly [
  why: string,
  resources: readonly Resource[],
  connection: Partial<ConnectionInput>,
  lines: readonly string[],
];

const source = (fields: object): object => ({ from: [{ source: fields }] });
const allow = (name: string, ...rules: readonly object[]): Resource => authorization(name, { rules });
const deny = (name: string, ...rules: readonly object[]): Resource =>
  authorization(name, { action: "DENY", rules });

const ALLOWED = "allowed by a rule at ztunnel: AuthorizationPolicy foo/a rule";
const DENIED = "denied by a rule at ztunnel: AuthorizationPolicy foo/d rule";
const NONE = "denied by ztunnel: ALLOW policies apply to the workload and none of their rules matches";
const HANDSHAKE = "refused in the handshake: the client's";

const CASES: readonly Case[] = [
  [
    "nothing applies",
    [],
    {},
    ["allowed by ztunnel: no DENY policy matches and no ALLOW policy applies to the workload"],
  ],
  ["a port of its own", [], { destinationPort: 15008 }, ["refused: the port is ztunnel's own"]],
  [
    "another trust domain",
    [],
    { principal: "other.test/ns/foo/sa/x" },
    [
      `${HANDSHAKE} identity is not an account of the mesh's own trust domain (aliases do not count in ambient mode)`,
    ],
  ],
  [
    "a certificate of others",
    [],
    { tls: "rogue" },
    [`${HANDSHAKE} certificate is not a valid one of this mesh's authority for a workload`],
  ],
  [
    "plaintext",
    [resource("PeerAuthentication", "all", { mtls: { mode: "STRICT" } })],
    { principal: null },
    ["denied by ztunnel: plaintext, and PeerAuthentication foo/all requires mutual TLS on port 8080"],
  ],
  ["a rule that matches everything", [allow("a", {})], {}, [`${ALLOWED} 0`, "the rule matches everything"]],
  [
    "each condition that matched, of the entry that did",
    [
      allow("a", source({ namespaces: ["bar"] }), {
        from: [
          {},
          { source: { namespaces: ["bar"] } },
          { source: { principals: ["x", SLEEP], notIpBlocks: ["10.2.0.0/16"] } },
        ],
        to: [{ operation: { ports: ["8080", "80"] } }],
        when: [{ key: "destination.ip", values: ["10.20.0.0/16"], notValues: ["10.20.0.6"] }],
      }),
    ],
    {},
    [
      `${ALLOWED} 1`,
      "ports in [8080, 80]: came 8080",
      `principals in [x, ${SLEEP}]: came ${SLEEP}`,
      "ipBlocks not in [10.2.0.0/16]: came 10.1.0.5",
      "destination.ip in [10.20.0.0/16] and not in [10.20.0.6]: came 10.20.0.5",
    ],
  ],
  [
    "of the policy that decides",
    [allow("0", source({ namespaces: ["bar"] })), allow("a", source({ notNamespaces: ["bar", "baz"] }))],
    {},
    [`${ALLOWED} 0`, "namespaces not in [bar, baz]: came cluster.local/ns/foo/sa/sleep"],
  ],
  [
    "a caller of whom nothing is known",
    [allow("a", source({ notNamespaces: ["bar"], notServiceAccounts: ["x"], notIpBlocks: ["10.0.0.0/8"] }))],
    { principal: null, sourceIp: "garbage" },
    [
      `${ALLOWED} 0`,
      "namespaces not in [bar]: came no client certificate",
      "serviceAccounts not in [x]: came no client certificate",
      "ipBlocks not in [10.0.0.0/8]: came an unknown address",
    ],
  ],
  [
    "what a DENY stands without",
    [
      deny("d", source({ namespaces: ["bar"] }), {
        ...source({ namespaces: ["foo"], requestPrincipals: ["*"] }),
        to: [{ operation: { ports: ["8080"], methods: ["GET"] } }],
      }),
    ],
    {},
    [
      `${DENIED} 1`,
      "ports in [8080]: came 8080",
      "namespaces in [foo]: came cluster.local/ns/foo/sa/sleep",
      "ztunnel knows no requestPrincipals, methods: the rule stands without",
    ],
  ],
  [
    "an ALLOW without rules",
    [allow("a")],
    {},
    [NONE, "the ALLOW policies that apply have no rule that could match here"],
  ],
  [
    "the nearest rule, of the entry of each clause that is nearest; the first of equal ones",
    [
      allow("a", {
        ...source({ namespaces: ["bar"], ipBlocks: ["10.2.0.0/16"] }),
        to: [{ operation: { ports: ["80"] } }],
      }),
      allow(
        "b",
        {
          from: [
            { source: { principals: ["x"], namespaces: ["bar"] } },
            { source: { principals: ["y"], namespaces: ["foo"] } },
            { source: { principals: ["z"], namespaces: ["foo"] } },
          ],
          to: [{ operation: { ports: ["80"] } }, { operation: { ports: ["8080"] } }],
        },
        source({ namespaces: ["bar"] }),
      ),
    ],
    {},
    [
      NONE,
      "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy foo/b",
      "it wants principals in [y]; came cluster.local/ns/foo/sa/sleep",
    ],
  ],
  [
    "a nearer rule further on",
    [
      allow("a", source({ namespaces: ["bar"], ipBlocks: ["10.2.0.0/16"] })),
      allow("b", source({ namespaces: ["baz"], ipBlocks: ["10.1.0.0/16"] })),
    ],
    {},
    [
      NONE,
      "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy foo/b",
      "it wants namespaces in [baz]; came cluster.local/ns/foo/sa/sleep",
    ],
  ],
  [
    "rules that are dropped",
    [
      allow("a", { to: [{ operation: { methods: ["GET"] } }] }),
      allow("b", source({ namespaces: ["bar"] })),
      allow("c", { to: [{ operation: { hosts: ["x"] } }] }, { to: [{ operation: { paths: ["/"] } }] }),
    ],
    {},
    [
      NONE,
      "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy foo/b",
      "it wants namespaces in [bar]; came cluster.local/ns/foo/sa/sleep",
      "AuthorizationPolicy foo/a: a rule with HTTP attributes is dropped, as ztunnel knows none; a waypoint would enforce it",
      "AuthorizationPolicy foo/c: 2 rules with HTTP attributes are dropped, as ztunnel knows none; a waypoint would enforce them",
    ],
  ],
];

describe("explainAmbient()", () => {
  for (const [why, resources, connection, lines] of CASES)
    test(why, () => assert.deepEqual(explainAmbient(ambientOf(resources), connect(connection)), lines));

  test("under strict semantics what is written is told where it decides", () => {
    const rule = source({ principals: [SLEEP], trustDomains: ["other.test"] });
    assert.deepEqual(explainAmbient(ambientOf([allow("a", rule)], "strict"), connect()), [
      NONE,
      "the nearest rule that would have allowed it is rule 0 of AuthorizationPolicy foo/a",
      `it wants trustDomains in [other.test]; came ${SLEEP}`,
    ]);
  });
});
