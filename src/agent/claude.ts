/**
 * Claude Code, checked with 2.1.330. Its final `result` says `subtype: "success"` also for API errors, so `is_error` is what counts; it exits with 0 when
 * interrupted; its `assistant` events carry the token counts of the message's start, so only the result's are believed.
 *
 * A repository's own .claude/settings.json could move the base URL and start hooks: `--setting-sources user` leaves it out, and HOME is ours.
 */
import type { AgentAdapter, AgentEvent, AgentParser, AgentSpec, LaunchPlan, TokenUse } from './agent.ts'
import { endOf, type Final } from './ending.ts'
import { countOf, fieldsOf, isFields, jsonOf, listOf, shorten, textOf, type Fields } from './field.ts'
import { kindOf, noTokens, toolNames, type ToolKind } from './tool.ts'

export const claude: AgentAdapter = {
  name: 'claude',
  dialects: ['anthropic-messages'],
  families: ['anthropic'],
  sessions: ['.claude/projects'],
  program: { command: 'claude', install: 'npm install --global @anthropic-ai/claude-code' },
  plan,
  parser,
}

function plan(spec: AgentSpec, file: readonly string[]): LaunchPlan {
  const { model, session, resumed, access, contained, schema, maxTurns, gatewayUrl, key, providerTools = [] } = spec
  const search = providerTools.includes('web_search') ? ['WebSearch'] : []
  return {
    argv: [
      ...file,
      '--print',
      '--output-format',
      'stream-json',
      '--verbose', // stream-json is refused without it
      '--model',
      model,
      resumed ? '--resume' : '--session-id',
      session,
      '--setting-sources',
      'user',
      '--strict-mcp-config',
      ...(access === 'read'
        ? ['--tools', ['Read', 'Grep', 'Glob', ...search].join(), ...allow(search), '--permission-mode', 'dontAsk']
        : [
            '--disallowedTools',
            search.length > 0 ? 'WebFetch' : 'WebSearch,WebFetch',
            ...permission(contained, search),
          ]), // it fetches by itself, and cannot
      ...(maxTurns === undefined ? [] : ['--max-turns', String(maxTurns)]),
      ...(schema === undefined ? [] : ['--json-schema', JSON.stringify({ ...schema, $schema: undefined })]), // it knows an older dialect only
    ],
    env: {
      ANTHROPIC_BASE_URL: gatewayUrl,
      ANTHROPIC_AUTH_TOKEN: key,
      // what it asks on the side must be a model this key may use
      ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
      CLAUDE_CODE_SUBAGENT_MODEL: model,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      CLAUDE_CODE_MAX_RETRIES: '2', // the gateway waits out what can be waited out
      DISABLE_AUTOUPDATER: '1',
    },
    files: contained ? [] : [{ path: '.claude/settings.json', text: JSON.stringify(ownSandbox) }],
    stdin: spec.prompt,
  }
}

/** Inside our namespaces nothing is left to ask about; outside, its own sandbox is the only one there is. */
const permission = (contained: boolean, search: readonly string[]): string[] =>
  contained
    ? ['--permission-mode', 'bypassPermissions']
    : ['--permission-mode', 'acceptEdits', ...allow(['Bash', ...search])]

const allow = (tools: readonly string[]): string[] => (tools.length > 0 ? ['--allowedTools', tools.join()] : [])

const ownSandbox = { sandbox: { enabled: true, autoAllowBashIfSandboxed: true, allowUnsandboxedCommands: false } }

const kinds: ReadonlyMap<string, ToolKind> = new Map([
  ['Bash', 'shell'],
  ['Edit', 'edit'],
  ['MultiEdit', 'edit'],
  ['NotebookEdit', 'edit'],
  ['Write', 'edit'],
  ['Glob', 'read'],
  ['Grep', 'read'],
  ['LS', 'read'],
  ['Read', 'read'],
])

