import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpRequest, requestRefusal } from "../../src/policy/http-request.ts";
import { type JwtResult, NO_TOKEN } from "../../src/policy/jwt/jwt-result.ts";
import { BAD_REQUEST, NO_RELATIVE_PATH } from "../../src/policy/verdict-catalogue.ts";

function read(target: string, version: 1 | 2 = 1, method = "GET", authority = "Own"): HttpRequest | null {
  return HttpRequest.read("BASE", method, target, authority, [], version);
}

function taken(target: string, authority = "Own"): HttpRequest {
  const request = read(target, 1, "GET", authority);
  assert.ok(request !== null, target);
  return request;
}

/** Target, authority, path and path without query; null where it is refused. */
const TARGETS: readonly (readonly [string, readonly [string, string, string] | null])[] = [
  ["/", ["Own", "/", "/"]],
  ["/a?b?c", ["Own", "/a?b?c", "/a"]],
  ["/?b", ["Own", "/?b", "/"]],
  ["/a/../b#c", ["Own", "/b", "/b"]],
  ["http://x", ["x", "/", "/"]],
  ["https://x/a?b", ["x", "/a?b", "/a"]],
  ["hTTpS://X.y-z:1/", ["X.y-z:1", "/", "/"]],
  ["http://x:65535/", ["x:65535", "/", "/"]],
  ["http://x:00080/", ["x:00080", "/", "/"]],
  ["http://u:p@x/a", ["x", "/a", "/a"]],
  ["http://@x/a", ["x", "/a", "/a"]],
  ["http://[::1]/a", ["[::1]", "/a", "/a"]],
  ["http://[fd00::A]:8080/a", ["[fd00::A]:8080", "/a", "/a"]],
  ["http://x/\\..\\b", ["x", "/b", "/b"]],
  ["http://x:0/", null],
  ["http://x:65536/", null],
  ["http://x:123456/", null],
  ["http://x:/", null],
  ["http://x:a/", null],
  ["http://[x]/", null],
  ["http://[]/", null],
  ["http://[::1/", null],
  ["http://x_y/", null],
  ["http://x?a", null],
  ["http://x#a", null],
  ["http://u@v@x/", null],
  ["http:///a", null],
  ["http://", null],
  ["http:/x/a", null],
  ["htp://x/a", null],
  ["xhttp://x/a", null],
  ["http://x/\u0000", null],
  ["http://x/a\n", null],
  ["/\u0000", null],
  ["*", null],
  ["", null],
  ["x", null],
  ["x:443", null],
];

for (const [target, expected] of TARGETS)
  test(`the request target ${JSON.stringify(target)} is ${expected === null ? "refused" : expected.join(" ")}`, () => {
    const request = read(target);
    assert.deepEqual(request && [request.authority, request.path, request.pathOnly], expected);
  });

test("an absolute target is for HTTP/1 alone, a path for both", () => {
  assert.equal(read("http://x/a", 2), null);
  assert.equal(read("/a", 2)?.path, "/a");
  assert.equal(read("/\u0000", 2), null);
});

const METHODS =
  "ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS PATCH " +
  "POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE";

test("HTTP/1 takes the methods that Envoy's parser knows, in upper case; HTTP/2 takes any", () => {
  for (const method of METHODS.split(" ")) {
    assert.equal(read("/", 1, method)?.method, method);
    assert.equal(read("/", 1, method.toLowerCase()), null);
  }
  for (const method of ["CONNECT", "", "GETS", "QUERY", " "]) {
    assert.equal(read("/", 1, method), null);
    assert.equal(read("/", 2, method)?.method, method);
  }
});

test("a host without capitals of ASCII is as it was sent", () => {
  const hosts = ["\u00c9", "1\u00c9", "a\u00c9", "\u0130"];
  assert.deepEqual(
    hosts.map((authority) => taken("/", authority).host),
    hosts,
  );
});

test("the host that patterns look at is the authority in lower case", () => {
  const hosts = ["A", "z", "Z", "@", "[", "a.b:80", "a.B", "", "x1-AZ"].map(
    (authority) => taken("/", authority).host,
  );
  assert.deepEqual(hosts, ["a", "z", "z", "@", "[", "a.b:80", "a.b", "", "x1-az"]);
});

/** Method and target that are not taken, and the status. */
const REFUSALS: readonly (readonly [string, string, number])[] = [
  ["OPTIONS", "*", 404],
  ["OPTIONS", "*x", 404],
  ["OPTIONS", "x*", 400],
  ["GET", "*", 400],
  ["GET", "http://x?a", 404],
  ["GET", "HTTPS://x.y?a", 404],
  ["GET", "http://?a", 400],
  ["GET", "http://x#a?b", 400],
  ["GET", "http://x:0", 400],
  ["GET", "xhttp://x?a", 400],
  ["GET", "ftp://x?a", 400],
  ["GET", "x", 400],
];

for (const [method, target, code] of REFUSALS)
  test(`${method} ${target}, which is not taken, is answered by ${code}`, () => {
    assert.equal(read(target, 1, method), null);
    assert.equal(requestRefusal(method, target), code === 404 ? NO_RELATIVE_PATH : BAD_REQUEST);
  });

const RECEIVED = ["authorization", "Bearer x", "a", "b"];

function withToken(result: Partial<JwtResult>, target = "/p?token=x&b=c"): HttpRequest {
  const request = HttpRequest.read("BASE", "GET", target, "own", RECEIVED);
  assert.ok(request !== null);
  request.jwt = { ...NO_TOKEN, ...result };
  return request;
}

test("before tokens are verified, headers are as received and the path goes on as it is", () => {
  const request = HttpRequest.read("BASE", "GET", "/p?token=x", "own", RECEIVED);
  assert.deepEqual([request?.headers, request?.jwt, request?.authorizer], [RECEIVED, undefined, undefined]);
  assert.deepEqual([request?.forwardedPath, request?.beforeTokens === request], ["/p?token=x", true]);
});

test("a token that takes nothing leaves path and headers as they were", () => {
  const request = withToken({});
  assert.deepEqual([request.headers, request.forwardedPath], [RECEIVED, "/p?token=x&b=c"]);
});

test("parameters with tokens that end here do not go on", () => {
  assert.equal(withToken({ removeParams: ["token"] }).forwardedPath, "/p?b=c");
  assert.equal(withToken({ removeParams: ["b", "token"] }).forwardedPath.startsWith("/p"), true);
});

test("headers are those that tokens left; before tokens they are as received, with the authorizer's answer", () => {
  const request = withToken({ removeHeaders: ["authorization"] });
  request.authorizer = "allow";
  assert.deepEqual(request.headers, ["a", "b"]);
  const before = request.beforeTokens;
  assert.deepEqual(
    [before.headers, before.path, before.method, before.authority, before.authorizer, before.jwt],
    [RECEIVED, "/p?token=x&b=c", "GET", "own", "allow", undefined],
  );
  request.jwt = undefined;
  assert.deepEqual(
    [request.headers, request.jwt, request.beforeTokens === request],
    [RECEIVED, undefined, true],
  );
});
