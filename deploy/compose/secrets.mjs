// Makes the secrets of compose.yaml, once: random passwords for Redis and Grafana.
//
//   node deploy/compose/secrets.mjs [FOLDER]     the folder is `secrets` beside this file unless it is named
//
// The provider's key is yours to write into FOLDER/provider_key. What is there already stays as it is.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), 'secrets');
// The folder keeps other users out; the files in it are read inside containers by users who have other numbers there.
mkdirSync(folder, { recursive: true, mode: 0o700 });

const random = () => randomBytes(32).toString('base64url');
const made = [];

function secret(files) {
  const names = Object.keys(files);
  if (names.some(name => existsSync(join(folder, name)))) return;
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o644, flag: 'wx' });
  made.push(...names);
}

const redis = random();
secret({ redis_conf: `requirepass ${redis}\n`, redis_url: `redis://:${redis}@redis:6379` });
secret({ grafana_password: random() });
secret({ provider_key: '' });

console.log(made.length === 0 ? `${folder}: everything is there` : `${folder}: made ${made.join(', ')}`);
if (made.includes('provider_key')) console.log(`write the provider's key into ${join(folder, 'provider_key')}`);
