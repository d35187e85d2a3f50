// npm run check:image: takes the steps of the Dockerfile without a container engine, which not every machine has: the base is a
// Debian by debootstrap, the steps of the last stage run in it by chroot, and what comes out is started as it would be: as
// its user, without rights, on a root file system that nobody can write, in a network of its own.
//
// Of the build stage only the last step is taken, on the programs that are built here: compiling is what every other
// command does already. Needs Linux, root, and Debian's mirrors for the base.

import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { built, ROOT } from '../../scripts/front-door/build.mjs';
import { door, inOrder, Stop } from '../../scripts/front-door/terminal.mjs';

const CACHE = join(ROOT, '.cache', 'image');
const WORK = mkdtempSync(join(tmpdir(), 'uat-image-'));
const ROOTFS = join(WORK, 'rootfs');
const OUT = join(WORK, 'out');

/** The instructions of the stages, continued lines joined. */
function stages() {
  const text = readFileSync(join(ROOT, 'deploy', 'image', 'Dockerfile'), 'utf8').replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n/g, ' ');
  const all = [];
  for (const line of text.split('\n').filter(line => line.trim() !== '')) {
    const [, word, rest] = line.match(/^(\w+)\s+(.*)$/);
    if (word === 'FROM') all.push({ from: rest.split(' ')[0], steps: [] });
    else all.at(-1).steps.push({ word, rest: rest.trim() });
  }
  return all;
}

const [build, image] = stages();
/** What the last stage says of how it is started. */
const settings = { env: {}, user: '0:0', workdir: '/' };

await door('check:image', async () => {
  if (process.getuid() !== 0) throw new Stop('it needs root, for chroot and namespaces');
  try {
    await inOrder([
      { title: `${image.from}, by debootstrap`, run: base },
      { title: 'the last step of the build stage', run: assemble },
      ...image.steps.map(step => ({ title: `${step.word} ${step.rest.replaceAll(/\s+/g, ' ').slice(0, 90)}`, run: () => take(step) })),
      { title: 'started as its user, on a read-only root, in a network of its own; healthy; ended by SIGTERM', run: start },
    ]);
  } finally {
    rmSync(WORK, { recursive: true, force: true });
  }
});

function ran(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  if (error !== undefined) throw new Stop(`${command} could not be started: ${error.message}`);
  if (status !== 0) throw new Stop(`${command} ${args.join(' ').slice(0, 200)} ended with ${status}\n${stdout.slice(-2000)}${stderr.slice(-2000)}`);
  return stdout;
}

/** The base, made once and kept as an archive. */
function base() {
  const [, suite] = image.from.match(/^debian:(\w+)-slim$/) ?? [];
  if (suite === undefined) throw new Stop(`expected FROM debian:SUITE-slim, got ${image.from}`);
  const archive = join(CACHE, `${suite}.tar`);
  mkdirSync(CACHE, { recursive: true });
  if (!existsSync(archive)) {
    const made = join(WORK, 'base');
    const { program, env } = debootstrap();
    ran(program, ['--variant=minbase', suite, made], { env: { ...process.env, ...env } });
    // As the slim images leave them out.
    for (const folder of ['usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache/apt']) rmSync(join(made, folder), { recursive: true, force: true });
    mkdirSync(join(made, 'var/cache/apt/archives/partial'), { recursive: true });
    ran('tar', ['-C', made, '-cf', archive, '--one-file-system', '.']);
    rmSync(made, { recursive: true, force: true });
  }
  mkdirSync(ROOTFS);
  ran('tar', ['-C', ROOTFS, '-xf', archive]);
  return archive.replace(`${ROOT}/`, '');
}

/** Debian's debootstrap, out of its package where it is not installed. */
function debootstrap() {
  if (spawnSync('debootstrap', ['--version'], { stdio: 'ignore' }).status === 0) return { program: 'debootstrap', env: {} };
  const folder = join(CACHE, 'debootstrap');
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, 'usr'))) {
    ran('apt-get', ['download', 'debootstrap'], { cwd: folder });
    ran('dpkg-deb', ['-x', readdirSync(folder).find(name => name.endsWith('.deb')), '.'], { cwd: folder });
  }
  return { program: join(folder, 'usr', 'sbin', 'debootstrap'), env: { DEBOOTSTRAP_DIR: join(folder, 'usr', 'share', 'debootstrap') } };
}

