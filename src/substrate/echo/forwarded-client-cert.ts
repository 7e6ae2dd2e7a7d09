/** One element of x-forwarded-client-cert: a hop's account of the client that it authenticated. */
export interface ForwardedClient {
  readonly by?: string;
  readonly uri?: string;
  readonly hash?: string;
}

/**
 * The clients that an x-forwarded-client-cert header names, nearest to the origin first. Reads for display only: nothing is
 * decided by it. Quoted values may hold the separators.
 * @see https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
 */
export function parseForwardedClientCert(header: string): readonly ForwardedClient[] {
  return splitOutsideQuotes(header, ",").map((element) => {
    const fields = new Map<string, string>();
    for (const pair of splitOutsideQuotes(element, ";")) {
      const at = pair.indexOf("=");
      if (at > 0) fields.set(pair.slice(0, at).trim().toLowerCase(), unquote(pair.slice(at + 1).trim()));
    }
    const [by, uri, hash] = [fields.get("by"), fields.get("uri"), fields.get("hash")];
    return {
      ...(by === undefined ? {} : { by }),
      ...(uri === undefined ? {} : { uri }),
      ...(hash === undefined ? {} : { hash }),
    };
  });
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    if (quoted && text[i] === "\\") i++;
    else if (text[i] === '"') quoted = !quoted;
    else if (text[i] === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts.filter((part) => part.trim() !== "");
}

function unquote(value: string): string {
  return value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}
