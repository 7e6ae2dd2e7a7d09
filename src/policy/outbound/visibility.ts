/** Which namespaces see a resource (`exportTo`): `*` all, `.` its own, `~` none, or their names. */

/** What `exportTo` says, or the mesh's default where it says nothing, or everyone where that says nothing either. */
export function effectiveExportTo(
  declared: readonly string[] | undefined,
  meshDefault: readonly string[],
): readonly string[] {
  if (declared !== undefined && declared.length > 0) return declared;
  return meshDefault.length > 0 ? meshDefault : ["*"];
}

/** Whether `client` sees what `owner` exports so. `*` wins over everything, and `~` over names. */
export function isVisible(exportTo: readonly string[], owner: string, client: string): boolean {
  if (exportTo.includes("*")) return true;
  if (exportTo.includes("~")) return false;
  return (exportTo.includes(".") && owner === client) || exportTo.includes(client);
}
