/** How an application may read a path that it received. */
export interface PathReading {
  readonly path: string;
  /** `by the standard`, `without regard to case`… */
  readonly by: string;
  /** RFC 3986 says that both spellings are the same resource: then the proxy had to know. */
  readonly standard: boolean;
}

/** Every reading, the standard's first. The query is not part of any. */
export function readingsOf(received: string): readonly PathReading[] {
  const path = (received.split(/[?#]/, 1)[0] ?? "").replace(/^https?:\/\/[^/]*/i, "");
  const standard = removeDots(decodeUnreserved(path));
  const read = (by: string, text: string): PathReading => ({ path: removeDots(text), by, standard: false });
  return [
    { path, by: "as it stands", standard: true },
    { path: standard, by: "by RFC 3986 §6.2.2 (dots, unreserved letters)", standard: true },
    read("with slashes merged", standard.replace(/\/{2,}/g, "/")),
    read("with %2f and %5c decoded", mergeAll(decodeSlashes(standard))),
    read("with every %xx decoded", mergeAll(decodeAll(decodeSlashes(standard)))),
    read("with %xx decoded twice", mergeAll(decodeAll(decodeAll(standard)))),
    read("with parameters (;x) cut off", mergeAll(standard.replace(/;[^/]*/g, ""))),
    read("without regard to case", standard.toLowerCase()),
    read("without final marks", decodeAll(standard).replace(/[/. \t\0]+$/, "")),
  ];
}

/** RFC 3986 §5.2.4. */
export function removeDots(path: string): string {
  const out: string[] = [];
  const segments = path.split("/").slice(1);
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1;
    if (segment === "..") out.pop();
    if (segment !== "." && segment !== "..") out.push(segment);
    else if (last) out.push("");
  }
  return `/${out.join("/")}`;
}

/** RFC 3986 §6.2.2.2: the letters whose encoding never changes the meaning. */
function decodeUnreserved(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (whole, digits: string) => {
    const letter = String.fromCharCode(Number.parseInt(digits, 16));
    return /[A-Za-z0-9._~-]/.test(letter) ? letter : whole;
  });
}

function decodeSlashes(path: string): string {
  return path.replace(/%2f/gi, "/").replace(/%5c|\\/gi, "/");
}

function decodeAll(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_whole, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

function mergeAll(path: string): string {
  return path.replace(/[/\\]+/g, "/");
}
