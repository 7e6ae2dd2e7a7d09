import { answerFromGrpc } from "../../../src/dataplane/ext-authz/check-answer.ts";
import {
  type CheckResponse,
  decodeCheckRequest,
  decodeCheckResponse,
  encodeCheckRequest,
  encodeCheckResponse,
} from "../../../src/dataplane/ext-authz/check-message.ts";
import { BulwarkError } from "../../../src/resources/bulwark-error.ts";
import { type FuzzTarget, law } from "../target.ts";

const NOTHING: CheckResponse = { code: 0, ok: null, denied: null, error: null };
const HEADERS = [
  { name: "x-a", value: "1", action: "set" },
  { name: "x-b", value: "é", action: "append" },
] as const;

/** Messages of external authorization, both ways. */
export const protobufTarget: FuzzTarget = {
  name: "protobuf",
  about:
    "ext_authz messages: refused or read, never more than that; no answer makes a header that breaks a head",
  open: async () => ({
    seeds: seeds(),
    words: [
      [0],
      [0x08, 1],
      [0x0a, 0],
      [0x12, 2, 0x0a, 0],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
      [0x0d, 1, 2, 3, 4],
      [0x0b],
      ...["\r\n", ":path", "host", "x"].map((text) => [...Buffer.from(text)]),
    ].map((bytes) => Buffer.from(bytes)),
    maxInputBytes: 8 * 1024,
    check: (input) => {
      const request = orRefused(() => decodeCheckRequest(input));
      const response = orRefused(() => decodeCheckResponse(input));
      if (response === undefined) return `response refused, request ${request !== undefined}`;
      const answer = answerFromGrpc(response);
      if (answer.kind === "allow")
        checkPairs([...answer.headers, ...answer.responseHeaders].map(({ name, value }) => [name, value]));
      if (answer.kind === "deny")
        checkPairs(
          answer.headers.flatMap((name, at) =>
            at % 2 === 0 ? [[name, answer.headers[at + 1] ?? ""] as const] : [],
          ),
        );
      law(answer.kind !== "allow" || response.code === 0, "only code 0 allows");
      return `${answer.kind}, request ${request !== undefined}`;
    },
  }),
};

function seeds(): Buffer[] {
  const peer = { ip: "127.0.0.1", port: 80, principal: "spiffe://a/ns/b/sa/c" };
  const http = {
    id: "1",
    method: "GET",
    path: "/a",
    host: "h",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: new Map([["a", "b"]]),
    size: 2,
    body: "ok",
    rawBody: new Uint8Array(),
  };
  return [
    encodeCheckRequest({ source: peer, destination: peer, timeMs: 1_700_000_000_123, http }),
    encodeCheckResponse({
      ...NOTHING,
      ok: {
        headers: HEADERS,
        headersToRemove: ["x-c"],
        responseHeaders: [{ name: "x-d", value: "2", action: "add" }],
        queryToSet: [["a", "b"]],
        queryToRemove: ["c"],
      },
    }),
    encodeCheckResponse({ ...NOTHING, code: 7, denied: { status: 403, headers: HEADERS, body: "no" } }),
    encodeCheckResponse({ ...NOTHING, code: 13, error: { status: 500, headers: [], body: "" } }),
  ];
}

function orRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof BulwarkError && error.code === "BW_PROTOBUF") return undefined;
    throw error;
  }
}

function checkPairs(pairs: readonly (readonly [string, string])[]): void {
  for (const [name, value] of pairs) {
    const octets = [...value].map((char) => char.charCodeAt(0));
    const isText = octets.every((octet) => octet === 9 || (octet >= 32 && octet !== 127 && octet < 256));
    const sound = /^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) && isText;
    law(sound && name !== "host", "a header can be sent", () => JSON.stringify([name, value]));
  }
}
