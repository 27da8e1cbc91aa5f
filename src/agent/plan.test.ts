/** What each client is started with, whole: a flag that goes missing here is a way out of the sandbox, of the budget, or a client that never ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AgentAdapter, AgentSpec, LaunchPlan } from './agent.ts'
import { adapterNamed } from './registry.ts'

const session = '11111111-1111-4111-8111-111111111111'
const spec: AgentSpec = {
  attempt: 'attempt_1',
  role: 'implementer',
  prompt: 'do it; --now',
  family: 'openai',
  model: 'a-model',
  work: '/work',
  home: '/home/agent',
  tmp: '/tmp',
  gatewayUrl: 'http://127.0.0.1:8701',
  key: 'virtual-key',
  session,
  access: 'edit',
  contained: true,
}
const schema = { type: 'object', properties: { verdict: { type: 'string', maxLength: 9 } } }
/** No word of a plan has a space in it, so that they can be written as one reads them. */
const words = (text: string): string[] => text.trim().split(/\s+/)

const adapters = (['claude', 'codex', 'gemini', 'opencode', 'scripted'] as const).map(adapterNamed)

const planOf = (name: AgentAdapter['name'], changes: Partial<AgentSpec> = {}): LaunchPlan =>
  adapterNamed(name).plan({ ...spec, ...changes }, ['/opt/agent/program'])

/** Words of `after` that are not in `before`, and the other way round. */
const changed = (before: LaunchPlan, after: LaunchPlan) => ({
  gone: before.argv.filter((word) => !after.argv.includes(word)),
  added: after.argv.filter((word) => !before.argv.includes(word)),
})

test('claude is started without settings of the repository, and retries little', () => {
  assert.deepEqual(planOf('claude'), {
    argv: words(`/opt/agent/program --print --output-format stream-json --verbose --model a-model --session-id ${session}
      --setting-sources user --strict-mcp-config --disallowedTools WebSearch,WebFetch --permission-mode bypassPermissions`),
    env: {
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:8701',
      ANTHROPIC_AUTH_TOKEN: 'virtual-key',
      ANTHROPIC_DEFAULT_HAIKU_MODEL: 'a-model',
      CLAUDE_CODE_SUBAGENT_MODEL: 'a-model',
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: '2',
      DISABLE_AUTOUPDATER: '1',
    },
    files: [],
    stdin: 'do it; --now',
  })
})

test('claude that may only look gets tools that only look', () => {
  assert.deepEqual(changed(planOf('claude'), planOf('claude', { access: 'read' })), {
    gone: ['--disallowedTools', 'WebSearch,WebFetch', 'bypassPermissions'],
    added: ['--tools', 'Read,Grep,Glob', 'dontAsk'],
  })
})

test('a client is given its provider’s search only where the settings name it, and never a fetch of its own', () => {
  const search = { providerTools: ['web_search', 'file_ids'] }
  assert.deepEqual(changed(planOf('claude'), planOf('claude', search)), {
    gone: ['WebSearch,WebFetch'],
    added: ['WebFetch'],
  })
  const looks = { access: 'read' } as const
  assert.deepEqual(changed(planOf('claude', looks), planOf('claude', { ...looks, ...search })), {
    gone: ['Read,Grep,Glob'],
    added: ['Read,Grep,Glob,WebSearch', '--allowedTools', 'WebSearch'],
  })
  assert.deepEqual(changed(planOf('codex'), planOf('codex', search)), {
    gone: ['web_search="disabled"'],
    added: ['web_search="live"'],
  })
  const { tools, modelConfigs } = JSON.parse(planOf('gemini', search).files[0]!.text) as Record<string, unknown>
  assert.deepEqual(tools, { exclude: ['web_fetch', 'ask_user', 'enter_plan_mode', 'exit_plan_mode'] })
  assert.deepEqual(modelConfigs, {
    customAliases: {
      'web-search': { modelConfig: { model: 'a-model', generateContentConfig: { tools: [{ googleSearch: {} }] } } },
    },
  })
})

