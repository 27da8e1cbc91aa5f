/**
 * What is asked for, and what the loopback models answer. One task per client: it writes two files with its own editing tool, then makes a third with
 * its own shell, whose content no model ever said: it can only come from a program that was started. Every reviewer reads a file before it judges.
 */
import { demoFiles } from '../../sim/demo-repository.ts'
import type { Rule, Scenario } from '../../sim/scenario.ts'
import type { Client } from './cast.ts'

export type Wish = {
  client: Client
  title: string
  text: string
  /** What must have landed, by path, whole. */
  files: Readonly<Record<string, string>>
}

/** Multiples of a number below 1000, and their sum: small programs whose result is in none of the words of a model. */
const sums = [
  { name: 'threes', step: 3, total: 166_833 },
  { name: 'fives', step: 5, total: 99_500 },
  { name: 'sevens', step: 7, total: 71_071 },
  { name: 'elevens', step: 11, total: 45_045 },
] as const

const source = (step: number) => `/** The sum of all multiples of ${step} below \`end\`. */
export function sum(end: number): number {
  let total = 0
  for (let at = 0; at < end; at += ${step}) total += at
  return total
}

if (import.meta.main) console.log(sum(1000))
`

const testOf = (name: string, step: number) => `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sum } from '../src/${name}.ts'

test('multiples of ${step} add up', () => {
  assert.equal(sum(${step * 2 + 1}), ${step * 3})
})
`

/** One task for each client. */
export const wishesOf = (cast: readonly Client[]): Wish[] =>
  cast.map((client, index) => {
    const { name, step, total } = sums[index]!
    return {
      client,
      title: `Add up multiples of ${step}`,
      text: `src/${name}.ts adds up the multiples of ${step} below a number; executed, it prints the sum below 1000. Keep that in docs/${name}.txt.`,
      files: {
        [`src/${name}.ts`]: source(step),
        [`test/${name}.test.ts`]: testOf(name, step),
        [`docs/${name}.txt`]: `${total}\n`,
      },
    }
  })

/** The rules of all models: first those of the implementers, by index of their wish, then one of the reviewers of each. */
export const scenarioOf = (wishes: readonly Wish[]): Scenario => ({
  rules: [...wishes.map(implementing), ...wishes.map(reviewing)],
})

function implementing({ title, files }: Wish): Rule {
  const [[code, codeText], [test, testText], [made]] = Object.entries(files) as [Entry, Entry, Entry]
  return {
    when: ['# Implement', title],
    steps: [
      { write: { path: code, content: codeText } },
      { write: { path: test, content: testText } },
      { shell: `npm test && mkdir -p docs && node ${code} > ${made}` },
      { say: `Added ${code} with a test, and kept what it prints.` },
    ],
  }
}

type Entry = [path: string, text: string]

const reviewing = ({ title, files }: Wish): Rule => ({
  when: ['# Review', title],
  steps: [
    { read: { path: Object.keys(files)[0]! } },
    { json: { summary: 'Read the whole change and the file it adds; the test covers it.', findings: [] } },
  ],
})

/** The repository it happens in: the demo's. With a fourth family it asks three others to review each change. */
export const repositoryFiles = (cast: readonly Client[]): Readonly<Record<string, string>> => ({
  ...demoFiles,
  'tri-agent.yaml': `${demoFiles['tri-agent.yaml']}review: { families: ${cast.length - 1} }\n`,
})

/** The operator's settings, as a person would write them. */
export const settingsText = (cast: readonly Client[], url: string): string =>
  [
    'rung: namespace',
    'unattended: true',
    'http: { port: 0 }',
    'slots: { implementer: 2, reviewer: 3, gate: 1 }',
    'families:',
    ...cast.flatMap(({ name, family, model, program }) => [
      `  ${family}:`,
      `    agent: ${name}`,
      ...(program === null ? [] : [`    program: ${JSON.stringify(program)}`]),
      `    baseUrl: ${url}`,
      `    keyFrom: { env: ${keyVariable(family)} }`,
      `    models: ${model}`,
    ]),
    '',
  ].join('\n')

/** The key of a family, which only the gateway is told: the provider lets in nobody who shows another. */
export const keyOf = (family: string): string => `real-key-of-${family}`
export const keyVariable = (family: string): string => `${family.toUpperCase()}_API_KEY`
