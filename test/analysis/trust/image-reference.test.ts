import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fullName, parseImageReference } from "../../../src/analysis/trust/images/image-reference.ts";
import { isTrusted, parseTrustedRegistry } from "../../../src/analysis/trust/images/trusted-registries.ts";

const HEX = "0123456789abcdef".repeat(4);
const DIGEST = `sha256:${HEX}`;

const READ: Readonly<Record<string, readonly [string, string, (string | undefined)?, string?]>> = {
  nginx: ["docker.io", "library/nginx"],
  "nginx:1.27": ["docker.io", "library/nginx", "1.27"],
  "istio/proxyv2:1.27.3-distroless": ["docker.io", "istio/proxyv2", "1.27.3-distroless"],
  "docker.io/nginx": ["docker.io", "library/nginx"],
  "index.docker.io/istio/pilot": ["docker.io", "istio/pilot"],
  "gcr.io/istio-release/pilot:1.27.3": ["gcr.io", "istio-release/pilot", "1.27.3"],
  "localhost/app": ["localhost", "app"],
  "localhost:5000/app": ["localhost:5000", "app"],
  "localhost:5000/app:v1": ["localhost:5000", "app", "v1"],
  "registry:5000/team/app:latest": ["registry:5000", "team/app", "latest"],
  "[::1]:5000/app": ["[::1]:5000", "app"],
  "Registry/app": ["Registry", "app"],
  [`nginx@${DIGEST}`]: ["docker.io", "library/nginx", undefined, DIGEST],
  [`gcr.io/a/b:1@${DIGEST}`]: ["gcr.io", "a/b", "1", DIGEST],
  "a/b_c/d__e/f---g.h": ["docker.io", "a/b_c/d__e/f---g.h"],
  [`app:${"t".repeat(128)}`]: ["docker.io", "library/app", "t".repeat(128)],
};

for (const [text, [registry, repository, tag, digest]] of Object.entries(READ))
  test(`parseImageReference reads ${text.slice(0, 60)}`, () => {
    const read = parseImageReference(text);
    assert.deepEqual(
      [read?.registry, read?.repository, read?.tag, read?.digest],
      [registry, repository, tag, digest],
    );
  });

for (const text of [
  "",
  ":",
  ":1",
  "app:",
  "app@",
  "App",
  "a//b",
  "/a",
  "a/",
  "-a",
  "a-",
  "a._b",
  "a b",
  "https://gcr.io/a",
  "gcr.io/A/b",
  `app:${"t".repeat(129)}`,
  "app:.1",
  "app@sha256:abc",
  `app@sha256:${HEX.toUpperCase()}`,
  `app@sha256:${HEX}0`,
  `app@${DIGEST}@${DIGEST}`,
  `${"a/".repeat(130)}a`,
  "x".repeat(5000),
  "host_a.b/c",
  "a.b:port/c",
])
  test(`parseImageReference refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.equal(parseImageReference(text), undefined);
  });

test("parseImageReference and fullName: what is read is read again as the same", () => {
  const step = fc.stringMatching(/^[a-z0-9]+([._-][a-z0-9]+)?$/, { maxLength: 12 });
  const image = fc.record({
    host: fc.constantFrom("", "gcr.io/", "localhost:5000/", "r.example:443/"),
    path: fc.array(step, { minLength: 1, maxLength: 4 }),
    tag: fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/), { nil: undefined }),
    digest: fc.boolean(),
  });
  fc.assert(
    fc.property(image, ({ host, path, tag, digest }) => {
      const text = `${host}${path.join("/")}${tag === undefined ? "" : `:${tag}`}${digest ? `@${DIGEST}` : ""}`;
      const read = parseImageReference(text);
      assert.ok(read !== undefined, text);
      assert.equal(read.tag, tag);
      assert.equal(read.digest, digest ? DIGEST : undefined);
      const again = parseImageReference(fullName(read));
      assert.deepEqual([again?.registry, again?.repository], [read.registry, read.repository]);
    }),
    { numRuns: 300 },
  );
});

test("parseImageReference never throws, whatever the text", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."aA0.:/@-_ é\n"), maxLength: 60 }), (text) => {
      parseImageReference(text);
    }),
    { numRuns: 500 },
  );
});

test("isTrusted goes by whole steps of the path", () => {
  const trusted = ["gcr.io/team", "registry.corp:5000"];
  const is = (text: string): boolean => {
    const image = parseImageReference(text);
    assert.ok(image);
    return isTrusted(image, trusted);
  };
  for (const text of ["gcr.io/team/app", "gcr.io/team/sub/app:1", "registry.corp:5000/app", "gcr.io/team"])
    assert.ok(is(text), text);
  for (const text of [
    "gcr.io/team-of-others/app",
    "gcr.io/app",
    "evil/gcr.io/team/app",
    "registry.corp:5001/app",
    "app",
  ])
    assert.ok(!is(text), text);
});

test("parseTrustedRegistry takes registries and paths in them, without the slash at the end", () => {
  assert.equal(parseTrustedRegistry("gcr.io/team/"), "gcr.io/team");
  assert.equal(parseTrustedRegistry("registry.corp:5000"), "registry.corp:5000");
  for (const text of ["", "https://gcr.io", "gcr.io/*", "a b"])
    assert.equal(parseTrustedRegistry(text), undefined);
});
