/** What a contained program prints, as it is passed on: whole lines, and without what is secret, wherever its chunks were cut. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { virtualWorld } from '../../sim/world.ts'
import { mark } from '../host/scrub.ts'
import { areaAt } from '../sandbox/area.ts'
import type { Contained } from '../sandbox/sandbox.ts'
import { contain } from './contain.ts'
import type { StagePorts, Work } from './stage.ts'

const secret = 'hunter2-0123456789'

/** A program that prints these chunks and ends; what was passed on of them, and the tail. */
async function printed(stdout: readonly Buffer[], stderr: readonly Buffer[] = []) {
  const exit = Promise.resolve({ code: 0, signal: null })
  const contained = {
    stdout: Readable.from(stdout),
    stderr: Readable.from(stderr),
    exit,
    kill: async () => ({ method: 'test', survivors: 0, ms: 0 }),
  } as unknown as Contained
  const ports = {
    world: virtualWorld(),
    sandbox: {
      start: async (_box: unknown, born: (outermost: object) => Promise<void>) => {
        await born({ pid: 1, startTime: 1 })
        return contained
      },
    },
  } as unknown as StagePorts
  const lines: string[] = []
  const work = {
    secrets: [secret],
    signal: new AbortController().signal,
    onOutput: (_stream: string, line: string) => void lines.push(line),
    active: () => {},
    started: async () => {},
    ended: async () => {},
  } as unknown as Work
  const box = { area: areaAt('/nowhere'), argv: ['x'], env: {}, stdin: null, mounts: [], gateway: null }
  const { tail } = await contain(ports, work, box, 1000)
  return { lines, tail }
}

const cutAt = (text: string, at: number): Buffer[] => {
  const bytes = Buffer.from(text)
  return [bytes.subarray(0, at), bytes.subarray(at)].filter(({ length }) => length > 0)
}

test('wherever its chunks are cut, a line is one line and a secret in it is marked, in the tail too', async () => {
  const text = `one\nzwölf ${secret} end\nlast`
  for (let at = 0; at <= Buffer.byteLength(text); at += 1)
    assert.deepEqual(
      await printed(cutAt(text, at)),
      { lines: ['one', `zwölf ${mark} end`, 'last'], tail: `one\nzwölf ${mark} end\nlast` },
      `cut at ${at}`,
    )
})

test('a secret that the beginning of the tail falls into is not left there in part', async () => {
  for (let rest = 1; rest < secret.length; rest += 1) {
    const { tail } = await printed([Buffer.from(`before ${secret}${'x'.repeat(8192 - rest)}`)])
    assert.ok(!tail.includes(secret.slice(-rest)), `${rest}: ${tail.slice(0, 40)}`)
  }
})

test('what comes on the other stream in between hides nothing', async () => {
  const halves = cutAt(secret, 9)
  const { lines, tail } = await printed(halves, [Buffer.from('a warning\n'), ...halves])
  assert.ok(![...lines, tail].some((each) => each.includes(secret.slice(0, 9)) || each.includes(secret.slice(9))))
  assert.deepEqual(lines.toSorted(), [mark, mark, 'a warning'])
})

test('a line without an end is passed on in pieces, and nothing of it is lost', async () => {
  const long = 'y'.repeat(200_000)
  const { lines } = await printed([Buffer.from(long), Buffer.from(`${long}\nz`)])
  assert.ok(lines.every(({ length }) => length <= 65_536))
  assert.equal(lines.join(''), `${long}${long}z`)
})
