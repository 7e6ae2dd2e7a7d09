import { withElement } from "../../../src/policy/proxy-headers.ts";
import { type FuzzTarget, law } from "../target.ts";

const OWN = 'By=spiffe://a/ns/b/sa/c;Hash=00;Subject="";URI=spiffe://a/ns/d/sa/e';

/** A value of X-Forwarded-Client-Cert from a client, to which the proxy appends its own element. */
export const xfccTarget: FuzzTarget = {
  name: "xfcc",
  about:
    "X-Forwarded-Client-Cert: what the proxy appends is read as the last element by every reader, whatever stands before",
  open: async () => ({
    seeds: [OWN, `${OWN},${OWN}`, 'Subject="/C=US,CN=\\"x\\"";Hash=1', "By=a"].map((text) =>
      Buffer.from(text, "latin1"),
    ),
    words: ['"', '\\"', "\\", ",", ";", "=", "URI=", 'Subject="', '",', "By=", "\\\\"].map((word) =>
      Buffer.from(word),
    ),
    maxInputBytes: 2048,
    check: (input) => {
      const before = input.toString("latin1").replaceAll(/[\r\n\0]/g, "");
      const value = withElement(before, OWN);
      for (const escapes of [true, false]) {
        const elements = elementsOf(value, escapes);
        law(elements.at(-1) === OWN, "the proxy's element is one of its own", () => JSON.stringify(elements));
      }
      if (value === OWN) return "replaced";
      return before.includes('"') ? "appended to quotes" : "appended";
    },
  }),
};

/** Readers differ on whether a backslash escapes a quote. */
function elementsOf(value: string, escapes: boolean): string[] {
  const elements = [""];
  let quoted = false;
  for (let at = 0; at < value.length; at++) {
    const char = value[at] ?? "";
    if (escapes && quoted && char === "\\") {
      elements[elements.length - 1] += char + (value[++at] ?? "");
      continue;
    }
    if (char === '"') quoted = !quoted;
    if (char === "," && !quoted) elements.push("");
    else elements[elements.length - 1] += char;
  }
  return elements;
}
