// A bill of materials in CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/). By hand, because cargo-cyclonedx writes one for
// each crate of a workspace, tests' dependencies included, and none for what is shipped together.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../front-door/build.mjs';

/** The checksum of each crate, as Cargo.lock has it. */
function checksums() {
  const lock = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8');
  const entries = lock.matchAll(/name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "([0-9a-f]{64})"/g);
  return new Map([...entries].map(([, name, version, checksum]) => [`${name} ${version}`, checksum]));
}

export function bill(crates, others) {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const checksumOf = checksums();
  const components = crates.map(({ name, version, licence }) => {
    const purl = `pkg:cargo/${name}@${version}`;
    return {
      type: 'library', 'bom-ref': purl, name, version, purl,
      licenses: [{ expression: licence.replaceAll('/', ' OR ') }],
      hashes: [{ alg: 'SHA-256', content: checksumOf.get(`${name} ${version}`) }],
    };
  });
  const foreign = others.map(({ name, version, licence }) => ({ type: 'library', 'bom-ref': name, name, version, licenses: [{ expression: licence }] }));
  const product = 'pkg:npm/universal-ai-tools@' + version;
  const document = {
    bomFormat: 'CycloneDX', specVersion: '1.5', version: 1,
    metadata: { component: { type: 'application', 'bom-ref': product, name: 'universal-ai-tools', version, purl: product } },
    components: [...components, ...foreign],
    dependencies: [{ ref: product, dependsOn: [...components, ...foreign].map(component => component['bom-ref']) }],
  };
  // The same materials are the same bill: no time, and a number out of what is in it.
  const digest = createHash('sha256').update(JSON.stringify(document)).digest('hex');
  const uuid = [digest.slice(0, 8), digest.slice(8, 12), `5${digest.slice(13, 16)}`, `8${digest.slice(17, 20)}`, digest.slice(20, 32)].join('-');
  return { $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json', ...document, serialNumber: `urn:uuid:${uuid}` };
}
