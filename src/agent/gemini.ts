/**
 * Gemini CLI, checked with 0.61.0. It exits with 0 when it is stopped, and with the HTTP status modulo 256 after an API error; it may say "success" after
 * an answer that broke off, with nothing but an `error` event before it. So exit 0 counts only with a result and without such an event, and even then the
 * caller asks the gateway what it saw on the wire.
 *
 * A repository's own .env could add headers or another system prompt: local ones are not read, and what they could set is set.
 */
import type { AgentAdapter, AgentEvent, AgentParser, AgentSpec, LaunchPlan, TokenUse } from './agent.ts'
import { endOf, statusIn, type Exit, type Final } from './ending.ts'
import { countOf, fieldsOf, isFields, jsonOf, shorten, textOf, type Fields } from './field.ts'
import { kindOf, noTokens, toolNames, type ToolKind } from './tool.ts'

export const gemini: AgentAdapter = {
  name: 'gemini',
  dialects: ['gemini'],
  families: ['google'],
  sessions: ['.gemini/tmp'],
  program: { command: 'gemini', install: 'npm install --global @google/gemini-cli' },
  plan,
  parser,
}

/** Nobody would answer. */
const uselessTools = ['ask_user', 'enter_plan_mode', 'exit_plan_mode']

/** Provider-side: the gateway would take them out anyway. Each asks under a name that the client has another model for, which this key is not for. */
const providerSide = [
  { name: 'web_search', tool: 'google_web_search', alias: 'web-search', asks: { googleSearch: {} } },
  { name: 'web_fetch', tool: 'web_fetch', alias: 'web-fetch', asks: { urlContext: {} } },
]

type Side = typeof providerSide

const aliasesFor = (model: string, open: Side) =>
  Object.fromEntries(
    open.map(({ alias, asks }) => [alias, { modelConfig: { model, generateContentConfig: { tools: [asks] } } }]),
  )

function plan(spec: AgentSpec, file: readonly string[]): LaunchPlan {
  const { model, session, resumed, access, gatewayUrl, key, maxTurns, prompt, providerTools = [] } = spec
  const [open, shut] = [true, false].map((is) =>
    providerSide.filter(({ name }) => providerTools.includes(name) === is),
  ) as [Side, Side]
  const settings = {
    security: { auth: { selectedType: 'gemini-api-key' } }, // without it a base URL makes it exit with 41
    privacy: { usageStatisticsEnabled: false },
    telemetry: { enabled: false },
    general: { enableAutoUpdate: false, maxAttempts: 3 },
    advanced: { ignoreLocalEnv: true },
    tools: { exclude: [...shut.map(({ tool }) => tool), ...uselessTools] },
    ...(open.length === 0 ? {} : { modelConfigs: { customAliases: aliasesFor(model, open) } }),
    ...(maxTurns === undefined ? {} : { model: { maxSessionTurns: maxTurns } }),
  }
  return {
    argv: [
      ...file,
      '--output-format',
      'stream-json',
      '--skip-trust',
      '--approval-mode',
      access === 'read' ? 'default' : 'yolo', // headless, `default` leaves out every tool that writes or executes
      '--model',
      model,
      resumed ? '--resume' : '--session-id',
      session,
    ],
    env: {
      GOOGLE_GEMINI_BASE_URL: gatewayUrl,
      GEMINI_API_KEY: key,
      GEMINI_CLI_NO_RELAUNCH: 'true',
      GOOGLE_GENAI_USE_VERTEXAI: 'false',
      GOOGLE_GENAI_USE_GCA: 'false',
      GEMINI_CLI_CUSTOM_HEADERS: '',
      GEMINI_SYSTEM_MD: 'false',
      GEMINI_SANDBOX: 'false', // it would want a container engine, which is not there inside, and seldom outside
    },
    files: [{ path: '.gemini/settings.json', text: JSON.stringify(settings) }],
    stdin: prompt,
  }
}

