/**
 * Ten failures in a row on one machine, as a newcomer meets them: each says what happened, why, and what to type next; that is done, and then it works.
 * What each vendor says in how many words is core/vendor-refusal.test.ts; here it is the journey.
 */
import assert from 'node:assert/strict'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { Rule } from '../../sim/scenario.ts'
import type { WireFault } from '../../sim/wire-fault.ts'
import { scriptedProgram } from '../../src/daemon/scripted.ts'
import { findPaths } from '../../src/host/path.ts'
import { locateTool, machine, pasted, world, type Machine } from './machine.ts'
import { corporate, door, occupant } from './network.ts'

const rightKey = pasted['anthropic']!
const model = 'claude-opus-5-5'
const fine = { summary: 'Read it: all right.', findings: [] }
const rules: Rule[] = [
  { when: ['# Implement'], steps: [{ write: { path: 'tea.txt', content: 'tea\n' } }, { say: 'Wrote tea.txt.' }] },
  { when: ['# Review'], steps: [{ json: fine }] },
  { when: [], steps: [{ say: 'The trial is over.' }] },
]
const files = {
  'test.sh': 'if test -e broken.txt; then echo "broken.txt is there"; exit 1; fi\n',
  'tri-agent.yaml': 'gates:\n  - name: test\n    command: sh test.sh\n',
  'broken.txt': 'as it was found\n',
}

/** What is typed in a row; `my` is the machine, and settings stay as the step before left them. */
type Newcomer = {
  my: Machine
  /** Writes the operator's settings, as an editor would. */
  settle(family?: object, rest?: object): Promise<void>
  /** Types a line that must fail; answers all it said, on one line. */
  fails(line: string): Promise<string>
  /** Types a line that must go well; the same. */
  works(line: string): Promise<string>
}

async function newcomer(): Promise<Newcomer> {
  const my = await machine({ files }, rules, [rightKey])
  const scripted = { agent: 'scripted', program: scriptedProgram(), baseUrl: my.provider.url, models: model }
  const { configFile } = findPaths({ HOME: my.home })
  const said = async (line: string, shallWork: boolean) => {
    const { code, stdout, stderr } = await my.ask(line)
    assert.equal(code === 0, shallWork, `$ ${line}\nexit ${code}\n${stdout}${stderr}`)
    return `${stdout}${stderr}`.replaceAll(/\s+/g, ' ')
  }
  return {
    my,
    async settle(family = {}, rest = {}) {
      await mkdir(dirname(configFile), { recursive: true })
      const settings = {
        rung: 'group',
        http: { port: 0 },
        money: { priceAge: '30000d' }, // the calendar fails nobody here
        ...rest,
        families: { anthropic: { ...scripted, ...family } },
      }
      await writeFile(configFile, JSON.stringify(settings), { mode: 0o600 })
    },
    fails: (line) => said(line, false),
    works: (line) => said(line, true),
  }
}

/** A sentence with these parts in this order. */
const says = (text: string, ...parts: readonly string[]): void => {
  let from = 0
  for (const part of parts) {
    const at = text.indexOf(part, from)
    assert.ok(at >= 0, `"${part}" is not said, after what goes before it, in: ${text}`)
    from = at + part.length
  }
}

const live = 'tri-agent doctor --live'

async function invalidKey({ my, settle, fails, works }: Newcomer): Promise<void> {
  await settle()
  await my.type('tri-agent init --yes')
  await my.type('tri-agent keys set anthropic --from-file -', 'sk-ant-api03-mistyped-0123456789abcdef0123456789\n')
  const said = await fails(live)
  says(
    said,
    'the provider does not know this key (it answered 401)',
    'it was mistyped, revoked',
    '→ tri-agent keys set',
  )
  const [, next] = /→ (tri-agent keys set anthropic) /.exec(said) ?? []
  await my.type(`${next} --from-file -`, `${rightKey}\n`) // no terminal to ask at
  says(await works(live), `live anthropic ${model} answered in`)
}

const error = (type: string, message: string) => ({ type: 'error', error: { type, message } })

async function noCredit({ my, fails, works }: Newcomer): Promise<void> {
  const low = error('invalid_request_error', 'Your credit balance is too low to access the Anthropic API.')
  my.provider.setFaults([{ status: 400, body: low }])
  says(
    await fails(live),
    'the account has no credit left',
    'answers nothing until it is topped up; the key itself is right',
    '→ top it up (console.anthropic.com → Plans & Billing), then: tri-agent doctor --live',
  )
  my.provider.setFaults([]) // topped up
  await works(live)
}

