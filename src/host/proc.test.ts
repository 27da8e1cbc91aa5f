/** Reading /proc: who a process is, and which processes belong together. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import test from 'node:test'
import { hardLimit } from './limit.ts'
import { bornAt, isAlive } from './proc.ts'
import { descendantsOf, holdPidNamespace, inGroup, innerPid, aliveOf, pidNamespaceOf } from './process-tree.ts'
import { bootId, startTimeOf } from './proc.ts'
import { withEnvironment } from './process-tree.ts'
import { realWorld } from './world.ts'

const skip = !existsSync('/proc/self/stat') && 'there is no /proc'
const world = realWorld()
const ascending = (a: number, b: number) => a - b
const start = (script: string, env = {}) =>
  world.spawn({ file: '/bin/sh', args: ['-c', script], cwd: '/', env: { PATH: '/usr/bin:/bin', ...env } })

test('a process is this process only with its boot, its pid and its start time', { skip }, () => {
  const me = { bootId: bootId(), pid: process.pid, startTime: startTimeOf(process.pid) }
  assert.notEqual(me.startTime, null)
  assert.deepEqual(
    [me, { ...me, startTime: me.startTime! - 1 }, { ...me, bootId: 'another' }, { ...me, pid: 2 ** 22 }].map(isAlive),
    [true, false, false, false],
  )
})

test('a tree lives as long as anything in the group of its leader does', { skip }, async () => {
  const child = await start('sleep 60 & echo $!; read word; exit 0')
  const [chunk] = (await child.stdout.take(1).toArray()) as Buffer[]
  const leader = { bootId: bootId(), pid: child.pid, startTime: bornAt(child.pid) }
  await child.exit // its stdin is closed: it has ended, what it started has not
  const inner = Number(String(chunk))
  const seen = [isAlive(leader), aliveOf(leader, '/nowhere'), aliveOf({ ...leader, bootId: 'another' }, '/nowhere')]
  process.kill(inner, 'SIGKILL')
  while (startTimeOf(inner) !== null) await world.timer.sleep(5)
  assert.deepEqual([...seen, aliveOf(leader, '/nowhere')], [false, [inner], [], []])
})

test('descendants, group and marked environment are found, whatever the program calls itself', { skip }, async () => {
  const token = world.id('mark')
  const child = await start('exec 9<&0; sleep 60 & echo $!; wait', { MARK: token })
  const [chunk] = (await child.stdout.take(1).toArray()) as Buffer[]
  const inner = Number(String(chunk))
  try {
    const since = bornAt(child.pid)!
    assert.deepEqual(descendantsOf(child.pid), [inner])
    assert.deepEqual(inGroup(child.pid, since).toSorted(ascending), [child.pid, inner].toSorted(ascending))
    assert.deepEqual(inGroup(child.pid, since + 1_000_000), []) // a group of an earlier leader is not this one
    assert.deepEqual(withEnvironment(`MARK=${token}`).toSorted(ascending), [child.pid, inner].toSorted(ascending))
    assert.deepEqual(withEnvironment(`MARK=${token.slice(1)}`), [])
  } finally {
    child.signal('SIGKILL')
    await child.exit
  }
  assert.deepEqual([startTimeOf(child.pid), descendantsOf(child.pid)], [null, []])
})

test('a namespace is held only when it is the one that was named', { skip }, () => {
  const inode = Number(/\d+/.exec(pidNamespaceOf(process.pid)!)?.[0])
  const held = holdPidNamespace(process.pid, inode)
  assert.equal(held?.name, `pid:[${inode}]`)
  held?.release()
  assert.deepEqual([holdPidNamespace(process.pid, inode + 1), holdPidNamespace(2 ** 22, inode)], [null, null])
  assert.ok((innerPid(process.pid) ?? 0) > 0)
})

test('a hard limit is a number, and Infinity where there is none', { skip }, async () => {
  assert.ok(hardLimit('open files') > 0)
  assert.ok(hardLimit('processes') > 0)
})
