import type { RotationReport, WaitingProxy } from "../../control/rotation/messages.ts";
import type { RotationProgress } from "../../control/rotation/watch-rotation.ts";
import type { Rotation, RotationKind, RotationPhase } from "../../identity/rotation/rotation.ts";
import { plain, style } from "./style.ts";

/** A line on a rotation's progress, with its newline. */
export function renderProgress(progress: RotationProgress): string {
  return `${plain(textOf(progress))}\n`;
}

function textOf(progress: RotationProgress): string {
  switch (progress.event) {
    case "begun": {
      const { rotation, joined, proxies } = progress;
      const { kind, from, to, by, startedAt } = rotation;
      const what = `${kind} ${short(from)} → ${short(to)}, ${proxies} proxies`;
      return joined
        ? `joined the rotation that ${by} began at ${startedAt}: ${what}; phase ${rotation.phase}`
        : what;
    }
    case "phase-ended":
      return `✔ ${ENDED[progress.phase]}  ${seconds(progress.durationMs)}`;
    case "waiting":
      return `… ${progress.phase}: waiting for ${namesOf(progress.waitingFor)}`;
    case "overlap":
      return `… every proxy has a certificate of the new signer; the old is trusted until ${progress.until} all the same`;
    case "problem":
      return `✘ the next step failed, and is tried again: ${progress.message}`;
    case "control-away":
      return "… the control plane is away; the rotation goes on when it is back";
    case "done": {
      const { kind, passedOver } = progress.rotation;
      const without = passedOver.length === 0 ? "" : `; went on without ${passedOver.join(", ")}`;
      return `the ${kind} is replaced, in ${seconds(progress.durationMs)}; the old keys are deleted${without}`;
    }
  }
}

const ENDED: Readonly<Record<RotationPhase, string>> = {
  "both-trusted": "every proxy trusts both roots",
  "new-signs": "every proxy has a certificate of the new signer",
  "old-removed": "no proxy trusts the old any more",
};

/** What is under way, or cannot go on, in a line; empty when nothing is. */
export function renderRotation({ rotation, proxies, waitingFor, problem }: RotationReport): string {
  if (rotation === null)
    return problem === null ? "" : `${style("yellow", plain(`the CA's keys: ${problem}`))}\n`;
  const acknowledged = `${proxies - waitingFor.length} of ${proxies} proxies have acknowledged`;
  const waiting = waitingFor.length === 0 ? "" : `; waiting for ${namesOf(waitingFor)}`;
  const failed = problem === null ? "" : `; the next step failed: ${problem}`;
  return style(
    "yellow",
    `${plain(`${title(rotation)} is being replaced, phase ${rotation.phase} since ${rotation.phaseSince}: ${acknowledged}${waiting}${failed}`)}`,
  ).concat("\n");
}

function title({ kind, from }: Pick<Rotation, "from"> & { readonly kind: RotationKind }): string {
  return `the CA's ${kind} ${short(from)}`;
}

const MAX_NAMED = 10;

export function namesOf(waitingFor: readonly WaitingProxy[]): string {
  const named = waitingFor.slice(0, MAX_NAMED).map(({ pod, why }) => `${pod} (${why})`);
  const rest = waitingFor.length - named.length;
  return `${named.join(", ")}${rest === 0 ? "" : ` and ${rest} more`}`;
}

function short(keyId: string): string {
  return keyId.slice(0, 16);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
