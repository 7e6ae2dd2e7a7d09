import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCaAccess } from "../../../src/control/ca-grpc/ca-access-configuration.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { identityOf, TRUST_DOMAIN } from "./ca-fixture.ts";

const PLACE = { path: "access.yaml", folder: "/etc/bulwark", trustDomain: TRUST_DOMAIN };
const RULE = { claims: { sub: "build" }, serviceAccount: "finance/auditor" };
const OIDC = { issuer: "https://login.example", audiences: ["ca"], identities: [RULE] };
const REVIEW = { server: "https://127.0.0.1:6443", caFile: "ca.crt", tokenFile: "/var/token" };
const parse = (document: unknown) => parseCaAccess(document, PLACE);

test("a configuration of everything is read, with paths relative to its file", () => {
  const read = parse({
    listen: "localhost:15012",
    serverNames: ["ca.example"],
    clusters: [
      { issuer: "https://a", tokenReview: { ...REVIEW, timeoutSeconds: 2, cacheSeconds: 0 } },
      { issuer: "https://b", audience: "other", jwksFile: "keys.json", maxTtlSeconds: 3600 },
    ],
    oidc: [{ ...OIDC, singleUse: true, maxTtlSeconds: 600 }],
    nodeAgents: ["istio-system/ztunnel"],
    certificates: false,
    detectReplay: false,
    limits: { perIdentity: { ratePerSecond: 0.5, burst: 3 } },
  });
  assert.deepEqual(read, {
    listen: { host: "127.0.0.1", port: 15012 },
    serverNames: ["ca.example"],
    clusters: [
      {
        issuer: "https://a",
        audience: "istio-ca",
        by: {
          kind: "token-review",
          server: new URL("https://127.0.0.1:6443"),
          caFile: "/etc/bulwark/ca.crt",
          tokenFile: "/var/token",
          timeoutMs: 2000,
          cacheMs: 0,
        },
        maxTtlSeconds: undefined,
      },
      {
        issuer: "https://b",
        audience: "other",
        by: { kind: "jwks", file: "/etc/bulwark/keys.json" },
        maxTtlSeconds: 3600,
      },
    ],
    oidc: [
      {
        issuer: "https://login.example",
        audiences: ["ca"],
        jwksUri: "",
        singleUse: true,
        rules: [{ claims: { sub: "build" }, spiffeId: identityOf("auditor") }],
        maxTtlSeconds: 600,
      },
    ],
    nodeAgents: ["istio-system/ztunnel"],
    certificates: false,
    detectReplay: false,
    limits: { perIdentity: { ratePerSecond: 0.5, burst: 3 } },
  });
});

test("without a word nobody but the mesh's own may ask, and nothing listens", () => {
  const { clusters, oidc, nodeAgents, listen, detectReplay } = parse({});
  assert.deepEqual(
    { clusters, oidc, nodeAgents, listen, detectReplay },
    {
      clusters: [],
      oidc: [],
      nodeAgents: [],
      listen: undefined,
      detectReplay: true,
    },
  );
});

const WRONG: readonly (readonly [string, unknown, RegExp])[] = [
  ["no mapping", [], /is no mapping/],
  ["a misspelt field", { limit: {} }, /`limit` is not known/],
  [
    "a misspelt limit",
    { limits: { perIdentity: { rate: 1, burst: 1 } } },
    /`limits.perIdentity.rate` is not known/,
  ],
  ["half a limit", { limits: { perAddress: { burst: 1 } } }, /`limits.perAddress` needs/],
  [
    "a longest life of a second",
    { oidc: [{ ...OIDC, maxTtlSeconds: 1 }] },
    /maxTtlSeconds` is no number from 2/,
  ],
  ["a rate of nothing", { limits: { perAddress: { burst: 1, ratePerSecond: 0 } } }, /is no number from/],
  ["an address that others reach", { listen: "0.0.0.0:15012" }, /`listen`/],
  ["a port that there is not", { listen: "127.0.0.1:70000" }, /`listen` has no such port/],
  ["a node agent without a namespace", { nodeAgents: ["ztunnel"] }, /`nodeAgents`/],
  ["a cluster without a way", { clusters: [{ issuer: "a" }] }, /`clusters\[0\]` needs either/],
  [
    "a cluster with two ways",
    { clusters: [{ issuer: "a", jwksFile: "k", tokenReview: REVIEW }] },
    /needs either/,
  ],
  [
    "a review in clear text",
    { clusters: [{ issuer: "a", tokenReview: { ...REVIEW, server: "http://x" } }] },
    /no https URL/,
  ],
  ["an issuer without an audience", { oidc: [{ ...OIDC, audiences: [] }] }, /`oidc\[0\].audiences` is empty/],
  [
    "an issuer that nobody can find",
    { oidc: [{ ...OIDC, issuer: "login" }] },
    /`oidc\[0\].jwksUri` is missing/,
  ],
  ["an issuer without identities", { oidc: [{ ...OIDC, identities: [] }] }, /identities` is empty/],
  [
    "a rule that fits every token",
    { oidc: [{ ...OIDC, identities: [{ ...RULE, claims: {} }] }] },
    /claims` is empty/,
  ],
  [
    "a claim that is a number",
    { oidc: [{ ...OIDC, identities: [{ ...RULE, claims: { sub: 1 } }] }] },
    /claims.sub` is no text/,
  ],
  [
    "an identity that is more than an account",
    { oidc: [{ ...OIDC, identities: [{ ...RULE, serviceAccount: "a/sa/b" }] }] },
    /serviceAccount`/,
  ],
  ["a server name with a wildcard", { serverNames: ["*.example"] }, /`serverNames`/],
];
for (const [what, document, message] of WRONG)
  test(`${what} is refused, and where it is is said`, () => {
    assert.throws(
      () => parse(document),
      (error) =>
        error instanceof BulwarkError && error.code === "BW_CA_ACCESS_CONFIG" && message.test(error.message),
    );
  });
