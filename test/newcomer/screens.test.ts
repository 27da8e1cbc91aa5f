/**
 * What a person sees in a terminal of 80 and of 200 columns: typed in tmux, compared with docs/screens/. `UPDATE_SCREENS=1` writes them anew.
 * A screen that is not the terminal's own colours must be readable on light and on dark ground: no colour may be needed, none may be fixed.
 */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { scriptedProgram } from '../../src/daemon/scripted.ts'
import { environment } from '../../src/host/environment.ts'
import { findPaths } from '../../src/host/path.ts'
import { openDatabase } from '../../src/store/database.ts'
import { append } from '../../src/store/append.ts'
import { untilApproval } from '../cli-story.ts'
import { locateTool, machine, root, world, type Machine } from './machine.ts'

const tmux = locateTool('tmux')
if (tmux === null) process.stdout.write('SKIPPED screens: tmux is not installed\n')
const skip = tmux === null && 'tmux is not installed'

const rows = 40
const patienceMs = 30_000

/** A terminal of so many columns in which lines are typed. */
async function terminal(my: Machine, columns: number): Promise<AsyncDisposable & Terminal> {
  const call = `${tmux} -S ${my.home}/tmux.sock -f /dev/null`
  const pane = 'screen'
  await my.type(`PS1='$ ' ENV= TERM=xterm-256color ${call} new-session -d -s ${pane} -x ${columns} -y ${rows} /bin/sh`)
  const look = () => my.type(`${call} capture-pane -p -e -t ${pane}`)
  const until = async (words: RegExp): Promise<string> => {
    let gaveUp = false
    const cancel = world.timer.after(patienceMs, () => (gaveUp = true))
    try {
      for (;;) {
        const shown = await look()
        if (words.test(shown)) return shown
        if (gaveUp) throw new Error(`${words} never came onto the screen:\n${shown}`)
      }
    } finally {
      cancel()
    }
  }
  return {
    until,
    keys: async (...keys) =>
      void (await my.type(`${call} send-keys -t ${pane} ${keys.map((each) => `'${each}'`).join(' ')}`)),
    async line(text) {
      await my.type(`${call} send-keys -t ${pane} -R 'clear; ${text}; ${call} wait-for -S typed' Enter`)
      await my.type(`${call} wait-for typed`)
      return until(/\n[$#] *\n*$/)
    },
    [Symbol.asyncDispose]: async () => void (await my.ask(`${call} kill-server`)),
  }
}
type Terminal = {
  /** Types a line, answers the screen once it has ended. */
  line(text: string): Promise<string>
  keys(...keys: string[]): Promise<void>
  /** The screen once these words are on it. */
  until(words: RegExp): Promise<string>
}

/** With names in place of what differs each time and from machine to machine. */
const still = (my: Machine, shown: string): string =>
  shown
    .replaceAll(my.home, '~')
    .replaceAll(/\b(task|repo|att)_[0-9a-z]{8}\b/g, '$1_01234567')
    .replaceAll(/^\d\d:\d\d:\d\d\b/gm, '12:00:00')
    .replaceAll(/\b\d+(?:\.\d+)?(?= ?(?:GB|MB|KB)\b)/g, '7')
    .replaceAll(/\b\d+(?= at once)/g, '7')
    .replaceAll(/\b\d+(?=s ago)/g, '3')
    .replaceAll(/^(ok +(?:node|sqlite|git) +)[\d.]+/gm, '$1N.N.N')
    .replaceAll(/^(?:ok|warning) +(sandbox +).*(?:\n(?!(?:ok|warning|missing) ).*)*/gm, 'ok       $1rung namespace')
    .replaceAll(/(repository durations registered: ).*/g, '$1~/durations, from main')
    .replaceAll(/^# *$/gm, '$')
    .replaceAll(/ +$/gm, '')
    .trimEnd()

/** Only words: where lines break depends on how long the path of a temporary folder is. */
const words = (my: Machine, shown: string): string => shown.replaceAll(/\s+/g, '').replaceAll(my.home, '~')

/** Escape sequences that choose a colour for which the ground must be known: black, white, any ground, any of 256. Grey stands out from both. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const fixedColour = /\u001b\[(?:\d+;)*(?:3[078]|4[0-8]|97|10[0-7])(?:;\d+)*m/

function compare(my: Machine, name: string, shown: string): void {
  assert.doesNotMatch(shown, fixedColour, `${name}: readable on light and on dark ground`)
  const file = join(root, 'docs/screens', `${name}.txt`)
  // oxlint-disable-next-line no-control-regex -- colours are left out of the page
  const text = `${still(my, shown.replaceAll(/\u001b\[[\d;]*m/g, ''))}\n`
  if (environment()['UPDATE_SCREENS'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  assert.equal(words(my, text), words(my, readFileSync(file, 'utf8')), `${name}: UPDATE_SCREENS=1 writes it anew`)
}

async function settle(my: Machine): Promise<void> {
  const { configFile } = findPaths({ HOME: my.home })
  await mkdir(dirname(configFile), { recursive: true })
  const model = (name: string) => ({
    agent: 'scripted',
    program: scriptedProgram(),
    baseUrl: my.provider.url,
    keyFrom: { value: 'nobodys' },
    models: name,
  })
  const families = { anthropic: model('claude-opus-5-5'), openai: model('gpt-6-sol') }
  await writeFile(configFile, JSON.stringify({ rung: 'group', http: { port: 0 }, families }), { mode: 0o600 })
}

/** What leads a task to the point where a person must decide. */
async function happen(my: Machine, task: string): Promise<void> {
  const database = openDatabase(findPaths({ HOME: my.home }).database)
  const story = { at: world.clock.now(), actor: 'daemon', stream: `task/${task}`, events: untilApproval } as const
  await database.write((tx) => append(tx, story)).finally(() => database.close())
}

for (const columns of [80, 200])
  test(`init, doctor, watch, show and an error at ${columns} columns`, { skip }, async () => {
    await using my = await machine({ files: { 'package.json': '{ "scripts": { "test": "node --test" } }\n' } }, [])
    await using screen = await terminal(my, columns)
    const compared = (name: string, shown: string) => compare(my, `${name}-${columns}`, shown)
    compared('error', await screen.line('tri-agent show nothing'))
    await screen.keys('clear; tri-agent init', 'Enter')
    compared('init-asks', await screen.until(/What must be green[^]*└/))
    await screen.keys('C-c')
    await screen.until(/\n[$#] *\n*$/)
    await settle(my)
    const found = await screen.line('tri-agent init --yes')
    for (const command of ['npm install --global @openai/codex;', 'tri-agent keys set openai'])
      assert.ok(found.includes(command), `${command} is not broken in two, so that it can be copied`)
    compared('init', found)
    await my.type('git add -A && git commit -q -m "Say how to test this"')
    compared('doctor', await screen.line('tri-agent doctor'))
    const { task } = JSON.parse(await my.type('tri-agent add "Retry uploads that time out" --json')) as {
      task: { id: string }
    }
    await happen(my, task.id)
    compared('show', await screen.line(`tri-agent show ${task.id}`))
    await screen.keys('clear; tri-agent watch', 'Enter')
    compared('watch', await screen.until(/q leaves/))
    await screen.keys('q')
  })
