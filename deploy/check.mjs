// npm run check:deploy: everything in this folder is looked at by whatever exists for it, without a network beyond the
// package registries: schemas, promtool, hadolint, and a running uat. One line for each check; what could not be looked at
// says why.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';

import { built, ROOT } from '../scripts/front-door/build.mjs';
import { venv } from '../scripts/front-door/venv.mjs';

const DEPLOY = join(ROOT, 'deploy');
const TOOLS = join(ROOT, '.cache', 'deploy-tools');
const SCRATCH = mkdtempSync(join(tmpdir(), 'uat-deploy-'));
/** The oldest Kubernetes that has all that the manifest uses, and the newest that the schemas have. */
const KUBERNETES = ['1.30', '1.34'];

class Skipped extends Error {}

const checks = [
  ['compose.yaml follows the Compose specification', () => python('check-jsonschema', '--builtin-schema', 'vendor.compose-spec', at('compose/compose.yaml'))],
  ['compose.yaml as docker compose reads it', dockerCompose],
  ['compose.yaml: secrets are made, nothing is published to other machines', composeRules],
  ...KUBERNETES.map(version => [`kubernetes/uat.yaml follows the schemas of Kubernetes ${version}`, () => python('kubernetes-validate', '--strict', '-k', version, at('kubernetes/uat.yaml'))]),
  ['kubernetes/uat.yaml: probes, drain, rights', kubernetesRules],
  ['Dockerfile, by hadolint', () => python('hadolint', '--config', at('image/hadolint.yaml'), at('image/Dockerfile'))],
  ['prometheus.yml, by promtool', prometheusConfig],
  ['alerts.yml, by promtool', () => void promtool('check', 'rules', at('prometheus/alerts.yml'))],
  ['alerts.yml: when each alert fires and when not, by promtool', () => void promtool('test', 'rules', at('prometheus/alerts.test.yml'))],
  ['Grafana: the dashboard\'s shape', dashboardShape],
  ['Grafana: each query is PromQL, by promtool', dashboardQueries],
  ['configurations, by uat config validate', configurations],
  ['metrics of alerts and dashboard are told by a running uat', metricsExist],
  ['docs/deploy.md has a section for each alert', runbooks],
];

let failed = 0;
for (const [title, check] of checks) {
  try {
    const note = await check();
    console.log(`ok       ${title}${typeof note === 'string' ? `: ${note}` : ''}`);
  } catch (error) {
    if (error instanceof Skipped) {
      console.log(`skipped  ${title}: ${error.message}`);
      continue;
    }
    failed += 1;
    console.log(`FAILED   ${title}\n${error.message.replace(/^/gm, '         ')}`);
  }
}
rmSync(SCRATCH, { recursive: true, force: true });
if (failed > 0) {
  console.error(`\ncheck:deploy: ${failed} of ${checks.length} checks failed`);
  process.exitCode = 1;
}

// --- tools ---------------------------------------------------------------------------------------------------------

function at(path) {
  return join(DEPLOY, path);
}

function ran(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (error !== undefined) throw new Error(`${command} could not be started: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** A program of deploy/requirements.txt, installed once into a folder that git ignores. */
function python(program, ...args) {
  ran(join(tools(), program), args);
}

function tools() {
  try {
    return venv(join(TOOLS, 'venv'), at('requirements.txt'));
  } catch (error) {
    throw new Skipped(`its tools could not be installed (${lastLine(error.message)})`);
  }
}

/** Debian's promtool; where it is not installed, taken out of the package without installing the server. */
function promtool(...args) {
  return ran(promtoolPath(), args);
}

function promtoolPath() {
  if (spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0) return 'promtool';
  const unpacked = join(TOOLS, 'prometheus');
  const path = join(unpacked, 'usr', 'bin', 'promtool');
  if (existsSync(path)) return path;
  mkdirSync(unpacked, { recursive: true });
  try {
    ran('apt-get', ['download', 'prometheus'], { cwd: unpacked });
    const archive = readdirSync(unpacked).find(name => name.endsWith('.deb'));
    ran('dpkg-deb', ['-x', archive, '.'], { cwd: unpacked });
  } catch (error) {
    throw new Skipped(`there is no promtool, and Debian's package prometheus could not be fetched (${lastLine(error.message)})`);
  }
  return path;
}