function parser(): AgentParser {
  const tools = toolNames()
  let [text, session, structured] = ['', null as string | null, undefined as unknown]
  let tokens: TokenUse = noTokens
  let final: Final | null = null
  let [understood, complaint] = [false, '']

  const read = (event: Fields): AgentEvent[] => {
    const type = textOf(event['type'])
    if (type === 'system') return readSystem(event)
    if (type === 'assistant') return readAnswer(fieldsOf(event['message']))
    if (type === 'user') return listOf(fieldsOf(event['message'])['content']).flatMap(readToolEnd)
    if (type === 'result') return readResult(event)
    return ['stream_event', 'rate_limit_event'].includes(type) ? [] : [{ type: 'unknown', raw: event }]
  }

  const readSystem = (event: Fields): AgentEvent[] => {
    switch (event['subtype']) {
      case 'init':
        session = textOf(event['session_id']) || null
        return [
          {
            type: 'started',
            session,
            model: textOf(event['model']) || null,
            version: textOf(event['claude_code_version']) || null,
          },
        ]
      case 'api_retry': {
        const retry = {
          attempt: countOf(event['attempt']) || null,
          status: countOf(event['error_status']) || null,
          delayMs: countOf(event['retry_delay_ms']),
        }
        return [{ type: 'retry', ...retry, reason: textOf(event['error']) }]
      }
      case 'permission_denied':
        return [{ type: 'denied', tool: textOf(event['tool_name']) }]
      case 'model_fallback':
        return [{ type: 'warning', text: textOf(event['content']) || 'it went on with another model' }]
      case 'status':
        return []
      default:
        return [{ type: 'unknown', raw: event }]
    }
  }

  const readAnswer = (message: Fields): AgentEvent[] =>
    listOf(message['content']).flatMap((block): AgentEvent[] => {
      const { type, text: words, id, name, input } = fieldsOf(block)
      // `<synthetic>`: the client's own words about an error, which the result says again
      if (type === 'text' && message['model'] !== '<synthetic>') {
        text = textOf(words)
        return [{ type: 'text', text }]
      }
      if (type !== 'tool_use') return []
      const { command, file_path: path, pattern } = fieldsOf(input)
      const detail = shorten(textOf(command) || textOf(path) || textOf(pattern))
      return [tools.start(textOf(id), textOf(name), kindOf(kinds, textOf(name)), detail)]
    })

  const readToolEnd = (block: unknown): AgentEvent[] => {
    const { type, tool_use_id: id, is_error: isError, content } = fieldsOf(block)
    if (type !== 'tool_result') return []
    return [tools.end(textOf(id), isError !== true, isError === true ? shorten(textOf(content)) : undefined)]
  }

  const readResult = (event: Fields): AgentEvent[] => {
    const use = fieldsOf(event['usage'])
    session = textOf(event['session_id']) || session
    tokens = {
      input: countOf(use['input_tokens']),
      cachedInput: countOf(use['cache_read_input_tokens']),
      cacheWrite: countOf(use['cache_creation_input_tokens']),
      output: countOf(use['output_tokens']),
    }
    const ok = event['is_error'] === false && event['subtype'] === 'success'
    if (ok) {
      text = textOf(event['result']) || text
      structured = event['structured_output']
    }
    const usage = { tokens, usd: countOf(event['total_cost_usd']), model: null }
    const last = ok ? { ok } : failureOf(event)
    final = last
    return [
      { type: 'usage', scope: 'attempt', ...usage },
      {
        type: 'final',
        ok,
        text: ok ? text : '',
        ...(structured === undefined ? {} : { structured }),
        ...(last.ok ? {} : { message: last.message, ...(last.status === null ? {} : { status: last.status }) }),
      },
    ]
  }

  return {
    push(stream, line) {
      if (stream === 'stderr') {
        if (line.trim() === '') return []
        complaint = line
        return [{ type: 'warning', text: line }]
      }
      const value = jsonOf(line)
      const events = (Array.isArray(value) ? value : [value]).filter(isFields) // an array is what `--output-format json` prints
      if (events.length > 0) understood = true
      return events.length > 0 ? events.flatMap(read) : line.trim() === '' ? [] : [{ type: 'unknown', raw: line }]
    },
    end: (exit) => {
      const said = { text, session, tokens, ...(structured === undefined ? {} : { structured }) }
      return endOf(exit, { said, final, understood, complaint })
    },
  }
}

function failureOf(event: Fields): Exclude<Final, { ok: true }> {
  const message = textOf(event['result']) || listOf(event['errors']).map(textOf).join('; ') || textOf(event['subtype'])
  const status = countOf(event['api_error_status']) || null
  const failure = { ok: false as const, message, status }
  switch (event['subtype']) {
    case 'error_max_turns':
      return { ...failure, outcome: 'failed' }
    case 'error_max_budget_usd':
      return { ...failure, outcome: 'over-budget' }
    case 'error_during_execution':
      return { ...failure, otherwise: 'crashed' }
    default:
      return failure
  }
}
