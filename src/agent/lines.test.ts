/** Laws of reading lines: chunks may fall anywhere, no line is held beyond its cap, nothing is lost below it. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { readLines } from './lines.ts'

async function read(chunks: readonly Buffer[], lineBytes: number) {
  const lines: { line: string; cut: boolean }[] = []
  let bytes = 0
  await readLines(Readable.from(chunks, { objectMode: true }), lineBytes, {
    onBytes: (more) => (bytes += more),
    onLine: (line, cut) => lines.push({ line, cut }),
  })
  return { lines, bytes }
}

const chunked = (whole: Buffer, cuts: readonly number[]): Buffer[] => {
  const at = [...new Set(cuts.map((cut) => cut % (whole.length + 1)))].toSorted((a, b) => a - b)
  return [0, ...at].map((from, index) => whole.subarray(from, at[index] ?? whole.length))
}

test('lines are the same however the bytes are cut into chunks, inside a character too', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll('\n', ' '))),
      fc.array(fc.nat()),
      async (lines, cuts) => {
        const whole = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        assert.deepEqual(await read(chunked(whole, cuts), 1_000_000), {
          lines: lines.map((line) => ({ line, cut: false })),
          bytes: whole.length,
        })
      },
    ),
    { numRuns: 200 },
  ))

test('a last line without its newline is a line; an empty rest is none', async () => {
  assert.deepEqual((await read([Buffer.from('a\nb')], 10)).lines, [
    { line: 'a', cut: false },
    { line: 'b', cut: false },
  ])
  assert.deepEqual((await read([Buffer.from('a\n\n')], 10)).lines, [
    { line: 'a', cut: false },
    { line: '', cut: false },
  ])
})

test('a line of exactly the cap is whole; one byte more is cut, never inside a character, and the next is whole again', async () => {
  assert.deepEqual((await read([Buffer.from('12345\n')], 5)).lines, [{ line: '12345', cut: false }])
  assert.deepEqual((await read([Buffer.from('123'), Buffer.from('456\nnext\n')], 5)).lines, [
    { line: '12345', cut: true },
    { line: 'next', cut: false },
  ])
  assert.deepEqual((await read([Buffer.from('1234é\n')], 5)).lines, [{ line: '1234', cut: true }])
})

test('a destroyed stream is an ended one; what came before is kept', async () => {
  const stream = new Readable({ read() {} })
  const lines: string[] = []
  const reading = readLines(stream, 10, {
    onBytes() {},
    onLine(line) {
      lines.push(line)
      stream.destroy()
    },
  })
  stream.push('a\nb')
  await reading
  assert.deepEqual(lines, ['a', 'b'])
})