test('claude outside our namespaces has its own sandbox on', () => {
  const plan = planOf('claude', { contained: false })
  assert.deepEqual(changed(planOf('claude'), plan), {
    gone: ['bypassPermissions'],
    added: ['acceptEdits', '--allowedTools', 'Bash'],
  })
  assert.deepEqual(plan.files, [
    {
      path: '.claude/settings.json',
      text: '{"sandbox":{"enabled":true,"autoAllowBashIfSandboxed":true,"allowUnsandboxedCommands":false}}',
    },
  ])
})

test('claude is held to turns and to a schema where there are any', () => {
  assert.deepEqual(changed(planOf('claude'), planOf('claude', { maxTurns: 7, schema })).added, [
    '--max-turns',
    '7',
    '--json-schema',
    JSON.stringify(schema),
  ])
})

test('claude is told no dialect of its schema: it knows an older one only and would not start', () => {
  const { argv } = planOf('claude', { schema: { $schema: 'https://json-schema.org/draft/2020-12/schema', ...schema } })
  assert.equal(argv.at(-1), JSON.stringify(schema))
})

const provider =
  'wire_api="responses",supports_websockets=false,request_max_retries=2,stream_max_retries=2,stream_idle_timeout_ms=300000'

test('codex is started with our provider alone, silent, and never waits for ever', () => {
  assert.deepEqual(planOf('codex'), {
    argv: words(`/opt/agent/program exec --json --disable plugins --disable apps --disable unbounded_connection_retries
      --ignore-rules
      -c model_provider="gateway"
      -c model_providers.gateway={name="gateway",base_url="http://127.0.0.1:8701/v1",env_key="TRI_AGENT_KEY",${provider}}
      -c approval_policy="never" -c web_search="disabled" -c analytics.enabled=false -c check_for_update_on_startup=false
      -c shell_environment_policy.inherit="core" --model a-model --sandbox danger-full-access --skip-git-repo-check -`),
    env: { TRI_AGENT_KEY: 'virtual-key' },
    files: [],
    stdin: 'do it; --now',
  })
})

test('codex and opencode go on with a session of theirs, which only they can name', () => {
  const resumed = { session: 'theirs', resumed: true }
  assert.deepEqual(changed(planOf('codex'), planOf('codex', resumed)), {
    gone: ['--sandbox', 'danger-full-access'],
    added: ['resume', 'sandbox_mode="danger-full-access"', 'theirs'],
  })
  const { argv } = planOf('codex', { ...resumed, contained: false, access: 'read' })
  assert.ok(argv.includes('sandbox_mode="read-only"'))
  assert.deepEqual(argv.slice(-2), ['theirs', '-'])
  assert.deepEqual(changed(planOf('opencode'), planOf('opencode', resumed)), {
    gone: ['--title', 'task'],
    added: ['--session', 'theirs'],
  })
})

test('codex has its own sandbox on outside our namespaces, and off inside, where it cannot nest', () => {
  const sandboxOf = (changes: Partial<AgentSpec>) => {
    const { argv } = planOf('codex', changes)
    return argv[argv.indexOf('--sandbox') + 1]
  }
  assert.deepEqual(
    {
      insideEdit: sandboxOf({}),
      insideRead: sandboxOf({ access: 'read' }),
      outsideEdit: sandboxOf({ contained: false }),
      outsideRead: sandboxOf({ contained: false, access: 'read' }),
    },
    {
      insideEdit: 'danger-full-access',
      insideRead: 'danger-full-access',
      outsideEdit: 'workspace-write',
      outsideRead: 'read-only',
    },
  )
})

test('codex finds the schema in its HOME, in the strict form', () => {
  const plan = planOf('codex', { schema })
  assert.deepEqual(changed(planOf('codex'), plan).added, ['--output-schema', '/home/agent/answer-schema.json'])
  assert.deepEqual(plan.files, [
    {
      path: 'answer-schema.json',
      text: '{"type":"object","properties":{"verdict":{"type":"string"}},"required":["verdict"],"additionalProperties":false}',
    },
  ])
})

