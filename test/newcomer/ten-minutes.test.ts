/**
 * The first ten minutes, typed from README.md in six repositories of different ecosystems: from the key to a landed commit. Each has one test that
 * fails, and a simulated agent that mends it. The lines are read from the page, so that a page that lies fails here.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { readTrailers } from '../../src/core/trailer.ts'
import type { Rule } from '../../sim/scenario.ts'
import { ecosystems, type Ecosystem } from './ecosystem.ts'
import { locateTool, machine, pasted, root, type Machine } from './machine.ts'

/** The commands of the page's second block, comments taken off. */
const lines = readFileSync(join(root, 'README.md'), 'utf8')
  .split('## On your own repository')[1]!
  .split('\nWork lands on')[0]!
  .split('\n')
  .filter((line) => line.startsWith('    tri-agent '))
  .map((line) => line.replace(/\s+#.*$/, '').trim())

const rules = ({ fix }: Ecosystem): Rule[] => [
  { when: ['# Implement'], steps: fix },
  { when: ['# Review'], steps: [{ json: { summary: 'The pattern takes all digits now.', findings: [] } }] },
  { when: [], steps: [{ say: 'Hello.' }] },
]

/** What a person does at each line of the page; `line` is what they type. */
const plays: Record<string, (my: Machine, line: string, kept: Kept) => Promise<void>> = {
  async keys(my, line) {
    for (const [family, key] of Object.entries(pasted)) {
      const said = await my.type(`${line.replace('anthropic', family)} --from-file -`, `${key}\n`) // no terminal to ask at
      assert.ok(!said.includes(key), 'a key is never printed')
    }
    assert.doesNotMatch(await my.type('tri-agent keys list'), new RegExp(Object.values(pasted).join('|')))
  },
  async init(my, line, { ecosystem }) {
    const before = await my.type('git rev-parse HEAD')
    await my.type(line)
    const read = await my.type('cat tri-agent.yaml')
    const proposed = parse(read) as { setup?: string[]; gates: { name: string }[] }
    assert.deepEqual(proposed.setup ?? [], ecosystem.setup)
    assert.deepEqual(
      proposed.gates.map(({ name }) => name),
      ecosystem.gates,
    )
    assert.equal(await my.type('git rev-parse HEAD'), before, 'it commits nothing')
    assert.match(await my.type(line), /unchanged/, 'it may be repeated')
    await my.divert()
    await my.type('git add tri-agent.yaml && git commit -q -m "Say how to test this"')
  },
  async doctor(my, line, { ecosystem }) {
    const first = await my.ask(line)
    assert.equal(first.code, 1, `a red test stands in the way:\n${first.stdout}${first.stderr}`)
    assert.match(first.stdout, /baseline: allow/, 'what may be chosen is said')
    const file = join(my.repository, 'tri-agent.yaml')
    const red = new RegExp(`(- name: test\\n(?: {4}.*\\n)*? {4}command: .*\\n)`)
    const chosen = (await readFile(file, 'utf8')).replace(red, '$1    baseline: allow\n')
    await writeFile(file, chosen)
    await my.type('git commit -q -a -m "One test is known to fail"')
    const second = await my.ask(line)
    assert.equal(second.code, 0, `${ecosystem.name}: nothing stands in the way now:\n${second.stdout}${second.stderr}`)
    assert.match(second.stdout, /\$0\.\d+/, 'what it cost is said')
  },
  async add(my, line, kept) {
    const said = await my.type(line)
    const { tasks } = JSON.parse(await my.type('tri-agent list --json')) as { tasks: { id: string }[] }
    if (line.includes('--estimate')) {
      assert.match(said, /\$\d/)
      assert.deepEqual(tasks, [], 'an estimate adds nothing')
    } else kept.task = tasks[0]!.id
  },
  async up(my, line) {
    const unasked = await my.ask(line)
    assert.equal(unasked.code, 1, 'nobody agreed to the commands yet')
    assert.match(unasked.stderr, /--trust/)
    await my.type(`${line} --trust`)
  },
  async watch(my, line) {
    await my.type(`${line} --until-idle`)
  },
  async show(my, line, kept) {
    const said = await my.type(line.replace('TASK', kept.task))
    assert.match(said, /tri-agent approve/, 'what to type next is said')
  },
  async approve(my, line, kept) {
    await my.type(line.replace('TASK', kept.task))
    await my.type('tri-agent watch --until-idle')
    const message = await my.type('git log -1 --format=%B tri-agent/landing')
    const trailers = readTrailers(message)
    assert.deepEqual(
      trailers['Gate'],
      kept.ecosystem.gates.map((name) => `${name} green`),
      message,
    )
    assert.match(trailers['Approved-By']?.[0] ?? '', /^person:/)
    assert.equal(trailers['Reviewed-By']?.length, 2)
    assert.match(await my.type('tri-agent verify-history'), /^1 landings/m)
  },
  async down(my, line) {
    await my.type(line)
    assert.match(await my.type('tri-agent status'), /down/)
  },
}

type Kept = { ecosystem: Ecosystem; task: string }

test('the page goes from a key to a landed commit', () => {
  const verbs = lines.map((line) => line.split(' ')[1])
  assert.deepEqual(verbs, ['keys', 'init', 'doctor', 'add', 'add', 'up', 'watch', 'show', 'approve', 'down'])
})

for (const ecosystem of ecosystems) {
  const missing = Object.keys(ecosystem.needs).filter((name) => locateTool(name) === null)
  const skip = missing.length > 0 && `${missing.join(', ')} is not installed`
  if (skip) process.stdout.write(`SKIPPED ${ecosystem.name}: ${skip}\n`)
  test(`${ecosystem.name}: what README.md says to type leads to a landed commit`, { skip }, async () => {
    await using my = await machine(ecosystem, rules(ecosystem))
    const kept: Kept = { ecosystem, task: '' }
    for (const line of lines) await plays[line.split(' ')[1]!]!(my, line, kept)
  })
}
