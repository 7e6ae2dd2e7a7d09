/** Server names that lie: outside, inside, none, two, cut up, encrypted; and Host headers that do not fit. */
import type { Attack, AttackResult, AttackStep } from "./attack.ts";
import {
  clientHello,
  inPackets,
  inRecords,
  withEncryptedHello,
  withServerNames,
  withTwoNameExtensions,
} from "./client-hello-bytes.ts";
import { type Attempt, conclude, notPossible, type Promised } from "./conclude.ts";
import { callHost, REAL_HOSTS } from "./e2-other-identitys-host.ts";
import { controlThroughGateway, requestThroughGateway, sendThroughGateway } from "./egress-attempt.ts";
import { type EgressRoute, egressRoutes } from "./egress-targets.ts";
import type { MeshUnderAttack } from "./mesh-under-attack.ts";
import { verdictWords } from "./promise.ts";

const ID = "e6";

/** A host that a workload may reach, and one that it may not, by the same gateway. */
interface Pair {
  readonly own: EgressRoute;
  readonly other: EgressRoute;
}

interface Variant {
  readonly tried: string;
  readonly outerName: string;
  readonly inside: () => Promise<readonly Buffer[]>;
  readonly promised: Promised;
}

export const sniSpoof: Attack = {
  id: ID,
  title: "SNI spoof, domain fronting, fragmented and encrypted ClientHello",
  rows: ["E6"],
  needs: "an egress gateway, with a host that a workload may reach through it and one that it may not",
  plan(mesh) {
    return pairs(mesh).flatMap((pair) => [
      ...variants(pair).map((variant) => gatewayStep(mesh, pair, variant)),
      sidecarStep(mesh, pair),
      hostHeaderStep(mesh, pair),
    ]);
  },
};

function pairs(mesh: MeshUnderAttack): readonly Pair[] {
  const routes = egressRoutes(mesh);
  return routes
    .filter(({ verdict }) => verdict.allowed)
    .flatMap((own) => {
      const other = routes.find(
        (route) => route.source === own.source && route.gateway === own.gateway && !route.verdict.allowed,
      );
      return other === undefined ? [] : [{ own, other }];
    });
}

function variants({ own, other }: Pair): readonly Variant[] {
  const refused: Promised = { allowed: false, words: `${other.host}: ${verdictWords(other.verdict)}` };
  const unreadable: Promised = {
    allowed: false,
    words: "refused: whose name cannot be read for certain does not pass",
  };
  const [good, bad] = [own.host, other.host];
  const hidden = Buffer.from(`${good}\0.${bad}`, "latin1");
  return [
    variant("allowed name outside, another inside", own, refused, async () => [await clientHello(bad)]),
    {
      ...variant("another name outside, allowed inside", own, refused, async () => [await clientHello(good)]),
      outerName: bad,
    },
    variant("allowed name outside, unregistered inside", own, refusedName("www.example.org"), async () => [
      await clientHello("www.example.org"),
    ]),
    variant("no name inside", own, unreadable, async () => [await clientHello("")]),
    { ...variant("no name outside", own, unreadable, async () => [await clientHello(good)]), outerName: "" },
    variant("two names in one extension inside", own, unreadable, async () => [
      withServerNames(await clientHello(good), good, bad),
    ]),
    variant("two server_name extensions inside", own, unreadable, async () => [
      withTwoNameExtensions(await clientHello(good), good, bad),
    ]),
    variant("a NUL in the name inside", own, unreadable, async () => [
      withServerNames(await clientHello(good), hidden),
    ]),
    variant("another name inside, in capitals", own, refused, async () => [
      withServerNames(await clientHello(good), bad.toUpperCase()),
    ]),
    variant("another name inside, with a final dot", own, refused, async () => [
      withServerNames(await clientHello(good), `${bad}.`),
    ]),
    variant("another name inside, cut into records of 7 bytes", own, refused, async () => [
      inRecords(await clientHello(bad), 7),
    ]),
    variant("another name inside, cut into records and packets", own, refused, async () =>
      inPackets(inRecords(await clientHello(bad), 200), 50),
    ),
    variant("encrypted ClientHello inside", own, unreadable, async () => [
      withEncryptedHello(await clientHello(good)),
    ]),
    variant("no TLS inside", own, plainInside(own), async () => [
      Buffer.from(`GET / HTTP/1.1\r\nhost: ${bad}\r\nconnection: close\r\n\r\n`, "latin1"),
    ]),
  ];
}

