import { hash, X509Certificate } from "node:crypto";
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

/**
 * Proxies take the new one over one by one, and meanwhile each side of a connection must trust the other: what is issued now by who has not heard of the change, and
 * what was issued before by who has. So a root comes in one step, signs in the next, and goes in a third.
 */
function refuseSevered({ place }: CaMaterial, before: CaState, after: CaState): void {
  const problems = [
    ...(endsIn(after, before.roots)
      ? []
      : ["ca-cert.pem: its root is not in force yet; add it to root-cert.pem in a step of its own"]),
    ...(endsIn(before, after.roots)
      ? []
      : ["root-cert.pem: the root of what signed until now is missing; leave it until the new has signed"]),
  ];
  const [first] = problems;
  if (first === undefined) return;
  throw new BulwarkError("BW_CA_PLUG_IN_REFUSED", `the CA in ${place} is refused: ${first}`, {
    detail: { place, problems },
  });
}

function endsIn({ signer, chain }: CaState, roots: CaState["roots"]): boolean {
  const last = new X509Certificate(chain.at(-1) ?? signer.certificate);
  return roots.some(({ certificate }) => {
    const root = new X509Certificate(certificate);
    return last.raw.equals(certificate) || (last.checkIssued(root) && last.verify(root.publicKey));
  });
}

function fingerprint({ certificate = "", key = "", chain = "", roots = "" }: CaMaterial): string {
  return hash("sha256", JSON.stringify([certificate, key, chain, roots]));
}
