/** A person decides about money while a daemon is up: it goes by that at once, without a restart. The real program; the provider is one on loopback. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { startProvider, type Provider } from '../../sim/provider.ts'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

type Shop = AsyncDisposable & {
  ada: Person
  provider: Provider
  pid: number
  add(title: string, ...more: string[]): Promise<string>
}

/** A daemon with these lines in its settings, whose models say that there is nothing to do. */
async function open(lines: string, model = 'gpt-6-sol', keyFrom = '{ value: none }'): Promise<Shop> {
  const ada = await person(built.program)
  const provider = await startProvider({ world, scenario: { rules: [] } })
  const program = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
  const family = `{ agent: scripted, program: ${program}, baseUrl: "${provider.url}", keyFrom: ${keyFrom}, models: ${model} }`
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  const own = `rung: group\nhttp: { port: 0 }\ndrain: { normal: 0s }\nretry: { attempts: 1 }\n`
  await writeFile(ada.paths.configFile, `${own}${lines}\nfamilies:\n  openai: ${family}\n`, { mode: 0o600 })
  await ada.type(['init'])
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
  const { pid } = (await ada.json(['up', '--detach', '--trust'])) as { pid: number }
  return {
    ada,
    provider,
    pid,
    add: async (title, ...more) => ((await ada.json(['add', title, ...more])) as { task: { id: string } }).task.id,
    async [Symbol.asyncDispose]() {
      await ada.type(['down'])
      await provider[Symbol.asyncDispose]()
      await ada[Symbol.asyncDispose]()
    },
  }
}

/** The event of a type after so many others of it; asked for until it is there. */
async function happened(ada: Person, type: string, before = 0): Promise<Record<string, unknown>> {
  for (let looks = 0; looks < 200; looks++) {
    const { stdout } = await ada.type(['log', '--type', type, '--json'])
    const found = stdout.split('\n').filter((line) => line.startsWith('{'))[before]
    if (found !== undefined) return (JSON.parse(found) as { event: Record<string, unknown> }).event
  }
  throw new Error(`no ${type}: ${(await ada.type(['log'])).stdout}`)
}

async function isAsked({ ada, provider }: Shop, before = 0): Promise<void> {
  for (let looks = 0; provider.requests.length <= before && looks < 200; looks++) await ada.json(['status'])
  assert.ok(provider.requests.length > before, (await ada.type(['log'])).stdout)
}

