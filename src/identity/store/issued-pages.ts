import type { IssuedCertificateRecord, IssuedFilter } from "./ca-store.ts";

/** Part of the answer to `issued`, newest first. */
export interface IssuedPage {
  readonly records: readonly IssuedCertificateRecord[];
  /** Position of the last of them in the store: the next page lies before it. */
  readonly lastId: number;
}

/** One page of some 300 B a record is read in a few milliseconds, between which others have their turn. */
const PAGE_ROWS = 500;

/** Walks the pages of a store; what is recorded meanwhile is not among them. */
export async function* issuedPages(
  filter: IssuedFilter,
  page: (filter: IssuedFilter, beforeId: number | undefined, rows: number) => Promise<IssuedPage>,
): AsyncGenerator<IssuedCertificateRecord> {
  let left = filter.limit ?? Number.POSITIVE_INFINITY;
  let beforeId: number | undefined;
  while (left > 0) {
    const rows = Math.min(PAGE_ROWS, left);
    const { records, lastId } = await page(filter, beforeId, rows);
    yield* records;
    if (records.length < rows) return;
    left -= records.length;
    beforeId = lastId;
  }
}
