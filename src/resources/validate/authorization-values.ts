import { type Field, quoted } from "./field.ts";

/** No value of the list may be the empty string. */
export function checkNotEmpty(list: Field): void {
  for (const item of list.items()) {
    if (item.text === "" && typeof item.value === "string") {
      item.error(
        "BW1210_EMPTY_VALUE",
        `\`${item.name}\` is empty`,
        "remove it; `*` matches any value that is present",
      );
    }
  }
}

/** Ports of an AuthorizationPolicy are strings. */
export function checkPortTexts(list: Field): void {
  for (const item of list.items()) {
    if (item.text === "" || (/^\d{1,10}$/.test(item.text) && Number(item.text) <= 65_535)) continue;
    item.error("BW1204_BAD_PORT", `\`${item.name}\` is ${quoted(item.text)}; a port is a number up to 65535`);
  }
}

const MAX_ACCOUNTS = 16;
const MAX_ACCOUNT_LENGTH = 320;

/** `account` or `namespace/account`; no wildcards. */
export function checkServiceAccounts(list: Field): void {
  if (list.size > MAX_ACCOUNTS) {
    list.error(
      "BW1105_OUT_OF_BOUNDS",
      `\`${list.name}\` has more than ${MAX_ACCOUNTS} entries`,
      "write several sources",
    );
  }
  checkNotEmpty(list);
  for (const item of list.items()) {
    const problem = accountProblem(item.text);
    if (problem === undefined) continue;
    item.error(
      "BW1211_SERVICE_ACCOUNT",
      `\`${item.name}\` is ${quoted(item.text)}, which ${problem}`,
      "write `account` or `namespace/account`",
    );
  }
}

function accountProblem(text: string): string | undefined {
  if (text === "") return undefined;
  if (text.includes("*")) return "has a wildcard";
  if (text.length > MAX_ACCOUNT_LENGTH) return `is longer than ${MAX_ACCOUNT_LENGTH} characters`;
  const parts = text.split("/");
  if (parts.length > 2) return "has more than one slash";
  return parts.includes("") ? "has an empty part" : undefined;
}

/** Exact, `prefix*`, `*suffix` or `*`: at most one wildcard, at an end. */
export function checkWildcards(list: Field): void {
  checkNotEmpty(list);
  for (const item of list.items()) {
    const stars = item.text.split("*").length - 1;
    const inside = stars === 1 && !item.text.startsWith("*") && !item.text.endsWith("*");
    if (stars <= 1 && !inside) continue;
    item.error(
      "BW1212_BAD_WILDCARD",
      `\`${item.name}\` is ${quoted(item.text)}: one \`*\`, at the beginning or the end, is all there may be`,
      "write `prefix*`, `*suffix` or `*`",
    );
  }
}

export function checkTrustDomains(list: Field): void {
  checkWildcards(list);
  for (const item of list.items()) {
    if (!item.text.includes("/")) continue;
    item.error(
      "BW1212_BAD_WILDCARD",
      `\`${item.name}\` is ${quoted(item.text)}: a trust domain has no slash`,
      "to match a whole identity use `principals`",
    );
  }
}

/** What may stand between the slashes of a path that has templates (RFC 3986 pchar). */
const LITERAL = /^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/;

/** `{*}` is one segment; `{**}` is the rest and must come last. */
export function checkPathTemplates(list: Field): void {
  for (const item of list.items()) {
    const problem = templateProblem(item.text);
    if (problem === undefined) continue;
    item.error(
      "BW1213_PATH_TEMPLATE",
      `\`${item.name}\` is ${quoted(item.text)}: ${problem}`,
      "templates are whole segments: `/users/{*}/orders/{**}`",
    );
  }
}

function templateProblem(path: string): string | undefined {
  const hasTemplate = path.includes("{*}") || path.includes("{**}");
  let restSeen = false;
  for (const segment of path
    .replace(/^\/+/, "")
    .replace(/(?<!\/)\/+$/, "")
    .split("/")) {
    if (segment === "{*}" || segment === "{**}") {
      if (restSeen) return "nothing but plain segments may follow `{**}`";
      restSeen = segment === "{**}";
    } else if (/[{}]/.test(segment))
      return "`{` and `}` may only be written as `{*}` or `{**}`, as a whole segment";
    else if (hasTemplate && !LITERAL.test(segment))
      return `beside a template the segment ${quoted(segment)} is not allowed`;
  }
  return undefined;
}

interface Slip {
  readonly isOne: (text: string) => boolean;
  readonly why: string;
  readonly mended: (text: string) => string;
}

/** What Istio takes, and what no client can ever show. */
const SLIPS: Readonly<Record<string, Slip>> = {
  principals: {
    isOne: (text) => text.startsWith("spiffe://"),
    why: "identities are written without `spiffe://`",
    mended: (text) => text.slice("spiffe://".length),
  },
  paths: {
    isOne: (text) => !/^[/*{]/.test(text),
    why: "every path begins with `/`",
    mended: (text) => `/${text}`,
  },
  methods: {
    isOne: (text) =>
      /^(get|head|post|put|patch|delete|options|trace)$/i.test(text) && text !== text.toUpperCase(),
    why: "methods are compared as they are written, in capitals",
    mended: (text) => text.toUpperCase(),
  },
};

/** @param key `principals`, `paths` or `methods`, whose list and `not…` list stand in `parent`. */
export function checkSlips(parent: Field, key: keyof typeof SLIPS & string): void {
  const slip = SLIPS[key];
  if (slip === undefined) return;
  for (const list of [parent.at(key), parent.at(`not${key.slice(0, 1).toUpperCase()}${key.slice(1)}`)])
    for (const item of list.items()) {
      const { text } = item;
      if (text === "" || !slip.isOne(text)) continue;
      item.warning(
        "BW1322_NEVER_MATCHES",
        `\`${item.name}\` is ${quoted(text)}, which nothing matches: ${slip.why}`,
        `write ${quoted(slip.mended(text))}`,
      );
    }
}
