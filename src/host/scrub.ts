/**
 * Takes known secrets, and what has the shape of a key, out of a stream: whole or cut anywhere, raw or in the encodings logs carry them in.
 *
 *     chunk ─▶ what was held back + chunk ─▶ mark every secret ─▶ let out all but a tail that could still become one
 *
 * What comes out depends on the text alone, never on where it was cut. Only a tail that really begins a secret waits, so a line is not delayed.
 * It does not find secrets that were encrypted, compressed, reversed or cut by their writer, nor shapes in any encoding but the plain one.
 */

/** What stands where a secret stood. */
export const mark = '[redacted]'

/** Shorter values are no secrets: taking out every `on` or `true` would only destroy the text. */
const leastSecretBytes = 6

export type Scrubber = {
  /** The text that is certain now. */
  push(chunk: Uint8Array): Buffer
  /** The text goes on, and nobody will see how: what may have begun a secret is taken for one. */
  cut(): Buffer
  /** The rest, at the end of the stream. */
  end(): Buffer
}

/** Secrets made ready to be looked for; shared by many streams. */
export type Secrets = {
  /** Every form of every secret as a string of bytes, longest first, by its first byte. */
  byFirst: ReadonlyMap<string, readonly string[]>
  /** Finds any form, from its `lastIndex` on; null where there is none. One for all streams: making it costs more than most texts. */
  exact: RegExp | null
  longest: number
}

/** How a key begins, and how many letters, digits, `_` and `-` must follow. `sk-` alone is prose, with 16 characters behind it is a key. */
const shapes: readonly (readonly [prefix: string, least: number])[] = [
  ['sk-', 16],
  ['AIza', 30],
  ...['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'].map((prefix) => [prefix, 30] as const),
  ['github_pat_', 20],
  ['glpat-', 16],
  ...['xoxa-', 'xoxb-', 'xoxp-', 'xoxr-', 'xoxs-'].map((prefix) => [prefix, 10] as const),
]
const shape = new RegExp(shapes.map(([prefix, least]) => String.raw`${prefix}[\w-]{${least}}`).join('|'), 'g')
const longestShape = Math.max(...shapes.map(([prefix, least]) => prefix.length + least))

/** A key begins a word: first of all, or after anything but a letter or digit, or after an escape such as `\n`, `%3D` or a colour of a terminal. */
const wordBegin =
  /(?:^|[^A-Za-z0-9]|\\[nrtbf]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|(?:\p{Cc}|\\u001[bB]|\\x1[bB]|\\033|\\e)\[[\d;]{0,16}m)$/u
/** None of those is longer. */
const contextBytes = 24

/** Makes secrets ready. Values under 6 bytes are left out. */
export function prepareSecrets(secrets: readonly string[]): Secrets {
  const forms = [...new Set(secrets.filter((each) => Buffer.byteLength(each) >= leastSecretBytes).flatMap(formsOf))]
    .filter((form) => form.length >= leastSecretBytes)
    .toSorted((a, b) => b.length - a.length) // an alternation takes the first that fits
  return {
    byFirst: Map.groupBy(forms, (form) => form[0]!),
    exact: forms.length === 0 ? null : new RegExp(forms.map(escapePattern).join('|'), 'g'),
    longest: Math.max(longestShape, ...forms.map((form) => form.length)),
  }
}

/** A secret as it may appear, each as a string of bytes. Base64 at 3 alignments, without the characters that neighbours share. */
function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret, 'utf8')
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    return encoded.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6))
  })
  const hex = bytes.toString('hex')
  const url = encodeURIComponent(secret.toWellFormed())
  const wholeUrl = hex.replaceAll(/../g, '%$&')
  const json = JSON.stringify(secret).slice(1, -1)
  const ascii = json.replaceAll(/[\u0080-\uffff]/g, escapeUnit)
  const texts = [
    json,
    json.replaceAll('/', String.raw`\/`),
    JSON.stringify(json).slice(1, -1),
    ascii, // as Python writes it
    ascii.replaceAll(/\\u..../g, (escape) => `\\u${escape.slice(2).toUpperCase()}`),
    json.replaceAll(/[<>&]/g, escapeUnit), // as Go writes it
    secret.replaceAll(/[<>&"]/g, (letter) => entities[letter]!),
  ]
  const wide = Buffer.from(secret, 'utf16le')
  const urls = [url, url.replaceAll('%20', '+'), url.replaceAll(/%../g, (escape) => escape.toLowerCase())]
  const wides = [wide, Buffer.from(wide).swap16()].map((each) => each.toString('latin1'))
  const whole = [bytes.toString('latin1'), ...wides, hex, hex.toUpperCase(), wholeUrl, wholeUrl.toUpperCase()]
  const base64url = base64.map((each) => each.replaceAll('+', '-').replaceAll('/', '_'))
  return [...whole, ...urls, ...texts.map(bytesOf), ...base64, ...base64url]
}

/** A letter as JSON in ASCII has it; one beyond the first 65,536 comes as two. */
const escapeUnit = (letter: string): string => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`

const entities: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' }

const escapePattern = (form: string): string => form.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`)

const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

