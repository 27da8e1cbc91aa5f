/** What the port promises on every rung; and what only the namespace holds, each with the group rung as the proof that the test could fail. */
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import test, { after } from 'node:test'
import { bootId, bornAt, killProcess } from '../host/proc.ts'
import { aliveOf, descendantsOf } from '../host/process-tree.ts'
import { makeTemporary } from '../host/temporary.ts'
import { makeArea, removeTree } from './area.ts'
import {
  boxOf,
  carrying,
  freshArea,
  hear,
  hostPidOf,
  makeFolder,
  path,
  see,
  shell,
  standOn,
  startCompanion,
  textOf,
  world,
} from './fixture.ts'
import type { Sandbox } from './sandbox.ts'

const folder = await makeFolder()
after(() => removeTree(folder))
const listening = await startCompanion({ folder: join(folder, 'companion'), shared: [folder] })
const place =
  typeof listening === 'string'
    ? undefined
    : { socket: listening.socket, house: folder, areas: folder, sockets: folder, readOnly: [], hidden: [] }
after(() => (typeof listening === 'string' ? undefined : listening.end()))
const rungs = {
  cgroup: await standOn('cgroup', folder),
  namespace: await standOn('namespace', folder),
  companion: typeof listening === 'string' ? listening : await standOn('companion', folder, place),
  subreaper: await standOn('subreaper', folder),
  group: await standOn('group', folder),
}
/** A gateway that says its name, and a server of the host that nobody inside should reach. */
const gateway = { socket: join(folder, 'gateway'), url: '' }
const front = createHttpServer((_, response) => void response.end('the gateway'))
const host = createServer((connection) => connection.end('the host'))
await new Promise<void>((resolve) => front.listen(gateway.socket, resolve))
await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
after(() => void (front.close(), host.close()))
const hostPort = (host.address() as AddressInfo).port

/** One law on every rung. */
function law(name: string, body: (sandbox: Sandbox) => Promise<void>): void {
  for (const [rung, sandbox] of Object.entries(rungs))
    test(`${rung}: ${name}`, { skip: typeof sandbox === 'string' && sandbox }, () => body(sandbox as Sandbox))
}

/** A law of the namespace and what is above it, and what the group rung answers to the same question. */
function difference(name: string, body: (sandbox: Sandbox) => Promise<unknown>, contained: unknown, group: unknown) {
  const { group: open, subreaper: _, companion: _elsewhere, ...higher } = rungs
  for (const [rung, held] of Object.entries(higher))
    test(`${rung}: ${name}`, { skip: typeof held === 'string' && held }, async () =>
      assert.deepEqual(await body(held as Sandbox), contained),
    )
  test(`group does not hold this, so the test can fail: ${name}`, async () =>
    assert.deepEqual(await body(open as Sandbox), group))
}

law('the Java and the Maven of the system start, where there are any', async (sandbox) => {
  const area = await freshArea(folder)
  const script =
    'for tool in java mvn; do ! command -v $tool >/dev/null || $tool -version >/dev/null 2>err || { cat err; exit 1; }; done'
  assert.deepEqual(await see(sandbox, shell(area, script)), {
    stdout: '',
    stderr: '',
    code: 0,
    signal: null,
    survivors: 0,
  })
})

law('exit code, both streams and stdin pass as they are', async (sandbox) => {
  const area = await freshArea(folder)
  assert.deepEqual(await see(sandbox, shell(area, 'cat; echo problem >&2; exit 3', 'sh', { stdin: 'grüß\ndich' })), {
    stdout: 'grüß\ndich',
    stderr: 'problem\n',
    code: 3,
    signal: null,
    survivors: 0,
  })
})

law('the Node it names is ours, whatever PATH leads to', async (sandbox) => {
  const area = await freshArea(folder)
  const script = `printf '#!/bin/sh\\necho another\\n' >node; chmod 755 node; PATH=$PWD:$PATH; node; "$1" -p process.version`
  const box = boxOf(area, ['/bin/sh', '-c', script, 'sh', sandbox.view(area, null).node])
  assert.equal((await see(sandbox, box)).stdout, `another\n${process.version}\n`)
})

law('a death by signal is told', async (sandbox) => {
  const { code, signal } = await see(sandbox, shell(await freshArea(folder), 'kill -SEGV $$'))
  const told = sandbox.rung !== 'group' ? { code: 139, signal: null } : { code: null, signal: 'SIGSEGV' }
  assert.deepEqual({ code, signal }, told)
})

law('a program that is not there is an end with a code and a word, not a hang', async (sandbox) => {
  const { code, stderr } = await see(sandbox, boxOf(await freshArea(folder), ['/nowhere/nothing']))
  assert.notEqual(code, 0)
  assert.match(stderr, /nothing/)
})