function lastLine(text) {
  return text.trim().split('\n').at(-1);
}

function yaml(path) {
  const program = 'import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout, default=str)';
  return JSON.parse(ran(join(tools(), 'python'), ['-c', program, path]));
}

function uat() {
  const path = process.env['UAT_BIN'] ?? built('uat');
  if (!existsSync(path)) throw new Skipped('uat is not built: cargo build --release');
  return path;
}

function need(holds, message) {
  if (!holds) throw new Error(message);
}

// --- compose -------------------------------------------------------------------------------------------------------

function dockerCompose() {
  if (spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status !== 0) throw new Skipped('docker compose is not installed');
  secrets();
  ran('docker', ['compose', '-f', at('compose/compose.yaml'), 'config', '--quiet']);
}

function secrets() {
  const folder = join(SCRATCH, 'secrets');
  ran('node', [at('compose/secrets.mjs'), folder]);
  return folder;
}

function composeRules() {
  const [compose] = yaml(at('compose/compose.yaml'));
  const made = readdirSync(secrets());
  for (const [name, { file }] of Object.entries(compose.secrets)) {
    need(made.includes(file.replace('./secrets/', '')), `secret ${name}: ${file} is not made by secrets.mjs, which makes ${made.join(', ')}`);
  }
  for (const [name, service] of Object.entries(compose.services)) {
    for (const port of service.ports ?? []) need(port.startsWith('127.0.0.1:'), `${name}: port ${port} would be open to other machines`);
    need(service.cap_drop?.includes('ALL') && service.security_opt?.includes('no-new-privileges:true'), `${name}: it keeps rights that it does not need`);
    need(service.mem_limit !== undefined && service.pids_limit !== undefined, `${name}: without mem_limit and pids_limit it can take the machine`);
    if (service.image !== undefined) need(/:v?\d/.test(service.image), `${name}: the image ${service.image} has no version`);
    for (const secret of service.secrets ?? []) need(secret in compose.secrets, `${name}: there is no secret ${secret}`);
    for (const network of service.networks ?? []) need(network in compose.networks, `${name}: there is no network ${network}`);
  }
  const drain = Number(readFileSync(at('compose/uat.toml'), 'utf8').match(/^drain_timeout_s = (\d+)$/m)?.[1]);
  need(Number.parseInt(compose.services.gateway.stop_grace_period, 10) > drain, 'gateway: stop_grace_period is not above server.drain_timeout_s');
  for (const volume of [...compose.services.prometheus.volumes, ...compose.services.grafana.volumes, ...compose.services.gateway.volumes]) {
    const [from] = volume.split(':');
    if (from.startsWith('.')) need(existsSync(join(DEPLOY, 'compose', from)), `there is no ${from} to be mounted`);
    else need(from in compose.volumes, `there is no volume ${from}`);
  }
}

// --- kubernetes ----------------------------------------------------------------------------------------------------

