/**
 * The meter: reads usage off an answer's raw bytes while they pass, and says which of them form whole events.
 *
 * Only lines that can hold usage, an error or the shape of the stream are parsed; text is counted, not read. A line longer than the cap is passed
 * on unread, so that no answer can make the gateway keep it in memory. It never changes a byte; it may leave out the one event it was told to hide.
 */
import { newSketch, sketchNeedles, takeShape, type Sketch } from './ending.ts'
import type { Dialect } from './route.ts'
import { valueEnd } from './splice.ts'
import { endChat, nothingReported, takeUsage, type Reported } from './usage.ts'

export type Meter = {
  /** Takes bytes in and returns those that may go on: whole events, or everything where the answer is no event stream. */
  push(chunk: Buffer): Buffer
  /** What was kept back, at the answer's end. */
  end(): Buffer
  reported: Reported
  sketch: Sketch
  /** Bytes of text, tool arguments and shown reasoning so far. */
  visibleBytes(): number
  /** The provider's error inside a stream that began well: its type or code. */
  failure(): string | null
}

/** A finished response repeats its whole output in one line before the usage. */
const maxLineBytes = 8 * 1024 * 1024
const maxBodyBytes = 32 * 1024 * 1024

/** `line`: takes the line of a payload, and says whether its event is to be left out. */
type EventMeter = Omit<Meter, 'push' | 'end'> & { line(line: Buffer): boolean }

type StreamOptions = { hideUsage?: boolean; tools?: boolean; maxLineBytes?: number }

/**
 * A meter for an event stream (`text/event-stream`). `hideUsage`: leave out the usage chunk that a chat client did not ask for. `tools`: the provider may
 * use its own, which are counted.
 */
export function meterStream(dialect: Dialect, options: StreamOptions = {}): Meter {
  const cap = options.maxLineBytes ?? maxLineBytes
  const { line: readLine, ...events } = eventMeter(dialect, options)
  let parts: Buffer[] = [] // what came since the last whole event
  let kept = 0
  let scanned = 0 // of the joined parts: up to the end of the last whole line
  let skipping = false // inside a line that is too long
  let hidden = false

  const push = (chunk: Buffer): Buffer => {
    if (skipping && parts.length === 0 && chunk.indexOf(10) < 0) return chunk
    parts.push(chunk)
    kept += chunk.length
    if (chunk.indexOf(10) < 0 && kept <= cap) return empty // no line ends here: do not join again and again
    const bytes = parts.length === 1 ? chunk : Buffer.concat(parts)
    const passed: Buffer[] = []
    let from = 0 // of what passes
    let eventAt = 0
    for (let end = bytes.indexOf(10, scanned); end >= 0; end = bytes.indexOf(10, scanned)) {
      const lineAt = scanned
      const lineEnd = bytes[end - 1] === 13 ? Math.max(lineAt, end - 1) : end
      scanned = end + 1
      if (skipping) skipping = false
      else if (isPayload(bytes, lineAt, lineEnd)) hidden = readLine(bytes.subarray(lineAt, lineEnd)) || hidden
      if (lineEnd > lineAt) continue
      if (hidden) {
        passed.push(bytes.subarray(from, eventAt))
        from = scanned
      }
      hidden = false
      eventAt = scanned
    }
    passed.push(bytes.subarray(from, eventAt))
    let rest = bytes.subarray(eventAt)
    scanned -= eventAt
    if (rest.length > cap) {
      passed.push(rest)
      skipping = skipping || scanned < rest.length
      rest = empty
      scanned = 0
    }
    parts = rest.length > 0 ? [rest] : []
    kept = rest.length
    return passed.length === 1 ? passed[0]! : Buffer.concat(passed)
  }
  const end = (): Buffer => {
    const rest = Buffer.concat(parts)
    if (!skipping && isPayload(rest, scanned, rest.length)) readLine(rest.subarray(scanned))
    parts = []
    return rest
  }
  return { ...events, push, end }
}

const empty = Buffer.alloc(0)

