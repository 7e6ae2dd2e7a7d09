import type {
  BlockedIdentity,
  CaAlert,
  CaCertificate,
  CaReport,
  IntermediateReport,
  RevokeReport,
} from "../../control/revocation/messages.ts";
import { plain, style } from "./style.ts";
import { table } from "./table.ts";

/** The certificates of a mesh on a page, what is wrong with them first. */
export function renderCa(report: CaReport, now: Date): string {
  const {
    alerts,
    authorities,
    blocked,
    certificates,
    more,
    revokedAuthorities,
    revoking,
    store,
    trustDomain,
  } = report;
  const parts = [
    `${style("bold", `CA of ${trustDomain}`)}, records in ${plain(store)}\n`,
    alerts.map(renderAlert).join(""),
    blocked.map(renderBlock).join(""),
    revoking === null ? "" : `${style("red", "BEING REVOKED")} ${plain(`the intermediate ${revoking}`)}\n`,
    revokedAuthorities
      .map(
        ({ keyId, serial, at, reason }) =>
          `${style("red", "REVOKED")} ${plain(`the intermediate ${keyId} (serial ${serial}) ${at}, ${reason}: nothing under it is accepted`)}\n`,
      )
      .join(""),
    table(
      ["AUTHORITY", "KEY ID", "ENDS"],
      authorities.map(({ role, keyId, notAfter }) => [role, keyId, left(notAfter, now)]),
    ),
    table(
      ["SERIAL", "IDENTITY", "ISSUER", "ENDS", "STATUS", "USED BY"],
      certificates.map((certificate) => [
        certificate.serial,
        certificate.identity,
        certificate.issuerKeyId.slice(0, 16),
        left(certificate.notAfter, now),
        statusOf(certificate, now),
        certificate.usedBy ?? "-",
      ]),
    ),
    more ? "there are more: --limit\n" : "",
  ];
  return parts.filter((part) => part !== "").join("\n");
}

function renderAlert({ kind, identity, serial, message }: CaAlert): string {
  const about = [identity, serial].filter((part) => part !== null).join(" ");
  return `${style("red", `ALERT ${kind}`)} ${plain(about === "" ? message : `${about}: ${message}`)}\n`;
}

function renderBlock({ identity, since, by }: BlockedIdentity): string {
  return `${style("red", "BLOCKED")} ${plain(`${identity} since ${since} (${by}): nothing is issued for it; bulwark ca unblock ${identity}`)}\n`;
}

/** One that ended since the control plane said so is not called valid beside its end. */
function statusOf({ status, revoked, notAfter }: CaCertificate, now: Date): string {
  if (revoked !== null) return `revoked ${revoked.at} (${revoked.reason})`;
  return secondsLeft(notAfter, now) <= 0 ? "ended" : status;
}

/** What a revocation did. */
export function renderRevocation(report: RevokeReport): string {
  const { revoked, proxies, connectionsCut, durationMs } = report;
  const lines = [
    ...revoked.map(
      ({ serial, identity, notAfter }) => `revoked ${serial} of ${identity}, would have ended ${notAfter}`,
    ),
    ...(revoked.length === 0 ? ["there was no live certificate left to revoke"] : []),
    `${connectionsCut} live connections cut; ${proxies.confirmed} of ${proxies.told} proxies confirmed in ${Math.ceil(durationMs)} ms`,
    ...(proxies.confirmed < proxies.told
      ? ["the others are told again as soon as they connect, and take no connection before"]
      : []),
    ...wayBack(report),
  ];
  return lines.map((line) => `${plain(line)}\n`).join("");
}

/** What the revocation of an intermediate did. */
export function renderIntermediate(report: IntermediateReport): string {
  const { keyId, serial, signer, renewalMs, late, proxies, connectionsCut, durationMs } = report;
  const lines = [
    report.wasRevokedBefore
      ? `the intermediate ${keyId} (serial ${serial}) was revoked before`
      : `revoked the intermediate ${keyId} (serial ${serial}); ${signer} signs`,
    `workloads had ${Math.ceil(renewalMs)} ms to renew; ${late.length === 0 ? "all have" : `not renewed: ${late.join(", ")}`}`,
    `${connectionsCut} live connections cut; ${proxies.confirmed} of ${proxies.told} proxies confirmed in ${Math.ceil(durationMs)} ms`,
  ];
  return lines.map((line) => `${plain(line)}\n`).join("");
}

function wayBack({ cutOff, blocked, workloads }: RevokeReport): readonly string[] {
  if (cutOff === null) return [];
  const who = workloads.join(", ") || "no workload runs as it";
  return blocked
    ? [
        `${cutOff} is blocked: it gets no certificate, whatever it shows (${who}), until: bulwark ca unblock ${cutOff}`,
      ]
    : [
        `${cutOff} gets no certificate with what it has (${who}); to let it back in: bulwark ca restore ${cutOff}`,
      ];
}

function left(notAfter: string, now: Date): string {
  const seconds = secondsLeft(notAfter, now);
  if (seconds <= 0) return `${notAfter} (ended)`;
  const unit =
    seconds < 120 ? `${seconds} s` : seconds < 7200 ? `${Math.round(seconds / 60)} min` : undefined;
  const hours = Math.round(seconds / 3600);
  return `${notAfter} (in ${unit ?? (hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`)})`;
}

/** Rounded up: what is not over yet has a second left. */
function secondsLeft(notAfter: string, now: Date): number {
  return Math.ceil((Date.parse(notAfter) - now.getTime()) / 1000);
}