test('gemini is started without variables of the repository', () => {
  assert.deepEqual(planOf('gemini', { maxTurns: 7 }), {
    argv: words(`/opt/agent/program --output-format stream-json --skip-trust --approval-mode yolo --model a-model
      --session-id ${session}`),
    env: {
      GOOGLE_GEMINI_BASE_URL: 'http://127.0.0.1:8701',
      GEMINI_API_KEY: 'virtual-key',
      GEMINI_CLI_NO_RELAUNCH: 'true',
      GOOGLE_GENAI_USE_VERTEXAI: 'false',
      GOOGLE_GENAI_USE_GCA: 'false',
      GEMINI_CLI_CUSTOM_HEADERS: '',
      GEMINI_SYSTEM_MD: 'false',
      GEMINI_SANDBOX: 'false',
    },
    files: [
      {
        path: '.gemini/settings.json',
        text: JSON.stringify({
          security: { auth: { selectedType: 'gemini-api-key' } },
          privacy: { usageStatisticsEnabled: false },
          telemetry: { enabled: false },
          general: { enableAutoUpdate: false, maxAttempts: 3 },
          advanced: { ignoreLocalEnv: true },
          tools: { exclude: ['google_web_search', 'web_fetch', 'ask_user', 'enter_plan_mode', 'exit_plan_mode'] },
          model: { maxSessionTurns: 7 },
        }),
      },
    ],
    stdin: 'do it; --now',
  })
})

test('gemini that may only look has no tool that writes', () => {
  assert.deepEqual(changed(planOf('gemini'), planOf('gemini', { access: 'read' })), {
    gone: ['yolo'],
    added: ['default'],
  })
})

const configOf = (changes: Partial<AgentSpec>): unknown =>
  JSON.parse(planOf('opencode', changes).env['OPENCODE_CONFIG_CONTENT'] ?? '')

test('opencode is started with one provider, and nothing is left for it to ask', () => {
  const { argv, env, files, stdin } = planOf('opencode', { family: 'anthropic' })
  const { OPENCODE_CONFIG_CONTENT: _, ...rest } = env
  assert.deepEqual(
    { argv, rest, files, stdin, config: configOf({ family: 'anthropic' }) },
    {
      argv: ['/opt/agent/program', 'run', '--format', 'json', '--title', 'task', '--model', 'anthropic/a-model'],
      rest: {
        OPENCODE_DISABLE_AUTOUPDATE: '1',
        OPENCODE_DISABLE_MODELS_FETCH: '1',
        OPENCODE_DISABLE_PROJECT_CONFIG: '1',
        OPENCODE_PURE: '1',
      },
      files: [],
      stdin: 'do it; --now',
      config: {
        autoupdate: false,
        share: 'disabled',
        model: 'anthropic/a-model',
        small_model: 'anthropic/a-model',
        provider: {
          anthropic: {
            options: { baseURL: 'http://127.0.0.1:8701/v1', apiKey: 'virtual-key' },
            models: { 'a-model': {} },
          },
        },
        permission: {
          edit: 'allow',
          bash: 'allow',
          external_directory: 'allow',
          webfetch: 'deny',
          websearch: 'deny',
          doom_loop: 'deny',
        },
      },
    },
  )
})

test('opencode reaches a further family by chat completions, and may be told only to look', () => {
  assert.deepEqual(configOf({ family: 'moonshot', access: 'read' }), {
    autoupdate: false,
    share: 'disabled',
    model: 'gateway/a-model',
    small_model: 'gateway/a-model',
    provider: {
      gateway: {
        npm: '@ai-sdk/openai-compatible',
        name: 'gateway',
        options: { baseURL: 'http://127.0.0.1:8701/v1', apiKey: 'virtual-key' },
        models: { 'a-model': {} },
      },
    },
    permission: {
      edit: 'deny',
      bash: 'deny',
      external_directory: 'deny',
      webfetch: 'deny',
      websearch: 'deny',
      doom_loop: 'deny',
    },
  })
})

test('no client has the key or the prompt in its arguments, where every user of the machine could read them', () => {
  const leaks = adapters.flatMap((adapter) => {
    const { argv } = adapter.plan({ ...spec, schema }, ['/opt/agent/program'])
    return argv
      .filter((word) => word.includes('virtual-key') || word.includes('do it'))
      .map((word) => [adapter.name, word])
  })
  assert.deepEqual(leaks, [])
})