law('the environment is the one we wrote, and nothing more', async (sandbox) => {
  const area = await freshArea(folder)
  const { stdout } = await see(sandbox, boxOf(area, ['env', '-0'], { env: { WORD: 'a b\nc' } }))
  const said = Object.fromEntries(
    stdout
      .split('\0')
      .filter(Boolean)
      .map((line) => line.split(/=(.*)/s).slice(0, 2)),
  )
  const { home, tmp } = sandbox.view(area, null)
  const { PATH, TRI_AGENT_BOX: _mark, SHLVL: _depth, PWD: _cwd, _: _self, ...rest } = said
  assert.deepEqual(rest, {
    HOME: home,
    TMPDIR: tmp,
    WORD: 'a b\nc',
    LANG: 'C.UTF-8',
    NO_PROXY: '127.0.0.1,localhost',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
  })
  assert.ok(PATH!.includes(!sandbox.contained ? path : ':/usr/bin'))
})

law('the toolchain comes first in PATH and is whole', async (sandbox) => {
  const tools = join(folder, world.id('tools'))
  await mkdir(join(tools, 'bin'), { recursive: true })
  await mkdir(join(tools, 'lib'))
  await writeFile(join(tools, 'bin', 'git'), '#!/bin/sh\ncat "${0%/bin/git}/lib/text"\n', { mode: 0o755 })
  await writeFile(join(tools, 'lib', 'text'), 'the chosen git')
  const box = boxOf(await freshArea(folder), ['git'], { toolchain: [join(tools, 'bin')] })
  assert.equal((await see(sandbox, box)).stdout, 'the chosen git')
})

law('what it writes in its folders is there on the host, and `out` and HOME are its own', async (sandbox) => {
  const area = await freshArea(folder)
  const { work, home, out } = sandbox.view(area, null)
  const script = `echo 1 > '${work}/f'; echo 2 > '${home}/f'; echo 3 > '${out}/f'; pwd`
  const { stdout } = await see(sandbox, shell(area, script))
  const written = await Promise.all([area.work, area.home, area.out].map((each) => readFile(join(each, 'f'), 'utf8')))
  assert.deepEqual({ stdout, written }, { stdout: `${work}\n`, written: ['1\n', '2\n', '3\n'] })
})

law('a polite stop reaches the program, which may end as it likes', async (sandbox) => {
  for (const way of [null, gateway])
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const script = `trap 'echo bye; exit 7' ${signal.slice(3)}; echo ready; while :; do sleep 0.02 & wait $!; done`
      const contained = await sandbox.start(shell(await freshArea(folder), script, 'sh', { gateway: way }))
      await hear(contained, 'ready')
      contained.stop(signal)
      const text = hear(contained, 'bye')
      assert.deepEqual(await contained.exit, { code: 7, signal: null })
      assert.match(await text, /bye/)
      assert.equal((await contained.kill()).survivors, 0)
    }
})

law('megabytes to a slow reader, and the last words before the end, arrive whole', async (sandbox) => {
  const area = await freshArea(folder)
  const contained = await sandbox.start(shell(area, 'head -c 3000000 /dev/zero'))
  let bytes = 0
  for await (const chunk of contained.stdout as AsyncIterable<Buffer>) {
    bytes += chunk.length
    await world.timer.sleep(1)
  }
  const late = await sandbox.start(shell(area, 'head -c 100000 /dev/zero'))
  await late.exit
  await world.timer.sleep(600) // a reader that is busy with something else, for longer than the drain waits
  assert.deepEqual([bytes, (await textOf(late.stdout)).length], [3_000_000, 100_000])
})

law('a daemon that keeps stdout open does not keep the stream from ending, nor itself alive', async (sandbox) => {
  const token = world.id('daemon')
  const contained = await sandbox.start(shell(await freshArea(folder), `sh -c 'sleep 300; :' ${token} & echo said`))
  assert.deepEqual([await contained.exit, await textOf(contained.stdout)], [{ code: 0, signal: null }, 'said\n'])
  const { survivors } = await contained.kill()
  assert.deepEqual([survivors, carrying(token)], [0, []])
})

law('kill ends a tree that ignores TERM and left its group, and may be asked twice', async (sandbox) => {
  const token = world.id('tree')
  const loop = 'trap "" TERM; echo one; while :; do sleep 1; done'
  const script = `trap "" TERM; (setsid sh -c '${loop}' ${token} &); setsid sh -c '${loop}' ${token} & ${loop}`
  const contained = await sandbox.start(shell(await freshArea(folder), script, token))
  await hear(contained, 'one\none\none\n')
  contained.stop('SIGTERM')
  const [first, second] = await Promise.all([contained.kill(), contained.kill()])
  assert.deepEqual([first.method, first.survivors, second], [sandbox.rung, 0, first])
  assert.deepEqual(carrying(token), [])
  assert.deepEqual(await contained.exit, { code: null, signal: 'SIGKILL' })
  contained.stop('SIGTERM') // to nobody: no fault
})

