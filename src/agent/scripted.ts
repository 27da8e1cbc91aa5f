/** The scripted agent: our own executable (sim/scripted-agent.ts) for demos and tests. It says exactly what happened, so its parser believes it. */
import { countOf, textOf } from './field.ts'
import type { Family } from '../core/family.ts'
import type { AgentAdapter, AgentEnd, AgentEvent, AgentParser, Dialect, TokenUse } from './agent.ts'

const dialectOf = (family: Family): Dialect =>
  family === 'anthropic' ? 'anthropic-messages' : family === 'google' ? 'gemini' : 'openai-responses'

export const scripted: AgentAdapter = {
  name: 'scripted',
  dialects: ['anthropic-messages', 'openai-responses', 'gemini'],
  families: ['anthropic', 'openai', 'google'],
  sessions: [],
  program: { command: 'scripted-agent', install: 'it ships with tri-agent: npm run build makes it' },
  plan: ({ family, model, session, access, gatewayUrl, key, prompt }, file) => ({
    argv: [
      ...file,
      '--family',
      family,
      '--dialect',
      dialectOf(family),
      '--model',
      model,
      '--session',
      session,
      '--access',
      access,
    ],
    env: { TRI_AGENT_GATEWAY_URL: gatewayUrl, TRI_AGENT_KEY: key },
    files: [],
    stdin: prompt,
  }),
  parser: scriptedParser,
}

type Line = Record<string, unknown> & { type?: unknown }
type Final = { ok: boolean; text: string; status: number | null; message: string | null }

function scriptedParser(): AgentParser {
  let session: string | null = null
  let final: Final | null = null
  let tokens: TokenUse = { input: 0, cachedInput: 0, cacheWrite: 0, output: 0 }

  const read = (line: Line): AgentEvent => {
    switch (line.type) {
      case 'started':
        session = textOf(line['session']) || null
        return { type: 'started', session, model: textOf(line['model']) || null, version: null }
      case 'text':
        return { type: 'text', text: textOf(line['text']) }
      case 'usage': {
        const step = {
          input: countOf(line['input']),
          cachedInput: countOf(line['cachedInput']),
          cacheWrite: countOf(line['cacheWrite']),
          output: countOf(line['output']),
        }
        tokens = {
          input: tokens.input + step.input,
          cachedInput: tokens.cachedInput + step.cachedInput,
          cacheWrite: tokens.cacheWrite + step.cacheWrite,
          output: tokens.output + step.output,
        }
        return { type: 'usage', scope: 'step', tokens: step, usd: null, model: null }
      }
      case 'final':
        final = {
          ok: line['ok'] === true,
          text: textOf(line['text']),
          status: countOf(line['status']) || null,
          message: textOf(line['message']) || null,
        }
        return {
          type: 'final',
          ok: final.ok,
          text: final.text,
          ...(final.message === null ? {} : { message: final.message }),
        }
      default:
        return readDeed(line)
    }
  }

  return {
    push(stream, line) {
      if (stream === 'stderr') return [{ type: 'warning', text: line }]
      try {
        const parsed: unknown = JSON.parse(line)
        return [typeof parsed === 'object' && parsed !== null ? read(parsed as Line) : { type: 'unknown', raw: parsed }]
      } catch {
        return [{ type: 'unknown', raw: line }]
      }
    },
    end({ code, signal, stopped }): AgentEnd {
      const said = { text: final?.text ?? '', session, tokens }
      if (stopped) return { ...said, outcome: stopped, reason: `ended by us: ${stopped}` }
      if (final?.ok && code === 0) return { ...said, outcome: 'passed', reason: 'said it is done' }
      if (final) return { ...said, outcome: outcomeOf(final), reason: final.message ?? 'said it failed' }
      return {
        ...said,
        outcome: code === 0 ? 'unreadable' : 'crashed',
        reason: code === 0 ? 'ended without a last word' : `exit ${code ?? signal}`,
      }
    },
  }
}

/** What it does, as against what it says: nothing to remember of it. */
function readDeed(line: Line): AgentEvent {
  switch (line.type) {
    case 'tool_start': {
      const kind = (['shell', 'edit', 'read'] as const).find((each) => each === line['kind']) ?? 'other'
      return {
        type: 'tool',
        phase: 'start',
        id: textOf(line['id']),
        name: textOf(line['name']),
        kind,
        detail: textOf(line['detail']),
      }
    }
    case 'tool_end':
      return {
        type: 'tool',
        phase: 'end',
        id: textOf(line['id']),
        name: '',
        kind: 'other',
        ok: line['ok'] === true,
        detail: textOf(line['detail']),
      }
    case 'retry':
      return {
        type: 'retry',
        attempt: null,
        status: countOf(line['status']) || null,
        delayMs: countOf(line['delayMs']),
        reason: textOf(line['reason']),
      }
    default:
      return { type: 'unknown', raw: line }
  }
}

function outcomeOf({ status, message }: Final): AgentEnd['outcome'] {
  if (/BUDGET_EXCEEDED/.test(message ?? '') || status === 402) return 'over-budget'
  if (status === 429) return 'rate-limited'
  if (status === 401 || status === 403 || status === 400 || status === 404) return 'refused'
  if (status !== null && status >= 500) return 'unreachable'
  return 'failed'
}