/** A scrubber for one stream. It holds back at most one byte less than the longest form of a secret. */
export function createScrubber(secrets: Secrets, finds: 'known' | 'shapes too' = 'shapes too'): Scrubber {
  const { exact } = secrets
  let held = ''
  /** What came just before `held`. */
  let context = ''
  /** How much of `held` belongs to a secret whose mark is out already, and whether that is a key that may still go on. */
  let covered = 0
  let open = false

  const step = (chunk: Buffer, last: boolean): Buffer => {
    const text = held + chunk.toString('latin1')
    if (open) {
      covered = wordEnd(text, covered)
      open = covered === text.length
    }
    const found = find(exact, finds === 'known' ? null : shape, text, context)
    const keep = last ? text.length : holdFrom(text, context, secrets)
    if (found.length === 0 && covered === 0 && held === '' && keep === text.length) {
      context = (context + text.slice(-contextBytes)).slice(-contextBytes)
      return chunk
    }
    let out = ''
    let at = covered
    for (const { from, to, isShape } of found) {
      if (from >= keep) break
      if (from >= at) out += text.slice(at, from) + mark
      if (to > at) at = to
      if (isShape && to === text.length) open = true
    }
    if (at < keep) out += text.slice(at, keep)
    covered = Math.max(0, at - keep)
    held = text.slice(keep)
    context = (context + text.slice(Math.max(0, keep - contextBytes), keep)).slice(-contextBytes)
    return Buffer.from(out, 'latin1')
  }
  return {
    push: (chunk) => step(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength), false),
    cut() {
      const isBegun = held.length > covered
      context = (context + held).slice(-contextBytes)
      held = ''
      covered = 0
      open = false
      return Buffer.from(isBegun ? mark : '')
    },
    end: () => step(Buffer.alloc(0), true),
  }
}

type Found = { from: number; to: number; isShape: boolean }

/** Finds every secret, also one that begins inside another: taking out only the first would leave the end of the second. */
function find(exact: RegExp | null, shaped: RegExp | null, text: string, context: string): Found[] {
  const found: Found[] = []
  for (let match = first(exact, text); match; match = exact!.exec(text)) {
    found.push({ from: match.index, to: match.index + match[0].length, isShape: false })
    exact!.lastIndex = match.index + 1
  }
  for (let match = first(shaped, text); match; match = shaped!.exec(text)) {
    const begins = beginsWord(text, match.index, context)
    const to = begins ? wordEnd(text, match.index + match[0].length) : match.index + 1
    if (begins) found.push({ from: match.index, to, isShape: true })
    shaped!.lastIndex = to
  }
  return found.toSorted((a, b) => a.from - b.from)
}

function first(pattern: RegExp | null, text: string): RegExpExecArray | null {
  if (pattern === null) return null
  pattern.lastIndex = 0
  return pattern.exec(text)
}

const beginsWord = (text: string, at: number, context: string): boolean =>
  wordBegin.test((context + text.slice(Math.max(0, at - contextBytes), at)).slice(-contextBytes))

/** Where the letters, digits, `_` and `-` from `at` on end. */
function wordEnd(text: string, at: number): number {
  const length = text.slice(at).search(/[^\w-]/)
  return length === -1 ? text.length : at + length
}

/** Where the longest tail begins that could still become a secret; the text's length where none could. */
function holdFrom(text: string, context: string, { byFirst, longest }: Secrets): number {
  for (let at = Math.max(0, text.length - longest + 1); at < text.length; at++) {
    const length = text.length - at
    const begun = byFirst
      .get(text[at]!)
      ?.some((form) => form.length > length && text.startsWith(form.slice(0, length), at))
    if (begun || (beginsShape(text, at, length) && beginsWord(text, at, context))) return at
  }
  return text.length
}

function beginsShape(text: string, at: number, length: number): boolean {
  return shapes.some(([prefix, least]) => {
    if (length < prefix.length) return text.startsWith(prefix.slice(0, length), at)
    if (length >= prefix.length + least || !text.startsWith(prefix, at)) return false
    return wordEnd(text, at) === text.length
  })
}

/** A text without secrets and shapes of keys. */
export const scrubText = (text: string, secrets: Secrets = noSecrets): string => pass(createScrubber(secrets), text)

const pass = (scrubber: Scrubber, text: string): string =>
  Buffer.concat([scrubber.push(Buffer.from(text)), scrubber.end()]).toString('utf8')

/** A value of objects, lists and texts without the known secrets. What only has the shape of a key stays: a plan or a proof may be about one. */
export function scrubKnown<T>(value: T, secrets: Secrets): T
export function scrubKnown(value: unknown, secrets: Secrets): unknown {
  if (typeof value === 'string') return pass(createScrubber(secrets, 'known'), value)
  if (Array.isArray(value)) return value.map((each) => scrubKnown<unknown>(each, secrets))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, scrubKnown<unknown>(each, secrets)]))
}

/** Does a known secret stand in it, in any form? */
export const holdsKnown = (bytes: Buffer, { exact }: Secrets): boolean =>
  first(exact, bytes.toString('latin1')) !== null

const noSecrets = prepareSecrets([])
