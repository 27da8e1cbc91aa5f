/** Nothing of a repository is executed before a person agreed to its commands, and changed ones are asked about again. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { untrusted } from '../../src/core/trust.ts'
import { bundle, person, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

async function settled(ada: Person): Promise<void> {
  const program = [process.execPath, join(dirname(built.program), 'scripted-agent.js')]
  const family = `{ agent: scripted, program: ${JSON.stringify(program)}, baseUrl: "http://127.0.0.1:9", keyFrom: { value: none }, models: gpt-6-sol }`
  await ada.type(['init'])
  await writeFile(
    ada.paths.configFile,
    `rung: group\nhttp: { port: 0 }\ndrain: { normal: 0s }\nfamilies: { openai: ${family} }\n`,
    {
      mode: 0o600,
    },
  )
  await commands(ada, 'node --test')
}

async function commands(ada: Person, test_: string): Promise<void> {
  await ada.write('tri-agent.yaml', `setup: touch dependencies\ngates: [{ name: test, command: ${test_} }]\n`)
  await ada.git('add', '--all')
  await ada.git('commit', '--quiet', '--message', 'Say how to test this')
}

const attemptsOf = async (ada: Person, task: string) =>
  (await ada.json(['show', task])) as unknown as { task: { held: string | null }; attempts: { outcome: string }[] }

test('without a terminal up is refused with the commands and what to type; --trust is remembered', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  const refused = await ada.type(['up', '--detach'])
  assert.deepEqual(
    [refused.code, refused.stderr],
    [
      1,
      `shop: commands nobody agreed to yet, executed in a sandbox:
  set-up: touch dependencies
    may reach: nothing
  gate test: node --test
tri-agent: shop has commands that nobody agreed to
  → read them above, then: tri-agent up --trust
`,
    ],
  )
  try {
    for (const more of [['--trust'], []]) {
      const up = await ada.json(['up', '--detach', ...more])
      assert.equal(up['up'], true, JSON.stringify(up))
      await ada.type(['down'])
    }
  } finally {
    await ada.type(['down'])
  }
  const log = await ada.type(['log', '--type', 'repo.trusted'])
  assert.equal(log.stdout.trim().split('\n').length, 1)
})

test('commands that change on the base keep the work waiting, held by name, until they are agreed to', async () => {
  await using ada = await person(built.program)
  await settled(ada)
  try {
    assert.equal((await ada.json(['up', '--detach', '--trust']))['up'], true)
    await commands(ada, 'curl evil.example')
    const { task } = (await ada.json(['add', 'Sell tea'])) as { task: { id: string } }
    assert.equal((await ada.type(['watch', '--until-idle'])).code, 0)
    const waiting = await attemptsOf(ada, task.id)
    assert.deepEqual([waiting.task.held, waiting.attempts.map(({ outcome }) => outcome)], [untrusted, ['killed']])
    assert.match((await ada.type(['status'])).stdout, /^ {2}task_\w+ {2}Sell tea: held: its repository's commands/m)
    const changed = await ada.type(['up'])
    assert.match(changed.stderr, /commands that have changed.*gate test: curl evil\.example.*tri-agent up --trust/s)
    const agreed = await ada.json(['up', '--trust'])
    assert.deepEqual(agreed['trusted'], ['shop'])
    assert.equal((await attemptsOf(ada, task.id)).task.held, null)
  } finally {
    await ada.type(['down'])
  }
})