function kubernetesRules() {
  const documents = yaml(at('kubernetes/uat.yaml'));
  const one = kind => documents.find(document => document.kind === kind) ?? need(false, `there is no ${kind}`);
  const toml = one('ConfigMap').data['uat.toml'];
  const pod = one('Deployment').spec.template.spec;
  const [container] = pod.containers;
  const drain = Number(toml.match(/^drain_timeout_s = (\d+)$/m)?.[1]);
  need(pod.terminationGracePeriodSeconds >= drain + container.lifecycle.preStop.sleep.seconds + 5, 'terminationGracePeriodSeconds is less than preStop, server.drain_timeout_s and 5 s to spare');
  const ports = Object.fromEntries(container.ports.map(({ name, containerPort }) => [name, containerPort]));
  need(toml.includes(`bind = "0.0.0.0:${ports.http}"`) && toml.includes(`admin_bind = "0.0.0.0:${ports.admin}"`), 'server.bind and server.admin_bind are not the container\'s ports');
  for (const [probe, path] of [['startupProbe', '/health/live'], ['livenessProbe', '/health/live'], ['readinessProbe', '/health/ready']]) {
    need(container[probe].httpGet.path === path && container[probe].httpGet.port === 'http', `${probe}: expected ${path} at http`);
  }
  const rights = container.securityContext;
  need(pod.securityContext.runAsNonRoot && !rights.allowPrivilegeEscalation && rights.readOnlyRootFilesystem && rights.capabilities.drop.includes('ALL'), 'the container has rights that it does not need');
  need(pod.automountServiceAccountToken === false, 'the pod gets a token for the cluster');
  need(container.resources.limits.memory && container.resources.requests.cpu, 'resources are missing');
  const mounts = container.volumeMounts.map(({ mountPath }) => mountPath);
  for (const [, path] of toml.matchAll(/(?:_file|_dir) = "([^"]+)"/g)) {
    need(mounts.some(mount => path === mount || path.startsWith(`${mount}/`)), `${path} is in no volume`);
  }
  const selects = kind => JSON.stringify(one(kind).spec.selector?.matchLabels ?? one(kind).spec.selector ?? one(kind).spec.podSelector.matchLabels);
  const labels = JSON.stringify(one('Deployment').spec.template.metadata.labels);
  for (const kind of ['Deployment', 'Service', 'PodDisruptionBudget', 'NetworkPolicy']) need(selects(kind) === labels, `${kind}: it selects other pods`);
  need(one('PodDisruptionBudget').spec.minAvailable < one('Deployment').spec.replicas, 'PodDisruptionBudget: no pod could ever be moved');
  need(one('Service').spec.ports.every(({ targetPort }) => targetPort === 'http'), 'Service: only http belongs in it');
  need(one('NetworkPolicy').spec.egress.some(({ to }) => to.some(({ ipBlock }) => ipBlock?.except.includes('169.254.0.0/16'))), 'NetworkPolicy: the cloud\'s metadata can be reached');
}

// --- prometheus and grafana ----------------------------------------------------------------------------------------

function prometheusConfig() {
  promtool('check', 'config', at('prometheus/prometheus.yml'));
  const [config] = yaml(at('prometheus/prometheus.yml'));
  const [target] = config.scrape_configs[0].static_configs[0].targets;
  const admin = readFileSync(at('compose/uat.toml'), 'utf8').match(/^admin_bind = "0\.0\.0\.0:(\d+)"$/m)?.[1];
  need(target === `gateway:${admin}`, `the target ${target} is not server.admin_bind of the gateway`);
}

function dashboard() {
  return JSON.parse(readFileSync(at('grafana/uat.json'), 'utf8'));
}

function panels() {
  return dashboard().panels.filter(({ type }) => type !== 'row');
}

function dashboardShape() {
  const { panels: all, uid, schemaVersion } = dashboard();
  need(uid === 'uat' && schemaVersion >= 39, 'expected the uid uat and a schema of Grafana 11 or newer');
  const ids = all.map(({ id }) => id);
  need(new Set(ids).size === ids.length, 'two panels have one id');
  const [{ datasources: [{ uid: source }] }] = yaml(at('grafana/provisioning/datasources/prometheus.yml'));
  for (const { title, datasource, targets, gridPos: { x, w } } of panels()) {
    need(datasource.uid === source, `${title}: its data source is not the one that is provisioned, ${source}`);
    need(targets.length > 0 && targets.every(({ expr, refId }) => expr && refId), `${title}: a target without a query`);
    need(x + w <= 24, `${title}: it is wider than the dashboard`);
  }
  const taken = new Set();
  for (const { title, gridPos: { x, y, w, h } } of all) {
    for (let column = x; column < x + w; column += 1) {
      for (let row = y; row < y + h; row += 1) {
        need(!taken.has(`${column},${row}`), `${title}: it lies on another panel`);
        taken.add(`${column},${row}`);
      }
    }
  }
  return `${panels().length} panels`;
}

function dashboardQueries() {
  // Grafana's own variable is a duration by the time that it is asked.
  const rules = panels().flatMap(({ id, targets }) => targets.map(({ expr, refId }) => ({ record: `panel_${id}_${refId}`.toLowerCase(), expr: expr.replaceAll('$__rate_interval', '1m') })));
  const file = join(SCRATCH, 'dashboard-rules.yml');
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
  promtool('check', 'rules', file);
  return `${rules.length} queries`;
}

/** The metrics that a file's queries name, without the endings of histograms. */
function metricsOf(text) {
  const withoutTexts = text.replaceAll(/"[^"]*"/g, '""');
  return new Set([...withoutTexts.matchAll(/\buat_[a-z0-9_]+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, '')));
}

