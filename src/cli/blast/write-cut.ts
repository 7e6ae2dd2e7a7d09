/** The changes of a cut as files to apply. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { changeYaml, lastOfEach } from "../../analysis/blast/cut/change.ts";
import type { Cut } from "../../analysis/blast/cut/propose-cut.ts";

/** In their order, so that what is applied last counts. */
export function writeCut(folder: string, { steps }: Cut): void {
  mkdirSync(folder, { recursive: true });
  for (const [at, change] of lastOfEach(steps.flatMap(({ changes }) => changes)).entries()) {
    const { kind, metadata } = change.document as {
      kind: string;
      metadata: { name: string; namespace?: string };
    };
    const words = [
      String(at + 1).padStart(2, "0"),
      kind.toLowerCase(),
      metadata.namespace ?? "",
      metadata.name,
    ];
    const name = words
      .filter((word) => word !== "")
      .join("-")
      .slice(0, 200)
      .replace(/[^a-z0-9.-]/g, "-");
    writeFileSync(join(folder, `${name}.yaml`), changeYaml(change), { flag: "wx" });
  }
}
