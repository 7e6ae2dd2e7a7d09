/** One dimension of a space of requests: what it is about, and its cells. */

import type { JwtLocations } from "../../policy/jwt/jwt-policy.ts";
import type { AddressCells } from "./address-cells.ts";
import type { Aspect } from "./aspect.ts";
import type { TextCells } from "./text-division.ts";
import type { TextLanguage } from "./text-language.ts";

interface Common {
  readonly id: string;
  /** What people call its values, in the plural. */
  readonly title: string;
  /** How many cells there are. */
  readonly size: number;
}

export interface PortDimension extends Common {
  readonly kind: "port";
  /** One a cell; the last stands for all others. */
  readonly ports: readonly number[];
}

export interface ProtocolDimension extends Common {
  readonly kind: "protocol";
}

export interface AddressDimension extends Common {
  readonly kind: "address";
  readonly addresses: AddressCells;
}

/** `text`: one a cell. `field` and `identity`: cell 0 is its absence, and the texts' cells follow. */
export interface TextDimension extends Common {
  readonly kind: "text" | "field" | "identity";
  readonly texts: TextCells;
  readonly languages: readonly TextLanguage[];
}

/** Whether, of the texts that a request has under a name, one is in this cell: 1, else 0. */
export interface MemberDimension extends Common {
  readonly kind: "member";
  readonly aspect: Aspect;
  readonly texts: TextCells;
  readonly languages: readonly TextLanguage[];
  readonly cell: number;
}

/** Cell 0: no token. Issuers' good tokens follow; then, where `unverified` says where it stands, one that does not verify. */
export interface TokenDimension extends Common {
  readonly kind: "token";
  readonly issuers: readonly string[];
  /** Null where nobody tells such a token from others: all refuse it, or none looks at it. */
  readonly unverified: JwtLocations | null;
}

export type Dimension =
  | PortDimension
  | ProtocolDimension
  | AddressDimension
  | TextDimension
  | MemberDimension
  | TokenDimension;

/** Cells of the protocol dimension. */
export const HTTP = 0;
export const TCP = 1;

/** Cell of what is not there. */
export const ABSENT = 0;

/** The cell of a token that does not verify; undefined where the dimension has none. */
export function unverifiedCell(dimension: Dimension | undefined): number | undefined {
  return dimension?.kind === "token" && dimension.unverified !== null
    ? dimension.issuers.length + 1
    : undefined;
}
