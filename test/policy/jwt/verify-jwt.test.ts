/** What a request's tokens come to: every outcome whole, and what of several is told. */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import type { JwtPolicy } from "../../../src/policy/jwt/jwt-policy.ts";
import { type JwtResult, NO_TOKEN } from "../../../src/policy/jwt/jwt-result.ts";
import { acceptClaims, assumedClaims, verifyRequestJwt } from "../../../src/policy/jwt/verify-jwt.ts";
import { get, policyOf, resource } from "../inbound-fixture.ts";

type Fields = Readonly<Record<string, unknown>>;

const NOW = 1_800_000_000;
let key: CryptoKey;
let otherKey: CryptoKey;
let jwks: string;

before(async () => {
  const pair = await generateKeyPair("ES256", { extractable: true });
  key = pair.privateKey;
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k1" }] });
  otherKey = (await generateKeyPair("ES256")).privateKey;
});

const sign = async (claims: Fields, { kid = "k1", by = key }: { kid?: string | null; by?: CryptoKey } = {}) =>
  await new SignJWT({ ...claims })
    .setProtectedHeader({ alg: "ES256", ...(kid === null ? {} : { kid }) })
    .sign(by);

function policyWith(...rules: readonly Fields[]): JwtPolicy {
  const jwtRules = rules.map((rule) => ("jwksUri" in rule || "jwks" in rule ? rule : { ...rule, jwks }));
  const { jwt } = policyOf([resource("RequestAuthentication", "jwt", { jwtRules })]);
  assert.ok(jwt !== null);
  return jwt;
}

interface Asked {
  readonly headers?: readonly string[];
  readonly path?: string;
  readonly method?: string;
  /** Documents as they are fetched one after the other; none = not to be had. */
  readonly fetched?: string;
  readonly refetched?: string | undefined;
}

/** The outcome, and how often keys were asked for: first, and anew. */
async function ask(policy: JwtPolicy, asked: Asked): Promise<[JwtResult, number, number]> {
  let fetches = 0;
  let refetches = 0;
  const request = get(asked.path ?? "/", asked.headers ?? [], asked.method ?? "GET");
  const result = await verifyRequestJwt(policy, request, {
    nowSeconds: () => NOW,
    fetchJwks: () => {
      fetches += 1;
      return asked.fetched === undefined ? Promise.reject(new Error("gone")) : Promise.resolve(asked.fetched);
    },
    ...("refetched" in asked && {
      refetchJwks: () => {
        refetches += 1;
        return Promise.resolve(asked.refetched);
      },
    }),
  });
  return [result, fetches, refetches];
}

async function told(policy: JwtPolicy, asked: Asked): Promise<string> {
  const [{ refusal }] = await ask(policy, asked);
  return refusal === null ? "passes" : `${refusal.cause} ${refusal.code}`;
}

const AT_X = { fromHeaders: [{ name: "x-jwt" }] };

