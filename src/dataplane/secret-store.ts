import type { SecretReference } from "../policy/outbound/credential.ts";
import type { Resource } from "../resources/resource.ts";

/** What a Secret, or a ConfigMap, holds under a name of its own; undefined where there is nothing or an empty text. */
export type SecretData = (field: string) => string | undefined;

/** The Secrets and ConfigMaps of a configuration. Nothing of their contents leaves by messages. */
export class SecretStore {
  readonly #secrets = new Map<string, Resource>();
  readonly #configMaps = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    for (const resource of resources) {
      if (resource.apiVersion !== "v1") continue;
      if (resource.kind === "Secret") this.#secrets.set(keyOf(resource), resource);
      else if (resource.kind === "ConfigMap") this.#configMaps.set(keyOf(resource), resource);
    }
  }

  secret(reference: SecretReference): SecretData | undefined {
    const found = this.#secrets.get(keyOf(reference));
    if (found === undefined) return undefined;
    const { data, stringData } = found.body;
    // As the API server does: what is written plainly replaces what is encoded.
    return (field) => nonEmpty(textAt(stringData, field) ?? decoded(textAt(data, field)));
  }

  /** Roots are no secret: they may stand in a ConfigMap. */
  secretOrConfigMap(reference: SecretReference): SecretData | undefined {
    const secret = this.secret(reference);
    if (secret !== undefined) return secret;
    const found = this.#configMaps.get(keyOf(reference));
    return found === undefined ? undefined : (field) => nonEmpty(textAt(found.body.data, field));
  }
}

function keyOf({ namespace, name }: SecretReference): string {
  return `${namespace}/${name}`;
}

function textAt(fields: unknown, name: string): string | undefined {
  if (typeof fields !== "object" || fields === null || !Object.hasOwn(fields, name)) return undefined;
  const value = (fields as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}

/** What is no base64 reads as something that is no PEM, which is refused where it is used. */
function decoded(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, "base64").toString("latin1");
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}
