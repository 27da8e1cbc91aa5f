/** doctor as a person meets it: what is missing and how to mend it, the exit code, and what is written down. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { arch, platform } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import type { Check } from '../../src/core/check.ts'
import { readHealth } from '../../src/store/health.ts'
import { bundle, person, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const scripted = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
const family = (model: string, more = 'keyFrom: { value: none }') =>
  `{ agent: scripted, program: ${scripted}, baseUrl: "http://127.0.0.1:9", ${more}, models: ${model} }`

async function settle(ada: Person, families: Record<string, string>, rest = ''): Promise<void> {
  await mkdir(dirname(ada.paths.configFile), { recursive: true })
  const lines = Object.entries(families).map(([name, text]) => `  ${name}: ${text}\n`)
  await writeFile(
    ada.paths.configFile,
    `rung: group\nhttp: { port: 0 }\nmoney: { priceAge: 30000d }\n${rest}${lines.length === 0 ? '' : `families:\n${lines.join('')}`}`,
    { mode: 0o600 },
  )
}

/** A repository as init leaves it, its file committed. */
async function ready(ada: Person): Promise<void> {
  await settle(ada, { anthropic: family('claude-opus-5-5'), openai: family('gpt-6-sol') })
  await ada.type(['init', '--yes'])
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
}

type Answer = { code: number | null; ok: boolean; checks: Check[] }

async function examine(ada: Person, how: Parameters<Person['type']>[1] = {}): Promise<Answer> {
  const { code, stdout, stderr } = await ada.type(['doctor', '--json'], how)
  assert.equal(stderr, '')
  return { code, ...(JSON.parse(stdout) as { ok: boolean; checks: Check[] }) }
}

const missing = ({ checks }: Answer): string[] =>
  checks.filter(({ state }) => state === 'missing').map(({ name, mend }) => `${name} → ${mend}`)

test('where nothing is set up, what is missing is said with what to type, and nothing is made', async () => {
  await using ada = await person(built.program)
  const answer = await examine(ada)
  assert.deepEqual([answer.code, answer.ok], [1, false])
  assert.deepEqual(
    missing(answer).filter((each) => !each.startsWith('sandbox')),
    [
      'settings → tri-agent init, in your repository',
      'families → tri-agent keys set anthropic, then: tri-agent init',
      'repository → tri-agent init',
    ],
  )
  assert.deepEqual([existsSync(ada.paths.stateFolder), existsSync(ada.paths.configFile)], [false, false])
})

test('a TMPDIR that is not there, is a file, is relative or is too long for a socket is named, and everything is looked at all the same', async () => {
  await using ada = await person(built.program)
  const wellAt = (await examine(ada)).checks.find(({ name }) => name === 'sandbox')!.found
  const long = join(ada.home, 'd'.repeat(150), 'd'.repeat(150))
  await mkdir(long, { recursive: true })
  for (const [temporary, why] of [
    [join(ada.home, 'nowhere'), 'ENOENT'],
    [join(ada.repository, 'package.json'), 'not a folder'],
    ['shop', 'not an absolute path'],
    [long, 'too long'],
  ] as const) {
    const { checks } = await examine(ada, { env: { TMPDIR: temporary } })
    const found = (name: string) => checks.find((each) => each.name === name)?.found
    assert.equal(found('sandbox'), wellAt, temporary)
    const said = checks.find(({ name }) => name === 'temporary files')!
    assert.equal(said.state, 'warning', temporary)
    assert.ok(said.found.includes(why) && said.found.includes(temporary) && said.found.includes('/tmp'), said.found)
  }
})

