import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Check } from '../core/check.ts'
import { defaultSettings } from '../core/setting.ts'
import { searchPath } from '../git/fixture.ts'
import { findPaths } from '../host/path.ts'
import { realWorld, type World } from '../host/world.ts'
import { judgeRung, examineMachine, examineNow, judgeFileSystem, type MachinePorts } from './check-machine.ts'

const now = 1_800_000_000_000
const at = (ms: number): World => ({ ...realWorld(), clock: { now: () => ms, mono: () => 0 } })

async function machine(context: TestContext, more: Partial<MachinePorts> = {}): Promise<MachinePorts> {
  const home = await mkdtemp(join(tmpdir(), 'tri-agent-machine-'))
  context.after(() => rm(home, { recursive: true, force: true }))
  const env = { HOME: home, PATH: searchPath }
  return { world: at(now), env, paths: findPaths(env), settings: null, daemonPid: null, lastEventAt: 0, ...more }
}

const named = (checks: readonly Check[], name: string): Check => checks.find((each) => each.name === name)!

test("the state's folder must be a folder of one's own that nobody else can read, and is not missed before init", async (context) => {
  const ports = await machine(context)
  const folder = ports.paths.stateFolder
  const look = () => {
    const { state, mend } = named(examineNow(ports), 'state folder')
    return [state, mend]
  }
  assert.deepEqual(look(), ['warning', 'tri-agent init, in your repository'])
  await mkdir(folder, { recursive: true, mode: 0o700 })
  assert.deepEqual(look(), ['ok', null])
  await chmod(folder, 0o750)
  assert.deepEqual(look(), ['missing', `chmod 700 ${folder}`])
  await rm(folder, { recursive: true })
  await symlink(ports.env['HOME']!, folder)
  assert.deepEqual(look(), ['missing', 'point XDG_STATE_HOME at the folder itself'])
})

test('a clock before this program was made, or behind the log, is missed', async (context) => {
  const state = (ms: number, lastEventAt: number, ports: MachinePorts) =>
    named(examineNow({ ...ports, world: at(ms), lastEventAt }), 'clock').state
  const ports = await machine(context)
  assert.deepEqual(
    [
      state(now, now - 1000, ports),
      state(now, now + 30_000, ports),
      state(now, now + 61_000, ports),
      state(1e12, 0, ports),
    ],
    ['ok', 'ok', 'missing', 'missing'],
  )
})

test('a database on a network is refused a place, FUSE is warned of, a local disk is well', () => {
  const states = [0x6969, 0xfe534d42, 0x01021997, 0x65735546, 0xef53, 0x9123683e].map(
    (type) => judgeFileSystem(type, '/state').state,
  )
  assert.deepEqual(states, ['missing', 'missing', 'missing', 'warning', 'ok', 'ok'])
  assert.match(judgeFileSystem(0x6969, '/state').mend!, /^export XDG_STATE_HOME=/)
})

test('a taken port is missed with what to set; any free one, or the port of our own daemon, is well', async (context) => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const settings = (number: number) => ({ ...defaultSettings(2), http: { host: '127.0.0.1', port: number } })
  const look = async (more: Partial<MachinePorts>) => named(await examineMachine(await machine(context, more)), 'port')
  try {
    const taken = await look({ settings: settings(port) })
    assert.deepEqual([taken.state, taken.found], ['missing', `127.0.0.1:${port} cannot be had (EADDRINUSE)`])
    assert.equal((await look({ settings: settings(port), daemonPid: 7 })).state, 'ok')
    assert.equal((await look({ settings: settings(0) })).state, 'ok')
  } finally {
    server.close()
  }
})

test('without git and bubblewrap on PATH both are missed with how to get them; the rung group is warned of where it is accepted', async (context) => {
  const bare = await machine(context, { env: { PATH: '/nowhere' } })
  const checks = await examineMachine(bare)
  assert.deepEqual([named(checks, 'git').state, named(checks, 'git').mend], ['missing', 'install git 2.38 or newer'])
  assert.deepEqual(
    [named(checks, 'sandbox').state, /bubblewrap/.test(named(checks, 'sandbox').mend!)],
    ['missing', true],
  )
  const accepted = await examineMachine({ ...bare, settings: { ...defaultSettings(2), rung: 'group' } })
  assert.equal(named(accepted, 'sandbox').state, 'warning')
})

test('the rung is named, with what keeps the machine from a higher one and what is lost on a lower one', () => {
  const [bare, none] = [
    { reasons: [], above: [] },
    { reasons: ['no bwrap'], above: [] },
  ]
  const told = [
    judgeRung({ ...bare, rung: 'cgroup' }, 'namespace'),
    judgeRung({ ...bare, rung: 'namespace', above: ['no cgroup: not its own'] }, 'namespace'),
    judgeRung({ ...bare, rung: 'namespace', above: ['no cgroup: not its own'] }, 'cgroup'),
    judgeRung({ ...none, rung: 'namespace' }, 'namespace'),
    judgeRung({ ...none, rung: 'group' }, 'namespace'),
    judgeRung({ ...none, rung: 'group', above: ['no subreaper: no koffi'] }, 'group'),
    judgeRung({ ...none, rung: 'subreaper' }, 'group'),
  ]
  assert.deepEqual(
    told.map(({ state, found }) => [state, found]),
    [
      ['ok', 'rung cgroup'],
      ['ok', 'rung namespace; no cgroup: not its own'],
      ['missing', 'rung namespace, and your settings ask for cgroup: no cgroup: not its own'],
      ['warning', 'rung namespace; weakened: no bwrap'],
      ['missing', 'no namespace: no bwrap; left is the rung group'],
      [
        'warning',
        'rung group, as your settings accept: files, network and daemons are not held. no bwrap; no subreaper: no koffi',
      ],
      [
        'warning',
        'rung subreaper, as your settings accept: files and network are not held, nor a program that ends its watcher. no bwrap',
      ],
    ],
  )
  assert.match(
    told[4]!.mend!,
    /what is lost on a lower rung: .*rung: group \(files, network and daemons are not held\)/,
  )
})
