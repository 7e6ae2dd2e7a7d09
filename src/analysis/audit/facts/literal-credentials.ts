/** Whether a text is a credential: by what it is itself, or by the name that it stands under. What it is is told, never the text. */

export const PRIVATE_KEY = "a private key";

/** Texts that are credentials whatever they stand under, as those who give them out document them. */
const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  // An encrypted key is none without its passphrase.
  [PRIVATE_KEY, /-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH) )?PRIVATE KEY-----/],
  ["an access key of AWS", /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/],
  ["a key of Google's APIs", /\bAIza[\w-]{35}\b/],
  ["a token of GitHub", /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})\b/],
  ["a token of GitLab", /\bglpat-[\w-]{20,}/],
  ["a token of Slack", /\bxox[abeprs]-[A-Za-z0-9-]{20,}/],
  ["a key of Stripe", /\b[rs]k_live_[A-Za-z0-9]{20,}\b/],
  ["a token of npm", /\bnpm_[A-Za-z0-9]{36}\b/],
  ["a signed token (JWT)", /\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20}/],
];

export const PASSWORD_IN_ADDRESS = "a password in an address";

/** What every kind above begins with: most texts are done with by it. */
const HINT = /PRIVATE KEY|A[KS]IA|AIza|gh[pousr]_|github_pat_|glpat-|xox|k_live_|npm_|eyJ|:\/\//;

/** `scheme://user:password@host` (RFC 3986, section 3.2.1). Lengths are bounded: a ConfigMap has a million characters of anything. */
const IN_URL = /\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s:@/]{0,256}:([^\s@/]{1,256})@/i;

/** @returns what it is, in words: `a private key` */
export function credentialIn(text: string): string | undefined {
  if (!HINT.test(text)) return undefined;
  for (const [kind, pattern] of KINDS) {
    const found = pattern.exec(text)?.[0];
    // Documents of AWS have keys that end so.
    if (found !== undefined && !found.endsWith("EXAMPLE")) return kind;
  }
  const password = IN_URL.exec(text)?.[1];
  return password !== undefined && isLiteral(password, "password") ? PASSWORD_IN_ADDRESS : undefined;
}

const WORDS =
  /(?:^|_)(passwords?|passwd|pwd|passphrase|pass|secrets?|tokens?|credentials?|(?:api|access|secret|private|signing|encryption|master|auth)_?key|secret_key_base)$/;

/** Whether what stands under this name is a credential, as far as it is written out. */
export function isCredentialNamed(name: string, text: string): boolean {
  const plain = name
    .replace(/^-+/, "")
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[.\-\s]+/g, "_")
    .toLowerCase();
  const word = WORDS.exec(plain)?.[1];
  return word !== undefined && isLiteral(text, word);
}

const SWITCHES =
  /^(true|false|yes|no|on|off|none|null|nil|undefined|enabled?|disabled?|optional|required|always|never|auto|default|basic|bearer|jwt|opaque|env|file|vault|kubernetes)$/i;
/** A variable, a template, or where a program is to fetch it from: `$(X)`, `${X}`, `{{ x }}`, `<x>`, `%X%`, `vault:…`, `arn:…`. */
const REFERENCES =
  /\$\(|\$\{|\{\{|^\$[A-Za-z_]|^<.*>$|^%.*%$|^__.*__$|^@|^(vault|ref\+?\w*|arn|sm|gcp|gs|s3|ssm|azurekeyvault|awssm|op|secretref|secret|env|file|projects\/[^/]+\/secrets)[:/]/i;
const PATHS =
  /^(\.{0,2}\/|~|[A-Za-z]:\\)|\/run\/|\.(pem|crt|cer|key|json|ya?ml|txt|conf|properties|jks|p12|pfx|pub|toml|ini|env)$/i;
const ADDRESSES = /^[a-z][a-z0-9+.-]*:\/\//i;
/** What somebody is to put something else for before it runs. */
const PLACEHOLDERS = /^(replace|your|todo|insert|placeholder|redacted|example|x{3,}|\*{3,}|\.{3,})/i;
/** The name of another variable. */
const VARIABLE = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;
/** The name of an object of Kubernetes, for words that name Secrets and tokens as well as what is in them. */
const OBJECT = /^[a-z]+([-.][a-z0-9]+)+$/;
/** A number of something: seconds, tokens of a model. */
const NUMBER = /^[\d.,]+[a-z]{0,2}$/i;

function isLiteral(text: string, word: string): boolean {
  const value = text.trim();
  if (value === "" || value.includes("\n")) return false;
  if ([SWITCHES, REFERENCES, PATHS, ADDRESSES, PLACEHOLDERS, VARIABLE].some((pattern) => pattern.test(value)))
    return false;
  if (word.startsWith("pass") || word === "pwd") return !/^\d{1,3}$/.test(value);
  return !OBJECT.test(value) && !NUMBER.test(value) && value.length >= 6;
}
