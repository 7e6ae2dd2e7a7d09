import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { TLS_PROFILE } from "../identity/tls-profile.ts";
import { resolveCredential } from "../policy/outbound/credential.ts";
import type { ClusterTls } from "../policy/outbound/types.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { readClientCredentials } from "./gateway-credentials.ts";
import { SecretStore } from "./secret-store.ts";
import { makeExternalContext } from "./tls-contexts.ts";

/** A secure context, and a name that no other one has. */
export interface ExternalContext {
  readonly context: SecureContext;
  readonly id: string;
}

/** Istio's word for the system's own roots, where a file of roots could stand. */
const SYSTEM = "system";

/**
 * Contexts for servers outside of the mesh: the usual one, and those with the roots and client certificates that
 * DestinationRules name by file or Secret. Files are read when first needed, and again with each new configuration.
 */
export class ExternalContexts {
  readonly #extraCaPem: string | undefined;
  readonly #usual: ExternalContext;
  readonly #made = new Map<string, ExternalContext>();
  #secrets = new SecretStore([]);
  #namespace = "";

  /** @param extraCaPem the stand-ins' CA: in a simulation it takes the place of every root. */
  constructor(extraCaPem: string | undefined) {
    this.#extraCaPem = extraCaPem;
    this.#usual = { context: makeExternalContext(extraCaPem), id: "" };
  }

  /** Forgets what was read from files, and takes the Secrets of a new configuration. */
  renew(secrets: SecretStore, namespace: string): void {
    this.#made.clear();
    this.#secrets = secrets;
    this.#namespace = namespace;
  }

  /** Refuses to go on with less than what is asked for: other roots, or no client certificate, are no substitute. */
  contextFor(settings: ClusterTls): ExternalContext | BulwarkError {
    const { mode, caCertificates = SYSTEM, clientCertificate, privateKey, credentialName } = settings;
    if (credentialName !== undefined) return this.#ofSecret(credentialName, mode);
    if (mode === "simple" && caCertificates === SYSTEM) return this.#usual;
    if (mode === "mutual" && (clientCertificate === undefined || privateKey === undefined))
      return new BulwarkError(
        "BW_UPSTREAM_NO_CREDENTIAL",
        "mutual TLS without the files of a client certificate",
      );
    const files = mode === "mutual" ? [caCertificates, clientCertificate, privateKey] : [caCertificates];
    const id = JSON.stringify(files);
    const known = this.#made.get(id);
    if (known !== undefined) return known;
    try {
      const made = { context: this.#make(caCertificates, clientCertificate, privateKey, mode), id };
      this.#made.set(id, made);
      return made;
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? "unreadable";
      return new BulwarkError(
        "BW_UPSTREAM_TLS_FILE",
        `a TLS file of a DestinationRule cannot be used (${code})`,
        {
          detail: { files },
          cause,
        },
      );
    }
  }

  #ofSecret(credentialName: string, mode: ClusterTls["mode"]): ExternalContext | BulwarkError {
    const id = `secret ${mode} ${credentialName}`;
    const known = this.#made.get(id);
    if (known !== undefined) return known;
    const credential = resolveCredential(credentialName, this.#namespace);
    const read = readClientCredentials(credential, mode === "mutual", this.#secrets);
    if (read instanceof BulwarkError)
      return new BulwarkError(
        "BW_UPSTREAM_NO_CREDENTIAL",
        `credential \`${credentialName}\`: ${read.message}`,
      );
    const ca = this.#extraCaPem ?? read.roots;
    const made = { context: createSecureContext({ ...read.pair, ca, ...TLS_PROFILE.outside }), id };
    this.#made.set(id, made);
    return made;
  }

  #make(roots: string, certificate = "", key = "", mode: ClusterTls["mode"]): SecureContext {
    const own = mode === "mutual" ? { cert: readFileSync(certificate), key: readFileSync(key) } : {};
    const simulated = this.#extraCaPem;
    const ca = simulated ?? (roots === SYSTEM ? undefined : readFileSync(roots));
    return createSecureContext({ ...own, ...(ca === undefined ? {} : { ca }), ...TLS_PROFILE.outside });
  }
}