const kinds: ReadonlyMap<string, ToolKind> = new Map([
  ['run_shell_command', 'shell'],
  ['replace', 'edit'],
  ['write_file', 'edit'],
  ['glob', 'read'],
  ['grep_search', 'read'],
  ['list_directory', 'read'],
  ['read_file', 'read'],
  ['read_many_files', 'read'],
  ['search_file_content', 'read'],
])

function parser(): AgentParser {
  const tools = toolNames()
  let [text, session] = ['', null as string | null]
  let tokens: TokenUse = noTokens
  let final: Final | null = null
  let [understood, complaint, broken] = [false, '', null as string | null]

  const read = (event: Fields): AgentEvent[] => {
    switch (event['type']) {
      case 'init':
        session = textOf(event['session_id']) || null
        return [{ type: 'started', session, model: textOf(event['model']) || null, version: null }]
      case 'message': {
        const words = textOf(event['content'])
        if (event['role'] !== 'assistant' || words === '') return []
        text = event['delta'] === true ? text + words : words
        return [{ type: 'text', text: words }]
      }
      case 'tool_use': {
        text = '' // the last words are those after the last tool
        const { command, file_path: path, dir_path: folder, pattern } = fieldsOf(event['parameters'])
        const detail = shorten(textOf(command) || textOf(path) || textOf(pattern) || textOf(folder))
        const name = textOf(event['tool_name'])
        return [tools.start(textOf(event['tool_id']), name, kindOf(kinds, name), detail)]
      }
      case 'tool_result': {
        const ok = event['status'] === 'success'
        return [tools.end(textOf(event['tool_id']), ok, ok ? undefined : shorten(textOf(event['output'])))]
      }
      case 'error': {
        const message = textOf(event['message'])
        if (event['severity'] === 'error') broken = message
        return [{ type: 'warning', text: message }]
      }
      case 'result':
        return readResult(event)
      default:
        return [{ type: 'unknown', raw: event }]
    }
  }

  const readResult = (event: Fields): AgentEvent[] => {
    const stats = fieldsOf(event['stats'])
    const input = countOf(stats['input_tokens']) // the cached ones are in it
    const cachedInput = Math.min(input, countOf(stats['cached']))
    // theirs leaves the hidden reasoning out; only the total has it
    const output = Math.max(countOf(stats['output_tokens']), countOf(stats['total_tokens']) - input)
    tokens = { input: input - cachedInput, cachedInput, cacheWrite: 0, output }
    const usage: AgentEvent = { type: 'usage', scope: 'attempt', tokens, usd: null, model: null }
    if (event['status'] === 'success' && broken === null) {
      final = { ok: true }
      return [usage, { type: 'final', ok: true, text }]
    }
    const error = fieldsOf(event['error'])
    const message = textOf(error['message']) || broken || 'no success'
    const turns = error['type'] === 'FatalTurnLimitedError'
    final = { ok: false, message, status: null, ...(turns ? { outcome: 'failed' } : {}) }
    return [usage, { type: 'final', ok: false, text: '', message }]
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
      const said = { text, session, tokens }
      return endOf(exit, { said, final: withStatus(final, exit), understood, complaint })
    },
  }
}

/** The exit code of an API error is its status modulo 256. */
function withStatus(final: Final | null, { code }: Exit): Final | null {
  if (!final || final.ok || code === null) return final
  const status = code + 256
  return status >= 400 && status < 512 ? { ...final, status: statusIn(final.message) ?? status } : final
}

/** Said at every start, or the lines of a stack: nobody wants to read them. */
const noise =
  /^Warning: 256-color|^YOLO mode is enabled|^\[STARTUP\]|^Approval mode overridden|^\s+(?:at |\w+: )|^\s*[[\]{}]+,?$/

function readComplaint(line: string, remember: (words: string) => void): AgentEvent[] {
  if (noise.test(line)) return []
  const plain = line.replace(colour, '')
  remember(plain)
  const again = /^Attempt (\d+) failed(?: with status (\d+))?\. Retrying/.exec(plain)
  if (!again) return [{ type: 'warning', text: plain }]
  const status = again[2] === undefined ? null : Number(again[2])
  return [{ type: 'retry', attempt: Number(again[1]), status, delayMs: null, reason: shorten(plain, 300) }]
}

const colour = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
