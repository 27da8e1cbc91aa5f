/** Cgroups of boxes: made, named, limited, ended and removed by the real kernel; and what a machine without its own part of the tree is told. */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { makerMark } from '../host/maker.ts'
import { isAlive, bootId, bornAt } from '../host/proc.ts'
import { cgroupFolder, treeMark } from '../host/process-tree.ts'
import { removeTree } from './area.ts'
import { abandonedCgroups, endCgroup, findCgroupPlace, makeCgroup, sweepEmptyCgroups } from './cgroup.ts'
import { capture } from '../host/process.ts'
import { find } from './create.ts'
import { asNobody, freshArea, hear, makeFolder, path, shell, standOn, world } from './fixture.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const standing = await standOn('cgroup', folder)
const place = findCgroupPlace(folder)
const skip = typeof standing === 'string' ? standing : 'missing' in place && place.missing

/** The host's folder of the cgroup of a process. */
function folderOf(pid: number): string {
  const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'latin1'))![1]!
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'latin1'))![1]!
  return join(cgroupFolder()!, path.slice(own === '/' ? 0 : own.length))
}

/** How one signs who is not there. */
const deadMaker = (): string => makerMark().replace(/-[^-]+$/, '-1')

const sleeper = () => world.spawn({ file: '/bin/sleep', args: ['600'], cwd: '/', env: {} })

test('a box has a cgroup of its own, which says whose it is, and which goes with it', { skip }, async () => {
  if (typeof standing === 'string') throw new Error(standing)
  const area = await freshArea(folder)
  const contained = await standing.start(shell(area, '(setsid sleep 300 &); echo ready; sleep 300'))
  await hear(contained, 'ready')
  const at = folderOf(contained.pid)
  assert.ok(at.includes(`/tri-agent/${treeMark(area.root)}-`), at)
  assert.ok(readFileSync(join(at, 'cgroup.procs'), 'utf8').trim().split('\n').length >= 4, 'all of it is in there')
  const { method, survivors } = await contained.kill()
  assert.deepEqual([method, survivors, existsSync(at)], ['cgroup', 0, false])
})

test('the limits of a controller that may be had are set on a box', { skip }, async (context) => {
  if ('missing' in place) throw new Error(place.missing)
  const there = readFileSync(join(place.above, 'cgroup.controllers'), 'utf8')
  if (!there.includes('hugetlb')) return context.skip('cgroup v2 has no controller here on which this could be tried')
  const divide = (sign: string) => writeFileSync(join(place.above, 'cgroup.subtree_control'), `${sign}hugetlb`)
  const above = join(place.above, world.id('tri-agent-test'))
  divide('+')
  mkdirSync(above)
  try {
    const limited = { above, house: 'abcd', controllers: ['hugetlb'], unlimited: null }
    writeFileSync(join(above, 'cgroup.subtree_control'), '+hugetlb')
    const cgroup = makeCgroup(limited, world, folder, { hugetlb: { 'hugetlb.2MB.max': '4194304' } })
    const child = await sleeper()
    await cgroup.enter(child.pid)
    assert.equal(readFileSync(join(folderOf(child.pid), 'hugetlb.2MB.max'), 'utf8'), '4194304\n')
    assert.equal(cgroup.count(), 1)
    cgroup.kill()
    assert.deepEqual(await child.exit, { code: null, signal: 'SIGKILL' })
    await cgroup.enter(child.pid) // of one that has ended nothing is said here
    cgroup.remove()
  } finally {
    rmdirSync(above)
    divide('-')
  }
})

const unlimited = 'missing' in place ? place.missing : place.unlimited
test('a box cannot start more processes than it may', { skip: skip || (unlimited ?? false) }, async () => {
  if (typeof standing === 'string') throw new Error(standing)
  const script = 'n=0; while [ $n -lt 5000 ]; do sleep 60 & n=$((n+1)); done 2>err; grep -c . err; wait'
  const contained = await standing.start(shell(await freshArea(folder), script))
  assert.notEqual((await hear(contained, '\n')).trim(), '0')
  assert.equal((await contained.kill()).survivors, 0)
})

