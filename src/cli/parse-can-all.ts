import type { AccessRequest, RequestTemplate, SurveyQuestion } from "../index.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type CanOptions, hostAmong, parseHeader, parseJwt } from "./parse-can.ts";

/** What says who asks whom, which is what is asked for here. */
const ONE_REQUEST_ONLY = [
  "requests",
  "to",
  "via",
  "principal",
  "plaintext",
  "tls",
  "ip",
  "sni",
  "clientOnly",
  "compareModes",
  "explain",
] as const satisfies readonly (keyof CanOptions)[];

/**
 * `--all-to NAMESPACE/NAME[:PORT]` or `--all-from NAMESPACE/NAME`, and words `[METHOD] [PATH]…`: a method is that of the paths after it.
 * @throws {BulwarkError} BW_CLI_INPUT, saying how it is written.
 */
export function parseCanAll(words: readonly string[], options: CanOptions): SurveyQuestion {
  const { allTo, allFrom, namespace } = options;
  if (allTo !== undefined && allFrom !== undefined)
    throw invalid("--all-to and --all-from are two questions: ask one");
  const extra = ONE_REQUEST_ONLY.find((name) => options[name] !== undefined);
  if (extra !== undefined)
    throw invalid(`--${kebab(extra)} is of one request: it does not go with --all-to and --all-from`);
  const [, workload = "", port] = /^([^/:]+\/[^/:]+)(?::(\d+))?$/.exec(allTo ?? allFrom ?? "") ?? [];
  if (workload === "") throw invalid(`\`${allTo ?? allFrom}\` is no workload: write NAMESPACE/NAME`);
  if (allFrom !== undefined && port !== undefined)
    throw invalid(
      `--all-from \`${allFrom}\`: it is asked about every port that others declare; leave \`:${port}\` out`,
    );
  const requests = requestsOf(words, options);
  return {
    ...(allTo === undefined ? { from: workload } : { to: workload }),
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(requests.length === 0 ? {} : { requests }),
  };
}

/** A method without a path after it is asked for `/`. */
function requestsOf(words: readonly string[], options: CanOptions): readonly RequestTemplate[] {
  const common = commonFields(options);
  const requests: RequestTemplate[] = [];
  let method = options.method;
  for (const [at, word] of words.entries()) {
    if (isMethod(word)) method = word;
    else if (!word.startsWith("/"))
      throw invalid(
        `\`${word}\` is neither a METHOD nor a /PATH: the other end is every workload, so write no URL`,
      );
    const next = words[at + 1];
    if (isMethod(word) && next?.startsWith("/") === true) continue;
    requests.push({
      ...common,
      ...(method === undefined ? {} : { method }),
      ...(isMethod(word) ? {} : { path: word }),
    });
  }
  const alone = words.length === 0 && (method !== undefined || Object.keys(common).length > 0);
  return alone ? [{ ...common, ...(method === undefined ? {} : { method }) }] : requests;
}

function isMethod(word: string): boolean {
  return /^[A-Z][A-Z-]*$/.test(word);
}

function commonFields({ protocol, header, jwt, extAuthz, ...options }: CanOptions): Partial<AccessRequest> {
  const headers = header?.map(parseHeader);
  const host = options.host ?? hostAmong(headers);
  return {
    ...(protocol === undefined ? {} : { protocol }),
    ...(host === undefined ? {} : { host }),
    ...(headers === undefined ? {} : { headers }),
    ...(jwt === undefined ? {} : { jwt: parseJwt(jwt) }),
    ...(extAuthz === undefined ? {} : { extAuthz }),
  };
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function invalid(message: string): BulwarkError {
  return new BulwarkError("BW_CLI_INPUT", message);
}
