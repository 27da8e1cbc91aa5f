/**
 * What may be configured, as plain data with units in the names: the operator's settings, the repository's, and the defaults of both.
 *
 * Pure: files and environment are read in host/config.ts. It never holds a key, only where one is found; the one exception, `{ value }`, is
 * refused for anything but a provider on loopback.
 */
import type { Gate } from './gate.ts'
import type { Patience } from './patience.ts'
import type { ProviderTools } from './provider-tool.ts'
import type { RetryPolicy } from './retry.ts'
import type { Rung } from './rung.ts'
import type { Role } from './task.ts'

export const agentNames = ['claude', 'codex', 'gemini', 'opencode', 'scripted'] as const
export type AgentName = (typeof agentNames)[number]

/**
 * Where a provider's key is found. `stored`: under this name by `keys set`. `value` only for a loopback base URL: the demo's and the tests'
 * provider.
 */
export type KeySource = { env: string } | { file: string } | { stored: string } | { value: string }

export type UpstreamSettings = {
  /** The header the key goes in; absent: as the dialect has it. Azure wants `api-key`. */
  keyHeader?: 'api-key'
  /** Azure's `?api-version=`. */
  apiVersion?: string
  /** Plain http:// to an address of a private network: the key crosses it in the clear. */
  privateNetwork?: boolean
}

export type FamilySettings = {
  agent: AgentName
  /** The agent's argv, or null: its program is found on PATH. */
  program: string[] | null
  /** Without trailing slash. */
  baseUrl: string
  /** How this upstream wants to be asked where it is not like the vendor's. */
  upstream?: UpstreamSettings
  keyFrom: KeySource
  models: { architect: string; implementer: string; reviewer: string }
}

/** What this machine has of a family. */
export type Surveyed = {
  family: string
  agent: AgentName
  /** The client's version, or null: it is not there, or does not tell. */
  version: string | null
  /** Why there is no client that works, and what to type. */
  missing: { why: string; hint: string } | null
  key: KeySource | null
}

/** What set-up alone is given beside the lockfiles: a variable or a file in its HOME, with a secret that is found where `from` says. */
export type Credential = {
  /** The variable's name, or a path below HOME: `.npmrc`. */
  name: string
  as: 'variable' | 'file'
  from: { env: string } | { file: string }
  /** Names of the repositories it is for; null: all. */
  repositories: string[] | null
  /** Also where a task changed the files of setupKey, so that code nobody has reviewed can see it. */
  whenChanged: boolean
}

/** US dollars per million tokens, laid over the bundled price table. */
export type PriceRow = {
  model: string
  inputPerMtokUsd: number
  outputPerMtokUsd: number
  cachedInputPerMtokUsd?: number
  cacheWritePerMtokUsd?: number
}

/** Somebody has found a model's price in the table to be right on this day (`2026-11-28`). */
export type PriceCheck = { model: string; on: string }

export type OperatorSettings = {
  /** By family: `anthropic`, `openai`, `google` or any other name. */
  families: Record<string, FamilySettings>
  /**
   * A day (UTC), of it a repository (by its name) and a family where they are named, and a task in all; what passes a minute, and at once after a quiet time; above what a minute is worth a warning; and how long ago a
   * price may have been looked up.
   */
  money: {
    dayNanoUsd: number
    repositoriesNanoUsd: Record<string, number>
    familiesNanoUsd: Record<string, number>
    taskNanoUsd: number
    minuteNanoUsd: number
    burstNanoUsd: number
    warnNanoUsd: number
    priceAgeMs: number
  }
  /** By family: what its provider may do by itself, fetch or keep. What is not named is taken out of requests, or they are refused. */
  providerTools: Record<string, ProviderTools>
  slots: { implementer: number; reviewer: number; architect: number; gate: number }
  /** At most so many attempts at once, whatever slots are free: by family, by role, and by a repository's name. */
  caps: {
    families: Record<string, number>
    roles: Partial<Record<Role, number>>
    repositories: Record<string, number>
  }
  /** How long a slot is idle before it lends itself to another role. */
  lending: { idleMs: number }
  patience: Patience
  lease: { beatMs: number; leaseMs: number }
  /** How long an attempt may go on when the daemon is told to end, by the lane of its task. */
  drain: { criticalMs: number; normalMs: number; backgroundMs: number }
  retry: RetryPolicy
  /** `familyMs`: how long a family that is needed is waited for before a person is asked. */
  review: { rounds: number; reviewerMs: number; familyMs: number }
  /** Waiting this long raises a task's effective rank by one lane. */
  lane: { stepMs: number }
  sizes: { taskTextBytes: number; lineBytes: number; outputBytes: number; bundleBytes: number; diffBytes: number }
  /** The lowest rung accepted. */
  rung: Rung
  /** Where the companion listens, for the rung of that name; empty: there is none. */
  companion: { socket: string }
  /** Land without a person's approval wherever the review policy asks for none. */
  unattended: boolean
  landing: { branch: string }
  http: { host: string; port: number }
  /** What dependency set-up may reach beside the registries of its programs and lockfiles, and what it is given for them. */
  setup: { hosts: string[]; credentials: Credential[] }
  /** How often the daemon takes a backup of its database. */
  backup: { everyMs: number }
  retention: {
    logsMs: number
    transcriptsMs: number
    metricsMs: number
    archivesMs: number
    layersMs: number
    layerCount: number
    backups: number
  }
  prices: PriceRow[]
  priceChecks: PriceCheck[]
}

