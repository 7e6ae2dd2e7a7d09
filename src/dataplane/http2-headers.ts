import type { OutgoingHttpHeaders } from "node:http2";
import type { RequestEdit } from "./codec/head-writer.ts";
import type { RequestView } from "./http-service.ts";

/** The head to send upstream: as received, with the edit of the decision. */
export function editedHeaders(view: RequestView, edit: RequestEdit): OutgoingHttpHeaders {
  const out: Record<string, string | string[]> = {
    ":method": view.method,
    ":path": edit.path ?? view.target,
    ":authority": edit.authority ?? view.authority,
    ":scheme": "http",
  };
  for (let at = 0; at < view.headers.length; at += 2) {
    const name = view.headers[at] as string;
    if (name !== "host" && edit.remove?.has(name) !== true) append(out, name, view.headers[at + 1] as string);
  }
  for (const [name, values] of Object.entries(linesToHeaders(edit.add ?? "")))
    for (const value of [values].flat()) append(out, name, value);
  return out;
}

/** Header lines made for HTTP/1.1, as HTTP/2 takes them. */
export function linesToHeaders(lines: string): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const line of lines.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) append(headers, line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

function append(out: Record<string, string | string[]>, name: string, value: string): void {
  const before = out[name];
  if (before === undefined) out[name] = value;
  else out[name] = Array.isArray(before) ? [...before, value] : [before, value];
}
