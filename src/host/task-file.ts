/**
 * A task as a file: Markdown, with what is not prose in YAML front matter.
 *
 *     ---
 *     title: Show totals
 *     lane: critical
 *     accept: [the total is shown in cents]
 *     ---
 *     The list of orders should end with …
 *
 * It never cuts a text and never guesses a word: both are refused. What the file does not say is null or empty, so that flags can say it.
 */
import { oneOf, suggestion } from '../core/nearest.ts'
import { parseUsd, showSize } from '../core/quantity.ts'
import { isRefusal, refuse, type Refusal } from '../core/refusal.ts'
import { lanes, type Lane } from '../core/lane.ts'
import { readTaskPath } from '../core/task-path.ts'
import { type Kind, kinds, type Size, sizes } from '../core/task.ts'

export type TaskFile = {
  /** From the front matter, else the first heading, else null. */
  title: string | null
  text: string
  lane: Lane | null
  size: Size | null
  kind: Kind | null
  tags: string[]
  after: string[]
  budgetNanoUsd: number | null
  acceptance: string[]
  path: string | null
}

const keys = ['title', 'lane', 'size', 'kind', 'tags', 'after', 'budget', 'accept', 'path'] as const

/**
 * Reads a task file. `file` names it in messages; `taskTextBytes` is the operator's limit on the text without its front matter.
 * Refuses: `text-too-long`, `task-file-invalid`, `unknown-key`, `unknown-lane`, `unknown-size`, `unknown-kind`.
 */
export async function parseTaskFile(
  written: string,
  { file, taskTextBytes }: { file: string; taskTextBytes: number },
): Promise<TaskFile | Refusal> {
  const source = written.replace(/^\uFEFF/, '').replaceAll('\r\n', '\n')
  const front = /^---[ \t]*\n((?:.*\n)*?)---[ \t]*(?:\n|$)/.exec(source)
  if (!front && /^---[ \t]*\n/.test(source))
    return refuse('task-file-invalid', `${file}:1: the front matter has no end`, 'close it with a line of ---')
  const text = (front ? source.slice(front[0].length) : source).trim()
  const bytes = Buffer.byteLength(text)
  if (bytes > taskTextBytes)
    return refuse(
      'text-too-long',
      `${file}: the text has ${bytes} bytes, more than the ${taskTextBytes} (${showSize(taskTextBytes)}) allowed; it is not cut`,
      'shorten it, or split the task',
    )
  const said = front ? await readFront(front[1]!, file) : empty
  if (isRefusal(said)) return said
  return { ...said, title: said.title ?? /^#[ \t]+(.+?)[ \t]*#*$/m.exec(text)?.[1] ?? null, text }
}

type Front = Omit<TaskFile, 'text'>

const empty: Front = {
  title: null,
  lane: null,
  size: null,
  kind: null,
  tags: [],
  after: [],
  budgetNanoUsd: null,
  acceptance: [],
  path: null,
}

async function readFront(text: string, file: string): Promise<Front | Refusal> {
  const { readYaml } = await import('./yaml.ts')
  const yaml = readYaml(text, file, 2)
  if (isRefusal(yaml)) return { ...yaml, refused: 'task-file-invalid' }
  const front: Front = { ...empty }
  for (const [key, value] of Object.entries(yaml.value as Record<string, unknown>)) {
    const place = `${file}:${yaml.lineOf([key])}: `
    const wrong = set(front, key, value)
    if (wrong) return { ...wrong, why: place + wrong.why }
  }
  return front
}

/** Puts one value into `front`, or says why not. */
function set(front: Front, key: string, value: unknown): Refusal | null {
  const known = keys.find((each) => each === key)
  if (known === undefined) return refuse('unknown-key', `unknown key ${JSON.stringify(key)}`, suggestion(key, keys))
  if (value === null) return null
  switch (known) {
    case 'title':
      if (typeof value !== 'string' || value.trim() === '' || /[\n\p{Cc}]/u.test(value))
        return invalid(key, 'one line of text')
      front.title = value.trim()
      return null
    case 'lane':
      return choose(known, value, lanes, (lane) => (front.lane = lane))
    case 'size':
      return choose(known, value, sizes, (size) => (front.size = size))
    case 'kind':
      return choose(known, value, kinds, (kind) => (front.kind = kind))
    case 'path': {
      const path =
        typeof value === 'string' ? readTaskPath(value) : invalid(key, 'a path from the top of the repository')
      if (isRefusal(path)) return path
      front.path = path
      return null
    }
    case 'budget': {
      const nanoUsd = typeof value === 'string' || typeof value === 'number' ? parseUsd(value) : null
      if (nanoUsd === null) return invalid(key, 'an amount in dollars such as $10 or 10.50')
      front.budgetNanoUsd = nanoUsd
      return null
    }
    case 'tags':
    case 'after':
    case 'accept': {
      const list = typeof value === 'string' ? [value] : value
      if (!isTexts(list)) return invalid(key, 'a text or a list of texts')
      front[known === 'accept' ? 'acceptance' : known] = list.map((each) => each.trim())
      return null
    }
  }
}

const invalid = (key: string, expected: string): Refusal => refuse('task-file-invalid', `${key} must be ${expected}`)

function choose<Word extends string>(
  what: string,
  value: unknown,
  words: readonly Word[],
  put: (word: Word) => void,
): Refusal | null {
  const word = oneOf(what, String(value), words)
  if (isRefusal(word)) return word
  put(word)
  return null
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string' && each.trim() !== '')
