import { sniffProtocol } from "../../../src/dataplane/codec/sniff.ts";
import { type FuzzTarget, law } from "../target.ts";

/** First bytes of plaintext connections. */
export const sniffTarget: FuzzTarget = {
  name: "sniff",
  about: "first bytes: what was told of a part of them stays true with more, however they arrive",
  open: async () => ({
    seeds: [
      "GET / HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\n",
      "\x16\x03\x01\x02\x00\x01",
      "SSH-2.0-x\r\n",
      "CONNECT a:1 HTTP/1.1\r\n",
    ].map((text) => Buffer.from(text, "latin1")),
    words: [
      "GET ",
      "POST ",
      "/",
      " HTTP/1.1\r\n",
      " HTTP/1.0\r\n",
      "\r",
      "\n",
      " ",
      "PRI * HTTP/2.0\r\n",
      "SM\r\n\r\n",
      "\x16\x03",
    ].map((word) => Buffer.from(word, "latin1")),
    maxInputBytes: 20_000,
    check: (input) => {
      const whole = sniffProtocol(input);
      const step = Math.max(1, input.length >> 7);
      for (let length = 0; length < input.length; length += step) {
        const early = sniffProtocol(input.subarray(0, length));
        law(
          early === "need-more" || early === whole,
          "a judgement stays",
          () => `${early} at ${length}, then ${whole}`,
        );
      }
      return whole;
    },
  }),
};