function runbooks() {
  const docs = readFileSync(join(ROOT, 'docs', 'deploy.md'), 'utf8');
  const names = [...readFileSync(at('prometheus/alerts.yml'), 'utf8').matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  for (const name of names) need(docs.includes(`### ${name}\n`), `there is no section ${name}`);
  return `${names.length} alerts`;
}

// --- uat -----------------------------------------------------------------------------------------------------------

/** The two configurations of this folder, with their secrets and folders where they are now. */
function configurationFiles() {
  const folder = secrets();
  writeFileSync(join(folder, 'provider_key'), 'key');
  const local = toml => toml.replaceAll(/\/run\/secrets\/(uat\/)?/g, `${folder}/`).replaceAll('/var/lib/uat', join(SCRATCH, 'state'));
  const files = {
    'compose.toml': local(readFileSync(at('compose/uat.toml'), 'utf8')),
    'kubernetes.toml': local(yaml(at('kubernetes/uat.yaml')).find(({ kind }) => kind === 'ConfigMap').data['uat.toml']),
  };
  mkdirSync(join(SCRATCH, 'state'), { recursive: true });
  return Object.entries(files).map(([name, text]) => {
    writeFileSync(join(SCRATCH, name), text);
    return join(SCRATCH, name);
  });
}

function configurations() {
  const program = uat();
  for (const file of configurationFiles()) ran(program, ['config', 'validate', '--config', file]);
}

async function metricsExist() {
  const queries = panels().flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
  const rules = yaml(at('prometheus/alerts.yml'))[0].groups.flatMap(group => group.rules.map(({ expr }) => expr)).join('\n');
  const named = [...metricsOf(`${queries}\n${rules}`)].sort();
  const told = new Set([...(await exposition()).matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name));
  const missing = named.filter(name => !told.has(name));
  need(missing.length === 0, `uat does not tell ${missing.join(', ')}`);
  return `${named.length} metrics`;
}

/** What /metrics says of a uat with a key, a budget and an answer that was counted, so that every family is there. */
async function exposition() {
  const provider = createServer((request, response) => {
    request.resume().on('end', () => {
      const choices = [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }];
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ id: 'c', object: 'chat.completion', created: 1, model: 'm', choices, usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } }));
    });
  });
  await new Promise(resolve => { provider.listen(0, '127.0.0.1', resolve); });
  try {
    return await told(`http://127.0.0.1:${provider.address().port}`);
  } finally {
    provider.closeAllConnections();
    provider.close();
  }
}

async function told(provider) {
  const key = 'uat-check-deploy';
  const hash = createHash('sha256').update(key).digest('hex');
  const config = join(SCRATCH, 'metrics.toml');
  writeFileSync(config, readFileSync(at('check.toml'), 'utf8').replaceAll('@HASH@', hash).replaceAll('@PROVIDER@', provider).replaceAll('@STATE@', join(SCRATCH, 'metrics-state')));
  mkdirSync(join(SCRATCH, 'metrics-state'), { recursive: true });
  const child = spawn(uat(), ['serve', '--config', config, '--bind', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const closed = new Promise(resolve => { child.on('close', resolve); });
  try {
    const base = await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`uat serve said no address in 20 s: ${output}`)), 20_000);
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', data => {
          output += data;
          const address = output.match(/listening on (http:\S+)/)?.[1];
          if (address !== undefined) {
            clearTimeout(late);
            resolve(address);
          }
        });
      }
      child.on('close', () => reject(new Error(`uat serve ended: ${output}`)));
    });
    const headers = { authorization: `Bearer ${key}` };
    // So that what counts by model, key and endpoint has counted.
    const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 });
    const asked = await fetch(`${base}/v1/chat/completions`, { method: 'POST', headers, body });
    const said = await asked.text();
    need(asked.status === 200, `a chat was answered with ${asked.status}: ${said}`);
    const answer = await fetch(`${base}/metrics`, { headers });
    const text = await answer.text();
    need(answer.status === 200, `GET /metrics was answered with ${answer.status}: ${text}`);
    return text;
  } finally {
    child.kill('SIGTERM');
    await closed;
  }
}
