/**
 * Poisoned repositories: files by which a repository would steer the vendor's client that works in it. What each client does with such a file was
 * measured with the real ones (docs of each adapter, `npm run test:clients`); here its rule stands as `obeys`, asked of a bare start as the control and
 * then of the start that our adapter plans. What is read as an instruction, not as a setting, is the base's; changed by a task, it asks for a person.
 */
import type { AgentSpec, LaunchPlan } from '../../src/agent/agent.ts'
import { adapterNamed } from '../../src/agent/registry.ts'
import { protectedAmong } from '../../src/core/protection.ts'
import { builtInProtectedPaths } from '../../src/core/setting.ts'
import type { Verdict } from '../../src/sandbox/assault.ts'

type Start = Pick<LaunchPlan, 'argv' | 'env' | 'files'>
type Client = 'claude' | 'codex' | 'gemini' | 'opencode'
type Poison = { name: string; file: string; client: Client | null; obeys(start: Start): boolean }

const lacks =
  (...words: string[]) =>
  ({ argv }: Start): boolean =>
    !words.every((word, index) =>
      argv.some((_, at) => argv[at + 0] === words[0] && (index === 0 || argv[at + index] === word)),
    )

/** A variable from the repository's .env is taken only where the client has none of that name. */
const unset =
  (name: string) =>
  ({ env }: Start): boolean =>
    env[name] === undefined

const configures =
  (key: string) =>
  ({ argv }: Start): boolean =>
    !argv.some((word, at) => argv[at - 1] === '-c' && word.startsWith(key))

const poisons: readonly Poison[] = [
  {
    name: 'Claude Code: another base URL',
    file: '.claude/settings.json',
    client: 'claude',
    obeys: lacks('--setting-sources', 'user'),
  },
  {
    name: 'Claude Code: a hook at the start',
    file: 'packages/web/.claude/settings.json',
    client: 'claude',
    obeys: lacks('--setting-sources', 'user'),
  },
  {
    name: 'Claude Code: local settings',
    file: '.claude/settings.local.json',
    client: 'claude',
    obeys: lacks('--setting-sources', 'user'),
  },
  { name: 'Claude Code: a server of tools', file: '.mcp.json', client: 'claude', obeys: lacks('--strict-mcp-config') },
  {
    name: 'Codex: another provider',
    file: '.codex/config.toml',
    client: 'codex',
    obeys: configures('model_provider='),
  },
  {
    name: 'Codex: rules of its own',
    file: '.codex/rules/default.rules',
    client: 'codex',
    obeys: lacks('--ignore-rules'),
  },
  {
    name: 'Gemini CLI: another base URL',
    file: '.gemini/.env',
    client: 'gemini',
    obeys: unset('GOOGLE_GEMINI_BASE_URL'),
  },
  {
    name: 'Gemini CLI: headers of its own',
    file: '.gemini/settings.json',
    client: 'gemini',
    obeys: unset('GEMINI_CLI_CUSTOM_HEADERS'),
  },
  { name: 'Gemini CLI: another system prompt', file: 'GEMINI.md', client: 'gemini', obeys: unset('GEMINI_SYSTEM_MD') },
  {
    name: 'opencode: another provider',
    file: 'opencode.json',
    client: 'opencode',
    obeys: unset('OPENCODE_DISABLE_PROJECT_CONFIG'),
  },
  {
    name: 'opencode: a plugin',
    file: '.opencode/plugin/evil.js',
    client: 'opencode',
    obeys: unset('OPENCODE_DISABLE_PROJECT_CONFIG'),
  },
  { name: 'instructions to Claude Code', file: 'CLAUDE.md', client: null, obeys: () => false },
  { name: 'instructions to every agent', file: 'packages/web/AGENTS.md', client: null, obeys: () => false },
  { name: 'instructions to an editor', file: '.cursor/rules/evil.mdc', client: null, obeys: () => false },
]

const spec: AgentSpec = {
  attempt: 'att_1',
  role: 'implementer',
  prompt: 'p',
  family: 'anthropic',
  model: 'm',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:8701',
  key: 'vk-1',
  session: '00000000-0000-4000-8000-000000000000',
  access: 'edit',
  contained: true,
}
const families = { claude: 'anthropic', codex: 'openai', gemini: 'google', opencode: 'zhipu' } as const

/** One verdict for each poison: obeyed by nobody we start, and no task can put it there without a person. */
export function poisonAgents(): Verdict[] {
  return poisons.map(({ name, file, client, obeys }): Verdict => {
    const landsUnseen = (globs: readonly string[]) => protectedAmong([file], globs).length === 0
    const bare = client === null || obeys({ argv: [client, '-p', 'p'], env: {}, files: [] })
    if (!bare || !landsUnseen([])) return { name, group: 'agent', state: 'idle', why: 'its control did not fire' }
    const planned = client !== null && obeys(adapterNamed(client).plan({ ...spec, family: families[client] }, [client]))
    return { name, group: 'agent', state: planned || landsUnseen(builtInProtectedPaths) ? 'breached' : 'held' }
  })
}
