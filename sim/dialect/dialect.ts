/**
 * What the four wire dialects have in common: a request read as an `Ask`, a reply written from a `Reply`.
 * Pure: no clock, no chance, no socket. Ids and moments come in with the reply, so the same reply is the same bytes.
 */
export type DialectName = 'anthropic-messages' | 'openai-responses' | 'openai-chat' | 'gemini'

/** A tool as the client offers it. `freeform` ones take plain text instead of a JSON object (codex: apply_patch). */
export type Tool = { name: string; form: 'json' | 'freeform'; keys: readonly string[] }

export type Ask = {
  model: string
  stream: boolean
  system: string
  /** Everything people said in this conversation; what clients inject around it (reminders, environment) is left out. */
  user: string
  /** What they said last. */
  lastUser: string
  tools: readonly Tool[]
  /** Since the last thing a person said. */
  toolResults: number
  /** Ids and signatures of our own earlier calls since then, oldest first: they carry which rule we follow. */
  marks: readonly string[]
  /** Set when the client holds the model to bare JSON; its schema where it sent one. */
  json: { schema: unknown } | null
  /** Chat Completions sends usage in a stream only when asked. */
  streamUsage: boolean
}

/** `input` is what is paid in full: neither read from nor written to a cache. `output` includes `thinking`. */
export type Tokens = { input: number; cachedInput: number; cacheWrite: number; output: number; thinking: number }

export type Call = { name: string; args: Readonly<Record<string, unknown>> } | { name: string; freeform: string }

export type Reply = {
  text: string
  call: Call | null
  tokens: Tokens
  /** Hex, unique to this reply. */
  id: string
  /** Put into the id of the call so that the next request brings it back. */
  mark: string
  /** Epoch milliseconds. */
  createdAt: number
}

export type Dialect = {
  name: DialectName
  family: 'anthropic' | 'openai' | 'google'
  decode(body: Json, path: string): Ask
  encode(ask: Ask, reply: Reply): Json
  /** Server-sent events, each one whole frame. The first says nothing of the answer yet. */
  encodeStream(ask: Ask, reply: Reply): string[]
  encodeError(status: number, message: string): Json
  /** An error that arrives inside a stream, after a 200. */
  encodeStreamError(status: number, message: string): string
}

export type Json = { readonly [key: string]: unknown }

/** One server-sent event. */
export const frame = (payload: unknown, event?: string): string =>
  `${event === undefined ? '' : `event: ${event}\n`}data: ${typeof payload === 'string' ? payload : JSON.stringify(payload)}\n\n`

export const asObject = (value: unknown): Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}

export const asArray = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.map(asObject) : [])

export const asText = (value: unknown): string => (typeof value === 'string' ? value : '')

/** Names of a JSON schema's properties, in the order given. */
export const keysOf = (schema: unknown): string[] => Object.keys(asObject(asObject(schema).properties))

/** Total input as vendors other than Anthropic count it: cached and written tokens included. */
export const wholeInput = (tokens: Tokens): number => tokens.input + tokens.cachedInput + tokens.cacheWrite

/** Cuts text into two pieces, so that a stream is one: a reader that expects everything in one delta must notice. */
export function pieces(text: string): string[] {
  if (text.length < 2) return text === '' ? [] : [text]
  const characters = Array.from(text)
  const middle = Math.ceil(characters.length / 2)
  return [characters.slice(0, middle).join(''), characters.slice(middle).join('')].filter((piece) => piece !== '')
}

// Blocks that real clients put in front of what a person said; observed in requests of Claude Code 2.1, Codex 0.169, Gemini CLI 0.61.
const injected =
  /^\s*<(system-reminder|environment_context|session_context|user_instructions|turn_aborted)>[\s\S]*?<\/\1>/

// Whole pieces that clients write in a person's name: Codex the repository's instructions, Claude Code after an error within a stream.
const injectedWhole = /^\s*(# AGENTS\.md instructions for |Your response above was cut off mid-stream\.)/

/** What a person said in this piece of text: nothing where the client wrote it. */
export function spoken(text: string): string {
  let rest = text
  while (injected.test(rest)) rest = rest.replace(injected, '')
  return injectedWhole.test(rest) ? '' : rest.trim()
}

/** Follows a conversation: who said what, and how many tools answered since a person last spoke. */
export function conversation() {
  const turns: string[] = []
  let toolResults = 0
  let marks: string[] = []
  return {
    say(text: string) {
      const words = spoken(text)
      if (words === '') return
      turns.push(words)
      toolResults = 0
      marks = []
    },
    answerTool: () => void toolResults++,
    mark: (id: unknown) => void marks.push(asText(id)),
    read: () => ({ user: turns.join('\n\n'), lastUser: turns.at(-1) ?? '', toolResults, marks }),
  }
}
