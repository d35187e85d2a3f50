// Cases of both backends side by side, for people. Pure.

const HEAD = ['service', 'cases of both', 'agree', 'native alone', 'TypeScript alone', 'compared in one', 'skipped', 'failed'];

/** @param services What `compared` gives. */
export function table(services) {
  const rows = services.map(row);
  const sum = HEAD.slice(1).map((_, at) => rows.reduce((sum, row) => sum + row[at + 1], 0));
  const lines = [HEAD, ...rows, ['in all', ...sum]].map(cells => cells.map(String));
  const widths = HEAD.map((_, at) => Math.max(...lines.map(cells => cells[at].length)));
  const shown = lines.map(cells => cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join('  '));
  return `${shown.join('\n')}

native alone, TypeScript alone: cases of what the other backend does not have (test/contract/support.json), or of how it says so.
compared in one: recorded vectors, and cases that ask both backends themselves.`;
}

function row({ service, cases, alone, broken }) {
  const both = cases.filter(({ native, typescript }) => native !== undefined && typescript !== undefined);
  const agree = both.filter(({ native, typescript }) => native === 'passed' && typescript === 'passed');
  const of = backend => cases.filter(found => found[backend] !== undefined && found[backend === 'native' ? 'typescript' : 'native'] === undefined).length;
  const statuses = [...alone.map(({ status }) => [status]), ...cases.map(({ native, typescript }) => [native, typescript])];
  const count = status => statuses.filter(found => found.includes(status)).length;
  return [service, both.length, agree.length, of('native'), of('typescript'), alone.length, count('skipped'), count('failed') + broken.length];
}
