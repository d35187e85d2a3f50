/** Redis's glob patterns (`*`, `?`, `[a-c]`, `[^a]`, `\`): those of Node's `path.matchesGlob` stop at slashes. */

/** Takes every special character of a glob its meaning. */
export function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\^]/g, '\\$&');
}

/** A regular expression that matches what the glob does. */
export function globToRegExp(glob: string): RegExp {
  let source = '';
  for (let at = 0; at < glob.length; at += 1) {
    const character = glob[at] as string;
    if (character === '*') source += '[^]*';
    else if (character === '?') source += '[^]';
    else if (character === '\\' && at + 1 < glob.length) source += literal(glob[++at] as string);
    else if (character === '[' && glob.indexOf(']', at + 1) !== -1) {
      const end = glob.indexOf(']', at + 1);
      const inside = glob.slice(at + 1, end);
      const negated = inside.startsWith('^');
      source += `[${negated ? '^' : ''}${(negated ? inside.slice(1) : inside).replace(/[\\\]^]/g, '\\$&')}]`;
      at = end;
    } else source += literal(character);
  }
  return new RegExp(`^${source}$`, 'u');
}

function literal(character: string): string {
  return /[\^$\\.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}
