/**
 * Reading what nobody vouched for: a line that may be JSON, fields that may be there, of the type they should have.
 * Total functions all of them: whatever comes in, something comes out, and nothing is thrown.
 */
export type Fields = Readonly<Record<string, unknown>>

/** The JSON value of a line, or undefined where it is none. */
export function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined // the caller says what a line is that is not JSON
  }
}

/** The object, or an empty one. */
export const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

/** A number of tokens, milliseconds or tries: zero where it is none that could be one. */
export const countOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0

const longestDetail = 1000

/** Text short enough for an event, in characters. */
export const shorten = (text: string, most = longestDetail): string =>
  text.length > most ? `${text.slice(0, most)}…` : text

/** The first line that says something, as one sentence for people. */
export const sentenceOf = (text: string): string =>
  shorten(
    text
      .split('\n')
      .map((line) => line.trim())
      .find((line) => line !== '') ?? '',
    300,
  )
