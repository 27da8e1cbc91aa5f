/**
 * The meter: reads usage off an answer's raw bytes while they pass, and says which of them form whole events.
 *
 * Only lines that can hold usage, an error or the shape of the stream are parsed; text is counted, not read. A line longer than the cap is passed
 * on unread, so that no answer can make the gateway keep it in memory. It never changes a byte; it may leave out the one event it was told to hide.
 */
import { newSketch, sketchNeedles, takeShape, type Sketch } from './ending.ts'
import type { Dialect } from './route.ts'
import { valueEnd } from './splice.ts'
import { nothingReported, takeUsage, type Reported } from './usage.ts'

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

type EventMeter = Omit<Meter, 'push' | 'end'> & { line(line: Buffer): boolean }

/** A meter for an event stream (`text/event-stream`). `hideUsage`: leave out the usage chunk that a chat client did not ask for. */
export function meterStream(dialect: Dialect, options: { hideUsage?: boolean; maxLineBytes?: number } = {}): Meter {
  const cap = options.maxLineBytes ?? maxLineBytes
  const { line: readLine, ...events } = eventMeter(dialect, options.hideUsage ?? false)
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
    let from = 0
    for (let end = bytes.indexOf(10, scanned); end >= 0; end = bytes.indexOf(10, scanned)) {
      const line = bytes.subarray(scanned, bytes[end - 1] === 13 ? Math.max(scanned, end - 1) : end)
      scanned = end + 1
      if (skipping) skipping = false
      else if (line.length > 0) hidden = readLine(line) || hidden
      if (line.length > 0) continue
      if (!hidden) passed.push(bytes.subarray(from, scanned))
      hidden = false
      from = scanned
    }
    let rest = bytes.subarray(from)
    scanned -= from
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
    for (const line of rest.subarray(scanned).length > 0 && !skipping ? [rest.subarray(scanned)] : []) readLine(line)
    parts = []
    return rest
  }
  return { ...events, push, end }
}

const empty = Buffer.alloc(0)

function eventMeter(dialect: Dialect, hideUsage: boolean): EventMeter {
  const reported = nothingReported()
  const sketch = newSketch()
  let visible = 0
  let failed: string | null = null
  const line = (bytes: Buffer): boolean => {
    if (!bytes.subarray(0, 5).equals(payloadField)) return false
    const text = bytes.subarray(5)
    visible += visibleIn(dialect, text)
    if (!worthParsing(dialect, text, sketch)) return false
    const event = parseObject(text)
    if (!event) return false
    takeUsage(dialect, event, reported)
    takeShape(dialect, event, sketch)
    failed = failureIn(event) ?? failed
    return hideUsage && Array.isArray(event['choices']) && event['choices'].length === 0 && event['usage'] != null
  }
  return { reported, sketch, line, visibleBytes: () => visible, failure: () => failed }
}

const payloadField = Buffer.from('data:')
const alwaysNeedles = ['"usage', '"error"', '"response.failed"']

function worthParsing(dialect: Dialect, text: Buffer, sketch: Sketch): boolean {
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

function visibleIn(dialect: Dialect, text: Buffer): number {
  const { needle, field } = deltas[dialect]
  if (!text.includes(needle)) return 0
  const latin = text.toString('latin1') // one character a byte, so that offsets agree
  const names = new RegExp(field, 'g')
  let bytes = 0
  while (names.test(latin)) {
    const end = valueEnd(text, names.lastIndex)
    bytes += Math.max(0, end - names.lastIndex - 2)
    names.lastIndex = end
  }
  return bytes
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