test('budget set and raise reach a daemon that is up: what was parked at a limit goes on, until nothing is in its way', async () => {
  await using shop = await open('money: { day: $0.0001, task: $0.0001, burst: $0.0001 }')
  const { ada, provider } = shop
  const id = await shop.add('Sell tea')
  const scopes = [/^burst$/, /^(?:day|task)\//, /^(?:day|task)\//]
  for (const [index, scope] of scopes.entries()) {
    const parked = await happened(ada, 'task.parked', index)
    assert.match(String(parked['scope']), scope)
    assert.equal(provider.requests.length, 0, 'nothing has left')
    const limit = String(parked['scope']).split('/')[0]!
    assert.equal((await ada.json(['budget', 'set', limit, '5']))['daemonHeard'], true)
    assert.equal((await happened(ada, 'task.resumed', index))['why'], 'the settings allow more')
    assert.match((await ada.type(['log'])).stdout, new RegExp(`money\\.${limit} from \\$0\\.0001 to \\$5`))
  }
  await isAsked(shop)
  await ada.json(['cancel', id])

  const other = await shop.add('Sell coffee', '--budget', '0.0001')
  assert.equal((await happened(ada, 'task.parked', 3))['scope'], `task/${other}`)
  const asked = provider.requests.length
  const raised = await ada.json(['budget', 'raise', other, '5'])
  assert.deepEqual([raised['daemonHeard'], raised['resumed']], [true, [other]])
  await isAsked(shop, asked)

  const good = await readFile(ada.paths.configFile, 'utf8')
  await writeFile(ada.paths.configFile, good.replace(/day: \$5[^,]*/, 'day: lots'))
  assert.match(String((await happened(ada, 'loop.failed'))['error']), /money\.day: must be an amount in dollars/)
  await writeFile(ada.paths.configFile, good.replace(/day: \$5[^,]*/, 'day: $8'))
  const { changed } = await happened(ada, 'limits.changed', 3)
  assert.deepEqual(changed, [{ limit: 'day', beforeNanoUsd: 5_000_000_000, nanoUsd: 8_000_000_000 }])
  const { daemon } = (await ada.json(['status'])) as { daemon: { pid: number } }
  assert.equal(daemon.pid, shop.pid, 'it is the same daemon')
})

test('a family and a repository come to the end of their own day: parked, not let in, and on they go when told so', async () => {
  await using shop = await open('money: { repositories: { shop: $0.0001 }, families: { openai: $0.0001 } }')
  const { ada, provider } = shop
  const say = async (limit: string, before: number) => {
    const text = await readFile(ada.paths.configFile, 'utf8')
    const line = `money: { repositories: { shop: ${limit} }, families`
    await writeFile(ada.paths.configFile, text.replace(/money: .*?families/, line))
    return (await happened(ada, 'limits.changed', before))['changed']
  }
  const id = await shop.add('Sell tea')
  assert.match(String((await happened(ada, 'task.parked'))['scope']), /^day\/[-\d]+\/repo\/repo_/)
  await say('$9', 0)
  assert.equal((await happened(ada, 'task.resumed'))['why'], 'the settings allow more')
  assert.match(String((await happened(ada, 'task.parked', 1))['scope']), /^day\/[-\d]+\/family\/openai$/)
  assert.equal(provider.requests.length, 0, 'nothing has left')
  assert.match((await ada.type(['show', id])).stdout, /goes on by itself\s+from \S+ 00:00 UTC on/)
  const raised = await ada.json(['budget', 'raise', 'family', 'openai', '$5'])
  assert.deepEqual([raised['daemonHeard'], raised['resumed']], [true, [id]])
  await isAsked(shop)
  await ada.json(['cancel', id])

  assert.deepEqual(await say('$0', 1), [{ limit: 'repositories.shop', beforeNanoUsd: 9_000_000_000, nanoUsd: 0 }])
  assert.match((await ada.type(['log'])).stdout, /money\.repositories\.shop from \$9\.00 to \$0\.00/)
  const other = await shop.add('Sell coffee')
  const asked = provider.requests.length
  const why = /today's budget for its repository is used up, until /
  for (let looks = 0; looks < 100 && !why.test((await ada.type(['status'])).stdout); looks++);
  assert.match((await ada.type(['show', other])).stdout, why)
  const { tasks } = (await ada.json(['list'])) as { tasks: { id: string; state: string }[] }
  assert.equal(tasks.find((task) => task.id === other)!.state, 'ready', 'it was not let in')
  assert.equal(provider.requests.length, asked)
  await say('$8', 2)
  await isAsked(shop, asked)
})

test('a model whose price is too old is not asked for, and the command that every screen names mends it in a daemon that is up', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tri-agent-key-'))
  const key = join(folder, 'key')
  await writeFile(key, 'sk-nobodys-0123456789abcdef', { mode: 0o600 })
  try {
    await using shop = await open('money: { priceAge: 45d }', 'gpt-5.5', `{ file: ${key} }`)
    const { ada, provider } = shop
    const id = await shop.add('Sell tea')
    const tooOld = /the price of gpt-5\.5 is unknown or too old \(tri-agent prices check\)/
    for (let looks = 0; looks < 100 && !tooOld.test((await ada.type(['status'])).stdout); looks++);
    assert.match((await ada.type(['show', id])).stdout, tooOld)
    for (const verb of [['prices', 'check'], ['doctor']]) {
      const { code, stdout, stderr } = await ada.type(verb)
      assert.equal(code, 1, verb.join(' '))
      assert.match(
        stdout + stderr,
        /the price of gpt-5\.5 was looked up \d+ days ago \(2026-09-23\), and prices change/,
      )
      assert.match(
        (stdout + stderr).replaceAll(/\s+/g, ' '),
        /the vendor says the same: tri-agent prices confirm gpt-5\.5/,
      )
    }
    assert.deepEqual(provider.requests, [])
    const confirmed = await ada.json(['prices', 'confirm', 'gpt-5.5'])
    assert.deepEqual([confirmed['model'], confirmed['daemonHeard']], ['gpt-5.5', true])
    await isAsked(shop)
    assert.equal((await ada.type(['prices', 'check'])).code, 0)
    assert.match(
      (await ada.type(['prices', 'explain', 'gpt-5.5'])).stdout,
      /cached 0\.5, written to a cache/,
      'all else of it stays',
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})
