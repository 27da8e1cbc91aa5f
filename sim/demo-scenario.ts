/** The demo's four tasks, and what the simulated models say when they meet them. The second task's first attempt forgets something on purpose. */
import type { Scenario } from './scenario.ts'

export type DemoTask = {
  title: string
  text: string
  lane: 'critical' | 'normal' | 'background'
  size: 'small' | 'medium'
  kind: 'fix' | 'feature' | 'docs'
  tags: string[]
  acceptance: string[]
  /** Index of the task that must be done first. */
  after?: number
}

export const demoTasks: readonly DemoTask[] = [
  {
    title: 'Read amounts with more than one digit',
    text: 'parse("90m") is wrong: only the last digit of an amount counts. test/bugs shows it.',
    lane: 'critical',
    size: 'small',
    kind: 'fix',
    tags: [],
    acceptance: ['npm run bugs is green'],
  },
  {
    title: 'Write durations, not only read them',
    text: 'Add format(ms) in src/format.ts: the shortest text that parse reads back as the same number. Whole seconds only.',
    lane: 'normal',
    size: 'medium',
    kind: 'feature',
    tags: ['family:anthropic'],
    acceptance: ['parse(format(ms)) equals ms for whole seconds', 'zero is written as 0s'],
  },
  {
    title: 'Add durations on the command line',
    text: 'src/sum.ts: `node src/sum.ts 30m 45m` prints 1h15m. Uses parse and format.',
    lane: 'normal',
    size: 'small',
    kind: 'feature',
    tags: [],
    acceptance: ['node src/sum.ts 30m 45m prints 1h15m'],
    after: 1,
  },
  {
    title: 'Document every unit',
    text: 'The table in README.md lacks a unit that parse knows. Complete it, and add a test that fails when a unit is missing there.',
    lane: 'background',
    size: 'small',
    kind: 'docs',
    tags: [],
    acceptance: ['a test compares the table with the units'],
  },
]

const [fix, write, sum, document] = demoTasks.map(({ title }) => title) as [string, string, string, string]

const formatSource = `import { units } from 'units'

/** The shortest text that parse reads back as \`ms\`. Whole seconds, not negative. */
export function format(ms: number): string {
  if (!Number.isInteger(ms / units.s) || ms < 0) throw new RangeError(\`not whole seconds: \${ms}\`)
  let rest = ms
  let text = ''
  for (const [unit, size] of Object.entries(units)) {
    const amount = Math.floor(rest / size)
    if (amount > 0) text += \`\${amount}\${unit}\`
    rest -= amount * size
  }
  return text || '0s'
}
`

const formatTest = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { format } from '../src/format.ts'
import { parse } from '../src/parse.ts'

test('what format writes, parse reads back', () => {
  for (const ms of [0, 1000, 61_000, 3_600_000, 3_723_000]) assert.equal(parse(format(ms)), ms)
})

test('zero is 0s, parts of a second are refused', () => {
  assert.equal(format(0), '0s')
  assert.throws(() => format(1), RangeError)
})
`

const sumSource = `import { format } from './format.ts'
import { parse } from './parse.ts'

const total = process.argv.slice(2).reduce((sum, text) => sum + parse(text), 0)
console.log(format(total))
`

const sumTest = `import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

test('durations add up on the command line', () => {
  const said = execFileSync(process.execPath, ['src/sum.ts', '30m', '45m'], { encoding: 'utf8' })
  assert.equal(said.trim(), '1h15m')
})
`

const documentTest = `import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { units } from 'units'

test('README.md has every unit', () => {
  const readme = readFileSync('README.md', 'utf8')
  for (const unit of Object.keys(units)) assert.match(readme, new RegExp(\`^\\\\| \${unit} \`, 'm'), \`unit \${unit} is missing\`)
})
`

const nothingWrong = {
  summary: 'Read the change against the task and the gate results; each criterion is covered by a test.',
  findings: [],
}

/** What the simulated models do, by what they are asked. The first rule that fits wins. */
export const demoScenario: Scenario = {
  rules: [
    {
      when: ['# Plan', write],
      steps: [
        {
          json: {
            approach:
              'Walk the units from the largest to the smallest and write what fits; refuse what cannot be written exactly.',
            files: ['src/format.ts', 'test/format.test.ts'],
            acceptance: ['parts of a second are refused'],
            subTasks: [],
          },
        },
      ],
    },
    {
      when: ['# Implement', fix],
      steps: [
        { replace: { path: 'src/parse.ts', find: String.raw`/(\d)([hms])/g`, with: String.raw`/(\d+)([hms])/g` } },
        { shell: 'npm run bugs' },
        { say: 'The pattern took one digit; now it takes all of them. npm run bugs is green.' },
      ],
    },
    {
      when: ['# Implement', write],
      steps: [
        { write: { path: 'src/format.ts', content: formatSource } },
        { write: { path: 'test/format.test.ts', content: formatTest } },
        { shell: 'npm test' },
        { say: 'Added format with tests for zero, every unit and the refusal of parts of a second.' },
      ],
    },
    {
      when: ['# Implement', sum],
      steps: [
        { write: { path: 'src/sum.ts', content: sumSource } },
        { write: { path: 'test/sum.test.ts', content: sumTest } },
        { shell: 'npm test' },
        { say: 'Added src/sum.ts and a test that calls it.' },
      ],
    },
    {
      // The second attempt: the gate's own output is in the prompt now.
      when: ['# Implement', document, 'unit s is missing'],
      steps: [
        { replace: { path: 'README.md', find: '| m | minutes |', with: '| m | minutes |\n| s | seconds |' } },
        { say: 'Added the row for seconds that the gate asked for.' },
      ],
    },
    {
      when: ['# Implement', document],
      steps: [
        { write: { path: 'test/readme.test.ts', content: documentTest } },
        { say: 'The table is complete and tested.' }, // it is not: verify will say so
      ],
    },
    {
      when: ['# Review', write],
      family: 'google',
      steps: [
        {
          json: {
            summary: 'format looks right; one doubt about large values.',
            findings: [
              {
                file: 'src/format.ts',
                line: 10,
                severity: 'medium',
                claim: 'format loses whole hours above a day',
                proof:
                  "node --input-type=module -e \"const { format } = await import('./src/format.ts'); if (format(90000000) !== '25h') process.exit(1)\"",
              },
            ],
          },
        },
      ],
    },
    {
      when: ['# Cross-check', 'loses whole hours'],
      steps: [
        {
          json: {
            verdict: 'dismissed',
            evidence:
              'Hours are not capped: Math.floor(rest / size) has no upper bound, and executing the proof shows 25h.',
          },
        },
      ],
    },
    { when: ['# Review'], steps: [{ json: nothingWrong }] },
  ],
}

const stopped = 'You were stopped at a budget limit'

/**
 * The first task alone, and a provider that bills a hundred times what the request could be held to cost: the breaker trips, the task is parked with its
 * work, and goes on with it a minute later.
 */
export const overspendTasks: readonly DemoTask[] = demoTasks.slice(0, 1)

export const overspendScenario: Scenario = {
  rules: [
    {
      when: ['# Implement', fix, stopped],
      steps: [{ say: 'What I had changed was all there; npm run bugs is green.' }],
    },
    {
      when: ['# Implement', fix],
      steps: [
        { replace: { path: 'src/parse.ts', find: String.raw`/(\d)([hms])/g`, with: String.raw`/(\d+)([hms])/g` } },
        { shell: 'npm run bugs', usage: { input: 400_000 } },
        { say: 'Done.' },
      ],
    },
    { when: ['# Review'], steps: [{ json: nothingWrong }] },
  ],
}
