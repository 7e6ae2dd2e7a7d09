/** All texts of a dimension in cells: the question, and the answer however it was found. */
import type { TextLanguage } from "./text-language.ts";

export interface TextCell {
  /** The shortest text of the cell, of several the first in the alphabet's order. */
  readonly sample: string;
  /** Indices of the languages that take the cell's texts. */
  readonly languages: ReadonlySet<number>;
  /** Set where the cell is this one text. */
  readonly only?: string;
}

export interface TextQuestion {
  /** What texts there are: those that every one of these takes, and none of `never`. */
  readonly universe: readonly TextLanguage[];
  readonly never: readonly TextLanguage[];
  readonly languages: readonly TextLanguage[];
  /** Single texts: each becomes a cell of its own, unless there is no such text. */
  readonly exact: ReadonlySet<string>;
  /** In which characters samples are preferred; other characters that patterns name are added. */
  readonly alphabet: string;
}

export interface TextCells {
  /** Those of single texts behind the others. */
  readonly cells: readonly TextCell[];
  /** The cell of a text; undefined where there is no such text. */
  readonly cellOf: (text: string) => number | undefined;
}

/**
 * @param samples one of each cell, but for single texts.
 * @param languagesOf indices in ascending order; undefined where there is no such text.
 */
export function divisionOf(
  exact: ReadonlySet<string>,
  samples: readonly string[],
  languagesOf: (text: string) => ReadonlySet<number> | undefined,
): TextCells {
  const cellsOf = (texts: Iterable<string>, isOnly: boolean): readonly TextCell[] =>
    [...texts].flatMap((sample) => {
      const languages = languagesOf(sample);
      return languages === undefined ? [] : [{ sample, languages, ...(isOnly ? { only: sample } : {}) }];
    });
  const [shared, single] = [cellsOf(samples, false), cellsOf(exact, true)];
  const byText = new Map(single.map(({ sample }, at) => [sample, shared.length + at]));
  const byLanguages = new Map(shared.map(({ languages }, at) => [keyOf(languages), at]));
  return {
    cells: [...shared, ...single],
    cellOf: (text) => {
      const known = byText.get(text);
      const languages = known === undefined ? languagesOf(text) : undefined;
      return known ?? (languages === undefined ? undefined : byLanguages.get(keyOf(languages)));
    },
  };
}

function keyOf(languages: ReadonlySet<number>): string {
  return [...languages].join();
}
