/**
 * Two real containers of podman, started with the very words of docs/companion.md: the daemon in one without privileges, its companion in the other. A task
 * lands; nothing of the daemon's is in the companion; and what a program leaves behind there is gone, also after a `kill -9` of the daemon.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { capture } from '../../src/host/process.ts'
import { killProcess } from '../../src/host/proc.ts'
import { removeTree } from '../../src/sandbox/area.ts'
import { find } from '../../src/sandbox/create.ts'
import { path, world } from '../../src/sandbox/fixture.ts'
import { approving, implementing, models } from '../e2e/rig.ts'

const root = join(import.meta.dirname, '../..')
const all = ['0', '1', '2', '3', '4', '5']
const image = 'localhost/tri-agent-test'
const user = '1000:1000'
const key = 'hush-key-nobody-accepts'

const place = await mkdtemp(join(tmpdir(), 'tri-pod-'))
const [state, shop] = [join(place, 'tri'), join(place, 'shop')]
const env = {
  PATH: path,
  HOME: place,
  CONTAINERS_CONF: join(place, 'containers.conf'),
  CONTAINERS_STORAGE_CONF: join(place, 'storage.conf'),
  TRI: state,
  SHOP: shop,
  USER_ID: user,
  IMAGE: [
    '-e PATH=/opt/bin:/opt/node/bin:/usr/bin:/bin -v /usr:/usr:ro',
    `-v ${root}:/opt/tri:ro`,
    `-v ${dirname(dirname(process.execPath))}:/opt/node:ro`,
    image,
  ].join(' '),
}

async function shell(script: string): Promise<string> {
  const done = await capture(world.spawn, { file: 'sh', args: ['-c', script], cwd: '/', env })
  if (done.code !== 0) throw new Error(`${script}: ${done.stdout}${done.stderr}`)
  return done.stdout
}

/** What a person types, as the page has it: folders, the companion, the daemon, init, doctor. */
const typed = [...readFileSync(join(root, 'docs/companion.md'), 'utf8').matchAll(/^```sh\n(.*?)\n```$/gms)].map(
  ([, words]) => words!,
)

/** An image of this system's own programs: empty folders, over which they are mounted. */
async function makeImage(): Promise<void> {
  const files = join(place, 'rootfs')
  for (const each of 'usr etc proc dev sys tmp run state config companion shop opt/tri opt/node opt/bin'.split(' '))
    mkdirSync(join(files, each), { recursive: true })
  chmodSync(join(files, 'tmp'), 0o1777)
  for (const each of ['bin', 'sbin', 'lib', 'lib64']) symlinkSync(`usr/${each}`, join(files, each))
  const start = '#!/bin/sh\nexec /opt/node/bin/node /opt/tri/src/cli/main.ts "$@"\n'
  writeFileSync(join(files, 'opt/bin/tri-agent'), start, { mode: 0o755 })
  writeFileSync(
    env.CONTAINERS_CONF,
    '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[containers]\nlog_driver = "k8s-file"\ndefault_ulimits = ["nofile=4096:4096","nproc=4096:4096"]\n',
  )
  writeFileSync(
    env.CONTAINERS_STORAGE_CONF,
    `[storage]\ndriver = "vfs"\ngraphroot = "${join(place, 'graph')}"\nrunroot = "${join(place, 'run')}"\n`,
  )
  await shell(`tar c -C '${files}' . | podman import --quiet - ${image}`)
}

const missing = await (async (): Promise<string | false> => {
  if (process.getuid?.() !== 0) return 'only root can make such containers here'
  for (const tool of ['podman', 'runc'])
    if (find(tool, `${path}:/usr/sbin:/sbin`) === null) return `${tool} is not installed`
  return makeImage().then(
    () => false,
    (error: Error) => `podman makes no container here: ${error.message.split('\n').at(-1)}`,
  )
})()
if (missing !== false) process.stdout.write(`SKIPPED two containers: ${missing}\n`)

after(async () => {
  if (missing === false) await shell(`podman rm --force --time 0 tri-agent companion; podman rmi --force ${image}; :`)
  await removeTree(place)
})

const family = (name: keyof typeof models) => ({
  agent: 'scripted',
  program: ['/opt/node/bin/node', '/opt/tri/sim/scripted-agent.ts'],
  baseUrl: 'http://127.0.0.1:18080',
  keyFrom: { env: 'THE_KEY' },
  models: models[name],
})

const evil = readFileSync(join(import.meta.dirname, 'evil.sh'), 'utf8')
const tag = world.id('evil')
const begin = `bash evil.sh ${tag} >/dev/null 2>&1 & for n in ${all.join(' ')}; do until grep -qsz "^${tag}-$n" /proc/[0-9]*/cmdline; do sleep 0.05; done; done`
const rules = [
  implementing('Sell coffee', { write: { path: 'coffee.txt', content: 'coffee\n' } }, { say: 'Done.' }),
  implementing('Do evil', { shell: begin }, { misbehave: 'hang' }),
  approving,
]

/** What of the evil program lives on this machine, in whatever container. */
const alive = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'latin1').startsWith(`${tag}-`) ? [Number(name)] : []
      } catch {
        return [] // gone meanwhile
      }
    })

