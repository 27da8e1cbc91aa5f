import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isRefusal, type Refusal } from '../core/refusal.ts'
import { builtInProtectedPaths, defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import { type LoadedConfig, loadConfig, parseRepositoryConfig } from './config.ts'
import type { Env } from './path.ts'

/** Loads this text as the operator's file; its name in answers is FILE. */
async function load(
  context: TestContext,
  text: string | null,
  env: Env = {},
  mode = 0o600,
): Promise<LoadedConfig | Refusal> {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-config-'))
  context.after(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'config.yaml')
  if (text !== null) {
    await writeFile(file, text)
    await chmod(file, mode)
  }
  const loaded = await loadConfig({ file, env, cores: 8 })
  return JSON.parse(JSON.stringify(loaded).replaceAll(file, 'FILE')) as LoadedConfig | Refusal
}

async function loaded(context: TestContext, text: string | null, env: Env = {}, mode?: number): Promise<LoadedConfig> {
  const answer = await load(context, text, env, mode)
  assert.ok(!isRefusal(answer), JSON.stringify(answer))
  return answer
}

async function refused(context: TestContext, text: string, env: Env = {}, mode?: number): Promise<string[]> {
  const answer = await load(context, text, env, mode)
  assert.ok(isRefusal(answer), 'expected a refusal')
  return [answer.refused, ...answer.why.split('\n')]
}

const models = { architect: 'claude-a', implementer: 'claude-i', reviewer: 'claude-r' }

test('without a file every value is the default and says so', async (context) => {
  const { settings, origins, notes, file } = await loaded(context, null)
  assert.deepEqual(settings, defaultSettings(8))
  assert.deepEqual([notes, file, new Set(origins.map(({ origin }) => origin))], [[], null, new Set(['default'])])
  const of = (key: string) => origins.find((each) => each.key === key)?.value
  assert.deepEqual(
    [of('money.day'), of('lease.lease'), of('sizes.bundle'), of('slots.gate')],
    ['$75', '90s', '64MB', '3'],
  )
})

const whole = `
families:
  anthropic:
    models: { architect: claude-a, implementer: claude-i, reviewer: claude-r }
  google: { models: gemini-x, agent: gemini, program: [node, /opt/gemini.js] }
  zai:
    agent: opencode
    program: opencode
    baseUrl: https://api.example.com/v1/
    keyFrom: { file: /keys/zai }
    models: glm-5
money: { day: $20, repositories: { shop: $5 }, families: { zai: 2 }, task: 1.50, minute: $2, burst: $4, warn: $1, priceAge: 30d }
providerTools: { anthropic: { web_search: true, remote_urls: true }, google: { web_search: { uses: 2, price: $0.014 } } }
slots: { implementer: 2, reviewer: 2, architect: 2, gate: 2 }
caps: { families: { zai: 1 }, roles: { reviewer: 3 }, repositories: { shop: 2 } }
lending: { idle: 30s }
patience: { small: 1m, medium: 2m, large: 3m, grace: 2, wall: 1h, provider: 10m }
lease: { beat: 10s, lease: 40s }
drain: { critical: 3m, normal: 2m, background: 1m }
retry: { attempts: 2, first: 1s, factor: 3, cap: 10s, jitter: 0, sameSignature: 2 }
review: { rounds: 2, reviewer: 10m }
lane: { step: 5m }
sizes: { taskText: 10KB, line: 2MB, output: 3MB, bundle: 1MB, diff: 1MB }
rung: group
companion: { socket: /companion/socket }
unattended: true
landing: { branch: agents/landing }
http: { host: 127.0.0.2, port: 0 }
setup: { hosts: npm.example.com, credentials: [{ variable: NPM_TOKEN, from: { file: /keys/npm } }] }
backup: { every: 2h }
retention: { logs: 1d, transcripts: 2d, metrics: 3d, archives: 4d, layers: 5d, layerCount: 6, backups: 5 }
prices: { glm-5: { input: 0.6, output: 2.2, cachedInput: 0.1 }, gpt-5.5: { checked: 2026-11-28 } }
`

test('every setting can be said in the file, in human units', async (context) => {
  const { settings } = await loaded(context, whole, { GEMINI_API_KEY: 'g' })
  assert.deepEqual(settings, {
    families: {
      anthropic: {
        agent: 'claude',
        program: null,
        baseUrl: 'https://api.anthropic.com',
        keyFrom: { env: 'ANTHROPIC_API_KEY' },
        models,
      },
      google: {
        agent: 'gemini',
        program: ['node', '/opt/gemini.js'],
        baseUrl: 'https://generativelanguage.googleapis.com',
        keyFrom: { env: 'GEMINI_API_KEY' },
        models: { architect: 'gemini-x', implementer: 'gemini-x', reviewer: 'gemini-x' },
      },
      zai: {
        agent: 'opencode',
        program: ['opencode'],
        baseUrl: 'https://api.example.com/v1',
        keyFrom: { file: '/keys/zai' },
        models: { architect: 'glm-5', implementer: 'glm-5', reviewer: 'glm-5' },
      },
    },
    money: {
      dayNanoUsd: 20_000_000_000,
      repositoriesNanoUsd: { shop: 5_000_000_000 },
      familiesNanoUsd: { zai: 2_000_000_000 },
      taskNanoUsd: 1_500_000_000,
      minuteNanoUsd: 2_000_000_000,
      burstNanoUsd: 4_000_000_000,
      warnNanoUsd: 1_000_000_000,
      priceAgeMs: 2_592_000_000,
    },
    providerTools: {
      anthropic: {
        web_search: { uses: 3, tokens: 32_000, useNanoUsd: null },
        remote_urls: { uses: 3, tokens: 32_000, useNanoUsd: null },
      },
      google: { web_search: { uses: 2, tokens: 32_000, useNanoUsd: 14_000_000 } },
    },
    slots: { implementer: 2, reviewer: 2, architect: 2, gate: 2 },
    caps: { families: { zai: 1 }, roles: { reviewer: 3 }, repositories: { shop: 2 } },
    lending: { idleMs: 30_000 },
    patience: {
      smallMs: 60_000,
      mediumMs: 120_000,
      largeMs: 180_000,
      grace: 2,
      wallMs: 3_600_000,
      providerMs: 600_000,
    },
    lease: { beatMs: 10_000, leaseMs: 40_000 },
    drain: { criticalMs: 180_000, normalMs: 120_000, backgroundMs: 60_000 },
    retry: { attempts: 2, firstMs: 1000, factor: 3, capMs: 10_000, jitter: 0, sameSignature: 2 },
    review: { rounds: 2, reviewerMs: 600_000, familyMs: 21_600_000 },
    lane: { stepMs: 300_000 },
    sizes: {
      taskTextBytes: 10_240,
      lineBytes: 2_097_152,
      outputBytes: 3_145_728,
      bundleBytes: 1_048_576,
      diffBytes: 1_048_576,
    },
    rung: 'group',
    companion: { socket: '/companion/socket' },
    unattended: true,
    landing: { branch: 'agents/landing' },
    http: { host: '127.0.0.2', port: 0 },
    setup: {
      hosts: ['npm.example.com'],
      credentials: [
        { name: 'NPM_TOKEN', as: 'variable', from: { file: '/keys/npm' }, repositories: null, whenChanged: false },
      ],
    },
    backup: { everyMs: 7_200_000 },
    retention: {
      logsMs: 86_400_000,
      transcriptsMs: 172_800_000,
      metricsMs: 259_200_000,
      archivesMs: 345_600_000,
      layersMs: 432_000_000,
      layerCount: 6,
      backups: 5,
    },
    prices: [{ model: 'glm-5', inputPerMtokUsd: 0.6, outputPerMtokUsd: 2.2, cachedInputPerMtokUsd: 0.1 }],
    priceChecks: [{ model: 'gpt-5.5', on: '2026-11-28' }],
  })
})

test('each value says where it comes from: the default, a variable, or a line of the file', async (context) => {
  const env = { CLAUDE_AUTONOMOUS_MODE: 'true', ANTHROPIC_API_KEY: 'sk-ant-0123456789abcdefgh' }
  const text = `families:\n  anthropic:\n    models: ${JSON.stringify(models)}\nmoney:\n  day: $20\n`
  const { origins } = await loaded(context, text, env)
  const wanted = [
    'families.anthropic.agent',
    'families.anthropic.keyFrom',
    'families.anthropic.models.reviewer',
    'money.day',
    'money.task',
    'unattended',
  ]
  assert.deepEqual(
    origins.filter(({ key }) => wanted.includes(key)),
    [
      { key: 'families.anthropic.agent', value: 'claude', origin: 'default' },
      { key: 'families.anthropic.keyFrom', value: 'env ANTHROPIC_API_KEY', origin: 'env ANTHROPIC_API_KEY' },
      { key: 'families.anthropic.models.reviewer', value: 'claude-r', origin: 'file FILE:3' },
      { key: 'money.day', value: '$20', origin: 'file FILE:5' },
      { key: 'money.task', value: '$10', origin: 'default' },
      { key: 'unattended', value: 'true', origin: 'env CLAUDE_AUTONOMOUS_MODE' },
    ],
  )
})

test('variables that nothing uses are named', async (context) => {
  const { notes } = await loaded(context, null, { REDIS_URL: 'redis://r:6379/0', OPENAI_API_KEY: 'k' })
  assert.deepEqual(notes, [
    'REDIS_URL is accepted and not used: one machine needs no Redis',
    'OPENAI_API_KEY is set, but families.openai is not configured: tri-agent init adds it',
  ])
})

const mistakes: readonly (readonly [text: string, ...why: string[]])[] = [
  [
    'mony:\n  day: $1',
    'FILE:1: mony: unknown key; did you mean "money"? one of: families, money, providerTools, slots, caps, lending, patience, lease, drain, retry, review, lane, sizes, rung, companion, unattended, landing, http, setup, backup, retention, prices',
  ],
  [
    'money:\n  dya: $1',
    'FILE:2: money.dya: unknown key; did you mean "day"? one of: day, repositories, families, task, minute, burst, warn, priceAge',
  ],
  [
    '\nmoney:\n  day: lots\n  task: -1',
    'FILE:3: money.day: must be an amount in dollars such as $10 or 10.50',
    'FILE:4: money.task: must be an amount in dollars such as $10 or 10.50',
  ],
  [
    'families:\n  openai: { models: x, keyFrom: { env: A } }\nmoney:\n  families: { opneai: 5 }',
    'FILE:4: money.families.opneai: is no configured family; did you mean "openai"? one of: openai',
  ],
  [
    'money: { families: { openai: 5 } }',
    'FILE:1: money.families.openai: is no configured family; none is configured yet: tri-agent init',
  ],
  [
    'money: { repositories: { shop: cheap } }',
    'FILE:1: money.repositories.shop: must be an amount in dollars such as $10 or 10.50',
  ],
  ['lease:\n  beat: 30', 'FILE:2: lease.beat: must be a duration with its unit, such as 90s, 5m or 24h'],
  ['sizes: { line: 5 }', 'FILE:1: sizes.line: must be a size with its unit, such as 100KB or 64MB'],
  [
    'rung: namespaces',
    'FILE:1: rung: is not known; did you mean "namespace"? one of: cgroup, namespace, companion, subreaper, group',
  ],
  ['unattended: yes', 'FILE:1: unattended: must be true or false'],
  ['slots: { gate: 0 }', 'FILE:1: slots.gate: must be at least 1'],
  ['caps: { repositories: { shop: 0 } }', 'FILE:1: caps.repositories.shop: must be at least 1'],
  [
    'caps: { roles: { gates: 1 } }',
    'FILE:1: caps.roles.gates: unknown key; did you mean "gate"? one of: implementer, reviewer, architect, gate',
  ],
  ['slots: { gate: 1.5 }', 'FILE:1: slots.gate: must be a whole number from 1 to 64'],
  ['landing: { branch: "-x" }', 'FILE:1: landing.branch: is not a branch name'],
  ['landing: { branch: refs/heads/x }', 'FILE:1: landing.branch: is not a branch name'],
  ['lease: { beat: 60s }', 'FILE:1: lease.lease: must be at least two beats (2m), or one lost beat ends an attempt'],
  ['retry: { cap: 1s }', 'FILE:1: retry.cap: must not be below retry.first (5s)'],
  ['money: 5', 'FILE:1: money: must be a mapping'],
  ['- a', 'FILE:1: expected `key: value` lines'],
  ['money: { day: $1, day: $2 }', 'FILE:1: the key of this line stands there twice'],
  ['families:\n  anthropic: { agent: claude }', 'FILE:2: families.anthropic.models: is missing'],
  [
    'families:\n  anthropic:\n    agent: cluade\n    models: x',
    'FILE:3: families.anthropic.agent: is not known; did you mean "claude"? one of: claude, codex, gemini, opencode, scripted',
  ],
  [
    'families:\n  antropic: { models: x, agent: claude, baseUrl: https://x.example }',
    'FILE:2: families.antropic.keyFrom: is missing, and there is no default for this family; did you mean "anthropic"? one of: anthropic, openai, google',
  ],
  [
    'families:\n  openai: { models: x, baseUrl: "http://api.example.com" }',
    'FILE:2: families.openai.baseUrl: must begin with https:// (http:// only for a provider on this machine, or with upstream.privateNetwork)',
  ],
  [
    'families:\n  openai: { models: x, keyFrom: { env: A, file: /b } }',
    'FILE:2: families.openai.keyFrom: must have exactly one of env, file, stored, value',
  ],
  [
    'families:\n  openai: { models: x, keyFrom: { vaule: abc } }',
    'FILE:2: families.openai.keyFrom.vaule: unknown key; did you mean "value"? one of: env, file, stored, value',
    'FILE:2: families.openai.keyFrom: must have exactly one of env, file, stored, value',
  ],
  [
    'families:\n  openai: { models: x, keyFrom: { value: abc } }',
    'FILE:2: families.openai.keyFrom: a key written into the file is only for a provider on this machine; use env or file',
  ],
]

test('a mistake is refused with its line, its key and the nearest right word', async (context) => {
  for (const [text, ...why] of mistakes)
    assert.deepEqual(await refused(context, text), ['config-invalid', ...why], text)
})

test('unattended said twice and differently is refused', async (context) => {
  assert.deepEqual(await refused(context, 'unattended: false', { CLAUDE_AUTONOMOUS_MODE: 'true' }), [
    'config-invalid',
    'CLAUDE_AUTONOMOUS_MODE says true and FILE:1 says unattended: false',
  ])
  assert.deepEqual(await refused(context, '', { CLAUDE_AUTONOMOUS_MODE: 'maybe' }), [
    'config-invalid',
    'CLAUDE_AUTONOMOUS_MODE must be true or false',
  ])
})

const withKey = (key: string) =>
  `families:\n  openai: { models: x, baseUrl: "http://127.0.0.1:9/", keyFrom: { value: ${key} } }\n`

test('a key may be written only for a provider on this machine, in a file nobody else can read', async (context) => {
  const { settings, origins } = await loaded(context, withKey('canary-key'), {}, 0o600)
  assert.deepEqual(settings.families['openai']?.keyFrom, { value: 'canary-key' })
  assert.ok(!JSON.stringify(origins).includes('canary'))
  for (const mode of [0o640, 0o604])
    assert.deepEqual(await refused(context, withKey('canary-key'), {}, mode), [
      'config-unsafe',
      'FILE holds a key and can be read by others',
    ])
  assert.equal((await refused(context, '{}', {}, 0o606))[0], 'config-unsafe')
  assert.deepEqual((await loaded(context, 'rung: group', {}, 0o644)).settings.rung, 'group')
})

test('no message repeats a key, however the file around it is broken', async (context) => {
  const key = 'sk-ant-canary0123456789'
  const text = withKey(key)
  const broken = [
    text.replace('value:', 'vaule:'),
    text.replace('value', key),
    text.replace('models: x', `agent: ${key}`),
  ]
  const cuts = Array.from({ length: 20 }, (_, index) => text.slice(0, text.length - index))
  const stray = Array.from({ length: text.length }, (_, at) => `${text.slice(0, at)}"${text.slice(at)}`)
  for (const each of [...broken, ...cuts, ...stray]) {
    const answer = await load(context, each)
    if (isRefusal(answer)) assert.ok(!JSON.stringify(answer).includes('canary'), each)
  }
})

test("a repository's file becomes its settings; the built-in protected paths are always among its own", async () => {
  const text = `
base: main
path: ./packages/web/
setup: npm ci
setupKey: package-lock.json
toolchain: [node, npm]
gates:
  - { name: test, command: npm test }
  - { name: types, command: npx tsc, timeout: 90s, baseline: allow }
  - { name: web, command: make web, paths: [packages/web/, '**/*.css'] }
protectedPaths: ['db/**', tri-agent.yaml]
review: { families: 3, person: true }
money: { task: $2 }
`
  assert.deepEqual(await parseRepositoryConfig(text), {
    base: 'main',
    path: 'packages/web',
    setup: ['npm ci'],
    setupKey: ['package-lock.json'],
    toolchain: ['node', 'npm'],
    gates: [
      { name: 'test', command: 'npm test', timeoutMs: 1_800_000, baseline: 'block' },
      { name: 'types', command: 'npx tsc', timeoutMs: 90_000, baseline: 'allow' },
      {
        name: 'web',
        command: 'make web',
        timeoutMs: 300_000,
        baseline: 'block',
        paths: ['packages/web', '**/*.css'],
      },
    ],
    protectedPaths: [...builtInProtectedPaths, 'db/**'],
    review: { families: 3, person: true },
    money: { taskNanoUsd: 2_000_000_000 },
  })
  assert.deepEqual(await parseRepositoryConfig(''), defaultRepositorySettings())
})

test("a repository may not say what is the operator's, nor what is no key at all", async () => {
  const whys = await Promise.all(
    [
      'unattended: true',
      'gates: [{ name: a, command: b, tiemout: 5s }]',
      'setupKey: ../x',
      'path: ../x',
      'constructor: 1',
      'gates:\n  - { name: a, command: b }\n  - { name: a, command: c }',
      'gates:\n  - { name: a, command: b, paths: [/a] }\n  - { name: b, command: b, paths: ["a/{b,c}"] }',
      'gates: [{ name: a, command: b, paths: [] }]',
    ].map(async (text) => ((await parseRepositoryConfig(text, 'here')) as Refusal).why),
  )
  assert.deepEqual(whys, [
    "here:1: unattended: belongs in the operator's config file; a repository may not say it",
    'here:1: gates.0.tiemout: unknown key; did you mean "timeout"? one of: name, command, timeout, baseline, paths',
    'here:1: setupKey.0: must be a path within the repository, written with /',
    'here:1: path: must be a path from the root, or .',
    'here:1: constructor: unknown key; one of: base, path, setup, setupKey, toolchain, gates, protectedPaths, review, money',
    'here:1: gates: has two gates of one name',
    'here:2: gates.0.paths.0: must be a path from the root, in which only * and ** stand for others\nhere:3: gates.1.paths.0: must be a path from the root, in which only * and ** stand for others',
    'here:1: gates.0.paths: must name at least one',
  ])
})
