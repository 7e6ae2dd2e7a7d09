import type { Attack } from "./attack.ts";
import { bypassSidecar } from "./e1-bypass-sidecar.ts";
import { otherIdentitysHost } from "./e2-other-identitys-host.ts";
import { unmonitored } from "./e3-unmonitored.ts";
import { impersonate } from "./e4-impersonate.ts";
import { sniSpoof } from "./e6-sni.ts";
import { plaintext } from "./m1-plaintext.ts";
import { downgrade } from "./m2-downgrade.ts";
import { impostor } from "./m3-impostor.ts";
import { headerInjection } from "./m4-headers.ts";
import { pathTricks } from "./m6-paths.ts";
import { smuggling } from "./m7-smuggling.ts";
import { pastTheWaypoint } from "./m9-past-the-waypoint.ts";
import { proxyPorts } from "./m10-proxy-ports.ts";
import { captureGaps } from "./m12-capture-gaps.ts";
import { denial } from "./m13-denial.ts";

/** Every attack, in the order in which they are run and told. */
export const ATTACKS: readonly Attack[] = [
  bypassSidecar,
  otherIdentitysHost,
  unmonitored,
  impersonate,
  sniSpoof,
  plaintext,
  downgrade,
  impostor,
  headerInjection,
  pathTricks,
  smuggling,
  pastTheWaypoint,
  proxyPorts,
  captureGaps,
  denial,
];