describe("one rule", () => {
  test("no token comes back as the policy's own outcome, and so does a CORS preflight", async () => {
    const policy = policyWith({ issuer: "a", outputPayloadToHeader: "x-p" });
    const preflight = ["origin", "https://o", "access-control-request-method", "PUT"];
    const bad = ["authorization", "Bearer bad"];
    assert.equal((await ask(policy, {}))[0], policy.noToken);
    assert.equal(
      (await ask(policy, { headers: [...bad, ...preflight], method: "OPTIONS" }))[0],
      policy.noToken,
    );
  });

  for (const [method, headers] of [
    ["GET", ["origin", "o", "access-control-request-method", "PUT"]],
    ["OPTIONS", []],
    ["OPTIONS", ["origin", "o"]],
    ["OPTIONS", ["access-control-request-method", "PUT"]],
    ["OPTIONS", ["origin", "", "access-control-request-method", "PUT"]],
    ["OPTIONS", ["origin", "o", "access-control-request-method", ""]],
    ["OPTIONS", ["x", "origin", "y", "access-control-request-method", "z", "PUT"]],
  ] as const)
    test(`${method} with ${JSON.stringify(headers)} is no CORS preflight: its token counts`, async () => {
      const policy = policyWith({ issuer: "a" });
      const asked = { method, headers: ["authorization", "Bearer bad", ...headers] };
      assert.equal(await told(policy, asked), "jwt-invalid 401");
    });

  test("an outcome, whole: claims, what they write, and what goes with the token", async () => {
    const policy = policyWith({
      issuer: "a",
      ...AT_X,
      fromParams: ["t"],
      outputPayloadToHeader: "x-p",
      outputClaimToHeaders: [
        { header: "x-sub", claim: "sub" },
        { header: "x-no", claim: "no" },
      ],
      spaceDelimitedClaims: ["roles"],
    });
    const first = await sign({ iss: "a", sub: "first", roles: "x  y ", other: "x y" });
    const last = await sign({ iss: "a", sub: "last", scope: "s" });
    // The one in the header is verified last.
    const [result] = await ask(policy, { headers: ["x-jwt", first], path: `/?t=${last}` });
    assert.deepEqual(result, {
      refusal: null,
      claims: { iss: "a", sub: "first", roles: ["x", "y"], other: "x y" },
      setHeaders: [
        ["x-p", first.split(".")[1]],
        ["x-sub", "first"],
      ],
      removeHeaders: ["x-jwt", "x-p", "x-sub", "x-no"],
      removeParams: ["t"],
    });
  });

  test("a refusal, whole: nothing else is known of the request", async () => {
    const policy = policyWith({ issuer: "a", outputPayloadToHeader: "x-p" });
    const [result] = await ask(policy, { headers: ["authorization", "Bearer bad"] });
    assert.deepEqual(result, { ...NO_TOKEN, refusal: policy.rules[0]?.refusals.invalid });
  });

  test("a rule without an issuer takes everybody's", async () => {
    const policy = policyWith({ ...AT_X });
    for (const claims of [{ iss: "a" }, { iss: "b" }, {}])
      assert.equal(await told(policy, { headers: ["x-jwt", await sign(claims)] }), "passes");
  });

  for (const [claims, expected] of [
    [{ nbf: NOW + 60 }, "passes"],
    [{ nbf: NOW + 61 }, "jwt-invalid 401"],
    [{ exp: NOW - 60 }, "passes"],
    [{ exp: NOW - 61 }, "jwt-invalid 401"],
    // The audience is asked after the times, and before the keys.
    [{ exp: NOW - 61, aud: "x" }, "jwt-invalid 401"],
  ] as const)
    test(`clocks may differ by a minute: ${JSON.stringify(claims)} ${expected}`, async () => {
      const audiences = "aud" in claims ? ["app"] : [];
      const policy = policyWith({ issuer: "a", ...AT_X, audiences });
      assert.equal(await told(policy, { headers: ["x-jwt", await sign({ iss: "a", ...claims })] }), expected);
    });

  test("an audience is refused before keys are asked for", async () => {
    const policy = policyWith({ issuer: "a", ...AT_X, audiences: ["app"], jwksUri: "https://u" });
    const [result, fetches] = await ask(policy, { headers: ["x-jwt", await sign({ iss: "a", aud: "x" })] });
    assert.deepEqual([result.refusal?.cause, fetches], ["jwt-wrong-audience", 0]);
  });

  test("where nobody can be asked for keys, nobody is", async () => {
    const policy = policyWith({ issuer: "a", ...AT_X, jwks: "" });
    const headers = ["x-jwt", await sign({ iss: "a" })];
    const [result, fetches] = await ask(policy, { headers, fetched: jwks });
    assert.deepEqual([result.refusal?.cause, fetches], ["jwt-no-keys", 0]);
  });
});

describe("newer keys", () => {
  const remote = { issuer: "a", ...AT_X, jwksUri: "https://u" };
  const renamed = () => jwks.replace('"k1"', '"k9"');

  test("are asked for by a token that names an unknown one, and by nothing else", async () => {
    for (const [rule, options, expected] of [
      [remote, { kid: "k9" }, ["passes", 1, 1]],
      [remote, { kid: "k8" }, ["jwt-invalid", 1, 1]],
      [remote, { kid: "k1", by: otherKey }, ["jwt-invalid", 1, 0]],
      [remote, { kid: null, by: otherKey }, ["jwt-invalid", 1, 0]],
      [{ ...remote, jwks }, { kid: "k9" }, ["jwt-invalid", 0, 0]],
    ] as const) {
      const headers = ["x-jwt", await sign({ iss: "a" }, options)];
      const asked = { headers, fetched: jwks, refetched: renamed() };
      const [{ refusal }, ...counts] = await ask(policyWith(rule), asked);
      assert.deepEqual([refusal?.cause ?? "passes", ...counts], expected);
    }
  });

  test("that are not to be had leave the token unknown, and so does having nobody to ask", async () => {
    const headers = ["x-jwt", await sign({ iss: "a" }, { kid: "k9" })];
    assert.equal(
      await told(policyWith(remote), { headers, fetched: jwks, refetched: undefined }),
      "jwt-invalid 401",
    );
    assert.equal(await told(policyWith(remote), { headers, fetched: jwks }), "jwt-invalid 401");
  });
});

