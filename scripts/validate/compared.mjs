// The report of a test run, by service and backend. Pure.

/** The services, by the beginning of their files' names. */
export const SERVICES = {
  'fast-llm-coordinator': 'FastLLMCoordinator',
  'llm-router': 'LLMRouter',
  'redis-service': 'RedisService',
  'parameter-analytics': 'ParameterAnalytics',
  'vision-resource-manager': 'VisionResourceManager',
  'voice-processing': 'VoiceProcessingService',
};
/** What belongs to no class: the guide's own code, the engine, the process around them. */
const OTHER = 'all of them';
/** As `test/support/backends.ts` names its suites. */
const BACKENDS = { 'native backend': 'native', 'typescript backend': 'typescript' };

/**
 * @param {{ testResults: { name: string, status: string, message: string, assertionResults: { ancestorTitles: string[], title: string, status: string }[] }[] }} report
 * @returns {{ service: string, cases: { title: string, native?: string, typescript?: string }[], alone: { title: string, status: string }[], broken: string[] }[]}
 *   A status is `passed`, `failed` or `skipped`; a backend that has no such case has none. `alone`: cases that run once and compare both themselves, such as recorded vectors. `broken`: files that ended early.
 */
export function compared({ testResults }) {
  const services = new Map();
  for (const { name, status, message, assertionResults } of testResults) {
    const file = name.split('/').at(-1);
    const service = Object.entries(SERVICES).find(([begins]) => file.startsWith(begins))?.[1] ?? OTHER;
    const of = services.get(service) ?? { service, cases: new Map(), alone: [], broken: [] };
    services.set(service, of);
    if (status === 'failed' && assertionResults.every(({ status }) => status !== 'failed')) of.broken.push(`${file}: ${message}`);
    for (const { ancestorTitles, title, status: ended } of assertionResults) {
      const backend = ancestorTitles.map(title => BACKENDS[title]).find(found => found !== undefined);
      const titles = [file, ...ancestorTitles.filter(title => !(title in BACKENDS)), title].join(' > ');
      const said = ended === 'passed' || ended === 'failed' ? ended : 'skipped';
      if (backend === undefined) of.alone.push({ title: titles, status: said });
      else {
        const before = of.cases.get(titles);
        // Two cases may have one name: neither hides that the other failed.
        of.cases.set(titles, { ...before, title: titles, [backend]: before?.[backend] === 'failed' ? 'failed' : said });
      }
    }
  }
  const order = [...Object.values(SERVICES), OTHER];
  return [...services.values()].map(of => ({ ...of, cases: [...of.cases.values()] })).sort((a, b) => order.indexOf(a.service) - order.indexOf(b.service));
}

/** What is wrong, a line each. */
export function disagreements(services) {
  return services.flatMap(({ service, cases, alone, broken }) => [
    ...broken.map(message => `${service}: ${message}`),
    ...alone.filter(({ status }) => status === 'failed').map(({ title }) => `${service}: failed: ${title}`),
    ...cases.filter(({ native, typescript }) => native === 'failed' || typescript === 'failed').map(({ title, native = 'has none', typescript = 'has none' }) => `${service}: native ${native}, TypeScript ${typescript}: ${title}`),
  ]);
}