function eventMeter(dialect: Dialect, { hideUsage = false, tools = false }: StreamOptions): EventMeter {
  const reported = nothingReported()
  const sketch = newSketch()
  let visible = 0
  let failed: string | null = null
  const visibleIn = visibleOf(dialect)
  const line = (bytes: Buffer): boolean => {
    const text = bytes.toString('latin1') // one character a byte, so that offsets agree
    visible += visibleIn(bytes, text)
    if (dialect === 'openai-chat' && /^data: ?\[DONE\]\s*$/.test(text)) endChat(reported)
    if (!isWorthParsing(dialect, text, sketch) && !(tools && text.includes(usedNeedles[dialect]))) return false
    const event = parseObject(bytes.subarray(payloadField.length))
    if (!event) return false
    takeUsage(dialect, event, reported)
    takeShape(dialect, event, sketch)
    failed = failureIn(event) ?? failed
    return hideUsage && Array.isArray(event['choices']) && event['choices'].length === 0 && event['usage'] != null
  }
  return { reported, sketch, line, visibleBytes: () => visible, failure: () => failed }
}

const payloadField = Buffer.from('data:')

/** What a provider did by itself, where usage does not say it again. */
const usedNeedles: Readonly<Record<Dialect, string>> = {
  'anthropic-messages': '"content_block_start"',
  'openai-responses': '"response.output_item.done"',
  'openai-chat': '"usage',
  gemini: '"candidates"',
}

const alwaysNeedles = ['"usage', '"error"', '"response.failed"']

/** Whether the line at these bytes carries an event's payload. */
function isPayload(bytes: Buffer, from: number, end: number): boolean {
  if (end - from < payloadField.length) return false
  for (let at = 0; at < payloadField.length; at++) if (bytes[from + at] !== payloadField[at]) return false
  return true
}

function isWorthParsing(dialect: Dialect, text: string, sketch: Sketch): boolean {
  if (alwaysNeedles.some((needle) => text.includes(needle))) return true
  if (dialect === 'openai-chat' && sketch.started) return false
  return sketchNeedles[dialect].some((needle) => text.includes(needle))
}

function parseObject(text: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text.toString('utf8'))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null // `[DONE]`, or a line that merely looks like ours; without usage the request is charged by estimate
  }
}

function failureIn(event: Record<string, unknown>): string | null {
  const response = event['response'] as { error?: unknown } | undefined
  const error = (event['type'] === 'response.failed' ? response?.error : event['error']) as
    | { type?: unknown; code?: unknown; status?: unknown }
    | null
    | undefined
  if (typeof error !== 'object' || error === null) return null
  return [error.code, error.type, error.status].filter((each) => typeof each === 'string').join(' ') || 'error'
}

/** Where each dialect's stream carries what the model has just said. */
const deltas: Readonly<Record<Dialect, { needle: string; field: string }>> = {
  'anthropic-messages': { needle: '"content_block_delta"', field: '"(?:text|partial_json|thinking)"\\s*:\\s*' },
  'openai-responses': { needle: '.delta"', field: '"delta"\\s*:\\s*' },
  'openai-chat': { needle: '"delta"', field: '"(?:content|arguments|reasoning_content|refusal)"\\s*:\\s*' },
  gemini: { needle: '"parts"', field: '"(?:text|args)"\\s*:\\s*' },
}

/** Counts what the model has said in one line: its bytes, and the same as text. */
function visibleOf(dialect: Dialect): (line: Buffer, text: string) => number {
  const { needle, field } = deltas[dialect]
  const names = new RegExp(field, 'g')
  return (line, text) => {
    if (!text.includes(needle)) return 0
    let bytes = 0
    names.lastIndex = 0
    while (names.test(text)) {
      const end = valueEnd(line, names.lastIndex)
      bytes += Math.max(0, end - names.lastIndex - 2)
      names.lastIndex = end
    }
    return bytes
  }
}

/** A meter for an answer that is one JSON text: kept back whole, so that its charge is written before the client has it. */
export function meterBody(dialect: Dialect): Meter {
  const reported = nothingReported()
  let parts: Buffer[] = []
  let bytes = 0
  let failed: string | null = null
  return {
    reported,
    sketch: newSketch(),
    push(chunk) {
      bytes += chunk.length
      if (bytes <= maxBodyBytes) {
        parts.push(chunk)
        return empty
      }
      const passed = Buffer.concat([...parts, chunk])
      parts = []
      return passed
    },
    end() {
      const whole = Buffer.concat(parts)
      const answer = whole.length > 0 ? parseObject(whole) : null
      takeUsage(dialect, answer, reported)
      failed = answer && failureIn(answer)
      parts = []
      return whole
    },
    visibleBytes: () => bytes,
    failure: () => failed,
  }
}
