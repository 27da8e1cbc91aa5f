/** The daemon's log: turned over once its time has come, whole, and written on by whoever has it open. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { turnedLogs, turnLog } from './log-file.ts'

const day = 24 * 3_600_000

test('a log is turned over once a day and no oftener, loses nothing, and is written on by whoever has it open', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tri-log-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const log = join(folder, 'daemon.log')
  assert.equal(turnLog(log, 0, day), null, 'there is none')
  const open = openSync(log, 'a')
  t.after(() => closeSync(open))
  assert.equal(turnLog(log, lstatSync(log).birthtimeMs + 2 * day, day), null, 'nothing was said')
  writeSync(open, 'first\n')
  const born = lstatSync(log).birthtimeMs
  assert.equal(turnLog(log, born + day - 1, day), null, 'not yet a day')
  const at = born + day
  const turned = turnLog(log, at, day)!
  assert.match(turned, /daemon\.log\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/)
  utimesSync(turned, at / 1000, at / 1000) // when it was turned over: the test's clock is not the disk's
  writeSync(open, 'second\n')
  appendFileSync(`${log}.of-mine`, 'not ours')
  assert.deepEqual([readFileSync(turned, 'utf8'), readFileSync(log, 'utf8')], ['first\n', 'second\n'])
  assert.equal(turnLog(log, at + day - 1000, day), null)
  assert.notEqual(turnLog(log, at + day + 1000, day), null)
  assert.equal(turnedLogs(log).length, 2)
})