test('where all is there the exit code is 0, and the table and health.json say what was said, for nobody else to read', async () => {
  await using ada = await person(built.program)
  await ready(ada)
  const answer = await examine(ada)
  assert.deepEqual([answer.code, answer.ok, missing(answer)], [0, true, []])
  const rows = await ada.withDatabase((database) => database.read(readHealth))
  const byName = (checks: readonly Check[]) =>
    checks
      .map(({ name, state, found, mend }) => ({ name, state, found, mend }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  assert.deepEqual(byName(rows), byName(answer.checks))
  const file = join(ada.paths.stateFolder, 'health.json')
  assert.deepEqual(
    byName((JSON.parse(readFileSync(file, 'utf8')) as { checks: Check[] }).checks),
    byName(answer.checks),
  )
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const { stdout } = await ada.type(['doctor'])
  assert.match(stdout, /^ok {7}repository {5,}shop, work starts from main$/m)
  assert.match(stdout, /^\d+ ok, \d+ warnings?, 0 missing\.$/m)
})

test('what each family lacks is said with what to type, and no key is shown', async () => {
  await using ada = await person(built.program)
  const old = join(ada.home, `node_modules/@openai/codex-${platform()}-${arch()}`)
  await mkdir(join(old, 'vendor/x/bin'), { recursive: true })
  await writeFile(join(old, 'package.json'), '{ "version": "0.99.0-linux" }')
  await writeFile(join(old, 'vendor/x/bin/codex'), 'no program')
  await chmod(join(old, 'vendor/x/bin/codex'), 0o755)
  await ready(ada)
  await settle(ada, {
    anthropic: '{ models: claude-opus-5-5 }',
    openai: `{ program: ["${join(old, 'vendor/x/bin/codex')}"], keyFrom: { file: ${join(ada.home, 'key')} }, models: gpt-6-sol }`,
    mistral: family('model-without-price', 'keyFrom: { env: NONE }'),
  })
  await writeFile(join(ada.home, 'key'), 'sk-canary-0123456789', { mode: 0o644 })
  const answer = await examine(ada, { env: { PATH: '/usr/bin:/bin' } })
  const rest = missing(answer).filter((each) => !/^(?:sandbox|toolchain)/.test(each))
  assert.deepEqual(
    rest.map((each) => each.replaceAll(ada.home, '~')),
    [
      'families → see what is missing below',
      'key of anthropic → tri-agent keys set anthropic',
      'agent of anthropic → npm install --global @anthropic-ai/claude-code',
      'key of openai → chmod 600 ~/key',
      'agent of openai → npm install --global @openai/codex@0.169.0',
      'key of mistral → tri-agent keys set mistral',
      rest.find((each) => each.startsWith('models of mistral'))!.replaceAll(ada.home, '~'),
    ],
  )
  assert.match(rest.at(-1)!, /^models of mistral → tri-agent prices set \S+ --input USD --output USD/)
  assert.equal(answer.code, 1)
  assert.ok(!JSON.stringify(answer).includes('canary'))
})

test("a repository's gaps are said: no file on the base, no gate, a tool that is not there", async () => {
  await using ada = await person(built.program)
  await settle(ada, { anthropic: family('claude-opus-5-5') })
  await ada.type(['init', '--yes'])
  assert.deepEqual(missing(await examine(ada)), [
    'tri-agent.yaml → git add tri-agent.yaml && git commit, on main (tri-agent init writes it)',
  ])
  await ada.write('tri-agent.yaml', 'gates: []\ntoolchain: [no-such-tool]\n')
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Test nothing')
  assert.deepEqual(missing(await examine(ada)), [
    'gates → name the command that tests in tri-agent.yaml',
    'toolchain → install it, or correct toolchain in tri-agent.yaml',
  ])
  await ada.write('tri-agent.yaml', 'gates: 7\n')
  await ada.git('commit', '--all', '--quiet', '--message', 'Break it')
  const broken = await examine(ada)
  assert.deepEqual(
    broken.checks.filter(({ state }) => state === 'missing').map(({ name }) => name),
    ['tri-agent.yaml'],
  )
  const elsewhere = await examine(ada, { cwd: ada.home })
  assert.deepEqual([elsewhere.code, missing(elsewhere)], [0, []], 'outside a repository that is no fault')
})

test('while the daemon is up, /health and doctor say the same, and both write it down', async () => {
  await using ada = await person(built.program)
  await ready(ada)
  const port = 20_000 + (process.pid % 20_000)
  await writeFile(ada.paths.configFile, readFileSync(ada.paths.configFile, 'utf8').replace('port: 0', `port: ${port}`))
  const up = await ada.json(['up', '--detach', '--trust'])
  try {
    assert.equal(up['up'], true, JSON.stringify(up))
    const health = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as { checks: Check[] }
    let written = await ada.withDatabase((database) => database.read(readHealth))
    // it is written down beside the answer, not before it
    for (let looks = 0; written.length === 0 && looks < 200; looks++)
      written = await ada.withDatabase((database) => database.read(readHealth))
    assert.deepEqual(
      written.map(({ name }) => name),
      health.checks.map(({ name }) => name).toSorted(),
    )
    assert.ok(health.checks.length >= 5)
    const answer = await examine(ada)
    const states = (checks: readonly Check[], names: readonly string[]) =>
      Object.fromEntries(checks.filter(({ name }) => names.includes(name)).map(({ name, state }) => [name, state]))
    const names = health.checks.map(({ name }) => name)
    assert.deepEqual(states(answer.checks, names), states(health.checks, names))
    assert.match(
      answer.checks.find(({ name }) => name === 'port')!.found,
      new RegExp(`the daemon \\(pid ${up['pid'] as number}\\) is up`),
    )
    await rm(join(ada.paths.stateFolder, 'health.json'))
    await examine(ada)
    assert.ok(existsSync(join(ada.paths.stateFolder, 'health.json')))
  } finally {
    await ada.type(['down'])
  }
})
