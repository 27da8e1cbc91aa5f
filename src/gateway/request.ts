/**
 * What a request asks for, read from its body, and what must be changed in it before it may leave.
 *
 * Whatever lets a provider act, fetch, store or bill on its own is a way out of the sandbox or of the budget: provider-side tools are taken out of
 * the list, the rest is refused with the field's name, unless the operator named it (`providerTools:`). A field given twice is refused, because we and the provider could read different ones.
 */
import type { Family } from '../core/family.ts'
import type { ProviderTools } from '../core/provider-tool.ts'
import { refuse, type Refusal } from '../core/refusal.ts'
import type { Dialect, Route } from './route.ts'
import { membersOf, membersWritten, setMember, splice, type Span } from './splice.ts'
import { scanContent, type Scanned } from './content.ts'
import { nameOf, ownTool, sortTools, type Sorted } from './provider-tool.ts'

type Json = Record<string, unknown>
type Edit = { at: Span; by: string }

export type Asked = Scanned & {
  model: string
  stream: boolean
  /** Most output tokens, as the client wants it. */
  cap: number | null
  /** A lower cap than this would be refused by the provider (reasoning budget). */
  leastCap: number
  /** What says which of its parts a provider leaves out, unbilled: only with the same does an earlier bill say something of this one. */
  terms: string
  /** The chat client itself asked for the usage chunk. */
  includeUsage: boolean
  /** Provider-side tools taken out. */
  stripped: string[]
  /** Those that stay, and how often each may be used. */
  passed: Sorted['passed']
  /** The body for the provider; with `cap` told to it where given. The same buffer when nothing changes. */
  body(cap: number | null): Buffer
}

/** Reads the body of a request that bills or counts. Refuses: `body-unfit`, `field-denied`. */
export function readRequest(
  route: Route,
  raw: Buffer,
  named: ProviderTools = {},
  family: Family | null = null,
): Asked | Refusal {
  const json = parse(raw)
  if (!json) return refuse('body-unfit', 'the body is not a JSON object')
  const members = membersOf(raw)
  if (!members || membersWritten(raw) !== membersRead(json))
    return refuse('body-unfit', 'a field stands twice in the body')
  const shapeless = shapelessField(route.dialect, json)
  if (shapeless) return refuse('body-unfit', `${shapeless} is not what it should be`)
  const denied =
    disguisedField(route.dialect, json) ??
    deniedField(route.dialect, json, named) ??
    (route.dialect === 'openai-responses'
      ? (hiddenTool(json) ?? (named.stored_responses ? null : storedItem(json)))
      : null)
  if (denied) return refuse('field-denied', `${denied} is not allowed here`)
  const content = scanContent(json, named)
  if ('refused' in content) return content
  const model = route.model ?? json['model']
  if (typeof model !== 'string' || model === '') return refuse('body-unfit', 'the body names no model')
  const cap = capOf(route.dialect, json)
  if (Number.isNaN(cap)) return refuse('body-unfit', 'the limit on output tokens is not a whole number')
  const tools = sortTools(route.dialect, json, raw, members, named)
  const isStored =
    route.dialect === 'openai-responses' &&
    (storedItem(json) !== null ||
      pointers.some((name) => !isEmpty(json[name])) ||
      (named.stored_responses && json['store'] !== false))
  const includeUsage = object(json['stream_options'])?.['include_usage'] === true
  const stream = route.stream ?? json['stream'] === true
  const edits = [...tools.edits]
  if (route.dialect === 'openai-responses' && json['store'] !== false && !named.stored_responses)
    edits.push(setMember(raw, 'store', 'false')) // its default is to keep everything
  if (route.dialect === 'openai-chat' && stream && !includeUsage) edits.push(usageEdit(raw, members))
  return {
    ...content,
    ...(isStored ? { opaque: true, references: [...content.references, 'stored_responses' as const] } : {}),
    model,
    stream,
    cap,
    includeUsage,
    stripped: tools.stripped,
    passed: tools.passed,
    leastCap: leastCapOf(json),
    terms: JSON.stringify(termNames.map((name) => json[name] ?? null)),
    body: (told) =>
      splice(
        raw,
        told === null || told === cap
          ? edits
          : [...edits, capEdit(route.dialect, json, { raw, members, family }, told)],
      ),
  }
}

