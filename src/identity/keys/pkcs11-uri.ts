import { BulwarkError } from "../../resources/bulwark-error.ts";

/** Which token keeps the CA's keys, and how it is reached. */
export interface Pkcs11Token {
  readonly token: string;
  readonly modulePath: string;
  /** As `readSecret` takes it. */
  readonly pinSource: string;
}

const ATTRIBUTES: ReadonlySet<string> = new Set(["token", "module-path", "pin-source"]);

/**
 * Reads `pkcs11:token=LABEL?module-path=PATH&pin-source=file:PATH` (RFC 7512); the PIN itself may not stand in it.
 * @throws {BulwarkError} BW_PKCS11_URI
 */
export function parsePkcs11Uri(uri: string): Pkcs11Token {
  const [, path = "", query = ""] =
    /^pkcs11:([^?]*)(?:\?(.*))?$/s.exec(uri) ?? refuse("it starts with pkcs11:");
  const attributes = new Map<string, string>();
  for (const pair of [...path.split(";"), ...query.split("&")].filter((text) => text !== "")) {
    const name = pair.slice(0, Math.max(pair.indexOf("="), 0));
    if (!ATTRIBUTES.has(name)) refuse("it names token, module-path and pin-source, and nothing else");
    if (attributes.has(name)) refuse(`it gives ${name} twice`);
    attributes.set(name, decoded(pair.slice(name.length + 1)));
  }
  const [token = "", modulePath = "", pinSource = ""] = [...ATTRIBUTES].map((name) => attributes.get(name));
  if (token === "" || modulePath === "" || pinSource === "")
    refuse("it gives each of token, module-path and pin-source");
  return { token, modulePath, pinSource };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("its percent encoding is whole");
  }
}

function refuse(rule: string): never {
  throw new BulwarkError("BW_PKCS11_URI", `a PKCS#11 URI is expected such that ${rule}`);
}
