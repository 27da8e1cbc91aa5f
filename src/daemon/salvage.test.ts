/** What is written down of finished work: beside its area while that is there, and nowhere once it was given back. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Running } from '../core/task.ts'
import type { Daemon } from './daemon.ts'
import { readFinished, writeFinished } from './salvage.ts'

test('finished work is found again in its folder, and a folder that is gone fails nobody', async (t) => {
  const areas = await mkdtemp(join(tmpdir(), 'tri-agent-salvage-'))
  t.after(() => rm(areas, { recursive: true, force: true }))
  const saw = { gateway: { report: () => ({ voided: null, models: ['claude-opus-5-5'] }) } } as unknown as Daemon
  const running = { attempt: 'att_1', family: 'anthropic' } as Running
  const done = { base: 'b', message: 'Wrote it.', promptSha256: null }
  await writeFinished(saw, running, areas, done)
  const here = { paths: { areas: join(areas, '..') } } as Daemon
  const found = await readFinished(here, areas.slice(areas.lastIndexOf('/') + 1))
  assert.deepEqual(found, { ...done, model: 'claude-opus-5-5', family: 'anthropic' })
  await writeFinished(saw, running, join(areas, 'gone'), done) // its worker was frozen while it was given back
  assert.equal(await readFinished({ paths: { areas } } as Daemon, 'gone'), null)
})
