/**
 * Tokens as each provider reports them, brought to one form. Counters are cumulative everywhere, so the largest seen holds; adding them up is the
 * classic mistake. Hidden reasoning is output: Gemini reports it beside the candidates, the others inside.
 *
 * Sources: typed SDKs of the three vendors, facts/budget.md §2. Pure; what is not a whole number of tokens is not believed, and no last word.
 */
import { addTokens, noTokens, type Tokens } from '../core/price.ts'
import type { Dialect } from './route.ts'

type Json = Record<string, unknown>

/** What has been reported so far. `extras` are passes of other kinds or models inside one request, billed on top. */
export type Reported = {
  counters: Map<string, number>
  extras: { model: string | null; tokens: Tokens }[]
  /** Input is known: its hold can be settled. */
  input: boolean
  /** The provider's last word has been seen: these are the tokens it bills. */
  final: boolean
}

export const nothingReported = (): Reported => ({ counters: new Map(), extras: [], input: false, final: false })

const object = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** No request has had so many tokens: more is a mistake, and would burst the ledger. */
const mostTokens = 1_000_000_000

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= mostTokens

const count = (value: unknown): number => (isCount(value) ? value : 0)

/** Takes one JSON document of an answer (an event's, or a whole body) into account. */
export function takeUsage(dialect: Dialect, document: unknown, reported: Reported): void {
  if (Array.isArray(document)) for (const each of document) takeUsage(dialect, each, reported)
  const json = object(document)
  if (!json) return
  if (dialect === 'anthropic-messages') takeAnthropic(json, reported)
  else if (dialect === 'openai-responses') takeResponses(json, reported)
  else if (dialect === 'openai-chat') takeChat(json, reported)
  else takeGemini(json, reported)
}

function raise(reported: Reported, name: string, value: unknown): void {
  reported.counters.set(name, Math.max(reported.counters.get(name) ?? 0, count(value)))
}

function takeAnthropic(json: Json, reported: Reported): void {
  const usage = object(json['usage']) ?? object(object(json['message'])?.['usage'])
  if (!usage) return
  const tokens = anthropicTokens(usage)
  for (const [name, value] of Object.entries(tokens)) raise(reported, name, value)
  const iterations = list(usage['iterations'])
    .map(object)
    .filter((each) => each !== undefined)
  const own = iterations
    .filter(({ type }) => type === 'message')
    .map(anthropicTokens)
    .reduce(addTokens, noTokens)
  for (const [name, value] of Object.entries(own)) raise(reported, name, value)
  if (iterations.length > 0)
    reported.extras = iterations
      .filter(({ type }) => type !== 'message')
      .map((each) => ({
        model: typeof each['model'] === 'string' ? each['model'] : null,
        tokens: anthropicTokens(each),
      }))
  reported.input ||= totalOf(tokens) > 0
  reported.final ||=
    isCount(usage['output_tokens']) &&
    (json['type'] === 'message' || (json['type'] === 'message_delta' && object(json['delta'])?.['stop_reason'] != null))
}

function anthropicTokens(usage: Json): Tokens {
  const creation = object(usage['cache_creation'])
  const hour = count(creation?.['ephemeral_1h_input_tokens'])
  return {
    input: count(usage['input_tokens']),
    cachedInput: count(usage['cache_read_input_tokens']),
    cacheWrite: Math.max(0, count(usage['cache_creation_input_tokens']) - hour),
    cacheWriteHour: hour,
    output: count(usage['output_tokens']),
    webSearches: count(object(usage['server_tool_use'])?.['web_search_requests']),
  }
}

const totalOf = (tokens: Tokens): number =>
  tokens.input + tokens.cachedInput + tokens.cacheWrite + tokens.cacheWriteHour

function takeResponses(json: Json, reported: Reported): void {
  const response = object(json['response']) ?? (json['object'] === 'response' ? json : undefined)
  const usage = object(response?.['usage'])
  if (!response || !usage) return
  const details = object(usage['input_tokens_details'])
  raise(reported, 'all', usage['input_tokens'])
  raise(reported, 'cachedInput', details?.['cached_tokens'])
  raise(reported, 'cacheWrite', details?.['cache_write_tokens'])
  raise(reported, 'output', usage['output_tokens'])
  reported.input ||= isCount(usage['input_tokens'])
  if (isCount(usage['output_tokens']))
    reported.final ||= ['completed', 'incomplete', 'failed', 'cancelled'].includes(String(response['status']))
}

function takeChat(json: Json, reported: Reported): void {
  const usage = object(json['usage'])
  if (!usage) return
  const details = object(usage['prompt_tokens_details'])
  raise(reported, 'all', usage['prompt_tokens'])
  raise(reported, 'cachedInput', details?.['cached_tokens'])
  raise(reported, 'cacheWrite', details?.['cache_write_tokens'])
  raise(reported, 'output', usage['completion_tokens'])
  reported.input ||= isCount(usage['prompt_tokens'])
  reported.final ||= isCount(usage['completion_tokens']) // with include_usage it comes once, at the end; a provider that repeats it repeats it larger
}

function takeGemini(json: Json, reported: Reported): void {
  const usage = object(json['usageMetadata'])
  if (!usage) return
  raise(reported, 'prompt', usage['promptTokenCount'])
  raise(reported, 'toolPrompt', usage['toolUsePromptTokenCount'])
  raise(reported, 'cachedInput', usage['cachedContentTokenCount'])
  raise(reported, 'candidates', usage['candidatesTokenCount'])
  raise(reported, 'thoughts', usage['thoughtsTokenCount'])
  reported.input ||= count(usage['promptTokenCount']) > 0
  const blocked = object(json['promptFeedback'])?.['blockReason'] != null
  const { candidatesTokenCount: made = 0, thoughtsTokenCount: thought = 0 } = usage
  if (isCount(made) && isCount(thought))
    reported.final ||= blocked || list(json['candidates']).some((each) => object(each)?.['finishReason'] != null)
}

/** The output among `tokensOf`: looked at with each event. */
export const outputOf = ({ counters }: Reported): number =>
  (counters.get('output') ?? 0) + (counters.get('candidates') ?? 0) + (counters.get('thoughts') ?? 0)

/** The tokens of the request itself, without its extras. */
export function tokensOf(reported: Reported): Tokens {
  const at = (name: string): number => reported.counters.get(name) ?? 0
  const all = at('all') + at('prompt') + at('toolPrompt')
  return {
    input: all > 0 ? Math.max(0, all - at('cachedInput') - at('cacheWrite')) : at('input'),
    cachedInput: at('cachedInput'),
    cacheWrite: at('cacheWrite'),
    cacheWriteHour: at('cacheWriteHour'),
    output: outputOf(reported),
    webSearches: at('webSearches'),
  }
}
