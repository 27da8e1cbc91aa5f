/**
 * Tokens as each provider reports them, brought to one form. Counters are cumulative everywhere, so the largest seen holds; adding them up is the
 * classic mistake. Hidden reasoning is output: Gemini reports it beside the candidates, the others inside.
 *
 * Sources: typed SDKs of the three vendors, facts/budget.md §2. Pure; what is not a whole number of tokens is not believed, and no last word.
 */
import { addTokens, noTokens, type Tokens } from '../core/price.ts'
import type { ProviderToolName } from '../core/provider-tool.ts'
import type { Dialect } from './route.ts'

type Json = Record<string, unknown>

/** What has been reported so far. `extras` are passes of other kinds or models inside one request, billed on top. */
export type Reported = {
  counters: Map<string, number>
  extras: { model: string | null; tokens: Tokens }[]
  /** How often the provider has done something by itself, by what is seen of it and by what it reports; and what it searched for, where it tells. */
  uses: Map<ProviderToolName, number>
  queries: Set<string>
  /** What was reported of them cannot be, or nothing was where something should be: what is held for them is kept. */
  doubtful: boolean
  /** Input is known: its hold can be settled. */
  input: boolean
  /** The provider's last word has been seen: these are the tokens it bills. */
  final: boolean
}

export const nothingReported = (): Reported => ({
  counters: new Map(),
  extras: [],
  uses: new Map(),
  queries: new Set(),
  doubtful: false,
  input: false,
  final: false,
})

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
  if (Array.isArray(document)) for (const each of document) takeDocument(dialect, each, reported)
  else takeDocument(dialect, document, reported)
}

