/**
 * Changing one value inside a JSON text and leaving every other byte as it was: re-serialising would lose a client's number forms and break the
 * provider's prompt cache. Works on text that JSON.parse has accepted; it never validates.
 */

/** Half-open byte range. */
export type Span = { start: number; end: number }

/** Key → where its value stands, for the object at `at` (default: the whole text). Null when a key occurs twice: two readers could disagree on it. */
export function membersOf(text: Buffer, at?: Span): Map<string, Span> | null {
  const members = new Map<string, Span>()
  let i = skipSpace(text, at?.start ?? 0) + 1
  for (;;) {
    i = skipSpace(text, i)
    if (text[i] === 0x7d /* } */ || i >= text.length) return members
    if (text[i] === 0x2c /* , */) i = skipSpace(text, i + 1)
    const keyEnd = valueEnd(text, i)
    const key = JSON.parse(text.toString('utf8', i, keyEnd)) as string
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = valueEnd(text, start)
    if (members.has(key)) return null
    members.set(key, { start, end })
    i = end
  }
}

/** How many members all objects of the text have, one that is given twice counted twice. */
export function membersWritten(text: Buffer): number {
  let members = 0
  for (let i = 0; i < text.length; i++) {
    const byte = text[i]
    if (byte === 0x22) i = skipString(text, i) - 1
    else if (byte === 0x3a /* : */) members++
  }
  return members
}

/** Where the elements of the array at `at` stand. */
export function elementsOf(text: Buffer, at: Span): Span[] {
  const elements: Span[] = []
  let i = at.start + 1
  for (;;) {
    i = skipSpace(text, i)
    if (text[i] === 0x5d /* ] */ || i >= text.length) return elements
    if (text[i] === 0x2c) i = skipSpace(text, i + 1)
    const end = valueEnd(text, i)
    elements.push({ start: i, end })
    i = end
  }
}

/** Replaces spans by texts. Spans must not overlap. */
export function splice(text: Buffer, edits: readonly { at: Span; by: string }[]): Buffer {
  if (edits.length === 0) return text
  const parts: Buffer[] = []
  let from = 0
  for (const { at, by } of edits.toSorted((a, b) => a.at.start - b.at.start)) {
    parts.push(text.subarray(from, at.start), Buffer.from(by))
    from = at.end
  }
  parts.push(text.subarray(from))
  return Buffer.concat(parts)
}

/** The edit that sets `key` of the object at `at`: over the value it has, or as a new first member. */
export function setMember(text: Buffer, key: string, value: string, at?: Span): { at: Span; by: string } {
  const found = membersOf(text, at)
  const old = found?.get(key)
  if (old) return { at: old, by: value }
  const open = skipSpace(text, at?.start ?? 0) + 1
  const comma = found && found.size > 0 ? ',' : ''
  return { at: { start: open, end: open }, by: `${JSON.stringify(key)}:${value}${comma}` }
}

function skipSpace(text: Buffer, from: number): number {
  let i = from
  while (text[i] === 0x20 || text[i] === 0x0a || text[i] === 0x0d || text[i] === 0x09) i++
  return i
}

/** Where the value that begins at `from` ends. */
export function valueEnd(text: Buffer, from: number): number {
  const first = text[from]
  if (first === 0x22 /* " */) return skipString(text, from)
  if (first !== 0x7b && first !== 0x5b) {
    let i = from
    while (i < text.length && !isEnd(text[i]!)) i++
    return i
  }
  let depth = 0
  for (let i = from; i < text.length; i++) {
    const byte = text[i]
    if (byte === 0x22) i = skipString(text, i) - 1
    else if (byte === 0x7b || byte === 0x5b) depth++
    else if ((byte === 0x7d || byte === 0x5d) && --depth === 0) return i + 1
  }
  return text.length
}

/** A string may hold megabytes: jump from quote to quote and look back for the backslashes that escape one. */
function skipString(text: Buffer, from: number): number {
  for (let quote = text.indexOf(0x22, from + 1); quote >= 0; quote = text.indexOf(0x22, quote + 1)) {
    let slashes = 0
    while (text[quote - 1 - slashes] === 0x5c) slashes++
    if (slashes % 2 === 0) return quote + 1
  }
  return text.length
}

const isEnd = (byte: number): boolean =>
  byte === 0x2c || byte === 0x7d || byte === 0x5d || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
