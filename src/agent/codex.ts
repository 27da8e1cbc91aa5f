/**
 * Codex, checked with 0.169.0. It ignores OPENAI_BASE_URL and would go to the vendor with a key from its environment, so the provider is set by `-c` and
 * the key has a name of ours. It exits with 0 after a rejected patch, and its token counts are those of the whole thread.
 *
 * Its own sandbox cannot nest in ours: there it loses its patch tool, with exit code 0. So inside it is off, also for those who only look; the tree is
 * read-only by its mount then.
 */
import type { AgentAdapter, AgentEvent, AgentParser, AgentSpec, LaunchPlan, TokenUse } from './agent.ts'
import { endOf, statusIn, type Final } from './ending.ts'
import { countOf, fieldsOf, isFields, jsonOf, listOf, shorten, textOf, type Fields } from './field.ts'
import { strictSchema } from './schema.ts'
import { noTokens, toolNames, type ToolKind } from './tool.ts'

export const codex: AgentAdapter = {
  name: 'codex',
  dialects: ['openai-responses'],
  families: ['openai'],
  sessions: ['.codex/sessions'],
  program: { command: 'codex', install: 'npm install --global @openai/codex' },
  plan,
  parser,
}

const keyName = 'TRI_AGENT_KEY'
const schemaFile = 'answer-schema.json'

function plan(spec: AgentSpec, file: readonly string[]): LaunchPlan {
  const { model, access, contained, schema, gatewayUrl, key, home, prompt, session, resumed, providerTools = [] } = spec
  const sandbox = contained ? 'danger-full-access' : access === 'read' ? 'read-only' : 'workspace-write'
  const provider = [
    'name="gateway"',
    `base_url=${JSON.stringify(`${gatewayUrl}/v1`)}`,
    `env_key="${keyName}"`,
    'wire_api="responses"',
    'supports_websockets=false',
    'request_max_retries=2', // the gateway waits out what can be waited out
    'stream_max_retries=2',
    'stream_idle_timeout_ms=300000',
  ]
  const settings = [
    'model_provider="gateway"',
    `model_providers.gateway={${provider.join(',')}}`,
    'approval_policy="never"',
    `web_search="${providerTools.includes('web_search') ? 'live' : 'disabled'}"`,
    'analytics.enabled=false',
    'check_for_update_on_startup=false',
    'shell_environment_policy.inherit="core"',
    ...(resumed ? [`sandbox_mode=${JSON.stringify(sandbox)}`] : []), // `resume` does not know the flag
  ]
  return {
    argv: [
      ...file,
      'exec',
      ...(resumed ? ['resume'] : []),
      '--json',
      // it would wait for a gateway that is gone until the end of time
      ...['plugins', 'apps', 'unbounded_connection_retries'].flatMap((feature) => ['--disable', feature]),
      '--ignore-rules',
      ...settings.flatMap((setting) => ['-c', setting]),
      '--model',
      model,
      ...(resumed ? [] : ['--sandbox', sandbox]),
      '--skip-git-repo-check',
      ...(schema === undefined ? [] : ['--output-schema', `${home}/${schemaFile}`]),
      ...(resumed ? [session] : []), // its own: it lets nobody choose one
      '-',
    ],
    env: { [keyName]: key },
    files: schema === undefined ? [] : [{ path: schemaFile, text: JSON.stringify(strictSchema(schema)) }],
    stdin: prompt,
  }
}

const kinds: ReadonlyMap<string, ToolKind> = new Map([
  ['command_execution', 'shell'],
  ['file_change', 'edit'],
  ['collab_tool_call', 'other'],
  ['mcp_tool_call', 'other'],
  ['web_search', 'other'],
])