describe("several rules", () => {
  const [good, goodB, goodC] = [{ iss: "a" }, { iss: "b" }, { iss: "c" }];

  test("none that finds a token passes as the policy's own outcome, but not a required one", async () => {
    const policy = policyWith({ issuer: "a" }, { issuer: "b" });
    assert.equal((await ask(policy, {}))[0], policy.noToken);
    const required = policyWith({ issuer: "a" }, { issuer: "b", presence: "REQUIRED" });
    assert.equal(await told(required, {}), "jwt-required 401");
  });

  test("are asked for keys once where nothing was taken out of the request", async () => {
    const policy = policyWith({ issuer: "a", ...AT_X, jwksUri: "https://u" }, { issuer: "b", ...AT_X });
    const headers = ["x-jwt", await sign(good, { by: otherKey })];
    assert.equal((await ask(policy, { headers, fetched: jwks }))[1], 1);
  });

  test("asked again, a rule that finds another good token has one: required or not", async () => {
    // b takes its own token out of the header, and with it the bad one, which a could not place.
    const policy = policyWith(
      { issuer: "a", ...AT_X, fromParams: ["t"], forwardOriginalToken: true, presence: "REQUIRED" },
      { issuer: "b", ...AT_X },
    );
    const headers = ["x-jwt", "bad", "x-jwt", await sign(goodB)];
    const [result] = await ask(policy, { headers, path: `/?t=${await sign({ ...good, sub: "s" })}` });
    assert.deepEqual(result, {
      ...NO_TOKEN,
      claims: { iss: "a", sub: "s" },
      removeHeaders: ["x-jwt"],
    });
  });

  test("asked again, a good token does not outweigh what another rule refuses", async () => {
    const policy = policyWith(
      { issuer: "a", ...AT_X, fromParams: ["t"], forwardOriginalToken: true },
      { issuer: "b", ...AT_X },
      { issuer: "c", fromParams: ["u"] },
    );
    const headers = ["x-jwt", "bad", "x-jwt", await sign(goodB)];
    assert.equal(await told(policy, { headers, path: `/?t=${await sign(good)}&u=bad` }), "jwt-invalid 401");
  });

  test("asked again, a rule does not find in the query what another took out of it", async () => {
    const policy = policyWith(
      { issuer: "a", ...AT_X, fromParams: ["t"] },
      { issuer: "b", fromParams: ["t"] },
    );
    const headers = ["x-jwt", "bad", "x-jwt", await sign(good)];
    const [result] = await ask(policy, { headers, path: `/?t=${await sign(good)}` });
    assert.deepEqual([result.refusal, result.removeParams], [null, ["t"]]);
  });

  test("where all together only do not know an issuer, what the last one alone said more is told", async () => {
    const wrong = await sign({ iss: "a", aud: "other" });
    const here = { issuer: "a", ...AT_X };
    const elsewhere = { issuer: "b", fromParams: ["t"] };
    const path = `/?t=${await sign(goodC)}`;
    const bad = { headers: ["x-jwt", "bad", "x-jwt", await sign(good)], path };
    assert.equal(await told(policyWith(here, elsewhere), bad), "jwt-invalid 401");
    // Alone a finds a token for others; asked again it finds none: it went with the good one beside it.
    const app = await sign({ iss: "a", aud: "app" });
    const asked = { headers: ["x-jwt", wrong, "x-jwt", app], path };
    assert.equal(
      await told(policyWith({ ...here, audiences: ["app"] }, elsewhere), asked),
      "jwt-wrong-audience 403",
    );
    assert.equal(await told(policyWith(here, elsewhere), { path }), "jwt-unknown-issuer 401");
    assert.equal(
      await told(policyWith({ ...here, jwksUri: "https://u", jwks: "" }, elsewhere), {
        headers: ["x-jwt", await sign(good)],
        path,
      }),
      "jwt-no-keys 401",
    );
  });
});

describe("claims that are taken as verified", () => {
  const claims = { iss: "a", sub: "?>~", scope: "r w", permission: "p", roles: "r" };

  test("acceptClaims() writes what a token with them would, and takes nothing out of the request", () => {
    const policy = policyWith({
      issuer: "a",
      outputPayloadToHeader: "x-p",
      outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }],
    });
    const [rule] = policy.rules;
    assert.ok(rule !== undefined);
    assert.deepEqual(acceptClaims(policy, rule, claims), {
      refusal: null,
      claims: { ...claims, scope: ["r", "w"], permission: ["p"] },
      setHeaders: [
        ["x-p", Buffer.from(JSON.stringify(claims)).toString("base64url")],
        ["x-sub", "?>~"],
      ],
      removeHeaders: ["x-p", "x-sub"],
      removeParams: [],
    });
  });

  test("assumedClaims() splits scope and permission alone", () =>
    assert.deepEqual(assumedClaims(claims), {
      ...NO_TOKEN,
      claims: { ...claims, scope: ["r", "w"], permission: ["p"] },
    }));
});