law('killed the moment it is started, nothing of it is left', async (sandbox) => {
  const token = world.id('early')
  const area = await freshArea(folder)
  const ends = Array.from({ length: 8 }, async (_, index) => {
    const contained = await sandbox.start(shell(area, 'sleep 300; :', token))
    await world.timer.sleep(index) // at different points of its birth
    return (await contained.kill()).survivors
  })
  assert.deepEqual([await Promise.all(ends), carrying(token)], [Array.from({ length: 8 }, () => 0), []])
})

law('nothing of it begins before its birth is written down, and where that fails nothing is left', async (sandbox) => {
  const token = world.id('birth')
  const area = await freshArea(folder)
  const box = shell(area, 'echo began; sleep 300; :', token)
  let beside: number[] | null = null
  const contained = await sandbox.start(box, async (outermost) => {
    const { startTime } = outermost
    const pid = hostPidOf(outermost)
    await world.timer.sleep(100) // long enough for a program that does not wait to begin
    if (sandbox.rung !== 'group') beside = descendantsOf(pid)
    assert.deepEqual([pid > 0, startTime === bornAt(pid)], [true, true])
  })
  if (sandbox.rung !== 'group') assert.deepEqual(beside, [])
  await hear(contained, 'began')
  await contained.kill()
  const full = sandbox.start(box, () => Promise.reject(new Error('the disk is full')))
  await assert.rejects(full, /the disk is full/)
  assert.deepEqual(carrying(token), [])
})

law('that is seen wherever the folder lies, also where a file system begins right above it', async (sandbox) => {
  const seen: boolean[] = []
  for (const parent of ['/tmp', '/dev/shm']) {
    const area = await makeArea(await makeTemporary('tri-audit', parent))
    await mkdir(area.work)
    const contained = await sandbox.start(shell(area, 'echo ready; sleep 300; :'))
    await hear(contained, 'ready')
    seen.push(aliveOf({ bootId: bootId(), pid: hostPidOf(contained), startTime: 0 }, area.root).length > 0)
    await contained.kill()
    await removeTree(area.root)
  }
  assert.deepEqual(seen, [true, true])
})

law(
  'how much CPU a tree has used is known: also of what left the group, and of one that only sleeps',
  async (sandbox) => {
    const start = async (script: string) => {
      const contained = await sandbox.start(shell(await freshArea(folder), script))
      await hear(contained, 'ready')
      return contained
    }
    const [busy, idle] = await Promise.all([
      start("setsid sh -c 'echo ready; while :; do :; done' & wait"),
      start('echo ready; sleep 300; :'),
    ])
    while (busy.cpuMs()! < 300) await world.timer.sleep(20) // by then the start of both is counted
    const before = idle.cpuMs()!
    while (busy.cpuMs()! < 600) await world.timer.sleep(20)
    assert.ok(idle.cpuMs()! - before < 50, `${idle.cpuMs()} ms`)
    await Promise.all([busy.kill(), idle.kill()])
    assert.deepEqual([busy.cpuMs(), idle.cpuMs()], [null, null])
  },
)

law('killing an ended box does not touch one that was started since', async (sandbox) => {
  const area = await freshArea(folder)
  const ended = await sandbox.start(shell(area, ':'))
  await ended.exit
  const other = await sandbox.start(shell(area, 'echo ready; read word; exit 4', 'sh', { stdin: 'word\n' }))
  await ended.kill()
  assert.deepEqual(await other.exit, { code: 4, signal: null })
  await other.kill()
})

for (const [rung, sandbox] of Object.entries(rungs))
  test(
    rung === 'group'
      ? 'group does not hold daemons, so the test can fail'
      : `${rung}: daemons that were forked twice, wiped their environment and closed all they had open are gone after kill, and after a good end`,
    { skip: typeof sandbox === 'string' && sandbox },
    async () => {
      if (typeof sandbox === 'string') throw new Error(sandbox)
      for (const last of ['sleep 300', 'exit 5']) {
        const token = world.id('evil')
        const evil = `(setsid env -i sh -c 'exec >&- 2>&- <&- 3<&-; trap "" TERM; exec sh -c "while :; do sleep 1; done" "$0-became"' ${token} &)`
        // until the daemon has become what it is; the looker has not that word in its own line
        const there = `until grep -qs ${token}-becam[e] /proc/[0-9]*/cmdline; do :; done`
        const contained = await sandbox.start(
          shell(await freshArea(folder), `${evil}; ${there}; echo ready; ${last}`, token),
        )
        await hear(contained, 'ready')
        if (last.startsWith('exit')) assert.deepEqual(await contained.exit, { code: 5, signal: null })
        await contained.kill()
        const left = carrying(`${token}-became`)
        left.forEach(killProcess)
        assert.equal(left.length, rung === 'group' ? 1 : 0)
      }
    },
  )