function parse(raw: Buffer): Json | undefined {
  try {
    return object(JSON.parse(raw.toString('utf8')))
  } catch {
    return undefined // the refusal says so
  }
}

const object = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined

/** Of a field given twice JSON.parse keeps one. */
function membersRead(json: Json): number {
  let members = 0
  const waiting: object[] = [json]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const values: unknown[] = Array.isArray(next) ? next : Object.values(next)
    if (!Array.isArray(next)) members += values.length
    for (const value of values) if (typeof value === 'object' && value !== null) waiting.push(value)
  }
  return members
}

/** Google's reader takes one object for a list of one; we read lists alone. */
function shapelessField(dialect: Dialect, json: Json): string | null {
  const { tools, generationConfig } = json
  if (tools != null && !Array.isArray(tools)) return 'tools'
  return dialect === 'gemini' && generationConfig != null && !object(generationConfig) ? 'generationConfig' : null
}

const isEmpty = (value: unknown): boolean =>
  value == null || value === false || (Array.isArray(value) && value.length === 0) || value === ''

type Check = (value: unknown) => boolean
const absent: Check = isEmpty
const oneOf =
  (...allowed: unknown[]): Check =>
  (value) =>
    value == null || allowed.includes(value)

/** Field → what it may be. Prices are those of the standard tier, so a dearer tier has no price here. */
const allowed: Readonly<Record<Dialect, Readonly<Record<string, Check>>>> = {
  'anthropic-messages': {
    mcp_servers: absent,
    container: absent,
    fallbacks: absent,
    speed: oneOf('standard'),
    service_tier: oneOf('auto', 'standard_only'),
    inference_geo: oneOf('global'),
  },
  'openai-responses': {
    background: absent,
    store: absent,
    previous_response_id: absent,
    conversation: absent,
    prompt: absent,
    service_tier: oneOf('auto', 'default', 'flex'),
  },
  'openai-chat': {
    store: absent,
    audio: absent,
    web_search_options: absent,
    search_parameters: absent, // other vendors' searches, and a reseller's
    plugins: absent,
    models: absent,
    n: oneOf(1),
    modalities: (value) => value == null || JSON.stringify(value) === '["text"]',
    service_tier: oneOf('auto', 'default', 'flex'),
  },
  gemini: {
    cachedContent: absent,
    cached_content: absent,
    generation_config: absent, // the second spelling that protobuf accepts: a cap in it would not be seen
    service_tier: oneOf('standard'),
    serviceTier: oneOf('standard'),
  },
}

const allowedInConfig: Readonly<Record<string, Check>> = {
  max_output_tokens: absent,
  candidate_count: absent,
  candidateCount: oneOf(1),
  response_modalities: absent,
  responseModalities: (value) => value == null || JSON.stringify(value) === '["TEXT"]',
}

const termNames = ['context_management', 'truncation', 'transforms', 'thinking', 'reasoning', 'reasoning_effort']

/** Names that stand for what the provider keeps: how many tokens that has is in no body. */
const pointers = ['previous_response_id', 'conversation', 'prompt']

/** The fields that an operator opens by naming what they are for. */
const openedBy: Readonly<Record<string, keyof ProviderTools>> = {
  mcp_servers: 'mcp',
  store: 'stored_responses',
  previous_response_id: 'stored_responses',
  conversation: 'stored_responses',
  prompt: 'stored_responses',
}

function deniedField(dialect: Dialect, json: Json, named: ProviderTools): string | null {
  const config = dialect === 'gemini' ? (object(json['generationConfig']) ?? {}) : {}
  const isOpen = (name: string) => Object.hasOwn(openedBy, name) && named[openedBy[name]!] !== undefined
  const wrong = Object.entries(allowed[dialect]).find(([name, check]) => !isOpen(name) && !check(json[name]))
  const inside = Object.entries(allowedInConfig).find(([name, check]) => !check(config[name]))
  return wrong?.[0] ?? (inside ? `generationConfig.${inside[0]}` : null)
}

