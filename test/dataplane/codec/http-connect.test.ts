import assert from "node:assert/strict";
import { test } from "node:test";
import { writeRequestHead } from "../../../src/dataplane/codec/head-writer.ts";
import { PROXY_ONLY_FIELDS, readProxyRequest } from "../../../src/dataplane/codec/http-connect.ts";
import { parseRequestHead, type RequestHead } from "../../../src/dataplane/codec/http1-head.ts";
import { ProxyCredential } from "../../../src/dataplane/codec/proxy-credential.ts";

function request(text: string): RequestHead {
  const bytes = Buffer.from(text, "latin1");
  const head = parseRequestHead(bytes, 0, bytes.length);
  assert.ok(head.kind === "request", head.kind === "refusal" ? head.code : "");
  return head;
}

function ask(startLine: string, host: string, extra = "", credential?: ProxyCredential) {
  return readProxyRequest(request(`${startLine} HTTP/1.1\r\nHost: ${host}\r\n${extra}\r\n`), credential);
}

test("readProxyRequest() reads CONNECT and absolute-form", () => {
  assert.deepEqual(ask("CONNECT WWW.ibm.com:443", "www.ibm.com"), {
    kind: "connect",
    host: "www.ibm.com",
    port: 443,
  });
  assert.deepEqual(ask("CONNECT [::1]:443", "[::1]:443"), { kind: "connect", host: "::1", port: 443 });
  assert.deepEqual(ask("GET http://10.0.0.1/a", "10.0.0.1"), { kind: "forward", host: "10.0.0.1", port: 80 });
  assert.deepEqual(ask("GET http://a:8080/a", "a:8080"), { kind: "forward", host: "a", port: 8080 });
});

test("readProxyRequest() refuses what an explicit proxy is not asked", () => {
  const reason = (startLine: string, host: string) => {
    const result = ask(startLine, host);
    return result.kind === "refused" ? `${result.status} ${result.reason}` : result.kind;
  };
  assert.equal(reason("GET /", "a"), "400 not-a-proxy-request");
  assert.equal(reason("OPTIONS *", "a"), "400 not-a-proxy-request");
  assert.equal(reason("GET https://a/", "a"), "400 scheme-unsupported");
  assert.equal(reason("GET http://a:0/", "a:0"), "400 host-invalid");
  assert.equal(reason("CONNECT 127.1:443", "127.1"), "400 host-invalid");
  assert.equal(reason("CONNECT a.com.:443", "a.com."), "400 host-invalid");
});

test("readProxyRequest() with a credential wants exactly that one", () => {
  const credential = new ProxyCredential("joe", "p:w");
  const status = (extra: string) => {
    const result = ask("CONNECT a:443", "a", extra, credential);
    return result.kind === "refused" ? result.status : result.kind;
  };
  const basic = (pair: string, scheme = "Basic") =>
    `Proxy-Authorization: ${scheme} ${Buffer.from(pair).toString("base64")}\r\n`;
  assert.equal(status(basic("joe:p:w")), "connect");
  assert.equal(status(basic("joe:p:w", "bAsIc")), "connect");
  for (const extra of [
    "",
    basic("joe:p"),
    basic("joe"),
    basic("joe:p:w", "Bearer"),
    "Proxy-Authorization: Basic\r\n",
  ]) {
    assert.equal(status(extra), 407, extra);
  }
  assert.equal(status(basic("joe:p:w") + basic("joe:p:w")), 407, "two headers");
  assert.equal(status(basic("joe:p:w").replace("Proxy-", "")), 407, "another header");
});

test("readProxyRequest() answers 407 with a challenge and closes", () => {
  const result = ask("CONNECT a:443", "a", "", new ProxyCredential("joe", "pw"));
  assert.ok(result.kind === "refused");
  assert.match(result.reply, /^HTTP\/1\.1 407 .*\r\nproxy-authenticate: Basic realm="mesh"\r\n/);
  assert.match(result.reply, /\r\nconnection: close\r\n/);
});

test("a forwarded proxy request carries neither credential nor absolute target", () => {
  const head = request(
    "GET http://a/x HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\nX: y\r\n\r\n",
  );
  assert.equal(
    writeRequestHead(head, { remove: PROXY_ONLY_FIELDS }),
    "GET /x HTTP/1.1\r\nhost: a\r\nX: y\r\n\r\n",
  );
});
