import assert from "node:assert/strict";
import { test } from "node:test";
import { credentialIn, isCredentialNamed } from "../../src/analysis/audit/facts/literal-credentials.ts";

test("credentials are told by what they are, wherever they stand in a text", () => {
  const word = "A1b2C3d4E5f6G7h8I9j0".repeat(4);
  const texts: Readonly<Record<string, string>> = {
    "a private key": "x\n-----BEGIN EC PRIVATE KEY-----\nMHc",
    "an access key of AWS": `key=${"ASIA"}QWERTYUIOPASDFGH;`,
    "a key of Google's APIs": `${"AIza"}${word.slice(0, 35)}`,
    "a token of GitHub": `${"ghp_"}${word.slice(0, 36)}`,
    "a token of GitLab": `${"glpat-"}${word.slice(0, 20)}`,
    "a token of Slack": `${"xoxb-"}${word.slice(0, 30)}`,
    "a key of Stripe": `${"sk_live_"}${word.slice(0, 24)}`,
    "a token of npm": `${"npm_"}${word.slice(0, 36)}`,
    "a signed token (JWT)": `Bearer eyJ${word.slice(0, 12)}.eyJ${word.slice(0, 12)}.${word.slice(0, 30)}`,
    "a password in an address": "amqp://guest:hunter2hunter@queue:5672/",
  };
  for (const [kind, text] of Object.entries(texts)) assert.equal(credentialIn(text), kind);
});

test("what looks like one and is none is not told", () => {
  for (const text of [
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN PUBLIC KEY-----",
    "AKIAIOSFODNN7EXAMPLE",
    "https://example.com:8443/path",
    "postgres://shop:$(PASSWORD)@db/orders",
    "oci://registry.example.com:5000/a@sha256:00",
  ])
    assert.equal(credentialIn(text), undefined, text);
  for (const [name, text] of [
    ["DB_PASSWORD_FILE", "hunter2hunter"],
    ["BYPASS", "hunter2hunter"],
    ["TOKEN_TTL", "hunter2hunter"],
    ["PUBLIC_KEY", "hunter2hunter"],
    ["DB_PASSWORD", "/run/secrets/db"],
    ["DB_PASSWORD", "{{ .Values.password }}"],
    ["DB_PASSWORD", "REDIS_PASSWORD"],
    ["TLS_SECRET", "orders-tls"],
    ["MAX_TOKENS", "4096"],
  ] as const)
    assert.ok(!isCredentialNamed(name, text), `${name}=${text}`);
  for (const name of [
    "DB_PASSWORD",
    "dbPassword",
    "db.password",
    "api-key",
    "SECRET_KEY_BASE",
    "clientSecret",
  ])
    assert.ok(isCredentialNamed(name, "hunter2hunter"), name);
});

test("long texts of what each pattern begins with take no longer than they are long", () => {
  for (const part of ["a-", "eyJ-", "eyJaaaaaaaaaaaa.", "a://a:", "xox"])
    assert.equal(credentialIn(`://${part.repeat(Math.floor(50_000 / part.length))}`), undefined, part);
});
