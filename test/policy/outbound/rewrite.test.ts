/**
 * Rewrites and redirects: https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRewrite and
 * #HTTPRedirect; the port of a redirect as Envoy's `RedirectAction` has it.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RequestView } from "../../../src/policy/outbound/request-view.ts";
import type { HttpMatch, HttpRedirect, HttpRewrite } from "../../../src/policy/outbound/resource-shapes.ts";
import { compilePathRewrite, compileRedirect } from "../../../src/policy/outbound/rewrite.ts";

describe("compilePathRewrite()", () => {
  const REWRITES: readonly [
    name: string,
    rewrite: HttpRewrite | undefined,
    match: HttpMatch | undefined,
    path: string,
    rewritten: string | undefined,
  ][] = [
    ["no rewrite", undefined, { uri: { prefix: "/a" } }, "/a", undefined],
    ["of the authority alone", { authority: "x" }, { uri: { prefix: "/a" } }, "/a", undefined],
    ["an empty URI is none", { uri: "" }, { uri: { pathPrefix: "/a" } }, "/a", undefined],
    ["a prefix is replaced", { uri: "/n" }, { uri: { prefix: "/a" } }, "/a/b", "/n/b"],
    ["a prefix replaced by a longer one", { uri: "/new/" }, { uri: { prefix: "/" } }, "/b", "/new/b"],
    ["a whole path that was asked for", { uri: "/n" }, { uri: { exact: "/a" } }, "/a", "/n"],
    ["all of what a pattern took", { uri: "/n" }, { uri: { regex: "/a.*" } }, "/a/b", "/n"],
    ["the slash alone without a condition", { uri: "/n" }, undefined, "/a/b", "/na/b"],
    [
      "the slash alone without a condition on the path",
      { uri: "/n/" },
      { method: { exact: "GET" } },
      "/a",
      "/n/a",
    ],
    [
      "the slash alone where the path must only be there",
      { uri: "/n/" },
      { uri: { regex: "*" } },
      "/a",
      "/n/a",
    ],
    ["segments in place of segments", { uri: "/n" }, { uri: { pathPrefix: "/a" } }, "/a/b", "/n/b"],
    ["segments: no two slashes", { uri: "/n//" }, { uri: { pathPrefix: "/a" } }, "/a/b", "/n/b"],
    ["segments: slashes within stay", { uri: "/n//m" }, { uri: { pathPrefix: "/a" } }, "/a", "/n//m"],
    ["segments: never no path", { uri: "/" }, { uri: { pathPrefix: "/a" } }, "/a", "/"],
    ["segments: all of the path's own slash", { uri: "/" }, { uri: { pathPrefix: "/a" } }, "/a/b", "/b"],
    ["the whole path, whatever was asked for", { wholePath: "/n" }, { uri: { prefix: "/a" } }, "/a/b", "/n"],
    ["the whole path before a URI", { wholePath: "/n", uri: "/m" }, { uri: { prefix: "/a" } }, "/a/b", "/n"],
  ];
  for (const [name, rewrite, match, path, rewritten] of REWRITES)
    test(name, () => assert.equal(compilePathRewrite(rewrite, match)?.(path), rewritten));

  const PATTERNS: readonly [match: string, rewrite: string, path: string, rewritten: string | undefined][] = [
    ["/a", "/n", "/a/a/b", "/n/n/b"],
    ["/a", "/n", "/b/c", "/b/c"],
    ["/(\\w+)/(\\w+)", "/\\2/\\1", "/a/b/c", "/b/a/c"],
    ["/(\\w+)$", "/[\\0]", "/a/b", "/a/[/b]"],
    ["(a)|b", "<\\1>", "ab", "<a><>"],
    ["(a)", "\\2\\1", "a", "a"],
    ["a", "\\\\", "a", "\\"],
    ["a", "\\\\1", "a", "\\1"],
    ["a", "\\x", "a", "\\x"],
    ["a", "", "banana", "bnn"],
    ["(", "x", "(", undefined],
  ];
  for (const [match, rewrite, path, rewritten] of PATTERNS)
    test(`pattern ${match} with ${rewrite} makes of ${path}: ${rewritten ?? "no rewrite"}`, () => {
      const compiled = compilePathRewrite({ uri: "/other", uriRegexRewrite: { match, rewrite } }, undefined);
      assert.equal(compiled?.(path), rewritten);
    });

  test("a pattern without substitution removes what it finds; without pattern the substitution is put everywhere", () => {
    assert.equal(compilePathRewrite({ uriRegexRewrite: { match: "/a" } }, undefined)?.("/a/b"), "/b");
    assert.equal(compilePathRewrite({ uriRegexRewrite: { rewrite: "-" } }, undefined)?.("/a"), "-/-a-");
  });
});

describe("compileRedirect()", () => {
  interface Case {
    readonly redirect: HttpRedirect;
    readonly match?: HttpMatch;
    readonly port?: number;
    readonly tls?: boolean;
    readonly authority?: string;
    readonly path?: string;
  }
  function redirected({ redirect, match, port = 80, tls = false, ...sent }: Case): string {
    const plan = compileRedirect(redirect, match, port, tls);
    if (plan === undefined) return "none";
    const { authority = "web", path = "/a/b?q=1" } = sent;
    const request = new RequestView({ authority, method: "GET", headers: [] }, "/as/sent", path);
    return `${plan.code} ${plan.locate(request)}`;
  }
  const PREFIX: HttpMatch = { uri: { prefix: "/a" } };

  const CASES: readonly [name: string, asked: Case, answer: string][] = [
    ["of nothing goes to the same place", { redirect: {} }, "301 http://web/a/b?q=1"],
    ["keeps the scheme that the proxy knows", { redirect: {}, tls: true }, "301 https://web/a/b?q=1"],
    ["takes a code", { redirect: { redirectCode: 302 } }, "302 http://web/a/b?q=1"],
    ["takes code 303", { redirect: { redirectCode: 303 } }, "303 http://web/a/b?q=1"],
    ["takes code 307", { redirect: { redirectCode: 307 } }, "307 http://web/a/b?q=1"],
    ["takes code 308", { redirect: { redirectCode: 308 } }, "308 http://web/a/b?q=1"],
    ["takes code 0 for none", { redirect: { redirectCode: 0 } }, "301 http://web/a/b?q=1"],
    ["has no code 304", { redirect: { redirectCode: 304 } }, "none"],
    ["has no code 200", { redirect: { redirectCode: 200 } }, "none"],
    ["names another host", { redirect: { authority: "new:81" } }, "301 http://new:81/a/b?q=1"],
    ["takes an empty host for none", { redirect: { authority: "" } }, "301 http://web/a/b?q=1"],
    ["names another scheme", { redirect: { scheme: "https" } }, "301 https://web/a/b?q=1"],
    ["takes an empty scheme for none", { redirect: { scheme: "" }, tls: true }, "301 https://web/a/b?q=1"],
    ["replaces path and keeps query", { redirect: { uri: "/n" } }, "301 http://web/n?q=1"],
    ["replaces path and query", { redirect: { uri: "/n?z" } }, "301 http://web/n?z"],
    ["takes an empty path for none", { redirect: { uri: "", prefixRewrite: "" } }, "301 http://web/a/b?q=1"],
    ["replaces the prefix", { redirect: { prefixRewrite: "/n" }, match: PREFIX }, "301 http://web/n/b?q=1"],
    [
      "replaces the prefix before the path",
      { redirect: { prefixRewrite: "/n", uri: "/m" }, match: PREFIX },
      "301 http://web/n/b?q=1",
    ],
    [
      "replaces segments",
      { redirect: { prefixRewrite: "/n/" }, match: { uri: { pathPrefix: "/a" } } },
      "301 http://web/n/b?q=1",
    ],
    [
      "replaces the slash where no prefix was asked for",
      { redirect: { prefixRewrite: "/n/" } },
      "301 http://web/n/a/b?q=1",
    ],
    [
      "replaces the slash where the condition is of something else",
      { redirect: { prefixRewrite: "/n/" }, match: { method: { exact: "GET" } } },
      "301 http://web/n/a/b?q=1",
    ],
    ["writes a port", { redirect: { port: 8080 } }, "301 http://web:8080/a/b?q=1"],
    ["writes no port that the scheme has", { redirect: { port: 80 } }, "301 http://web/a/b?q=1"],
    ["writes no port that https has", { redirect: { port: 443 }, tls: true }, "301 https://web/a/b?q=1"],
    ["writes 443 for http", { redirect: { port: 443 } }, "301 http://web:443/a/b?q=1"],
    ["writes 80 for https", { redirect: { port: 80, scheme: "https" } }, "301 https://web:80/a/b?q=1"],
    [
      "writes the port it came by when asked",
      { redirect: { derivePort: "FROM_REQUEST_PORT" }, port: 8080 },
      "301 http://web:8080/a/b?q=1",
    ],
    [
      "writes no port it came by that the scheme has",
      { redirect: { derivePort: "FROM_REQUEST_PORT", scheme: "https" }, port: 443 },
      "301 https://web/a/b?q=1",
    ],
    [
      "writes the port of the protocol as none",
      { redirect: { derivePort: "FROM_PROTOCOL_DEFAULT" }, port: 8080 },
      "301 http://web/a/b?q=1",
    ],
    ["keeps the host's port", { redirect: { uri: "/n" }, authority: "web:81" }, "301 http://web:81/n?q=1"],
    [
      "keeps port 80 under one scheme",
      { redirect: { uri: "/n" }, authority: "web:80" },
      "301 http://web:80/n?q=1",
    ],
    [
      "leaves the old scheme's port",
      { redirect: { scheme: "https" }, authority: "web:80" },
      "301 https://web/a/b?q=1",
    ],
    [
      "leaves the old scheme's port, of https",
      { redirect: { scheme: "http" }, tls: true, authority: "web:443" },
      "301 http://web/a/b?q=1",
    ],
    [
      "keeps another port under a new scheme",
      { redirect: { scheme: "https" }, authority: "web:8080" },
      "301 https://web:8080/a/b?q=1",
    ],
    [
      "keeps the new scheme's port",
      { redirect: { scheme: "https" }, authority: "web:443" },
      "301 https://web:443/a/b?q=1",
    ],
    [
      "replaces the host's port",
      { redirect: { port: 90 }, authority: "web:81" },
      "301 http://web:90/a/b?q=1",
    ],
    [
      "leaves an address its colons",
      { redirect: { port: 90 }, authority: "[::1]" },
      "301 http://[::1]:90/a/b?q=1",
    ],
  ];
  for (const [name, asked, answer] of CASES) test(name, () => assert.equal(redirected(asked), answer));

  test("without query none is made up", () => {
    assert.equal(redirected({ redirect: { uri: "/n" }, path: "/a" }), "301 http://web/n");
  });
});