export type RepositorySettings = {
  /** The branch work starts from; null: the one the repository was added with. */
  base: string | null
  /** The part tasks are about that say none; null: the whole repository. */
  path: string | null
  /** Shell commands that fetch dependencies, executed once per content of `setupKey`. */
  setup: string[]
  /** Files, relative to the root. */
  setupKey: string[]
  /** Names of commands, or absolute folders, that setup and gates need. */
  toolchain: string[]
  gates: Gate[]
  /** Globs whose change asks for a person; the built-in ones are always among them. */
  protectedPaths: string[]
  /** May only ask for more than the policy does. */
  review?: { families?: number; person?: boolean }
  /** May only be less than the operator's. */
  money?: { taskNanoUsd: number }
}

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
const kilobyte = 1024
const megabyte = 1024 * kilobyte
const usd = 1_000_000_000

/** The defaults of a machine with so many cores. No family is configured by default: models are pinned by the operator. */
export const defaultSettings = (cores: number): OperatorSettings => ({
  families: {},
  money: {
    dayNanoUsd: 75 * usd,
    repositoriesNanoUsd: {},
    familiesNanoUsd: {},
    taskNanoUsd: 10 * usd,
    minuteNanoUsd: usd,
    burstNanoUsd: 3 * usd,
    warnNanoUsd: usd / 2,
    priceAgeMs: 180 * day, // what vendors' prices do in so long: mostly they fall
  },
  providerTools: {},
  slots: { implementer: 1, reviewer: 1, architect: 1, gate: Math.max(1, Math.floor(cores / 2) - 1) },
  caps: { families: {}, roles: {}, repositories: {} },
  lending: { idleMs: minute },
  patience: {
    smallMs: 5 * minute,
    mediumMs: 15 * minute,
    largeMs: 30 * minute,
    grace: 1.5,
    wallMs: day,
    providerMs: 15 * minute,
  },
  lease: { beatMs: 30 * second, leaseMs: 90 * second },
  drain: { criticalMs: minute, normalMs: 20 * second, backgroundMs: 0 },
  retry: { attempts: 3, firstMs: 5 * second, factor: 2, capMs: 300 * second, jitter: 0.25, sameSignature: 3 },
  review: { rounds: 3, reviewerMs: 20 * minute, familyMs: 6 * hour },
  lane: { stepMs: 15 * minute },
  sizes: {
    taskTextBytes: 100 * kilobyte,
    lineBytes: megabyte,
    outputBytes: 256 * megabyte, // more is a flood, whatever it says
    bundleBytes: 64 * megabyte,
    diffBytes: 2 * megabyte,
  },
  rung: 'namespace',
  companion: { socket: '' },
  unattended: false,
  landing: { branch: 'tri-agent/landing' },
  http: { host: '127.0.0.1', port: 8080 },
  setup: { hosts: [], credentials: [] },
  backup: { everyMs: day },
  retention: {
    logsMs: 7 * day,
    transcriptsMs: 7 * day,
    metricsMs: 30 * day,
    archivesMs: 7 * day,
    layersMs: 7 * day,
    layerCount: 20,
    backups: 10,
  },
  prices: [],
  priceChecks: [],
})

/** Where each known vendor is reached, which CLI drives its models, and which variables its key is looked for in, first one first. */
export const vendors: Readonly<Record<string, { agent: AgentName; baseUrl: string; keyVariables: readonly string[] }>> =
  {
    anthropic: { agent: 'claude', baseUrl: 'https://api.anthropic.com', keyVariables: ['ANTHROPIC_API_KEY'] },
    openai: { agent: 'codex', baseUrl: 'https://api.openai.com', keyVariables: ['OPENAI_API_KEY'] },
    google: {
      agent: 'gemini',
      baseUrl: 'https://generativelanguage.googleapis.com',
      keyVariables: ['GOOGLE_API_KEY', 'GEMINI_API_KEY'],
    },
  }

/** How long a gate may take: 30 minutes for tests, 5 for anything else. */
export const gateTimeoutMs = (name: string): number => (/test|spec|e2e/i.test(name) ? 30 * minute : 5 * minute)

/**
 * Always protected: what steers us, CI, agents or the package manager. An edit there can weaken the very gates and reviews that judge it.
 * Tests are not among them, or every feature would wait for a person; a repository may add them.
 */
export const builtInProtectedPaths: readonly string[] = [
  'tri-agent.yaml',
  ...words('.github/** .gitlab-ci.yml .circleci/** .buildkite/** .ci/** Jenkinsfile azure-pipelines.yml'),
  ...words('**/package.json **/package-lock.json **/npm-shrinkwrap.json **/pnpm-lock.yaml **/pnpm-workspace.yaml'),
  ...words('**/yarn.lock **/bun.lock **/bun.lockb **/.npmrc **/.yarnrc **/.yarnrc.yml **/.pnpmfile.cjs'),
  ...words('**/uv.lock **/poetry.lock **/Pipfile.lock **/requirements*.txt **/pyproject.toml **/setup.py'),
  ...words('**/go.mod **/go.sum **/Cargo.lock **/build.rs **/.cargo/** **/Gemfile.lock **/composer.lock'),
  ...words('**/CLAUDE.md **/AGENTS.md **/GEMINI.md **/.mcp.json **/.claude/** **/.codex/** **/.gemini/**'),
  ...words('**/.opencode/** **/opencode.json **/.cursor/** **/.cursorrules **/.github/copilot-instructions.md'),
  ...words('**/.gitattributes **/.gitmodules **/.husky/** **/.pre-commit-config.yaml **/CODEOWNERS'),
]

/** A repository that says nothing: no gates, so nothing of it can be verified until it has some. */
export const defaultRepositorySettings = (): RepositorySettings => ({
  base: null,
  path: null,
  setup: [],
  setupKey: [],
  toolchain: [],
  gates: [],
  protectedPaths: [...builtInProtectedPaths],
})

function words(text: string): string[] {
  return text.split(' ')
}
