import { type ClientHello, ClientHelloReader } from "./codec/client-hello.ts";
import { sniffProtocol } from "./codec/sniff.ts";
import type { Judge } from "./first-bytes.ts";

/** What a connection's first bytes are. A ClientHello that breaks the rules is `broken-tls`: refused, never opaque TCP. */
export type FirstBytes =
  | { readonly kind: "tls"; readonly hello: ClientHello }
  | { readonly kind: "broken-tls"; readonly reason: string }
  | { readonly kind: "http1" }
  | { readonly kind: "http2" }
  | { readonly kind: "other" };

const OTHER: FirstBytes = { kind: "other" };

/** A judge for {@link judgeFirstBytes}: waits for a whole ClientHello, or enough to tell HTTP from anything else. */
export function protocolJudge(): Judge<FirstBytes> {
  const reader = new ClientHelloReader();
  let read = 0;
  return (bytes, state) => {
    const sniffed = sniffProtocol(bytes);
    if (sniffed === "tls") {
      const result = reader.push(bytes.subarray(read));
      read = bytes.length;
      if (result.kind === "hello") return { kind: "tls", hello: result };
      if (result.kind === "invalid") return { kind: "broken-tls", reason: result.reason };
      if (result.kind === "not-tls") return OTHER;
      return state === "open" ? undefined : { kind: "broken-tls", reason: "hello-incomplete" };
    }
    if (sniffed === "need-more") return state === "open" ? undefined : OTHER;
    return { kind: sniffed };
  };
}
