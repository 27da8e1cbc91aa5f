/**
 * opencode, checked with 1.18.33: the client for further families, because it speaks every dialect. It says no last word; the model's `stop` is one. What
 * it would have to ask for is refused by itself, and then it ends with exit code 0 in the middle of its work: so every permission is settled beforehand.
 */
import type { AgentAdapter, AgentEvent, AgentParser, AgentSpec, LaunchPlan, TokenUse } from './agent.ts'
import { endOf, type Final } from './ending.ts'
import { countOf, fieldsOf, isFields, jsonOf, shorten, textOf, type Fields } from './field.ts'
import { kindOf, noTokens, toolNames, type ToolKind } from './tool.ts'

export const opencode: AgentAdapter = {
  name: 'opencode',
  dialects: ['anthropic-messages', 'openai-responses', 'gemini', 'openai-chat'],
  families: ['anthropic', 'openai', 'google'],
  sessions: ['.local/share/opencode'],
  program: { command: 'opencode', install: 'npm install --global opencode-ai' },
  plan,
  parser,
}

/** Provider by family; every other family is reached by chat completions. */
const providers: ReadonlyMap<string, { name: string; path: string; npm?: string }> = new Map([
  ['anthropic', { name: 'anthropic', path: '/v1' }],
  ['openai', { name: 'openai', path: '/v1' }],
  ['google', { name: 'google', path: '/v1beta' }],
])
const chat = { name: 'gateway', path: '/v1', npm: '@ai-sdk/openai-compatible' }

function plan(spec: AgentSpec, file: readonly string[]): LaunchPlan {
  const { family, model, access, contained, gatewayUrl, key, prompt, session, resumed } = spec
  const { name, path, npm } = providers.get(family) ?? chat
  const writing = access === 'edit' ? 'allow' : 'deny'
  const config = {
    autoupdate: false,
    share: 'disabled',
    model: `${name}/${model}`,
    small_model: `${name}/${model}`, // what it asks on the side must be a model this key may use
    provider: {
      [name]: {
        ...(npm === undefined ? {} : { npm, name }),
        options: { baseURL: gatewayUrl + path, apiKey: key },
        models: { [model]: {} },
      },
    },
    permission: {
      edit: writing,
      bash: writing,
      external_directory: contained && access === 'edit' ? 'allow' : 'deny',
      webfetch: 'deny',
      websearch: 'deny',
      doom_loop: 'deny',
    },
  }
  return {
    argv: [
      ...file,
      'run',
      '--format',
      'json',
      ...(resumed ? ['--session', session] : ['--title', 'task']), // without a title it asks for one
      '--model',
      `${name}/${model}`,
    ],
    env: {
      OPENCODE_CONFIG_CONTENT: JSON.stringify(config),
      OPENCODE_DISABLE_AUTOUPDATE: '1',
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_PROJECT_CONFIG: '1',
      OPENCODE_PURE: '1',
    },
    files: [],
    stdin: prompt,
  }
}

const kinds: ReadonlyMap<string, ToolKind> = new Map([
  ['bash', 'shell'],
  ['apply_patch', 'edit'],
  ['edit', 'edit'],
  ['multiedit', 'edit'],
  ['patch', 'edit'],
  ['write', 'edit'],
  ['glob', 'read'],
  ['grep', 'read'],
  ['list', 'read'],
  ['read', 'read'],
])

function parser(): AgentParser {
  const tools = toolNames()
  let [text, session] = ['', null as string | null]
  let tokens: TokenUse = noTokens
  let final: Final | null = null
  let [understood, complaint, halted] = [false, '', '']

  const read = (event: Fields): AgentEvent[] => {
    const part = fieldsOf(event['part'])
    switch (event['type']) {
      case 'step_start':
        text = '' // the last words are those of the last step
        return []
      case 'text':
        text += textOf(part['text'])
        return [{ type: 'text', text: textOf(part['text']) }]
      case 'reasoning':
        return []
      case 'tool_use':
        return readTool(part)
      case 'step_finish':
        return readStep(part)
      case 'error': {
        const error = fieldsOf(event['error'])
        const { message: words, statusCode } = fieldsOf(error['data'])
        const message = textOf(words) || textOf(error['name']) || 'an error without words'
        const status = countOf(statusCode) || null
        final = { ok: false, message, status }
        return [{ type: 'final', ok: false, text: '', message, ...(status === null ? {} : { status }) }]
      }
      default:
        return [{ type: 'unknown', raw: event }]
    }
  }

  /** One event for the whole tool; both of its ends are told, so that readers need not know. */
  const readTool = (part: Fields): AgentEvent[] => {
    const { status, input, error } = fieldsOf(part['state'])
    const { command, filePath, pattern, path } = fieldsOf(input)
    const [id, name, ok] = [textOf(part['callID']), textOf(part['tool']), status !== 'error']
    const detail = shorten(textOf(command) || textOf(filePath) || textOf(pattern) || textOf(path))
    return [
      tools.start(id, name, kindOf(kinds, name), detail),
      tools.end(id, ok, ok ? undefined : shorten(textOf(error))),
    ]
  }

  const readStep = (part: Fields): AgentEvent[] => {
    const use = fieldsOf(part['tokens'])
    const cache = fieldsOf(use['cache'])
    const step = {
      input: countOf(use['input']),
      cachedInput: countOf(cache['read']),
      cacheWrite: countOf(cache['write']),
      output: countOf(use['output']) + countOf(use['reasoning']),
    }
    tokens = {
      input: tokens.input + step.input,
      cachedInput: tokens.cachedInput + step.cachedInput,
      cacheWrite: tokens.cacheWrite + step.cacheWrite,
      output: tokens.output + step.output,
    }
    const usage: AgentEvent = { type: 'usage', scope: 'step', tokens: step, usd: countOf(part['cost']), model: null }
    const reason = textOf(part['reason'])
    if (reason === 'stop' && final?.ok !== false) {
      final = { ok: true }
      return [usage, { type: 'final', ok: true, text }]
    }
    if (final?.ok) final = null // it went on, and the next step tells how that ended; an error stays one
    halted = `stopped in the middle of its work (${reason || 'no reason'})`
    return [usage]
  }

  return {
    push(stream, line) {
      if (line.trim() === '') return []
      if (stream === 'stderr') {
        complaint = line.replace(colour, '')
        const denied = /permission requested: (\S+).*auto-rejecting/.exec(complaint)
        return [denied ? { type: 'denied', tool: denied[1]! } : { type: 'warning', text: complaint }]
      }
      const event = jsonOf(line)
      if (!isFields(event)) return [{ type: 'unknown', raw: line }]
      understood = true
      const first = session === null && textOf(event['sessionID']) !== ''
      if (first) session = textOf(event['sessionID'])
      const started: AgentEvent[] = first ? [{ type: 'started', session, model: null, version: null }] : []
      return [...started, ...read(event)]
    },
    end(exit) {
      // what it could not ask for comes on stderr, before or after the step
      const midway: Final | null =
        halted !== '' && exit.code === 0 ? { ok: false, message: complaint || halted, status: null } : null
      return endOf(exit, { said: { text, session, tokens }, final: final ?? midway, understood, complaint })
    },
  }
}

const colour = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
