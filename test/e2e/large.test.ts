/** What a large repository may take: work grows with its files as plain git's does, memory not with its history. `npm run bench -- large` is the tenfold. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { workOn } from './large.ts'

const mb = 1024 ** 2
/** A mirror, two clones, two checkouts, git's looks at an agent's tree, all of it removed again: each may cost some of what one work tree costs. */
const mostTrees = 50
/** Above what the process held before. The history alone would be 100 MB more than what was seen. */
const mostMb = 140

test('10,000 files and 100 MB of history are mirrored once, worked on and landed, in work and memory that plain git bounds', async () => {
  const folder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const large = await workOn({ files: 10_000, historyBytes: 100 * mb }, folder)
  assert.ok(
    large.mirrorKb < large.sourceKb * 1.1,
    `the history is copied once: ${large.mirrorKb} of ${large.sourceKb} KB`,
  )
  assert.ok(large.memoryBytes / mb < mostMb, `${large.memoryBytes / mb} MB of memory`)
  const small = await workOn({ files: 100, historyBytes: mb }, folder)
  const trees = (large.taskMs - small.taskMs) / large.plainMs
  assert.ok(trees < mostTrees, `the work of ${trees} work trees`)
})