law(
  'daemons that were forked twice are gone after kill, when they kept their environment or anything open',
  async (sandbox) => {
    const token = world.id('daemon')
    const loop = 'trap "" TERM; echo up; while :; do sleep 1; done'
    const script = `(setsid env -i sh -c '${loop}' ${token} &); (setsid sh -c 'exec 3<&-; ${loop}' ${token} &); wait; sleep 300`
    const contained = await sandbox.start(shell(await freshArea(folder), script, token))
    await hear(contained, 'up\nup\n')
    await contained.kill()
    assert.deepEqual(carrying(token), [])
  },
)

law(
  'whoever comes after the maker of a tree finds what bears its mark, although its leader is gone',
  async (sandbox) => {
    const area = await freshArea(folder)
    const token = world.id('daemon')
    const loop = 'trap "" TERM; echo up; while :; do sleep 1; done'
    const script = `(setsid env -i sh -c '${loop}' ${token} &); (setsid sh -c 'exec 3<&-; ${loop}' ${token} &); wait; sleep 300`
    const contained = await sandbox.start(shell(area, script, token))
    await hear(contained, 'up\nup\n')
    const gone = { bootId: bootId(), pid: hostPidOf(contained), startTime: 0 } // somebody else has its number by now
    const found = aliveOf(gone, area.root)
    const near = aliveOf(gone, `${area.root}-2`)
    await contained.kill()
    assert.deepEqual([found.length >= 2, near, aliveOf(gone, area.root)], [true, [], []])
  },
)

difference(
  'a file outside is neither read nor written, nor reached through /proc',
  async (sandbox) => {
    const area = await freshArea(folder)
    const secret = join(folder, world.id('secret'))
    await writeFile(secret, 'hush', { mode: 0o600 })
    const tries = [`cat '${secret}'`, `cat "/proc/1/root${secret}"`, `cat "/proc/${process.pid}/root${secret}"`]
    const { stdout } = await see(sandbox, shell(area, `${tries.join('; ')}; echo changed > '${secret}'; :`))
    return [stdout.includes('hush'), await readFile(secret, 'utf8')]
  },
  [false, 'hush'],
  [true, 'changed\n'],
)

difference(
  'no environment of the host can be read',
  async (sandbox) => {
    const bystander = await world.spawn({
      file: 'sleep',
      args: ['60'],
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', A: 'hush' },
    })
    const { stdout } = await see(sandbox, shell(await freshArea(folder), 'cat /proc/[0-9]*/environ'))
    bystander.signal('SIGKILL')
    return stdout.includes('A=hush')
  },
  false,
  true,
)

/** Prints what a loopback port says, or why it says nothing. */
const call = (port: number) =>
  `require('net').connect(${port},'127.0.0.1').on('error',(e)=>console.log(e.code)).on('connect',function(){this.write('GET / HTTP/1.0\\r\\n\\r\\n')}).on('data',(d)=>console.log(String(d).split('\\r\\n').at(-1)))`

difference(
  'of the network, only the gateway answers; without one, nothing does',
  async (sandbox) => {
    const area = await freshArea(folder)
    const ask = async (port: number, way: typeof gateway | null) =>
      (await see(sandbox, boxOf(area, ['node', '-e', call(port)], { gateway: way }))).stdout.trim()
    return Promise.all([ask(8701, gateway), ask(hostPort, gateway), ask(8701, null), ask(hostPort, null)])
  },
  ['the gateway', 'ECONNREFUSED', 'ECONNREFUSED', 'ECONNREFUSED'],
  ['ECONNREFUSED', 'the host', 'ECONNREFUSED', 'the host'],
)

difference(
  'a reviewer cannot change the tree',
  async (sandbox) => {
    const area = await freshArea(folder)
    await writeFile(join(area.work, 'file'), 'as it was')
    const box = shell(area, 'echo changed > file; rm -f file; chmod 777 .; touch new; :', 'sh', { readOnlyWork: true })
    await see(sandbox, box)
    return readFile(join(area.work, 'file'), 'utf8').catch(() => 'gone')
  },
  'as it was',
  'gone',
)
