import { isIPv4, isIPv6 } from "node:net";
import { ProxyCredential } from "../../../src/dataplane/codec/proxy-credential.ts";
import { Socks5Handshake, type Socks5Step } from "../../../src/dataplane/codec/socks5.ts";
import { pieces } from "../pieces.ts";
import { Random } from "../random.ts";
import { type FuzzTarget, law } from "../target.ts";

const credential = new ProxyCredential("u", "p");
const greeting = [5, 1, 0];
const withPassword = [5, 1, 2, 1, 1, 0x75, 1, 0x70];
const toName = [5, 1, 0, 3, 3, 0x61, 0x2e, 0x62, 1, 187];
const toIpv4 = [5, 1, 0, 1, 10, 0, 0, 1, 0, 80];
const toIpv6 = [5, 1, 0, 4, ...Array.from({ length: 16 }, (_, n) => n), 0, 80];

/** What clients of the explicit proxy send. */
export const socks5Target: FuzzTarget = {
  name: "socks5",
  about:
    "SOCKS5 clients: the same target however bytes are cut, hosts are sound, no tunnel without the password",
  open: async () => ({
    seeds: [toName, toIpv4, toIpv6].flatMap((request) => [
      Buffer.from([...greeting, ...request]),
      Buffer.from([...withPassword, ...request, 1, 2, 3]),
    ]),
    words: [greeting, withPassword, toName, toIpv4, toIpv6].map((bytes) => Buffer.from(bytes)),
    maxInputBytes: 1200,
    check: (input) => {
      const open = checkWith(input, undefined);
      const guarded = checkWith(input, credential);
      const knows = input.includes(Buffer.from(withPassword.slice(3)));
      law(guarded.kind !== "connect" || knows, "no tunnel without the password");
      return `${open.kind === "refused" ? open.reason : open.kind} ${guarded.kind === "refused" ? guarded.reason : guarded.kind}`;
    },
  }),
};

function checkWith(input: Buffer, required: ProxyCredential | undefined): Socks5Step {
  const whole = new Socks5Handshake(required).push(input);
  const inPieces = pushAll(new Socks5Handshake(required), pieces(input, Random.of(input)));
  law(
    plain(whole) === plain(inPieces),
    "packets do not matter",
    () => `${plain(whole)} / ${plain(inPieces)}`,
  );
  if (whole.kind === "connect") {
    const { host, hostType, port } = whole.target;
    const sound =
      hostType === "ipv4"
        ? isIPv4(host)
        : hostType === "ipv6"
          ? isIPv6(host)
          : /^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(host);
    law(sound && port > 0 && port < 65_536, "a target is sound", () => `${hostType} ${host} ${port}`);
  }
  return whole;
}

/** The last step, with all that was replied and what came behind. */
function pushAll(handshake: Socks5Handshake, parts: readonly Buffer[]): Socks5Step {
  const replies: Buffer[] = [];
  let step: Socks5Step = { kind: "need-more", reply: Buffer.alloc(0) };
  for (const [index, part] of parts.entries()) {
    step = handshake.push(part);
    replies.push(step.reply);
    const reply = Buffer.concat(replies);
    if (step.kind === "connect")
      return { ...step, reply, rest: Buffer.concat([step.rest, ...parts.slice(index + 1)]) };
    if (step.kind === "refused") return { ...step, reply };
  }
  return { ...step, reply: Buffer.concat(replies) } as Socks5Step;
}

function plain(step: Socks5Step): string {
  return JSON.stringify(step);
}
