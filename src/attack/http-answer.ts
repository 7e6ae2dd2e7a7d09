/** HTTP/1.1 answers as an attacker reads them: several on one connection, cut off or not. */
export interface HttpAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Every answer in the bytes, in order; what is cut off counts as far as it came. */
export function parseAnswers(bytes: Buffer): readonly HttpAnswer[] {
  const answers: HttpAnswer[] = [];
  const text = bytes.toString("latin1");
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at);
    const head = text.slice(at, end < 0 ? text.length : end);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0);
    if (status === 0) return answers;
    const from = end < 0 ? text.length : end + 4;
    const { body, next } = readBody(text, from, head);
    answers.push({ status, head, body });
    at = next;
  }
  return answers;
}

function readBody(text: string, from: number, head: string): { body: string; next: number } {
  const status = Number(head.split(" ", 2)[1]);
  if (status < 200 || status === 204 || status === 304) return { body: "", next: from };
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  if (length !== undefined) {
    const next = from + Number(length);
    return { body: text.slice(from, next), next };
  }
  if (!/^transfer-encoding: *chunked/im.test(head)) {
    return { body: text.slice(from), next: text.length };
  }
  let body = "";
  let at = from;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd < 0 ? at : lineEnd), 16);
    if (lineEnd < 0 || Number.isNaN(size)) return { body, next: text.length };
    if (size === 0) return { body, next: Math.min(text.length, lineEnd + 4) };
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}

/** What the built-in application says that it saw. */
export interface EchoReport {
  readonly path?: string;
  readonly method?: string;
  readonly host?: string;
  readonly workload?: string;
  readonly standIn?: string;
  readonly sni?: string;
  readonly peer?: readonly { readonly uri?: string; readonly by?: string }[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** The report in an answer's body; undefined when it is none: the proxy's own words, or another application's. */
export function echoReport(body: string): EchoReport | undefined {
  try {
    const value: unknown = JSON.parse(body);
    const isReport =
      typeof value === "object" && value !== null && ("workload" in value || "standIn" in value);
    return isReport ? (value as EchoReport) : undefined;
  } catch {
    return undefined;
  }
}