function takeDocument(dialect: Dialect, document: unknown, reported: Reported): void {
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

/** No request has searched so often: more is a mistake. */
const mostUses = 1000

function raiseUses(reported: Reported, tool: ProviderToolName, value: unknown): void {
  const uses = isCount(value) && value <= mostUses ? value : 0
  reported.doubtful ||= value != null && value !== uses
  reported.uses.set(tool, Math.max(reported.uses.get(tool) ?? 0, uses))
}

const addUse = (reported: Reported, tool: ProviderToolName): void =>
  raiseUses(reported, tool, (reported.uses.get(tool) ?? 0) + 1)

/** Blocks of Anthropic's and items of OpenAI's that stand for one use. */
const usedBlocks: Readonly<Record<string, ProviderToolName>> = {
  mcp_tool_use: 'mcp',
  web_search: 'web_search',
  web_fetch: 'web_fetch',
  code_execution: 'code_execution',
  bash_code_execution: 'code_execution',
  text_editor_code_execution: 'code_execution',
}
const usedItems: Readonly<Record<string, ProviderToolName>> = {
  web_search_call: 'web_search',
  code_interpreter_call: 'code_execution',
  file_search_call: 'file_search',
  mcp_call: 'mcp',
}

function takeBlock(block: unknown, reported: Reported): void {
  const { type, name } = object(block) ?? {}
  const tool = usedBlocks[String(type === 'server_tool_use' ? name : type)]
  if (tool !== undefined && (type === 'server_tool_use' || type === 'mcp_tool_use')) addUse(reported, tool)
}

function takeItems(items: readonly unknown[], reported: Reported): void {
  const kinds = items.map((item) => usedItems[String(object(item)?.['type'])])
  for (const tool of new Set(kinds))
    if (tool !== undefined) raiseUses(reported, tool, kinds.filter((kind) => kind === tool).length)
}

function takeAnthropic(json: Json, reported: Reported): void {
  takeBlock(json['content_block'], reported)
  if (json['type'] === 'message') for (const block of list(json['content'])) takeBlock(block, reported)
  const usage = object(json['usage']) ?? object(object(json['message'])?.['usage'])
  if (!usage) return
  const tokens = anthropicTokens(usage)
  raiseAll(reported, tokens)
  const iterations = list(usage['iterations'])
    .map(object)
    .filter((each) => each !== undefined)
  const own = iterations
    .filter(({ type }) => type === 'message')
    .map(anthropicTokens)
    .reduce(addTokens, noTokens)
  raiseAll(reported, own)
  if (iterations.length > 0)
    reported.extras = iterations
      .filter(({ type }) => type !== 'message')
      .map((each) => ({
        model: typeof each['model'] === 'string' ? each['model'] : null,
        tokens: anthropicTokens(each),
      }))
  const used = object(usage['server_tool_use']) ?? {}
  raiseUses(reported, 'web_search', used['web_search_requests'])
  raiseUses(reported, 'web_fetch', used['web_fetch_requests'])
  raiseUses(reported, 'code_execution', used['code_execution_requests'])
  const isPossible = areCounts(usage)
  reported.input ||= isPossible && totalOf(tokens) > 0
  reported.final ||=
    isPossible &&
    isCount(usage['output_tokens']) &&
    (json['type'] === 'message' || (json['type'] === 'message_delta' && object(json['delta'])?.['stop_reason'] != null))
}

/** What was written to a cache is raised as a whole: a later count may leave out for how long it was written. */
function raiseAll(reported: Reported, { cacheWrite, ...tokens }: Tokens): void {
  for (const [name, value] of Object.entries(tokens)) raise(reported, name, value)
  raise(reported, 'written', cacheWrite + tokens.cacheWriteHour)
}

/** Whether every count of Anthropic's that is given can be one. */
const areCounts = (usage: Json): boolean =>
  [usage, object(usage['cache_creation']) ?? {}]
    .flatMap(Object.entries<unknown>)
    .every(([name, value]) => !name.endsWith('input_tokens') || value == null || isCount(value))

function anthropicTokens(usage: Json): Tokens {
  const creation = object(usage['cache_creation'])
  const hour = count(creation?.['ephemeral_1h_input_tokens'])
  const short = count(creation?.['ephemeral_5m_input_tokens'])
  return {
    input: count(usage['input_tokens']),
    cachedInput: count(usage['cache_read_input_tokens']),
    cacheWrite: Math.max(short, count(usage['cache_creation_input_tokens']) - hour),
    cacheWriteHour: hour,
    output: count(usage['output_tokens']),
    webSearches: Math.min(mostUses, count(object(usage['server_tool_use'])?.['web_search_requests'])),
  }
}

const totalOf = (tokens: Tokens): number =>
  tokens.input + tokens.cachedInput + tokens.cacheWrite + tokens.cacheWriteHour

function takeResponses(json: Json, reported: Reported): void {
  const item = usedItems[String(object(json['item'])?.['type'])]
  if (item !== undefined && json['type'] === 'response.output_item.done') addUse(reported, item)
  const response = object(json['response']) ?? (json['object'] === 'response' ? json : undefined)
  const usage = object(response?.['usage'])
  if (!response || !usage) return
  takeItems(list(response['output']), reported)
  reported.doubtful ||= !Array.isArray(response['output'])
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
  const choices = list(json['choices']).map(object)
  const isLast = choices.every((each) => each?.['delta'] == null || each['finish_reason'] != null) // some servers count with every chunk
  reported.final ||= isLast && isCount(usage['completion_tokens'])
}

/** A chat stream has been said to be over: what was counted last is its last word. */
export function endChat(reported: Reported): void {
  reported.final ||= (reported.counters.get('output') ?? 0) > 0
}

/** What was searched for is told again with every chunk, or in parts; each wording bills once. */
function takeGrounding(candidate: unknown, reported: Reported): void {
  const { groundingMetadata, urlContextMetadata, content } = object(candidate) ?? {}
  const queries = list(object(groundingMetadata)?.['webSearchQueries'])
  for (const query of queries.slice(0, mostUses))
    if (reported.queries.size <= mostUses) reported.queries.add(String(query))
  raiseUses(reported, 'web_search', Math.max(reported.queries.size, queries.length))
  raiseUses(reported, 'web_fetch', list(object(urlContextMetadata)?.['urlMetadata']).length)
  for (const part of list(object(content)?.['parts']))
    if (object(part)?.['executableCode'] != null) addUse(reported, 'code_execution')
}

function takeGemini(json: Json, reported: Reported): void {
  for (const candidate of list(json['candidates'])) takeGrounding(candidate, reported)
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
    cacheWrite: at('cacheWrite') + Math.max(0, at('written') - at('cacheWriteHour')),
    cacheWriteHour: at('cacheWriteHour'),
    output: outputOf(reported),
    webSearches: at('webSearches'),
  }
}