function assemble() {
  const { rest } = build.steps.filter(({ word }) => word === 'RUN').at(-1);
  if (!rest.endsWith('&& deploy/image/assemble target/release /out')) throw new Stop(`the last step of the build stage is another one: ${rest}`);
  if (!existsSync(built('uat'))) throw new Stop('uat is not built: cargo build --release');
  ran('deploy/image/assemble', [join(built('uat'), '..'), OUT], { cwd: ROOT });
  return `${ran('du', ['-sh', OUT]).split('\t')[0]} in ${ran('find', [OUT, '-type', 'f']).trim().split('\n').length} files`;
}

function take({ word, rest }) {
  switch (word) {
    case 'RUN': return run(rest);
    case 'COPY': return copy(rest);
    case 'ENV': return void Object.assign(settings.env, Object.fromEntries(rest.split(/\s+/).map(pair => pair.split('='))));
    case 'WORKDIR': settings.workdir = rest; return void mkdirSync(join(ROOTFS, rest), { recursive: true });
    case 'USER': return void (settings.user = rest);
    case 'HEALTHCHECK': return void (settings.health = JSON.parse(rest.slice(rest.indexOf('['))));
    case 'ENTRYPOINT': return void (settings.entrypoint = JSON.parse(rest));
    case 'CMD': return void (settings.command = JSON.parse(rest));
    case 'EXPOSE': return undefined;
    default: throw new Stop(`an instruction that this does not know: ${word}`);
  }
}

function run(command) {
  copyFileSync('/etc/resolv.conf', join(ROOTFS, 'etc', 'resolv.conf'));
  const inside = ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c "$1"', ROOTFS, command];
  ran(inside[0], inside.slice(1), { env: { ...process.env, PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' } });
}

function copy(rest) {
  if (rest !== '--from=build /out /') throw new Stop(`expected COPY --from=build /out /, got ${rest}`);
  cpSync(OUT, ROOTFS, { recursive: true, verbatimSymlinks: true });
}

function start() {
  writeFileSync(join(ROOTFS, 'etc', 'uat', 'uat.toml'), '[[endpoints]]\nname = "away"\nprotocol = "openai"\nbase_url = "http://127.0.0.1:9"\n\n[[models]]\nname = "m"\nendpoints = [{ endpoint = "away" }]\n');
  chmodSync(join(ROOTFS, 'etc', 'uat', 'uat.toml'), 0o644);
  const [uid, gid] = settings.user.split(':');
  const quoted = words => words.map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: settings.workdir, ...settings.env };
  const as = `chroot "$root" /usr/bin/setpriv --reuid ${uid} --regid ${gid} --clear-groups --no-new-privs --bounding-set=-all /usr/bin/env -i -C ${settings.workdir} ${quoted(Object.entries(env).map(pair => pair.join('=')))}`;
  const script = `
    set -eu
    root=$1
    ip link set lo up
    mount --bind "$root" "$root.ro" && mount -o remount,bind,ro "$root.ro" && root=$root.ro
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    for folder in var/lib/uat var/cache/uat run/uat; do mount -t tmpfs -o mode=0700,uid=${uid},gid=${gid} tmpfs "$root/$folder"; done
    as() { ${as} "$@"; }
    test "$(as id -u)" = ${uid}
    if as touch /usr/written 2>/dev/null; then echo 'the root can be written'; exit 1; fi
    as grep -q '^CapEff:.*0000000000000000$' /proc/self/status
    ${as} ${quoted([...settings.entrypoint, ...settings.command])} & pid=$!
    tries=0
    until as ${quoted(settings.health)}; do
      tries=$((tries + 1)); test $tries -lt 50; sleep 0.2
    done
    as uat --version
    missing=$(as ldd /usr/local/lib/uat/uat /usr/local/lib/uat/uat-engine | grep 'not found' || true)
    test -z "$missing" || { echo "libraries are missing: $missing"; exit 1; }
    kill -TERM $pid
    wait $pid
  `;
  mkdirSync(`${ROOTFS}.ro`);
  const said = ran('unshare', ['--mount', '--pid', '--net', '--fork', '--kill-child', 'sh', '-c', script, 'sh', ROOTFS]);
  if (!said.includes('alive')) throw new Stop(`the health check said ${said}`);
  return said.trim().split('\n').at(-1);
}
