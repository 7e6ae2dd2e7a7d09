/** From RequestAuthentications to what the proxy asks of tokens. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { JwtPolicy } from "../../../src/policy/jwt/jwt-policy.ts";
import { NO_TOKEN } from "../../../src/policy/jwt/jwt-result.ts";
import { keySource } from "../../../src/policy/jwt/key-source.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { policyOf, resource } from "../inbound-fixture.ts";

const authentication = (
  name: string,
  jwtRules: unknown,
  rest: { namespace?: string; createdAt?: number } = {},
): Resource => resource("RequestAuthentication", name, { jwtRules }, rest);

function compiled(...resources: readonly Resource[]): JwtPolicy {
  const { jwt } = policyOf(resources);
  assert.ok(jwt !== null);
  return jwt;
}

const refusal = (cause: string, policy: string | null, code = 401) => ({ cause, code, policy });
const refusalsOf = (policy: JwtPolicy, at = 0) =>
  Object.fromEntries(
    Object.entries(policy.rules[at]?.refusals ?? {}).map(([name, { cause, code, policy: by }]) => [
      name,
      { cause, code, policy: by },
    ]),
  );

describe("rules", () => {
  test("one that says everything", () => {
    const policy = compiled(
      authentication("all", [
        {
          issuer: "https://i",
          audiences: ["https://a/", "b"],
          jwksUri: "https://keys",
          timeout: "1.5s",
          fromHeaders: [{ name: "X-Jwt", prefix: "T " }, {}],
          fromParams: ["t"],
          fromCookies: ["c"],
          forwardOriginalToken: true,
          outputPayloadToHeader: "X-Payload",
          outputClaimToHeaders: [{ header: "X-Sub", claim: "sub" }, { header: "x-none" }, { claim: "lost" }],
          spaceDelimitedClaims: ["roles"],
          presence: "REQUIRED",
        },
      ]),
    );
    const [rule] = policy.rules;
    assert.deepEqual(
      { ...rule, refusals: undefined },
      {
        policy: "RequestAuthentication foo/all",
        issuer: "https://i",
        audiences: new Set(["a", "b"]),
        jwks: null,
        keySource: { id: "https://keys", kind: "jwks", url: "https://keys", timeoutMs: 1500 },
        locations: {
          headers: [
            { name: "x-jwt", prefix: "T " },
            { name: "", prefix: "" },
          ],
          params: ["t"],
          cookies: ["c"],
        },
        forward: true,
        outputPayloadToHeader: "x-payload",
        outputClaimToHeaders: [
          { header: "x-sub", claim: "sub" },
          { header: "x-none", claim: "" },
        ],
        spaceDelimitedClaims: new Set(["scope", "permission", "roles"]),
        required: true,
        refusals: undefined,
      },
    );
    assert.deepEqual(refusalsOf(policy), {
      invalid: refusal("jwt-invalid", "RequestAuthentication foo/all"),
      noKeys: refusal("jwt-no-keys", "RequestAuthentication foo/all"),
      unknownIssuer: refusal("jwt-unknown-issuer", null),
      wrongAudience: refusal("jwt-wrong-audience", "RequestAuthentication foo/all", 403),
      required: refusal("jwt-required", "RequestAuthentication foo/all"),
    });
    assert.deepEqual(policy.outputs, ["x-payload", "x-sub", "x-none"]);
    assert.deepEqual(policy.noToken, { ...NO_TOKEN, removeHeaders: ["x-payload", "x-sub", "x-none"] });
  });

  test("one that says nothing has no keys, and looks for Bearer tokens and access_token", () => {
    const policy = compiled(authentication("none", [{}]));
    assert.deepEqual(
      { ...policy.rules[0], refusals: undefined },
      {
        policy: "RequestAuthentication foo/none",
        issuer: "",
        audiences: new Set(),
        jwks: null,
        keySource: null,
        locations: {
          headers: [{ name: "authorization", prefix: "Bearer " }],
          params: ["access_token"],
          cookies: [],
        },
        forward: false,
        outputPayloadToHeader: null,
        outputClaimToHeaders: [],
        spaceDelimitedClaims: new Set(["scope", "permission"]),
        required: false,
        refusals: undefined,
      },
    );
    assert.deepEqual(policy.outputs, []);
    assert.equal(policy.noToken, NO_TOKEN);
  });

  test("what names any location looks nowhere else", () => {
    const here = { name: "x-jwt", prefix: "" };
    for (const [fields, locations] of [
      [{ fromHeaders: [{ name: "x-jwt" }] }, { headers: [here], params: [], cookies: [] }],
      [{ fromParams: ["t"] }, { headers: [], params: ["t"], cookies: [] }],
      [{ fromCookies: ["c"] }, { headers: [], params: [], cookies: ["c"] }],
      [
        { fromHeaders: [{ name: "x-jwt" }], fromParams: ["t"] },
        { headers: [here], params: ["t"], cookies: [] },
      ],
      [
        { fromHeaders: [{ name: "x-jwt" }], fromCookies: ["c"] },
        { headers: [here], params: [], cookies: ["c"] },
      ],
    ] as const)
      assert.deepEqual(compiled(authentication("at", [fields])).rules[0]?.locations, locations);
  });

  test("inline keys are the keys: then nothing is fetched; else the URI in either spelling, else the issuer's discovery", () => {
    for (const [fields, jwks, source] of [
      [{ issuer: "https://i", jwks: "{}", jwksUri: "https://u" }, "{}", null],
      [
        { issuer: "https://i", jwks: "", jwksUri: "https://u" },
        null,
        { id: "https://u", kind: "jwks", url: "https://u", timeoutMs: 5000 },
      ],
      [
        { issuer: "https://i", jwks_uri: "https://u" },
        null,
        { id: "https://u", kind: "jwks", url: "https://u", timeoutMs: 5000 },
      ],
      [
        { issuer: "https://i", timeout: "250ms" },
        null,
        {
          id: "discovery https://i/.well-known/openid-configuration",
          kind: "discovery",
          url: "https://i/.well-known/openid-configuration",
          timeoutMs: 250,
        },
      ],
      [{ issuer: "someone@example.com" }, null, null],
    ] as const) {
      const [rule] = compiled(authentication("keys", [fields])).rules;
      assert.deepEqual([rule?.jwks, rule?.keySource], [jwks, source]);
    }
  });

  test("no claim writes a field that says where a message ends or whom it is for", () => {
    const framing = [
      "connection",
      "content-length",
      "host",
      "keep-alive",
      "proxy-connection",
      "te",
      "trailer",
      "transfer-encoding",
      "Upgrade",
    ];
    for (const header of framing) {
      const outputClaimToHeaders = [
        { header, claim: "a" },
        { header: "x-a", claim: "a" },
      ];
      const policy = compiled(
        authentication("o", [{ issuer: "i", outputPayloadToHeader: header, outputClaimToHeaders }]),
      );
      assert.deepEqual(policy.outputs, ["x-a"], header);
    }
  });
});

describe("several policies", () => {
  const root = { namespace: "istio-system" };

  test("no rule at all is no policy", () => {
    assert.equal(policyOf([]).jwt, null);
    assert.equal(policyOf([authentication("empty", [])]).jwt, null);
    assert.equal(policyOf([resource("RequestAuthentication", "bare", {})]).jwt, null);
    assert.equal(policyOf([resource("RequestAuthentication", "nothing", undefined)]).jwt, null);
    assert.equal(policyOf([authentication("far", [{ issuer: "i" }], { namespace: "bar" })]).jwt, null);
  });

  test("their rules are asked by issuer; of one issuer those of the workload's namespace before the root's", () => {
    const policy = compiled(
      authentication("r1", [{ issuer: "b" }, { issuer: "a" }], { ...root, createdAt: 1 }),
      authentication("o1", [{ issuer: "a" }], { createdAt: 2 }),
      authentication("r2", [{ issuer: "c" }, { issuer: "a" }], { ...root, createdAt: 3 }),
      authentication("o2", [{ issuer: "c" }, { issuer: "a" }], { createdAt: 4 }),
      authentication("r3", [{ issuer: "a" }], { ...root, createdAt: 5 }),
      authentication("o3", [{ issuer: "a" }], { createdAt: 6 }),
    );
    assert.deepEqual(
      policy.rules.map(({ issuer, policy: by }) => `${issuer} ${by.replace("RequestAuthentication ", "")}`),
      [
        "a foo/o1",
        "a foo/o2",
        "a foo/o3",
        "a istio-system/r1",
        "a istio-system/r2",
        "a istio-system/r3",
        "b istio-system/r1",
        "c foo/o2",
        "c istio-system/r2",
      ],
    );
  });

  test("a header that several of them write counts once", () => {
    const rule = (issuer: string) => ({
      issuer,
      outputPayloadToHeader: "x-p",
      outputClaimToHeaders: [{ header: "X-P", claim: "a" }],
    });
    assert.deepEqual(compiled(authentication("two", [rule("a"), rule("b")])).outputs, ["x-p"]);
  });
});

describe("keySource()", () => {
  for (const [uri, issuer, id, url] of [
    ["https://u", "https://i", "https://u", "https://u"],
    [
      "",
      "https://i",
      "discovery https://i/.well-known/openid-configuration",
      "https://i/.well-known/openid-configuration",
    ],
    [
      "",
      "HTTP://i/p/",
      "discovery HTTP://i/p/.well-known/openid-configuration",
      "HTTP://i/p/.well-known/openid-configuration",
    ],
  ] as const)
    test(`of ${JSON.stringify([uri, issuer])} asks ${url}`, () =>
      assert.deepEqual(keySource(uri, issuer, 7), {
        id,
        url,
        kind: uri === "" ? "discovery" : "jwks",
        timeoutMs: 7,
      }));

  for (const issuer of ["", "someone@example.com", "urn:https://i", "ftp://i"])
    test(`of no URI and the issuer ${JSON.stringify(issuer)} asks nobody`, () =>
      assert.equal(keySource("", issuer, 7), null));
});
