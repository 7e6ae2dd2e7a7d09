import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";
import { decideRequest } from "../../src/policy/inbound.ts";
import type { JwtResult } from "../../src/policy/jwt/jwt-result.ts";
import { verifyRequestJwt } from "../../src/policy/jwt/verify-jwt.ts";
import { authorization, connect, get, policyOf, resource } from "./inbound-fixture.ts";

const NOW = 1_800_000_000;
let key: CryptoKey;
let jwks: string;
let otherKey: CryptoKey;

before(async () => {
  const pair = await generateKeyPair("ES256", { extractable: true });
  key = pair.privateKey;
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "ES256" }] });
  otherKey = (await generateKeyPair("ES256")).privateKey;
});

function sign(
  claims: Record<string, unknown>,
  options: { kid?: string; key?: CryptoKey } = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "ES256", kid: options.kid ?? "k1" })
    .sign(options.key ?? key);
}

const fetchJwks = (): Promise<string> => Promise.reject(new Error("no keys"));

function verify(
  jwtRules: readonly Record<string, unknown>[],
  headers: readonly string[],
  options: { path?: string; method?: string; fetchJwks?: () => Promise<string> } = {},
): Promise<JwtResult> {
  const policy = policyOf([resource("RequestAuthentication", "jwt", { jwtRules })]);
  assert.ok(policy.jwt !== null);
  const request = get(options.path ?? "/", headers, options.method ?? "GET");
  return verifyRequestJwt(policy.jwt, request, {
    fetchJwks: options.fetchJwks ?? fetchJwks,
    nowSeconds: () => NOW,
  });
}

const bearer = (token: string): string[] => ["authorization", `Bearer ${token}`];
const causeOf = (result: JwtResult): string => result.refusal?.cause ?? "passes";

test("no token, Basic, a lower-case bearer and an empty Bearer pass as absent", async () => {
  const rules = [{ issuer: "a", jwks }];
  for (const headers of [
    [],
    ["authorization", "Basic x"],
    ["authorization", "bearer x"],
    ["authorization", "Bearer"],
  ]) {
    const result = await verify(rules, headers);
    assert.equal(causeOf(result), "passes");
    assert.equal(result.claims, null);
  }
});

test("a good token passes, and its claims are known", async () => {
  const result = await verify([{ issuer: "a", jwks }], bearer(await sign({ iss: "a", sub: "s" })));
  assert.equal(causeOf(result), "passes");
  assert.deepEqual(result.claims, { iss: "a", sub: "s" });
});

