import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSpiffeBundle, printJwtBundle, printSpiffeBundle } from "../../src/identity/spiffe-bundle.ts";
import { BulwarkError } from "../../src/resources/bulwark-error.ts";
import { CLUSTER_LOCAL, credentials, SEED, testCa } from "./mesh-fixture.ts";

const EC = {
  kty: "EC",
  crv: "P-256",
  x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
  y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
};

test("a bundle is read back as it was printed", async (context) => {
  const ca = await testCa(context);
  const bundle = {
    trustDomain: CLUSTER_LOCAL,
    x509Authorities: ca.trustBundle,
    jwtAuthorities: [{ kid: "one", jwk: EC }],
    sequence: 7,
    refreshHintSeconds: 300,
  };
  const text = printSpiffeBundle(bundle);
  assert.deepEqual(parseSpiffeBundle(CLUSTER_LOCAL, text), bundle);
  const { keys } = JSON.parse(text) as { keys: { use: string; x5c?: string[]; kty: string }[] };
  assert.deepEqual(
    keys.map(({ use, kty }) => [use, kty]),
    [
      ["x509-svid", "EC"],
      ["jwt-svid", "EC"],
    ],
  );
  assert.equal(JSON.parse(printJwtBundle(bundle)).keys.length, 1);
});

test("keys of an unknown use are passed over, and a bundle may be empty", () => {
  const parsed = parseSpiffeBundle(
    CLUSTER_LOCAL,
    JSON.stringify({ keys: [{ use: "witness", kty: "OKP" }, { kty: "EC" }] }),
  );
  assert.deepEqual([parsed.x509Authorities, parsed.jwtAuthorities, parsed.sequence], [[], [], undefined]);
});

test("what is no bundle is refused whole, and the message quotes none of it", async (context) => {
  const ca = await testCa(context);
  const root = ca.trustBundle[0] ?? assert.fail();
  const { issued } = await credentials(ca);
  const x509 = (x5c: unknown) => ({ keys: [{ use: "x509-svid", kty: "EC", x5c }] });
  const jwt = (key: object) => ({ keys: [{ use: "jwt-svid", kid: "k", ...key }] });
  const bad: readonly unknown[] = [
    null,
    [],
    {},
    { keys: {} },
    { keys: [1] },
    { keys: Array.from({ length: 257 }, () => ({})) },
    x509(undefined),
    x509([]),
    x509(["c2VjcmV0"]),
    x509([root.toString("base64"), root.toString("base64")]),
    x509([Buffer.concat([root, Buffer.from("secret")]).toString("base64")]),
    x509([issued.certificate.toString("base64")]),
    jwt({ ...EC, kid: "" }),
    jwt({ ...EC, x: "AAAA" }),
    jwt({ ...EC, d: "secret" }),
    jwt({ kty: "oct", k: "secret" }),
    {
      keys: [
        { use: "jwt-svid", kid: "k", ...EC },
        { use: "jwt-svid", kid: "k", ...EC },
      ],
    },
    { keys: [], spiffe_sequence: "1" },
    { keys: [], spiffe_sequence: -1 },
    { keys: [], spiffe_refresh_hint: 0.5 },
  ];
  for (const document of bad) {
    const text = JSON.stringify(document);
    assert.throws(
      () => parseSpiffeBundle(CLUSTER_LOCAL, text),
      (error) =>
        error instanceof BulwarkError &&
        error.code === "BW_TRUST_BUNDLE_INVALID" &&
        !error.message.includes("secret"),
      text.slice(0, 100),
    );
  }
});

test("reading a bundle throws nothing but its own error, whatever comes", () => {
  const property = fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
    try {
      parseSpiffeBundle(CLUSTER_LOCAL, text);
    } catch (error) {
      assert.ok(error instanceof BulwarkError);
    }
  });
  fc.assert(property, { seed: SEED, numRuns: 300 });
});
