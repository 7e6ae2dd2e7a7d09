/** A framework, its controls that a mesh's configuration bears on, and what each rests on. */
import { type ClaimId, isClaimId } from "./claim-statements.ts";

export interface Control {
  /** As the framework numbers it. */
  readonly id: string;
  /** In our own words. */
  readonly title: string;
  /** None where files show nothing of it. */
  readonly claims: readonly ClaimId[];
  /** What the files of a mesh cannot show of it. */
  readonly beyond: string;
  /** Whether files can show all that it asks: where they cannot it may fail by them, and never passes. */
  readonly isWhole: boolean;
}

export interface Framework {
  /** As `--framework` takes it: `pci-dss`. */
  readonly name: string;
  /** What stands before a control where it is named alone: `PCI-DSS 4.0` (which 4.0.1 numbers alike). */
  readonly label: string;
  readonly title: string;
  /** What a reader has to know before he believes the table. */
  readonly scope: string;
  readonly controls: readonly Control[];
}

/** `id | title | claims | what files cannot show`, a line each; and `| whole` where the claims come to all that the control asks. */
export function controlsOf(table: string): readonly Control[] {
  return table
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", title = "", claims = "", beyond = "", extent] = line
        .split("|")
        .map((cell) => cell.trim());
      return { id, title, claims: claimsIn(claims), beyond, isWhole: extent === "whole" };
    });
}

function claimsIn(text: string): readonly ClaimId[] {
  return text
    .split(/\s+/)
    .filter((one) => one !== "")
    .map((one) => {
      if (!isClaimId(one)) throw new Error(`BUG: no claim ${one}`);
      return one;
    });
}
