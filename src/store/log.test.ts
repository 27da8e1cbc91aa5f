/** The log is what its model is, a list: whoever writes at once, in whatever streams, with whichever refused, and however it is asked. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Event, LoggedEvent } from '../core/event.ts'
import { openDatabase } from './database.ts'
import { lastSeq, readLastLog, readLog } from './log.ts'
import { append } from './append.ts'
import { verifyLog } from './verify-log.ts'

const streams = ['daemon/main', 'daemon/other', 'daemon/third'] as const
const types = ['daemon.resumed', 'loop.failed'] as const
const caller = fc.record({
  stream: fc.constantFrom(...streams),
  kinds: fc.array(fc.constantFrom(...types), { maxLength: 3 }),
  isRefused: fc.boolean(),
})
/** Each list is asked for in one turn, thus shares a commit. */
const story = fc.array(fc.array(caller, { minLength: 1, maxLength: 4 }), { maxLength: 12 })
const question = fc.record({
  after: fc.nat(20),
  stream: fc.option(fc.constantFrom(...streams), { nil: undefined }),
  since: fc.nat(14),
  types: fc.option(fc.subarray([...types]), { nil: undefined }),
  limit: fc.integer({ min: 1, max: 12 }),
})

const eventOf = (type: (typeof types)[number], n: number): Event =>
  type === 'loop.failed' ? { type, loop: 'x', error: `${n}` } : { type, awayMs: n }

test('whoever writes at once, the log holds what was acknowledged, in order, and answers as a list would', async () => {
  await fc.assert(
    fc.asyncProperty(story, fc.array(question, { maxLength: 4 }), async (batches, questions) => {
      const database = openDatabase(':memory:')
      const model: LoggedEvent[] = []
      let made = 0
      for (const [at, callers] of batches.entries()) {
        const writes = callers.map(({ stream, kinds, isRefused }) => {
          const events = kinds.map((type) => eventOf(type, made++))
          if (!isRefused)
            for (const event of events) {
              const version = model.filter((each) => each.stream === stream).length + 1
              model.push({ seq: model.length + 1, at, stream, version, actor: 'x', event })
            }
          return database.write(async (tx) => {
            await append(tx, { at, actor: 'x', stream, events })
            if (isRefused) throw new Error('no')
          })
        })
        const answers = await Promise.allSettled(writes)
        assert.deepEqual(
          answers.map(({ status }) => status === 'rejected'),
          callers.map(({ isRefused }) => isRefused),
        )
      }
      const read = <T>(body: Parameters<typeof database.read<T>>[0]) => database.read(body)
      assert.deepEqual(await read((reader) => readLog(reader, { limit: 1000 })), model)
      assert.equal(await read(lastSeq), model.length)
      for (const { after, stream, since, types: asked, limit } of questions) {
        const filter = { since, limit, ...(stream ? { stream } : {}), ...(asked ? { types: asked } : {}) }
        const fits = model.filter(
          (each) =>
            each.at >= since &&
            (!stream || each.stream === stream) &&
            (!asked || (asked as string[]).includes(each.event.type)),
        )
        const later = fits.filter(({ seq }) => seq > after)
        assert.deepEqual(await read((reader) => readLog(reader, { ...filter, after })), later.slice(0, limit))
        assert.deepEqual(await read((reader) => readLastLog(reader, filter)), fits.slice(-limit))
      }
      assert.deepEqual((await verifyLog(database)).damage, [])
      database.close()
    }),
    { seed: 2026, numRuns: 60 },
  )
})
