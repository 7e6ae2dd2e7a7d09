import { hash } from "node:crypto";
import type { TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { CertificateAuthority } from "../ca.ts";
import type { CaState } from "../ca-state.ts";
import type { CaMaterial } from "./ca-material.ts";
import { pluggedInState } from "./plugged-in-state.ts";

export interface FollowOptions {
  readonly ca: Pick<CertificateAuthority, "rotate">;
  readonly read: () => CaMaterial;
  readonly trustDomain: TrustDomain;
  /** What is in force: looked at again only when it changes. */
  readonly inForce: CaMaterial;
  readonly passphrase?: string;
  readonly clock?: () => number;
  readonly everyMs?: number;
  readonly onAdopted: () => void;
  /** New material was refused, and what was in force stays; told once for each content. */
  readonly onRefused: (error: BulwarkError) => void;
}

/** A mounted Secret is replaced by moving symbolic links, which watches of the folder do not tell reliably. */
const EVERY_MS = 2000;

/** Follows a CA from outside: material that changes is put into force whole, or refused whole. */
export class MaterialFollower {
  readonly #options: FollowOptions;
  readonly #timer: NodeJS.Timeout;
  #seen: string;
  #looking: Promise<void> | undefined;

  constructor(options: FollowOptions) {
    this.#options = options;
    this.#seen = fingerprint(options.inForce);
    this.#timer = setInterval(() => void this.look(), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Looks now. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { ca, read, trustDomain, clock = Date.now, passphrase, onAdopted } = this.#options;
    try {
      const material = read();
      const found = fingerprint(material);
      if (found === this.#seen) return;
      this.#seen = found;
      await ca.rotate(async (before) => {
        const { folder } = before;
        const own = passphrase === undefined ? {} : { passphrase };
        const after = await pluggedInState(material, { folder, trustDomain, nowMs: clock(), ...own });
        refuseSevered(material, before, after);
        return after;
      });
      onAdopted();
    } catch (error) {
      this.#refused(error);
    }
  }

  #refused(cause: unknown): void {
    const error =
      cause instanceof BulwarkError
        ? cause
        : new BulwarkError("BW_CA_PLUG_IN_REFUSED", "the CA's files cannot be read", { cause });
    // Material that cannot even be read has no fingerprint of its own; its error stands for it.
    const told = error.code === "BW_CA_PLUG_IN_REFUSED" ? this.#seen : hash("sha256", error.message);
    if (error.code !== "BW_CA_PLUG_IN_REFUSED" && told === this.#seen) return;
    this.#seen = told;
    this.#options.onRefused(error);
  }
}

/** Proxies take the new one over one by one: meanwhile both sides of a connection must trust each other. */
function refuseSevered({ place }: CaMaterial, before: CaState, after: CaState): void {
  if (after.roots.some((root) => before.roots.some((known) => known.certificate.equals(root.certificate))))
    return;
  const problem =
    "root-cert.pem: it has no root in common with what is in force; put the old and the new into it first";
  throw new BulwarkError("BW_CA_PLUG_IN_REFUSED", `the CA in ${place} is refused: ${problem}`, {
    detail: { place, problems: [problem] },
  });
}

function fingerprint({ certificate = "", key = "", chain = "", roots = "" }: CaMaterial): string {
  return hash("sha256", JSON.stringify([certificate, key, chain, roots]));
}