async function unknownModel({ my, settle, fails, works }: Newcomer): Promise<void> {
  const gone: WireFault = { status: 404, times: 1, body: error('not_found_error', 'model: claude-opus-4-1') }
  my.provider.setFaults([gone])
  await settle({ models: 'claude-opus-4-1' })
  says(
    await fails(live),
    'claude-opus-4-1: the provider does not know this model',
    'the name is wrong, the model was withdrawn',
    '→ correct families.anthropic.models (now claude-opus-4-1) in your settings, then: tri-agent doctor --live',
  )
  await settle()
  await works(live)
}

/** A client that asks as the adapter of Claude Code expects it to, or one that knows none of its options any more. */
const client = (speaks: boolean): string =>
  speaks
    ? `const { ANTHROPIC_BASE_URL: url, ANTHROPIC_AUTH_TOKEN: key } = process.env
const model = process.argv[process.argv.indexOf('--model') + 1]
const body = JSON.stringify({ model, max_tokens: 100, messages: [{ role: 'user', content: 'trial' }] })
const headers = { authorization: 'Bearer ' + key, 'content-type': 'application/json', 'anthropic-version': '2023-06-01' }
const answer = await (await fetch(url + '/v1/messages', { method: 'POST', headers, body })).json()
console.log(JSON.stringify({ type: 'result', subtype: 'success', is_error: false, result: answer.content[0].text }))`
    : `console.error("error: unknown option '--output-format'"); process.exitCode = 1`

async function otherVersion({ my, settle, fails, works }: Newcomer): Promise<void> {
  const root = join(my.home, 'lib/node_modules/@anthropic-ai/claude-code')
  await mkdir(root, { recursive: true })
  const program = join(root, 'cli.js')
  const install = async (version: string, speaks: boolean) => {
    await writeFile(join(root, 'package.json'), JSON.stringify({ version, type: 'module' }))
    await writeFile(program, client(speaks))
    await chmod(program, 0o755)
  }
  await settle({ agent: 'claude', program: [program] })
  await install('2.0.9', true)
  const mend = '→ npm install --global @anthropic-ai/claude-code@'
  says(await fails('tri-agent doctor'), 'claude 2.0.9 is too old', 'is the oldest that works', mend)
  await install('2.9.0', false)
  says(
    await fails('tri-agent doctor'),
    "claude 2.9.0 is untested and failed its trial turn: it ended as crashed: exit 1: error: unknown option '--output-format' →",
    mend.slice(2),
  )
  await install('2.9.1', true)
  says(await works('tri-agent doctor'), 'claude 2.9.1 is untested', 'and passed its trial turn')
}

async function corporateProxy({ my, settle, fails, works }: Newcomer): Promise<void> {
  const certificate = join(my.home, 'company.pem')
  await using network = await corporate(my.provider.url, certificate, 'ada:pw')
  await settle({ baseUrl: network.baseUrl })
  says(await fails(live), "the provider's name cannot be resolved", 'no network', 'check the network')
  const without = `export HTTPS_PROXY=http://${network.proxy}`
  says(
    await fails(`${without}; ${live}`),
    'a proxy between here and the provider wants a login',
    'HTTPS_PROXY leads to it without a user',
    '→ export HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT',
  )
  const within = `export HTTPS_PROXY=http://ada:pw@${network.proxy}`
  says(
    await fails(`${within}; ${live}`),
    "the connection's certificate is not trusted here",
    'a corporate proxy opens encrypted connections with a certificate of its own',
    '→ export NODE_EXTRA_CA_CERTS=',
  )
  await works(`${within}; export NODE_EXTRA_CA_CERTS=${certificate}; ${live}`)
}

async function otherUpstream({ settle, fails, works }: Newcomer): Promise<void> {
  await using other = await occupant()
  await settle({ baseUrl: `http://127.0.0.1:${other.port}` })
  says(
    await fails(live),
    'something between here and the provider answered in its place (it answered 404)',
    'a page instead of an answer',
    'a baseUrl that is no API',
    '→ check HTTPS_PROXY, NO_PROXY and families.anthropic.baseUrl (tri-agent config show --origin)',
  )
  await settle()
  await works(live)
}

async function redBase({ my, fails, works }: Newcomer): Promise<void> {
  const said = await fails('tri-agent doctor --gates')
  says(said, 'gate test red on main', '(exit 1): broken.txt is there', '→ mend it on main; or write under this gate')
  says(said, 'baseline: allow', 'does not block', 'baseline: off')
  await my.type('printf "    baseline: allow\\n" >> tri-agent.yaml && git commit -q -a -m "One test is known to fail"')
  says(await works('tri-agent doctor --gates'), 'warning gate test red on main', 'only what is newly red blocks')
}

