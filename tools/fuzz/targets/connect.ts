import { isIP } from "node:net";
import { readProxyRequest } from "../../../src/dataplane/codec/http-connect.ts";
import { parseRequestHead } from "../../../src/dataplane/codec/http1-head.ts";
import { ProxyCredential } from "../../../src/dataplane/codec/proxy-credential.ts";
import { type FuzzTarget, law } from "../target.ts";

const credential = new ProxyCredential("u", "p");
const AUTHORIZATION = "Proxy-Authorization: Basic dTpw\r\n";

/** One head that a client sends to the explicit proxy. */
export const connectTarget: FuzzTarget = {
  name: "connect",
  about:
    "CONNECT and absolute targets at the explicit proxy: hosts are sound, nothing goes out without the password",
  open: async () => ({
    seeds: [
      `CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n${AUTHORIZATION}\r\n`,
      `CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n${AUTHORIZATION}\r\n`,
      `GET http://10.0.0.1/x HTTP/1.1\r\nHost: 10.0.0.1\r\n${AUTHORIZATION}\r\n`,
      `GET https://a.b/ HTTP/1.1\r\nHost: a.b\r\n\r\n`,
    ].map((text) => Buffer.from(text, "latin1")),
    words: [
      "CONNECT ",
      "http://",
      ":443",
      ":0",
      ":65536",
      ":",
      "[::1]",
      "[::ffff:1.2.3.4]",
      "127.1",
      "0x7f.1",
      "010.0.0.1",
      "a",
      ".",
      "..",
      "_",
      "-",
      "@",
      "%65",
      "Basic ",
      "dTpw",
      "\r\n",
      AUTHORIZATION,
      "\xff",
    ].map((word) => Buffer.from(word, "latin1")),
    maxInputBytes: 8 * 1024,
    check: (input) => {
      const head = parseRequestHead(input, 0, input.length);
      if (head.kind === "refusal") return head.code;
      const open = readProxyRequest(head);
      const guarded = readProxyRequest(head, credential);
      law(
        guarded.kind === "refused" || /basic +dTpw/i.test(input.toString("latin1")),
        "nothing goes out without the password",
      );
      law(guarded.kind === "refused" || guarded.kind === open.kind, "the password changes nothing else");
      if (open.kind === "refused") {
        law(/^HTTP\/1\.1 [45]\d\d [\x20-\x7e]*\r\n/.test(open.reply), "a refusal is an answer");
        return open.reason;
      }
      const { host, port } = open;
      law(port > 0 && port < 65_536, "a port is one", () => String(port));
      law(
        isIP(host) > 0 ||
          (/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(host) && !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(host)),
        "a host is a name or an address",
        () => host,
      );
      return open.kind;
    },
  }),
};