test('one whose maker is gone is found, ended and removed; one whose maker lives is not found', { skip }, async () => {
  if ('missing' in place) throw new Error(place.missing)
  const own = makeCgroup(place, world, folder)
  const left = await sleeper()
  const program = `
    const { makeCgroup, findCgroupPlace } = await import(${JSON.stringify(join(import.meta.dirname, 'cgroup.ts'))})
    const cgroup = makeCgroup(findCgroupPlace(${JSON.stringify(folder)}), { secret: () => 'dead0000' }, ${JSON.stringify(folder)})
    await cgroup.enter(${left.pid})
    process.kill(process.pid, 'SIGKILL')`
  const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` }
  const maker = await world.spawn({
    file: process.execPath,
    args: ['--input-type=module', '-e', program],
    cwd: '/',
    env,
  })
  assert.equal((await maker.exit).signal, 'SIGKILL')
  const found = abandonedCgroups(folder).filter((each) => each.includes(`/${treeMark(folder)}-`))
  assert.deepEqual(
    found.map((each) => each.endsWith('-dead0000')),
    [true],
  )
  const identity = { bootId: bootId(), pid: left.pid, startTime: bornAt(left.pid) }
  assert.deepEqual([await endCgroup(world, found[0]!), isAlive(identity), existsSync(found[0]!)], [true, false, false])
  own.remove()
})

test(
  'an empty one whose maker is gone is removed, whosever it was; one in which something lives is not',
  { skip },
  async () => {
    if ('missing' in place) throw new Error(place.missing)
    const own = makeCgroup(place, world, folder)
    const parent = join(place.above, 'tri-agent')
    const [empty, full] = ['00aa', '00bb'].map((end) => join(parent, `0abc-0def-${deadMaker()}-${end}`)) as [
      string,
      string,
    ]
    for (const each of [empty, full]) mkdirSync(each)
    const child = await sleeper()
    writeFileSync(join(full, 'cgroup.procs'), String(child.pid))
    sweepEmptyCgroups()
    assert.deepEqual([existsSync(empty), existsSync(full)], [false, true])
    assert.equal(await endCgroup(world, full), true)
    own.remove()
  },
)

const noNobody = process.getuid?.() !== 0 && 'only root can become nobody'
test('who may not divide the cgroup he is in is told how he could', { skip: skip || noNobody }, async () => {
  await asNobody(() => {
    const found = findCgroupPlace(folder)
    assert.match(
      'missing' in found ? found.missing : 'found',
      /is not its own to divide \(EACCES\): systemd-run --user/,
    )
    return Promise.resolve()
  })
})

const setpriv = find('setpriv', path)
const noDelegate = skip || noNobody || (setpriv === null && 'no setpriv')
for (const part of ['', 'daemon'])
  test(
    `who was given a part of the tree${part && ', and is in a part of that,'} stands on the rung, and leaves nothing there`,
    { skip: noDelegate },
    async () => {
      if ('missing' in place) throw new Error(place.missing)
      const nobody = 65_534
      const given = join(place.above, world.id('tri-agent-given'))
      const own = join(given, part)
      mkdirSync(own, { recursive: true })
      const state = join(folder, world.id('state'))
      mkdirSync(state)
      for (const at of new Set([given, own]))
        for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control', 'cgroup.threads'])
          chownSync(join(at, file), nobody, nobody)
      chownSync(state, nobody, nobody)
      chmodSync(folder, 0o755)
      const program = `
      const { createSandbox } = await import(${JSON.stringify(join(import.meta.dirname, 'create.ts'))})
      const { makeArea } = await import(${JSON.stringify(join(import.meta.dirname, 'area.ts'))})
      const { realWorld } = await import(${JSON.stringify(join(import.meta.dirname, '../host/world.ts'))})
      const { mkdir } = await import('node:fs/promises')
      const sandbox = await createSandbox(realWorld(), ${JSON.stringify({ path, folder: state, lowest: 'cgroup' })})
      if (sandbox.why) throw new Error(sandbox.why)
      const area = await makeArea(${JSON.stringify(join(state, 'area'))})
      await mkdir(area.work)
      const contained = await sandbox.start({ area, argv: ['/bin/sh', '-c', '(setsid sleep 300 &); sleep 300'], env: {}, stdin: null, mounts: [], gateway: null })
      const { method, survivors } = await contained.kill()
      console.log(method, survivors)`
      const enter = `echo $$ > '${join(own, 'cgroup.procs')}' && exec "$@"`
      const args = ['-c', enter, 'sh', setpriv!, '--reuid', `${nobody}`, '--regid', `${nobody}`, '--clear-groups']
      const env = { PATH: `${dirname(process.execPath)}:/usr/bin:/bin`, TMPDIR: state }
      const node = [process.execPath, '--input-type=module', '-e', program]
      const { stdout, stderr } = await capture(world.spawn, {
        file: '/bin/sh',
        args: [...args, ...node],
        cwd: '/',
        env,
      })
      assert.equal(stdout, 'cgroup 0\n', stderr)
      if (part !== '') rmdirSync(own)
      rmdirSync(given) // which only an empty one lets happen
    },
  )
