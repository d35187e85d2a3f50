/** Words that share nothing still score about 0.3; from 0.5 on people recognise the word that they meant. */
const RESEMBLES = 0.5;

/** At most `limit` of the known words that resemble `word`, the closest first. */
export function nearestFew(word: string, known: readonly string[], limit: number): string[] {
  const typed = word.toLowerCase();
  return known
    .map(candidate => ({ candidate, likeness: likeness(typed, candidate.toLowerCase()) }))
    .filter(one => one.likeness >= RESEMBLES)
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, limit)
    .map(one => one.candidate);
}

function likeness(typed: string, candidate: string): number {
  const share = 1 - distance(typed, candidate) / Math.max(typed.length, candidate.length, 1);
  // A word that begins with what was typed is meant too.
  return typed !== '' && candidate.startsWith(typed) ? Math.max(share, 0.9) : share;
}

/** Optimal string alignment: Levenshtein's distance in which two swapped letters are one mistake. */
function distance(a: string, b: string): number {
  let [before, previous] = [[] as number[], Array.from({ length: b.length + 1 }, (_, index) => index)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((previous[j] as number) + 1, (row[j - 1] as number) + 1, (previous[j - 1] as number) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (before[j - 2] as number) + 1);
      row.push(cost);
    }
    [before, previous] = [previous, row];
  }
  return previous[b.length] as number;
}
