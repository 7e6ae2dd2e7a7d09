import type { Svid, SvidSource } from "../identity/rotation.ts";
import type { CertificateStatus } from "./messages.ts";

export interface HeldCertificateOptions {
  /** Whose it is, before each warning; by default it goes without saying. */
  readonly prefix?: string;
  readonly onWarning: (message: string) => void;
  /** Another certificate is in force, or none any more. */
  readonly onCertificate: () => void;
}

/** What a process tells of an identity that it holds: which certificate is in force since when, and each outage once. */
export class HeldCertificate {
  readonly #options: HeldCertificateOptions;
  #adopted: { readonly svid: Svid; readonly atMs: number } | undefined;
  #failing = "";
  readonly #first = Promise.withResolvers<void>();

  constructor(identity: SvidSource, options: HeldCertificateOptions) {
    this.#options = options;
    identity
      .on("rotated", (svid) => this.#rotated(svid))
      .on("failed", (error) => {
        const isNew = this.#failing === "";
        this.#failing = error.code;
        if (isNew)
          this.#warn(`no new certificate (${error.code}): ${error.message}; asking again until there is one`);
      })
      .on("discarded", (serial) => {
        // No longer what it uses: `ca status` must not show it as such.
        if (this.#adopted?.svid.serial === serial) this.#adopted = undefined;
        this.#warn(`the certificate ${serial} was revoked: everything is refused until there is another`);
        options.onCertificate();
      })
      .on("expired", () => this.#warn("the certificate has ended: everything is refused"));
  }

  /** Settles with the first certificate. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  get status(): CertificateStatus | null {
    if (this.#adopted === undefined) return null;
    const { svid, atMs } = this.#adopted;
    return {
      serial: svid.serial,
      issuedAt: new Date(atMs).toISOString(),
      notBefore: svid.notBefore.toISOString(),
      notAfter: svid.notAfter.toISOString(),
      nextRotation: new Date(atMs + (svid.notAfter.getTime() - atMs) / 2).toISOString(),
    };
  }

  #rotated(svid: Svid): void {
    if (this.#failing !== "") this.#warn("certificates are renewed again");
    this.#failing = "";
    // Of other trust roots alone the certificate is not newer.
    const isSame = this.#adopted?.svid.serial === svid.serial;
    this.#adopted = { svid, atMs: isSame ? (this.#adopted?.atMs ?? 0) : Date.now() };
    this.#first.resolve();
    this.#options.onCertificate();
  }

  #warn(message: string): void {
    const { prefix, onWarning } = this.#options;
    onWarning(prefix === undefined ? message : `${prefix}: ${message}`);
  }
}
