/** The words, those first that most resemble what was asked for; of equals in alphabetical order. */
export function nearestFirst(asked: string, known: Iterable<string>): string[] {
  const words = [...new Set(known)].sort().map(word => ({ word, likeness: jaroWinkler(asked, word) }));
  return words.sort((one, other) => other.likeness - one.likeness).map(({ word }) => word);
}

/** Jaro's similarity, and more for words that begin alike, 0 to 1: as `strsim` has it, so that both backends name words in the same order. */
function jaroWinkler(one: string, other: string): number {
  const [a, b] = [[...one], [...other]];
  const similarity = jaro(a, b);
  let prefix = 0;
  while (prefix < Math.min(4, a.length, b.length) && a[prefix] === b[prefix]) prefix += 1;
  return similarity > 0.7 ? similarity + 0.1 * prefix * (1 - similarity) : similarity;
}

function jaro(a: string[], b: string[]): number {
  if (a.length === 0 && b.length === 0) return 1;
  if (a.length === 0 || b.length === 0) return 0;
  const range = Math.max(0, Math.floor(Math.max(a.length, b.length) / 2) - 1);
  const [inA, inB] = [a.map(() => false), b.map(() => false)];
  let matches = 0;
  a.forEach((letter, at) => {
    for (let there = Math.max(0, at - range); there < Math.min(b.length, at + range + 1); there += 1) {
      if (b[there] !== letter || inB[there] === true) continue;
      inA[at] = inB[there] = true;
      matches += 1;
      break;
    }
  });
  if (matches === 0) return 0;
  const [ofA, ofB] = [a.filter((_, at) => inA[at]), b.filter((_, at) => inB[at])];
  const transpositions = Math.floor(ofA.filter((letter, at) => letter !== ofB[at]).length / 2);
  return (matches / a.length + matches / b.length + (matches - transpositions) / matches) / 3;
}