/** Programs of the system, each but bubblewrap: the PATH of a machine without it. */
async function withoutBubblewrap(my: Machine): Promise<string> {
  const folder = join(my.home, 'bin')
  await mkdir(folder)
  for (const name of [
    'sh',
    'bash',
    'git',
    'node',
    'env',
    'dirname',
    'readlink',
    'uname',
    'sed',
    'printf',
    'prlimit',
    'cat',
  ]) {
    const file = locateTool(name)
    if (file !== null) await symlink(file, join(folder, name))
  }
  const tri = locateTool('tri-agent')
  assert.ok(tri)
  return `PATH=${folder} ${tri}`
}

async function noBubblewrap({ my, settle, fails, works }: Newcomer): Promise<void> {
  const bare = await withoutBubblewrap(my)
  await settle({}, { rung: 'namespace' })
  const next = '(apt-get install bubblewrap)'
  says(await fails(`${bare} doctor`), 'missing sandbox no namespace: bubblewrap is not installed', next, 'rung: group')
  says(await fails(`${bare} up --detach --trust`), 'bubblewrap is not installed: apt-get install bubblewrap')
  await settle({}, { rung: 'group' })
  const told = await works(`${bare} doctor`)
  says(told, ', as your settings accept: files')
  const rung = /rung (subreaper|group), as your settings accept/.exec(told)?.[1] // whether koffi could be installed
  says(await works(`${bare} up --detach`), `sandbox rung ${rung}`)
  await my.type('tri-agent down')
}

async function portInUse({ my, settle, fails, works }: Newcomer): Promise<void> {
  await using other = await occupant()
  await settle({}, { http: { port: other.port } })
  const taken = `127.0.0.1:${other.port}`
  says(await fails('tri-agent doctor'), `missing port ${taken} cannot be had (EADDRINUSE)`, '→ set http: { port: 0 }')
  says(await fails('tri-agent up --detach'), `${taken} is taken by another program`, '→ set http: { port: 0 }')
  await settle()
  await works('tri-agent up --detach')
  await my.type('tri-agent down')
}

/** Without a beat for so long an attempt is lost; the machine sleeps for twice that. */
const leaseMs = 1200

async function laptopSleep({ my, settle, works }: Newcomer): Promise<void> {
  await using way = await door(my.provider.url)
  await settle({ baseUrl: way.url }, { lease: { beat: `${leaseMs / 3}ms`, lease: `${leaseMs}ms` } })
  const { pid } = JSON.parse(await my.type('tri-agent up --detach --json')) as { pid: number }
  const { task } = JSON.parse(await my.type('tri-agent add "Sell tea" --json')) as { task: { id: string } }
  await way.arrived
  process.kill(pid, 'SIGSTOP')
  await world.timer.sleep(2 * leaseMs) // nobody is waited for: this is how long the lid is closed
  process.kill(pid, 'SIGCONT')
  way.open()
  await my.type('tri-agent watch --until-idle')
  says(await works('tri-agent log --type daemon.resumed'), 'away for 2s', 'nothing was given up for it')
  const shown = JSON.parse(await my.type(`tri-agent show ${task.id} --json`)) as {
    task: { state: string }
    attempts: { step: string; outcome: string }[]
  }
  assert.equal(shown.task.state, 'awaiting-approval')
  assert.deepEqual(
    shown.attempts.filter(({ outcome }) => outcome !== 'passed'),
    [],
    'no attempt was lost, and none was made twice',
  )
  assert.deepEqual(
    shown.attempts.map(({ step }) => step).filter((step) => step === 'implement'),
    ['implement'],
  )
  await my.type('tri-agent down')
}

const failures: Record<string, (newcomer: Newcomer) => Promise<void>> = {
  'an invalid key': invalidKey,
  'no credit': noCredit,
  'an unknown model': unknownModel,
  'a client that is too old, or newer than tested': otherVersion,
  'a corporate proxy': corporateProxy,
  'an upstream that is somewhere else': otherUpstream,
  'a red base': redBase,
  'no bubblewrap': noBubblewrap,
  'a port in use': portInUse,
  'a laptop that slept': laptopSleep,
}

test('ten failures in a row, each said with what to type next, each mended by it', async (context) => {
  const one = await newcomer()
  await using _ = one.my
  for (const [name, meet] of Object.entries(failures)) await context.test(name, () => meet(one))
})