function variant(
  tried: string,
  own: EgressRoute,
  promised: Promised,
  inside: () => Promise<readonly Buffer[]>,
): Variant {
  return { tried, outerName: own.outerName, promised, inside };
}

function refusedName(name: string): Promised {
  return { allowed: false, words: `refused: no resource names ${name}` };
}

/** The way for opaque bytes goes to the outer name's host and to no other: that much is allowed. */
function plainInside({ host, gateway }: EgressRoute): Promised {
  return {
    allowed: true,
    words: `allowed: ${gateway.workload} routes TCP to ${host}, whatever is inside`,
    finding: `${gateway.workload} forwards bytes that are no TLS to ${host}: they leave in clear`,
    fix: "let the gateway originate the TLS to it (a DestinationRule with mode SIMPLE), so that nothing leaves in clear",
  };
}

/** The control is the same bytes, cut the same way, with the allowed name: a fragmented hello as such has to pass. */
function gatewayStep(
  mesh: MeshUnderAttack,
  { own, other }: Pair,
  { tried, outerName, inside, promised }: Variant,
): AttackStep {
  const step = {
    tried,
    from: `${own.source.workload} (its certificate)`,
    target: `${other.host} under ${own.host} by ${own.gateway.workload}`,
  };
  return {
    ...step,
    run: async () => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const credentials = await mesh.identityOf(own.source);
      const control = tried.includes("cut into")
        ? await fragmentedControl(own, credentials)
        : await controlThroughGateway(own, credentials);
      const attempt = await sendThroughGateway({
        route: own,
        credentials,
        outerName,
        inside: await inside(),
      });
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

async function fragmentedControl(
  own: EgressRoute,
  credentials: Parameters<typeof controlThroughGateway>[1],
): Promise<Attempt> {
  const inside = inPackets(inRecords(await clientHello(own.host), 7), 50);
  const attempt = await sendThroughGateway({ route: own, credentials, outerName: own.outerName, inside });
  return { ...attempt, happened: `${own.host}, cut the same way: ${attempt.happened}` };
}

/** The application asks its sidecar for one host and names another in its TLS. */
function sidecarStep(mesh: MeshUnderAttack, { own, other }: Pair): AttackStep {
  const step = {
    tried: "CONNECT to the allowed host, another name in the TLS",
    from: `${own.source.workload} (its application)`,
    target: `${other.host} under ${own.host}`,
  };
  return {
    ...step,
    run: async () => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const promised = { allowed: false, words: `${other.host}: ${verdictWords(other.verdict)}` };
      const control = await callHost(mesh, own);
      const attempt = await callHost(mesh, own, other.host);
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}

/** Domain fronting: TLS to the allowed host, another Host inside it, where only the two ends can see. */
function hostHeaderStep(mesh: MeshUnderAttack, { own, other }: Pair): AttackStep {
  const step = {
    tried: "domain fronting: allowed name in the TLS, another Host inside it",
    from: `${own.source.workload} (its certificate)`,
    target: `${other.host} under ${own.host} by ${own.gateway.workload}`,
  };
  return {
    ...step,
    run: async (): Promise<readonly AttackResult[]> => {
      if (mesh.standInCaPem === undefined) return [notPossible(ID, step, REAL_HOSTS)];
      const credentials = await mesh.identityOf(own.source);
      const send = { route: own, credentials, outerName: own.outerName, innerName: own.host };
      const control = await requestThroughGateway(send);
      const attempt = await requestThroughGateway({ ...send, hostHeader: other.host });
      const promised: Promised = {
        allowed: true,
        words: `allowed: TLS to ${own.host} passes unread`,
        finding: `whoever serves ${own.host} decides what a Host of ${other.host} means: the gateway cannot see it`,
        fix: "let the gateway originate the TLS (plain HTTP to it), so that Host is checked too; or allow only hosts that do not front others",
      };
      return [await conclude(mesh, { attack: ID, step, promised, control, attempt })];
    },
  };
}