/** A field that is none of those we judge but reads like one: some servers (Go's) take any letter case, and the letters ſ and K for s and k. */
function disguisedField(dialect: Dialect, json: Json): string | null {
  const plain = (name: string): string => name.normalize('NFKC').toLowerCase()
  const among = (names: readonly string[]) => {
    const judged = new Set(names)
    const taken = new Set(names.map(plain))
    return (name: string): boolean => !judged.has(name) && taken.has(plain(name))
  }
  const { [dialect]: fields } = allowed
  const top = among([...readNames, ...Object.keys(fields), ...capNames[dialect]])
  const inside = among([...Object.keys(allowedInConfig), ...capNames[dialect]])
  const config = dialect === 'gemini' ? (object(json['generationConfig']) ?? {}) : {}
  return Object.keys(json).find(top) ?? Object.keys(config).find(inside) ?? null
}

/** Read here, whatever their value. */
const readNames = [
  'model',
  'stream',
  'stream_options',
  'tools',
  'max_tool_calls',
  'thinking',
  'messages',
  'system',
  'input',
  'contents',
  'generationConfig',
]

const capNames: Readonly<Record<Dialect, readonly string[]>> = {
  'anthropic-messages': ['max_tokens'],
  'openai-responses': ['max_output_tokens'],
  'openai-chat': ['max_completion_tokens', 'max_tokens'],
  gemini: ['maxOutputTokens'],
}

const capHolder = (dialect: Dialect, json: Json): Json =>
  dialect === 'gemini' ? (object(json['generationConfig']) ?? {}) : json

/** NaN where it is given but no whole number, or given under both of its names. */
function capOf(dialect: Dialect, json: Json): number | null {
  const given = capNames[dialect].map((name) => capHolder(dialect, json)[name]).filter((value) => value != null)
  if (given.length === 0) return null
  const [value] = given
  return given.length === 1 && Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : Number.NaN
}

function leastCapOf(json: Json): number {
  const budget = object(json['thinking'])?.['budget_tokens']
  return typeof budget === 'number' ? budget + 1024 : 16 // 16 is the least that OpenAI takes
}

type Written = { raw: Buffer; members: Map<string, Span>; family: Family | null }

function capEdit(dialect: Dialect, json: Json, { raw, members, family }: Written, cap: number): Edit {
  const holder = capHolder(dialect, json)
  const names = capNames[dialect]
  const usual = family === null || family === 'openai' ? names[0]! : names.at(-1)! // not every server knows OpenAI's newer name
  const name = names.find((each) => holder[each] != null) ?? usual
  if (dialect !== 'gemini') return setMember(raw, name, String(cap))
  const config = members.get('generationConfig')
  if (config && object(json['generationConfig'])) return setMember(raw, name, String(cap), config)
  return setMember(raw, 'generationConfig', JSON.stringify({ [name]: cap }))
}

function usageEdit(raw: Buffer, members: Map<string, Span>): Edit {
  const options = members.get('stream_options')
  if (options && raw[options.start] === 0x7b) return setMember(raw, 'include_usage', 'true', options)
  return setMember(raw, 'stream_options', '{"include_usage":true}')
}

/** A tool of the provider's that stands where it cannot be taken out: in a namespace, or handed over within the conversation. */
function hiddenTool(json: Json): string | null {
  const listed = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
  const handed = listed(json['input']).filter((item) => object(item)?.['type'] === 'additional_tools')
  const waiting = [...handed, ...listed(json['tools'])].flatMap((holder) => listed(object(holder)?.['tools']))
  while (waiting.length > 0) {
    const tool = object(waiting.pop()) ?? {}
    if (!ownTool['openai-responses'](tool)) return `the tool ${nameOf(tool)}`
    for (const each of listed(tool['tools'])) waiting.push(each)
  }
  return null
}

/** An item that only names what the provider has stored: its tokens would be in no body. */
function storedItem(json: Json): string | null {
  const items = Array.isArray(json['input']) ? (json['input'] as unknown[]) : []
  const isStored = (item: unknown) => {
    const { type, role } = object(item) ?? {}
    return type === 'item_reference' || (type == null && role == null)
  }
  return items.some(isStored) ? 'item_reference' : null
}
