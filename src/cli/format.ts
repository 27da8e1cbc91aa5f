/** Words and columns for people: money, ages, tables that fit the terminal. What comes from agents or tasks is cleaned of control characters first. */

/**
 * Without what could move the cursor, recolour or reorder a terminal: C0 and C1 controls except newline and tab, and bidirectional overrides.
 * An agent's words and a task's title reach people only through this.
 */
export const clean = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd')

/** `$12.30`; below a dollar with four digits, because model calls cost fractions of a cent. */
export const money = (nanoUsd: number): string => {
  const usd = nanoUsd / 1e9
  return `$${usd.toFixed(usd > 0 && usd < 1 ? 4 : 2)}`
}

/** `0 KB`, `12.3 MB`, `4.0 GB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1024 ** 2) return `${Math.round(bytes / 1024)} KB`
  return bytes < 1024 ** 3 ? `${(bytes / 1024 ** 2).toFixed(1)} MB` : `${(bytes / 1024 ** 3).toFixed(1)} GB`
}

/** `12s`, `3m`, `2h`, `5d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u

/** Columns a text takes on a terminal: East Asian and emoji take two, combining marks none. */
export function widthOf(text: string): number {
  let width = 0
  for (const each of text) width += /\p{M}/u.test(each) ? 0 : wide.test(each) ? 2 : 1
  return width
}

/** The text, cut with `…` where it is wider than `width`. */
export function clip(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let out = ''
  let taken = 0
  for (const each of text) {
    const next = widthOf(each)
    if (taken + next > width - 1) break
    out += each
    taken += next
  }
  return width < 1 ? '' : `${out}…`
}

const pad = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)))

/** Rows under a head, columns aligned. The last column takes what room is left in `columns` and is clipped to it; never below 8. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], columns: number): string {
  const cleaned = rows.map((row) => row.map((cell) => clean(cell).replaceAll(/\s+/g, ' ')))
  const last = head.length - 1
  const widths = head.map((name, column) => Math.max(widthOf(name), ...cleaned.map((row) => widthOf(row[column]!))))
  const taken = widths.slice(0, last).reduce((sum, width) => sum + width + 2, 0)
  const room = Math.max(8, columns - taken)
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === last ? clip(cell, room) : `${pad(cell, widths[column]!)}  `))
      .join('')
      .trimEnd()
  return [head, ...cleaned].map(line).join('\n')
}

/** Lines wrapped at spaces to `columns`, each led by `indent`. Newlines stay; a word longer than a line is left whole. */
export function wrap(text: string, columns: number, indent = ''): string {
  const room = Math.max(20, columns - widthOf(indent))
  return clean(text)
    .split('\n')
    .flatMap((paragraph) => wrapLine(paragraph.trimEnd(), room))
    .map((line) => (line === '' ? '' : indent + line))
    .join('\n')
}

function wrapLine(paragraph: string, room: number): string[] {
  if (widthOf(paragraph) <= room) return [paragraph]
  const lead = /^\s*/.exec(paragraph)![0]
  const lines: string[] = []
  let line = lead
  for (const word of paragraph.trim().split(/ +/)) {
    const longer = line.trim() === '' ? lead + word : `${line} ${word}`
    if (widthOf(longer) <= room || line.trim() === '') line = longer
    else {
      lines.push(line)
      line = lead + word
    }
  }
  return [...lines, line]
}

const format = {
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
} as const

/** `2026-11-24 15:04:05` in the zone of whoever looks. */
export const clockTime = (at: number): string => new Intl.DateTimeFormat('sv-SE', format).format(at)
