/** Looks until it is so; the test's own time limit ends what never comes. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  // The event loop turns between two looks, so that what is waited for can happen.
  while (!await isSo()) await new Promise(resolve => setImmediate(resolve));
}