async function until(what: string, holds: () => Promise<boolean> | boolean, ms: number): Promise<void> {
  const began = world.clock.mono()
  while (!(await holds())) {
    if (world.clock.mono() - began > ms)
      throw new Error(`in vain: ${what}; ${await shell('podman logs tri-agent 2>&1; podman logs companion 2>&1; :')}`)
    await world.timer.sleep(50)
  }
}

const inside = (words: string): Promise<string> => shell(`podman exec -w /shop tri-agent ${words}`)
const stateOf = async (id: string) =>
  (JSON.parse(await inside(`tri-agent show ${id} --json`)) as { task: { state: string } }).task.state
const add = async (title: string) =>
  (JSON.parse(await inside(`tri-agent add '${title}' --json`)) as { task: { id: string } }).task.id

/** The models of the daemon's agents, simulated, in its own container. */
const startModels = (): Promise<string> => {
  const quoted = JSON.stringify(rules).replaceAll("'", "'\\''")
  return shell(`podman exec -d tri-agent /opt/node/bin/node /opt/tri/test/evil/provider.ts 18080 '${quoted}'`)
}

/** Everything in a container that its programs can read, searched for the key and for the database. */
const search = `cat /proc/[0-9]*/environ 2>/dev/null | tr "\\\\0" "\\\\n" | grep -c ${key}; grep -rlsI ${key} /state /config /companion /tmp /run 2>/dev/null | wc -l; ls /state/tri-agent/tasks.db 2>/dev/null | wc -l`

test(
  'a task lands with its agents in the companion, which holds nothing of the daemon',
  { skip: missing },
  async () => {
    assert.equal(typed.length, 5)
    const [folders, companion, daemon, init, doctor] = typed as [string, string, string, string, string]
    await shell(folders)
    mkdirSync(join(state, 'config/tri-agent'))
    const config = {
      rung: 'companion',
      companion: { socket: '/companion/socket' },
      unattended: true,
      http: { port: 0 },
      drain: { normal: '0s' },
      families: { anthropic: family('anthropic'), openai: family('openai'), google: family('google') },
    }
    writeFileSync(join(state, 'config/tri-agent/config.yaml'), JSON.stringify(config), { mode: 0o600 })
    writeFileSync(join(state, 'config/keys.env'), `THE_KEY=${key}\n`, { mode: 0o600 })
    mkdirSync(shop)
    writeFileSync(join(shop, 'evil.sh'), evil)
    writeFileSync(join(shop, 'test.sh'), 'echo "1 test passed"\n')
    writeFileSync(join(shop, 'tri-agent.yaml'), JSON.stringify({ gates: [{ name: 'test', command: 'sh test.sh' }] }))
    const git = 'git -c user.name=Ada -c user.email=ada@localhost'
    await shell(`cd '${shop}' && git init -q -b main && git add -A && ${git} commit -qm 'Open the shop'`)
    await shell(`chown -R ${user} '${state}' '${shop}'; chmod 755 '${place}'`)
    await shell(companion)
    await until(
      'the companion listens',
      async () => (await shell('podman logs companion 2>&1')).includes('listens at'),
      20_000,
    )
    await shell(`IMAGE="--network none $IMAGE"; ${daemon}`) // its models are in it, too
    await until(
      'the daemon is up',
      async () => (await shell('podman logs tri-agent 2>&1')).includes('sandbox rung companion'),
      20_000,
    )
    await startModels()
    await shell(init)
    const said = await capture(world.spawn, { file: 'sh', args: ['-c', doctor], cwd: '/', env })
    assert.match(
      said.stdout,
      /rung companion, as your settings accept\. It holds: your keys.*PID 1.*no network but the gateway/s,
    )
    const id = await add('Sell coffee')
    await until('it is done', async () => ['done', 'escalated'].includes(await stateOf(id)), 60_000)
    assert.equal(await stateOf(id), 'done', await inside(`tri-agent show ${id}`))
    assert.equal(await shell(`git -c safe.directory='*' -C '${shop}' show tri-agent/landing:coffee.txt`), 'coffee\n')
    const found = async (container: string) =>
      (await shell(`podman exec ${container} sh -c '${search}'`)).trim().split('\n').map(Number)
    assert.deepEqual(await found('companion'), [0, 0, 0])
    const control = await found('tri-agent')
    assert.ok(
      control.every((count) => count > 0),
      `the search finds it where it is: ${control.join()}`,
    )
  },
)

test(
  'after kill -9 of the daemon nothing of an attempt is left in the companion, which serves the next one',
  { skip: missing },
  async () => {
    const id = await add('Do evil')
    await until('all of it began', () => alive().length === all.length, 30_000)
    const began = world.clock.mono()
    await shell('podman kill --signal KILL tri-agent')
    await until('all of it is gone', () => alive().length === 0, 10_000).finally(() => alive().forEach(killProcess))
    const ms = Math.round(world.clock.mono() - began)
    process.stdout.write(`gone ${ms} ms after podman was told to kill the daemon\n`)
    await shell('podman start tri-agent')
    await startModels()
    await until('all of it began again', () => alive().length === all.length, 60_000)
    await inside(`tri-agent kill ${id}`)
    await until('killed by a person, nothing is left', () => alive().length === 0, 10_000).finally(() =>
      alive().forEach(killProcess),
    )
  },
)
