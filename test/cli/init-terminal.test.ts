/** init at a terminal: what it asks, what the answers make of the files, and what leaving makes of them. A pseudo-terminal comes from util-linux. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { bundle, person, world, type Person } from '../cli-rig.ts'

const built = await bundle()
after(() => built[Symbol.asyncDispose]())

const script = ['/usr/bin/script', '/bin/script'].find(existsSync)
const skip = script === undefined && 'script (util-linux) is not installed'

/** Types `answers`, each once the words before it are on the screen. Answers the exit code and all that was shown. */
async function talk(
  ada: Person,
  answers: readonly (readonly [words: string, keys: string])[],
  { columns = 80, env = {} }: { columns?: number; env?: Record<string, string> } = {},
): Promise<{ code: number | null; shown: string }> {
  const keys = new PassThrough()
  const child = await world.spawn({
    file: script!,
    args: ['-qec', `stty cols ${columns} rows 24; exec ${process.execPath} ${built.program} init`, '/dev/null'],
    cwd: ada.repository,
    env: { HOME: ada.home, PATH: '/usr/bin:/bin', TERM: 'xterm', SHELL: '/bin/sh', LANG: 'C.UTF-8', ...env },
    stdin: keys,
  })
  let screen = ''
  let shown = ''
  const left = [...answers]
  child.stdout.on('data', (bytes: Buffer) => {
    screen += bytes.toString('utf8')
    shown += bytes.toString('utf8')
    if (left[0] && screen.includes(left[0][0])) {
      screen = ''
      keys.write(left.shift()![1])
    }
  })
  const giveUp = world.timer.after(20_000, () => child.signal('SIGKILL'))
  const { code } = await child.exit
  giveUp()
  assert.deepEqual(left, [], `still to be asked; on the screen: ${screen}`)
  return { code, shown }
}

const down = '\u001b[B'

test('what a person leaves out is not written, and what they may spend is', { skip }, async () => {
  await using ada = await person(built.program)
  await ada.write('package.json', '{ "scripts": { "test": "node --test", "lint": "x" } }\n')
  await ada.git('commit', '--quiet', '--all', '--message', 'Lint')
  const { code } = await talk(ada, [
    ['What must be green', ' \r'], // the first one, lint, off
    ['How much may all of it cost', '\u007f\u007f12\r'],
    ['Write this down?', '\r'],
  ])
  assert.equal(code, 0)
  assert.match(readFileSync(ada.paths.configFile, 'utf8'), /^money: \{ day: \$12, task: \$10 \}$/m)
  const written = readFileSync(join(ada.repository, 'tri-agent.yaml'), 'utf8')
  assert.deepEqual(written.match(/name: \w+/g), ['name: test'])
})

test('whoever leaves has written nothing', { skip }, async () => {
  await using ada = await person(built.program)
  assert.equal((await talk(ada, [['What must be green', `${down}\u0003`]])).code, 1)
  assert.equal(existsSync(join(ada.repository, 'tri-agent.yaml')), false)
  assert.equal(existsSync(ada.paths.configFile), false)
  assert.equal(existsSync(ada.paths.stateFolder), false)
})

test('a file that is there is changed only after a yes', { skip }, async () => {
  await using ada = await person(built.program)
  await ada.write('tri-agent.yaml', 'toolchain: [node]\n')
  const read = () => readFileSync(join(ada.repository, 'tri-agent.yaml'), 'utf8')
  const asked = [
    ['How much may all of it cost', '\r'],
    ['Write this down?', '\r'],
  ] as const
  assert.equal((await talk(ada, [...asked, ['Change ', '\r']])).code, 0)
  assert.equal(read(), 'toolchain: [node]\n')
  assert.equal(
    (
      await talk(ada, [
        ['Write this down?', '\r'],
        ['Change ', 'y'],
      ])
    ).code,
    0,
  )
  assert.match(read(), /^toolchain: \[ ?node ?\]\ngates:\n/)
})

test('a terminal without a width is none to ask at: what was found is written', { skip }, async () => {
  await using ada = await person(built.program)
  assert.equal((await talk(ada, [], { columns: 0 })).code, 0)
  assert.ok(existsSync(join(ada.repository, 'tri-agent.yaml')))
})

test('with NO_COLOR nothing that init asks or says has a colour', { skip }, async () => {
  const asked = [
    ['What must be green', '\r'],
    ['How much may all of it cost', '\r'],
    ['Write this down?', '\r'],
  ] as const
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  const coloured = /\u001b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m/
  for (const [env, isColoured] of [
    [{}, true],
    [{ NO_COLOR: '1' }, false],
  ] as const) {
    await using ada = await person(built.program)
    const { code, shown } = await talk(ada, asked, { env })
    assert.deepEqual([code, coloured.test(shown)], [0, isColoured], JSON.stringify(env))
  }
})
