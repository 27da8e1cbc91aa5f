import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createScrubber, mark, prepareSecrets, scrubKnown, type Secrets, scrubText } from './scrub.ts'

const secret = 'p4ss/w+rd "ü" & more'
const known = prepareSecrets([secret, 'hunter22', 'hunter22-and-longer', 'ababab', 'short'])

/** Scrubs a text that arrives in pieces of these sizes, over and over. */
function inPieces(text: string | Buffer, sizes: readonly number[], secrets: Secrets = known): string {
  const bytes = Buffer.from(text as string)
  const scrubber = createScrubber(secrets)
  const out: Buffer[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length]!)
    out.push(Buffer.from(scrubber.push(bytes.subarray(at, at + size))))
    at += size
  }
  return Buffer.concat([...out, scrubber.end()]).toString('utf8')
}

const encodings: Readonly<Record<string, string>> = {
  raw: secret,
  hex: Buffer.from(secret).toString('hex'),
  HEX: Buffer.from(secret).toString('hex').toUpperCase(),
  url: encodeURIComponent(secret),
  form: encodeURIComponent(secret).replaceAll('%20', '+'),
  json: JSON.stringify(secret).slice(1, -1),
  'json in json': JSON.stringify(JSON.stringify(secret)).slice(3, -3),
  'json in ASCII': JSON.stringify(secret)
    .slice(1, -1)
    .replace('ü', String.raw`\u00fc`),
  'json in ASCII, capitals': JSON.stringify(secret)
    .slice(1, -1)
    .replace('ü', String.raw`\u00FC`),
  'json as Go writes it': JSON.stringify(secret)
    .slice(1, -1)
    .replace('&', String.raw`\u0026`),
  html: 'p4ss/w+rd &quot;ü&quot; &amp; more',
}

test('a known secret is taken out in every encoding, wherever the stream is cut', () => {
  for (const [name, form] of Object.entries(encodings)) {
    const text = `before ${form} after`
    for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
      assert.equal(inPieces(text, [cut, 10_000]), `before ${mark} after`, `${name} cut at ${cut}`)
    assert.equal(inPieces(text, [1]), `before ${mark} after`, `${name}, byte by byte`)
  }
})

test('a secret in UTF-16 is taken out, whichever byte comes first and wherever the stream is cut', () => {
  const little = Buffer.from(`before ${secret} after`, 'utf16le')
  for (const text of [little, Buffer.from(little).swap16()])
    for (let cut = 1; cut < text.length; cut++) {
      const out = inPieces(text, [cut, 10_000]).replaceAll('\0', '')
      assert.equal(out, `before ${mark} after`, `cut at ${cut}`)
    }
})

test('base64 of a secret is taken out at each alignment, in both alphabets, wherever the stream is cut', () => {
  for (const before of ['', 'a', 'ab', 'abc'])
    for (const alphabet of ['base64', 'base64url'] as const) {
      const text = Buffer.from(`${before}${secret}${before}`).toString(alphabet)
      const whole = inPieces(text, [10_000])
      assert.ok(whole.includes(mark) && whole.length <= mark.length + 2 * 8, `${whole} from ${text}`)
      for (let cut = 1; cut < text.length; cut++) assert.equal(inPieces(text, [cut, 10_000]), whole)
    }
})

const keys = [
  'sk-ant-api03-AAAAAAAAAAAAAAAAAAAAAAAA',
  'sk-proj-0123456789abcdefghij',
  `AIza${'b'.repeat(35)}`,
  `ghp_${'c'.repeat(36)}`,
  'xoxb-1234567890-abcdefghijkl',
]

test('what has the shape of a key is taken out, wherever the stream is cut; words that only look alike stay', () => {
  for (const key of keys)
    for (const [before, after] of [
      ['', ''],
      ['key=', '\n'],
      [String.raw`{"text":"first\n`, '"}'],
      ['?k%3D', '&x'],
      ['\u001B[1;38;5;196m', '\u001B[0m'],
      [String.raw`{"text":"\u001b[32m`, String.raw`\u001b[0m"}`],
    ] as const)
      for (let cut = 0; cut <= (before + key + after).length; cut++)
        assert.equal(inPieces(before + key + after, [cut, 3]), before + mark + after, `${key} cut at ${cut}`)
  const plain = 'a task-force-that-goes-on-for-ever, sk-short, risk-averse-people-everywhere, AIzaShort, xox-1'
  for (let cut = 0; cut <= plain.length; cut++) assert.equal(inPieces(plain, [cut, 1]), plain)
})

/** Texts rich in whole, begun, overlapping and adjacent secrets. */
const pieces = [
  ...Object.values(encodings),
  ...keys,
  'hunter22',
  'hunter22-and-longer',
  'hunter22-and-',
  'hunt',
  'abababab',
  'ab',
  'sk-',
  's',
]
const richText = fc
  .array(
    fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...pieces) }, fc.string({ maxLength: 4, unit: 'grapheme' })),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))

test('what comes out depends on the text alone, never on where it was cut', () => {
  fc.assert(
    fc.property(richText, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }), (text, sizes) => {
      assert.equal(inPieces(text, sizes), inPieces(text, [100_000]))
    }),
    { numRuns: 2000 },
  )
})

test('no secret is left in any text, and a text without one is unchanged, byte for byte', () => {
  fc.assert(
    fc.property(richText, (text) => {
      const out = scrubText(text, known)
      for (const each of [...Object.values(encodings), 'hunter22', 'ababab']) assert.ok(!out.includes(each))
    }),
    { numRuns: 1000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
      const scrubber = createScrubber(known)
      const out: Buffer[] = []
      for (let at = 0; at < bytes.length; at += size) out.push(scrubber.push(bytes.subarray(at, at + size)))
      assert.deepEqual(Buffer.concat([...out, scrubber.end()]), Buffer.from(bytes))
    }),
  )
})

test('of two secrets that begin alike the longer one is taken out whole', () => {
  assert.equal(scrubText('a hunter22-and-longer b hunter22-and c', known), `a ${mark} b ${mark}-and c`)
})

test('a line is not delayed unless its end begins a secret', () => {
  const scrubber = createScrubber(known)
  const out = ['a line\n', 'another', ' hunt', 'ing\n', 'x hunter22', '\n'].map((line) =>
    scrubber.push(Buffer.from(line)).toString(),
  )
  assert.deepEqual(out, ['a line\n', 'another', ' ', 'hunting\n', 'x ', `${mark}\n`])
})

test('a flood of begun keys takes time in proportion to its length', () => {
  for (const begun of ['sk-', 'ask-', 'abab', 'hunter22-and-longe']) {
    const text = begun.repeat(300_000 / begun.length)
    assert.ok(inPieces(text, [65_536]).length <= text.length * 2)
  }
})

test('a value with texts in it loses the known secrets alone, in any form and at any depth, and keeps its own form', () => {
  const proof = `curl -H 'x-api-key: ${keys[0]}'`
  const json = JSON.stringify({ said: secret })
  const value = { text: `a ${secret} b`, many: [{ json, proof }, 7, null, true], hunter22: 'name' }
  assert.deepEqual(scrubKnown(value, known), {
    text: `a ${mark} b`,
    many: [{ json: JSON.stringify({ said: mark }), proof }, 7, null, true],
    hunter22: 'name',
  })
})