function parser({ schema }: AgentSpec): AgentParser {
  const tools = toolNames()
  let [text, session] = ['', null as string | null]
  let tokens: TokenUse = noTokens
  let final: Final | null = null
  let [understood, complaint] = [false, '']

  const read = (event: Fields): AgentEvent[] => {
    switch (event['type']) {
      case 'thread.started':
        session = textOf(event['thread_id']) || null
        return [{ type: 'started', session, model: null, version: null }]
      case 'turn.started':
      case 'item.updated':
        return []
      case 'item.started':
      case 'item.completed':
        return readItem(fieldsOf(event['item']), event['type'] === 'item.completed')
      case 'error':
        return readError(textOf(event['message']))
      case 'turn.completed':
        return readUse(fieldsOf(event['usage']))
      case 'turn.failed': {
        const message = textOf(fieldsOf(event['error'])['message'])
        final = { ok: false, message, status: null }
        return [{ type: 'final', ok: false, text: '', message }]
      }
      default:
        return [{ type: 'unknown', raw: event }]
    }
  }

  const readItem = (item: Fields, ended: boolean): AgentEvent[] => {
    const [type, id] = [textOf(item['type']), textOf(item['id'])]
    if (type === 'agent_message' && ended) {
      text = textOf(item['text'])
      return [{ type: 'text', text }]
    }
    if (type === 'error') return [{ type: 'warning', text: textOf(item['message']) }]
    if (['agent_message', 'reasoning', 'todo_list'].includes(type)) return []
    const kind = kinds.get(type)
    if (kind === undefined) return [{ type: 'unknown', raw: item }]
    if (!ended) return [tools.start(id, type, kind, detailOf(item))]
    const ok = item['status'] !== 'failed' && item['status'] !== 'declined'
    return [tools.end(id, ok, ok ? undefined : shorten(textOf(item['aggregated_output']).trim()))]
  }

  const readError = (message: string): AgentEvent[] => {
    complaint = message
    const again = /^Reconnecting\.\.\. (?:(\d+)\/\d+)?/.exec(message)
    if (!again) return [{ type: 'warning', text: message }]
    const attempt = again[1] === undefined ? null : Number(again[1])
    return [{ type: 'retry', attempt, status: statusIn(message), delayMs: null, reason: shorten(message) }]
  }

  const readUse = (use: Fields): AgentEvent[] => {
    const cachedInput = countOf(use['cached_input_tokens'])
    const cacheWrite = countOf(use['cache_write_input_tokens'])
    tokens = {
      input: Math.max(0, countOf(use['input_tokens']) - cachedInput - cacheWrite), // theirs has the cached ones in it
      cachedInput,
      cacheWrite,
      output: countOf(use['output_tokens']),
    }
    final = { ok: true }
    return [
      { type: 'usage', scope: 'session', tokens, usd: null, model: null },
      { type: 'final', ok: true, text },
    ]
  }

  return {
    push(stream, line) {
      if (line.trim() === '') return []
      if (stream === 'stderr') return readComplaint(line, (words) => (complaint = words))
      const event = jsonOf(line)
      if (!isFields(event)) return [{ type: 'unknown', raw: line }]
      understood = true
      return read(event)
    },
    end(exit) {
      const structured = schema === undefined ? undefined : jsonOf(text) // the client does not check it, so neither do we
      const said = { text, session, tokens, ...(isFields(structured) ? { structured } : {}) }
      return endOf(exit, { said, final, understood, complaint })
    },
  }
}

function readComplaint(line: string, remember: (words: string) => void): AgentEvent[] {
  if (line.startsWith('Reading additional input from stdin')) return []
  if (/patch rejected: .*sandbox/.test(line)) return [{ type: 'denied', tool: 'apply_patch' }]
  if (line.startsWith('Error: ')) remember(line.slice('Error: '.length))
  return [{ type: 'warning', text: line }]
}

function detailOf(item: Fields): string {
  const paths = listOf(item['changes']).map((change) => textOf(fieldsOf(change)['path']))
  return shorten(textOf(item['command']) || paths.join(' ') || textOf(item['tool']) || textOf(item['query']))
}