test("bad tokens get 401: garbage, wrong key, wrong kid, expired, not yet valid, unknown issuer, alg none, HMAC with the public key", async () => {
  const rules = [{ issuer: "a", jwks }];
  const forgedNone = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from('{"iss":"a"}').toString("base64url")}.eA`;
  const hmac = await new SignJWT({ iss: "a" })
    .setProtectedHeader({ alg: "HS256" })
    .sign(new TextEncoder().encode(jwks));
  const cases: readonly (readonly [string, string])[] = [
    ["not.a.jwt", "jwt-invalid"],
    ["x", "jwt-invalid"],
    [await sign({ iss: "a" }, { key: otherKey }), "jwt-invalid"],
    [await sign({ iss: "a" }, { kid: "k2" }), "jwt-invalid"],
    [await sign({ iss: "a", exp: NOW - 61 }), "jwt-invalid"],
    [await sign({ iss: "a", nbf: NOW + 61 }), "jwt-invalid"],
    [await sign({ iss: "b" }), "jwt-unknown-issuer"],
    [forgedNone, "jwt-invalid"],
    [hmac, "jwt-invalid"],
  ];
  for (const [token, cause] of cases) {
    const result = await verify(rules, bearer(token));
    assert.equal(causeOf(result), cause, token);
    assert.equal(result.refusal?.code, 401);
    assert.equal(result.claims, null);
  }
});

test("clocks may differ by a minute", async () => {
  const rules = [{ issuer: "a", jwks }];
  assert.equal(
    causeOf(await verify(rules, bearer(await sign({ iss: "a", exp: NOW - 59, nbf: NOW + 59 })))),
    "passes",
  );
});

test("a wrong audience gets 403; schemes and a trailing slash do not count", async () => {
  const rules = [{ issuer: "a", jwks, audiences: ["https://app/"] }];
  const wrong = await verify(rules, bearer(await sign({ iss: "a", aud: "other" })));
  assert.deepEqual([causeOf(wrong), wrong.refusal?.code], ["jwt-wrong-audience", 403]);
  assert.equal(causeOf(await verify(rules, bearer(await sign({ iss: "a" })))), "jwt-wrong-audience");
  assert.equal(
    causeOf(await verify(rules, bearer(await sign({ iss: "a", aud: ["x", "http://app"] })))),
    "passes",
  );
});

test("of the tokens that one rule finds, the last one's error is told: a parameter's before a header's", async () => {
  const rules = [{ issuer: "a", jwks, audiences: ["app"] }];
  const wrong = await sign({ iss: "a", aud: "other" });
  const path = `/?access_token=${wrong}`;
  assert.equal(causeOf(await verify(rules, bearer("bad"), { path })), "jwt-wrong-audience");
  assert.equal(causeOf(await verify(rules, bearer(wrong), { path: "/?access_token=bad" })), "jwt-invalid");
});

test("with several rules one valid token passes; with none valid, the gravest error is told", async () => {
  const rules = [
    { issuer: "a", jwks },
    { issuer: "b", jwks, fromHeaders: [{ name: "X-Jwt", prefix: "Tok " }] },
  ];
  const good = await sign({ iss: "b", sub: "s" });
  const expired = await sign({ iss: "a", exp: 1 });
  assert.equal(causeOf(await verify(rules, [...bearer(expired), "x-jwt", `Tok ${good}`])), "passes");
  assert.equal(causeOf(await verify(rules, [...bearer(expired)])), "jwt-invalid");
  assert.equal(causeOf(await verify(rules, [...bearer(good)])), "jwt-unknown-issuer");
});

test("a rule with locations looks nowhere else; all tokens that one rule finds must be good", async () => {
  const good = await sign({ iss: "a" });
  const located = [
    { issuer: "a", jwks, fromHeaders: [{ name: "x-jwt" }], fromParams: ["token"], fromCookies: ["jwt"] },
  ];
  assert.equal((await verify(located, bearer(good))).claims, null);
  assert.notEqual((await verify(located, ["x-jwt", good])).claims, null);
  assert.notEqual((await verify(located, [], { path: `/?token=${good}` })).claims, null);
  assert.notEqual((await verify(located, ["cookie", `a=b; jwt="${good}"`])).claims, null);
  assert.equal(causeOf(await verify(located, ["x-jwt", good], { path: "/?token=bad" })), "jwt-invalid");
  const anywhere = [{ issuer: "a", jwks }];
  assert.equal(causeOf(await verify(anywhere, bearer(good), { path: "/?access_token=bad" })), "jwt-invalid");
  assert.equal(
    causeOf(await verify(anywhere, ["authorization", `Bearer ${good}`, "authorization", `Bearer ${good}`])),
    "jwt-invalid",
  );
});

test("keys that cannot be had refuse every token and no request without one", async () => {
  const rules = [{ issuer: "a", jwksUri: "https://keys.example/jwks" }];
  const token = bearer(await sign({ iss: "a" }));
  assert.equal(causeOf(await verify(rules, token)), "jwt-no-keys");
  assert.equal(causeOf(await verify(rules, [])), "passes");
  assert.equal(causeOf(await verify(rules, token, { fetchJwks: () => Promise.resolve(jwks) })), "passes");
  assert.equal(
    causeOf(await verify(rules, token, { fetchJwks: () => Promise.resolve("<html>") })),
    "jwt-invalid",
  );
});

test("CORS preflight is let through, whatever it carries", async () => {
  const headers = ["origin", "https://a", "access-control-request-method", "GET", ...bearer("bad")];
  assert.equal(causeOf(await verify([{ issuer: "a", jwks }], headers, { method: "OPTIONS" })), "passes");
  assert.equal(causeOf(await verify([{ issuer: "a", jwks }], headers)), "jwt-invalid");
});

test("scope and permission are lists split at spaces, and so is what the rule names", async () => {
  const claims = { iss: "a", scope: "read  write", permission: "p", roles: "r1 r2", other: "x y" };
  const result = await verify(
    [{ issuer: "a", jwks, spaceDelimitedClaims: ["roles"] }],
    bearer(await sign(claims)),
  );
  assert.deepEqual(result.claims, {
    iss: "a",
    scope: ["read", "write"],
    permission: ["p"],
    roles: ["r1", "r2"],
    other: "x y",
  });
});

test("outputs: payload and claims to headers, the client's own under those names removed, the token removed unless forwarded", async () => {
  const token = await sign({ iss: "a", sub: "s", level: 5 });
  const output = {
    outputPayloadToHeader: "X-Payload",
    outputClaimToHeaders: [
      { header: "X-Sub", claim: "sub" },
      { header: "x-level", claim: "level" },
      { header: "x-no", claim: "no" },
    ],
  };
  const result = await verify([{ issuer: "a", jwks, ...output }], bearer(token));
  assert.deepEqual(result.setHeaders, [
    ["x-payload", token.split(".")[1]],
    ["x-sub", "s"],
    ["x-level", "5"],
  ]);
  assert.deepEqual(result.removeHeaders, ["authorization", "x-payload", "x-sub", "x-level", "x-no"]);
  const forwarded = await verify([{ issuer: "a", jwks, forwardOriginalToken: true }], bearer(token));
  assert.deepEqual(forwarded.removeHeaders, []);
});

test("without a token, or with another rule's, no client can send what would pass for a claim: neither on nor to the rules", async () => {
  const rules = [
    { issuer: "a", jwks, outputClaimToHeaders: [{ header: "X-Role", claim: "role" }] },
    { issuer: "b", jwks: JSON.stringify({ keys: [] }), outputPayloadToHeader: "x-b" },
  ];
  const policy = policyOf([
    resource("RequestAuthentication", "jwt", { jwtRules: rules }),
    authorization("admins", { rules: [{ when: [{ key: "request.headers[x-role]", values: ["admin"] }] }] }),
  ]);
  const spoofed = ["x-role", "admin", "x-b", "e30", "x-kept", "k", "x-role", "admin"];
  const decide = async (headers: readonly string[], method = "GET") => {
    const request = get("/", headers, method);
    assert.ok(policy.jwt !== null);
    request.jwt = await verifyRequestJwt(policy.jwt, request, { fetchJwks, nowSeconds: () => NOW });
    const verdict = decideRequest(policy, connect(), request);
    return [verdict.cause, request.headers.filter((_text, at) => at % 2 === 0).join()];
  };
  const preflight = ["origin", "https://a", "access-control-request-method", "GET"];
  const admin = bearer(await sign({ iss: "a", role: "admin" }));
  const nobody = bearer(await sign({ iss: "a" }));
  assert.deepEqual(await decide(spoofed), ["no-allow-matched", "x-kept"]);
  assert.deepEqual(await decide([...nobody, ...spoofed]), ["no-allow-matched", "x-kept"]);
  assert.equal((await decide([...preflight, ...spoofed], "OPTIONS"))[0], "no-allow-matched");
  assert.deepEqual(await decide([...admin, ...spoofed]), ["allow-matched", "x-kept,x-role"]);
});

test("CUSTOM comes before tokens: its rules see the headers as the client sent them", async () => {
  const policy = policyOf([
    resource("RequestAuthentication", "jwt", { jwtRules: [{ issuer: "a", jwks }] }),
    authorization("ask", {
      action: "CUSTOM",
      provider: { name: "nobody" },
      rules: [{ when: [{ key: "request.headers[authorization]", values: ["Bearer *"] }] }],
    }),
  ]);
  const request = get("/", bearer(await sign({ iss: "a" })));
  assert.ok(policy.jwt !== null);
  request.jwt = await verifyRequestJwt(policy.jwt, request, { fetchJwks, nowSeconds: () => NOW });
  assert.deepEqual(request.headers, []);
  assert.equal(decideRequest(policy, connect(), request).cause, "ext-authz-misconfigured");
});

test("claims become header values as in Envoy, and none can end the field or say where the message ends", async () => {
  const claims = {
    n: 7,
    f: 1.5,
    minus: -3,
    t: true,
    l: ["a"],
    u: "Zoë",
    edge: " a ",
    e: "",
    evil: "a\r\nx: y",
  };
  const outputClaimToHeaders = [
    ...Object.keys(claims).map((claim) => ({ header: `x-${claim}`, claim })),
    { header: "Content-Length", claim: "n" },
    { header: "transfer-encoding", claim: "u" },
    { header: "host", claim: "u" },
  ];
  const rules = [{ issuer: "a", jwks, outputClaimToHeaders, outputPayloadToHeader: "Host" }];
  const result = await verify(rules, bearer(await sign({ iss: "a", ...claims })));
  assert.deepEqual(result.setHeaders, [
    ["x-n", "7"],
    ["x-f", "1.500000"],
    ["x-minus", "-3.000000"],
    ["x-t", "true"],
    ["x-l", "WyJhIl0="],
    ["x-u", Buffer.from("Zoë").toString("latin1")],
    ["x-edge", "a"],
  ]);
  assert.ok(!result.removeHeaders.includes("content-length") && !result.removeHeaders.includes("host"));
});

test("a token in the query ends there unless forwarded: the path goes on without it, the rest of the query as written", async () => {
  const token = await sign({ iss: "a", sub: "s" });
  const path = `/x?b=%41&access_token=${token}&a=1`;
  const request = get(path);
  request.jwt = await verify([{ issuer: "a", jwks }], [], { path });
  assert.equal(request.forwardedPath, "/x?b=%41&a=1");
  const only = get(`/x?access_token=${token}`);
  only.jwt = request.jwt;
  assert.equal(only.forwardedPath, "/x");
  request.jwt = await verify([{ issuer: "a", jwks, forwardOriginalToken: true }], [], { path });
  assert.equal(request.forwardedPath, path);
});

test("a repeated header may hold several tokens: values without the prefix are none, and all tokens must be good", async () => {
  const token = await sign({ iss: "a", sub: "s" });
  const bad = await sign({ iss: "a" }, { key: otherKey });
  const prefixed = [{ issuer: "a", jwks, fromHeaders: [{ name: "x-jwt", prefix: "J " }] }];
  assert.equal(causeOf(await verify(prefixed, ["x-jwt", "Bearer", "x-jwt", `J ${bad}`])), "jwt-invalid");
  assert.deepEqual((await verify(prefixed, ["x-jwt", "Bearer", "x-jwt", `J ${token}`])).claims?.sub, "s");
  const bare = [{ issuer: "a", jwks, fromHeaders: [{ name: "x-jwt" }] }];
  for (const pair of [
    [token, bad],
    [bad, token],
  ])
    assert.equal(
      causeOf(
        await verify(
          bare,
          pair.flatMap((text) => ["x-jwt", text]),
        ),
      ),
      "jwt-invalid",
    );
});

test("of several rules that refuse, the first that knows the issuer is told, else the last that says more", async () => {
  const bad = await sign({ iss: "a", aud: "other" }, { key: otherKey });
  const wrongAudience = { issuer: "a", jwks, audiences: ["app"] };
  const anyAudience = { issuer: "a", jwks };
  const unknown = { issuer: "0", jwks };
  const cause = async (...rules: readonly Record<string, unknown>[]) =>
    causeOf(await verify(rules, bearer(bad)));
  assert.equal(await cause(wrongAudience, anyAudience), "jwt-wrong-audience");
  assert.equal(await cause(anyAudience, wrongAudience), "jwt-invalid");
  assert.equal(await cause(unknown, anyAudience, wrongAudience), "jwt-wrong-audience");
  assert.equal(await cause(unknown, wrongAudience, anyAudience), "jwt-invalid");
  assert.equal(await cause(unknown), "jwt-unknown-issuer");
});

test("presence REQUIRED refuses a request without a token", async () => {
  assert.equal(causeOf(await verify([{ issuer: "a", jwks, presence: "REQUIRED" }], [])), "jwt-required");
});

test("decideRequest() fails closed where the token was not verified, and passes on the refusal where it was bad", async () => {
  const policy = policyOf([
    resource("RequestAuthentication", "jwt", { jwtRules: [{ issuer: "a", jwks }] }),
    authorization("a", { rules: [{}] }),
  ]);
  const request = get("/", bearer("bad"));
  assert.equal(decideRequest(policy, connect(), request).cause, "jwt-unverified");
  request.jwt = await verify([{ issuer: "a", jwks }], request.headers);
  assert.deepEqual(
    [decideRequest(policy, connect(), request).code, decideRequest(policy, connect(), request).reason],
    [401, "jwt"],
  );
});

test("claims: numbers and booleans never match, a subject with a slash never matches exactly, without subject there is no principal", async () => {
  const matches = async (
    claims: Record<string, unknown>,
    rule: Record<string, unknown>,
  ): Promise<boolean> => {
    const jwt = resource("RequestAuthentication", "jwt", { jwtRules: [{ issuer: "a", jwks }] });
    const policy = policyOf([jwt, authorization("a", { rules: [rule] })]);
    const request = get("/", bearer(await sign({ iss: "a", ...claims })));
    request.jwt = await verify([{ issuer: "a", jwks }], request.headers);
    return decideRequest(policy, connect(), request).allowed;
  };
  const claim = (name: string, ...values: string[]) => ({
    when: [{ key: `request.auth.claims[${name}]`, values }],
  });
  const principal = (...values: string[]) => ({ from: [{ source: { requestPrincipals: values } }] });
  assert.ok(!(await matches({ level: 5 }, claim("level", "5", "*"))));
  assert.ok(!(await matches({ flag: true }, claim("flag", "true", "*"))));
  assert.ok(await matches({ groups: ["x", "y"] }, claim("groups", "y")));
  assert.ok(await matches({ groups: "y" }, claim("groups", "y")));
  assert.ok(
    await matches(
      { realm: { roles: ["r"] } },
      { when: [{ key: "request.auth.claims[realm][roles]", values: ["r"] }] },
    ),
  );
  assert.ok(await matches({ sub: "s" }, principal("a/s")));
  assert.ok(!(await matches({ sub: "t/s" }, principal("a/t/s"))));
  assert.ok(await matches({ sub: "t/s" }, principal("a/*")));
  assert.ok(!(await matches({}, principal("*"))));
});

test("a token that names a key which is not there is verified with newer keys; no other token asks for any", async () => {
  const rules = [{ issuer: "a", jwksUri: "https://keys.example/jwks" }];
  const policy = policyOf([resource("RequestAuthentication", "jwt", { jwtRules: rules })]);
  assert.ok(policy.jwt !== null);
  let asked = 0;
  const newer = jwks.replaceAll('"k1"', '"k9"');
  const environment = {
    fetchJwks: () => Promise.resolve(jwks),
    refetchJwks: () => {
      asked += 1;
      return Promise.resolve(newer);
    },
    nowSeconds: () => NOW,
  };
  const ask = async (token: string): Promise<string> =>
    causeOf(await verifyRequestJwt(policy.jwt as never, get("/", bearer(token), "GET"), environment));
  assert.equal(await ask(await sign({ iss: "a" })), "passes");
  assert.equal(await ask(await sign({ iss: "a" }, { key: otherKey })), "jwt-invalid");
  assert.equal(await ask(await sign({ iss: "b" }, { kid: "k9" })), "jwt-unknown-issuer");
  assert.equal(asked, 0);
  assert.equal(await ask(await sign({ iss: "a" }, { kid: "k9" })), "passes");
  assert.equal(await ask(await sign({ iss: "a" }, { kid: "k9", key: otherKey })), "jwt-invalid");
  assert.equal(await ask(await sign({ iss: "a" }, { kid: "k8" })), "jwt-invalid");
  assert.equal(asked, 3);
});

/** Found by asking Envoy: a bad token beside a good one in the header of two rules, the good one not to go on. */
test("of several rules each is asked again without what good tokens took out of the request; a single rule is not", async () => {
  const good = await sign({ iss: "a", sub: "alice" });
  const headers = ["x-jwt", "abc", "x-jwt", good];
  const here = { issuer: "a", jwks, fromHeaders: [{ name: "x-jwt" }] };
  const elsewhere = { issuer: "b", jwks };
  assert.equal(causeOf(await verify([here], headers)), "jwt-invalid");
  const passed = await verify([here, elsewhere], headers);
  assert.equal(causeOf(passed), "passes");
  assert.equal(passed.claims?.sub, "alice");
  assert.deepEqual(passed.removeHeaders, ["x-jwt"]);
  assert.equal(
    causeOf(await verify([{ ...here, forwardOriginalToken: true }, elsewhere], headers)),
    "jwt-invalid",
  );
  assert.equal(causeOf(await verify([here, elsewhere], ["x-jwt", "abc", "x-jwt", "abd"])), "jwt-invalid");
});
