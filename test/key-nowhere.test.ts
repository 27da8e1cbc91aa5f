/** A real daemon with keys from .env.prod, from keys set and from its environment does a task: no key is in an argument or variable of any process of ours, nor in any file of ours. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { startProvider } from '../sim/provider.ts'
import { bundle, person, world } from './cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const [fromFile, kept, inVariable] = ['file', 'kept', 'vars'].map((how) => `sk-nowhere-canary-${how}-0123456789`) as [
  string,
  string,
  string,
]
const isLinux = process.platform === 'linux'

/** Arguments and environment of every process that can be read here, as one text each. */
const processes = (): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => ['cmdline', 'environ'].map((what) => readProc(`/proc/${pid}/${what}`)))

function readProc(file: string): string {
  try {
    return readFileSync(file, 'latin1')
  } catch {
    return '' // it ended, or is not ours
  }
}

test(
  'keys are in the place they were given and in no argument, variable, log or table',
  { skip: !isLinux && 'there is no /proc' },
  async () => {
    await using ada = await person(built.program)
    const seen: string[][] = []
    await using provider = await startProvider({
      world,
      scenario: { rules: [] },
      keys: [fromFile, kept, inVariable],
      log: () => void seen.push(processes()),
    })
    const program = JSON.stringify([process.execPath, join(dirname(built.program), 'scripted-agent.js')])
    const family = (model: string) =>
      `{ agent: scripted, program: ${program}, baseUrl: "${provider.url}", models: ${model} }`
    await mkdir(dirname(ada.paths.configFile), { recursive: true })
    await writeFile(
      ada.paths.configFile,
      `rung: group\nhttp: { port: 0 }\nmoney: { priceAge: 30000d }\nfamilies:\n  openai: ${family('gpt-6-sol')}\n  google: ${family('gemini-3.8-flash')}\n  anthropic: ${family('claude-opus-5-5')}\n`,
      { mode: 0o600 },
    )
    await ada.type(['keys', 'set', 'google', '--from-file', '-', '--force'], { stdin: kept })
    const file = join(ada.home, '.env.prod')
    await writeFile(file, `OPENAI_API_KEY=${fromFile}\nREDIS_URL=redis://localhost\n`)
    await chmod(file, 0o644)
    const open = await ada.type(['up', '--env-file', file])
    assert.deepEqual(
      [open.code, open.stderr.replaceAll(ada.home, '~')],
      [1, 'tri-agent: ~/.env.prod can be read by others\n  → chmod 600 ~/.env.prod\n'],
    )
    await chmod(file, 0o600)
    await ada.type(['init', '--yes'])
    await ada.git('add', '--all')
    await ada.git('commit', '--quiet', '--message', 'Say how to test this')
    const start = await ada.type(['up', '--detach', '--trust', '--env-file', file, '--json'], {
      env: { ANTHROPIC_API_KEY: inVariable },
    })
    const up = JSON.parse(start.stdout) as Record<string, unknown>
    try {
      assert.equal(up['up'], true, JSON.stringify(up))
      assert.equal((await ada.type(['add', 'Sell tea'])).code, 0)
      const asked = () => provider.requests.length > 0
      for (let waits = 0; !asked() && waits < 600; waits++) await world.timer.sleep(50)
      assert.ok(asked(), 'an agent asked its model')
      seen.push(processes())
    } finally {
      await ada.type(['down'])
    }
    assert.ok(
      seen.flat().some((text) => text.includes('main.js\0up\0')),
      'processes were looked at',
    )
    assert.deepEqual(
      seen.flat().filter((text) => text.includes('nowhere-canary')),
      [],
    )
    const files = readdirSync(ada.home, { recursive: true, withFileTypes: true })
      .filter((each) => each.isFile() && readFileSync(join(each.parentPath, each.name)).includes('nowhere-canary'))
      .map((each) => join(each.parentPath, each.name).slice(ada.home.length + 1))
    assert.deepEqual(files.toSorted(), ['.env.prod', '.local/state/tri-agent-keys/google.json'])
    assert.match(readFileSync(ada.paths.log, 'utf8'), /REDIS_URL is accepted and not used/)
    assert.deepEqual(
      [...new Set(provider.requests.map(({ key }) => key))].filter(
        (key) => ![fromFile, kept, inVariable].includes(key!),
      ),
      [],
    )
  },
)
