import type { Attack } from "./attack.ts";
import { otherIdentitysHost } from "./e2-other-identitys-host.ts";
import { impersonate } from "./e4-impersonate.ts";
import { sniSpoof } from "./e6-sni.ts";
import { plaintext } from "./m1-plaintext.ts";
import { headerInjection } from "./m4-headers.ts";
import { pathTricks } from "./m6-paths.ts";

/** Every attack, in the order in which they are run and told. */
export const ATTACKS: readonly Attack[] = [
  otherIdentitysHost,
  impersonate,
  sniSpoof,
  plaintext,
  headerInjection,
  pathTricks,
];
