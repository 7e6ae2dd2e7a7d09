import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import {
  credentialIn,
  isCredentialNamed,
  PASSWORD_IN_ADDRESS,
  PRIVATE_KEY,
} from "../facts/literal-credentials.ts";
import { containersOf, podsOf } from "../facts/pods.ts";
import { type Fields, fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const credentialWritten: AuditRule = {
  id: "BW0853",
  title: "A credential that stands where no Secret is",
  severity: "medium",
  attacks: ["C1", "C6"],
  what: "Credentials in containers' `env`, `command` and `args`, and in ConfigMaps. Told by what they are (`high`): private keys in PEM that are not encrypted (in ConfigMaps they are BW0866), keys and tokens of AWS, Google, GitHub, GitLab, Slack, Stripe and npm, signed tokens. `medium`: a password in an address (`postgres://user:password@host`), and what stands under a name that ends in `PASSWORD`, `SECRET`, `TOKEN`, `API_KEY` and such, or behind such a flag, and is written out. Not told: references (`$(X)`, templates, `vault:…`), paths and names of files, addresses, switches, numbers and names of objects (but under a password's name), and what says that it is to be replaced; texts inside of files that a ConfigMap holds, but for those of the first kind. What was found is not repeated in any output.",
  why: "Who reads the repository, or may read pods or ConfigMaps, which the role `view` may and Secrets it may not, has it; it is in every copy and every backup, encryption at rest passes it by, and it is hard to change.",
  fix: "Change it, since it is known, and put it into a Secret that the one process mounts, or have it fetched from a vault; where it has been in a repository, it stays in its history.",
  claims: ["credentials-kept", "secrets-as-files"],
  check: written,
};

interface Place {
  readonly path: FieldPath;
  /** Variable, flag or key. */
  readonly name: string;
  readonly text: string;
}

function* written(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf))
    for (const { name, container, path } of containersOf(pod))
      for (const place of [...variablesOf(container, path), ...flagsOf(container, path)])
        yield* told(pod.resource, place, ` of container \`${name}\``);
  // Private keys there are BW0866.
  for (const resource of audit.every("", "ConfigMap"))
    for (const [key, value] of Object.entries(fieldsOf(resource.body.data)))
      if (credentialIn(textOf(value)) !== PRIVATE_KEY)
        yield* told(resource, { path: ["data", key], name: key, text: textOf(value) }, "");
}

function* told(resource: Resource, { path, name, text }: Place, of: string): Iterable<Hit> {
  if (text === "") return;
  const what = credentialIn(text);
  const where = name === "" ? `an argument${of}` : `\`${name}\`${of}`;
  if (what !== undefined)
    yield {
      resource,
      path,
      ...(what === PASSWORD_IN_ADDRESS ? {} : { severity: "high" as const }),
      title: `${where} holds ${what}`,
    };
  else if (isCredentialNamed(name, text))
    yield { resource, path, title: `the value of ${where} is written out` };
}

function* variablesOf({ env }: Fields, at: FieldPath): Iterable<Place> {
  for (const [index, { name, value }] of itemsOf(env))
    yield { path: [...at, "env", index, "value"], name: textOf(name), text: textOf(value) };
}

/** `--password=x`, `--password x`, and any word by itself. */
function* flagsOf({ command, args }: Fields, at: FieldPath): Iterable<Place> {
  for (const [field, list] of [
    ["command", textsOf(command)],
    ["args", textsOf(args)],
  ] as const)
    for (const [index, word] of list.entries()) {
      const [, name = "", value] = /^--?([A-Za-z][\w.-]*)=(.*)$/s.exec(word) ?? [];
      const before = /^--?([A-Za-z][\w.-]*)$/.exec(list[index - 1] ?? "")?.[1];
      const isApart = before !== undefined && !word.startsWith("-");
      yield {
        path: [...at, field, index],
        name: value === undefined ? (isApart ? before : "") : name,
        text: value ?? word,
      };
    }
}
